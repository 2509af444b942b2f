//! Pairing and parting.

use super::*;

fn refused(trust: &mut Fleet, n: u8, name: &KeyName, replace: bool) -> (RefusalKind, String) {
    let head = trust.head();
    let error = trust.pair(server(n), name, replace, WHO, None, at(5)).unwrap_err();
    assert_eq!(trust.head(), head, "a refusal writes nothing");
    match error {
        ServerError::Refused(refusal) => (refusal.kind(), refusal.to_string()),
        ServerError::Ledger(error) => panic!("{error}"),
    }
}

fn saw(of: &str, key: &str, state: KeyState) -> KeyName {
    KeyName { state: Some(state), ..name(of, key) }
}

#[test]
fn a_waiting_key_is_accepted_and_linked_by_one_line() {
    let mut trust = fleet(&["one"]);
    trust.knock(knocker("m1", "k1", "192.0.2.1"), at(0));
    let pending = saw("m1", "k1", KeyState::Pending);
    let done = trust.pair(server(1), &pending, false, WHO, Some("it is on my desk"), at(2)).unwrap();
    assert_eq!((done.entry.seq, done.server, done.unlinked.clone()), (2, Some(server(1)), None));
    assert_eq!(acts(&done), [(Act::Accept, "m1".into(), Some(KeyState::Accepted))]);
    assert_eq!(done.keys[0].1.was, Verdict::Pending);
    assert_eq!(done.keys[0].1.is, Some(Verdict::Accepted { generation: 2 }));
    let link = link(&trust, 1).unwrap();
    assert_eq!((link.way, link.since, link.by.as_str(), link.preseed), (Way::Paired, at(2), WHO, None));
    assert_eq!(trust.log().entries().unwrap().len(), 2);
    assert_eq!(trust.count(KeyState::Pending), 0, "it no longer waits");
    assert_eq!(keys_of(&trust, "m1"), ["accept: it is on my desk"]);
    assert_eq!(trust.list()[0].attempts, 1, "what was seen of it is kept");
    check_trust(&trust, &["m1"]);
    let (kind, text) = refused(&mut trust, 1, &name("m1", "k1"), true);
    assert_eq!(
        (kind, text.as_str()),
        (RefusalKind::Conflict, "server \"one\" is linked to m1 by this very key")
    );
}

#[test]
fn an_accepted_key_is_linked_and_stays_the_same_minion() {
    let mut trust = fleet(&["one"]);
    trust.knock(knocker("m1", "k1", "192.0.2.1"), at(0));
    trust.act(Act::Accept, &name("m1", "k1"), WHO, None, at(1)).unwrap();
    let done = trust.pair(server(1), &saw("m1", "k1", KeyState::Accepted), false, WHO, None, at(2)).unwrap();
    assert_eq!(acts(&done), []);
    assert!(trust.is_accepted(&id("m1"), 2), "what it was ordered is still meant for it");
    assert_eq!(linked(&trust, 1), Some(("m1".into(), KeyState::Accepted)));
    check_trust(&trust, &["m1"]);
}

