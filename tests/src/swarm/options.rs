//! How a swarm is told what to be.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs};
use std::str::FromStr;
use std::time::Duration;

use super::answer::Manner;

/// A master, found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Master {
    /// Its address.
    pub address: IpAddr,
    /// The port of broadcasts.
    pub publish_port: u16,
    /// The port of returns.
    pub ret_port: u16,
}

impl Master {
    /// A master on this machine.
    #[must_use]
    pub fn local(publish_port: u16, ret_port: u16) -> Self {
        Self { address: IpAddr::V4(Ipv4Addr::LOCALHOST), publish_port, ret_port }
    }
}

impl FromStr for Master {
    type Err = String;

    /// `HOST`, `HOST:PUBLISH,RET`, with an IPv6 address in brackets.
    fn from_str(text: &str) -> Result<Self, String> {
        let usage = || format!("{text:?} is not HOST or HOST:PUBLISH,RET, as in 127.0.0.1:4505,4506");
        let (host, ports) = match text.rsplit_once(':') {
            Some((host, ports)) if ports.contains(',') => (host, ports),
            _ => (text, "4505,4506"),
        };
        let (publish, ret) = ports.split_once(',').ok_or_else(usage)?;
        let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(usage);
        let (publish_port, ret_port) = (port(publish)?, port(ret)?);
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let found = (host, ret_port).to_socket_addrs().map_err(|error| format!("{host}: {error}"))?.next();
        let address = found.ok_or_else(|| format!("{host} has no address"))?.ip();
        Ok(Self { address, publish_port, ret_port })
    }
}

/// The addresses that connections come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sources {
    network: u32,
    bits: u8,
}

impl Sources {
    /// `127.0.0.0/24`: what a master's limits per address see as 254 machines.
    pub const LOOPBACK: Self = Self { network: 0x7f00_0000, bits: 24 };

    /// The address of minion `number`: one after the other, without the network's first and last.
    #[must_use]
    pub fn address(self, number: usize) -> IpAddr {
        let size = 1_u64 << (32 - self.bits);
        let offset = if size > 2 { 1 + number as u64 % (size - 2) } else { number as u64 % size };
        IpAddr::V4(Ipv4Addr::from(self.network | u32::try_from(offset).expect("below the network's size")))
    }
}

impl FromStr for Sources {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let usage = || format!("{text:?} is no network of IPv4, as in 127.0.0.0/24");
        let (address, bits) = text.split_once('/').unwrap_or((text, "32"));
        let address: Ipv4Addr = address.parse().map_err(|_| usage())?;
        let bits: u8 = bits.parse().ok().filter(|bits| (8..=32).contains(bits)).ok_or_else(usage)?;
        let mask = u32::MAX << (32 - bits);
        Ok(Self { network: u32::from(address) & mask, bits })
    }
}

impl fmt::Display for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.network), self.bits)
    }
}

/// What a swarm is.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many minions.
    pub minions: usize,
    /// Their master.
    pub master: Master,
    /// What their ids begin with; five digits follow.
    pub prefix: String,
    /// How many begin in a second; 0 for all at once.
    pub ramp: f64,
    /// Most that connect and sign at the same time: as many wait for the processors here.
    pub at_once: usize,
    /// Whether the first Hello of each waits until all are signed, as those of a real fleet are, which has a
    /// processor each. The master's `handshake_timeout_ms` has to allow it.
    pub together: bool,
    /// Whether each keeps its ticket and comes back with it; without, it signs each time.
    pub resumes: bool,
    /// Where connections come from; none leaves it to the system.
    pub from: Option<Sources>,
    /// How jobs are answered.
    pub manner: Manner,
    /// Whether each minion verifies each broadcast by itself.
    pub check_each: bool,
}

impl Options {
    /// So many minions of a master on this machine, with everything else as `brine-swarm` has it.
    #[must_use]
    pub fn local(minions: usize, publish_port: u16, ret_port: u16) -> Self {
        Self {
            minions,
            master: Master::local(publish_port, ret_port),
            prefix: "swarm-".to_owned(),
            ramp: 500.0,
            at_once: 128,
            together: false,
            resumes: true,
            from: Some(Sources::LOOPBACK),
            manner: Manner::default(),
            check_each: false,
        }
    }

    /// How long minion `number` waits before it begins.
    pub(super) fn begins_after(&self, number: usize) -> Duration {
        if self.ramp > 0.0 { Duration::from_secs_f64(number as f64 / self.ramp) } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masters_as_they_are_written() {
        let local =
            |text: &str| text.parse::<Master>().map(|m| (m.address.to_string(), m.publish_port, m.ret_port));
        assert_eq!(local("127.0.0.1"), Ok(("127.0.0.1".to_owned(), 4505, 4506)));
        assert_eq!(local("127.0.0.1:5,6"), Ok(("127.0.0.1".to_owned(), 5, 6)));
        assert_eq!(local("[::1]:5,6"), Ok(("::1".to_owned(), 5, 6)));
        for bad in ["127.0.0.1:5,x", "127.0.0.1:0,6", "127.0.0.1:5,6,7", "no.such.host.invalid"] {
            assert!(local(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_go_round_and_leave_out_the_ends() {
        let sources: Sources = "127.0.0.77/24".parse().unwrap();
        assert_eq!(sources, Sources::LOOPBACK);
        let shown = |number| sources.address(number).to_string();
        assert_eq!(
            (shown(0), shown(253), shown(254)),
            ("127.0.0.1".into(), "127.0.0.254".into(), "127.0.0.1".into())
        );
        assert_eq!("127.0.0.9".parse::<Sources>().unwrap().address(5).to_string(), "127.0.0.9");
        for bad in ["", "::1/64", "127.0.0.0/7", "127.0.0.0/33", "x/24"] {
            assert!(bad.parse::<Sources>().is_err(), "{bad}");
        }
    }
}
