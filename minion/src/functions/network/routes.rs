//! The main routing table, from `/proc/net`.

use std::net::Ipv6Addr;

use serde_json::{Value, json};

use super::super::bind::Bound;
use super::super::file::blocking;
use super::super::fit::keep_first;
use super::super::{Context, Fault, Outcome};

pub(super) async fn routes(context: Context, mut bound: Bound, is_default: bool) -> Result<Outcome, Fault> {
    let family = match bound.maybe_text("family")?.as_deref() {
        None => None,
        Some("inet") => Some(false),
        Some("inet6") => Some(true),
        Some(_) => return Err(Fault::Invocation("'family' is either 'inet' or 'inet6'".to_owned())),
    };
    blocking(move |_| {
        let mut routes = Vec::new();
        if family != Some(true) {
            let found = procfs::net::route().map_err(|error| Fault::Execution(error.to_string()))?;
            routes.extend(found.iter().map(|route| Route {
                family: "inet",
                destination: route.destination.to_string(),
                gateway: route.gateway.to_string(),
                netmask: route.mask.to_string(),
                flags: flags(u32::from(route.flags)),
                interface: route.iface.clone(),
                is_default: route.destination.is_unspecified() && route.mask.is_unspecified(),
            }));
        }
        if family != Some(false) {
            // A kernel without IPv6 has no such file.
            let text = std::fs::read_to_string("/proc/net/ipv6_route").unwrap_or_default();
            routes.extend(text.lines().filter_map(parse_v6));
        }
        let shown: Vec<Value> =
            routes.iter().filter(|route| !is_default || route.is_default).map(Route::show).collect();
        let mut value = Value::from(shown);
        let truncated = keep_first(&mut value, context.output_max);
        Ok(Outcome { truncated, ..Outcome::from(value) })
    })
    .await
}

struct Route {
    family: &'static str,
    destination: String,
    gateway: String,
    netmask: String,
    flags: String,
    interface: String,
    is_default: bool,
}

impl Route {
    fn show(&self) -> Value {
        json!({
            "addr_family": self.family, "destination": self.destination, "gateway": self.gateway,
            "netmask": self.netmask, "flags": self.flags, "interface": self.interface,
        })
    }
}

/// The flags of the kernel's routes and the letters that `netstat` has for them.
const FLAGS: [(u32, char); 7] =
    [(0x1, 'U'), (0x2, 'G'), (0x4, 'H'), (0x10, 'D'), (0x20, 'M'), (0x4_0000, 'A'), (0x200, '!')];

fn flags(bits: u32) -> String {
    FLAGS.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, letter)| letter).collect()
}

/// A line of `/proc/net/ipv6_route`: destination, prefix, source, its prefix, next hop, metric,
/// two counters, flags, interface; all numbers in hex.
fn parse_v6(line: &str) -> Option<Route> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let address = |at: usize| u128::from_str_radix(fields.get(at)?, 16).ok().map(Ipv6Addr::from_bits);
    let bits = u32::from_str_radix(fields.get(8)?, 16).ok()?;
    let (destination, prefix) = (address(0)?, u8::from_str_radix(fields.get(1)?, 16).ok()?);
    Some(Route {
        family: "inet6",
        destination: format!("{destination}/{prefix}"),
        gateway: address(4)?.to_string(),
        netmask: String::new(),
        flags: flags(bits),
        interface: (*fields.get(9)?).to_owned(),
        // The kernel also lists that nothing else is reachable, as a rejecting default route.
        is_default: prefix == 0 && destination.is_unspecified() && bits & 0x200 == 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_ipv6() {
        let via = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
                   fe80000000000000000000000000000a 00000400 00000001 00000000 00450003     eth0";
        let route = parse_v6(via).unwrap();
        assert!(route.is_default);
        let expected = json!({
            "addr_family": "inet6", "destination": "::/0", "gateway": "fe80::a", "netmask": "", "flags": "UGA",
            "interface": "eth0",
        });
        assert_eq!(route.show(), expected);
        let reject = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
                      00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo";
        assert!(parse_v6(reject).is_some_and(|route| !route.is_default && route.flags == "!"));
        for bad in ["", "00 00", &via.replace("eth0", ""), &via.replace("fe80", "zz80")] {
            assert!(parse_v6(bad).is_none(), "{bad}");
        }
    }
}
