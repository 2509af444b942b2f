//! Way 2: the key pair is made for the record, and carried to the machine.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;

use brine_tests::fixtures::fingerprint;
use brine_tests::fleet::Fleet;
use brine_tests::hunt::Hunt;
use brine_tests::{eventually, within};
use serde_json::{Value, json};

use super::machine::{Machine, is_nowhere, kept, said};
use super::{create, decisions, history, link, list, ping_record, text, until_connected};

/// How long a bundle is good that is to expire: long enough to look at it before.
const SOON: &str = "3s";

#[test]
fn a_creation_message_that_comes_twice_makes_one_record_one_key_and_one_bundle() {
    let mut fleet = Fleet::start();
    let request = json!({"name": "web1", "model": "scribe-2.9", "zone": "Dijon", "external_id": "4711", "preseed": true});
    let first = fleet.api().post("/v1/servers", &request).expect(201).json();
    let again = fleet.api().post("/v1/servers", &request).expect(200).json();
    let (server, bundle) = (text(&first["id"]), text(&first["bundle"]));
    assert_eq!((&first["made"], &again["made"], &again["id"]), (&json!(true), &json!(false), &first["id"]));
    assert_eq!(again.get("bundle"), None, "it is handed out once");
    assert_eq!((said(&bundle, "minion-id"), said(&bundle, "server")), ("web1".to_owned(), server.clone()));
    assert_eq!(said(&bundle, "master-finger"), fingerprint("master"));
    let keys = fleet.api().get("/v1/keys").expect(200).json();
    let [key] = list(&keys) else { panic!("one key: {keys}") };
    assert_eq!((&key["id"], &key["state"]), (&json!("web1"), &json!("accepted")));
    assert_eq!(key["fingerprint"], link(&fleet, &server)["fingerprint"]);
    for (act, count) in [("create-server", 1), ("preseed", 1), ("fetch", 1)] {
        assert_eq!(decisions(&fleet, act).len(), count, "{act} in {}", fleet.ledger());
    }
    is_nowhere(&fleet, &bundle);

    // What was handed out is all that the machine needs.
    let file = fleet.dir().join("web1.bundle");
    fs::write(&file, &bundle).unwrap();
    let machine = Machine::of_bundle(&fleet, "machine", &file);
    let minion = machine.start();
    until_connected(&fleet, &server, key["fingerprint"].as_str().unwrap());
    assert_eq!(ping_record(&fleet, "4711"), json!({"web1": true}));
    assert!(!minion.log().contains("WARN"), "{}", minion.log());
    eventually(5.0, "it is noted that the machine came", || decisions(&fleet, "arrive").len() == 1);
    assert_eq!(history(&fleet, &server), ["create", "preseed", "fetch", "arrive"]);
    assert_eq!(link(&fleet, &server).get("preseed"), None);
    let done = fleet.brine(&["server", "bundle", "web1", "-o", "-"]);
    done.refused(4, &["has come", "no longer kept"]);
    is_nowhere(&fleet, &bundle);
    assert!(fleet.master().stop().success());
    is_nowhere(&fleet, &bundle);
}

#[test]
fn many_requests_at_once_make_one_key_and_one_of_them_gets_it() {
    let fleet = Fleet::start();
    let request = json!({"name": "web1", "model": "m", "preseed": true});
    let path = "/v1/servers/01010101-0101-4101-8101-010101010101";
    let asking: Vec<_> = (0..8)
        .map(|_| {
            let (api, request) = (fleet.api(), request.clone());
            std::thread::spawn(move || api.send("PUT", path, &request))
        })
        .collect();
    let answers: Vec<Value> = asking
        .into_iter()
        .map(|asking| {
            let reply = asking.join().unwrap();
            assert!(matches!(reply.status, 200 | 201), "{reply:?}");
            reply.json()
        })
        .collect();
    let with = |is_meant: fn(&Value) -> bool| answers.iter().filter(|answer| is_meant(answer)).count();
    assert_eq!(with(|answer| answer["made"] == true), 1, "{answers:#?}");
    assert_eq!(with(|answer| answer["bundle"].is_string()), 1);
    assert_eq!(list(&fleet.api().get("/v1/keys").expect(200).json()).len(), 1);
    assert_eq!((decisions(&fleet, "create-server").len(), decisions(&fleet, "preseed").len()), (1, 1));
    let bundle = answers.iter().find_map(|answer| answer["bundle"].as_str()).unwrap();
    is_nowhere(&fleet, bundle);
}

