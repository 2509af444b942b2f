//! Keys made for a server before its minion comes.

use super::*;

const DAY: i64 = 24 * 3600;

fn preseed(trust: &mut Fleet, n: u8, key: &str, replace: bool) -> Result<ServerDone, ServerError> {
    trust.preseed(server(n), fixed(key).public(), at(DAY), replace, WHO, None, at(1))
}

fn key(name: &str) -> Fingerprint {
    fixed(name).public().fingerprint()
}

fn refused<T: std::fmt::Debug>(result: Result<T, ServerError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn a_made_key_is_accepted_and_linked_by_one_line() {
    let mut trust = fleet(&["web1"]);
    assert_eq!(trust.preseed_id(server(1), false), Ok(id("web1")));
    let done = preseed(&mut trust, 1, "minion", false).unwrap();
    assert_eq!(
        (done.entry.seq, acts(&done)),
        (2, vec![(Act::Accept, "web1".into(), Some(KeyState::Accepted))])
    );
    let link = link(&trust, 1).unwrap();
    assert_eq!(
        (link.way, link.preseed.map(|p| (p.until, p.is_fetched))),
        (Way::Preseeded, Some((at(DAY), false)))
    );
    assert_eq!(keys_of(&trust, "web1"), ["accept: made for server web1"]);
    check_trust(&trust, &["web1"]);
    // Nobody else gets its place, and nobody gets it twice, unless asked to.
    assert!(preseed(&mut trust, 1, "other", false).is_err());
    let done = preseed(&mut trust, 1, "other", true).unwrap();
    assert_eq!(acts(&done).iter().map(|(act, ..)| *act).collect::<Vec<_>>(), [Act::Reject, Act::Accept]);
    assert_eq!(done.unlinked, Some((server(1), id("web1"), key("minion"))));
    assert_eq!(trust.standing(&id("web1"), key("minion")), Verdict::Rejected);
    assert_eq!(refused(preseed(&mut trust, 1, "minion", true)), "the key of web1 is rejected here already");
    check_trust(&trust, &["web1"]);
}

#[test]
fn an_id_is_found_or_the_refusal_says_why() {
    let mut trust = fleet(&["Collège Éluard", "web2", "web3", "web4"]);
    let refuse = |trust: &Fleet, n, replace| trust.preseed_id(server(n), replace).unwrap_err().to_string();
    assert_eq!(
        refuse(&trust, 1, false),
        "server \"Collège Éluard\" names no minion id, and its name is none; give the record a minion id"
    );
    let expecting = ServerRecord { minion_id: Some(id("web2")), ..record("Collège Éluard") };
    trust.update_server(server(1), expecting, WHO, None, at(0)).unwrap();
    assert_eq!(trust.preseed_id(server(1), false), Ok(id("web2")));
    assert!(refuse(&trust, 2, true).contains("is the one that expects the minion web2"));
    trust.knock(knocker("web3", "k3", "192.0.2.1"), at(0));
    assert_eq!(trust.preseed_id(server(3), false), Ok(id("web3")), "a stranger does not hold the id");
    trust.act(Act::Accept, &name("web3", "k3"), WHO, None, at(1)).unwrap();
    for replace in [false, true] {
        assert!(refuse(&trust, 3, replace).starts_with("web3 is held by the accepted key"), "{replace}");
    }
    paired(&mut trust, 4, "else", "k4");
    assert!(refuse(&trust, 4, false).contains("is linked to else"));
    let done = preseed(&mut trust, 4, "minion", true).unwrap();
    assert_eq!(acts(&done)[0], (Act::Reject, "else".into(), Some(KeyState::Rejected)));
    assert_eq!(linked(&trust, 4), Some(("web4".into(), KeyState::Accepted)));
    trust.set_max_minions(2);
    assert!(refuse(&trust, 1, false).contains("max_minions is 2"));
    for until in [at(1), at(0), at(11 * 366 * DAY), Timestamp(i64::MAX)] {
        let late = trust.preseed(server(1), fixed("other").public(), until, false, WHO, None, at(1));
        assert!(refused(late).ends_with("is not within the next ten years"));
    }
    check_trust(&trust, &["web2", "web3", "web4", "else"]);
}

#[test]
fn a_key_that_is_made_takes_the_place_of_the_one_that_was_seen() {
    let mut trust = fleet(&["web1", "web2"]);
    paired(&mut trust, 1, "web1", "k1");
    let make = |trust: &mut Fleet, n, seen| {
        let replace = Replace::new(true, Some(seen));
        let (key, until) = (fixed("other"), at(DAY));
        trust.preseed(server(n), key.public(), until, replace, WHO, None, at(1))
    };
    for (n, found) in [(1, fingerprint("k1").to_string()), (2, "none".to_owned())] {
        let seen = Replace::new(true, Some(fingerprint("k2")));
        let early = trust.preseed_id(server(n), seen).unwrap_err().to_string();
        assert!(early.contains(&format!("give way is {found}, not {}", fingerprint("k2"))), "{early}");
        assert_eq!(refused(make(&mut trust, n, fingerprint("k2"))), early);
    }
    assert_eq!(linked(&trust, 1), Some(("web1".into(), KeyState::Accepted)));
    assert_eq!(make(&mut trust, 1, fingerprint("k1")).unwrap().keys.len(), 2);
    check_trust(&trust, &["web1", "web2"]);
}

#[test]
fn a_bundle_is_handed_out_once() {
    let mut trust = fleet(&["web1", "web2"]);
    let fetch = |trust: &mut Fleet, n, now| trust.fetch(server(n), "unix:1000 (alice)", None, now);
    assert_eq!(refused(fetch(&mut trust, 1, at(0))), "no key was made for server \"web1\"");
    preseed(&mut trust, 1, "minion", false).unwrap();
    assert_eq!(
        refused(fetch(&mut trust, 1, at(DAY))),
        format!("the bundle of server \"web1\" was good until {}", at(DAY))
    );
    assert_eq!(fetch(&mut trust, 1, at(2)).unwrap().seq, 4);
    assert_eq!(
        refused(fetch(&mut trust, 1, at(3))),
        format!(
            "the bundle of server \"web1\" was fetched by unix:1000 (alice) at {}; it is handed out once",
            at(2)
        )
    );
    trust.arrive(&id("web1"), key("minion"), at(4)).unwrap().expect("a line");
    assert!(refused(fetch(&mut trust, 1, at(5))).contains("has come"));
    paired(&mut trust, 2, "web2", "k2");
    assert_eq!(refused(fetch(&mut trust, 2, at(5))), "no key was made for server \"web2\"");
    let replaced = preseed(&mut trust, 1, "other", true).unwrap();
    assert_eq!(replaced.keys.len(), 2);
    fetch(&mut trust, 1, at(6)).expect("another key, another bundle");
    check_trust(&trust, &["web1", "web2"]);
}

#[test]
fn whose_minion_does_not_come_is_taken_back() {
    let mut trust = fleet(&["web1", "web2", "web3"]);
    preseed(&mut trust, 1, "minion", false).unwrap();
    preseed(&mut trust, 2, "other", false).unwrap();
    paired(&mut trust, 3, "web3", "k3");
    let arrived = |trust: &mut Fleet, of: &str, key: Fingerprint, now| {
        trust.arrive(&id(of), key, now).unwrap().map(|entry| entry.by)
    };
    assert_eq!(arrived(&mut trust, "web2", key("minion"), at(2)), None, "another key");
    assert_eq!(arrived(&mut trust, "web3", fingerprint("k3"), at(2)), None, "nobody made that key");
    assert_eq!(arrived(&mut trust, "web2", key("other"), at(2)).as_deref(), Some("minion:web2"));
    assert_eq!(arrived(&mut trust, "web2", key("other"), at(3)), None, "it is here already");
    assert_eq!(link(&trust, 2).unwrap().preseed, None);
    assert!(trust.expire_preseeds(at(DAY - 1)).is_empty());
    assert_eq!(arrived(&mut trust, "web1", key("minion"), at(DAY)), None, "too late");
    let expired: Vec<_> = trust.expire_preseeds(at(DAY)).into_iter().map(Result::unwrap).collect();
    assert_eq!(expired.len(), 1);
    assert_eq!(acts(&expired[0]), [(Act::Reject, "web1".into(), Some(KeyState::Rejected))]);
    assert_eq!(expired[0].unlinked, Some((server(1), id("web1"), key("minion"))));
    assert!(trust.expire_preseeds(at(DAY)).is_empty());
    assert_eq!(linked(&trust, 1), None);
    assert_eq!(linked(&trust, 2), Some(("web2".into(), KeyState::Accepted)));
    assert_eq!(
        keys_of(&trust, "web1"),
        ["accept: made for server web1", "reject: made for server web1, whose minion did not come"]
    );
    let history = trust.registry().servers().history(server(1));
    assert_eq!(servers_of(history), ["create", "preseed web1", "expire web1"]);
    preseed(&mut trust, 1, "master", false).expect("the record can have another");
    check_trust(&trust, &["web1", "web2", "web3"]);
}

#[test]
fn an_unused_key_does_not_outlive_its_link() {
    let mut trust = fleet(&["web1"]);
    preseed(&mut trust, 1, "minion", false).unwrap();
    let unused = refused(trust.unpair(server(1), KeyFate::Keep, None, WHO, None, at(2)));
    assert!(unused.contains("was not used yet"), "{unused}");
    assert_eq!(refused(trust.delete_server(server(1), Some(KeyFate::Keep), None, WHO, None, at(2))), unused);
    let done = trust.act(
        Act::Delete,
        &KeyName { id: id("web1"), fingerprint: key("minion"), state: None },
        WHO,
        None,
        at(2),
    );
    assert_eq!(done.unwrap().unlinked, Some(server(1)));
    assert_eq!(trust.registry().servers().unarrived().count(), 0);
    check_trust(&trust, &["web1"]);
}
