//! The wires: in order within each direction, as TCP is, and nothing else about them is kind.
//!
//! A connection has three directions of their own pace: up, down, and the feed of broadcasts, so
//! that broadcasts and direct orders overtake each other. Wires are delayed, stall, are cut with
//! what is under way, or swallow everything without a word. An attacker sits on them and flips,
//! drops, repeats and replays; every parcel knows whether it is forged, and nobody else does.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::world::{Event, MILLI, Micros, SECOND, Sabotage, World};

/// A direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the minion.
    Up,
    /// To the minion.
    Down,
    /// Broadcasts to the minion.
    Feed,
}

/// Bytes that may wait for one peer; more end its session.
const SEND_QUEUE_MAX: usize = 4 * 1024;

const WAYS: [Way; 3] = [Way::Up, Way::Down, Way::Feed];

/// What is under way.
#[derive(Debug, Clone)]
pub enum Packet {
    /// A message of the handshake or of the channel.
    Bytes(Bytes),
    /// The subscriber shows its token.
    Subscribe([u8; 32]),
    /// The other side has ended the connection.
    Closed,
}

/// A packet, and the truth about it.
#[derive(Debug, Clone)]
pub struct Parcel {
    /// What it is.
    pub packet: Packet,
    /// Whether the attacker made or changed it, or took away one before it.
    pub forged: bool,
}

impl Parcel {
    fn len(&self) -> usize {
        match &self.packet {
            Packet::Bytes(bytes) => bytes.len(),
            Packet::Subscribe(_) | Packet::Closed => 0,
        }
    }
}

/// What an attacker does to the next message of a direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attack {
    /// Changes one bit.
    Flip,
    /// Takes it away.
    Drop,
    /// Sends it twice.
    Repeat,
    /// Puts a message in front of it that was recorded elsewhere.
    Replay,
}

/// All attacks.
pub const ATTACKS: [Attack; 4] = [Attack::Flip, Attack::Drop, Attack::Repeat, Attack::Replay];

#[derive(Debug, Default)]
struct Lane {
    last: Micros,
    sent: u64,
    stalled_until: Micros,
    attack: Option<Attack>,
    is_swallowed: bool,
    /// One was taken away: whatever comes next must be refused.
    has_gap: bool,
    /// One was taken away or changed. Should it come after all it would only be late, and no forgery: nothing is
    /// attacked here any more.
    is_robbed: bool,
    /// Bytes under way.
    bytes: usize,
}

/// A connection.
#[derive(Debug)]
pub struct Conn {
    /// Whose.
    pub minion: usize,
    /// The Offer that was sent is not the one that arrives.
    pub forged_offer: bool,
    is_cut: bool,
    lanes: [Lane; 3],
}

/// All connections.
#[derive(Debug, Default)]
pub struct Net {
    /// By number.
    pub conns: BTreeMap<u64, Conn>,
    next: u64,
    recorded: BTreeMap<usize, Vec<Bytes>>,
    /// Messages take up to so long.
    pub pace: Micros,
}

impl Net {
    /// A new connection.
    pub fn open(&mut self, minion: usize) -> u64 {
        self.next += 1;
        let lanes = Default::default();
        self.conns.insert(self.next, Conn { minion, forged_offer: false, is_cut: false, lanes });
        self.next
    }

    fn record(&mut self, way: Way, bytes: &Bytes) {
        let kept = self.recorded.entry(way as usize).or_default();
        if kept.len() == 16 {
            kept.remove(0);
        }
        kept.push(bytes.clone());
    }
}

impl World {
    /// Sends something, unless the wire is gone.
    pub fn send(&mut self, conn: u64, way: Way, packet: Packet) {
        let parcels = self.attacked(conn, way, packet);
        let pace = self.net.pace;
        let jitter = if self.dice.percent(90) { self.dice.between(50, 2 * MILLI) } else { pace.max(MILLI) };
        let Some(wire) = self.net.conns.get_mut(&conn) else { return };
        let lane = &mut wire.lanes[way as usize];
        if lane.is_swallowed || wire.is_cut {
            return;
        }
        let at = (self.now + jitter).max(lane.last).max(lane.stalled_until);
        lane.last = at;
        lane.bytes += parcels.iter().map(Parcel::len).sum::<usize>();
        let is_full = way != Way::Up && lane.bytes > SEND_QUEUE_MAX;
        for parcel in parcels {
            self.at(at, Event::Arrive { conn, way, parcel });
        }
        if is_full {
            self.tally.queues_full += 1;
            self.gate_ends(conn, "send_queue_full");
        }
    }

    /// A parcel has left the wire.
    pub fn arrived(&mut self, conn: u64, way: Way, parcel: &Parcel) {
        if let Some(wire) = self.net.conns.get_mut(&conn) {
            let lane = &mut wire.lanes[way as usize];
            lane.bytes = lane.bytes.saturating_sub(parcel.len());
        }
    }