#[test]
fn refusals_say_what_stands_against_it() {
    let mut trust = fleet(&["one", "two", "three"]);
    paired(&mut trust, 1, "m1", "k1");
    trust.knock(knocker("m2", "k2", "192.0.2.2"), at(1));
    assert_eq!(refused(&mut trust, 9, &name("m2", "k2"), false).0, RefusalKind::Unknown);
    assert_eq!(refused(&mut trust, 2, &name("m2", "other"), false).0, RefusalKind::Unknown);
    let (_, text) = refused(&mut trust, 1, &name("m2", "k2"), false);
    let expected = format!(
        "server \"one\" is linked to m1 by the key {}; unpair it, or ask to replace that key",
        fingerprint("k1")
    );
    assert_eq!(text, expected);
    for replace in [false, true] {
        let (_, text) = refused(&mut trust, 2, &name("m1", "k1"), replace);
        assert_eq!(text, format!("m1 is linked to server \"one\" ({}); unpair it there first", server(1)));
    }
    let (_, text) = refused(&mut trust, 2, &saw("m2", "k2", KeyState::Rejected), false);
    assert_eq!(text, "the key of m2 changed meanwhile: it is pending, not rejected");
    trust.act(Act::Reject, &name("m2", "k2"), WHO, None, at(2)).unwrap();
    let (_, text) = refused(&mut trust, 2, &saw("m2", "k2", KeyState::Pending), false);
    assert_eq!(text, "the key of m2 changed meanwhile: it is rejected, not pending");
    let (_, text) = refused(&mut trust, 2, &name("m2", "k2"), true);
    assert!(text.starts_with("the key of m2 is rejected"), "{text}");
    trust.pair(server(2), &saw("m2", "k2", KeyState::Rejected), false, WHO, None, at(3)).unwrap();
    assert_eq!(linked(&trust, 2), Some(("m2".into(), KeyState::Accepted)), "seen so, it is meant");

    trust.knock(knocker("m3", "k3", "192.0.2.3"), at(3));
    trust.knock(knocker("m3", "k3b", "192.0.2.3"), at(3));
    trust.act(Act::Accept, &name("m3", "k3"), WHO, None, at(3)).unwrap();
    let held = format!(
        "m3 is held by the accepted key {}; reject or delete that key first (pairing can also replace it)",
        fingerprint("k3")
    );
    assert_eq!(refused(&mut trust, 3, &name("m3", "k3b"), false).1, held);
    let (_, text) = refused(&mut trust, 1, &name("m3", "k3b"), true);
    assert!(text.contains("one decision gives up one key"), "{text}");
    trust.act(Act::Suspend, &name("m3", "k3"), WHO, None, at(3)).unwrap();
    let (_, text) = refused(&mut trust, 3, &name("m3", "k3"), false);
    assert_eq!(text, "cannot accept the key of m3: it is suspended; resume it");
    let expecting = ServerRecord { minion_id: Some(id("m4")), ..record("three") };
    trust.update_server(server(3), expecting, WHO, None, at(4)).unwrap();
    trust.knock(knocker("m4", "k4", "192.0.2.4"), at(4));
    assert_eq!(
        refused(&mut trust, 3, &name("m3", "k3b"), true).1,
        "server \"three\" expects the minion m4, not m3"
    );
    trust.act(Act::Delete, &name("m2", "k2"), WHO, None, at(4)).unwrap();
    assert!(
        refused(&mut trust, 2, &name("m4", "k4"), true).1.contains("is the one that expects the minion m4")
    );
    trust.set_max_minions(2);
    assert!(refused(&mut trust, 3, &name("m4", "k4"), false).1.contains("max_minions is 2"));
    check_trust(&trust, &["m1", "m2", "m3", "m4"]);
}

#[test]
fn a_machine_that_was_installed_anew_takes_its_place() {
    let mut trust = fleet(&["one"]);
    trust.set_max_minions(1);
    paired(&mut trust, 1, "m1", "k1");
    trust.knock(knocker("m1", "k2", "192.0.2.1"), at(2));
    let done = trust.pair(server(1), &saw("m1", "k2", KeyState::Denied), true, WHO, None, at(3)).unwrap();
    let expected = [
        (Act::Reject, "m1".to_owned(), Some(KeyState::Rejected)),
        (Act::Accept, "m1".to_owned(), Some(KeyState::Accepted)),
    ];
    assert_eq!(acts(&done), expected);
    assert_eq!(done.keys[0].1.fingerprint, fingerprint("k1"));
    assert_eq!(done.unlinked, Some((server(1), id("m1"), fingerprint("k1"))));
    assert_eq!(link(&trust, 1).map(|link| link.fingerprint), Some(fingerprint("k2")));
    assert_eq!(trust.standing(&id("m1"), fingerprint("k1")), Verdict::Rejected, "for good");
    assert_eq!(
        keys_of(&trust, "m1"),
        [
            "accept: paired with server one",
            "reject: gave way to another key of server one",
            "accept: paired with server one"
        ]
    );
    assert_eq!(servers_of(trust.registry().servers().history(server(1))), ["create", "pair m1", "pair m1"]);
    check_trust(&trust, &["m1"]);
}

