//! Version 1 of the ledger, byte for byte.
//!
//! These bytes have shipped: do not change this test or `golden/ledger.jsonl`. A ledger that
//! needs other lines is a new version with a golden file of its own, read beside this one.

mod golden_ledger;

use brine_pki::ledger::{Break, Deed, Draft, Hash};
use brine_pki::registry::{Registry, Verdict};
use brine_protocol::control::Act;
use sha2::{Digest, Sha256};

use golden_ledger::{by, der, fingerprint, reads, writes};

const GOLDEN: &str = include_str!("golden/ledger.jsonl");

fn on_key(act: Act, id: &str, key: &str) -> Deed {
    let keeps_key = matches!(act, Act::Accept | Act::Reject);
    Deed::Key {
        act,
        id: id.parse().expect("a valid id"),
        fingerprint: fingerprint(key),
        key: keeps_key.then(|| der(key)),
    }
}

fn decisions() -> Vec<Draft> {
    let repair = Deed::Repair {
        breaks: vec![Break { line: 3, expected: Hash([0x11; 32]), found: Hash([0xfe; 32]) }],
        removed: 2,
        aside: Some("ledger.jsonl.damaged-1".to_owned()),
    };
    let quiet_repair = Deed::Repair { breaks: vec![], removed: 0, aside: None };
    vec![
        by("master", None, Deed::Config { serial: 1 }),
        by("unix:0 (root)", None, on_key(Act::Accept, "web-01.example", "web-01")),
        by(
            "unix:1000 (alice)",
            Some("moves to Dijon, \"B2\"\n\u{e9}t\u{e9}"),
            on_key(Act::Suspend, "web-01.example", "web-01"),
        ),
        by("root as alice", None, on_key(Act::Resume, "web-01.example", "web-01")),
        by("rule:autosign_file", Some("web*"), on_key(Act::Accept, "web-02", "web-02")),
        by("unix:0 (root)", Some("stolen"), on_key(Act::Reject, "web-02", "web-02")),
        by("unix:0 (root)", None, on_key(Act::Reject, "db", "stranger")),
        by("unix:0 (root)", None, on_key(Act::Delete, "db", "stranger")),
        by("unix:0 (root)", None, repair),
        by("unix:0 (root)", None, quiet_repair),
        by("master", None, Deed::Config { serial: 2 }),
    ]
}

#[test]
fn writes_these_bytes() {
    writes(decisions(), GOLDEN);
}

#[test]
fn reads_these_bytes() {
    let registry = Registry::fold(&reads(GOLDEN, &decisions()));
    let standing = |id: &str, key| registry.standing(&id.parse().unwrap(), fingerprint(key));
    assert_eq!(standing("web-01.example", "web-01"), Verdict::Accepted { generation: 2 });
    assert_eq!(standing("web-01.example", "web-02"), Verdict::Denied);
    assert_eq!(standing("web-02", "web-02"), Verdict::Rejected);
    assert_eq!(standing("db", "stranger"), Verdict::Pending);
    assert_eq!(registry.config_serial(), 2);
}

#[test]
fn chain_and_fields_are_as_documented() {
    let mut prev = "0".repeat(64);
    for (seq, line) in (1..).zip(GOLDEN.lines()) {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(
            (&value["v"], &value["seq"], &value["prev"]),
            (&1.into(), &seq.into(), &prev.clone().into())
        );
        prev = Sha256::digest(line.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    }
    assert!(GOLDEN.ends_with('\n'));
}
