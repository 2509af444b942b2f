//! The engine against a small world: no sockets, no disk, time by hand.

mod batches;
mod broadcasts;
mod clash;
mod enrol;
mod full;
mod keys;
mod modules;
mod names;
mod orders;
mod pages;
mod pillars;
mod preseed;
mod requests;
mod rights;
mod rotation;
mod rules;
mod servers;
mod targets;
mod zones;

use super::*;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use brine_pki::key::PublicKey;
use brine_pki::ledger::MemoryLedger;
use brine_pki::publish::Reader;
use brine_pki::waiting::WaitingLimits;
use brine_protocol::control::{
    Act, Event, JobRequest, KeyActRequest, KeyName, KeyState, KeysQuery, Presence, Problem, ProblemKind,
};
use brine_protocol::job::{Call, Delivery, Ending, Returned};
use brine_protocol::message::{Beat, Knock, Order, Return, Standing, Start, ToMaster, ToMinion};
use brine_protocol::permission::Verb;
use brine_protocol::target::Target;
use brine_protocol::time::Timestamp;
use brine_protocol::{Secret, ServerId};
use bytes::Bytes;
use serde_json::Map;

use crate::roles::{Principal, Roles};
use crate::store::{OpenJob, Record};

struct World {
    engine: Engine<MemoryLedger>,
    now: Now,
    asked: u64,
}

/// What came out, in a form that tests can look at.
#[derive(Debug, Default)]
struct Out(Vec<Output>);

impl Out {
    fn sent(&self, conn: u64) -> Vec<&ToMinion> {
        self.0
            .iter()
            .filter_map(|output| match output {
                Output::Send { conn: to, message } | Output::SendNow { conn: to, message }
                    if to.0 == conn =>
                {
                    Some(message)
                }
                _ => None,
            })
            .collect()
    }

    fn orders(&self, conn: u64) -> Vec<&Order> {
        self.sent(conn)
            .into_iter()
            .filter_map(|message| match message {
                ToMinion::Order(order) => Some(&**order),
                _ => None,
            })
            .collect()
    }

    fn endings(&self) -> Vec<(String, Ending)> {
        self.0
            .iter()
            .filter_map(|output| match output {
                Output::Persist(Record::Row { id, row, .. }) => Some((id.to_string(), row.ending.clone())),
                _ => None,
            })
            .collect()
    }

    fn cut(&self, conn: u64) -> bool {
        self.0.iter().any(|output| {
            matches!(output, Output::Cut { conn: c, .. } | Output::Close { conn: c, .. } if c.0 == conn)
        })
    }

    fn broadcasts(&self) -> Vec<Bytes> {
        self.0
            .iter()
            .filter_map(|output| match output {
                Output::Broadcast(body) => Some(body.clone()),
                _ => None,
            })
            .collect()
    }

    fn answer(&self) -> &Answer {
        self.0
            .iter()
            .find_map(|output| match output {
                Output::Answer { answer, .. } | Output::AnswerNow { answer, .. } => Some(&**answer),
                _ => None,
            })
            .expect("an answer")
    }

    fn tags(&self) -> Vec<&str> {
        self.0
            .iter()
            .filter_map(|output| match output {
                Output::Event(event) => Some(event.tag.as_str()),
                _ => None,
            })
            .collect()
    }

    /// Where the first output that fits stands.
    fn position(&self, fits: impl Fn(&Output) -> bool) -> usize {
        self.0.iter().position(fits).expect("such an output")
    }
}

fn id(text: &str) -> MinionId {
    text.parse().expect("an id")
}

/// Every name has a key of its own, and so has "name'" for a second machine of that name.
fn fingerprint(name: &str) -> Fingerprint {
    use sha2::{Digest, Sha256};
    Fingerprint(Sha256::digest(name.as_bytes()).into())
}

fn root() -> Principal {
    Roles::default().principal(0, Some("root"), 0).expect("root")
}

fn memory() -> Memory {
    Memory {
        store: "s".repeat(32),
        lost: vec![],
        last_jid: Timestamp::default(),
        last_event: 0,
        open: vec![],
        facts: vec![],
        idempotency: vec![],
        nodegroups: Default::default(),
        own: OwnKey { fingerprint: fingerprint("master"), problem: None, notice: None },
    }
}

fn settings() -> Settings {
    Settings {
        node: 0,
        heartbeat: Duration::from_secs(10),
        handshake: Duration::from_secs(5),
        lost_after: Duration::from_secs(100),
        keep_jobs: Duration::from_secs(86_400),
        open_orders_max: 10,
        open_bytes_max: 16 * 1024 * 1024,
        message_max: 1024 * 1024,
        hand_window: 100_000,
        servers_max: 10,
        pillar_cache_bytes: 10_000,
    }
}

