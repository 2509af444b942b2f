//! What the golden tests of all versions of the ledger share.

// Each test is a program of its own and uses what it needs.
#![allow(dead_code)]

use std::fs;
use std::time::Duration;

use brine_pki::ledger::{Deed, Draft, Entry, FileLedger, Log};
use brine_protocol::Fingerprint;
use brine_protocol::time::Timestamp;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// Not a key, but opaque bytes are all that the ledger sees of one.
pub fn der(name: &str) -> Vec<u8> {
    format!("public key of {name}").into_bytes()
}

pub fn fingerprint(name: &str) -> Fingerprint {
    Fingerprint(Sha256::digest(der(name)).into())
}

/// Who decided, why, and what.
pub fn by(by: &str, reason: Option<&str>, deed: Deed) -> Draft {
    Draft { by: by.to_owned(), reason: reason.map(str::to_owned), deed }
}

/// Asserts that these decisions, one a second, are written as these bytes.
#[track_caller]
pub fn writes(decisions: Vec<Draft>, golden: &str) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("ledger.jsonl");
    let mut ledger = FileLedger::open(&path, Duration::ZERO).expect("a ledger").ledger;
    for (i, draft) in (0..).zip(decisions) {
        ledger.append(draft, Timestamp(1_795_327_652_000_001 + i * 1_000_000)).expect("an entry");
    }
    let written = fs::read_to_string(&path).expect("a text");
    for (line, (written, golden)) in (1..).zip(written.lines().zip(golden.lines())) {
        assert_eq!(written, golden, "line {line}");
    }
    assert_eq!(written, golden);
}

/// Asserts that these bytes are read as these decisions; the entries.
#[track_caller]
pub fn reads(golden: &str, decisions: &[Draft]) -> Vec<Entry> {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("ledger.jsonl");
    fs::write(&path, golden).expect("a file");
    let opened = FileLedger::open(&path, Duration::ZERO).expect("a ledger");
    assert_eq!(opened.torn, None);
    let drafts: Vec<_> = opened
        .entries
        .iter()
        .map(|entry| Draft { by: entry.by.clone(), reason: entry.reason.clone(), deed: entry.deed.clone() })
        .collect();
    assert_eq!(drafts, decisions);
    opened.entries
}

/// The fields of a line.
pub fn fields(line: &str) -> Map<String, Value> {
    serde_json::from_str(line).expect("a line is a JSON object")
}

/// The versions that the lines name.
pub fn versions(golden: &str) -> Vec<u64> {
    golden.lines().map(|line| fields(line)["v"].as_u64().expect("a number")).collect()
}
