//! Who may connect: caps and rates that hold strangers and leave minions alone.
//!
//! Caps and rates per address count only connections without a live session: five hundred
//! machines behind one NAT are normal, five hundred strangers from one address are not. How many there
//! may be in all is [`Places`]'s to say.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Instant;

use super::places::{Class, Places, Port};
use super::{ConnId, Gate};
use crate::config::Config;

/// Addresses remembered at most; those without connections are forgotten first.
const ADDRESSES_MAX: usize = 65_536;

/// Why a stranger is not let in: it would take the place of somebody else.
pub(super) const FULL: &str = "refused_connections_max";

/// Why an accepted minion is not let in: as many as there may be are in.
pub(super) const MINIONS: &str = "refused_max_minions_connected";

/// Why a waiting minion is not let in: too many wait, or too many of its address.
const WAITING: &str = "refused_waiting_share";

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
    places: Places,
    per_address: usize,
    rate: f64,
    burst: f64,
    exempt: Vec<IpAddr>,
    addresses: HashMap<IpAddr, Address>,
}

impl Admission {
    pub(super) fn new(config: &Config, places: Places) -> Self {
        Self {
            places,
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
    pub(super) fn admit(&mut self, port: Port, address: IpAddr, now: Instant) -> Result<(), &'static str> {
        let exempt = self.exempt.contains(&address);
        let (per_address, rate, burst) = (self.per_address, self.rate, self.burst);
        if self.addresses.len() >= ADDRESSES_MAX {
            self.addresses.retain(|_, a| a.without_session > 0);
        }
        let entry = self.addresses.entry(group(address)).or_insert_with(|| Address::new(burst, now));
        let elapsed = now.saturating_duration_since(entry.at).as_secs_f64();
        entry.allowance = (entry.allowance + elapsed * rate).min(burst);
        entry.at = now;
        let of_address = if exempt { 0 } else { entry.without_session };
        if !self.places.has_room(port, of_address) {
            return Err(FULL);
        }
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
        self.places.enter(port, Class::Stranger, ConnId(0));
        Ok(())
    }

    /// Makes the connection `class`; a waiting one that has to give way for that.
    ///
    /// # Errors
    /// There is no place for it: the name of what refuses. It stays what it was.
    pub(super) fn reclassify(
        &mut self,
        ticket: &mut Ticket,
        class: Class,
        conn: ConnId,
    ) -> Result<Option<ConnId>, &'static str> {
        if class == ticket.class {
            return Ok(None);
        }
        if class == Class::Waiting {
            // Nobody takes all the places: one address gets half of them at most.
            let of_address = self.addresses.get(&group(ticket.address)).map_or(0, |address| address.waiting);
            let is_crowd = of_address >= (self.places.waiting_max() / 2).max(1)
                && !self.exempt.contains(&ticket.address);
            if !self.places.has_room_to_wait() || is_crowd {
                return Err(WAITING);
            }
        }
        if (class, ticket.port) == (Class::Live, Port::Return) && !self.places.has_room_for_a_minion() {
            return Err(MINIONS);
        }
        self.leave(ticket);
        self.places.enter(ticket.port, class, conn);
        if class != Class::Live {
            let burst = self.burst;
            let fresh = || Address::new(burst, Instant::now());
            let entry = self.addresses.entry(group(ticket.address)).or_insert_with(fresh);
            entry.without_session += 1;
            entry.waiting += usize::from(class == Class::Waiting);
        }
        (ticket.class, ticket.conn) = (class, conn);
        Ok(self.places.surplus())
    }

    fn leave(&mut self, ticket: &Ticket) {
        self.places.leave(ticket.port, ticket.class, ticket.conn);
        if ticket.class != Class::Live
            && let Some(entry) = self.addresses.get_mut(&group(ticket.address))
        {
            entry.without_session = entry.without_session.saturating_sub(1);
            entry.waiting = entry.waiting.saturating_sub(usize::from(ticket.class == Class::Waiting));
        }
    }
}

/// A connection's place; dropping it gives the place back.
pub(super) struct Ticket {
    gate: Arc<Gate>,
    port: Port,
    pub(super) address: IpAddr,
    class: Class,
    /// The session that it belongs to, as soon as it is more than a stranger.
    conn: ConnId,
}

impl Ticket {
    pub(super) fn new(gate: Arc<Gate>, port: Port, address: IpAddr) -> Self {
        Self { gate, port, address, class: Class::Stranger, conn: ConnId(0) }
    }

