//! Interfaces and their addresses, in Salt's shape.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use serde_json::{Map, Value, json};

use super::super::bind::Bound;
use super::super::{Fault, Outcome};
use crate::interfaces::{Address, Interface, list, mask4, network};

pub(super) async fn interfaces() -> Result<Outcome, Fault> {
    let interfaces = list();
    let shown =
        interfaces.iter().map(|interface| (interface.name.clone(), show(interface, parent(&interface.name))));
    Ok(Outcome::from(Value::Object(shown.collect())))
}

pub(super) async fn interface(mut bound: Bound) -> Result<Outcome, Fault> {
    let interface = find(&bound.text("iface")?, list())?;
    let addresses: Vec<Value> = primary(&interface).map(|address| Value::Object(inet(address))).collect();
    Ok(Outcome::from(addresses))
}

pub(super) async fn interface_ip(mut bound: Bound) -> Result<Outcome, Fault> {
    let interface = find(&bound.text("iface")?, list())?;
    let first = primary(&interface).next().map(|address| address.ip.to_string());
    Ok(Outcome::from(first.unwrap_or_default()))
}

pub(super) async fn hw_addr(mut bound: Bound) -> Result<Outcome, Fault> {
    Ok(Outcome::from(find(&bound.text("iface")?, list())?.hwaddr.unwrap_or_default()))
}

pub(super) async fn ip_addrs(mut bound: Bound, is_v6: bool) -> Result<Outcome, Fault> {
    let wanted = Wanted {
        is_v6,
        interface: bound.maybe_text("interface")?,
        with_loopback: bound.flag("include_loopback")?,
        cidr: bound.maybe_text("cidr")?.map(|text| parse_cidr(&text)).transpose()?,
        is_private: match bound.maybe_text("type")?.as_deref() {
            None => None,
            Some("private") => Some(true),
            Some("public") => Some(false),
            Some(_) => return Err(Fault::Invocation("'type' is either 'public' or 'private'".to_owned())),
        },
    };
    Ok(Outcome::from(wanted.among(&list())))
}

/// Which addresses are asked for.
struct Wanted {
    is_v6: bool,
    interface: Option<String>,
    with_loopback: bool,
    cidr: Option<(IpAddr, u32)>,
    is_private: Option<bool>,
}

impl Wanted {
    fn among(&self, interfaces: &[Interface]) -> Vec<String> {
        let found: BTreeSet<IpAddr> = interfaces
            .iter()
            .filter(|interface| self.interface.as_ref().is_none_or(|name| *name == interface.name))
            .flat_map(|interface| &interface.addresses)
            .map(|address| address.ip)
            .filter(|ip| ip.is_ipv6() == self.is_v6 && (self.with_loopback || !ip.is_loopback()))
            .filter(|ip| {
                self.cidr.is_none_or(|(net, prefix)| {
                    net.is_ipv6() == ip.is_ipv6() && network(*ip, prefix) == network(net, prefix)
                })
            })
            .filter(|ip| self.is_private.is_none_or(|private| private == is_private(*ip)))
            .collect();
        found.iter().map(ToString::to_string).collect()
    }
}

fn parse_cidr(text: &str) -> Result<(IpAddr, u32), Fault> {
    let (ip, prefix) = match text.split_once('/') {
        Some((ip, prefix)) => (ip, Some(prefix)),
        None => (text, None),
    };
    let parsed = ip.parse::<IpAddr>().ok().and_then(|ip| {
        let whole = if ip.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Some(whole), |prefix| prefix.parse().ok())?;
        (prefix <= whole).then_some((ip, prefix))
    });
    parsed.ok_or_else(|| Fault::Invocation(format!("'cidr' needs a network as 10.0.0.0/8, not {text:?}")))
}

/// Networks that the Internet does not route, as Python's `is_private` counts them.
const PRIVATE: [(&str, u32); 20] = [
    ("0.0.0.0", 8),
    ("10.0.0.0", 8),
    ("127.0.0.0", 8),
    ("169.254.0.0", 16),
    ("172.16.0.0", 12),
    ("192.0.0.0", 29),
    ("192.0.0.170", 31),
    ("192.0.2.0", 24),
    ("192.168.0.0", 16),
    ("198.18.0.0", 15),
    ("198.51.100.0", 24),
    ("203.0.113.0", 24),
    ("240.0.0.0", 4),
    ("::", 127),
    ("64:ff9b:1::", 48),
    ("100::", 64),
    ("2001::", 23),
    ("2001:db8::", 32),
    ("fc00::", 7),
    ("fe80::", 10),
];

