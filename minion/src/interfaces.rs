//! The network interfaces of this machine and their addresses, as the kernel lists them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::{LinkAddr, SockaddrIn};

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Whether an administrator has switched it on.
    pub is_up: bool,
    /// Its hardware address in hex, where it has one of six bytes.
    pub hwaddr: Option<String>,
    /// Its addresses, in the kernel's order.
    pub addresses: Vec<Address>,
}

/// An address of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// How many bits of it name the network.
    pub prefix: u32,
    /// Its broadcast address, if it has one.
    pub broadcast: Option<Ipv4Addr>,
    /// The interface's name, or the longer one given to this address, as `eth0:1`.
    pub label: String,
    /// Whether another address before it is of the same IPv4 network, so that this one is never
    /// chosen as a source.
    pub is_secondary: bool,
}

/// One line of the kernel's list.
#[derive(Debug, Clone)]
struct Line {
    label: String,
    is_up: bool,
    hwaddr: Option<String>,
    address: Option<(IpAddr, u32, Option<Ipv4Addr>)>,
}

/// All interfaces, in the kernel's order. Empty when it gives none.
#[must_use]
pub fn list() -> Vec<Interface> {
    // Without a list the addresses are unknown, which is no reason to fail.
    gather(getifaddrs().into_iter().flatten().map(|entry| line(&entry)))
}

fn line(entry: &InterfaceAddress) -> Line {
    let storage = entry.address.as_ref();
    let link = storage.and_then(|address| address.as_link_addr());
    let hwaddr = link.filter(|link| link.halen() == 6).and_then(LinkAddr::addr).map(|bytes| {
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        hex.join(":")
    });
    let mask = entry.netmask.as_ref();
    let four = storage.and_then(|address| address.as_sockaddr_in()).map(|address| {
        let mask = mask.and_then(|mask| mask.as_sockaddr_in()).map_or(Ipv4Addr::BROADCAST, SockaddrIn::ip);
        let broadcast = entry.broadcast.as_ref().and_then(|broadcast| broadcast.as_sockaddr_in());
        (IpAddr::V4(address.ip()), mask.to_bits().count_ones(), broadcast.map(SockaddrIn::ip))
    });
    let six = storage.and_then(|address| address.as_sockaddr_in6()).map(|address| {
        let mask = mask.and_then(|mask| mask.as_sockaddr_in6()).map_or(u128::MAX, |mask| mask.ip().to_bits());
        (IpAddr::V6(address.ip()), mask.count_ones(), None)
    });
    Line {
        label: entry.interface_name.clone(),
        is_up: entry.flags.contains(InterfaceFlags::IFF_UP),
        hwaddr,
        address: four.or(six),
    }
}

fn gather(lines: impl Iterator<Item = Line>) -> Vec<Interface> {
    let mut interfaces: Vec<Interface> = Vec::new();
    for Line { label, is_up, hwaddr, address } in lines {
        // No interface has a colon in its name; a label may.
        let name = label.split(':').next().unwrap_or_default();
        let at = interfaces.iter().position(|interface| interface.name == name).unwrap_or_else(|| {
            interfaces.push(Interface { name: name.to_owned(), is_up, hwaddr: None, addresses: Vec::new() });
            interfaces.len() - 1
        });
        let interface = &mut interfaces[at];
        interface.hwaddr = interface.hwaddr.take().or(hwaddr);
        if let Some((ip, prefix, broadcast)) = address {
            let network = network(ip, prefix);
            let is_secondary = ip.is_ipv4()
                && interface
                    .addresses
                    .iter()
                    .any(|other| (self::network(other.ip, other.prefix), other.prefix) == (network, prefix));
            interface.addresses.push(Address { ip, prefix, broadcast, label, is_secondary });
        }
    }
    interfaces
}

/// The lowest address of the network that `ip` is in.
#[must_use]
pub fn network(ip: IpAddr, prefix: u32) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() & mask4(prefix).to_bits()).into(),
        IpAddr::V6(ip) => {
            let host = u128::MAX.checked_shr(prefix).unwrap_or(0);
            Ipv6Addr::from_bits(ip.to_bits() & !host).into()
        }
    }
}

/// The mask of so many bits.
#[must_use]
pub fn mask4(prefix: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(!u32::MAX.checked_shr(prefix).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(label: &str, address: Option<(&str, u32)>) -> Line {
        let address = address.map(|(ip, prefix)| (ip.parse().unwrap(), prefix, None));
        Line { label: label.into(), is_up: true, hwaddr: None, address }
    }

    #[test]
    fn labels_belong_to_their_interface() {
        let found = gather(
            [
                line("lo", None),
                Line { hwaddr: Some("02:00:00:00:00:01".into()), ..line("eth0", None) },
                line("lo", Some(("127.0.0.1", 8))),
                line("eth0", Some(("10.0.0.5", 24))),
                line("eth0:1", Some(("10.0.0.6", 24))),
                line("eth0:2", Some(("10.0.0.7", 25))),
                line("eth0", Some(("fe80::1", 64))),
                line("eth0", Some(("fe80::2", 64))),
            ]
            .into_iter(),
        );
        assert_eq!(found.iter().map(|i| i.name.as_str()).collect::<Vec<_>>(), ["lo", "eth0"]);
        assert_eq!(found[1].hwaddr.as_deref(), Some("02:00:00:00:00:01"));
        let shown: Vec<(String, &str, bool)> =
            found[1].addresses.iter().map(|a| (a.ip.to_string(), a.label.as_str(), a.is_secondary)).collect();
        let expected = [
            ("10.0.0.5", "eth0", false),
            ("10.0.0.6", "eth0:1", true),
            ("10.0.0.7", "eth0:2", false),
            ("fe80::1", "eth0", false),
            ("fe80::2", "eth0", false),
        ];
        assert_eq!(shown, expected.map(|(ip, label, second)| (ip.to_owned(), label, second)));
    }

    #[test]
    fn networks_and_masks() {
        for (ip, prefix, expected) in [
            ("10.1.2.3", 8, "10.0.0.0"),
            ("10.1.2.3", 32, "10.1.2.3"),
            ("10.1.2.3", 0, "0.0.0.0"),
            ("2001:db8::1", 32, "2001:db8::"),
            ("::1", 128, "::1"),
            ("::1", 0, "::"),
        ] {
            assert_eq!(network(ip.parse().unwrap(), prefix), expected.parse::<IpAddr>().unwrap());
        }
        assert_eq!(
            [0, 20, 32].map(|bits| mask4(bits).to_string()),
            ["0.0.0.0", "255.255.240.0", "255.255.255.255"]
        );
    }

    #[test]
    fn this_machine_has_a_loopback() {
        let found = list();
        let lo = found.iter().find(|interface| interface.name == "lo").unwrap();
        assert!(lo.is_up && lo.hwaddr.as_deref() == Some("00:00:00:00:00:00"), "{lo:?}");
        let home = lo.addresses.iter().find(|address| address.ip == Ipv4Addr::LOCALHOST).unwrap();
        assert_eq!((home.prefix, home.label.as_str()), (8, "lo"));
    }
}
