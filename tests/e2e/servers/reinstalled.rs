//! A machine is installed anew, parts from its record, or its record goes.

use brine_tests::eventually;
use brine_tests::fixtures::fingerprint;
use brine_tests::fleet::Fleet;
use brine_tests::minion::Minion;
use serde_json::json;

use super::{brine_and_say, create, decisions, history, is_linked, link, list, ping_record, until_connected};

/// A record with its minion, both called web1.
fn paired(fleet: &Fleet) -> (String, Minion) {
    let server = create(fleet, &["--name", "web1", "--zone", "Dijon"]);
    let minion = fleet.stranger_with("web1", "m1", "");
    fleet.until_key(&minion, "pending");
    fleet.brine(&["server", "pair", "web1", "web1", "-y"]).expect(0);
    until_connected(fleet, &server, &minion.fingerprint());
    (server, minion)
}

/// Waits until a minion was told that it is out.
#[track_caller]
fn until_out(minion: &Minion) {
    eventually(5.0, "the minion is told that it is out", || {
        minion.log().contains("is rejected on the master")
    });
}

#[test]
fn a_new_key_under_the_old_id_takes_its_place_only_when_that_is_said() {
    let fleet = Fleet::start();
    let (server, old) = paired(&fleet);
    let anew = fleet.stranger_with("web1", "m2", "");
    fleet.until_key(&anew, "denied");
    assert!(is_linked(&fleet, &server, "web1", &old.fingerprint()));
    let before = fleet.ledger();
    let pair = ["server", "pair", "web1", "web1", "--expect", &anew.fingerprint()];
    fleet.brine(&[&pair[..], &["-y"]].concat()).refused(4, &["has a minion already", "--replace"]);
    let request = json!({"key": {"id": "web1", "fingerprint": anew.fingerprint(), "state": "denied"}});
    let path = format!("/v1/servers/{server}/pair");
    fleet.api().post(&path, &request).is_problem(409, "conflict");
    // Nor when it is another key that was seen there.
    let mut request = request;
    (request["replace"], request["gives_up"]) = (json!(true), json!(anew.fingerprint()));
    fleet.api().post(&path, &request).is_problem(409, "conflict");
    let replace = [&pair[..], &["--replace", "--reason", "new disk"]].concat();
    let done = brine_and_say(&fleet, &replace, "n\n").expect(0);
    assert!(
        done.stderr.contains(&format!("{} of its minion web1 will be rejected", old.fingerprint())),
        "{done:?}"
    );
    assert_eq!((fleet.ledger(), ping_record(&fleet, "web1")), (before, json!({"web1": true})));

    brine_and_say(&fleet, &replace, "y\n").expect(0);
    until_connected(&fleet, &server, &anew.fingerprint());
    until_out(&old);
    assert_eq!(fleet.key_state("web1", &old.fingerprint()).as_deref(), Some("rejected"));
    assert_eq!(ping_record(&fleet, "web1"), json!({"web1": true}));
    assert_eq!(history(&fleet, &server), ["create", "pair", "pair"]);
    let [_, second] = &decisions(&fleet, "pair")[..] else { panic!("two decisions: {}", fleet.ledger()) };
    assert_eq!((&second["from"], &second["reason"]), (&json!(old.fingerprint()), &json!("new disk")));
    assert!(decisions(&fleet, "reject").is_empty(), "one line for all of it: {}", fleet.ledger());
    let told = fleet.brine_key(&["history", "web1", "--out", "json"]).expect(0).stdout;
    assert!(told.contains(&old.fingerprint()) && told.contains(&anew.fingerprint()), "{told}");

    // It stays out, also when it begins anew and its place is vacant.
    let (mut old, mut anew) = (old, anew);
    anew.kill();
    eventually(5.0, "nobody is there", || link(&fleet, &server)["connected"] == false);
    old.kill();
    old.start();
    until_out(&old);
    assert_eq!(
        (link(&fleet, &server)["connected"].clone(), fleet.presence("web1")),
        (json!(false), "offline".to_owned())
    );
}