#[test]
fn another_minion_takes_the_place_of_the_one_before() {
    let mut trust = fleet(&["one"]);
    paired(&mut trust, 1, "old", "k1");
    trust.knock(knocker("new", "k2", "192.0.2.1"), at(2));
    let done = trust.pair(server(1), &name("new", "k2"), true, WHO, None, at(3)).unwrap();
    assert_eq!(
        acts(&done),
        [
            (Act::Reject, "old".to_owned(), Some(KeyState::Rejected)),
            (Act::Accept, "new".to_owned(), Some(KeyState::Accepted)),
        ]
    );
    assert_eq!(done.unlinked, Some((server(1), id("old"), fingerprint("k1"))));
    check_trust(&trust, &["old", "new"]);
    // A key that holds the id, and is no server's, can be replaced as well.
    let mut trust = fleet(&["one"]);
    trust.knock(knocker("m1", "k1", "192.0.2.1"), at(0));
    trust.act(Act::Accept, &name("m1", "k1"), WHO, None, at(1)).unwrap();
    trust.knock(knocker("m1", "k2", "192.0.2.1"), at(2));
    let done = trust.pair(server(1), &name("m1", "k2"), true, WHO, None, at(3)).unwrap();
    assert_eq!((done.keys.len(), done.unlinked), (2, None));
    check_trust(&trust, &["m1"]);
}

#[test]
fn only_the_key_that_was_seen_gives_way() {
    let mut trust = fleet(&["one", "two"]);
    paired(&mut trust, 1, "m1", "k1");
    trust.knock(knocker("m1", "k2", "192.0.2.1"), at(2));
    trust.knock(knocker("m2", "k3", "192.0.2.1"), at(2));
    let seen = |key: &str| Replace::new(true, Some(fingerprint(key)));
    let is_other = |error: ServerError, found: Option<&str>| match error {
        ServerError::Refused(refusal @ ServerRefusal::OtherKey { .. }) => {
            let found = found.map_or("none".to_owned(), |key| fingerprint(key).to_string());
            assert!(refusal.to_string().contains(&format!("give way is {found}, not")), "{refusal}");
            assert_eq!(refusal.kind(), RefusalKind::Conflict);
        }
        other => panic!("{other}"),
    };
    let pair = |trust: &mut Fleet, n, of: &str, key: &str, replace| {
        trust.pair(server(n), &name(of, key), replace, WHO, None, at(3))
    };
    // Another than that of the record, and none at all, where one was seen.
    is_other(pair(&mut trust, 1, "m1", "k2", seen("k9")).unwrap_err(), Some("k1"));
    is_other(pair(&mut trust, 2, "m2", "k3", seen("k1")).unwrap_err(), None);
    for fate in [KeyFate::Keep, KeyFate::Reject, KeyFate::Delete] {
        let other = Some(fingerprint("k2"));
        is_other(trust.unpair(server(1), fate, other, WHO, None, at(3)).unwrap_err(), Some("k1"));
        let deleted = trust.delete_server(server(1), Some(fate), other, WHO, None, at(3));
        is_other(deleted.unwrap_err(), Some("k1"));
    }
    let gone = trust.delete_server(server(2), None, Some(fingerprint("k1")), WHO, None, at(3));
    is_other(gone.unwrap_err(), None);
    assert_eq!(linked(&trust, 1), Some(("m1".into(), KeyState::Accepted)), "nothing was done");
    // The one that holds the id, of no record.
    trust.act(Act::Accept, &name("m2", "k3"), WHO, None, at(3)).unwrap();
    trust.knock(knocker("m2", "k4", "192.0.2.1"), at(3));
    is_other(pair(&mut trust, 2, "m2", "k4", seen("k1")).unwrap_err(), Some("k3"));
    pair(&mut trust, 2, "m2", "k4", seen("k3")).expect("it is the one");
    pair(&mut trust, 1, "m1", "k2", seen("k1")).expect("it is the one");
    trust.unpair(server(1), KeyFate::Keep, Some(fingerprint("k2")), WHO, None, at(4)).expect("it is the one");
    let fate = Some(KeyFate::Reject);
    trust.delete_server(server(2), fate, Some(fingerprint("k4")), WHO, None, at(4)).expect("it is the one");
    check_trust(&trust, &["m1", "m2"]);
}

