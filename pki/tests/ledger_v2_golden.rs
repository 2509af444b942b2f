//! Version 2 of the ledger, byte for byte: keys that give way to others.
//!
//! These bytes have shipped: do not change this test or `golden/ledger_v2.jsonl`. A ledger that
//! needs other lines is a new version with a golden file of its own, read beside these.

mod golden_ledger;

use brine_pki::ledger::{Deed, Draft, Entry};
use brine_pki::registry::{Registry, Verdict};
use brine_protocol::control::Act;
use brine_protocol::time::Timestamp;

use golden_ledger::{by, der, fingerprint, reads, versions, writes};

const GOLDEN: &str = include_str!("golden/ledger_v2.jsonl");

fn decisions() -> Vec<Draft> {
    let announce = |from: &str, to: &str| Deed::Announce {
        fingerprint: fingerprint(to),
        key: der(to),
        from: fingerprint(from),
        until: Timestamp(1_795_932_452_000_001),
    };
    let id = || "web-01.example".parse().expect("a valid id");
    let accept = Deed::Key {
        act: Act::Accept,
        id: id(),
        fingerprint: fingerprint("web-01"),
        key: Some(der("web-01")),
    };
    let rotate = Deed::Rotate {
        id: id(),
        fingerprint: fingerprint("web-01 second"),
        key: der("web-01 second"),
        from: fingerprint("web-01"),
        signature: (0..=255).collect(),
    };
    vec![
        by("master", None, Deed::Config { serial: 1 }),
        by("unix:0 (root)", None, accept),
        by("minion:web-01.example", Some("job 20261122060732000100"), rotate),
        by("unix:0 (root)", Some("yearly"), announce("master", "master 2")),
        by(
            "unix:1000 (alice)",
            None,
            Deed::Withdraw { fingerprint: fingerprint("master 2"), from: fingerprint("master") },
        ),
        by("unix:0 (root)", None, announce("master", "master 3")),
        by(
            "master",
            None,
            Deed::Succeed { fingerprint: fingerprint("master 3"), from: fingerprint("master") },
        ),
    ]
}

#[test]
fn writes_these_bytes() {
    writes(decisions(), GOLDEN);
}

#[test]
fn reads_these_bytes() {
    let registry = Registry::fold(&reads(GOLDEN, &decisions()));
    let standing = |key| registry.standing(&"web-01.example".parse().unwrap(), fingerprint(key));
    assert_eq!(standing("web-01 second"), Verdict::Accepted { generation: 2 });
    assert_eq!(standing("web-01"), Verdict::Denied);
    let master = registry.master_keys();
    assert_eq!((master.current, master.announced), (Some(fingerprint("master 3")), None));
}

#[test]
fn only_new_acts_are_of_the_new_version() {
    assert_eq!(versions(GOLDEN), [1, 1, 2, 2, 2, 2, 2]);
    for line in GOLDEN.lines() {
        let other =
            if line.starts_with("{\"v\":1,") { ("\"v\":1,", "\"v\":2,") } else { ("\"v\":2,", "\"v\":1,") };
        let error = Entry::from_line(line.replacen(other.0, other.1, 1).as_bytes()).unwrap_err();
        assert!(error.to_string().contains("is not written in version"), "{error}");
    }
}

#[test]
fn a_line_with_a_field_too_many_or_too_few_is_refused() {
    for line in GOLDEN.lines().skip(2) {
        let value: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
        for field in ["id", "fingerprint", "key", "from", "until", "signature"] {
            let mut changed = value.clone();
            if changed.remove(field).is_none() {
                let with = match field {
                    "until" => "2026-11-22T06:07:32.000001Z".into(),
                    "id" => "web1".into(),
                    "key" | "signature" => "AAAA".into(),
                    _ => value["from"].clone(),
                };
                changed.insert(field.to_owned(), with);
            }
            let text = serde_json::to_string(&changed).unwrap();
            let error = Entry::from_line(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(field) || error.contains("does not belong"), "{field}: {error}");
        }
        let long = format!("\"signature\":\"{}\"", "A".repeat(1024));
        if let Some(at) = line.find("\"signature\"") {
            let end = at + line[at..].find(",\"reason\"").unwrap();
            let text = format!("{}{long}{}", &line[..at], &line[end..]);
            assert_eq!(Entry::from_line(text.as_bytes()).unwrap_err().to_string(), "the signature is none");
        }
    }
}