    pub(super) fn class(&self) -> Class {
        self.class
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.gate.admission.lock().expect("no holder panics").leave(self);
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

    fn admission(connections: usize, change: fn(&mut Config)) -> Admission {
        let mut config = Config { connections_per_address: 3, ..Config::default() };
        change(&mut config);
        Admission::new(&config, Places::within(&config, connections))
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn caps_in_all_and_per_address() {
        let now = Instant::now();
        let mut admission = admission(8, |_| ());
        for _ in 0..3 {
            assert_eq!(admission.admit(Port::Return, address(1), now), Ok(()));
        }
        assert_eq!(admission.admit(Port::Return, address(1), now), Err("refused_connections_per_address"));
        assert_eq!(admission.admit(Port::Return, address(2), now), Ok(()));
        // Of eight connections two are kept for subscribers.
        assert_eq!(admission.admit(Port::Return, address(3), now), Ok(()));
        assert_eq!(admission.admit(Port::Return, address(3), now), Ok(()));
        assert_eq!(admission.admit(Port::Return, address(4), now), Err("refused_connections_max"));
        assert_eq!(admission.admit(Port::Publish, address(4), now), Ok(()));
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
            assert_eq!(admission.admit(Port::Return, address(1), now), Ok(()));
        }
        assert_eq!(admission.admit(Port::Return, address(1), now), Err("refused_connect_rate_per_address"));
        let later = now + Duration::from_secs(1);
        assert_eq!(admission.admit(Port::Return, address(1), later), Ok(()));
        assert_eq!(admission.admit(Port::Return, address(1), later), Ok(()));
        assert_eq!(admission.admit(Port::Return, address(1), later), Err("refused_connect_rate_per_address"));
    }

    fn gate(config: Config, connections: usize) -> Arc<Gate> {
        let (inputs, _received) = tokio::sync::mpsc::channel(1);
        let key = brine_pki::key::PrivateKey::from_pem(include_str!("../../../pki/tests/keys/master.pem"));
        let succession = brine_pki::handshake::master::Succession::default();
        let agreement = super::super::Agreement::new(&key.expect("a key"), 1, [1; 32], &succession);
        let folder = tempfile::tempdir().expect("a folder");
        let tickets = Arc::new(crate::tickets::Tickets::open(folder.path()));
        let gate = Gate::new(Arc::new(config), Arc::default(), agreement, tickets, inputs);
        let places = Places::within(&gate.config, connections);
        *gate.admission.lock().expect("unpoisoned") = Admission::new(&gate.config, places);
        gate
    }

    fn comes(gate: &Arc<Gate>, last: u8, class: Class, conn: u64) -> Result<Ticket, &'static str> {
        let admitted =
            gate.admission.lock().expect("unpoisoned").admit(Port::Return, address(last), Instant::now());
        admitted?;
        let mut ticket = Ticket::new(Arc::clone(gate), Port::Return, address(last));
        gate.reclassify(&mut ticket, class, ConnId(conn)).map(|()| ticket)
    }

    #[tokio::test]
    async fn one_address_leaves_places_for_others_to_wait() {
        let gate = gate(Config::default(), 80);
        let mut conns = 1..;
        let mut waits = |last: u8| comes(&gate, last, Class::Waiting, conns.next().expect("endless")).ok();
        // A tenth of 80 may wait, half of that from one address.
        let crowd: Vec<_> = (0..6).filter_map(|_| waits(1)).collect();
        assert_eq!(crowd.len(), 4);
        let others: Vec<_> = (2..9).filter_map(&mut waits).collect();
        assert_eq!(others.len(), 4);
        drop(crowd);
        assert!(waits(1).is_some(), "places are given back");
    }

    #[tokio::test]
    async fn a_minion_that_finds_no_place_gets_the_next_that_is_given_back() {
        let gate = gate(Config { max_minions_connected: 2, ..Config::default() }, 80);
        let comes = |conn| comes(&gate, 1, Class::Live, conn);
        let (first, second) = (comes(1).expect("a place"), comes(2).expect("a place"));
        assert_eq!(comes(3).err(), Some("refused_max_minions_connected"));
        assert!(
            super::tests::comes(&gate, 1, Class::Waiting, 4).is_ok(),
            "who waits takes no minion's place"
        );
        drop(first);
        let third = comes(3).expect("a place");
        assert_eq!(comes(5).err(), Some("refused_max_minions_connected"));
        drop((second, third));
        assert_eq!(gate.admission.lock().expect("unpoisoned").addresses[&address(1)].without_session, 0);
    }

    #[test]
    fn exempt_addresses_have_neither() {
        let now = Instant::now();
        let mut admission = admission(100, |c| {
            c.exempt_addresses = vec![IpAddr::from([10, 0, 0, 1])];
            c.connect_burst_per_address = 1;
        });
        for _ in 0..50 {
            assert_eq!(admission.admit(Port::Return, address(1), now), Ok(()));
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
