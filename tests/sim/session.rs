//! A minion's side of the wires: the real handshake, channel and reader of broadcasts, in the
//! order of `minion/src/session.rs`.

use std::time::Duration;

use brine_minion::backoff::Setback;
use brine_minion::engine::Input;
use brine_pki::channel::Channel;
use brine_pki::handshake::minion::{Offered, Pin, Waiting};
use brine_pki::publish::Reader;
use brine_protocol::frame::Frame;
use brine_protocol::message::{Beat, Standing, ToMaster, ToMinion, Welcome};
use bytes::Bytes;

use crate::gate::HEARTBEAT;
use crate::keys;
use crate::machine::Woken;
use crate::net::{Packet, Parcel, Way};
use crate::world::{Event, MILLI, Micros, SECOND, Sabotage, World};

/// How long a minion waits for each step of the handshake.
const PATIENCE: Micros = 3 * SECOND;
/// How long it waits with a key that nobody accepts before it tries the other one.
const DOUBT: Micros = 10 * SECOND;

/// The step of [`Event::Patience`] for a broadcast that is missing.
const MISSING: u8 = 4;

const SLOW: Setback = Setback::Slow { at_least: Duration::ZERO };

enum Phase {
    Dialled,
    Greeted(Box<Waiting>, u64),
    Open(Box<Channel>),
    Ended,
}

/// A session.
pub struct Link {
    /// Its connection.
    pub conn: u64,
    /// When it was dialled.
    pub began: Micros,
    /// The last verdict that the loop has taken up.
    pub standing: Option<Standing>,
    phase: Phase,
    reader: Reader,
    /// Since when a broadcast is missing that the master has counted.
    missing_since: Option<Micros>,
    /// Which of the minion's keys it is for.
    key: usize,
}

impl World {
    /// A minion dials: with its next key if there is one, then with the one that it has.
    pub fn dial(&mut self, minion: usize, life: u64) {
        let machine = &mut self.machines[minion];
        if machine.life != life || machine.engine.is_none() || machine.link.is_some() {
            return;
        }
        let is_second = std::mem::take(&mut machine.is_second_try);
        let key = machine.next.filter(|_| !is_second).unwrap_or(machine.current);
        let conn = self.net.open(minion);
        self.tally.dials += 1;
        let phase = Phase::Dialled;
        let link = Link {
            conn,
            began: self.now,
            standing: None,
            phase,
            reader: Reader::new(),
            missing_since: None,
            key,
        };
        self.machines[minion].link = Some(link);
        let at = self.now + self.dice.between(100, 3000);
        self.at(at, Event::Dialled { conn });
        self.at(self.now + PATIENCE, Event::Patience { minion, life, conn, step: 0 });
    }

    /// Something has arrived for a session.
    pub fn session_hears(&mut self, conn: u64, way: Way, parcel: Parcel) {
        let Some(minion) = self.net.conns.get(&conn).map(|wire| wire.minion) else { return };
        let is_its = |link: &Link| link.conn == conn && !matches!(link.phase, Phase::Ended);
        let Some(mut link) = self.machines[minion].link.take_if(|link| is_its(link)) else { return };
        let phase = std::mem::replace(&mut link.phase, Phase::Ended);
        let (result, forged) = match (parcel.packet, phase) {
            (Packet::Bytes(bytes), Phase::Dialled) => {
                (self.hears_offer(minion, &mut link, &bytes), parcel.forged)
            }
            (Packet::Bytes(bytes), Phase::Greeted(waiting, serial)) => (
                self.hears_verdict(minion, &mut link, *waiting, serial, &bytes, parcel.forged),
                parcel.forged,
            ),
            (Packet::Bytes(bytes), Phase::Open(mut channel)) => {
                let heard = match way {
                    Way::Feed => self.hears_broadcast(minion, &mut link, bytes, parcel.forged),
                    Way::Down | Way::Up => {
                        self.hears_frame(minion, &mut link, &mut channel, bytes, parcel.forged)
                    }
                };
                link.phase = Phase::Open(channel);
                if heard.is_ok() {
                    self.watch_feed(minion, &mut link, way);
                }
                (heard, parcel.forged)
            }
            (Packet::Closed | Packet::Subscribe(_), _) | (_, Phase::Ended) => (Err(Setback::Lost), false),
        };
        self.machines[minion].link = Some(link);
        if let Err(setback) = result {
            self.tally.refused_forgeries += u64::from(forged);
            self.session_ends(minion, setback);
        }
    }

