//! Many decisions at a time, and keys from elsewhere.

use brine_protocol::control::KeyState;

use super::*;
use crate::ledger::{Entry, Hash, LedgerError};

/// A log that records so many entries, and fails the first append that would be more.
#[derive(Default)]
struct Small {
    log: MemoryLedger,
    room: usize,
    appends: usize,
}

impl Log for Small {
    fn append_all(&mut self, drafts: Vec<Draft>, at: Timestamp) -> Result<Vec<Entry>, LedgerError> {
        self.appends += 1;
        if drafts.len() > self.room {
            return Err(LedgerError::Poisoned("ledger.jsonl".into()));
        }
        self.room -= drafts.len();
        self.log.append_all(drafts, at)
    }

    fn entries(&self) -> Result<Vec<Entry>, LedgerError> {
        self.log.entries()
    }

    fn head(&self) -> Hash {
        self.log.head()
    }
}

fn small(room: usize) -> Trust<Small> {
    let limits = WaitingLimits { pending_max: 20_000, ..WaitingLimits::default() };
    Trust::with_log(Small { room, ..Small::default() }, limits).unwrap()
}

fn states(trust: &Trust<impl Log>) -> Vec<(String, KeyState)> {
    trust.list().iter().map(|key| (key.id.to_string(), key.state)).collect()
}

#[test]
fn each_of_many_is_decided_by_itself() {
    let mut trust = small(100);
    for of in ["a", "b", "c"] {
        trust.knock(knocker(of, of, "192.0.2.1"), at(0));
    }
    let names = [name("a", "a"), name("x", "x"), name("b", "b"), name("a", "a"), name("c", "c")];
    let done = trust.act_all(Act::Accept, &names, "test", Some("why"), at(1));
    let shown: Vec<String> = done
        .iter()
        .map(|done| match done {
            Ok(done) => format!("{} {}", done.id, done.entry.seq),
            Err(error) => error.to_string(),
        })
        .collect();
    let unknown = format!("x has no key {}", fingerprint("x"));
    assert_eq!(shown, ["a 1", &unknown, "b 2", "cannot accept the key of a: it is accepted already", "c 3"]);
    assert_eq!(&Registry::fold(&trust.log().entries().unwrap()), trust.registry());
}

#[test]
fn an_id_that_repeats_sees_what_was_decided_before() {
    let mut trust = small(100);
    trust.knock(knocker("a", "k1", "192.0.2.1"), at(0));
    trust.knock(knocker("a", "k2", "192.0.2.1"), at(0));
    let done = trust.act_all(Act::Accept, &[name("a", "k1"), name("a", "k2")], "test", None, at(1));
    assert!(done[0].is_ok());
    assert!(done[1].as_ref().unwrap_err().to_string().starts_with("a is held by the accepted key"));
}

#[test]
fn many_keys_of_each_of_many_ids_are_turned_away_with_one_flush() {
    let key = |i: usize| (format!("m{}", i / 6), format!("k{}", i % 6));
    let names: Vec<_> = (0..240).map(key).map(|(of, key)| name(&of, &key)).collect();
    for (act, left) in [(Act::Reject, 240), (Act::Delete, 0)] {
        let mut trust = small(1000);
        for (of, key) in (0..240).map(key) {
            trust.knock(knocker(&of, &key, "192.0.2.1"), at(0));
        }
        let done = trust.act_all(act, &names, "test", None, at(1));
        let in_order = done.iter().zip(&names).all(|(done, name)| {
            done.as_ref().is_ok_and(|done| (&done.id, done.fingerprint) == (&name.id, name.fingerprint))
        });
        assert!(in_order, "{done:?}");
        assert_eq!((trust.log().appends, trust.list().len()), (1, left));
        // The same key again is another matter: it sees what became of it.
        let again = trust.act_all(Act::Delete, &[names[0].clone(), names[0].clone()], "test", None, at(2));
        assert_eq!((again[0].is_ok(), again[1].is_ok()), (left > 0, false));
        assert_eq!(&Registry::fold(&trust.log().entries().unwrap()), trust.registry());
    }
}

#[test]
fn what_the_log_does_not_take_is_not_true() {
    let mut trust = small(1000);
    let names: Vec<_> = (0..2500).map(|i| name(&format!("m{i:04}"), "k")).collect();
    for name in &names {
        trust.knock(knocker(name.id.as_str(), "k", "192.0.2.1"), at(0));
    }
    let done = trust.act_all(Act::Accept, &names, "test", None, at(1));
    assert_eq!(trust.log().appends, 3, "a thousand at a time");
    assert!(done[..1000].iter().all(Result::is_ok) && done[1000..].iter().all(Result::is_err));
    assert_eq!((trust.count(KeyState::Accepted), trust.count(KeyState::Pending)), (1000, 1500));
    assert_eq!(&Registry::fold(&trust.log().entries().unwrap()), trust.registry());
    let error = done[2499].as_ref().unwrap_err().to_string();
    assert!(error.starts_with("ledger.jsonl may end in half an entry"), "{error}");
}

#[test]
fn ten_thousand_are_accepted_quickly() {
    let dir = tempfile::tempdir().unwrap();
    let limits = WaitingLimits { pending_max: 20_000, ..WaitingLimits::default() };
    let (ledger, waiting) = (dir.path().join("ledger.jsonl"), dir.path().join("waiting.json"));
    let mut trust = Trust::open(&ledger, &waiting, limits, std::time::Duration::ZERO).unwrap().trust;
    trust.set_max_minions(10_000);
    let names: Vec<_> = (0..10_000).map(|i| name(&format!("m{i}"), "k")).collect();
    for name in &names {
        trust.knock(knocker(name.id.as_str(), "k", "192.0.2.1"), at(0));
    }
    let begun = std::time::Instant::now();
    assert!(trust.act_all(Act::Accept, &names, "test", None, at(1)).iter().all(Result::is_ok));
    // One flush for each of them would take longer on any disk that keeps its word.
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    assert_eq!(trust.count(KeyState::Accepted), 10_000);
}

