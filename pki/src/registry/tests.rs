use brine_protocol::control::{ACTS, KEY_STATES};
use brine_protocol::time::Timestamp;

use super::samples::*;
use super::*;
use crate::ledger::{FileLedger, Log, MemoryLedger};
use crate::waiting::WaitingLimits;

mod many;
mod properties;
mod rotations;
mod ruled;
mod servers;

#[test]
fn every_transition() {
    let mut table = String::new();
    for from in KEY_STATES {
        for act in ACTS {
            let fate = match transition(from, act) {
                Fate::Becomes(state) => format!("-> {}", state.name()),
                Fate::Gone => "-> gone".to_owned(),
                Fate::Refused(why) => format!("no: {why}"),
            };
            table.push_str(&format!("{:9} {:7} {fate}\n", from.name(), act.name()));
        }
    }
    let expected = "\
accepted  accept  no: it is accepted already
accepted  reject  -> rejected
accepted  delete  -> gone
accepted  suspend -> suspended
accepted  resume  no: only a suspended key can be resumed
denied    accept  -> accepted
denied    reject  -> rejected
denied    delete  -> gone
denied    suspend no: only an accepted key can be suspended
denied    resume  no: only a suspended key can be resumed
pending   accept  -> accepted
pending   reject  -> rejected
pending   delete  -> gone
pending   suspend no: only an accepted key can be suspended
pending   resume  no: only a suspended key can be resumed
rejected  accept  -> accepted
rejected  reject  no: it is rejected already
rejected  delete  -> gone
rejected  suspend no: only an accepted key can be suspended
rejected  resume  no: only a suspended key can be resumed
suspended accept  no: it is suspended; resume it
suspended reject  -> rejected
suspended delete  -> gone
suspended suspend no: it is suspended already
suspended resume  -> accepted
";
    assert_eq!(table, expected);
}

/// A fleet with the key `k` of `a` in this state.
fn with_state(state: KeyState) -> Trust<MemoryLedger> {
    let mut trust = Trust::with_log(MemoryLedger::default(), WaitingLimits::default()).unwrap();
    let act = |trust: &mut Trust<_>, act, key| {
        drop(trust.act(act, &name("a", key), "test", None, at(0)).unwrap());
    };
    if state == KeyState::Denied {
        trust.knock(knocker("a", "other", "192.0.2.9"), at(0));
        act(&mut trust, Act::Reject, "other");
    }
    trust.knock(knocker("a", "k", "192.0.2.1"), at(0));
    match state {
        KeyState::Pending | KeyState::Denied => {}
        KeyState::Accepted => act(&mut trust, Act::Accept, "k"),
        KeyState::Rejected => act(&mut trust, Act::Reject, "k"),
        KeyState::Suspended => {
            act(&mut trust, Act::Accept, "k");
            act(&mut trust, Act::Suspend, "k");
        }
    }
    trust
}

#[test]
fn acts_do_what_the_table_says() {
    for state in KEY_STATES {
        for act in ACTS {
            let mut trust = with_state(state);
            let k = name("a", "k");
            assert_eq!(trust.standing(&k.id, k.fingerprint).state(), state);
            let before = (trust.list(), trust.head());
            let done = trust.act(act, &k, "unix:0 (root)", Some("test"), at(1));
            match transition(state, act) {
                Fate::Becomes(next) => {
                    let done = done.unwrap();
                    assert_eq!((done.was.state(), done.is.unwrap().state()), (state, next));
                    assert_eq!(trust.standing(&k.id, k.fingerprint).state(), next);
                    assert_eq!(
                        trust.count(next),
                        if state == KeyState::Denied && next == KeyState::Rejected { 2 } else { 1 }
                    );
                }
                Fate::Gone => {
                    assert_eq!(done.unwrap().is, None);
                    assert!(trust.list().iter().all(|key| key.fingerprint != k.fingerprint));
                }
                Fate::Refused(why) => {
                    let sentence = format!("cannot {} the key of a: {why}", act.name());
                    assert_eq!(done.unwrap_err().to_string(), sentence);
                    assert_eq!((trust.list(), trust.head()), before);
                }
            }
        }
    }
}