    fn hears_offer(&mut self, minion: usize, link: &mut Link, bytes: &Bytes) -> Result<(), Setback> {
        let machine = &self.machines[minion];
        let trust_key = keys::master().public().fingerprint();
        let pin = match machine.serial {
            Some(serial) => Pin::Known { trust_key, serial, successor: None },
            None => Pin::Fingerprint(trust_key),
        };
        let offered = Offered::read(bytes, &pin).map_err(|_| SLOW)?;
        let serial = offered.serial();
        let (hello, waiting) = offered.hello(&machine.keys[link.key], &machine.name, self.dice.bytes());
        link.phase = Phase::Greeted(Box::new(waiting), serial);
        self.send(link.conn, Way::Up, Packet::Bytes(hello.into()));
        let (life, at) = (self.machines[minion].life, self.now + PATIENCE);
        self.at(at, Event::Patience { minion, life, conn: link.conn, step: 1 });
        Ok(())
    }

    fn hears_verdict(
        &mut self,
        minion: usize,
        link: &mut Link,
        waiting: Waiting,
        serial: u64,
        bytes: &Bytes,
        forged: bool,
    ) -> Result<(), Setback> {
        let (Welcome { standing, pace }, channel) = waiting.welcome(bytes).map_err(|_| SLOW)?;
        if forged {
            self.model.broke(9, format!("a forged verdict was opened on wire {}", link.conn));
        }
        let machine = &mut self.machines[minion];
        machine.serial = Some(serial);
        let is_known = matches!(standing, Standing::Accepted { .. } | Standing::Suspended);
        if machine.next == Some(link.key) && !is_known {
            // The master knows the other one. Nothing sealed was sent, so it has filed nothing.
            machine.is_second_try = true;
            return Err(Setback::Lost);
        }
        let (key, life) = (machine.fingerprint(link.key), machine.life);
        if machine.next.is_some() && !matches!(standing, Standing::Accepted { .. }) {
            let at = self.now + DOUBT;
            self.at(at, Event::Patience { minion, life, conn: link.conn, step: 2 });
        }
        self.say(|| format!("web{minion} opens wire {}: {standing:?}", link.conn));
        link.phase = Phase::Open(Box::new(channel));
        link.standing = None;
        self.subscribe(link.conn, standing);
        let input = Input::Opened {
            standing,
            heartbeat: Duration::from_millis(pace.heartbeat_ms),
            message_max: pace.message_max.map(|max| usize::try_from(max).expect("64 bits")),
            successor: None,
        };
        self.tell(minion, Woken::Opened { input, standing, key });
        Ok(())
    }

    /// The subscriber dials over a connection of its own: it may be quicker than the first frame.
    fn subscribe(&mut self, conn: u64, standing: Standing) {
        if let Standing::Accepted { token } = standing {
            let at = self.now + self.dice.between(200, 30 * MILLI);
            let parcel = Parcel { packet: Packet::Subscribe(token), forged: false };
            self.at(at, Event::Arrive { conn, way: Way::Up, parcel });
        }
    }

    fn hears_frame(
        &mut self,
        minion: usize,
        link: &mut Link,
        channel: &mut Channel,
        bytes: Bytes,
        forged: bool,
    ) -> Result<(), Setback> {
        let frame = channel.opener.open(bytes).map_err(|_| Setback::Lost)?;
        if forged {
            self.model.broke(9, format!("a forged frame was opened on wire {}", link.conn));
        }
        let message = ToMinion::from_frame(&frame).map_err(|_| Setback::Lost)?;
        if let ToMinion::Standing(standing) = &message {
            link.standing = Some(*standing);
            self.subscribe(link.conn, *standing);
        }
        if let ToMinion::Counted(counted) = &message
            && self.sabotage != Sabotage::DeafToCounts
        {
            link.reader.count(counted);
        }
        let released = match &message {
            ToMinion::Epoch(epoch) => link.reader.install(epoch).map_err(|_| Setback::Lost)?,
            _ => Vec::new(),
        };
        self.tell(minion, Woken::Input(Input::Heard(message)));
        released.iter().try_for_each(|frame| self.tell_broadcast(minion, frame))
    }

