//! Grains about names and addresses.
//!
//! The full name comes from the host name and `/etc/hosts` alone. Salt asks the resolver too, and
//! a name server that does not answer then holds up its start for a minute.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::read;
use crate::interfaces::{self, Interface};

/// Grains of this machine.
pub(super) fn collect() -> Map<String, Value> {
    let hostname = nix::unistd::gethostname()
        .map(|name| name.to_string_lossy().into_owned())
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| read("/etc/hostname").trim().to_owned());
    let mut grains = names(&hostname, &read("/etc/hosts"));
    let list = interfaces::list().into_iter().flat_map(|Interface { name, addresses, .. }| {
        let found = addresses.into_iter().map(|address| Some(address.ip));
        // One without addresses is listed, too.
        std::iter::once(None).chain(found).map(move |address| (name.clone(), address))
    });
    grains.extend(addresses(list));
    grains
}

/// `host`, `fqdn`, `domain` and `nodename` from the kernel's host name and the text of
/// `/etc/hosts`.
fn names(hostname: &str, hosts: &str) -> Map<String, Value> {
    let hostname = if hostname.is_empty() { "localhost" } else { hostname };
    let fqdn = if hostname.contains('.') {
        hostname.to_owned()
    } else {
        full_name(hostname, hosts).unwrap_or_else(|| hostname.to_owned())
    };
    let (_, domain) = fqdn.split_once('.').unwrap_or_default();
    let host = hostname.split('.').next().unwrap_or_default();
    let mut grains = Map::new();
    grains.insert("host".to_owned(), json!(host));
    grains.insert("fqdn".to_owned(), json!(fqdn));
    grains.insert("domain".to_owned(), json!(domain));
    grains.insert("nodename".to_owned(), json!(hostname));
    grains
}

/// The dotted name on the line of `/etc/hosts` that knows `hostname`. `host.domain` is preferred
/// to another alias: a line like `127.0.0.1 localhost.localdomain web1` names no domain of ours.
fn full_name(hostname: &str, hosts: &str) -> Option<String> {
    let lines = hosts.lines().map(|line| line.split('#').next().unwrap_or_default());
    lines
        .filter_map(|line| {
            let names: Vec<&str> = line.split_whitespace().skip(1).collect();
            let own = |name: &&&str| {
                name.split_once('.').is_some_and(|(host, _)| host.eq_ignore_ascii_case(hostname))
            };
            names
                .iter()
                .any(|name| name.eq_ignore_ascii_case(hostname))
                .then(|| names.iter().find(own).map(|name| (*name).to_owned()))
                .flatten()
        })
        .next()
}

/// `ipv4`, `ipv6` (all addresses, sorted) and `ip4_interfaces`, `ip6_interfaces` (per interface,
/// also those that have none).
fn addresses(list: impl Iterator<Item = (String, Option<IpAddr>)>) -> Map<String, Value> {
    let mut interfaces: BTreeMap<String, (Vec<String>, Vec<String>)> = BTreeMap::new();
    let (mut v4, mut v6) = (BTreeSet::new(), BTreeSet::new());
    for (name, address) in list {
        let (four, six) = interfaces.entry(name).or_default();
        match address {
            Some(IpAddr::V4(address)) => {
                v4.insert(address);
                four.push(address.to_string());
            }
            Some(IpAddr::V6(address)) => {
                v6.insert(address);
                six.push(address.to_string());
            }
            None => {}
        }
    }
    let (mut fours, mut sixes) = (Map::new(), Map::new());
    for (name, (four, six)) in interfaces {
        fours.insert(name.clone(), json!(four));
        sixes.insert(name, json!(six));
    }
    let mut grains = Map::new();
    grains.insert("ipv4".to_owned(), v4.iter().map(ToString::to_string).collect());
    grains.insert("ipv6".to_owned(), v6.iter().map(ToString::to_string).collect());
    grains.insert("ip4_interfaces".to_owned(), Value::Object(fours));
    grains.insert("ip6_interfaces".to_owned(), Value::Object(sixes));
    grains
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(hostname: &str, hosts: &str, expected: [&str; 3]) {
        let grains = names(hostname, hosts);
        let found = ["host", "fqdn", "domain"].map(|name| grains[name].as_str().unwrap());
        assert_eq!(found, expected, "{hostname:?} {hosts:?}");
    }

    #[test]
    fn host_names() {
        check("web1", "", ["web1", "web1", ""]);
        check("web1.example.org", "", ["web1", "web1.example.org", "example.org"]);
        let debian = "127.0.0.1\tlocalhost\n127.0.1.1\tweb1.example.org\tweb1\n";
        check("web1", debian, ["web1", "web1.example.org", "example.org"]);
        check("web1", "10.0.0.1 web1 web1.lan # main", ["web1", "web1.lan", "lan"]);
        check("WEB1", "10.0.0.1 web1.lan web1", ["WEB1", "web1.lan", "lan"]);
        check("web1", "# 10.0.0.1 web1.lan web1\n", ["web1", "web1", ""]);
        check("web1", "127.0.0.1 localhost.localdomain web1\n", ["web1", "web1", ""]);
        check("web1", "10.0.0.2 web2.lan web2\n10.0.0.1 web11.lan\n", ["web1", "web1", ""]);
        check("", "", ["localhost", "localhost", ""]);
    }

    #[test]
    fn address_lists() {
        let entry = |name: &str, address: &str| (name.to_owned(), address.parse().ok());
        let list = [
            entry("lo", "127.0.0.1"),
            entry("eth0", "10.0.0.5"),
            entry("eth0", "9.0.0.5"),
            entry("lo", "::1"),
            entry("eth0", "fe80::1"),
            entry("dummy", ""),
        ];
        let grains = Value::Object(addresses(list.into_iter()));
        assert_eq!(
            grains,
            json!({
                "ipv4": ["9.0.0.5", "10.0.0.5", "127.0.0.1"],
                "ipv6": ["::1", "fe80::1"],
                "ip4_interfaces": {"dummy": [], "eth0": ["10.0.0.5", "9.0.0.5"], "lo": ["127.0.0.1"]},
                "ip6_interfaces": {"dummy": [], "eth0": ["fe80::1"], "lo": ["::1"]},
            })
        );
    }
}
