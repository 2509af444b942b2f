//! Automatic decisions: at a knock, at a change of the rules, and with what is said of them.

use std::cell::Cell;
use std::rc::Rc;

use super::*;
use brine_pki::ledger::{Draft, Entry, Hash, LedgerError};
use brine_pki::registry::rules::{Expressions, Rules};
use brine_protocol::control::{ImportRequest, ImportedKey};

fn expressions(lines: &str) -> Expressions {
    Expressions::parse(lines).expect("few lines")
}

fn autosign(lines: &str) -> Rules {
    Rules { autosign: expressions(lines), ..Rules::default() }
}

fn autoreject(lines: &str) -> Rules {
    Rules { autoreject: expressions(lines), ..Rules::default() }
}

fn auto_accept() -> Rules {
    Rules { auto_accept: true, ..Rules::default() }
}

impl World {
    fn rules(&mut self, rules: Rules) -> Out {
        self.input(Input::Rules { rules: Box::new(rules), problem: None })
    }

    fn hello(&mut self, conn: u64, name: &str) -> Standing {
        let hello = Input::Hello {
            conn: ConnId(conn),
            id: id(name.trim_end_matches('\'')),
            fingerprint: fingerprint(name),
        };
        match self.input(hello).0.remove(0) {
            Output::Welcome { standing, .. } => standing,
            other => panic!("{other:?}"),
        }
    }

    fn states(&mut self) -> Vec<(String, KeyState)> {
        let out = self.ask(Ask::Keys(KeysQuery::default()));
        let Answer::Keys(keys) = out.answer() else { panic!("{out:?}") };
        keys.iter().map(|key| (key.id.to_string(), key.state)).collect()
    }

    fn health(&mut self) -> (Vec<String>, Vec<String>) {
        let out = self.ask(Ask::Health);
        let Answer::Health { problems, notices, .. } = out.answer() else { panic!("{out:?}") };
        (problems.clone(), notices.clone())
    }

    fn who_decided(&mut self, name: &str) -> Vec<String> {
        let out = self.ask(Ask::History(id(name)));
        let Answer::History(decisions) = out.answer() else { panic!("{out:?}") };
        decisions.iter().map(|d| format!("{} {}", d.by, d.reason.as_deref().unwrap_or("-"))).collect()
    }
}

#[test]
fn who_a_rule_lets_in_is_live_at_once() {
    let mut world = World::new();
    world.rules(autosign("web*"));
    assert_eq!(world.hello(1, "web1"), Standing::Pending, "it has yet to prove that it has the key");
    let out = world.knock(1, "web1");
    assert_eq!(out.tags(), ["brine/key/web1/pending", "brine/key/web1/accepted"]);
    assert!(matches!(out.sent(1)[..], [ToMinion::Standing(Standing::Accepted { .. })]), "{out:?}");
    world.frame(1, start("j", &[]));
    assert_eq!(world.submit("*").orders(1).len(), 1);
    assert_eq!(world.who_decided("web1"), ["rule:autosign_file web*"]);
    assert_eq!(world.knock(2, "db1").tags(), ["brine/key/db1/pending"]);
}

#[test]
fn a_grain_lets_in_on_the_minions_word() {
    let mut world = World::new();
    let grains = [("uuid".to_owned(), ["u-1".to_owned()].into())].into();
    world.rules(Rules { autosign_grains: grains, ..Rules::default() });
    let claim = |value: &str| {
        ToMaster::Knock(Knock { grains: [("uuid".to_owned(), value.to_owned())].into(), ..Knock::default() })
    };
    assert_eq!(world.opened(1, "web1", claim("u-2")).tags(), ["brine/key/web1/pending"]);
    assert_eq!(
        world.opened(2, "web1", claim("u-1")).tags(),
        ["brine/key/web1/seen", "brine/key/web1/accepted"]
    );
    assert_eq!(world.who_decided("web1"), ["rule:autosign_grains uuid: u-1"]);
}

