//! Peers whom nobody has let in.

use std::time::Duration;

use brine_protocol::message::{Beat, ToMaster};
use brine_tests::peer::{ALL, boastful, random, subscription};
use brine_tests::zmtp::{Wire, frame, greeting, header};
use socket2::SockRef;

use super::{Bad, Kind};

/// Between two bytes of who is slow.
const BYTE: Duration = Duration::from_millis(500);

/// How long who never reads waits before it looks whether it was cut off: longer than the master's
/// patience with a subscriber that shows no token.
const DEAF: Duration = Duration::from_millis(5200);

impl Bad<'_> {
    /// One connection of a stranger, from its beginning to its end.
    pub(super) fn visit(&self) -> Option<()> {
        let (publish, ret) = (self.ground.publish_port, self.ground.ret_port);
        let either = if self.number.is_multiple_of(2) { publish } else { ret };
        match self.kind {
            Kind::Silent => self.stay(&mut self.dial(either)?),
            Kind::Slow if either == publish => self.dribble(&mut self.dial(publish)?, &greeting()),
            Kind::Slow => {
                let mut wire = self.shaken(ret, "DEALER")?;
                self.send(&mut wire, &header(0, 8000));
                self.dribble(&mut wire, &[b'x'; 8000]);
            }
            Kind::Half => self.stay(&mut self.shaken(ret, "DEALER")?),
            Kind::Deaf => {
                let mut wire = self.shaken(publish, "SUB")?;
                self.send(&mut wire, &frame(0, &subscription(ALL)));
                self.pause(DEAF);
            }
            Kind::Unknown => self.knock(),
            Kind::Garbage => {
                let mut wire = self.dial(either)?;
                if self.number.is_multiple_of(3) {
                    self.send(&mut wire, &greeting());
                }
                for _ in 0..16 {
                    self.send(&mut wire, &random());
                }
                self.stay(&mut wire);
            }
            Kind::Huge => {
                let socket = if either == publish { "SUB" } else { "DEALER" };
                let mut wire = self.shaken(either, socket)?;
                self.send(&mut wire, &header(0, 1 << (31 + self.number % 32)));
                self.stay(&mut wire);
            }
            Kind::Replay => {
                let mut wire = self.shaken(ret, "DEALER")?;
                let _offer = wire.receive().ok()?;
                self.send(&mut wire, &frame(0, &self.ground.recorded));
                self.stay(&mut wire);
            }
            Kind::Topics => {
                let mut wire = self.shaken(publish, "SUB")?;
                let topics = (0..200).flat_map(|n| frame(0, &subscription(format!("{n}").as_bytes())));
                self.send(&mut wire, &topics.collect::<Vec<u8>>());
                self.stay(&mut wire);
            }
            Kind::Storm => {
                let wire = self.dial(either)?;
                if self.number.is_multiple_of(2) {
                    let _ = SockRef::from(&wire.stream).set_linger(Some(Duration::ZERO));
                }
            }
            Kind::Flood | Kind::Oversized | Kind::Unread => {}
        }
        Some(())
    }

    fn dribble(&self, wire: &mut Wire, bytes: &[u8]) {
        for byte in bytes {
            if !self.send(wire, &[*byte]) || !self.pause(BYTE) {
                return;
            }
        }
        self.stay(wire);
    }

    fn knock(&self) {
        let Some((mut peer, _)) = self.enter(&format!("stray-{}", self.number), self.number, None) else {
            return;
        };
        let knock = ToMaster::Knock(boastful());
        let (mut next, beat) = (&knock, ToMaster::Beat(Beat::default()));
        while self.say(&mut peer, next) && self.pause(Duration::from_millis(500)) {
            if self.number.is_multiple_of(2) {
                next = &beat;
            }
        }
    }
}