#[test]
fn refusals_say_what_stands_against_it() {
    let mut trust = with_state(KeyState::Accepted);
    trust.knock(knocker("a", "new", "192.0.2.2"), at(1));
    let mut refuse = |act, name: &KeyName, reason: Option<&str>| {
        let head = trust.head();
        let refusal = trust.act(act, name, "test", reason, at(2)).unwrap_err();
        assert_eq!(trust.head(), head);
        refusal.to_string()
    };
    let (old, new) = (fingerprint("k"), fingerprint("new"));
    let held = |state| {
        format!("a is held by the {state} key {old}; delete or reject that key before {new} can be accepted")
    };
    assert_eq!(refuse(Act::Accept, &name("a", "new"), None), held("accepted"));
    assert_eq!(
        refuse(Act::Delete, &name("a", "none"), None),
        format!("a has no key {}", fingerprint("none"))
    );
    let saw = |key, state| KeyName { state: Some(state), ..name("a", key) };
    assert_eq!(
        refuse(Act::Reject, &saw("k", KeyState::Pending), None),
        "the key of a changed meanwhile: it is accepted, not pending"
    );
    assert_eq!(
        refuse(Act::Reject, &saw("none", KeyState::Pending), None),
        "the key of a changed meanwhile: it is gone, not pending"
    );
    assert_eq!(
        refuse(Act::Delete, &name("a", "k"), Some(&"x".repeat(1025))),
        "a reason has at most 1024 bytes, this one has 1025"
    );
    trust.act(Act::Suspend, &name("a", "k"), "test", None, at(3)).unwrap();
    let refusal = trust.act(Act::Accept, &name("a", "new"), "test", None, at(4)).unwrap_err();
    assert_eq!(refusal.to_string(), held("suspended"));
    trust.act(Act::Delete, &saw("k", KeyState::Suspended), "test", None, at(5)).unwrap();
    trust.act(Act::Accept, &saw("new", KeyState::Pending), "test", None, at(6)).unwrap();
}

/// Which acts go through when the caller saw the key in one state and it is in another.
#[test]
fn who_saw_another_state_is_refused_unless_nobody_decided_about_the_key() {
    let mut table = String::new();
    for seen in [KeyState::Pending, KeyState::Denied, KeyState::Accepted] {
        for is in KEY_STATES.into_iter().filter(|is| *is != seen) {
            let done = ACTS.into_iter().filter(|act| {
                let name = KeyName { state: Some(seen), ..name("a", "k") };
                match with_state(is).act(*act, &name, "test", None, at(1)) {
                    Ok(_) => true,
                    Err(error) => {
                        assert!(error.to_string().starts_with("the key of a changed meanwhile"), "{error}");
                        false
                    }
                }
            });
            let done: Vec<_> = done.map(Act::name).collect();
            table.push_str(&format!("{:8} {:9} {}\n", seen.name(), is.name(), done.join(" ")));
        }
    }
    let lines: Vec<&str> = table.lines().map(str::trim_end).filter(|line| line.contains("reject ")).collect();
    assert_eq!(lines, ["pending  denied    reject delete", "denied   pending   reject delete"], "{table}");
}

#[test]
fn many_keys_of_one_id_are_turned_away_one_by_one() {
    for act in [Act::Reject, Act::Delete] {
        let mut trust = with_state(KeyState::Pending);
        trust.knock(knocker("a", "k2", "192.0.2.2"), at(1));
        for key in ["k", "k2"] {
            let saw = KeyName { state: Some(KeyState::Pending), ..name("a", key) };
            trust.act(act, &saw, "test", None, at(2)).unwrap();
        }
        assert_eq!((trust.count(KeyState::Pending), trust.count(KeyState::Denied)), (0, 0), "{act:?}");
    }
}

