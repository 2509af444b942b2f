//! Enrolment by a token.

use brine_protocol::control::{Token, TokenRequest};
use brine_protocol::{Secret, TokenId};

use super::*;
use crate::registry::rules::{Expressions, Rules};
use crate::registry::servers::{hash_token, new_token};

const DAY: i64 = 24 * 3600;

fn wanted(server: Option<ServerId>, pattern: Option<&str>, uses: Option<u32>) -> TokenRequest {
    TokenRequest {
        server,
        id_pattern: pattern.map(str::to_owned),
        uses,
        expires_s: None,
        reason: Some("a new rack".into()),
    }
}

fn token(n: u8) -> TokenId {
    TokenId::from_random([n; 16])
}

fn secret(n: u8) -> Secret {
    new_token([n; 32]).0
}

fn make(trust: &mut Fleet, n: u8, wanted: &TokenRequest) -> Result<Token, ServerError> {
    trust.create_token(token(n), new_token([n; 32]).1, wanted, at(DAY), WHO, at(1))
}

fn refused(trust: &mut Fleet, of: &str, key: &str, n: u8, now: Timestamp) -> String {
    let head = trust.head();
    let error = trust.enrol(&id(of), fingerprint(key), &secret(n), now).unwrap_err();
    assert_eq!(trust.head(), head, "a refusal writes nothing");
    assert!(matches!(&error, ServerError::Refused(refusal) if refusal.kind() != RefusalKind::Invalid));
    error.to_string()
}

#[test]
fn a_token_is_random_and_only_its_hash_is_kept() {
    let (text, hash) = new_token([0xab; 32]);
    assert_eq!(text.expose(), format!("brt_{}", "ab".repeat(32)));
    assert_eq!(hash, hash_token(text.expose()));
    let mut trust = fleet(&["one"]);
    make(&mut trust, 1, &wanted(Some(server(1)), None, None)).unwrap();
    let lines: Vec<String> = trust.log().entries().unwrap().iter().map(Entry::to_line).collect();
    assert!(lines.iter().any(|line| line.contains(&new_token([1; 32]).1.to_string())));
    assert!(lines.iter().all(|line| !line.contains(&"01".repeat(32))), "{lines:?}");
    let mut knocks = knocker("m1", "k1", "192.0.2.1");
    knocks.claims.token = Some(secret(1));
    knocks.claims.server = Some("one".into());
    assert!(!format!("{knocks:?}").contains("brt_"));
    trust.knock(knocks, at(1));
    let kept = trust.list().remove(0).claims;
    assert_eq!((kept.server.as_deref(), kept.token), (Some("one"), None), "never filed");
}

#[test]
fn a_servers_token_lets_in_one_minion_and_links_it() {
    let mut trust = fleet(&["one"]);
    let made = make(&mut trust, 1, &wanted(Some(server(1)), None, None)).unwrap();
    assert_eq!((made.uses, made.used, made.until, made.server), (1, 0, at(DAY), Some(server(1))));
    for (of, key) in [("m1", "k1"), ("m2", "k2")] {
        trust.knock(knocker(of, key, "192.0.2.1"), at(2));
    }
    let done = trust.enrol(&id("m1"), fingerprint("k1"), &secret(1), at(2)).unwrap();
    assert_eq!((done.server, done.entry.by.clone()), (Some(server(1)), format!("token:{}", token(1))));
    assert_eq!(acts(&done), [(Act::Accept, "m1".into(), Some(KeyState::Accepted))]);
    let link = link(&trust, 1).unwrap();
    assert_eq!((link.way, link.by.as_str()), (Way::Enrolled, done.entry.by.as_str()));
    assert_eq!(trust.registry().servers().token(token(1)).unwrap().used, 1);
    assert_eq!(keys_of(&trust, "m1"), ["accept: enrolled as server one"]);
    assert_eq!(servers_of(trust.registry().servers().history(server(1))), ["create", "enrol m1"]);
    assert!(refused(&mut trust, "m2", "k2", 1, at(3)).contains("used as often"));
    assert_eq!(trust.standing(&id("m2"), fingerprint("k2")), Verdict::Pending, "it waits like any other");
    check_trust(&trust, &["m1", "m2"]);
}

