//! Addresses and networks, and whether a minion has an address in one.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::{Map, Value};

use super::Fault;
use super::key::Key;

/// A network, or an address as a network of one.
#[derive(Debug, Clone)]
pub(super) struct Network {
    /// The grain that has addresses of its family.
    grain: Key,
    bits: Bits,
}

#[derive(Debug, Clone, Copy)]
enum Bits {
    V4 { network: u32, mask: u32 },
    V6 { network: u128, mask: u128 },
}

impl Network {
    /// Reads an address, `ADDRESS/BITS`, or `ADDRESS/MASK` for IPv4, where the mask may have its
    /// bits the other way round. A text that no address is made of means no minion, as in Salt.
    pub(super) fn read(text: &str) -> Result<Option<Self>, Fault> {
        if !text.is_empty() && !text.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, '.' | ':' | '/')) {
            return Ok(None);
        }
        let (address, width) = match text.split_once('/') {
            Some((address, width)) => (address, Some(width)),
            None => (text, None),
        };
        let read = match address.parse() {
            Ok(IpAddr::V4(address)) => v4(address, width).map(|bits| ("ipv4", bits)),
            Ok(IpAddr::V6(address)) => v6(address, width).map(|bits| ("ipv6", bits)),
            Err(_) => Err("expected an address such as 192.0.2.7 or 2001:db8::7, or a network such as \
                 192.0.2.0/24"
                .to_owned()),
        };
        let (grain, bits) = read.map_err(|what| Fault { at: 0, what })?;
        Ok(Some(Self { grain: Key::new(grain), bits }))
    }

    pub(super) fn grain(&self) -> &Key {
        &self.grain
    }

    /// Whether one of the minion's addresses is in it.
    pub(super) fn matches(&self, grains: &Map<String, Value>) -> bool {
        match self.grain.get(grains) {
            Some(Value::Array(addresses)) => {
                addresses.iter().filter_map(Value::as_str).any(|address| self.bits.have(address))
            }
            Some(Value::String(address)) => self.bits.have(address),
            _ => false,
        }
    }
}

impl Bits {
    fn have(self, address: &str) -> bool {
        match self {
            Bits::V4 { network, mask } => {
                address.parse::<Ipv4Addr>().is_ok_and(|address| address.to_bits() & mask == network)
            }
            Bits::V6 { network, mask } => {
                // Salt keeps no zone with an address; other sources of grains may.
                let address = address.split('%').next().unwrap_or(address);
                address.parse::<Ipv6Addr>().is_ok_and(|address| address.to_bits() & mask == network)
            }
        }
    }
}

fn v4(address: Ipv4Addr, width: Option<&str>) -> Result<Bits, String> {
    let mask = match width.map(|width| (bits(width, 32), width.parse::<Ipv4Addr>())) {
        None => u32::MAX,
        Some((Some(bits), _)) => u32::MAX.checked_shl(32 - bits).unwrap_or(0),
        Some((None, Ok(mask))) => {
            let mask = mask.to_bits();
            [mask, !mask]
                .into_iter()
                .find(|mask| mask.leading_ones() + mask.trailing_zeros() >= 32)
                .ok_or("a mask is a row of ones and then zeros, such as 255.255.255.0")?
        }
        Some((None, Err(_))) => {
            return Err("expected 0 to 32 bits or a mask such as 255.255.255.0 after /".to_owned());
        }
    };
    let network = address.to_bits() & mask;
    if network != address.to_bits() {
        return Err(outside(
            &address.to_string(),
            &Ipv4Addr::from_bits(network).to_string(),
            mask.count_ones(),
        ));
    }
    Ok(Bits::V4 { network, mask })
}

fn v6(address: Ipv6Addr, width: Option<&str>) -> Result<Bits, String> {
    let mask = match width {
        None => u128::MAX,
        Some(width) => {
            let bits = bits(width, 128).ok_or("expected 0 to 128 bits after /")?;
            u128::MAX.checked_shl(128 - bits).unwrap_or(0)
        }
    };
    let network = address.to_bits() & mask;
    if network != address.to_bits() {
        return Err(outside(
            &address.to_string(),
            &Ipv6Addr::from_bits(network).to_string(),
            mask.count_ones(),
        ));
    }
    Ok(Bits::V6 { network, mask })
}

fn bits(width: &str, most: u32) -> Option<u32> {
    let is_number = !width.is_empty() && width.bytes().all(|byte| byte.is_ascii_digit());
    width.parse().ok().filter(|bits| is_number && *bits <= most)
}

fn outside(address: &str, network: &str, bits: u32) -> String {
    format!("{address} is no network of {bits} bits: write {network}/{bits}, or {address} alone")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        let grains = serde_json::json!({"ipv4": ["127.0.0.1", "10.1.2.3"], "ipv6": "fe80::1%eth0"});
        let grains = grains.as_object().expect("a mapping");
        for (text, expected) in [
            ("10.1.2.3", Ok(true)),
            ("10.1.2.0/24", Ok(true)),
            ("10.1.2.0/255.255.255.0", Ok(true)),
            ("10.1.2.0/0.0.0.255", Ok(true)),
            ("0.0.0.0/0", Ok(true)),
            ("0.0.0.0/0.0.0.0", Ok(true)),
            ("10.1.3.0/24", Ok(false)),
            ("fe80::/10", Ok(true)),
            ("fe80::1", Ok(true)),
            ("::/0", Ok(true)),
            ("2001:db8::/32", Ok(false)),
            ("web1", Ok(false)),
            ("10.1.2.3/24", Err("write 10.1.2.0/24, or 10.1.2.3 alone")),
            ("fe80::1/10", Err("write fe80::/10")),
            ("10.1.2", Err("expected an address")),
            ("", Err("expected an address")),
            ("010.1.2.3", Err("expected an address")),
            ("10.1.2.0/33", Err("0 to 32 bits")),
            ("10.1.2.0/", Err("0 to 32 bits")),
            ("10.0.0.0/255.0.255.0", Err("a row of ones")),
            ("::/129", Err("0 to 128 bits")),
            ("::/ff", Err("0 to 128 bits")),
        ] {
            match (Network::read(text), expected) {
                (Ok(network), Ok(expected)) => {
                    assert_eq!(network.is_some_and(|n| n.matches(grains)), expected, "{text}");
                }
                (Err(fault), Err(expected)) => {
                    assert!(fault.what.contains(expected), "{text}: {}", fault.what);
                }
                (other, _) => panic!("{text}: {other:?}"),
            }
        }
    }
}
