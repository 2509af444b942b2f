//! A root folder with the keys of a case, and the keys that are there afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use brine_pki::key::PublicKey;
use brine_pki::registry::{Knocker, Trust};
use brine_pki::waiting::WaitingLimits;
use brine_protocol::control::{Act, KeyName, KeyState};
use brine_protocol::message::Knock;
use brine_protocol::time::Timestamp;
use brine_protocol::{Fingerprint, MinionId};
use brine_tests::fixtures::{key_file, short_dir};
use brine_tests::fleet::Fleet;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::case::{Case, Keys};

/// The letter of the key that an id is held by where the case has only a denied key of it: here a
/// key is denied because another one holds its id, so there has to be one.
const HOLDER: &str = "holder";

/// A root folder with keys.
pub(super) struct World {
    dir: TempDir,
    root: PathBuf,
    keys: Keys,
    scaffold: BTreeSet<String>,
}

/// The test key that stands for a letter.
fn key(letter: &str) -> PublicKey {
    let file = match letter {
        "A" => "m1.pub",
        "B" => "m2.pub",
        "C" => "m3.pub",
        "D" => "m4.pub",
        "E" => "m5.pub",
        "F" => "m6.pub",
        HOLDER => "master2.pub",
        other => panic!("no key stands for {other:?}"),
    };
    let pem = std::fs::read_to_string(key_file(file)).expect("a test key");
    PublicKey::from_pem(&pem).expect("a test key")
}

/// Whether a key can exist here at all: its owner proved to have it, and the id is one.
pub(super) fn can_exist(id: &str, letter: &str) -> bool {
    letter.len() == 1 && letter.bytes().all(|b| b.is_ascii_uppercase()) && id.parse::<MinionId>().is_ok()
}

/// Ids that only a denied key has.
fn only_denied(keys: &Keys) -> BTreeSet<String> {
    let in_folder = |folder: &str, id: &String| keys.get(folder).is_some_and(|keys| keys.contains_key(id));
    let denied = keys.get("minions_denied").into_iter().flat_map(BTreeMap::keys);
    denied
        .filter(|id| {
            !["minions", "minions_rejected", "minions_pre"].iter().any(|folder| in_folder(folder, id))
        })
        .cloned()
        .collect()
}