    /// What becomes of a packet in the hands of the attacker.
    fn attacked(&mut self, conn: u64, way: Way, packet: Packet) -> Vec<Parcel> {
        let honest = |packet| vec![Parcel { packet, forged: false }];
        let Packet::Bytes(bytes) = &packet else { return honest(packet) };
        let old = self.net.recorded.get(&(way as usize)).filter(|kept| !kept.is_empty());
        let old = old.map(|kept| kept[self.dice.below(kept.len())].clone());
        self.net.record(way, bytes);
        let Some(wire) = self.net.conns.get_mut(&conn) else { return Vec::new() };
        let lane = &mut wire.lanes[way as usize];
        let is_offer = way == Way::Down && lane.sent == 0;
        lane.sent += 1;
        let attack = lane.attack.take().filter(|_| !lane.is_robbed);
        let is_robbed = matches!(attack, Some(Attack::Drop | Attack::Flip));
        lane.is_robbed |= is_robbed;
        let parcel = |bytes: Bytes, forged| Parcel { packet: Packet::Bytes(bytes), forged };
        let Some(attack) = attack else {
            let forged = std::mem::take(&mut lane.has_gap);
            return vec![parcel(bytes.clone(), forged)];
        };
        self.tally.attacks += 1;
        match attack {
            Attack::Flip => {
                let mut changed = bytes.to_vec();
                let at = self.dice.below(changed.len());
                if self.sabotage != Sabotage::OpenChannel {
                    changed[at] ^= 1 << self.dice.below(8);
                }
                wire.forged_offer |= is_offer;
                vec![parcel(changed.into(), true)]
            }
            Attack::Drop if way == Way::Feed => {
                // Nothing on the wire tells that it is gone: what comes next may be of another epoch.
                Vec::new()
            }
            Attack::Drop => {
                lane.has_gap = true;
                Vec::new()
            }
            Attack::Repeat => vec![parcel(bytes.clone(), false), parcel(bytes.clone(), true)],
            Attack::Replay => {
                let Some(old) = old.filter(|old| old != bytes) else { return honest(packet) };
                wire.forged_offer |= is_offer;
                self.tally.replays += 1;
                vec![parcel(old, true), parcel(bytes.clone(), false)]
            }
        }
    }

    /// When all that was sent so far has arrived.
    pub fn drained_at(&self, conn: u64, way: Way) -> Micros {
        self.net.conns.get(&conn).map_or(self.now, |wire| wire.lanes[way as usize].last.max(self.now))
    }

    /// Whether what was sent over a connection can still arrive.
    pub fn is_carried(&self, conn: u64) -> bool {
        self.net.conns.get(&conn).is_some_and(|wire| !wire.is_cut)
    }

    /// Ends a connection with all that is under way. Each side hears of it, or has to notice.
    pub fn cut(&mut self, conn: u64) {
        let Some(wire) = self.net.conns.get_mut(&conn).filter(|wire| !wire.is_cut) else { return };
        wire.is_cut = true;
        self.tally.cuts += 1;
        let mut sides = 0;
        for is_master in [true, false] {
            if self.dice.percent(70) {
                sides += 1;
                let at = self.now + self.dice.between(1, 200) * MILLI;
                self.at(at, Event::Noticed { conn, is_master });
            }
        }
        self.say(|| format!("wire {conn} is cut, {sides} sides are told"));
    }

    /// One direction swallows everything from now on; who waits for it has to notice. That of
    /// broadcasts has no beat; there the kernel may, or the count of what was sent tells.
    pub fn swallow(&mut self, conn: u64) {
        let way = self.dice.pick(&WAYS);
        let Some(wire) = self.net.conns.get_mut(&conn) else { return };
        wire.lanes[way as usize].is_swallowed = true;
        self.tally.cuts += 1;
        if way == Way::Feed && self.dice.percent(50) {
            self.lose_feed(conn);
        }
        self.say(|| format!("wire {conn} swallows {way:?}"));
    }

    fn lose_feed(&mut self, conn: u64) {
        let is_master = self.dice.percent(50);
        let at = self.now + self.dice.between(1, 15) * SECOND;
        self.at(at, Event::FeedLost { conn, is_master });
    }

    /// One direction stands still for a while.
    pub fn stall(&mut self, conn: u64) {
        let way = self.dice.pick(&WAYS);
        let until = self.now + self.dice.between(100, 4000) * MILLI;
        if let Some(wire) = self.net.conns.get_mut(&conn) {
            wire.lanes[way as usize].stalled_until = until;
            self.say(|| format!("wire {conn} {way:?} stalls"));
        }
    }

    /// The attacker waits for the next message.
    pub fn attack(&mut self, conn: u64) {
        let way = self.dice.pick(&[Way::Up, Way::Down, Way::Feed, Way::Feed]);
        // Of broadcasts it is taking one away that is hard to notice.
        let is_theft = way == Way::Feed && self.dice.percent(60);
        let attack = if is_theft { Attack::Drop } else { self.dice.pick(&ATTACKS) };
        if let Some(wire) = self.net.conns.get_mut(&conn) {
            wire.lanes[way as usize].attack = Some(attack);
            self.say(|| format!("wire {conn} {way:?}: {attack:?} the next"));
        }
    }

    /// The attacker waits for the next broadcast, and takes it away.
    pub fn steal_broadcast(&mut self, conn: u64) {
        if let Some(wire) = self.net.conns.get_mut(&conn) {
            wire.lanes[Way::Feed as usize].attack = Some(Attack::Drop);
        }
        self.say(|| format!("wire {conn} loses its next broadcast"));
    }

    /// No more of all that: what is broken stays so until it is noticed.
    pub fn calm_net(&mut self) {
        self.net.pace = 3 * MILLI;
        for wire in self.net.conns.values_mut() {
            for lane in &mut wire.lanes {
                lane.attack = None;
            }
        }
    }
}
