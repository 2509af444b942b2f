//! A minion written for tests: it knows the handshake and the sealed channel, and does only what
//! it is told. It proves what the protocol lets a minion do, and what not.

use std::fs;
use std::time::{Instant, SystemTime};

use brine_pki::channel::Channel;
use brine_pki::handshake::minion::{Answer, Offered, Pin, Ticket, Waiting, Welcomed};
use brine_pki::key::PrivateKey;
use brine_protocol::message::{Epoch, Knock, Standing, Start, ToMaster, ToMinion};
use brine_protocol::{Fingerprint, MinionId};
use bytes::Bytes;
use serde_json::{Map, json};

use crate::fixtures::key_file;
use crate::fleet::Fleet;
use crate::wait::eventually;
use crate::zmtp::Wire;

/// A fixed test key, loaded.
///
/// # Panics
/// There is no such key.
#[must_use]
pub fn private_key(name: &str) -> PrivateKey {
    PrivateKey::from_pem(&fs::read_to_string(key_file(&format!("{name}.pem"))).expect("a test key"))
        .expect("a key")
}

/// Fresh random bytes.
///
/// # Panics
/// The system has none.
#[must_use]
pub fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("random bytes");
    bytes
}

/// A clock in seconds, as sealing wants one.
#[must_use]
pub fn now_s() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs())
}

/// Connects to the port of returns and reads the Offer.
///
/// # Panics
/// The master does not offer.
#[must_use]
#[track_caller]
pub fn offered(ret_port: u16) -> (Wire, Vec<u8>) {
    let mut wire = Wire::connect(ret_port, "DEALER", None);
    let offer = wire.receive().expect("an Offer follows READY");
    assert_eq!(offer.len(), 1, "one frame");
    (wire, offer.into_iter().next().expect("one frame"))
}

/// A Hello for this Offer by a test key, with a known ephemeral secret.
///
/// # Panics
/// The Offer is not authentic, or the id is none.
#[must_use]
#[track_caller]
pub fn hello(offer: &[u8], id: &str, key: &str, secret: [u8; 32]) -> (Vec<u8>, Waiting) {
    let id: MinionId = id.parse().expect("an id");
    Offered::read(offer, &Pin::FirstUse).expect("an authentic Offer").hello(&private_key(key), &id, secret)
}

fn trust_key(offer: &[u8]) -> Fingerprint {
    Offered::read(offer, &Pin::FirstUse).expect("an authentic Offer").trust_key().fingerprint()
}

/// The largest claims that fit: what is kept of each is bounded.
#[must_use]
pub fn boastful() -> Knock {
    let long = "x".repeat(600);
    let grains = (0..8).map(|n| (format!("{n}{long}"), long.clone())).collect();
    let (os, server) = (long.clone(), Some(long.clone()));
    Knock { host: long.clone(), os, version: long, grains, server, token: None }
}

/// A connection over which a ticket was refused, and what was offered on it.
pub type TurnedDown = Box<(Wire, Offered)>;

/// A session's connection to the port of returns.
#[derive(Debug)]
pub struct Peer {
    /// The connection.
    pub wire: Wire,
    /// Its keys.
    pub channel: Channel,
    /// The verdict.
    pub standing: Standing,
    /// How often to beat, in milliseconds.
    pub heartbeat_ms: u64,
}

impl Peer {
    /// Goes through the handshake and says nothing sealed yet.
    ///
    /// # Panics
    /// The master does not answer.
    #[must_use]
    #[track_caller]
    pub fn open(ret_port: u16, id: &str, key: &str) -> Self {
        let (wire, offer) = offered(ret_port);
        let (hello, waiting) = hello(&offer, id, key, random());
        Self::welcome(wire, &hello, waiting)
    }

    /// Goes through the handshake, and keeps the ticket if there is one.
    ///
    /// # Panics
    /// The master does not answer.
    #[must_use]
    #[track_caller]
    pub fn open_for_ticket(ret_port: u16, id: &str, key: &str) -> (Self, Option<Ticket>) {
        let (wire, offer) = offered(ret_port);
        let (hello, waiting) = hello(&offer, id, key, random());
        let master = trust_key(&offer);
        Self::answered(wire, &hello, waiting, [private_key(key).public().fingerprint(), master])
            .expect("no Hello is answered with Refused")
    }

    /// Comes back with a ticket that was given for this key; where it is refused, the connection and
    /// what was offered on it.
    ///
    /// # Errors
    /// The ticket is refused.
    ///
    /// # Panics
    /// The master does not answer.
    #[track_caller]
    pub fn resume(ret_port: u16, key: &str, ticket: &Ticket) -> Result<(Self, Option<Ticket>), TurnedDown> {
        let (wire, offer) = offered(ret_port);
        let (message, waiting) =
            Offered::read(&offer, &Pin::FirstUse).expect("an authentic Offer").resume(ticket, random());
        let master = trust_key(&offer);
        Self::answered(wire, &message, waiting, [private_key(key).public().fingerprint(), master])
    }

    #[track_caller]
    fn answered(
        mut wire: Wire,
        message: &[u8],
        waiting: Waiting,
        [own, master]: [Fingerprint; 2],
    ) -> Result<(Self, Option<Ticket>), TurnedDown> {
        assert!(wire.message(&[message]));
        let answer = wire.receive().expect("an answer");
        match waiting.answer(&answer[0]).expect("an authentic answer") {
            Answer::Welcome(welcomed) => {
                let Welcomed { welcome, channel, ticket, resumption } = *welcomed;
                let ticket = Ticket::new(own, master, &ticket, resumption);
                let heartbeat_ms = welcome.pace.heartbeat_ms;
                Ok((Self { wire, channel, standing: welcome.standing, heartbeat_ms }, ticket))
            }
            Answer::Refused(offered) => Err(Box::new((wire, offered))),
        }
    }

