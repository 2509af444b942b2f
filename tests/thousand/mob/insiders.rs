//! Accepted minions that turned bad: what they say is sealed, and they have a place.

use std::time::{Duration, Instant};

use brine_local::clock::wall;
use brine_pki::handshake::minion::{Offered, Pin};
use brine_protocol::Jid;
use brine_protocol::job::{Ending, Returned};
use brine_protocol::message::{Beat, Return, Standing, ToMaster};
use brine_tests::fleet::job;
use brine_tests::peer::{ALL, Peer, random, subscription, token_topic};
use brine_tests::swarm;
use brine_tests::zmtp::{frame, header};
use serde_json::{Value, json};
use socket2::SockRef;

use super::{Bad, INSIDER, INSIDERS, Kind};

/// Returns that one sends every [`EVERY`].
pub const BURST: u64 = 8;

const EVERY: Duration = Duration::from_millis(100);

/// Jobs that a flood pretends to answer: some again and again, with another value each time.
const JOBS: u64 = 200;

/// What a large return leaves for its envelope.
const ENVELOPE: usize = 1024;

impl Bad<'_> {
    /// Goes through the handshake, with a small receive buffer if asked; the token if it is accepted.
    pub(super) fn enter(
        &self,
        id: &str,
        key: usize,
        buffer: Option<usize>,
    ) -> Option<(Peer, Option<[u8; 32]>)> {
        let mut wire = self.shaken(self.ground.ret_port, "DEALER")?;
        if let Some(bytes) = buffer {
            let _ = SockRef::from(&wire.stream).set_recv_buffer_size(bytes);
        }
        let offer = wire.receive().ok()?;
        let offered = Offered::read(&offer[0], &Pin::FirstUse).ok()?;
        let (hello, waiting) = offered.hello(self.ground.pool.of(key), &id.parse().unwrap(), random());
        if !self.send(&mut wire, &frame(0, &hello)) {
            return None;
        }
        let answer = wire.receive().ok()?;
        let (welcome, channel) = waiting.welcome(&answer[0]).ok()?;
        let token = match welcome.standing {
            Standing::Accepted { token } => Some(token),
            _ => None,
        };
        let heartbeat_ms = welcome.pace.heartbeat_ms;
        Some((Peer { wire, channel, standing: welcome.standing, heartbeat_ms }, token))
    }

    /// One session of an insider, from its beginning to its end.
    pub(super) fn visit_inside(&self) -> Option<()> {
        let place = match self.kind {
            Kind::Flood => 0,
            Kind::Oversized => INSIDERS[0],
            _ => INSIDERS[0] + INSIDERS[1],
        } + self.number;
        let id = swarm::id(INSIDER, place);
        let buffer = (self.kind == Kind::Unread).then_some(4096);
        let (mut peer, token) = self.enter(id.as_str(), place, buffer)?;
        let token = token.expect("insiders are accepted");
        peer.start();
        match self.kind {
            Kind::Flood => self.flood(&mut peer),
            Kind::Oversized => self.oversize(&mut peer),
            _ => self.refuse_to_read(&mut peer, id.as_str(), &token)?,
        }
        Some(())
    }

    pub(super) fn say(&self, peer: &mut Peer, message: &ToMaster) -> bool {
        let sealed = peer.seal(message);
        self.send(&mut peer.wire, &frame(0, &sealed))
    }

    /// Answers what nobody asked, as fast as its pace allows; what comes back is thrown away.
    fn flood(&self, peer: &mut Peer) {
        let first = wall();
        let mut number = 0_u64;
        loop {
            for _ in 0..BURST {
                number += 1;
                // Every other one is of the same job as the one before: it has to be judged by that.
                let micros = i64::try_from(number / 2 % JOBS).unwrap();
                let jid = Jid::at(first.plus_micros(micros * 100), 0);
                if !self.say(peer, &returned(jid, number, json!(number))) {
                    return;
                }
            }
            let until = Instant::now() + EVERY;
            if peer.wire.is_closed_within(EVERY.as_secs_f64()) || self.is_over() {
                return;
            }
            self.pause(until.saturating_duration_since(Instant::now()));
        }
    }

    /// Four returns as large as they may be, one a second, then the announcement of a larger one.
    fn oversize(&self, peer: &mut Peer) {
        let text = "x".repeat(self.ground.message_max - ENVELOPE);
        for number in 0..4 {
            let jid = Jid::at(wall(), 0);
            if !self.say(peer, &returned(jid, number, json!(text)))
                || !self.pause(Duration::from_millis(1000))
            {
                return;
            }
        }
        self.send(&mut peer.wire, &header(0, self.ground.message_max as u64 + 1));
        self.stay(&mut peer.wire);
    }

    /// Beats, subscribes, has an order a second sent to it, and never reads.
    fn refuse_to_read(&self, peer: &mut Peer, id: &str, token: &[u8; 32]) -> Option<()> {
        let mut subscriber = self.shaken(self.ground.publish_port, "SUB")?;
        let topics = [ALL.to_vec(), token_topic(token)];
        let topics: Vec<u8> = topics.iter().flat_map(|topic| frame(0, &subscription(topic))).collect();
        self.send(&mut subscriber, &topics);
        let order = job(id, "test.echo", &[json!("x".repeat(32 * 1024))]);
        while self.say(peer, &ToMaster::Beat(Beat::default())) && self.pause(Duration::from_secs(1)) {
            // Refused once it is gone: the next beat says so as well.
            let _ = self.ground.api.try_request("POST", "/v1/jobs", Some(order.to_string()));
        }
        Some(())
    }
}

fn returned(jid: Jid, number: u64, value: Value) -> ToMaster {
    let ending = Ending::Returned(Returned { value, retcode: 0, duration_ms: 1, truncated: false });
    ToMaster::Return(Box::new(Return { jid, number, functions: "test.echo".to_owned(), ending }))
}
