//! A master written for tests: it holds a real signing key, goes through the handshake, and then
//! does what a master never does.

use std::sync::Arc;

use brine_pki::channel::Channel;
use brine_pki::handshake::master::{Agreement, Succession};
use brine_protocol::message::{Pace, Standing, ToMaster, ToMinion};
use bytes::Bytes;

use crate::peer::{now_s, private_key, random};
use crate::zmtp::{Wire, greeting, ready};

/// A master's key-agreement config under a test key.
#[must_use]
pub fn config(key: &str, serial: u64) -> Arc<Agreement> {
    Agreement::new(&private_key(key), serial, random(), &Succession::default())
}

/// Answers greeting and READY as a socket of this type; false when the peer goes away.
pub fn shake(wire: &mut Wire, socket: &str) -> bool {
    use std::io::Read;
    let mut theirs = [0; 64];
    wire.send(&greeting())
        && wire.stream.read_exact(&mut theirs).is_ok()
        && wire.send(&ready(socket, None))
        && wire.frame().is_ok_and(|(_, body)| body.starts_with(b"\x05READY"))
}

/// A minion's session, seen from the impostor's side.
#[derive(Debug)]
pub struct Session {
    /// The connection.
    pub wire: Wire,
    /// Its keys.
    pub channel: Channel,
}

impl Session {
    /// Goes through the handshake with whoever dialled the port of returns, and gives this
    /// verdict; none when the minion goes away.
    #[must_use]
    pub fn accept(
        mut wire: Wire,
        config: &Arc<Agreement>,
        standing: Standing,
        heartbeat_ms: u64,
    ) -> Option<Self> {
        if !shake(&mut wire, "ROUTER") {
            return None;
        }
        let offer = config.offer(random());
        wire.message(&[offer.message()]);
        let hello = wire.receive().ok()?;
        let verified = offer.read_hello(&hello[0]).ok()?.verify().ok()?;
        let (welcome, channel) = verified
            .welcome(random(), standing, Pace { heartbeat_ms, message_max: None, clock: None }, now_s())
            .ok()?;
        wire.message(&[&welcome]);
        Some(Self { wire, channel })
    }

    /// Seals and sends a message; false once the minion has closed.
    pub fn send(&mut self, message: &ToMinion) -> bool {
        let sealed = self.seal(message);
        self.wire.message(&[&sealed])
    }

    /// Seals a message without sending it.
    #[must_use]
    pub fn seal(&mut self, message: &ToMinion) -> Bytes {
        self.channel.sealer.seal(&message.to_frame(), now_s())
    }

    /// Receives and opens the next message; none once the minion closes or is silent.
    #[must_use]
    pub fn receive(&mut self) -> Option<ToMaster> {
        let parts = self.wire.receive().ok()?;
        let frame = self.channel.opener.open(Bytes::from(parts[0].clone())).ok()?;
        ToMaster::from_frame(&frame).ok()
    }
}

#[cfg(test)]
mod tests {
    use brine_protocol::message::{Beat, Knock};

    use super::*;
    use crate::fake::FakeMaster;
    use crate::peer::Peer;

    /// The harness's two ends understand each other, so that a failure elsewhere is the program's.
    #[test]
    fn peer_and_impostor_agree() {
        let config = config("master", 3);
        let fake = FakeMaster::start(move |wire| {
            let mut session = Session::accept(wire, &config, Standing::Pending, 500).expect("a minion");
            assert_eq!(session.receive(), Some(ToMaster::Knock(Knock::default())));
            session.send(&ToMinion::Probe);
            while matches!(session.receive(), Some(ToMaster::Beat(_))) {
                session.send(&ToMinion::Beat);
            }
        });
        let mut peer = Peer::open(fake.ret_port, "m1", "m1");
        assert_eq!((peer.standing, peer.heartbeat_ms), (Standing::Pending, 500));
        peer.send(&ToMaster::Knock(Knock::default()));
        assert_eq!(peer.receive(), ToMinion::Probe);
        peer.send(&ToMaster::Beat(Beat::default()));
        assert_eq!(peer.receive(), ToMinion::Beat);
        let second =
            (peer.seal(&ToMaster::Beat(Beat::default())), peer.seal(&ToMaster::Beat(Beat::default()))).1;
        peer.wire.message(&[&second]);
        assert!(peer.is_closed_within(5.0), "what is out of order does not open");
    }
}
