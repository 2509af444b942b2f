//! The master's side of the wires: the phases of `master/src/gate/router.rs`, with the real
//! handshake and channel, and its deadlines. A subscriber belongs to its session, as there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use brine_master::engine::{Input, Opened, Output};
use brine_master::gate::ConnId;
use brine_pki::channel::Channel;
use brine_pki::handshake::master::{Agreement, Offer, Verified};
use brine_protocol::message::{Pace, Standing, ToMaster, ToMinion};
use bytes::Bytes;

use crate::net::{Packet, Parcel, Way};
use crate::world::{Event, MILLI, Micros, SECOND, Sabotage, World};

/// A sign of life at least this often.
pub const HEARTBEAT: Micros = 2 * SECOND;
/// How long the handshake may wait for the other side, each time.
pub const HANDSHAKE: Micros = 3 * SECOND;
/// Largest message of a session.
pub const MESSAGE_MAX: usize = 256 * 1024;
/// Beats that may be missed.
const MISSED: u64 = 3;
/// How long a session outlives its subscriber.
const LAST_WORDS: Micros = 2 * SECOND;

enum Phase {
    Offered(Offer),
    Judged(Box<Verified>),
    Open(Box<Channel>, Option<Box<Opened>>),
    Ended,
}

/// A connection, as the gate sees it.
pub struct Door {
    phase: Phase,
    minion: usize,
    is_live: bool,
    is_known: bool,
    stage_since: Micros,
    last_heard: Micros,
    last_sent: Micros,
}

/// The gate.
#[derive(Default)]
pub struct Gate {
    /// Its connections.
    pub doors: BTreeMap<u64, Door>,
    tokens: BTreeMap<[u8; 32], u64>,
    subscribers: BTreeSet<u64>,
    /// What is offered.
    pub agreement: Option<Arc<Agreement>>,
}

impl Gate {
    fn deadline(&self, conn: u64) -> Option<Micros> {
        let door = self.doors.get(&conn)?;
        Some(match &door.phase {
            Phase::Open(_, None) => (door.last_heard + HEARTBEAT * MISSED).min(door.last_sent + HEARTBEAT),
            _ => door.stage_since + HANDSHAKE,
        })
    }
}

impl World {
    /// A connection is there: the Offer goes out.
    pub fn gate_opens(&mut self, conn: u64) {
        let Some(agreement) = self.gate.agreement.clone().filter(|_| self.master.engine.is_some()) else {
            // Nobody listens.
            return self.send(conn, Way::Down, Packet::Closed);
        };
        let offer = agreement.offer(self.dice.bytes());
        let message = Bytes::copy_from_slice(offer.message());
        let (now, minion) = (self.now, self.net.conns[&conn].minion);
        let door = Door {
            phase: Phase::Offered(offer),
            minion,
            is_live: false,
            is_known: false,
            stage_since: now,
            last_heard: now,
            last_sent: now,
        };
        self.gate.doors.insert(conn, door);
        self.send(conn, Way::Down, Packet::Bytes(message));
        self.at(now + HANDSHAKE, Event::GateTimer { conn });
    }

    /// Something has arrived from a minion.
    pub fn gate_hears(&mut self, conn: u64, parcel: Parcel) {
        if !self.gate.doors.contains_key(&conn) {
            return;
        }
        match parcel.packet {
            Packet::Closed => self.gate_ends(conn, "connection_lost"),
            Packet::Subscribe(token) => match self.gate.tokens.remove(&token) {
                Some(owner) if owner == conn => {
                    self.gate.subscribers.insert(conn);
                    self.tell_master(Input::Subscribed { conn: ConnId(conn) });
                }
                // That of an earlier session: its subscriber is turned away.
                Some(_) | None => self.gate_ends(conn, "subscriber_token_unknown"),
            },
            Packet::Bytes(bytes) => self.gate_reads(conn, bytes, parcel.forged),
        }
    }