#[test]
fn parting_asks_and_does_to_the_key_what_was_said() {
    let fleet = Fleet::start();
    let (server, minion) = paired(&fleet);
    let before = fleet.ledger();
    for (answer, code) in [("n\n", 0), ("\n", 0), ("", 1)] {
        let done = brine_and_say(&fleet, &["server", "unpair", "web1"], answer).expect(code);
        assert!(done.stderr.contains("will be rejected: the minion is cut off and stays out"), "{done:?}");
        assert_eq!(fleet.ledger(), before, "{answer:?}");
    }
    let other = json!({"key": "reject", "expect": fingerprint("m2")});
    fleet.api().post(&format!("/v1/servers/{server}/unpair"), &other).is_problem(409, "conflict");
    fleet.brine(&["server", "unpair", "web1", "--key", "keep", "-y"]).expect(0);
    assert_eq!(link(&fleet, &server), json!(null));
    fleet.ping("web1");
    fleet.brine(&["server", "run", "web1", "test.ping"]).refused(2, &["has no minion"]);
    fleet.brine(&["-Z", "zone:Dijon", "test.ping"]).refused(2, &[]);

    let again = ["server", "pair", "web1", "web1", "-y"];
    fleet.brine(&again).expect(0);
    fleet.brine(&["server", "unpair", "web1", "--key", "delete", "-y"]).expect(0);
    fleet.until_key(&minion, "pending");
    fleet.brine(&again).expect(0);
    until_connected(&fleet, &server, &minion.fingerprint());

    brine_and_say(&fleet, &["server", "unpair", "web1", "--reason", "sold"], "y\n").expect(0);
    until_out(&minion);
    assert_eq!(fleet.key_state("web1", &minion.fingerprint()).as_deref(), Some("rejected"));
    assert_eq!(history(&fleet, &server), ["create", "pair", "unpair", "pair", "unpair", "pair", "unpair"]);
    fleet.brine(&["server", "unpair", "web1", "-y"]).refused(4, &["has no minion"]);
}

#[test]
fn deleting_a_record_with_a_minion_asks_and_does_what_it_says() {
    let fleet = Fleet::start();
    let (server, minion) = paired(&fleet);
    let mut events = fleet.api().events("GET", "/v1/events?tag=brine/server/*", None);
    let before = fleet.ledger();
    let path = format!("/v1/servers/{server}");
    fleet.api().delete(&path).is_problem(409, "conflict");
    let other = fingerprint("m2");
    fleet.api().delete(&format!("{path}?key=delete&expect={other}")).is_problem(409, "conflict");
    for (answer, code) in [("n\n", 0), ("\n", 0), ("", 1)] {
        let done = brine_and_say(&fleet, &["server", "delete", "web1"], answer).expect(code);
        let told =
            ["though it has a minion", "web1", "will be rejected: the minion is cut off and stays out"];
        assert!(told.iter().all(|part| done.stderr.contains(part)), "{done:?}");
        assert_eq!((fleet.ledger(), fleet.presence("web1")), (before.clone(), "up".to_owned()), "{answer:?}");
    }
    brine_and_say(&fleet, &["server", "delete", "web1", "--reason", "scrapped"], "y\n").expect(0);
    until_out(&minion);
    assert_eq!(fleet.key_state("web1", &minion.fingerprint()).as_deref(), Some("rejected"));
    fleet.api().get(&path).is_problem(404, "not_found");
    assert_eq!(list(&fleet.api().get("/v1/servers").expect(200).json()).len(), 0);
    for what in ["unlinked", "deleted"] {
        let event = events.find(5.0, what, |event| event.name == format!("brine/server/{server}/{what}"));
        assert_eq!(event.data["data"]["reason"], "scrapped", "{event:?}");
    }
    assert_eq!(history(&fleet, &server), ["create", "pair", "delete"]);

    // The other two fates, of which one may be said over the API.
    let (second, _m3) = (create(&fleet, &["--name", "web2"]), fleet.minion("m3"));
    fleet.brine(&["server", "pair", "web2", "m3", "-y"]).expect(0);
    fleet.brine(&["server", "delete", "web2", "--key", "keep", "-y"]).expect(0);
    fleet.ping("m3");
    fleet.api().get(&format!("/v1/servers/{second}")).is_problem(404, "not_found");
    let (third, m4) = (create(&fleet, &["--name", "web3"]), fleet.minion("m4"));
    fleet.brine(&["server", "pair", "web3", "m4", "-y"]).expect(0);
    let _ = fleet.api().delete(&format!("/v1/servers/{third}?key=delete")).expect(200);
    fleet.until_key(&m4, "pending");
    // Nobody is asked about a record that has no minion.
    create(&fleet, &["--name", "web4"]);
    fleet.brine(&["server", "delete", "web4"]).expect(0);
    assert_eq!(list(&fleet.api().get("/v1/servers").expect(200).json()).len(), 0);
}
