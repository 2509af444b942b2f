//! Who may connect: caps and rates that hold strangers and leave minions alone.
//!
//! Caps and rates per address count only connections without a live session: five hundred
//! machines behind one NAT are normal, five hundred strangers from one address are not. Waiting
//! minions share a part of all connections.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Instant;

use super::Gate;
use crate::config::Config;

/// Addresses remembered at most; those without connections are forgotten first.
const ADDRESSES_MAX: usize = 65_536;

/// Why nobody is let in any more: all places are taken.
pub(super) const FULL: &str = "refused_connections_max";

/// What a connection is to the master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Nobody knows yet, or a subscriber that has not shown its token.
    Stranger,
    /// A minion whose key waits for a decision, or was refused.
    Waiting,
    /// A live session, or its subscriber.
    Live,
}

#[derive(Debug)]
struct Address {
    without_session: usize,
    /// Those of them that wait for a decision.
    waiting: usize,
    allowance: f64,
    at: Instant,
}

impl Address {
    fn new(allowance: f64, at: Instant) -> Self {
        Self { without_session: 0, waiting: 0, allowance, at }
    }
}

#[derive(Debug)]
pub(super) struct Admission {
    connections: usize,
    connections_max: usize,
    waiting: usize,
    waiting_max: usize,
    per_address: usize,
    rate: f64,
    burst: f64,
    exempt: Vec<IpAddr>,
    addresses: HashMap<IpAddr, Address>,
}

impl Admission {
    pub(super) fn new(config: &Config, connections_max: usize) -> Self {
        Self {
            connections: 0,
            connections_max,
            waiting: 0,
            waiting_max: (connections_max * config.waiting_share_percent / 100).max(1),
            per_address: config.connections_per_address,
            rate: config.connect_rate_per_address.into(),
            burst: config.connect_burst_per_address.into(),
            exempt: config.exempt_addresses.clone(),
            addresses: HashMap::new(),
        }
    }

    /// Lets a new connection in, as a stranger.
    ///
    /// # Errors
    /// The name of the cap or rate that refuses it.
    pub(super) fn admit(&mut self, address: IpAddr, now: Instant) -> Result<(), &'static str> {
        if self.connections >= self.connections_max {
            return Err(FULL);
        }
        let exempt = self.exempt.contains(&address);
        let (per_address, rate, burst) = (self.per_address, self.rate, self.burst);
        if self.addresses.len() >= ADDRESSES_MAX {
            self.addresses.retain(|_, a| a.without_session > 0);
        }
        let entry = self.addresses.entry(group(address)).or_insert_with(|| Address::new(burst, now));
        let elapsed = now.saturating_duration_since(entry.at).as_secs_f64();
        entry.allowance = (entry.allowance + elapsed * rate).min(burst);
        entry.at = now;
        if !exempt {
            if entry.without_session >= per_address {
                return Err("refused_connections_per_address");
            }
            if entry.allowance < 1.0 {
                return Err("refused_connect_rate_per_address");
            }
            entry.allowance -= 1.0;
        }
        entry.without_session += 1;
        self.connections += 1;
        Ok(())
    }

    /// Whether the connection may become `class`; if not, it stays what it was.
    pub(super) fn reclassify(&mut self, ticket: &mut Ticket, class: Class) -> bool {
        if class == Class::Waiting && ticket.class != Class::Waiting {
            // Nobody takes all the places: one address gets half of them at most.
            let of_address = self.addresses.get(&group(ticket.address)).map_or(0, |address| address.waiting);
            let is_crowd =
                of_address >= (self.waiting_max / 2).max(1) && !self.exempt.contains(&ticket.address);
            if self.waiting >= self.waiting_max || is_crowd {
                return false;
            }
        }
        self.leave(ticket.address, ticket.class);
        let waits = usize::from(class == Class::Waiting);
        self.waiting += waits;
        if class != Class::Live {
            let burst = self.burst;
            let fresh = || Address::new(burst, Instant::now());
            let entry = self.addresses.entry(group(ticket.address)).or_insert_with(fresh);
            entry.without_session += 1;
            entry.waiting += waits;
        }
        ticket.class = class;
        true
    }

    fn leave(&mut self, address: IpAddr, class: Class) {
        let waits = usize::from(class == Class::Waiting);
        self.waiting -= waits;
        if class != Class::Live
            && let Some(entry) = self.addresses.get_mut(&group(address))
        {
            entry.without_session = entry.without_session.saturating_sub(1);
            entry.waiting = entry.waiting.saturating_sub(waits);
        }
    }
}