fn is_private(ip: IpAddr) -> bool {
    PRIVATE.iter().any(|(net, prefix)| {
        let net: IpAddr = net.parse().expect("the table above holds addresses");
        net.is_ipv6() == ip.is_ipv6() && network(ip, *prefix) == net
    })
}

fn find(name: &str, interfaces: Vec<Interface>) -> Result<Interface, Fault> {
    let names: Vec<String> = interfaces.iter().map(|interface| interface.name.clone()).collect();
    interfaces.into_iter().find(|interface| interface.name == name).ok_or_else(|| {
        let names = names.join("\", \"");
        Fault::Execution(format!("Interface \"{name}\" not in available interfaces: \"{names}\""))
    })
}

fn primary(interface: &Interface) -> impl Iterator<Item = &Address> {
    interface.addresses.iter().filter(|address| address.ip.is_ipv4() && !address.is_secondary)
}

fn inet(address: &Address) -> Map<String, Value> {
    let fields = [
        ("address", json!(address.ip.to_string())),
        ("netmask", json!(mask4(address.prefix).to_string())),
        ("broadcast", json!(address.broadcast.map(|broadcast| broadcast.to_string()))),
        ("label", json!(address.label)),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn show(interface: &Interface, parent: Option<String>) -> Value {
    let mut shown = Map::from_iter([("up".to_owned(), json!(interface.is_up))]);
    if let Some(parent) = parent {
        shown.insert("parent".to_owned(), json!(parent));
    }
    if let Some(hwaddr) = &interface.hwaddr {
        shown.insert("hwaddr".to_owned(), json!(hwaddr));
    }
    let mut add = |key: &str, value: Value| {
        if let Value::Array(list) = shown.entry(key).or_insert_with(|| json!([])) {
            list.push(value);
        }
    };
    for address in &interface.addresses {
        match address.ip {
            IpAddr::V4(_) if address.is_secondary => {
                let mut second = Map::from_iter([("type".to_owned(), json!("inet"))]);
                second.extend(inet(address));
                add("secondary", Value::Object(second));
            }
            IpAddr::V4(_) => add("inet", Value::Object(inet(address))),
            IpAddr::V6(ip) => add(
                "inet6",
                json!({"address": ip.to_string(), "prefixlen": address.prefix.to_string(), "scope": scope(ip)}),
            ),
        }
    }
    Value::Object(shown)
}

/// How far an address reaches, in the words of `ip`.
fn scope(ip: Ipv6Addr) -> &'static str {
    match ip.segments()[0] {
        _ if ip.is_loopback() => "host",
        0xfe80..=0xfebf => "link",
        0xfec0..=0xfeff => "site",
        _ => "global",
    }
}

/// The interface below this one, a VLAN's device say, as `ip` writes it behind the `@`.
fn parent(name: &str) -> Option<String> {
    let number = |name: &str, file: &str| -> Option<u32> {
        std::fs::read_to_string(format!("/sys/class/net/{name}/{file}")).ok()?.trim().parse().ok()
    };
    let (own, below) = (number(name, "ifindex")?, number(name, "iflink")?);
    if own == below {
        return None;
    }
    if below == 0 {
        return Some("NONE".to_owned());
    }
    let names = std::fs::read_dir("/sys/class/net").ok()?.flatten();
    let mut names = names.filter_map(|entry| entry.file_name().into_string().ok());
    // One that is in another network namespace has a number and no name.
    Some(names.find(|name| number(name, "ifindex") == Some(below)).unwrap_or_else(|| format!("if{below}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(ip: &str, prefix: u32, is_secondary: bool) -> Address {
        Address { ip: ip.parse().unwrap(), prefix, broadcast: None, label: "eth0".into(), is_secondary }
    }

    fn eth0() -> Interface {
        let broadcast = Some("10.0.0.255".parse().unwrap());
        Interface {
            name: "eth0".into(),
            is_up: true,
            hwaddr: Some("02:00:00:00:00:01".into()),
            addresses: vec![
                Address { broadcast, ..address("10.0.0.5", 24, false) },
                address("10.0.0.6", 24, true),
                address("203.0.114.9", 32, false),
                address("fe80::1", 64, false),
                address("2a00::1", 48, false),
                address("127.0.0.2", 8, false),
            ],
        }
    }

    #[test]
    fn salts_shape() {
        let shown =
            show(&Interface { addresses: eth0().addresses[..4].to_vec(), ..eth0() }, Some("if7".into()));
        let expected = json!({
            "up": true, "parent": "if7", "hwaddr": "02:00:00:00:00:01",
            "inet": [
                {"address": "10.0.0.5", "netmask": "255.255.255.0", "broadcast": "10.0.0.255", "label": "eth0"},
                {"address": "203.0.114.9", "netmask": "255.255.255.255", "broadcast": null, "label": "eth0"},
            ],
            "secondary": [{
                "type": "inet", "address": "10.0.0.6", "netmask": "255.255.255.0", "broadcast": null, "label": "eth0",
            }],
            "inet6": [{"address": "fe80::1", "prefixlen": "64", "scope": "link"}],
        });
        assert_eq!(shown, expected);
        let bare = Interface { name: "tun0".into(), is_up: false, hwaddr: None, addresses: Vec::new() };
        assert_eq!(show(&bare, None), json!({"up": false}));
    }

    #[test]
    fn addresses_are_chosen() {
        let all = [eth0()];
        let among = |change: &dyn Fn(&mut Wanted)| {
            let mut wanted =
                Wanted { is_v6: false, interface: None, with_loopback: false, cidr: None, is_private: None };
            change(&mut wanted);
            wanted.among(&all).join(" ")
        };
        assert_eq!(among(&|_| ()), "10.0.0.5 10.0.0.6 203.0.114.9");
        assert_eq!(among(&|w| w.with_loopback = true), "10.0.0.5 10.0.0.6 127.0.0.2 203.0.114.9");
        assert_eq!(among(&|w| w.interface = Some("eth1".into())), "");
        assert_eq!(among(&|w| w.cidr = parse_cidr("10.0.0.9/24").ok()), "10.0.0.5 10.0.0.6");
        assert_eq!(among(&|w| w.cidr = parse_cidr("10.0.0.6").ok()), "10.0.0.6");
        assert_eq!(among(&|w| w.cidr = parse_cidr("::/0").ok()), "");
        assert_eq!(among(&|w| w.is_private = Some(true)), "10.0.0.5 10.0.0.6");
        assert_eq!(among(&|w| w.is_private = Some(false)), "203.0.114.9");
        assert_eq!(among(&|w| w.is_v6 = true), "2a00::1 fe80::1");
        for bad in ["", "10.0.0.0/33", "10/8", "::/129", "10.0.0.0/x", "10.0.0.0/-1"] {
            assert!(parse_cidr(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_the_internet_does_not_route() {
        for (ip, expected) in [
            ("8.8.8.8", false),
            ("172.31.255.255", true),
            ("172.32.0.0", false),
            ("255.255.255.255", true),
            ("fd00::1", true),
            ("::1", true),
            ("2606:4700::1", false),
        ] {
            assert_eq!(is_private(ip.parse().unwrap()), expected, "{ip}");
        }
        for (ip, expected) in
            [("::1", "host"), ("fe80::1", "link"), ("fec0::1", "site"), ("fd00::1", "global")]
        {
            assert_eq!(scope(ip.parse().unwrap()), expected, "{ip}");
        }
    }

    #[test]
    fn an_unknown_interface_is_told_what_there_is() {
        let lo = Interface { name: "lo".into(), is_up: true, hwaddr: None, addresses: Vec::new() };
        let why = "Interface \"eth9\" not in available interfaces: \"eth0\", \"lo\"".to_owned();
        assert_eq!(find("eth9", vec![eth0(), lo]), Err(Fault::Execution(why)));
    }
}