#[test]
fn unpairing_does_to_the_key_what_is_said() {
    for (fate, state) in [
        (KeyFate::Keep, Some(KeyState::Accepted)),
        (KeyFate::Reject, Some(KeyState::Rejected)),
        (KeyFate::Delete, None),
    ] {
        let mut trust = fleet(&["one"]);
        paired(&mut trust, 1, "m1", "k1");
        let done = trust.unpair(server(1), fate, None, WHO, None, at(2)).unwrap();
        assert_eq!(done.unlinked, Some((server(1), id("m1"), fingerprint("k1"))));
        assert_eq!(done.keys.len(), usize::from(fate != KeyFate::Keep));
        assert_eq!((linked(&trust, 1), trust.list().first().map(|key| key.state)), (None, state));
        assert_eq!(
            servers_of(trust.registry().servers().history(server(1))),
            ["create", "pair m1", "unpair m1"]
        );
        check_trust(&trust, &["m1"]);
        let refusal = trust.unpair(server(1), fate, None, WHO, None, at(3)).unwrap_err();
        assert_eq!(refusal.to_string(), "server \"one\" has no minion");
    }
}

#[test]
fn whatever_takes_the_id_from_the_key_undoes_the_link() {
    for (act, undoes) in
        [(Act::Suspend, false), (Act::Resume, false), (Act::Reject, true), (Act::Delete, true)]
    {
        let mut trust = fleet(&["one"]);
        paired(&mut trust, 1, "m1", "k1");
        if act == Act::Resume {
            trust.act(Act::Suspend, &name("m1", "k1"), WHO, None, at(2)).unwrap();
        }
        let done = trust.act(act, &name("m1", "k1"), WHO, Some("why"), at(3)).unwrap();
        assert_eq!(
            (done.unlinked, linked(&trust, 1).is_none()),
            (undoes.then(|| server(1)), undoes),
            "{act:?}"
        );
        let history = trust.registry().servers().history(server(1));
        let expected: &[&str] = match act {
            Act::Reject => &["create", "pair m1", "reject m1"],
            Act::Delete => &["create", "pair m1", "delete m1"],
            Act::Accept | Act::Suspend | Act::Resume => &["create", "pair m1"],
        };
        assert_eq!(servers_of(history), expected);
        check_trust(&trust, &["m1"]);
    }
}

#[test]
fn a_rotation_takes_the_link_along() {
    let (old, new) = (fixed("minion"), fixed("other"));
    let mut trust = fleet(&["one"]);
    let knocks = Knocker {
        fingerprint: old.public().fingerprint(),
        key: old.public().der().to_vec(),
        ..knocker("m1", "", "192.0.2.1")
    };
    let key = KeyName { id: id("m1"), fingerprint: knocks.fingerprint, state: None };
    trust.knock(knocks, at(0));
    trust.pair(server(1), &key, false, WHO, None, at(1)).unwrap();
    let signed = crate::rotation::sign(&id("m1"), &old, &new, None);
    let handover = crate::rotation::verify(&id("m1"), old.public().der(), &signed).unwrap();
    trust.rotate(&id("m1"), &handover, "minion:m1", None, at(2)).unwrap();
    assert_eq!(
        link(&trust, 1).map(|link| (link.fingerprint, link.since)),
        Some((new.public().fingerprint(), at(1)))
    );
    assert_eq!(servers_of(trust.registry().servers().history(server(1))), ["create", "pair m1", "rotate m1"]);
    check_trust(&trust, &["m1"]);
}