    /// Sends a Hello and takes the verdict.
    ///
    /// # Panics
    /// The master does not answer.
    #[must_use]
    #[track_caller]
    pub fn welcome(mut wire: Wire, hello: &[u8], waiting: Waiting) -> Self {
        assert!(wire.message(&[hello]));
        let answer = wire.receive().expect("a Welcome");
        let (welcome, channel) = waiting.welcome(&answer[0]).expect("an authentic verdict");
        Self { wire, channel, standing: welcome.standing, heartbeat_ms: welcome.pace.heartbeat_ms }
    }

    /// A session of a key that is accepted, with its key filed first where the master does not
    /// know it.
    ///
    /// # Panics
    /// The master does not let it in.
    #[must_use]
    #[track_caller]
    pub fn live(fleet: &Fleet, id: &str, key: &str) -> (Self, [u8; 32]) {
        let mut peer = Self::open(fleet.ret_port, id, key);
        if let Standing::Accepted { token } = peer.standing {
            peer.start();
            return (peer, token);
        }
        peer.send(&ToMaster::Knock(Knock::default()));
        let fingerprint = crate::fixtures::fingerprint(key);
        eventually(10.0, "the key waits", || fleet.key_state(id, &fingerprint).as_deref() == Some("pending"));
        fleet.act("accept", id, &fingerprint);
        let token = loop {
            if let ToMinion::Standing(Standing::Accepted { token }) = peer.receive() {
                break token;
            }
        };
        peer.start();
        (peer, token)
    }

    /// Says that it is ready for orders.
    pub fn start(&mut self) {
        let mut grains = Map::new();
        grains.insert("id".to_owned(), json!("peer"));
        self.send(&ToMaster::Start(Box::new(Start {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            journal: random().iter().take(16).map(|b| format!("{b:02x}")).collect(),
            store: None,
            open: Vec::new(),
            message_max: None,
            successor: None,
            grains,
        })));
    }

    /// Seals a message without sending it.
    #[must_use]
    pub fn seal(&mut self, message: &ToMaster) -> Bytes {
        self.channel.sealer.seal(&message.to_frame(), now_s())
    }

    /// Seals and sends a message; false once the master has closed.
    pub fn send(&mut self, message: &ToMaster) -> bool {
        let sealed = self.seal(message);
        self.wire.message(&[&sealed])
    }

    /// Receives and opens the next message.
    ///
    /// # Panics
    /// The master closes, is silent, or says what does not open.
    #[must_use]
    #[track_caller]
    pub fn receive(&mut self) -> ToMinion {
        self.try_receive().expect("a sealed message")
    }

    /// Receives and opens the next message; none once the master closes or is silent.
    ///
    /// # Panics
    /// What comes does not open.
    #[must_use]
    #[track_caller]
    pub fn try_receive(&mut self) -> Option<ToMinion> {
        let parts = self.wire.receive().ok()?;
        let frame = self.channel.opener.open(Bytes::from(parts[0].clone())).expect("it opens");
        Some(ToMinion::from_frame(&frame).expect("a message"))
    }

    /// Everything that comes within `seconds`.
    #[must_use]
    #[track_caller]
    pub fn receive_for(&mut self, seconds: f64) -> Vec<ToMinion> {
        let begun = Instant::now();
        let mut all = Vec::new();
        while begun.elapsed().as_secs_f64() < seconds {
            self.wire.patience((seconds - begun.elapsed().as_secs_f64()).max(0.01));
            let Some(message) = self.try_receive() else {
                break;
            };
            all.push(message);
        }
        self.wire.patience(10.0);
        all
    }

    /// Waits for the key of broadcasts, answering nothing.
    ///
    /// # Panics
    /// It does not come.
    #[must_use]
    #[track_caller]
    pub fn epoch(&mut self) -> Epoch {
        loop {
            if let ToMinion::Epoch(epoch) = self.receive() {
                return *epoch;
            }
        }
    }

    /// Whether the master closes the connection within `seconds`.
    #[must_use]
    pub fn is_closed_within(&mut self, seconds: f64) -> bool {
        self.wire.is_closed_within(seconds)
    }
}

/// The topic of broadcasts.
pub const ALL: &[u8] = b"brine/1/all";

/// A subscription message.
#[must_use]
pub fn subscription(topic: &[u8]) -> Vec<u8> {
    [b"\x01", topic].concat()
}

/// The topic that shows a session's token.
#[must_use]
pub fn token_topic(token: &[u8; 32]) -> Vec<u8> {
    let hex: String = token.iter().map(|b| format!("{b:02x}")).collect();
    format!("brine/1/token/{hex}").into_bytes()
}

/// A subscriber of broadcasts that shows this token.
#[must_use]
#[track_caller]
pub fn subscriber(publish_port: u16, token: Option<&[u8; 32]>) -> Wire {
    let mut wire = Wire::connect(publish_port, "SUB", None);
    wire.message(&[&subscription(ALL)]);
    if let Some(token) = token {
        wire.message(&[&subscription(&token_topic(token))]);
    }
    wire
}