    fn gate_reads(&mut self, conn: u64, bytes: Bytes, forged: bool) {
        let Some(mut door) = self.gate.doors.remove(&conn) else { return };
        let refused = match door.phase {
            Phase::Offered(offer) => {
                let forged_offer = self.net.conns.get(&conn).is_some_and(|wire| wire.forged_offer);
                match offer.read_hello(&bytes).and_then(brine_pki::handshake::master::Unverified::verify) {
                    Ok(verified) => {
                        if forged || forged_offer {
                            self.model.broke(9, format!("a forged handshake was taken on wire {conn}"));
                        }
                        let (id, fingerprint) = (verified.id().clone(), verified.key().fingerprint());
                        door.phase = Phase::Judged(Box::new(verified));
                        door.stage_since = self.now;
                        door.is_known = true;
                        self.gate.doors.insert(conn, door);
                        return self.tell_master(Input::Hello { conn: ConnId(conn), id, fingerprint });
                    }
                    Err(_) => "hello",
                }
            }
            Phase::Judged(_) | Phase::Ended => "message_out_of_turn",
            Phase::Open(mut channel, unproven) => match channel.opener.open(bytes) {
                Ok(frame) => {
                    let message = ToMaster::from_frame(&frame).expect("a minion speaks properly");
                    if forged {
                        self.model.broke(9, format!("a forged frame was opened on wire {conn}"));
                    }
                    let is_allowed = door.is_live || unproven.is_some() || waits_politely(&message);
                    let is_return = matches!(message, ToMaster::Return(_));
                    let input = match unproven {
                        Some(opened) => Input::Opened { opened, first: message },
                        None => Input::Frame { conn: ConnId(conn), message },
                    };
                    door.phase = Phase::Open(channel, None);
                    door.last_heard = self.now;
                    door.stage_since = self.now;
                    self.gate.doors.insert(conn, door);
                    if !is_allowed {
                        return self.gate_ends(conn, "not_accepted");
                    }
                    if is_return && self.sabotage == Sabotage::SwallowedReturns {
                        return;
                    }
                    return self.tell_master(input);
                }
                Err(_) => "sealed_forged",
            },
        };
        if forged {
            self.tally.refused_forgeries += 1;
        }
        door.phase = Phase::Ended;
        self.gate.doors.insert(conn, door);
        self.gate_ends(conn, refused);
    }

    /// Ends a connection; the other side hears of it after what was sent before.
    pub fn gate_ends(&mut self, conn: u64, why: &'static str) {
        let Some(door) = self.gate.doors.remove(&conn) else { return };
        self.say(|| format!("the gate ends wire {conn}: {why}"));
        self.gate.subscribers.remove(&conn);
        self.gate.tokens.retain(|_, owner| *owner != conn);
        self.send(conn, Way::Down, Packet::Closed);
        if door.is_known && self.sabotage != Sabotage::SilentGate {
            self.tell_master(Input::Closed { conn: ConnId(conn), why });
        }
    }

    /// A subscriber has ended: its session gets no broadcasts, and ends soon.
    pub fn gate_loses_feed(&mut self, conn: u64) {
        self.gate.subscribers.remove(&conn);
        self.at(self.now + LAST_WORDS, Event::LastWords { conn });
    }

    /// A deadline of a connection may have come.
    pub fn gate_timer(&mut self, conn: u64) {
        let Some(deadline) = self.gate.deadline(conn) else { return };
        if deadline <= self.now {
            let door = &self.gate.doors[&conn];
            match &door.phase {
                Phase::Open(_, None) if self.now >= door.last_heard + HEARTBEAT * MISSED => {
                    return self.gate_ends(conn, "silent");
                }
                Phase::Open(_, None) => self.gate_sends(conn, &ToMinion::Beat),
                _ => return self.gate_ends(conn, "handshake_timeout"),
            }
        }
        if let Some(next) = self.gate.deadline(conn) {
            self.at(next, Event::GateTimer { conn });
        }
    }