impl World {
    pub(super) fn new(case: &Case) -> Self {
        let mut keys = case.before.clone();
        for of_state in keys.values_mut() {
            of_state.retain(|id, letter| can_exist(id, letter));
        }
        let scaffold = only_denied(&keys);
        let dir = short_dir();
        let root = dir.path().join("M");
        std::fs::create_dir(dir.path().join("cwd")).expect("a folder");
        let world = Self { root, dir, keys, scaffold };
        world.write();
        world
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn cwd(&self) -> PathBuf {
        self.dir.path().join("cwd")
    }

    /// Ids that are held by a key that the case does not have.
    pub(super) fn scaffold(&self) -> &BTreeSet<String> {
        &self.scaffold
    }

    /// Every key in the order in which it has to come to get its state.
    fn steps(&self) -> Vec<(&str, &str, Option<Act>)> {
        let mut steps = Vec::new();
        steps.extend(self.scaffold.iter().map(|id| (id.as_str(), HOLDER, Some(Act::Reject))));
        for (folder, act) in [
            ("minions", Some(Act::Accept)),
            ("minions_rejected", Some(Act::Reject)),
            ("minions_pre", None),
            ("minions_denied", None),
        ] {
            let of_state = self.keys.get(folder).into_iter().flatten();
            steps.extend(of_state.map(|(id, letter)| (id.as_str(), letter.as_str(), act)));
        }
        steps
    }

    fn trust(&self) -> Trust {
        let folder = self.root.join("var/lib/brine/master");
        std::fs::create_dir_all(&folder).expect("a folder");
        let (ledger, waiting) = (folder.join("ledger.jsonl"), folder.join("waiting.json"));
        let limits = WaitingLimits { pending_age_s: u64::MAX, ..WaitingLimits::default() };
        Trust::open(&ledger, &waiting, limits, Duration::from_secs(5)).expect("trust").trust
    }

    fn write(&self) {
        let mut trust = self.trust();
        for (at, (id, letter, act)) in self.steps().into_iter().enumerate() {
            let (key, now) = (key(letter), Timestamp(1_700_000_000_000_000 + at as i64));
            let id: MinionId = id.parse().expect("a checked id");
            let fingerprint = key.fingerprint();
            trust.knock(
                Knocker {
                    id: id.clone(),
                    fingerprint,
                    key: key.der().to_vec(),
                    address: IpAddr::from([192, 0, 2, 7]),
                    claims: Knock::default(),
                },
                now,
            );
            if let Some(act) = act {
                let name = KeyName { id, fingerprint, state: None };
                trust.act(act, &name, "test", None, now).expect("a decision");
            }
        }
        trust.save().expect("the waiting keys are saved");
    }

    /// The keys that are there now, without those that the case does not have.
    pub(super) fn keys(&self) -> Keys {
        let listed = self.trust().list();
        let keys = listed.iter().map(|key| (key.id.as_str(), key.state, key.fingerprint));
        self.letters(keys)
    }

    fn letters<'a>(&self, keys: impl Iterator<Item = (&'a str, KeyState, Fingerprint)>) -> Keys {
        let mut found = Keys::new();
        for (id, state, fingerprint) in keys {
            let letter = self.letter(id, fingerprint);
            if letter != HOLDER {
                found.entry(state.salt_name().to_owned()).or_default().insert(id.to_owned(), letter);
            }
        }
        found
    }

    fn letter(&self, id: &str, fingerprint: Fingerprint) -> String {
        if self.scaffold.contains(id) && key(HOLDER).fingerprint() == fingerprint {
            return HOLDER.to_owned();
        }
        let known = ["A", "B", "C", "D", "E", "F"];
        known.iter().find(|letter| key(letter).fingerprint() == fingerprint).unwrap_or(&"?").to_string()
    }

    /// Replaces the keys in a text by their letters, as the cases have them.
    pub(super) fn mask(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for letter in ["A", "B", "C", "D", "E", "F", HOLDER] {
            let (pem, fingerprint) = (key(letter).to_pem(), key(letter).fingerprint().to_string());
            let pem = pem.trim_end();
            for pem in [pem.to_owned(), pem.replace('\n', "\\n")] {
                text = text.replace(&pem, &format!("<KEY:{letter}>"));
            }
            text = text.replace(&fingerprint, "<FP>");
        }
        text
    }

    /// Brings the same keys into a running master.
    pub(super) fn fill(&self, fleet: &Fleet) {
        // One at a time: which of two waiting keys is denied depends on what came before.
        for (id, letter, act) in self.steps() {
            let state = match act {
                Some(Act::Accept) => "accepted",
                Some(_) => "rejected",
                None => "pending",
            };
            let key = json!({"id": id, "public_key": key(letter).to_pem(), "state": state});
            let results = fleet.api().post("/v1/keys/import", &json!({"keys": [key]})).expect(200).json();
            assert_eq!(results[0]["refused"], Value::Null, "{results}");
        }
    }
}

/// The keys that a master has, as [`World::keys`] tells them.
pub(super) fn keys_of_master(fleet: &Fleet, world: &World) -> Keys {
    let listed = fleet.api().get("/v1/keys").expect(200).json();
    let keys = listed.as_array().expect("a list").iter().map(|key| {
        let state: KeyState = serde_json::from_value(key["state"].clone()).expect("a state");
        let fingerprint =
            key["fingerprint"].as_str().and_then(|text| text.parse().ok()).expect("a fingerprint");
        (key["id"].as_str().expect("an id"), state, fingerprint)
    });
    world.letters(keys)
}

/// Makes a master forget every key.
pub(super) fn clear(fleet: &Fleet) {
    let listed = fleet.api().get("/v1/keys").expect(200).json();
    let keys = listed.as_array().expect("a list").iter();
    let keys: Vec<Value> =
        keys.map(|key| json!({"id": key["id"], "fingerprint": key["fingerprint"]})).collect();
    fleet.api().post("/v1/keys/act", &json!({"act": "delete", "keys": keys})).expect(200);
}