#[test]
fn a_patterns_token_lets_in_so_many_that_match() {
    let mut trust = fleet(&[]);
    make(&mut trust, 1, &wanted(None, Some("web-*"), Some(2))).unwrap();
    for of in ["web-1", "web-2", "web-3", "db"] {
        trust.knock(knocker(of, of, "192.0.2.1"), at(2));
    }
    assert_eq!(refused(&mut trust, "db", "db", 1, at(2)), "this enrolment token is not for the minion db");
    for of in ["web-1", "web-2"] {
        let done = trust.enrol(&id(of), fingerprint(of), &secret(1), at(2)).unwrap();
        assert_eq!((done.server, done.keys.len()), (None, 1));
    }
    assert!(refused(&mut trust, "web-3", "web-3", 1, at(2)).contains("used as often"));
    check_trust(&trust, &["web-1", "web-2", "web-3", "db"]);
}

#[test]
fn a_token_opens_no_more_than_it_is_for() {
    let mut trust = fleet(&["one", "two", "three"]);
    for n in 1..=3 {
        make(&mut trust, n, &wanted(Some(server(n)), None, None)).unwrap();
    }
    make(&mut trust, 4, &wanted(None, Some("*"), Some(9))).unwrap();
    trust.knock(knocker("m1", "k1", "192.0.2.1"), at(1));
    assert!(refused(&mut trust, "m1", "k1", 9, at(2)).contains("not known here"));
    assert!(refused(&mut trust, "m1", "k1", 1, at(DAY)).contains("was good until"));
    assert_eq!(
        refused(&mut trust, "m1", "unseen", 1, at(2)),
        format!("m1 has no key {}", fingerprint("unseen"))
    );
    // Its record names another minion, or another record names this one.
    let expects = |minion: &str, name: &str| ServerRecord { minion_id: Some(id(minion)), ..record(name) };
    trust.update_server(server(1), expects("m9", "one"), WHO, None, at(1)).unwrap();
    assert!(refused(&mut trust, "m1", "k1", 1, at(2)).contains("is not for the minion m1"));
    trust.update_server(server(1), record("one"), WHO, None, at(1)).unwrap();
    make(&mut trust, 1, &wanted(Some(server(1)), None, None)).unwrap();
    trust.update_server(server(3), expects("m1", "three"), WHO, None, at(1)).unwrap();
    assert!(refused(&mut trust, "m1", "k1", 1, at(2)).contains("is not for the minion m1"));
    trust.update_server(server(3), record("three"), WHO, None, at(1)).unwrap();
    // A rule turns the id away; somebody else holds it; the record has a minion; there is no room.
    trust.set_rules(Rules { autoreject: Expressions::parse("m1").unwrap(), ..Rules::default() }, at(1));
    assert!(refused(&mut trust, "m1", "k1", 1, at(2)).contains("autoreject_file"));
    trust.set_rules(Rules::default(), at(1));
    paired(&mut trust, 2, "m2", "k2");
    trust.knock(knocker("m2", "thief", "192.0.2.1"), at(1));
    for n in [1, 4] {
        assert!(refused(&mut trust, "m2", "thief", n, at(2)).contains("is held by another key"));
    }
    assert_eq!(
        refused(&mut trust, "m1", "k1", 2, at(2)),
        "the server of this enrolment token has a minion already"
    );
    trust.set_max_minions(1);
    assert!(refused(&mut trust, "m1", "k1", 1, at(2)).contains("max_minions"));
    trust.set_max_minions(0);
    // A key that was rejected does not come in by a token.
    trust.act(Act::Reject, &name("m1", "k1"), WHO, None, at(2)).unwrap();
    assert!(refused(&mut trust, "m1", "k1", 4, at(2)).contains("m1 has no key"), "it does not wait");
    check_trust(&trust, &["m1", "m2", "m9"]);
}

#[test]
fn tokens_are_revoked_by_name_or_with_their_server() {
    let mut trust = fleet(&["one", "two"]);
    for n in 1..=2 {
        make(&mut trust, n, &wanted(Some(server(n)), None, None)).unwrap();
    }
    trust.knock(knocker("m1", "k1", "192.0.2.1"), at(1));
    assert_eq!(trust.revoke_token(token(1), WHO, None, at(2)).unwrap().id, token(1));
    assert!(refused(&mut trust, "m1", "k1", 1, at(2)).contains("was revoked"));
    let again = trust.revoke_token(token(1), WHO, None, at(2)).unwrap_err();
    assert_eq!(again.to_string(), format!("there is no enrolment token {}", token(1)));
    trust.delete_server(server(2), None, None, WHO, None, at(3)).unwrap();
    assert_eq!(trust.registry().servers().tokens().count(), 0);
    assert!(refused(&mut trust, "m1", "k1", 2, at(4)).contains("was revoked"));
    check_trust(&trust, &["m1"]);
}

