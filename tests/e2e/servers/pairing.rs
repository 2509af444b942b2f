//! Way 1: the machine knocks, an operator pairs its key with the record.

use brine_tests::fixtures::fingerprint;
use brine_tests::fleet::Fleet;
use serde_json::json;

use super::{brine_and_say, create, decisions, history, is_linked, link, list, ping_record, shown};

#[test]
fn a_minion_that_knocks_becomes_the_record_that_was_there_first() {
    let fleet = Fleet::start();
    let mut events = fleet.api().events("GET", "/v1/events", None);
    let server = create(&fleet, &["--name", "Collège Éluard", "--zone", "Dijon", "--label", "role=files"]);
    let other = create(&fleet, &["--name", "Lycée Hugo", "--zone", "Lyon"]);
    assert_eq!(link(&fleet, &server), json!(null));

    // The minion says in its configuration which server it is: that is shown, and decides nothing.
    let m1 = fleet.stranger_with("m1", "m1", "server: 'Collège Éluard'\n");
    fleet.until_key(&m1, "pending");
    let keys = fleet.api().get("/v1/keys").expect(200).json();
    let claimed = &keys[0]["server"];
    assert_eq!((&claimed["name"], &claimed["linked"]), (&json!("Collège Éluard"), &json!(false)), "{keys}");
    assert_eq!(link(&fleet, &server), json!(null));

    let wrong = fingerprint("m2");
    let done = fleet.brine(&["server", "pair", "Collège Éluard", "m1", "--expect", &wrong, "-y"]);
    done.refused(4, &[&wrong, &m1.fingerprint(), "pending"]);
    assert_eq!(fleet.key_state("m1", &m1.fingerprint()).as_deref(), Some("pending"));
    assert_eq!(link(&fleet, &server), json!(null));
    // Nor over the API, where nobody looks before.
    let named = |fingerprint: &str, state: &str| json!({"key": {"id": "m1", "fingerprint": fingerprint, "state": state}});
    let pair = format!("/v1/servers/{server}/pair");
    fleet.api().post(&pair, &named(&wrong, "pending")).is_problem(409, "conflict");
    fleet.api().post(&pair, &named(&m1.fingerprint(), "denied")).is_problem(409, "conflict");
    assert!(decisions(&fleet, "pair").is_empty(), "{}", fleet.ledger());

    let expect = ["server", "pair", "Collège Éluard", "m1", "--expect", &m1.fingerprint(), "-y"];
    let done = fleet.brine(&[&expect[..], &["--reason", "seen on its screen"]].concat()).expect(0);
    assert!(done.stdout.contains("m1 accepted and linked to the server record Collège Éluard"), "{done:?}");
    fleet.until_up("m1");
    assert!(is_linked(&fleet, &server, "m1", &m1.fingerprint()));
    assert_eq!(link(&fleet, &server)["way"], "paired");
    let [pair] = &decisions(&fleet, "pair")[..] else { panic!("one decision: {}", fleet.ledger()) };
    assert_eq!(pair["reason"], "seen on its screen");
    assert!(decisions(&fleet, "accept").is_empty(), "accepted and linked in one: {}", fleet.ledger());
    assert_eq!(history(&fleet, &server), ["create", "pair"]);
    let linked = events.find(5.0, "linked", |event| event.name.ends_with("/linked"));
    assert_eq!(linked.name, format!("brine/server/{server}/linked"));
    let data = &linked.data["data"];
    assert_eq!(
        (&data["minion"], &data["way"], &data["zone"]),
        (&json!("m1"), &json!("paired"), &json!("Dijon"))
    );

    // The record is a target, by its name and by its fields.
    let answer = json!({"m1": true});
    assert_eq!(ping_record(&fleet, "Collège Éluard"), answer);
    assert_eq!(ping_record(&fleet, &server), answer);
    for term in ["zone:Dijon", "zone:Dij*", "label.role:files", "name:Coll*", "model:scribe-*"] {
        let words = ["-Z", term, "test.ping", "--out", "json", "--static"];
        assert_eq!(fleet.brine(&words).expect(0).json(), answer, "{term}");
    }
    fleet.brine(&["-Z", "zone:Lyon", "test.ping"]).refused(2, &["zone:Lyon"]);
    fleet.brine(&["server", "run", "Lycée Hugo", "test.ping"]).refused(2, &["has no minion", &other]);

    // The same once more changes nothing.
    let before = fleet.ledger();
    let done = fleet.brine(&expect).expect(0);
    assert!(done.stdout.contains("already"), "{done:?}");
    assert_eq!(fleet.ledger(), before);
    let done = fleet.brine(&["server", "pair", &other, "m1", "-y"]);
    done.refused(4, &["linked to another server record", "Collège Éluard", "unpair"]);
    assert_eq!(fleet.ledger(), before);
}

