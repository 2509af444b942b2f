//! Way 2 by token: the machine makes its own key, and shows what lets it in.

use std::fs;
use std::time::UNIX_EPOCH;

use brine_protocol::time::Timestamp;
use brine_tests::eventually;
use brine_tests::fleet::Fleet;
use brine_tests::hunt::Hunt;
use brine_tests::minion::Minion;
use brine_tests::proxy::Proxy;
use brine_tests::wait::stays;
use serde_json::json;

use super::machine::Machine;
use super::{
    create, decisions, history, is_linked, link, list, ping_record, text, token, until_connected, used,
    with_token,
};

#[test]
fn a_token_lets_one_minion_in_and_links_it() {
    let mut fleet = Fleet::start();
    let server = create(&fleet, &["--name", "Collège Éluard", "--minion-id", "m1", "--zone", "Dijon"]);
    let (id, secret) = token(&fleet, &["--server", "Collège Éluard", "--reason", "rack 7"]);
    let m1 = fleet.stranger_with("m1", "m1", &with_token(&secret));
    fleet.until_up("m1");
    assert!(is_linked(&fleet, &server, "m1", &m1.fingerprint()));
    let by = format!("token:{id}");
    assert_eq!(
        (&link(&fleet, &server)["way"], &link(&fleet, &server)["by"]),
        (&json!("enrolled"), &json!(by))
    );
    assert_eq!(ping_record(&fleet, &server), json!({"m1": true}));
    assert_eq!(used(&fleet, &id), 1);
    assert_eq!(history(&fleet, &server), ["create", "enrol"]);
    let [enrolled] = &decisions(&fleet, "enrol")[..] else { panic!("one line: {}", fleet.ledger()) };
    assert_eq!((&enrolled["by"], &enrolled["fingerprint"]), (&json!(by), &json!(m1.fingerprint())));
    assert!(decisions(&fleet, "accept").is_empty(), "{}", fleet.ledger());

    // The master has its hash, and neither side has written it down elsewhere.
    let hunt = Hunt::token(&secret);
    let sum = {
        use sha2::Digest;
        sha2::Sha256::digest(&secret).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    assert_eq!(decisions(&fleet, "create-token")[0]["hash"], sum.as_str());
    let config = m1.root().join("etc/brine/minion.yaml");
    let is_nowhere = |fleet: &Fleet| {
        assert_eq!(hunt.search(&fleet.root()), []);
        let found = hunt.search(&m1.root());
        assert!(matches!(&found[..], [(path, _)] if *path == config), "{found:?}");
        for log in ["master.log", "m1.log"] {
            assert_eq!(hunt.find(&fs::read(fleet.dir().join(log)).unwrap()), None, "{log}");
        }
    };
    is_nowhere(&fleet);
    assert!(fleet.master().stop().success());
    is_nowhere(&fleet);
}

#[test]
fn a_script_with_a_token_in_it_connects_the_machine_of_a_record() {
    let fleet = Fleet::start();
    let server = create(&fleet, &["--name", "web1"]);
    let script = fleet.dir().join("connect-web1.sh");
    fleet.brine(&["server", "connect-script", "web1", "-o", &script.display().to_string()]).expect(0);
    let machine = Machine::new(&fleet, "machine");
    machine.run(&script, &[]).expect(0);
    let minion = machine.start();
    eventually(20.0, "it is linked", || link(&fleet, &server)["connected"] == true);
    assert_eq!(
        (&link(&fleet, &server)["way"], &link(&fleet, &server)["minion"]),
        (&json!("enrolled"), &json!("web1"))
    );
    assert_eq!(ping_record(&fleet, "web1"), json!({"web1": true}));
    assert!(!minion.log().contains("WARN"), "{}", minion.log());
}

#[test]
fn a_token_without_a_pin_is_told_to_nobody() {
    let fleet = Fleet::start();
    let server = create(&fleet, &["--name", "web1"]);
    let (id, secret) = token(&fleet, &["--server", "web1"]);
    let tap = Proxy::before(fleet.ret_port);
    let mut m1 =
        fleet.prepare_minion_with("m1", "m1", &format!("enrolment_token: {secret}\nreconnect_max: 0.2\n"));
    m1.dial(fleet.publish_port, tap.port);
    m1.start();
    eventually(10.0, "it says why it does not connect", || {
        m1.log().contains("pinned master only") && m1.log().contains("master_finger")
    });
    assert!(!m1.log().contains(&secret), "{}", m1.log());
    let said = tap.to_server();
    assert!(Hunt::token(&secret).find(&said).is_none() && said.len() <= 64 + 64, "{said:?}");
    assert!(!m1.has_pin());
    assert_eq!(fleet.key_state("m1", &m1.fingerprint()), None, "the master does not even know its key");
    assert_eq!((used(&fleet, &id), link(&fleet, &server)), (0, json!(null)));
    m1.kill();

    // Pinned in an earlier session is pinned.
    let mut m2 = fleet.stranger_with("m2", "m2", "");
    fleet.until_key(&m2, "pending");
    eventually(5.0, "it has a pin", || m2.has_pin());
    m2.kill();
    let config = m2.root().join("etc/brine/minion.yaml");
    fs::write(&config, fs::read_to_string(&config).unwrap() + &format!("enrolment_token: {secret}\n"))
        .unwrap();
    m2.start();
    until_connected(&fleet, &server, &m2.fingerprint());
}

/// Starts a minion with a token that is worth nothing: its key waits, and both sides say why.
#[track_caller]
fn is_refused(fleet: &Fleet, id: &str, key: &str, secret: &str, why: &str) -> Minion {
    let mut events = fleet.api().events("GET", "/v1/events", None);
    let minion = fleet.stranger_with(id, key, &with_token(secret));
    eventually(10.0, &format!("{id} says: {why}"), || {
        let log = minion.log();
        log.lines().any(|line| line.contains("does not let this minion in") && line.contains(why))
    });
    let state = fleet.key_state(id, &minion.fingerprint());
    assert!(matches!(state.as_deref(), Some("pending" | "denied")), "{state:?}");
    assert!(!minion.log().contains("accepts this minion"), "{}", minion.log());
    let tag = format!("brine/key/{id}/token_refused");
    let event = events.find(5.0, "token_refused", |event| event.name == tag);
    assert!(event.data["data"]["why"].as_str().unwrap().contains(why), "{event:?}");
    assert!(!minion.log().contains(secret) && !event.data.to_string().contains(secret));
    minion
}

#[test]
fn a_token_that_is_worth_nothing_leaves_the_key_waiting_and_says_why() {
    let fleet = Fleet::start();
    for name in ["used", "expired", "revoked", "other", "paired"] {
        create(&fleet, &["--name", name]);
    }
    let tokens = fleet.brine(&["token", "create", "--server", "expired", "--expires", "1s", "--out", "json"]);
    let expired = tokens.expect(0).json();
    let until: Timestamp = serde_json::from_value(expired["until"].clone()).unwrap();

    let (used_id, used_up) = token(&fleet, &["--server", "used"]);
    let _m1 = fleet.stranger_with("m1", "m1", &with_token(&used_up));
    fleet.until_up("m1");
    let _m2 = is_refused(&fleet, "m2", "m2", &used_up, "used as often as it may be");
    assert_eq!(used(&fleet, &used_id), 1);

    let (revoked_id, revoked) = token(&fleet, &["--server", "revoked"]);
    fleet.brine(&["token", "revoke", &revoked_id]).expect(0);
    let _m3 = is_refused(&fleet, "m3", "m3", &revoked, "not known here");

    let (pattern_id, pattern) = token(&fleet, &["--id-pattern", "web-*"]);
    let _m4 = is_refused(&fleet, "m4", "m4", &pattern, "not for the minion m4");
    assert_eq!(used(&fleet, &pattern_id), 0, "it is still good for another");

    fleet.brine(&["server", "update", "other", "--minion-id", "m9"]).expect(0);
    let (_, bound) = token(&fleet, &["--server", "other"]);
    let _m5 = is_refused(&fleet, "m5", "m5", &bound, "not for the minion m5");

    let micros = || i64::try_from(UNIX_EPOCH.elapsed().unwrap().as_micros()).unwrap();
    eventually(10.0, "the token's time is over", || micros() > until.0);
    let m6 = is_refused(&fleet, "m6", "m6", &text(&expired["secret"]), "was good until");

    // In the end it was only keys that wait, and an operator may decide otherwise.
    assert_eq!(decisions(&fleet, "enrol").len(), 1, "{}", fleet.ledger());
    fleet.brine(&["server", "pair", "expired", "m6", "--expect", &m6.fingerprint(), "-y"]).expect(0);
    fleet.until_up("m6");
    fleet.brine(&["server", "pair", "paired", "m2", "-y"]).expect(0);
    fleet.until_up("m2");
    assert_eq!(ping_record(&fleet, "paired"), json!({"m2": true}));
}

#[test]
fn a_token_takes_neither_a_linked_record_nor_a_held_id() {
    let fleet = Fleet::start();
    let server = create(&fleet, &["--name", "web1"]);
    let (_, secret) = token(&fleet, &["--server", "web1"]);
    let m1 = fleet.stranger("m1");
    fleet.until_key(&m1, "pending");
    fleet.brine(&["server", "pair", "web1", "m1", "-y"]).expect(0);
    let _m2 = is_refused(&fleet, "m2", "m2", &secret, "has a minion already");
    assert!(is_linked(&fleet, &server, "m1", &m1.fingerprint()));
    fleet.brine(&["token", "create", "--server", "web1"]).refused(4, &["linked to m1"]);

    let (id, pattern) = token(&fleet, &["--id-pattern", "*", "--uses", "9"]);
    let thief = is_refused(&fleet, "m1", "m3", &pattern, "held by another key");
    fleet.until_key(&thief, "denied");
    assert_eq!(used(&fleet, &id), 0);
    assert!(is_linked(&fleet, &server, "m1", &m1.fingerprint()));
    fleet.until_up("m1");
    fleet.ping("m1");
}

#[test]
fn of_many_that_show_the_same_token_at_once_as_many_come_in_as_it_has_uses() {
    let fleet = Fleet::start();
    let (id, secret) = token(&fleet, &["--id-pattern", "m?", "--uses", "2"]);
    let keys = ["m1", "m2", "m3", "m4", "m5"];
    let minions: Vec<Minion> =
        keys.iter().map(|key| fleet.stranger_with(key, key, &with_token(&secret))).collect();
    let with = |state: &str| {
        let is_so =
            |minion: &&Minion| fleet.key_state(&minion.id, &minion.fingerprint()).as_deref() == Some(state);
        minions.iter().filter(is_so).count()
    };
    eventually(20.0, "all have shown it", || with("accepted") + with("pending") == keys.len());
    assert_eq!((with("accepted"), used(&fleet, &id)), (2, 2));
    eventually(10.0, "the others know why not", || {
        minions.iter().filter(|minion| minion.log().contains("used as often as it may be")).count() == 3
    });
    assert_eq!(decisions(&fleet, "enrol").len(), 2, "{}", fleet.ledger());
    eventually(10.0, "two are up", || {
        let minions = fleet.api().get("/v1/minions").expect(200).json();
        list(&minions).iter().filter(|minion| minion["presence"]["is"] == "up").count() == 2
    });

    // A key that is deleted does not come back by itself, though its token is good for more.
    let (more, secret) = token(&fleet, &["--id-pattern", "m?", "--uses", "9"]);
    let m6 = fleet.stranger_with("m6", "m6", &with_token(&secret));
    fleet.until_up("m6");
    fleet.act("delete", "m6", &m6.fingerprint());
    fleet.until_key(&m6, "pending");
    stays(0.5, "it waits", || fleet.key_state("m6", &m6.fingerprint()).as_deref() == Some("pending"));
    assert_eq!((used(&fleet, &id), used(&fleet, &more)), (2, 1));
}