/// A connection's place; dropping it gives the place back.
pub(super) struct Ticket {
    gate: Arc<Gate>,
    pub(super) address: IpAddr,
    class: Class,
}

impl Ticket {
    pub(super) fn new(gate: Arc<Gate>, address: IpAddr) -> Self {
        Self { gate, address, class: Class::Stranger }
    }

    pub(super) fn class(&self) -> Class {
        self.class
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut admission = self.gate.admission.lock().expect("no holder panics");
        admission.leave(self.address, self.class);
        admission.connections -= 1;
    }
}

/// Addresses that one party holds together: an IPv6 host usually has a whole /64.
pub(super) fn group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let network = u128::from(v6) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn admission(connections_max: usize, change: fn(&mut Config)) -> Admission {
        let mut config = Config { connections_per_address: 3, ..Config::default() };
        change(&mut config);
        Admission::new(&config, connections_max)
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn caps_in_all_and_per_address() {
        let now = Instant::now();
        let mut admission = admission(5, |_| ());
        for _ in 0..3 {
            assert_eq!(admission.admit(address(1), now), Ok(()));
        }
        assert_eq!(admission.admit(address(1), now), Err("refused_connections_per_address"));
        assert_eq!(admission.admit(address(2), now), Ok(()));
        assert_eq!(admission.admit(address(3), now), Ok(()));
        assert_eq!(admission.admit(address(4), now), Err("refused_connections_max"));
    }

    #[test]
    fn rates_fill_up_again() {
        let now = Instant::now();
        let mut admission = admission(1000, |c| {
            c.connections_per_address = 1000;
            c.connect_rate_per_address = 2;
            c.connect_burst_per_address = 4;
        });
        for _ in 0..4 {
            assert_eq!(admission.admit(address(1), now), Ok(()));
        }
        assert_eq!(admission.admit(address(1), now), Err("refused_connect_rate_per_address"));
        let later = now + Duration::from_secs(1);
        assert_eq!(admission.admit(address(1), later), Ok(()));
        assert_eq!(admission.admit(address(1), later), Ok(()));
        assert_eq!(admission.admit(address(1), later), Err("refused_connect_rate_per_address"));
    }

    #[tokio::test]
    async fn one_address_leaves_places_for_others_to_wait() {
        let (inputs, _received) = tokio::sync::mpsc::channel(1);
        let config = Config { connections_max: 80, ..Config::default() };
        let key = brine_pki::key::PrivateKey::from_pem(include_str!("../../../pki/tests/keys/master.pem"));
        let succession = brine_pki::handshake::master::Succession::default();
        let agreement = super::super::Agreement::new(&key.expect("a key"), 1, [1; 32], &succession);
        let gate = Gate::new(Arc::new(config), Arc::default(), agreement, inputs);
        let waits = |last: u8| {
            gate.admission.lock().expect("unpoisoned").admit(address(last), Instant::now()).expect("a place");
            let mut ticket = Ticket::new(Arc::clone(&gate), address(last));
            gate.reclassify(&mut ticket, Class::Waiting).then_some(ticket)
        };
        // A tenth of 80 may wait, half of that from one address.
        let crowd: Vec<_> = (0..6).filter_map(|_| waits(1)).collect();
        assert_eq!(crowd.len(), 4);
        let others: Vec<_> = (2..9).filter_map(waits).collect();
        assert_eq!(others.len(), 4);
        drop(crowd);
        assert!(waits(1).is_some(), "places are given back");
    }

    #[test]
    fn exempt_addresses_have_neither() {
        let now = Instant::now();
        let mut admission = admission(100, |c| {
            c.exempt_addresses = vec![IpAddr::from([10, 0, 0, 1])];
            c.connect_burst_per_address = 1;
        });
        for _ in 0..50 {
            assert_eq!(admission.admit(address(1), now), Ok(()));
        }
    }

    #[test]
    fn a_slash_64_is_one_party() {
        let a: IpAddr = "2001:db8:1:2::1".parse().expect("an address");
        let b: IpAddr = "2001:db8:1:2:ffff::9".parse().expect("an address");
        let c: IpAddr = "2001:db8:1:3::1".parse().expect("an address");
        assert_eq!(group(a), group(b));
        assert_ne!(group(a), group(c));
        assert_eq!(group("::ffff:10.0.0.1".parse().expect("an address")), address(1));
    }
}