#[test]
fn a_bundle_is_in_one_file_until_it_is_fetched_once() {
    let fleet = Fleet::start();
    let server = create(&fleet, &["--name", "Collège Éluard", "--minion-id", "eluard", "--preseed"]);
    let path = kept(&fleet, &server);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    let bundle = fs::read_to_string(&path).unwrap();
    let found = Hunt::private_key(&bundle).search(&fleet.root());
    assert!(matches!(&found[..], [(file, _)] if *file == path), "{found:?}");
    let mut before = File::open(&path).unwrap();

    let (out, second) = (fleet.dir().join("bundle"), fleet.dir().join("second"));
    let fetch = |out: &std::path::Path| {
        fleet.brine(&["server", "bundle", "Collège Éluard", "-o", &out.display().to_string()])
    };
    fetch(&out).expect(0);
    assert_eq!((fs::read_to_string(&out).unwrap(), mode(&out)), (bundle.clone(), 0o600));
    fetch(&second).refused(4, &["was fetched by", "handed out once"]);
    assert!(!second.exists());
    fleet.api().post(&format!("/v1/servers/{server}/bundle"), &json!({})).is_problem(409, "conflict");
    assert!(!path.exists());
    // Whoever still holds the file, as the disk does, has nothing.
    let mut left = Vec::new();
    before.read_to_end(&mut left).unwrap();
    assert!(left.len() >= bundle.len() && left.iter().all(|byte| *byte == 0), "it was not overwritten");
    is_nowhere(&fleet, &bundle);

    let machine = Machine::of_bundle(&fleet, "machine", &out);
    let _minion = machine.start();
    until_connected(&fleet, &server, link(&fleet, &server)["fingerprint"].as_str().unwrap());
    assert_eq!(ping_record(&fleet, "Collège Éluard"), json!({"eluard": true}));
    is_nowhere(&fleet, &bundle);
}

/// Waits until a key that was made for a record is worth nothing any more, and looks for it.
#[track_caller]
fn until_expired(fleet: &Fleet, server: &str, bundle: &str, fingerprint: &str) {
    eventually(10.0, "the link is undone", || link(fleet, server) == json!(null));
    assert_eq!(fleet.key_state("web1", fingerprint).as_deref(), Some("rejected"));
    assert!(!kept(fleet, server).exists());
    is_nowhere(fleet, bundle);
    // Whoever has it all the same does not get in.
    let machine = Machine::new(fleet, "late");
    let file = fleet.dir().join("late.bundle");
    fs::write(&file, bundle).unwrap();
    machine.connect(&["--bundle", &file.display().to_string()]).refused(7, &["expired at"]);
    machine.place(bundle);
    let minion = machine.start();
    eventually(10.0, "it hears that it is rejected", || minion.log().contains("is rejected on the master"));
    assert_eq!(fleet.presence("web1"), "");
    assert_eq!(link(fleet, server), json!(null));
}