#[test]
fn another_key_waits_as_denied_only_while_a_decided_one_is_there() {
    let mut trust = with_state(KeyState::Pending);
    let k2 = |trust: &Trust<_>| trust.standing(&id("a"), fingerprint("k2"));
    trust.knock(knocker("a", "k2", "192.0.2.2"), at(1));
    assert_eq!(k2(&trust), Verdict::Pending);
    for act in [Act::Accept, Act::Suspend, Act::Resume, Act::Reject] {
        trust.act(act, &name("a", "k"), "test", None, at(2)).unwrap();
        assert_eq!(k2(&trust), Verdict::Denied, "{act:?}");
    }
    // The rightful one may be accepted over a rejected squatter.
    trust.act(Act::Accept, &name("a", "k2"), "test", None, at(3)).unwrap();
    assert_eq!(trust.standing(&id("a"), fingerprint("k")), Verdict::Rejected);
    assert!(trust.registry().known_before(&id("a"), fingerprint("k2")));
    trust.act(Act::Delete, &name("a", "k"), "test", None, at(4)).unwrap();
    trust.act(Act::Delete, &name("a", "k2"), "test", None, at(5)).unwrap();
    trust.knock(knocker("a", "k2", "192.0.2.2"), at(6));
    assert_eq!(k2(&trust), Verdict::Pending);
    assert!(trust.registry().known_before(&id("a"), fingerprint("k2")));
    assert!(!trust.registry().known_before(&id("b"), fingerprint("k2")));
    assert_eq!(k2(&trust).state(), trust.list()[0].state);
}

#[test]
fn a_generation_ends_with_its_decision() {
    let mut trust = with_state(KeyState::Accepted);
    let k = name("a", "k");
    let act = |trust: &mut Trust<_>, act| trust.act(act, &k, "test", None, at(1)).unwrap().is;
    assert!(trust.is_accepted(&k.id, 1) && !trust.is_accepted(&k.id, 2) && !trust.is_accepted(&id("b"), 1));
    act(&mut trust, Act::Suspend);
    assert!(!trust.is_accepted(&k.id, 1));
    // The same key in the same life: what belongs to it still does.
    assert_eq!(act(&mut trust, Act::Resume), Some(Verdict::Accepted { generation: 1 }));
    assert!(trust.is_accepted(&k.id, 1));
    act(&mut trust, Act::Reject);
    assert!(!trust.is_accepted(&k.id, 1));
    assert_eq!(act(&mut trust, Act::Accept), Some(Verdict::Accepted { generation: 5 }));
    assert!(!trust.is_accepted(&k.id, 1) && trust.is_accepted(&k.id, 5));
    act(&mut trust, Act::Delete);
    assert!(!trust.is_accepted(&k.id, 5));
    trust.knock(knocker("a", "k", "192.0.2.1"), at(2));
    assert_eq!(act(&mut trust, Act::Accept), Some(Verdict::Accepted { generation: 7 }));
}

#[test]
fn lists_what_an_operator_needs() {
    let mut trust = with_state(KeyState::Pending);
    trust.knock(knocker("a", "k", "192.0.2.7"), at(5));
    trust.knock(knocker("b", "kb", "2001:db8::1"), at(6));
    let waiting = trust.list();
    assert_eq!(waiting.len(), 2);
    let a = &waiting[0];
    assert_eq!((a.first_seen, a.last_seen, a.attempts, a.generation), (at(0), at(5), 2, 0));
    assert_eq!(
        (a.address.as_deref(), a.claims.os.as_str(), a.known_before),
        (Some("192.0.2.7"), "Debian 13", false)
    );
    assert_eq!(
        a.public_key,
        "-----BEGIN PUBLIC KEY-----\ndGhlIHB1YmxpYyBrZXkgaw==\n-----END PUBLIC KEY-----\n"
    );
    trust.act(Act::Accept, &name("a", "k"), "test", None, at(7)).unwrap();
    trust.heard(&id("a"), fingerprint("k"), at(8));
    let a = &trust.list()[0];
    assert_eq!((a.state, a.generation, a.first_seen, a.last_seen), (KeyState::Accepted, 1, at(0), at(8)));
    assert_eq!((a.attempts, a.claims.host.as_str()), (2, "a"));
    let counts = KEY_STATES.map(|state| trust.count(state));
    assert_eq!(counts, [1, 0, 1, 0, 0]);
}

#[test]
fn what_a_repair_left_out_never_becomes_trust() {
    let mut log = MemoryLedger::default();
    for (act, key) in [
        (Act::Resume, "k"),
        (Act::Suspend, "k"),
        (Act::Delete, "k"),
        (Act::Accept, "k"),
        // The delete of k is lost.
        (Act::Accept, "k2"),
        (Act::Resume, "k"),
    ] {
        log.append(draft(act, "a", key), at(0)).unwrap();
    }
    let registry = Registry::fold(&log.entries().unwrap());
    assert_eq!(registry.standing(&id("a"), fingerprint("k")), Verdict::Denied);
    assert_eq!(registry.standing(&id("a"), fingerprint("k2")), Verdict::Accepted { generation: 5 });
    assert_eq!(registry.accepted().collect::<Vec<_>>(), [(&id("a"), 5)]);
}