impl World {
    fn new() -> Self {
        Self::with(MemoryLedger::default(), memory())
    }

    fn with(ledger: MemoryLedger, memory: Memory) -> Self {
        let trust = Trust::with_log(ledger, WaitingLimits::default()).expect("a ledger");
        let mut n = 0u8;
        let random = Box::new(move |bytes: &mut [u8]| {
            n = n.wrapping_add(1);
            bytes.fill(n);
        });
        let now = Now { wall: Timestamp(1_795_327_652_000_000), steady: Duration::from_secs(1) };
        Self { engine: Engine::new(settings(), trust, memory, random, now), now, asked: 0 }
    }

    fn input(&mut self, input: Input) -> Out {
        self.engine.handle(input, self.now);
        Out(std::iter::from_fn(|| self.engine.poll_output()).collect())
    }

    fn pass(&mut self, seconds: u64) -> Out {
        self.now.steady += Duration::from_secs(seconds);
        self.now.wall = self.now.wall.plus_micros(seconds as i64 * 1_000_000);
        self.input(Input::Tick)
    }

    fn opened(&mut self, conn: u64, name: &str, first: ToMaster) -> Out {
        let opened = Opened {
            conn: ConnId(conn),
            id: id(name.trim_end_matches('\'')),
            key: name.as_bytes().to_vec(),
            fingerprint: fingerprint(name),
            address: Ipv4Addr::new(10, 0, 0, 1).into(),
            resumed: None,
        };
        self.input(Input::Opened { opened: Box::new(opened), first })
    }

    fn knock(&mut self, conn: u64, name: &str) -> Out {
        self.opened(conn, name, ToMaster::Knock(Knock::default()))
    }

    fn start(&mut self, conn: u64, name: &str, journal: &str, open: &[u64]) -> Out {
        let start = start(journal, open);
        self.opened(conn, name, start)
    }

    fn frame(&mut self, conn: u64, message: ToMaster) -> Out {
        self.input(Input::Frame { conn: ConnId(conn), message })
    }

    fn ask(&mut self, ask: Ask) -> Out {
        self.ask_as(root(), ask)
    }

    fn ask_as(&mut self, principal: Principal, ask: Ask) -> Out {
        self.asked += 1;
        let id = RequestId(self.asked);
        self.input(Input::Request(Box::new(Request { id, principal, ask })))
    }

    fn act(&mut self, act: Act, name: &str) -> Out {
        let key =
            KeyName { id: id(name.trim_end_matches('\'')), fingerprint: fingerprint(name), state: None };
        self.ask(Ask::Act(KeyActRequest { act, keys: vec![key], reason: None }))
    }

    /// A minion that is accepted and live. Without a subscriber: orders come one by one.
    fn live(&mut self, conn: u64, name: &str) {
        self.knock(conn, name);
        self.act(Act::Accept, name);
        self.frame(conn, start("j", &[]));
    }

    fn subscribe(&mut self, conn: u64) -> Out {
        self.input(Input::Subscribed { conn: ConnId(conn) })
    }

    fn submit(&mut self, target: &str) -> Out {
        self.ask(Ask::Submit { request: request(target, "cmd.run"), idempotency: None })
    }

    fn returned(&mut self, conn: u64, order: &Order) -> Out {
        let ending = returned(0);
        let report = Return { jid: order.jid, number: order.number, functions: String::new(), ending };
        self.frame(conn, ToMaster::Return(Box::new(report)))
    }
}

fn start(journal: &str, open: &[u64]) -> ToMaster {
    ToMaster::Start(Box::new(Start {
        version: "0".to_owned(),
        journal: journal.to_owned(),
        store: Some("s".repeat(32)),
        open: open.to_vec(),
        message_max: None,
        successor: None,
        grains: Map::new(),
    }))
}

fn returned(retcode: i32) -> Ending {
    Ending::Returned(Returned { value: true.into(), retcode, duration_ms: 1, truncated: false })
}

fn request(target: &str, function: &str) -> JobRequest {
    JobRequest {
        target: Target::glob(target),
        calls: vec![Call { function: function.to_owned(), arguments: vec![], keywords: Map::new() }],
        delivery: Delivery::Now,
        job_timeout_ms: None,
        batch: None,
        detach: false,
    }
}

fn problem(out: &Out) -> &Problem {
    match out.answer() {
        Answer::Refused(problem) => problem,
        other => panic!("{other:?}"),
    }
}
