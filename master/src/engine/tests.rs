//! The engine against a small world: no sockets, no disk, time by hand.

use super::*;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use brine_pki::ledger::MemoryLedger;
use brine_pki::publish::Reader;
use brine_pki::waiting::WaitingLimits;
use brine_protocol::control::{
    Act, JobRequest, KeyActRequest, KeyName, KeyState, Presence, Problem, ProblemKind,
};
use brine_protocol::job::{Call, Delivery, Ending, Returned, Target};
use brine_protocol::message::{Beat, Knock, Order, Return, Start, ToMinion};
use serde_json::Map;

use crate::roles::{Principal, Roles};

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
                Output::Send { conn: to, message } if to.0 == conn => Some(message),
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
        last_jid: Timestamp::default(),
        open: vec![],
        facts: vec![],
        idempotency: vec![],
    }
}

fn settings() -> Settings {
    Settings {
        node: 0,
        heartbeat: Duration::from_secs(10),
        lost_after: Duration::from_secs(100),
        keep_jobs: Duration::from_secs(86_400),
        open_orders_max: 10,
        open_bytes_max: 16 * 1024 * 1024,
        message_max: 1024 * 1024,
        hand_window: 100_000,
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
    }
}

fn problem(out: &Out) -> &Problem {
    match out.answer() {
        Answer::Refused(problem) => problem,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_stranger_waits_until_accepted_and_is_live_at_once() {
    let mut world = World::new();
    let hello = Input::Hello { conn: ConnId(1), id: id("web1"), fingerprint: fingerprint("web1") };
    let out = world.input(hello);
    assert!(matches!(out.0[..], [Output::Welcome { standing: Standing::Pending, .. }]), "{out:?}");
    assert_eq!(world.knock(1, "web1").tags(), ["brine/key/web1/pending"]);
    assert_eq!(world.knock(2, "web1").tags(), Vec::<&str>::new(), "known by now");
    let out = world.act(Act::Accept, "web1");
    assert!(matches!(out.sent(2)[..], [ToMinion::Standing(Standing::Accepted { .. })]), "{out:?}");
    let out = world.frame(2, start("j", &[]));
    assert_eq!(out.tags(), ["brine/minion/web1/start"]);
    assert_eq!(world.submit("*").orders(2).len(), 1);
}

#[test]
fn an_order_submitted_between_acceptance_and_start_is_not_lost() {
    let mut world = World::new();
    world.knock(1, "web1");
    world.act(Act::Accept, "web1");
    let out = world.submit("*");
    assert!(out.orders(1).is_empty(), "not before it has said where its journal stands");
    assert!(out.endings().is_empty(), "and not offline either: {out:?}");
    assert_eq!(world.frame(1, start("j", &[])).orders(1).len(), 1);
}

#[test]
fn an_order_kept_for_a_start_that_never_comes_ends_offline() {
    let mut world = World::new();
    world.knock(1, "web1");
    world.act(Act::Accept, "web1");
    world.submit("*");
    let out = world.input(Input::Closed { conn: ConnId(1), why: "peer_gone" });
    assert_eq!(out.endings(), [("web1".to_owned(), Ending::Offline { since: None })]);
}

#[test]
fn nothing_is_sent_before_it_is_stored() {
    let mut world = World::new();
    world.live(1, "web1");
    let out = world.submit("*");
    let job = out.position(|o| matches!(o, Output::Persist(Record::Job(_))));
    let ceiling = out.position(|o| matches!(o, Output::Persist(Record::Ceiling(_))));
    let answer = out.position(|o| matches!(o, Output::Answer { .. }));
    let sent = out.position(|o| matches!(o, Output::Send { .. }));
    assert!(ceiling < job && job < answer && answer < sent, "{out:?}");
    let order = out.orders(1)[0].clone();
    let out = world.returned(1, &order);
    let row = out.position(|o| matches!(o, Output::Persist(Record::Row { .. })));
    let told = out.position(|o| matches!(o, Output::JobEvent { .. }));
    let ack = out.position(|o| matches!(o, Output::Send { message: ToMinion::Stored(_), .. }));
    assert!(row < told && row < ack, "{out:?}");
}

#[test]
fn every_minion_ends_once_and_later_reports_are_kept_beside() {
    let mut world = World::new();
    world.live(1, "web1");
    let order = world.submit("*").orders(1)[0].clone();
    assert_eq!(world.returned(1, &order).endings(), [("web1".to_owned(), returned(0))]);
    let out = world.returned(1, &order);
    assert!(out.endings().is_empty());
    assert!(matches!(
        out.0.iter().find(|o| matches!(o, Output::Persist(_))),
        Some(Output::Persist(Record::Report { .. }))
    ));
    assert!(matches!(out.sent(1)[..], [ToMinion::Stored(_)]), "and acknowledged all the same");
}

#[test]
fn offline_minions_end_at_once_and_an_empty_target_is_an_error() {
    let mut world = World::new();
    assert_eq!(problem(&world.submit("*")).kind, ProblemKind::NothingMatched);
    world.live(1, "web1");
    world.live(2, "web2");
    world.input(Input::Closed { conn: ConnId(2), why: "peer_gone" });
    let out = world.submit("web*");
    let since = Some(Timestamp(1_795_327_652_000_000));
    assert_eq!(out.endings(), [("web2".to_owned(), Ending::Offline { since })]);
    assert_eq!(problem(&world.submit("db*")).kind, ProblemKind::NothingMatched);
}

#[test]
fn what_is_open_is_handed_out_again_unless_the_journal_has_it() {
    let mut world = World::new();
    world.live(1, "web1");
    let first = world.submit("*").orders(1)[0].clone();
    let second = world.submit("*").orders(1)[0].clone();
    assert!(second.number > first.number);
    world.input(Input::Closed { conn: ConnId(1), why: "silent" });
    let out = world.start(5, "web1", "j", &[first.number]);
    let numbers: Vec<u64> = out.orders(5).iter().map(|o| o.number).collect();
    assert_eq!(numbers, [second.number]);
    let ToMinion::Stored(stored) = out.sent(5)[0] else { panic!("{out:?}") };
    assert_eq!(stored.floor, first.number, "nothing below may be forgotten before it is stored");
    world.returned(5, &first);
    let out = world.returned(5, &second);
    let ToMinion::Stored(stored) = out.sent(5)[0] else { panic!("{out:?}") };
    assert!(stored.floor > second.number);
}

#[test]
fn a_lost_journal_interrupts_what_was_handed_to_it() {
    let mut world = World::new();
    world.live(1, "web1");
    world.submit("*");
    world.input(Input::Closed { conn: ConnId(1), why: "silent" });
    let out = world.start(2, "web1", "another", &[]);
    assert!(matches!(&out.endings()[..], [(_, Ending::Interrupted { .. })]), "{out:?}");
    assert!(out.orders(2).is_empty(), "never sent again");
}

#[test]
fn an_order_without_an_answer_is_lost_in_the_end_and_not_before() {
    let mut world = World::new();
    world.live(1, "web1");
    world.submit("*");
    assert!(world.pass(1000).endings().is_empty(), "connected: it may run as long as it likes");
    world.input(Input::Closed { conn: ConnId(1), why: "silent" });
    assert!(world.pass(99).endings().is_empty());
    assert!(matches!(&world.pass(2).endings()[..], [(_, Ending::Lost { .. })]));
}

#[test]
fn removal_cuts_the_session_cancels_its_orders_and_changes_the_epoch() {
    for act in [Act::Delete, Act::Reject, Act::Suspend] {
        let mut world = World::new();
        for (conn, name) in [(1, "web1"), (2, "web2"), (3, "web3")] {
            world.live(conn, name);
            world.subscribe(conn);
        }
        world.submit("*");
        let out = world.act(act, "web1");
        assert!(out.cut(1) && !out.cut(2), "{act:?}: {out:?}");
        assert!(matches!(&out.endings()[..], [(who, Ending::Cancelled { .. })] if who == "web1"));
        let out = world.submit("*");
        assert!(out.orders(1).is_empty());
        let epochs = |conn| out.sent(conn).iter().filter(|m| matches!(m, ToMinion::Epoch(_))).count();
        assert_eq!((epochs(1), epochs(2), epochs(3)), (0, 1, 1), "{act:?}");
    }
}

#[test]
fn a_subscriber_that_comes_after_a_removal_leaves_nobody_without_the_new_epoch() {
    let mut world = World::new();
    for (conn, name) in [(1, "web1"), (2, "web2"), (3, "web3")] {
        world.live(conn, name);
        world.subscribe(conn);
    }
    world.act(Act::Delete, "web1");
    world.live(4, "web4");
    assert!(world.subscribe(4).0.is_empty(), "it may not read what was broadcast before");
    let out = world.pass(1);
    let mut readers: Vec<Reader> = [2, 3, 4]
        .map(|conn| {
            let [ToMinion::Epoch(epoch)] = out.sent(conn)[..] else { panic!("{conn}: {out:?}") };
            let mut reader = Reader::new();
            reader.install(epoch).expect("an epoch");
            reader
        })
        .into();
    assert!(out.sent(1).is_empty(), "{out:?}");
    let out = world.submit("*");
    for reader in &mut readers {
        assert!(reader.open(out.broadcasts()[0].clone()).expect("opens").is_some());
    }
}

#[test]
fn a_broadcast_is_only_for_orders_that_are_for_all() {
    let mut world = World::new();
    let mut readers = Vec::new();
    for (conn, name) in [(1, "web1"), (2, "web2"), (3, "db1")] {
        world.knock(conn, name);
        world.act(Act::Accept, name);
        world.frame(conn, start("j", &[]));
        world.subscribe(conn);
    }
    let out = world.pass(1);
    for conn in 1..4 {
        let ToMinion::Epoch(epoch) = out.sent(conn)[0] else { panic!("{out:?}") };
        let mut reader = Reader::new();
        reader.install(epoch).expect("an epoch");
        readers.push(reader);
    }
    let out = world.submit("*");
    let [body] = &out.broadcasts()[..] else { panic!("{out:?}") };
    assert!((1..4).all(|conn| out.orders(conn).is_empty()), "once, not twice");
    for reader in &mut readers {
        let frame = reader.open(body.clone()).expect("opens").expect("known");
        assert!(matches!(ToMinion::from_frame(&frame), Ok(ToMinion::Order(_))));
    }
    let out = world.submit("web*");
    assert!(out.broadcasts().is_empty(), "db1 would read it");
    assert_eq!((out.orders(1).len(), out.orders(2).len(), out.orders(3).len()), (1, 1, 0));
}

#[test]
fn a_minion_without_subscriber_gets_a_broadcast_over_its_own_channel() {
    let mut world = World::new();
    world.live(1, "web1");
    world.subscribe(1);
    world.live(2, "web2");
    world.subscribe(2);
    world.knock(3, "web3");
    world.act(Act::Accept, "web3");
    world.frame(3, start("j", &[]));
    let out = world.submit("*");
    assert_eq!(out.broadcasts().len(), 1);
    assert_eq!((out.orders(1).len(), out.orders(3).len()), (0, 1));
}

#[test]
fn a_second_machine_of_a_name_is_denied_and_the_first_works_on() {
    let mut world = World::new();
    world.live(1, "web1");
    assert_eq!(world.knock(2, "web1'").tags(), ["brine/key/web1/denied"]);
    assert_eq!(world.submit("*").orders(1).len(), 1);
    let keys = world.ask(Ask::Keys);
    let Answer::Keys(keys) = keys.answer() else { panic!() };
    let states: Vec<(KeyState, bool)> = keys.iter().map(|key| (key.state, key.connected)).collect();
    assert_eq!(states, [(KeyState::Accepted, true), (KeyState::Denied, true)]);
    let out = world.act(Act::Accept, "web1'");
    let Answer::Acted(results) = out.answer() else { panic!() };
    assert!(results[0].refused.is_some(), "not over the head of the first");
}

#[test]
fn a_newer_session_displaces_an_older_one() {
    let mut world = World::new();
    world.live(1, "web1");
    assert!(world.start(2, "web1", "j", &[]).cut(1));
    world.input(Input::Closed { conn: ConnId(1), why: "displaced" });
    assert_eq!(world.submit("*").orders(2).len(), 1, "the end of the older one is not its end");
}

#[test]
fn frames_are_judged_by_what_the_key_is_now() {
    let mut world = World::new();
    world.live(1, "web1");
    let order = world.submit("*").orders(1)[0].clone();
    world.act(Act::Suspend, "web1");
    // In flight while the connection was being cut.
    let out = world.returned(1, &order);
    assert!(out.endings().is_empty() && out.sent(1).is_empty(), "{out:?}");
    // A waiting minion may not speak as an accepted one.
    world.knock(7, "db1");
    assert!(world.frame(7, start("j", &[])).cut(7));
}

#[test]
fn a_return_of_somebody_elses_order_changes_nothing() {
    let mut world = World::new();
    world.live(1, "web1");
    world.live(2, "web2");
    let order = world.submit("web1").orders(1)[0].clone();
    assert!(world.returned(2, &order).endings().is_empty());
    assert_eq!(world.returned(1, &order).endings().len(), 1);
}

#[test]
fn killing_tells_the_connected_and_ends_the_others() {
    let mut world = World::new();
    world.live(1, "web1");
    world.live(2, "web2");
    let out = world.submit("*");
    let [Output::Answer { answer, .. }] =
        &out.0.iter().filter(|o| matches!(o, Output::Answer { .. })).collect::<Vec<_>>()[..]
    else {
        panic!("{out:?}")
    };
    let Answer::Job { jid, .. } = **answer else { panic!() };
    world.input(Input::Closed { conn: ConnId(2), why: "peer_gone" });
    let out = world.ask(Ask::Kill(jid));
    assert!(matches!(out.sent(1)[..], [ToMinion::Cancel(_)]));
    assert!(matches!(&out.endings()[..], [(who, Ending::Cancelled { .. })] if who == "web2"));
}

#[test]
fn a_killed_order_is_not_handed_out_again() {
    let mut world = World::new();
    world.live(1, "web1");
    let taken = world.submit("*").orders(1)[0].clone();
    let missed = world.submit("*").orders(1)[0].clone();
    for order in [&taken, &missed] {
        let out = world.ask(Ask::Kill(order.jid));
        let stored = out.position(|o| matches!(o, Output::Persist(Record::Cancelled { .. })));
        let told = out.position(|o| matches!(o, Output::Answer { .. }));
        assert!(stored < told, "{out:?}");
    }
    // Neither Cancel arrived.
    world.input(Input::Closed { conn: ConnId(1), why: "silent" });
    let out = world.start(2, "web1", "j", &[taken.number]);
    assert!(out.orders(2).is_empty(), "{out:?}");
    let cancelled: Vec<Jid> = out
        .sent(2)
        .into_iter()
        .filter_map(|message| match message {
            ToMinion::Cancel(cancel) => Some(cancel.jid),
            _ => None,
        })
        .collect();
    assert_eq!(cancelled, [taken.jid, missed.jid]);
}

#[test]
fn a_stranger_of_the_same_name_does_not_answer_a_probe() {
    let mut world = World::new();
    world.live(1, "web1");
    world.knock(2, "web1'");
    let out = world.submit("*");
    let Answer::Job { jid, .. } = *out.answer() else { panic!() };
    world.now.steady += Duration::from_secs(3);
    world.ask(Ask::Probe(jid));
    assert!(world.frame(2, ToMaster::Beat(Beat::default())).0.is_empty());
    let out = world.pass(2);
    let Answer::Rows(rows) = out.answer() else { panic!() };
    assert!(matches!(rows[0].presence, Some(Presence::Silent { .. })), "{rows:?}");
}

#[test]
fn strangers_write_nothing_to_the_store() {
    let mut world = World::new();
    let out = world.knock(1, "web1");
    assert_eq!(out.tags(), ["brine/key/web1/pending"]);
    assert!(!out.0.iter().any(|o| matches!(o, Output::Persist(_))), "{out:?}");
    let age = WaitingLimits::default().pending_age_s;
    let out = world.pass(age + 1);
    assert_eq!(out.tags(), ["brine/key/web1/expired"]);
    assert!(!out.0.iter().any(|o| matches!(o, Output::Persist(_))), "{out:?}");
}

#[test]
fn a_probe_tells_who_runs_it_and_who_is_silent() {
    let mut world = World::new();
    world.live(1, "web1");
    world.live(2, "web2");
    let out = world.submit("*");
    let Answer::Job { jid, .. } = *out.answer() else { panic!() };
    world.now.steady += Duration::from_secs(3);
    let out = world.ask(Ask::Probe(jid));
    assert!(matches!(out.sent(1)[..], [ToMinion::Probe]) && matches!(out.sent(2)[..], [ToMinion::Probe]));
    assert!(world.frame(1, ToMaster::Beat(Beat { running: vec![jid] })).0.is_empty());
    let out = world.pass(2);
    let Answer::Rows(rows) = out.answer() else { panic!() };
    let shown: Vec<String> = rows.iter().map(|row| format!("{} {:?}", row.id, row.presence)).collect();
    assert!(shown[0].starts_with("web1 Some(Running)"), "{shown:?}");
    assert!(shown[1].starts_with("web2 Some(Silent"), "{shown:?}");
}

#[test]
fn a_restart_goes_on_with_what_was_open() {
    let mut world = World::new();
    world.live(1, "web1");
    let out = world.submit("*");
    let job = out
        .0
        .iter()
        .find_map(|o| match o {
            Output::Persist(Record::Job(job)) => Some(Arc::clone(job)),
            _ => None,
        })
        .expect("stored");
    let (_, generation) = job.minions[0].clone();
    let facts = Facts { generation, journal: "j".to_owned(), ..Facts::default() };
    let memory = Memory {
        open: vec![OpenJob {
            job: Arc::clone(&job),
            ended: BTreeSet::new(),
            handed: BTreeSet::new(),
            cancelled_by: None,
        }],
        facts: vec![(id("web1"), facts)],
        last_jid: job.jid.time(),
        ..memory()
    };
    // The same decisions, replayed.
    let mut again = World::with(MemoryLedger::default(), self::memory());
    again.knock(1, "web1");
    again.act(Act::Accept, "web1");
    let trust = again.engine.trust;
    let random = Box::new(|bytes: &mut [u8]| bytes.fill(9));
    let now = world.now;
    let mut world = World { engine: Engine::new(settings(), trust, memory, random, now), now, asked: 0 };
    let out = world.start(1, "web1", "j", &[]);
    assert_eq!(out.orders(1).len(), 1);
    assert!(out.endings().is_empty(), "{out:?}");
}

#[test]
fn a_queued_order_waits_for_its_minion_and_expires() {
    let mut world = World::new();
    world.live(1, "web1");
    world.live(2, "web2");
    world.input(Input::Closed { conn: ConnId(1), why: "peer_gone" });
    world.input(Input::Closed { conn: ConnId(2), why: "peer_gone" });
    let mut queued = request("*", "cmd.run");
    queued.delivery = Delivery::Queue { ttl_ms: 60_000 };
    let out = world.ask(Ask::Submit { request: queued, idempotency: None });
    assert!(out.endings().is_empty(), "{out:?}");
    world.pass(20);
    let out = world.start(3, "web1", "another journal", &[]);
    assert!(out.endings().is_empty(), "it was never handed to the lost one: {out:?}");
    assert_eq!(out.orders(3)[0].expires_in_ms, Some(40_000));
    let handed = out.position(|o| matches!(o, Output::Persist(Record::Handed { .. })));
    let sent = out.position(|o| matches!(o, Output::Send { message: ToMinion::Order(_), .. }));
    assert!(handed < sent);
    assert_eq!(world.pass(41).endings(), [("web2".to_owned(), Ending::Expired)], "web1 has it");
}

#[test]
fn the_same_idempotency_key_makes_one_job() {
    let mut world = World::new();
    world.live(1, "web1");
    let submit = |world: &mut World, target: &str, key: &str| {
        let request = request(target, "test.ping");
        world.ask(Ask::Submit { request, idempotency: Some(key.to_owned()) })
    };
    let out = submit(&mut world, "*", "k");
    let Answer::Job { jid: first, made: Some(_) } = *out.answer() else { panic!("{out:?}") };
    let out = submit(&mut world, "*", "k");
    assert!(matches!(*out.answer(), Answer::Job { jid, made: None } if jid == first));
    assert!(out.orders(1).is_empty());
    assert_eq!(problem(&submit(&mut world, "web1", "k")).kind, ProblemKind::Conflict);
    assert_eq!(problem(&submit(&mut world, "*", "")).kind, ProblemKind::BadRequest);
    world.pass(86_500);
    assert!(
        matches!(*submit(&mut world, "*", "k").answer(), Answer::Job { made: Some(_), .. }),
        "kept as long as its job"
    );
}

#[test]
fn whoever_is_let_in_cannot_read_what_was_broadcast_before() {
    let mut world = World::new();
    world.live(1, "web1");
    world.subscribe(1);
    let before = world.submit("*").broadcasts()[0].clone();
    world.live(2, "web2");
    world.subscribe(2);
    let out = world.pass(1);
    let [ToMinion::Epoch(epoch)] = out.sent(2)[..] else { panic!("{out:?}") };
    assert_ne!(epoch.id[..], before[..16], "another epoch than the one it may have recorded");
    assert!(matches!(out.sent(1)[..], [ToMinion::Epoch(_)]), "and the others are told");
}

#[test]
fn a_backlog_is_handed_out_as_it_can_be_held() {
    let mut world = World::new();
    world.live(1, "web1");
    for _ in 0..5 {
        let mut large = request("*", "cmd.run");
        large.calls[0].arguments.push("x".repeat(60_000).into());
        world.ask(Ask::Submit { request: large, idempotency: None });
    }
    world.input(Input::Closed { conn: ConnId(1), why: "send_queue_full" });
    let first = world.start(2, "web1", "j", &[]).orders(2).into_iter().cloned().collect::<Vec<_>>();
    assert_eq!(first.len(), 2, "hand_window");
    let out = world.returned(2, &first[0]);
    assert_eq!(out.orders(2).len(), 1, "one was answered, one more goes out");
    let out = world.frame(2, ToMaster::Beat(Beat::default()));
    assert_eq!(out.orders(2).len(), 2, "it reads, so all the rest goes out");
}

#[test]
fn an_order_that_a_minion_does_not_take_is_refused_once() {
    let mut world = World::new();
    world.knock(1, "web1");
    world.act(Act::Accept, "web1");
    let ToMaster::Start(mut small) = start("j", &[]) else { panic!() };
    small.message_max = Some(65_536);
    world.frame(1, ToMaster::Start(small));
    let mut large = request("*", "cmd.run");
    large.calls[0].arguments.push("x".repeat(70_000).into());
    let out = world.ask(Ask::Submit { request: large, idempotency: None });
    assert!(out.orders(1).is_empty());
    assert!(matches!(&out.endings()[..], [(_, Ending::Refused { why })] if why.contains("65536")), "{out:?}");
}

#[test]
fn open_orders_have_a_bound_in_bytes() {
    let mut world = World::new();
    world.live(1, "web1");
    let results: Vec<bool> = (0..40)
        .map(|_| {
            let mut large = request("*", "test.echo");
            large.calls[0].arguments.push("x".repeat(1_000_000).into());
            let out = world.ask(Ask::Submit { request: large, idempotency: None });
            let refused =
                matches!(out.answer(), Answer::Refused(problem) if problem.kind == ProblemKind::Busy);
            if let Some(order) = out.orders(1).first().copied().cloned() {
                world.returned(1, &order);
            }
            refused
        })
        .collect();
    assert!(!results.contains(&true), "what has ended is not held");
    world.engine.settings.open_orders_max = 1000;
    let large = || {
        let mut large = request("*", "test.echo");
        large.calls[0].arguments.push("x".repeat(1_000_000).into());
        Ask::Submit { request: large, idempotency: None }
    };
    let refused = (0..40).map(|_| world.ask(large())).find(|out| matches!(out.answer(), Answer::Refused(_)));
    let refused = refused.expect("before 40 MB are held");
    assert_eq!(problem(&refused).kind, ProblemKind::Busy);
}

#[test]
fn refusals_leave_nothing_behind() {
    let mut world = World::new();
    world.live(1, "web1");
    let mut no_calls = request("*", "test.ping");
    no_calls.calls.clear();
    let mut large = request("*", "test.echo");
    large.calls[0].arguments.push("x".repeat(1024 * 1024).into());
    let mut deep = request("*", "test.echo");
    let nested = (0..100).fold(serde_json::Value::Null, |inner, _| vec![inner].into());
    deep.calls[0].keywords.insert("x".to_owned(), nested);
    let escaped = request(&format!("*{}", "\u{1}".repeat(300_000)), "test.ping");
    for (bad, kind) in [
        (deep, ProblemKind::BadRequest),
        (escaped, ProblemKind::BadRequest),
        (no_calls, ProblemKind::BadRequest),
        (request("*", "test"), ProblemKind::BadRequest),
        (request("*", "te st.ping"), ProblemKind::BadRequest),
        (request("*", "test..ping"), ProblemKind::BadRequest),
        (large, ProblemKind::BadRequest),
        (request("nobody", "test.ping"), ProblemKind::NothingMatched),
    ] {
        let out = world.ask(Ask::Submit { request: bad, idempotency: None });
        assert_eq!(problem(&out).kind, kind);
        assert_eq!(out.0.len(), 1, "{out:?}");
    }
    world.input(Input::Disk(Some("the disk is full".to_owned())));
    assert_eq!(problem(&world.submit("*")).kind, ProblemKind::Degraded);
    world.input(Input::Disk(None));
    for _ in 0..10 {
        world.submit("*");
    }
    assert_eq!(problem(&world.submit("*")).kind, ProblemKind::Busy, "open_orders_max");
}