fn open(dir: &std::path::Path) -> Opened {
    Trust::open(
        &dir.join("master/ledger.jsonl"),
        &dir.join("master/waiting.json"),
        WaitingLimits::default(),
        std::time::Duration::ZERO,
    )
    .unwrap()
}

#[test]
fn survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut trust = open(dir.path()).trust;
    for (of, key) in [("a", "ka"), ("b", "kb"), ("c", "kc")] {
        trust.knock(knocker(of, key, "192.0.2.1"), at(0));
    }
    trust.save().unwrap();
    trust.act(Act::Accept, &name("a", "ka"), "unix:0 (root)", Some("mine"), at(1)).unwrap();
    assert_eq!(trust.next_config_serial("master", at(2)).unwrap(), 1);
    assert_eq!(trust.next_config_serial("master", at(3)).unwrap(), 2);
    let (registry, head) = (trust.registry().clone(), trust.head());
    drop(trust);
    // The waiting keys were not saved since: the accepted one is in both files.
    let Opened { mut trust, warnings } = open(dir.path());
    assert_eq!(warnings, []);
    assert_eq!((trust.registry(), trust.head()), (&registry, head));
    let states: Vec<_> = trust.list().iter().map(|key| (key.id.to_string(), key.state)).collect();
    let expected = [("a", KeyState::Accepted), ("b", KeyState::Pending), ("c", KeyState::Pending)];
    assert_eq!(states, expected.map(|(id, state)| (id.to_owned(), state)));
    assert_eq!(trust.next_config_serial("master", at(4)).unwrap(), 3);
}

#[test]
fn one_writer() {
    let dir = tempfile::tempdir().unwrap();
    let held = open(dir.path());
    let ledger = dir.path().join("master/ledger.jsonl");
    let refused =
        Trust::open(&ledger, &ledger, WaitingLimits::default(), std::time::Duration::ZERO).unwrap_err();
    let expected = format!("ledger.lock is locked by process {}", std::process::id());
    assert!(refused.to_string().ends_with(&expected), "{refused}");
    drop(held);
    open(dir.path());
}

#[test]
fn waiting_keys_are_written_the_rarer_the_more_there_are() {
    let dir = tempfile::tempdir().unwrap();
    let mut trust = open(dir.path()).trust;
    assert!(trust.unsaved(at(0)).is_none());
    trust.knock(knocker("a", "k", "192.0.2.1"), at(0));
    assert!(trust.unsaved(at(0)).is_some());
    assert!(trust.unsaved(at(5)).is_none());
    trust.heard(&id("a"), fingerprint("k"), at(6));
    assert!(trust.unsaved(at(7)).is_none());
    for i in 0..2000 {
        trust.knock(knocker("a", &i.to_string(), "192.0.2.1"), at(8));
        trust.knock(knocker(&format!("m{i}"), &i.to_string(), "192.0.2.1"), at(8));
    }
    assert!(trust.unsaved(at(9)).is_none());
    assert!(trust.unsaved(at(11)).is_some());
    trust.knock(knocker("a", "k", "192.0.2.1"), at(12));
    assert!(trust.unsaved(at(-3600)).is_some(), "a clock set back");
}

#[test]
fn frames_of_ten_thousand_minions_are_judged_quickly() {
    let mut log = MemoryLedger::default();
    for i in 0..10_000 {
        log.append(draft(Act::Accept, &format!("m{i}"), &i.to_string()), at(0)).unwrap();
    }
    let registry = Registry::fold(&log.entries().unwrap());
    let ids: Vec<_> = registry.accepted().map(|(id, generation)| (id.clone(), generation)).collect();
    let started = std::time::Instant::now();
    assert!(ids.iter().all(|(id, generation)| registry.is_accepted(id, *generation)));
    // Linear search would need seconds even here.
    assert!(started.elapsed().as_millis() < 500, "{:?}", started.elapsed());
}