    fn gate_sends(&mut self, conn: u64, message: &ToMinion) {
        let now_s = self.now / SECOND;
        let Some(door) = self.gate.doors.get_mut(&conn) else { return };
        let Phase::Open(channel, _) = &mut door.phase else { return };
        let sealed = channel.sealer.seal(&message.to_frame(), now_s);
        door.last_sent = self.now;
        let minion = door.minion;
        match message {
            ToMinion::Standing(standing) => {
                door.is_live = matches!(standing, Standing::Accepted { .. });
                if let Standing::Accepted { token } = standing {
                    self.gate.tokens.insert(*token, conn);
                }
            }
            ToMinion::Order(order) => {
                let name = self.machines[minion].name.clone();
                let is_flushed = self.store.jobs.contains_key(&order.jid);
                self.say(|| format!("order {} to {name}", order.jid));
                self.model.on_sealed(order.jid, &name, is_flushed);
            }
            _ => {}
        }
        self.send(conn, Way::Down, Packet::Bytes(sealed));
    }

    /// Does what the gate has to do of what the engine decided.
    pub fn gate_performs(&mut self, output: Output) {
        match output {
            Output::Welcome { conn, standing, .. } => self.gate_welcomes(conn.0, standing),
            Output::Send { conn, message } | Output::SendNow { conn, message } => {
                self.gate_sends(conn.0, &message);
                if self.sabotage == Sabotage::Misdelivery && matches!(message, ToMinion::Order(_)) {
                    let other = self.gate.doors.keys().copied().find(|other| *other != conn.0);
                    other.into_iter().for_each(|other| self.gate_sends(other, &message));
                }
            }
            Output::Broadcast(body) => {
                self.tally.broadcasts += 1;
                for conn in self.gate.subscribers.clone() {
                    self.send(conn, Way::Feed, Packet::Bytes(body.clone()));
                }
            }
            Output::Mark(conn) => {
                // Told by the socket, in the order of what was written to it.
                let at = self.drained_at(conn.0, Way::Down);
                self.master.drains.push((at, conn));
                self.wake_master(at);
            }
            Output::Close { conn, why } | Output::Cut { conn, why } => self.gate_ends(conn.0, why),
            _ => {}
        }
    }

    fn gate_welcomes(&mut self, conn: u64, standing: Standing) {
        let Some(mut door) = self.gate.doors.remove(&conn) else { return };
        let Phase::Judged(verified) = door.phase else {
            return self.model.broke(0, format!("a verdict for wire {conn}, which has one"));
        };
        let opened = Opened {
            conn: ConnId(conn),
            id: verified.id().clone(),
            key: verified.key().der().into(),
            fingerprint: verified.key().fingerprint(),
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            resumed: None,
        };
        let pace =
            Pace { heartbeat_ms: HEARTBEAT / MILLI, message_max: Some(MESSAGE_MAX as u64), clock: None };
        let now_s = self.now / SECOND;
        match verified.welcome(self.dice.bytes(), standing, pace, now_s) {
            Ok((message, channel)) => {
                door.phase = Phase::Open(Box::new(channel), Some(Box::new(opened)));
                door.is_live = matches!(standing, Standing::Accepted { .. });
                door.stage_since = self.now;
                self.gate.doors.insert(conn, door);
                if let Standing::Accepted { token } = standing {
                    self.gate.tokens.insert(token, conn);
                }
                self.send(conn, Way::Down, Packet::Bytes(message.into()));
            }
            Err(error) => self.model.broke(0, format!("no welcome on wire {conn}: {error}")),
        }
    }

    /// The process has ended: its sockets are closed by the kernel, unless that is gone too.
    pub fn gate_is_gone(&mut self, is_power: bool) {
        for conn in std::mem::take(&mut self.gate).doors.into_keys() {
            if !is_power || self.dice.percent(50) {
                let at = self.now + self.dice.between(1, 50) * MILLI;
                self.at(at, Event::Noticed { conn, is_master: false });
            }
        }
    }
}

fn waits_politely(message: &ToMaster) -> bool {
    matches!(message, ToMaster::Knock(_) | ToMaster::Beat(_) | ToMaster::Bye | ToMaster::Learned(_))
}
