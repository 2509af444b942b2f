//! How many there may be at a time: minions that are in, and beside them all who are not, or not yet.
//!
//! A minion that is in has two connections, its own and its subscriber's, and has the place of both from
//! the verdict on, so that nobody can come between. Strangers may use what no minion uses. A key
//! that waits has to give way to a minion. **Invariant:** some places are never a minion's
//! ([`Places::beside`]): whoever comes, or comes back, finds somebody to tell it how things are.

use std::collections::BTreeSet;

use nix::sys::resource::{Resource, getrlimit};

use super::ConnId;
use crate::config::Config;

/// Of all connections, how many in a hundred are kept beside those of minions.
const BESIDE_PERCENT: usize = 1;

/// They are never fewer, except where there are hardly any connections at all.
const BESIDE_MIN: usize = 32;

/// Fewer connections make no master.
const CONNECTIONS_MIN: usize = 8;

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

/// Where it came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Port {
    /// Where minions speak.
    Return,
    /// Where they listen.
    Publish,
}

#[derive(Debug, Default)]
struct Count {
    strangers: usize,
    live: usize,
}

/// Who has a place.
#[derive(Debug)]
pub(super) struct Places {
    connections_max: usize,
    minions_max: usize,
    beside: usize,
    waiting_max: usize,
    ret: Count,
    publish: Count,
    waiting: BTreeSet<ConnId>,
}

impl Places {
    /// What the descriptor limit carries, less what is open already and what has to stay free.
    pub(super) fn carried(config: &Config) -> Self {
        let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
        let open = std::fs::read_dir("/proc/self/fd").map_or(32, Iterator::count);
        let soft = usize::try_from(soft).unwrap_or(usize::MAX);
        Self::within(config, soft.saturating_sub(open + config.descriptors_reserved))
    }

    /// What so many connections are for.
    pub(super) fn within(config: &Config, connections: usize) -> Self {
        let connections_max = connections.max(CONNECTIONS_MIN);
        let beside = (connections_max / 100 * BESIDE_PERCENT).max(BESIDE_MIN).min(connections_max / 2);
        let carried = (connections_max - beside) / 2;
        Self {
            connections_max,
            minions_max: if config.max_minions_connected == 0 {
                carried
            } else {
                config.max_minions_connected.min(carried)
            },
            beside,
            waiting_max: (connections_max * config.waiting_share_percent / 100).max(1),
            ret: Count::default(),
            publish: Count::default(),
            waiting: BTreeSet::new(),
        }
    }

    /// Minions that may be in at the same time.
    pub(super) fn minions_max(&self) -> usize {
        self.minions_max
    }

    /// Minions that may wait at the same time when nobody else is there.
    pub(super) fn waiting_max(&self) -> usize {
        self.waiting_max
    }

    /// Whether there is room for a stranger on this port, of whose address so many without a session are
    /// there already: nobody gets the last places from one address.
    pub(super) fn has_room(&self, port: Port, of_address: usize) -> bool {
        let (waiting, half) = (self.waiting.len(), self.beside / 2);
        let has_room = match port {
            Port::Return => {
                let newcomers = self.ret.strangers + waiting;
                newcomers.max(of_address + half / 4) < self.room()
            }
            Port::Publish => {
                // Each session that has no subscriber yet waits for one.
                let expected = self.ret.live.saturating_sub(self.publish.live);
                let unused = self.room().saturating_sub(self.ret.strangers + waiting + half);
                self.publish.strangers < unused.max(expected + half)
            }
        };
        has_room && self.connections() < self.connections_max
    }

    /// Places on the return port for all who have no session.
    fn room(&self) -> usize {
        self.connections_max.saturating_sub(2 * self.ret.live + self.beside / 2)
    }

    /// Whether one more minion may be in.
    pub(super) fn has_room_for_a_minion(&self) -> bool {
        self.ret.live < self.minions_max
    }

    /// Whether one more may wait.
    pub(super) fn has_room_to_wait(&self) -> bool {
        self.waiting.len() < self.waiting_room()
    }

    /// However many minions are in, an operator sees some of the keys that wait.
    fn waiting_room(&self) -> usize {
        let unused = self.connections_max.saturating_sub(2 * self.ret.live + self.beside);
        self.waiting_max.min(unused.max(self.beside / 4)).max(1)
    }

    /// One that has to give way, who has waited longest: its key is known.
    pub(super) fn surplus(&mut self) -> Option<ConnId> {
        if self.waiting.len() > self.waiting_room() { self.waiting.pop_first() } else { None }
    }