    /// A broadcast that the master has counted may be on its way for one heartbeat.
    fn watch_feed(&mut self, minion: usize, link: &mut Link, way: Way) {
        if !link.reader.is_behind() {
            link.missing_since = None;
        } else if way == Way::Feed || link.missing_since.is_none() {
            link.missing_since = Some(self.now);
            let (life, conn) = (self.machines[minion].life, link.conn);
            self.at(self.now + HEARTBEAT, Event::Patience { minion, life, conn, step: MISSING });
        }
    }

    fn hears_broadcast(
        &mut self,
        minion: usize,
        link: &mut Link,
        bytes: Bytes,
        forged: bool,
    ) -> Result<(), Setback> {
        match link.reader.open(bytes).map_err(|_| Setback::Lost)? {
            Some(frame) if forged => {
                self.model.broke(9, format!("a forged broadcast was opened on wire {}", link.conn));
                self.tell_broadcast(minion, &frame)
            }
            Some(frame) => self.tell_broadcast(minion, &frame),
            None => Ok(()),
        }
    }

    fn tell_broadcast(&mut self, minion: usize, frame: &Frame) -> Result<(), Setback> {
        match ToMinion::from_frame(frame) {
            Ok(ToMinion::Order(order)) => self.tell(minion, Woken::Input(Input::Broadcast(order))),
            _ => return Err(Setback::Lost),
        }
        Ok(())
    }

    /// Seals and sends what the engine says, if the session is open.
    pub fn session_says(&mut self, minion: usize, message: &ToMaster) {
        let now_s = self.now / SECOND;
        let wall = self.wall(self.machines[minion].wall_offset);
        let Some(link) = &mut self.machines[minion].link else { return };
        let Phase::Open(channel) = &mut link.phase else { return };
        let frame = match message {
            ToMaster::Beat(beat) => ToMaster::Beat(Beat { clock: Some(wall), ..beat.clone() }).to_frame(),
            other => other.to_frame(),
        };
        let sealed = channel.sealer.seal(&frame, now_s);
        let conn = link.conn;
        self.send(conn, Way::Up, Packet::Bytes(sealed));
    }

    /// The minion's side notices that its connection is gone.
    pub fn session_lost(&mut self, conn: u64) {
        let minion = self.net.conns.get(&conn).map(|wire| wire.minion);
        if let Some(minion) = minion.filter(|minion| self.is_session(*minion, conn)) {
            self.session_ends(minion, Setback::Lost);
        }
    }

    fn is_session(&self, minion: usize, conn: u64) -> bool {
        let is_its = |link: &Link| link.conn == conn;
        self.machines[minion].link.as_ref().is_some_and(is_its)
    }

    fn session_ends(&mut self, minion: usize, setback: Setback) {
        let Some(link) = &mut self.machines[minion].link else { return };
        link.phase = Phase::Ended;
        let conn = link.conn;
        self.send(conn, Way::Up, Packet::Closed);
        self.tell(minion, Woken::Ended { conn, setback });
    }

    /// A minion has waited long enough.
    pub fn on_patience(&mut self, minion: usize, life: u64, conn: u64, step: u8) {
        if self.machines[minion].life != life || !self.is_session(minion, conn) {
            return;
        }
        let machine = &self.machines[minion];
        let is_over = machine.link.as_ref().is_some_and(|link| match (step, &link.phase) {
            (0, Phase::Dialled) | (1, Phase::Greeted(..)) | (3, _) => true,
            (MISSING, Phase::Open(_)) => {
                link.missing_since.is_some_and(|since| since + HEARTBEAT <= self.now)
            }
            (2, Phase::Open(_)) => !matches!(link.standing, Some(Standing::Accepted { .. })),
            _ => false,
        });
        if is_over {
            self.tally.broadcasts_missed += u64::from(step == MISSING);
            self.session_ends(minion, if step < 2 { SLOW } else { Setback::Lost });
        }
    }
}