#[test]
fn a_record_that_moves_or_is_another_machine_leaves_its_tokens_behind() {
    let with = |zone: &str, minion: Option<&str>| ServerRecord {
        zone: Some(zone.into()),
        minion_id: minion.map(id),
        ..record("one")
    };
    for (before, after, is_kept) in [
        (with("Dijon", None), with("Paris", None), false),
        (with("Dijon", None), ServerRecord { zone: None, ..with("Dijon", None) }, false),
        (with("Dijon", Some("m1")), with("Dijon", Some("m2")), false),
        (with("Dijon", Some("m1")), with("Dijon", None), false),
        (with("Dijon", None), with("Dijon", Some("m1")), true),
        (with("Dijon", None), ServerRecord { name: "eins".into(), ..with("Dijon", None) }, true),
    ] {
        let mut trust = fleet(&["one", "two"]);
        trust.update_server(server(1), before, WHO, None, at(0)).unwrap();
        for n in 1..=2 {
            make(&mut trust, n, &wanted(Some(server(n)), None, None)).unwrap();
        }
        trust.knock(knocker("m1", "k1", "192.0.2.1"), at(1));
        trust.update_server(server(1), after.clone(), WHO, None, at(1)).unwrap();
        assert_eq!(trust.registry().servers().token(token(1)).is_some(), is_kept, "{after:?}");
        assert!(trust.registry().servers().token(token(2)).is_some(), "that of another record stays");
        assert_eq!(trust.enrol(&id("m1"), fingerprint("k1"), &secret(1), at(2)).is_ok(), is_kept);
        check_trust(&trust, &["m1", "m2"]);
    }
}

#[test]
fn a_token_is_for_one_thing() {
    let mut trust = fleet(&["one", "two"]);
    paired(&mut trust, 2, "m2", "k2");
    let long = "x".repeat(257);
    for (bad, why) in [
        (wanted(None, None, None), "one server or for the ids"),
        (wanted(Some(server(1)), Some("*"), None), "one server or for the ids"),
        (wanted(Some(server(1)), None, Some(2)), "at least one use"),
        (wanted(None, Some("*"), Some(0)), "at least one use"),
        (wanted(None, Some(""), None), "1 to 256 bytes"),
        (wanted(None, Some(&long), None), "1 to 256 bytes"),
        (wanted(Some(server(9)), None, None), "there is no server"),
        (wanted(Some(server(2)), None, None), "is linked to m2"),
    ] {
        let error = make(&mut trust, 1, &bad).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    make(&mut trust, 1, &wanted(Some(server(1)), None, None)).unwrap();
    assert!(
        make(&mut trust, 1, &wanted(Some(server(1)), None, None))
            .unwrap_err()
            .to_string()
            .contains("already")
    );
    let late = trust.create_token(
        token(2),
        new_token([2; 32]).1,
        &wanted(Some(server(1)), None, None),
        at(1),
        WHO,
        at(1),
    );
    assert!(late.unwrap_err().to_string().contains("ten years"));
    check_trust(&trust, &["m2"]);
}

#[test]
fn a_refused_act_is_noted_and_changes_nothing() {
    let mut trust = fleet(&["one"]);
    let before = trust.registry().clone();
    trust.refused("unix:1001 (bob)", "servers_link", &"é".repeat(1000), at(1)).unwrap();
    assert_eq!(trust.registry(), &before);
    let entry = trust.log().entries().unwrap().pop().unwrap();
    assert_eq!((entry.by.as_str(), entry.reason.as_deref()), ("unix:1001 (bob)", None));
    let Deed::Refuse { verb, subject } = entry.deed else { panic!("{entry:?}") };
    assert_eq!((verb.as_str(), subject.len()), ("servers_link", 256), "not all of somebody's word is kept");
}