#[test]
fn who_waits_is_judged_when_the_rules_change() {
    let mut world = World::new();
    for (conn, name) in [(1, "web1"), (2, "web2"), (3, "web2'"), (4, "db1"), (5, "evil1")] {
        world.knock(conn, name);
    }
    let mut rules = autosign("web*");
    rules.autoreject = expressions("evil*");
    let out = world.rules(rules);
    assert_eq!(out.tags(), ["brine/key/evil1/rejected", "brine/key/web1/accepted"]);
    assert!(matches!(out.sent(1)[..], [ToMinion::Standing(Standing::Accepted { .. })]));
    assert!(matches!(out.sent(5)[..], [ToMinion::Standing(Standing::Rejected)]) && out.cut(5));
    world.frame(1, start("j", &[]));
    assert_eq!(world.submit("*").orders(1).len(), 1);
    use KeyState::{Accepted, Pending, Rejected};
    let expected =
        [("db1", Pending), ("evil1", Rejected), ("web1", Accepted), ("web2", Pending), ("web2", Pending)];
    assert_eq!(world.states(), expected.map(|(id, state)| (id.to_owned(), state)), "of two a human chooses");
    // Once the other one is gone, it is the only one, and its session is still open.
    let out = world.act(Act::Delete, "web2'");
    assert_eq!(out.tags(), ["brine/key/web2/deleted", "brine/key/web2/accepted"]);
    assert!(matches!(out.sent(2)[..], [ToMinion::Standing(Standing::Accepted { .. })]));
}

#[test]
fn a_rejection_by_rule_is_derived_and_an_operator_stands_above_it() {
    let mut world = World::new();
    world.rules(autoreject("evil*"));
    assert_eq!(world.hello(1, "evil1"), Standing::Rejected);
    let out = world.knock(1, "evil1");
    assert_eq!(out.tags(), ["brine/key/evil1/rejected"]);
    assert!(out.cut(1) && !out.0.iter().any(|o| matches!(o, Output::Persist(_))), "{out:?}");
    assert!(world.who_decided("evil1").is_empty(), "not in the ledger");
    world.input(Input::Closed { conn: ConnId(1), why: "key_rejected" });
    assert_eq!(world.rules(Rules::default()).tags(), ["brine/key/evil1/pending"]);
    assert_eq!(world.rules(autoreject("evil1")).tags(), ["brine/key/evil1/rejected"]);
    let key = KeyName { id: id("evil1"), fingerprint: fingerprint("evil1"), state: Some(KeyState::Rejected) };
    world.ask(Ask::Act(KeyActRequest { act: Act::Accept, keys: vec![key], reason: None }));
    assert!(matches!(world.hello(2, "evil1"), Standing::Accepted { .. }));
    assert_eq!(world.who_decided("evil1"), ["unix:0 (root) -"]);
}

#[test]
fn rules_leave_alone_what_was_decided() {
    let mut world = World::new();
    world.live(1, "web1");
    world.knock(2, "web1'");
    world.knock(3, "web2");
    world.act(Act::Reject, "web2");
    world.knock(4, "web2'");
    let mut rules = auto_accept();
    rules.autoreject = expressions("web1");
    assert_eq!(world.rules(rules).tags(), Vec::<&str>::new());
    assert_eq!(world.submit("web1").orders(1).len(), 1);
    assert_eq!(world.hello(5, "web2"), Standing::Rejected);
    assert_eq!(world.hello(6, "web2'"), Standing::Denied);
}

#[test]
fn max_minions_stops_rules_and_operators() {
    let mut world = World::new();
    world.engine.trust().set_max_minions(2);
    world.rules(auto_accept());
    for (conn, name) in [(1, "m1"), (2, "m2"), (3, "m3")] {
        world.knock(conn, name);
    }
    assert_eq!(world.hello(9, "m3"), Standing::Pending);
    let out = world.act(Act::Accept, "m3");
    let Answer::Acted(results) = out.answer() else { panic!("{out:?}") };
    assert!(results[0].refused.as_deref().is_some_and(|why| why.contains("max_minions is 2")), "{results:?}");
    let (_, notices) = world.health();
    assert!(
        notices.iter().any(|notice| notice.starts_with("2 keys are accepted or suspended")),
        "{notices:?}"
    );
    world.act(Act::Delete, "m1");
    let out = world.pass(1);
    assert_eq!(out.tags(), ["brine/key/m3/accepted"], "it waits, and would not knock again");
    assert!(matches!(out.sent(3)[..], [ToMinion::Standing(Standing::Accepted { .. })]));
}

#[test]
fn room_that_is_made_lets_in_who_waits() {
    let mut world = World::new();
    world.engine.trust().set_max_minions(1);
    world.rules(auto_accept());
    for (conn, name) in [(1, "m1"), (2, "m2"), (3, "m3")] {
        world.knock(conn, name);
    }
    assert_eq!(world.input(Input::MaxMinions(2)).tags(), ["brine/key/m2/accepted"]);
    assert_eq!(world.input(Input::MaxMinions(1)).tags(), [""; 0], "nobody is thrown out");
    assert_eq!(world.input(Input::MaxMinions(0)).tags(), ["brine/key/m3/accepted"]);
}

