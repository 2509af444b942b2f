//! Server records, from their making to a minion that answers.

mod bundles;
mod busy;
mod crashes;
mod imports;
mod machine;
mod middle;
mod pairing;
mod reinstalled;
mod tokens;
mod zones;

use brine_tests::api::Api;
use brine_tests::fixtures::fingerprint;
use brine_tests::fleet::Fleet;
use brine_tests::{Done, eventually};
use serde_json::Value;

/// Makes a record with `brine server create` and returns its id.
#[track_caller]
fn create(fleet: &Fleet, flags: &[&str]) -> String {
    let words = [&["server", "create", "--model", "scribe-2.9", "--out", "json"], flags].concat();
    let made = fleet.brine(&words).expect(0).json();
    assert_eq!(made["made"], true, "{made}");
    text(&made["id"])
}

/// A record as the API shows it.
#[track_caller]
fn shown(fleet: &Fleet, server: &str) -> Value {
    fleet.api().get(&format!("/v1/servers/{server}")).expect(200).json()
}

/// The minion of a record, its key and the way it came: `null` without one.
#[track_caller]
fn link(fleet: &Fleet, server: &str) -> Value {
    shown(fleet, server)["link"].clone()
}

/// Whether the minion of a record is this one, and has this key.
#[track_caller]
fn is_linked(fleet: &Fleet, server: &str, minion: &str, fingerprint: &str) -> bool {
    let link = link(fleet, server);
    link["minion"] == minion && link["fingerprint"] == fingerprint
}

/// The acts of a record's history, oldest first.
#[track_caller]
fn history(fleet: &Fleet, server: &str) -> Vec<String> {
    let words = ["server", "history", server, "--out", "json"];
    let decisions = fleet.brine(&words).expect(0).json();
    list(&decisions).iter().map(|decision| text(&decision["act"])).collect()
}

/// The lines of the ledger with this act.
fn decisions(fleet: &Fleet, act: &str) -> Vec<Value> {
    let ledger = fleet.ledger();
    let lines = ledger.lines().map(|line| serde_json::from_str(line).expect("a line is JSON"));
    lines.filter(|line: &Value| line["act"] == act).collect()
}

/// Runs `brine server run`, and returns what the minion returned.
#[track_caller]
fn ping_record(fleet: &Fleet, server: &str) -> Value {
    let words = ["server", "run", server, "test.ping", "--out", "json", "--static"];
    fleet.brine(&words).expect(0).json()
}

/// Runs `brine` and answers its question.
fn brine_and_say(fleet: &Fleet, words: &[&str], answer: &str) -> Done {
    Done::run_with_input(fleet.command("brine", words), answer)
}

/// The ids that a list of the API has.
#[track_caller]
fn ids(api: &Api, path: &str) -> Vec<String> {
    let mut ids: Vec<String> =
        list(&api.get(path).expect(200).json()).iter().map(|one| text(&one["id"])).collect();
    ids.sort();
    ids
}

#[track_caller]
fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

#[track_caller]
fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// Waits until a record has the minion with this key, connected.
#[track_caller]
fn until_connected(fleet: &Fleet, server: &str, fingerprint: &str) {
    eventually(10.0, "the minion of the record is connected", || {
        let link = link(fleet, server);
        link["fingerprint"] == fingerprint && link["connected"] == true
    });
}

/// Makes an enrolment token with `brine token create`: its id and its secret.
#[track_caller]
fn token(fleet: &Fleet, flags: &[&str]) -> (String, String) {
    let words = [&["token", "create", "--out", "json"], flags].concat();
    let made = fleet.brine(&words).expect(0).json();
    (text(&made["id"]), text(&made["secret"]))
}

/// How often a token was used.
#[track_caller]
fn used(fleet: &Fleet, token: &str) -> u64 {
    let tokens = fleet.api().get("/v1/tokens").expect(200).json();
    let token = list(&tokens).iter().find(|one| one["id"] == token).expect("it is known");
    token["used"].as_u64().expect("a count")
}

/// The options of a minion that has a token, and knows whom it may tell.
fn with_token(secret: &str) -> String {
    format!("enrolment_token: {secret}\nmaster_finger: {}\n", fingerprint("master"))
}