#[test]
fn max_minions_bounds_who_is_in() {
    let mut trust = small(100);
    trust.set_max_minions(2);
    for of in ["a", "b", "c"] {
        trust.knock(knocker(of, of, "192.0.2.1"), at(0));
    }
    let names = ["a", "b", "c"].map(|of| name(of, of));
    let done = trust.act_all(Act::Accept, &names, "test", None, at(1));
    let refused = done[2].as_ref().unwrap_err().to_string();
    assert_eq!(
        refused,
        "cannot accept the key of c: max_minions is 2, and so many are accepted or suspended"
    );
    trust.act(Act::Suspend, &names[0], "test", None, at(2)).unwrap();
    assert!(trust.act(Act::Accept, &names[2], "test", None, at(2)).is_err(), "a suspended one is in");
    trust.act(Act::Resume, &names[0], "test", None, at(2)).unwrap();
    trust.act(Act::Reject, &names[0], "test", None, at(3)).unwrap();
    trust.act(Act::Accept, &names[2], "test", None, at(3)).unwrap();
    assert_eq!(trust.fill(), Some((2, 2)));
    trust.set_max_minions(1);
    assert_eq!(trust.count(KeyState::Accepted), 2, "who is in stays in");
}

fn imported(of: &str, key: &str, state: KeyState) -> Imported {
    Imported { id: id(of), fingerprint: fingerprint(key), key: der(key), state }
}

#[test]
fn keys_from_elsewhere_keep_their_states() {
    let mut trust = small(100);
    trust.knock(knocker("here", "k", "192.0.2.1"), at(0));
    trust.act(Act::Accept, &name("here", "k"), "test", None, at(0)).unwrap();
    trust.knock(knocker("waits", "k", "192.0.2.1"), at(0));
    let keys = [
        imported("a", "ka", KeyState::Accepted),
        imported("a", "kd", KeyState::Denied),
        imported("b", "kb", KeyState::Rejected),
        imported("c", "kc", KeyState::Pending),
        imported("here", "k", KeyState::Rejected),
        imported("here", "k2", KeyState::Accepted),
        imported("waits", "k", KeyState::Pending),
        imported("s", "ks", KeyState::Suspended),
    ];
    let results = trust.import(&keys, "root", Some("imported"), at(1));
    let refused: Vec<_> =
        results.iter().map(|result| result.as_ref().err().map(ToString::to_string)).collect();
    let held = format!(
        "here is held by the accepted key {}; delete or reject that key before {} can be accepted",
        fingerprint("k"),
        fingerprint("k2")
    );
    assert_eq!(refused[..4], [None, None, None, None]);
    assert_eq!(refused[4].as_deref(), Some("the key of here is accepted here already"));
    assert_eq!(refused[5].as_deref(), Some(held.as_str()));
    assert_eq!(refused[6].as_deref(), Some("the key of waits is pending here already"));
    assert!(refused[7].as_deref().unwrap().contains("suspend it here"));
    let expected = [
        ("a", KeyState::Accepted),
        ("a", KeyState::Denied),
        ("b", KeyState::Rejected),
        ("c", KeyState::Pending),
        ("here", KeyState::Accepted),
        ("waits", KeyState::Pending),
    ];
    assert_eq!(states(&trust), expected.map(|(id, state)| (id.to_owned(), state)));
    let c = &trust.list()[3];
    assert_eq!((c.address.as_deref(), c.attempts), (None, 0));
    assert_eq!(trust.registry().history(&id("a"))[0].reason.as_deref(), Some("imported"));
}

#[test]
fn nobody_is_pushed_out_by_an_import() {
    let limits = WaitingLimits { pending_max: 2, ..WaitingLimits::default() };
    let mut trust = Trust::with_log(MemoryLedger::default(), limits).unwrap();
    trust.knock(knocker("real", "k", "192.0.2.1"), at(0));
    let keys = [imported("a", "ka", KeyState::Pending), imported("b", "kb", KeyState::Pending)];
    let results = trust.import(&keys, "root", None, at(1));
    assert!(results[0].is_ok());
    assert!(results[1].as_ref().unwrap_err().to_string().starts_with("there is no room for another"));
    assert!(states(&trust).contains(&("real".to_owned(), KeyState::Pending)));
}

#[test]
fn every_decision_about_an_id_is_told() {
    let mut trust = small(100);
    trust.knock(knocker("a", "k", "192.0.2.1"), at(0));
    for (act, reason) in [(Act::Accept, Some("mine")), (Act::Suspend, None), (Act::Delete, None)] {
        trust.act(act, &name("a", "k"), "unix:0 (root)", reason, at(1)).unwrap();
    }
    let history = trust.registry().history(&id("a"));
    let told: Vec<_> = history.iter().map(|d| (d.seq, d.act.as_str(), d.reason.as_deref())).collect();
    assert_eq!(told, [(1, "accept", Some("mine")), (2, "suspend", None), (3, "delete", None)]);
    assert!(history.iter().all(|d| d.by == "unix:0 (root)" && d.fingerprint == fingerprint("k")));
    assert!(trust.registry().history(&id("b")).is_empty());
    assert_eq!(Registry::fold(&trust.log().entries().unwrap()).history(&id("a")).len(), 3);
}