#[test]
fn what_lets_in_unseen_is_said_aloud() {
    let mut world = World::new();
    assert_eq!(world.health(), (vec![], vec![]));
    world.rules(auto_accept());
    let (_, notices) = world.health();
    assert_eq!(
        notices,
        [
            "auto_accept is on: every machine that reaches this master is let in unseen, and max_minions sets no limit"
        ]
    );
    world.engine.trust().set_max_minions(5);
    assert!(!world.health().1[0].contains("max_minions"));
    world.input(Input::Rules { rules: Box::default(), problem: Some("no key is …".into()) });
    assert_eq!(world.health(), (vec!["no key is …".to_owned()], vec![]));
}

#[test]
fn keys_come_from_elsewhere() {
    let pem = |n: u8| include_str!("../../../../tests/data/keys/m1.pub").to_owned() + &" ".repeat(n.into());
    let mut world = World::new();
    let key = |id_: &str, public_key: String, state| ImportedKey { id: id(id_), public_key, state };
    let request = ImportRequest {
        keys: vec![
            key("web1", pem(0), KeyState::Accepted),
            key("web2", pem(1), KeyState::Pending),
            key("web3", "garbage".to_owned(), KeyState::Accepted),
            key("web1", pem(0), KeyState::Rejected),
        ],
        reason: None,
    };
    let out = world.ask(Ask::Import(request.clone()));
    let Answer::Acted(results) = out.answer() else { panic!("{out:?}") };
    let refused: Vec<_> = results.iter().map(|result| result.refused.as_deref().unwrap_or("-")).collect();
    assert_eq!(refused[..2], ["-", "-"]);
    assert!(refused[2].starts_with("what is given as the key of web3 is none"), "{refused:?}");
    assert_eq!(refused[3], "the key of web1 is accepted here already");
    assert_eq!(out.tags(), ["brine/key/web1/accepted", "brine/key/web2/pending"]);
    assert_eq!(world.who_decided("web1"), ["unix:0 (root) imported"]);
    let many = ImportRequest { keys: vec![request.keys[2].clone(); 1001], reason: None };
    assert_eq!(problem(&world.ask(Ask::Import(many))).kind, ProblemKind::BadRequest);
    let entry = serde_json::from_value(serde_json::json!({"alice": {"role": "operator"}})).expect("roles");
    let roles = Roles::read(&entry, &BTreeMap::new(), &Default::default(), false).expect("roles");
    let alice = roles.principal(1000, Some("alice"), 0).expect("alice");
    assert_eq!(problem(&world.ask_as(alice, Ask::Import(request))).kind, ProblemKind::Forbidden);
}

#[test]
fn a_fleet_that_waits_is_let_in_in_one_go() {
    let mut world = World::new();
    let names: Vec<String> = (0..5000).map(|i| format!("m{i}")).collect();
    for (conn, name) in names.iter().enumerate() {
        world.knock(conn as u64 + 1, name);
    }
    let out = world.rules(auto_accept());
    let admitted = out.0.iter().filter(|output| {
        matches!(output, Output::Send { message: ToMinion::Standing(Standing::Accepted { .. }), .. })
    });
    assert_eq!(admitted.count(), 5000);
}

/// A ledger on a disk that may be full.
pub(super) struct Full {
    pub(super) log: MemoryLedger,
    pub(super) is_full: Rc<Cell<bool>>,
}

impl Log for Full {
    fn append_all(&mut self, drafts: Vec<Draft>, at: Timestamp) -> Result<Vec<Entry>, LedgerError> {
        if self.is_full.get() {
            return Err(LedgerError::Poisoned("ledger.jsonl".into()));
        }
        self.log.append_all(drafts, at)
    }

    fn entries(&self) -> Result<Vec<Entry>, LedgerError> {
        self.log.entries()
    }

    fn head(&self) -> Hash {
        self.log.head()
    }
}