#[test]
fn a_bundle_that_nobody_fetches_expires() {
    let fleet = Fleet::start();
    let mut events = fleet.api().events("GET", "/v1/events", None);
    let server = create(&fleet, &["--name", "web1", "--preseed", "--expires", SOON]);
    let fingerprint = text(&link(&fleet, &server)["fingerprint"]);
    let bundle = fs::read_to_string(kept(&fleet, &server)).unwrap();
    let mut before = File::open(kept(&fleet, &server)).unwrap();
    until_expired(&fleet, &server, &bundle, &fingerprint);
    let mut left = Vec::new();
    before.read_to_end(&mut left).unwrap();
    assert!(!left.is_empty() && left.iter().all(|byte| *byte == 0), "it was not overwritten");
    assert_eq!(history(&fleet, &server), ["create", "preseed", "expire"]);
    events.find(5.0, "unlinked", |event| event.name == format!("brine/server/{server}/unlinked"));
    fleet.brine(&["server", "bundle", "web1", "-o", "-"]).refused(4, &["no key was made"]);

    // The record is as good as before: it gets another key.
    let out = fleet.dir().join("second.bundle");
    fleet.brine(&["server", "preseed", "web1", "-o", &out.display().to_string()]).expect(0);
    let machine = Machine::of_bundle(&fleet, "machine", &out);
    let _minion = machine.start();
    until_connected(&fleet, &server, link(&fleet, &server)["fingerprint"].as_str().unwrap());
    assert_eq!(ping_record(&fleet, "web1"), json!({"web1": true}));
    assert_eq!(fleet.key_state("web1", &fingerprint).as_deref(), Some("rejected"));
}

#[test]
fn a_bundle_that_no_machine_uses_expires() {
    let fleet = Fleet::start();
    let out = fleet.dir().join("bundle");
    let flags = ["--name", "web1", "--preseed", "--expires", SOON, "-o", &out.display().to_string()];
    let server = create(&fleet, &flags);
    let bundle = fs::read_to_string(&out).unwrap();
    // Even right after it was fetched there is no file.
    assert!(!kept(&fleet, &server).exists());
    is_nowhere(&fleet, &bundle);
    let fingerprint =
        within(1.0, "it is linked", || link(&fleet, &server)["fingerprint"].as_str().map(str::to_owned));
    until_expired(&fleet, &server, &bundle, &fingerprint);
    assert_eq!(history(&fleet, &server), ["create", "preseed", "fetch", "expire"]);
}

#[test]
fn a_machine_that_came_in_time_stays_and_a_replaced_key_does_not_come_in() {
    let fleet = Fleet::start();
    let (first, second) = (fleet.dir().join("first"), fleet.dir().join("second"));
    let server = create(&fleet, &["--name", "web1", "--preseed", "-o", &first.display().to_string()]);
    let lost = text(&link(&fleet, &server)["fingerprint"]);
    let second_path = second.display().to_string();
    let preseed = ["server", "preseed", "web1", "--expires", "6s", "-o", &second_path];
    fleet.brine(&preseed).refused(4, &["linked to web1", "replace"]);
    fleet.brine(&[&preseed[..], &["--replace"]].concat()).expect(0);
    let machine = Machine::of_bundle(&fleet, "machine", &second);
    let _minion = machine.start();
    let fingerprint = text(&link(&fleet, &server)["fingerprint"]);
    until_connected(&fleet, &server, &fingerprint);
    let bundles = [&first, &second].map(|path| fs::read_to_string(path).unwrap());
    for bundle in &bundles {
        is_nowhere(&fleet, bundle);
    }
    assert_eq!(fleet.key_state("web1", &lost).as_deref(), Some("rejected"));

    // The time of its bundle passes, and the machine is there. A second record tells when.
    let other = create(&fleet, &["--name", "web2", "--preseed", "--expires", "6s"]);
    eventually(15.0, "what was made later has expired", || link(&fleet, &other) == json!(null));
    assert_eq!(link(&fleet, &server)["fingerprint"], fingerprint.as_str());
    assert_eq!(ping_record(&fleet, "web1"), json!({"web1": true}));

    let stray = Machine::new(&fleet, "stray");
    stray.place(&bundles[0]);
    let minion = stray.start();
    eventually(10.0, "the first key is told that it is rejected", || {
        minion.log().contains("is rejected on the master")
    });
    assert_eq!(ping_record(&fleet, "web1"), json!({"web1": true}));
    assert_eq!(link(&fleet, &server)["fingerprint"], fingerprint.as_str());
}