#[test]
fn the_question_shows_the_fingerprint_and_no_answer_is_no() {
    let fleet = Fleet::start();
    let server = create(&fleet, &["--name", "web1"]);
    let m1 = fleet.stranger("m1");
    fleet.until_key(&m1, "pending");
    let pair = ["server", "pair", "web1", "m1"];
    let before = fleet.ledger();
    for answer in ["n\n", "what\nn\n", ""] {
        let done = brine_and_say(&fleet, &pair, answer);
        assert_eq!(done.code, i32::from(answer.is_empty()), "{done:?}");
        assert!(done.stderr.contains(&m1.fingerprint()) && done.stderr.contains("web1"), "{done:?}");
    }
    assert_eq!(fleet.ledger(), before, "nothing was changed");
    brine_and_say(&fleet, &pair, "y\n").expect(0);
    fleet.until_up("m1");
    assert!(is_linked(&fleet, &server, "m1", &m1.fingerprint()));
}

#[test]
fn an_id_with_two_waiting_keys_is_paired_by_its_fingerprint_only() {
    let fleet = Fleet::start();
    let server = create(&fleet, &["--name", "web1", "--minion-id", "web1"]);
    let (first, second) = (fleet.stranger_with("web1", "m1", ""), fleet.stranger_with("web1", "m2", ""));
    fleet.until_key(&first, "pending");
    fleet.until_key(&second, "pending");
    let done = fleet.brine(&["server", "pair", "web1", "web1", "-y"]);
    done.refused(4, &["2 keys", "--expect", &first.fingerprint(), &second.fingerprint()]);
    assert_eq!(link(&fleet, &server), json!(null));
    fleet.brine(&["server", "pair", "web1", "web1", "-y", "--expect", &second.fingerprint()]).expect(0);
    fleet.until_up("web1");
    assert!(is_linked(&fleet, &server, "web1", &second.fingerprint()));
    fleet.until_key(&first, "denied");
}

#[test]
fn a_record_that_expects_another_id_refuses_and_a_plainly_accepted_minion_can_be_linked_later() {
    let fleet = Fleet::start();
    let m1 = fleet.minion("m1");
    let strict = create(&fleet, &["--name", "strict", "--minion-id", "m7"]);
    let server = create(&fleet, &["--name", "plain"]);
    let done = fleet.brine(&["server", "pair", "strict", "m1", "-y"]);
    done.refused(4, &["expects the minion m7"]);
    assert_eq!(shown(&fleet, &strict)["link"], json!(null));
    let before = fleet.api().get("/v1/minions").expect(200).json();
    fleet.brine(&["server", "pair", "plain", "m1", "-y"]).expect(0);
    assert!(is_linked(&fleet, &server, "m1", &m1.fingerprint()));
    assert_eq!(ping_record(&fleet, "plain"), json!({"m1": true}));
    let session = |minions: &serde_json::Value| list(minions)[0]["presence"].clone();
    assert_eq!(
        session(&fleet.api().get("/v1/minions").expect(200).json())["since"],
        session(&before)["since"]
    );
}