#[test]
fn a_rule_that_could_not_be_written_is_tried_again() {
    let is_full = Rc::new(Cell::new(true));
    let log = Full { log: MemoryLedger::default(), is_full: Rc::clone(&is_full) };
    let trust = Trust::with_log(log, WaitingLimits::default()).expect("a ledger");
    let mut now = Now::default();
    let random = Box::new(|bytes: &mut [u8]| bytes.fill(7));
    let mut engine = Engine::new(settings(), trust, memory(), random, now);
    let mut input = |input, seconds| {
        now.steady += Duration::from_secs(seconds);
        engine.handle(input, now);
        Out(std::iter::from_fn(|| engine.poll_output()).collect())
    };
    input(Input::Rules { rules: Box::new(auto_accept()), problem: None }, 0);
    let opened = Opened {
        conn: ConnId(1),
        id: id("web1"),
        key: b"web1".to_vec(),
        fingerprint: fingerprint("web1"),
        address: Ipv4Addr::new(10, 0, 0, 1).into(),
        resumed: None,
    };
    let first = ToMaster::Knock(Knock::default());
    let out = input(Input::Opened { opened: Box::new(opened), first }, 0);
    assert_eq!(out.tags(), ["brine/key/web1/pending"]);
    assert!(input(Input::Tick, 2).tags().is_empty(), "still full");
    is_full.set(false);
    let out = input(Input::Tick, 2);
    assert_eq!(out.tags(), ["brine/key/web1/accepted"]);
    assert!(matches!(out.sent(1)[..], [ToMinion::Standing(Standing::Accepted { .. })]), "{out:?}");
}

#[test]
fn who_is_left_alone_by_somebody_elses_knock_is_judged() {
    // Its rival has waited for too long.
    let mut world = World::new();
    world.knock(1, "web1'");
    let age = Duration::from_secs(WaitingLimits::default().pending_age_s);
    world.now.wall = world.now.wall.plus_micros(1_000_000);
    world.knock(2, "web1");
    world.rules(autosign("web*"));
    world.now.wall = world.now.wall.plus_micros(age.as_micros() as i64);
    let out = world.knock(3, "db1");
    assert_eq!(out.tags(), ["brine/key/web1/expired", "brine/key/db1/pending", "brine/key/web1/accepted"]);
    assert!(matches!(out.sent(2)[..], [ToMinion::Standing(Standing::Accepted { .. })]), "{out:?}");

    // Its rival is pushed out.
    let limits = WaitingLimits { pending_max: 2, ..WaitingLimits::default() };
    let mut world = World::new();
    let trust = Trust::with_log(MemoryLedger::default(), limits).expect("a ledger");
    let random = Box::new(|bytes: &mut [u8]| bytes.fill(7));
    world.engine = Engine::new(settings(), trust, memory(), random, world.now);
    world.knock(1, "web1'");
    world.knock(2, "web1");
    world.rules(autosign("web*"));
    let out = world.knock(3, "db1");
    assert!(out.cut(1), "{out:?}");
    assert_eq!(out.tags(), ["brine/key/web1/expired", "brine/key/db1/pending", "brine/key/web1/accepted"]);
}

#[test]
fn events_say_why() {
    let mut world = World::new();
    world.rules(autosign("web*"));
    let reasons = |out: &Out| -> Vec<Option<String>> {
        let events = out.0.iter().filter_map(|output| match output {
            Output::Event(event) => {
                Some(event.data.get("reason").map(|r| r.as_str().expect("text").to_owned()))
            }
            _ => None,
        });
        events.collect()
    };
    assert_eq!(reasons(&world.knock(1, "web1")), [None, Some("web*".to_owned())]);
    let key = KeyName { id: id("web1"), fingerprint: fingerprint("web1"), state: None };
    let act = |act, reason: Option<&str>| {
        let reason = reason.map(str::to_owned);
        Ask::Act(KeyActRequest { act, keys: vec![key.clone()], reason })
    };
    assert_eq!(reasons(&world.ask(act(Act::Suspend, Some("ticket 7")))), [Some("ticket 7".to_owned())]);
    assert_eq!(reasons(&world.ask(act(Act::Resume, None))), [None]);
}

#[test]
fn an_operator_rejects_for_good_whom_a_rule_rejects() {
    let mut world = World::new();
    world.rules(autoreject("evil*"));
    world.knock(1, "evil1");
    let key = KeyName { id: id("evil1"), fingerprint: fingerprint("evil1"), state: Some(KeyState::Rejected) };
    let out = world.ask(Ask::Act(KeyActRequest { act: Act::Reject, keys: vec![key], reason: None }));
    let Answer::Acted(results) = out.answer() else { panic!("{out:?}") };
    assert_eq!(results[0].refused, None);
    world.rules(Rules::default());
    assert_eq!(world.hello(2, "evil1"), Standing::Rejected);
    assert_eq!(world.who_decided("evil1"), ["unix:0 (root) -"]);
}