    pub(super) fn enter(&mut self, port: Port, class: Class, conn: ConnId) {
        if class == Class::Waiting {
            self.waiting.insert(conn);
        } else {
            *self.count(port, class) += 1;
        }
    }

    pub(super) fn leave(&mut self, port: Port, class: Class, conn: ConnId) {
        if class == Class::Waiting {
            self.waiting.remove(&conn);
        } else {
            *self.count(port, class) -= 1;
        }
    }

    fn count(&mut self, port: Port, class: Class) -> &mut usize {
        let count = match port {
            Port::Return => &mut self.ret,
            Port::Publish => &mut self.publish,
        };
        if class == Class::Live { &mut count.live } else { &mut count.strangers }
    }

    fn connections(&self) -> usize {
        let of = |count: &Count| count.strangers + count.live;
        of(&self.ret) + of(&self.publish) + self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: ConnId = ConnId(0);

    fn places(connections: usize, max_minions_connected: usize) -> Places {
        Places::within(&Config { max_minions_connected, ..Config::default() }, connections)
    }

    /// Strangers come to the return port, each from another address, until there is no room.
    fn flood(places: &mut Places, port: Port) -> usize {
        let mut count = 0;
        while places.has_room(port, 0) {
            places.enter(port, Class::Stranger, NOBODY);
            count += 1;
        }
        count
    }

    fn let_in(places: &mut Places, minions: usize) {
        for _ in 0..minions {
            assert!(places.has_room_for_a_minion() && places.has_room(Port::Return, 0));
            places.enter(Port::Return, Class::Live, NOBODY);
            assert!(places.has_room(Port::Publish, 0));
            places.enter(Port::Publish, Class::Live, NOBODY);
        }
    }

    #[test]
    fn minions_get_what_the_descriptors_carry_or_what_was_asked_for() {
        for (connections, asked, minions) in
            [(19_900, 0, 9850), (19_900, 500, 500), (200, 0, 84), (200, 500, 84), (0, 0, 2), (64, 0, 16)]
        {
            assert_eq!(places(connections, asked).minions_max(), minions, "{connections} {asked}");
        }
    }

    #[test]
    fn all_minions_come_in_beside_strangers_who_take_all_they_can_get() {
        let mut places = places(200, 0);
        let strangers = flood(&mut places, Port::Return) + flood(&mut places, Port::Publish);
        assert_eq!(strangers, 184 + 16);
        // Those who come in were strangers before: each leaves that place, and nobody gets it.
        for _ in 0..84 {
            assert!(places.has_room_for_a_minion());
            places.leave(Port::Return, Class::Stranger, NOBODY);
            places.enter(Port::Return, Class::Live, NOBODY);
            assert!(!places.has_room(Port::Return, 0));
        }
        assert!(!places.has_room_for_a_minion());
    }

    #[test]
    fn places_beside_minions_are_left_when_all_are_in() {
        let mut places = places(200, 0);
        let_in(&mut places, 84);
        assert!(!places.has_room_for_a_minion());
        assert_eq!((flood(&mut places, Port::Return), flood(&mut places, Port::Publish)), (16, 16));
        assert_eq!(places.connections(), 200);
    }

    #[test]
    fn one_address_does_not_get_the_last_places() {
        let mut places = places(200, 0);
        let_in(&mut places, 84);
        let mut crowd = 0;
        while places.has_room(Port::Return, crowd) {
            places.enter(Port::Return, Class::Stranger, NOBODY);
            crowd += 1;
        }
        assert_eq!(crowd, 12);
        assert!(places.has_room(Port::Return, 0), "somebody else");
    }

    #[test]
    fn who_waits_gives_way_to_minions_but_for_some() {
        let mut places = Places::within(&Config { waiting_share_percent: 50, ..Config::default() }, 200);
        let mut waits = 0;
        while places.has_room_to_wait() {
            waits += 1;
            places.enter(Port::Return, Class::Waiting, ConnId(waits));
        }
        assert_eq!(waits, 100);
        assert_eq!(places.surplus(), None);
        let mut gone = Vec::new();
        for _ in 0..84 {
            places.enter(Port::Return, Class::Live, NOBODY);
            gone.extend(std::iter::from_fn(|| places.surplus()));
        }
        assert_eq!(
            gone,
            (1..=92).map(ConnId).collect::<Vec<_>>(),
            "all but a quarter of what is kept beside"
        );
        assert!(!places.has_room_to_wait());
        places.leave(Port::Return, Class::Waiting, ConnId(100));
        assert!(places.has_room_to_wait());
    }
}
