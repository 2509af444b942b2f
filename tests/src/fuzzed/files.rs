//! Files that people write, and applications for them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use brine_local::Paths;
use brine_local::config::yaml::read_plain;
use brine_master::bundles::Bundles;
use brine_master::cli::imported_records;
use brine_master::config::Config;
use brine_master::pillar::Source;
use brine_protocol::{Fingerprint, ServerId};
use serde_json::Value;

use super::scratch::folder;
use super::words::Sample;

/// Plain YAML: what it means survives being written as JSON, which is YAML too.
pub(super) fn yaml(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(node) = read_plain(text) else { return };
    let value = node.value();
    let json = serde_json::to_string(&value).expect("a value is JSON");
    if is_same_in_yaml(&value) && json.len() < 1 << 16 {
        match read_plain(&json) {
            Ok(again) => assert_eq!(again.value(), value, "{json}"),
            Err((line, fault)) => panic!("{json}: line {line}: {fault}"),
        }
    }
}

/// Whether its JSON is the same document in YAML: there keys are short, `<<` merges, and controls
/// are escaped otherwise.
fn is_same_in_yaml(value: &Value) -> bool {
    let is_plain = |text: &str| text.chars().all(|c| c.is_ascii_graphic() || c == ' ');
    match value {
        Value::String(text) => is_plain(text),
        Value::Array(items) => items.iter().all(is_same_in_yaml),
        Value::Object(map) => map
            .iter()
            .all(|(key, value)| key.len() < 1000 && key != "<<" && is_plain(key) && is_same_in_yaml(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

/// `top.yaml`, and behind zeros the files `web` and `db`.
pub(super) fn pillar(bytes: &[u8]) {
    let folder = folder();
    let root = folder.path().join("pillar");
    fs::create_dir(&root).expect("a folder");
    let mut parts = bytes.splitn(3, |byte| *byte == 0);
    for name in ["top.yaml", "web.yaml", "db.sls"] {
        let path = root.join(name);
        fs::write(&path, parts.next().unwrap_or(b"k: v\n")).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
    }
    let config = serde_json::from_value(serde_json::json!({"pillar_roots": [root]})).expect("options");
    let paths = Paths::new(Some(folder.path()), None);
    let source = Source::new(&config, &paths);
    let config: &Config = &config;
    assert!(!config.pillar_roots.folders().is_empty());
    match source.read().tree {
        Ok(tree) => {
            for sample in Sample::all() {
                let selection = tree.select(&sample.known());
                let _ = tree.compile(&selection);
                let _ = tree.origins(&selection);
            }
        }
        Err(fault) => {
            let said = fault.to_string();
            assert!(!said.contains("others than root"), "the folder of a fuzzer is nobody else's: {said}");
        }
    }
}

/// A file of server records, in all its forms.
pub(super) fn server_import(bytes: &[u8]) {
    for name in ["a.csv", "a.json", "a.jsonl"] {
        let Ok(records) = imported_records(Path::new(name), bytes) else { continue };
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
        let mut last = 0;
        for (line, record) in records {
            assert!((last..=lines).contains(&line), "line {line} after {last} of {lines}");
            last = line;
            if let Ok(record) = record {
                assert_eq!(record.check(), Ok(()), "a record that is handed on was checked");
            }
        }
    }
}

/// A bundle that is fetched: one whose key is not the ledger's is nobody's.
pub(super) fn bundle(bytes: &[u8]) {
    let folder = folder();
    let place = folder.path().join("bundles");
    let bundles = Bundles::open(&place).expect("a folder");
    let server = ServerId::from_random([7; 16]);
    fs::write(place.join(server.to_string()), bytes).expect("a file");
    let kept = bundles.sweep(|_, _| true).expect("a folder of one file");
    assert!(kept <= 1);
    assert!(bundles.take(server, Fingerprint([0; 32])).is_err(), "a key that no ledger names");
    assert!(!place.join(server.to_string()).exists(), "it is wiped either way");
}
