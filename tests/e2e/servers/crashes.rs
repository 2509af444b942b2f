//! The master is killed at each write of a pairing, a preseeding, an enrolment: after its restart
//! the record is linked or is not, and the same command once more brings it there.
//!
//! Two ways to the same end: a master that is killed for real the moment something is on disk, and
//! masters that are started on every prefix of what it would have written.

mod cuts;
mod kills;

use std::fs;
use std::path::Path;

use brine_tests::eventually;
use brine_tests::fleet::Fleet;
use serde_json::{Value, json};

use super::machine::{Machine, is_nowhere, kept, said};
use super::{decisions, is_linked, link, list, ping_record, text, until_connected};

/// The record that is made over and over.
const SERVER: &str = "01010101-0101-4101-8101-010101010101";

/// The message that an application sends until it has heard the answer.
fn creation() -> Value {
    json!({"name": "web1", "model": "scribe-2.9", "external_id": "4711", "preseed": true})
}

fn ledger_path(fleet: &Fleet) -> std::path::PathBuf {
    fleet.root().join("var/lib/brine/master/ledger.jsonl")
}

/// The fingerprints of the keys of an id that are in this state.
#[track_caller]
fn keys(fleet: &Fleet, id: &str, state: &str) -> Vec<String> {
    let keys = fleet.api().get("/v1/keys").expect(200).json();
    let is_meant = |key: &&Value| key["id"] == id && key["state"] == state;
    list(&keys).iter().filter(is_meant).map(|key| text(&key["fingerprint"])).collect()
}

/// That a record and a key belong together wholly, or not at all; says which.
#[track_caller]
fn is_whole(fleet: &Fleet, server: &str, id: &str) -> bool {
    let accepted = keys(fleet, id, "accepted");
    match link(fleet, server) {
        Value::Null => {
            assert_eq!(accepted, Vec::<String>::new(), "accepted, and not linked");
            false
        }
        link => {
            assert_eq!(link["minion"], id, "{link}");
            assert_eq!(accepted, [text(&link["fingerprint"])], "linked, and not accepted");
            true
        }
    }
}

/// The bundles that the master keeps.
fn bundles(fleet: &Fleet) -> usize {
    fs::read_dir(kept(fleet, SERVER).parent().unwrap()).map_or(0, Iterator::count)
}

/// Sends the creation message once more, and what it takes to get a bundle when that was lost on
/// its way; then connects a machine with it.
#[track_caller]
fn create_until_it_answers(fleet: &Fleet, place: &str) {
    let again = fleet.api().post("/v1/servers", &creation());
    assert!(matches!(again.status, 200 | 201), "{again:?}");
    let again = again.json();
    let server = text(&again["id"]);
    let bundle = again["bundle"].as_str().map(str::to_owned).unwrap_or_else(|| {
        let link = &again["link"];
        assert_eq!(link["preseed"]["is_fetched"], true, "no bundle, and it is not handed out: {again}");
        let path = format!("/v1/servers/{server}/preseed");
        text(&fleet.api().post(&path, &json!({"replace": true})).expect(200).json()["bundle"])
    });
    assert_eq!(list(&fleet.api().get("/v1/servers").expect(200).json()).len(), 1);
    assert!(is_whole(fleet, &server, "web1"));
    assert_eq!(bundles(fleet), 0);
    is_nowhere(fleet, &bundle);

    let file = fleet.dir().join(format!("{place}.bundle"));
    fs::write(&file, &bundle).unwrap();
    assert_eq!(said(&bundle, "server"), server);
    let machine = Machine::of_bundle(fleet, place, &file);
    let _minion = machine.start();
    until_connected(fleet, &server, link(fleet, &server)["fingerprint"].as_str().unwrap());
    assert_eq!(ping_record(fleet, "4711"), json!({"web1": true}));
}

/// After a restart: a bundle is there exactly when the ledger says that it waits to be fetched.
#[track_caller]
fn bundles_are_as_the_ledger_says(fleet: &Fleet) {
    let servers = fleet.api().get("/v1/servers").expect(200).json();
    let waits = |server: &&Value| server["link"]["preseed"]["is_fetched"] == false;
    let waiting: Vec<&Value> = list(&servers).iter().filter(waits).collect();
    for server in &waiting {
        assert!(kept(fleet, server["id"].as_str().unwrap()).is_file(), "{server}");
    }
    assert_eq!(bundles(fleet), waiting.len(), "what nobody waits for was not swept: {servers}");
}

/// Waits until the key is known to the restarted master, in whatever state.
#[track_caller]
fn until_known(fleet: &Fleet, id: &str, fingerprint: &str) {
    eventually(15.0, "the minion is back", || fleet.key_state(id, fingerprint).is_some());
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    let status = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(status.success());
}
