//! Version 3 of the ledger, byte for byte: servers, enrolment tokens and refused acts.
//!
//! These bytes have shipped: do not change this test or `golden/ledger_v3.jsonl`. A ledger that
//! needs other lines is a new version with a golden file of its own, read beside these.

mod golden_ledger;

use std::collections::BTreeMap;

use brine_pki::ledger::{Deed, Draft, Entry, Hash, MinionKey, ServerDeed, TokenDeed};
use brine_pki::registry::Registry;
use brine_protocol::control::{KeyFate, Preseed, Way};
use brine_protocol::server::ServerRecord;
use brine_protocol::time::Timestamp;
use brine_protocol::{ServerId, TokenId};
use serde_json::{Map, Value, json};

use golden_ledger::{by, der, fields, fingerprint, reads, versions, writes};

const GOLDEN: &str = include_str!("golden/ledger_v3.jsonl");

const ROOT: &str = "unix:0 (root)";

fn server(n: u8) -> ServerId {
    ServerId::from_random([n; 16])
}

fn token(n: u8) -> TokenId {
    TokenId::from_random([n; 16])
}

fn minion(id: &str, key: &str) -> MinionKey {
    MinionKey { id: id.parse().expect("a valid id"), fingerprint: fingerprint(key) }
}

fn until() -> Timestamp {
    Timestamp(1_795_932_452_000_001)
}

fn record(name: &str) -> Box<ServerRecord> {
    Box::new(ServerRecord {
        name: name.to_owned(),
        model: "scribe-2.9".to_owned(),
        zone: None,
        site: None,
        labels: BTreeMap::new(),
        minion_id: None,
        external_id: None,
    })
}

fn full_record() -> Box<ServerRecord> {
    Box::new(ServerRecord {
        zone: Some("Dijon".to_owned()),
        site: Some("attic, \"left\"".to_owned()),
        labels: [("role".to_owned(), "files".to_owned()), ("note".to_owned(), String::new())].into(),
        minion_id: Some("eluard".parse().expect("a valid id")),
        external_id: Some("0210001A".to_owned()),
        ..*record("Coll\u{e8}ge \u{c9}luard")
    })
}

fn about(n: u8, deed: ServerDeed) -> Deed {
    Deed::Server { server: server(n), deed }
}

fn with(n: u8, deed: TokenDeed) -> Deed {
    Deed::Token { token: token(n), deed }
}

fn pair(at: MinionKey, key: Option<&str>, from: Option<MinionKey>) -> ServerDeed {
    ServerDeed::Pair { minion: at, key: key.map(der), from }
}

fn decisions() -> Vec<Draft> {
    let preseed = |at: &str, key: &str, from| ServerDeed::Preseed {
        minion: minion(at, key),
        key: der(key),
        until: until(),
        from,
    };
    let enrol = |to, at: &str, key: &str, from| TokenDeed::Enrol {
        server: to,
        minion: minion(at, key),
        key: der(key),
        from,
    };
    let hash = |n: u8| Hash([n; 32]);
    let of_server =
        TokenDeed::Create { hash: hash(1), server: Some(server(4)), pattern: None, uses: 1, until: until() };
    let of_pattern = TokenDeed::Create {
        hash: hash(2),
        server: None,
        pattern: Some("web-[0-9]*".to_owned()),
        uses: 12,
        until: until(),
    };
    vec![
        by(ROOT, None, about(1, ServerDeed::Create { record: record("one") })),
        by("unix:1000 (alice)", Some("moves in"), about(1, ServerDeed::Update { record: full_record() })),
        by(ROOT, None, about(1, pair(minion("eluard", "eluard"), Some("eluard"), None))),
        by(
            ROOT,
            Some("new disk"),
            about(1, pair(minion("eluard", "eluard 2"), Some("eluard 2"), Some(minion("eluard", "eluard")))),
        ),
        by(
            ROOT,
            None,
            about(1, ServerDeed::Unpair { minion: minion("eluard", "eluard 2"), fate: KeyFate::Keep }),
        ),
        by(ROOT, None, about(2, ServerDeed::Create { record: record("two") })),
        by(ROOT, None, about(2, preseed("two", "two", None))),
        by(ROOT, None, about(2, ServerDeed::Fetch { minion: minion("two", "two") })),
        by("minion:two", None, about(2, ServerDeed::Arrive { minion: minion("two", "two") })),
        by(
            ROOT,
            Some("the other machine"),
            about(2, pair(minion("eluard", "eluard 2"), None, Some(minion("two", "two")))),
        ),
        by(ROOT, None, about(3, ServerDeed::Create { record: record("three") })),
        by(ROOT, None, about(3, preseed("three", "three", None))),
        by("master", None, about(3, ServerDeed::Expire { minion: minion("three", "three") })),
        by(ROOT, None, about(3, preseed("three", "three 2", Some(minion("drei", "drei"))))),
        by(ROOT, None, about(4, ServerDeed::Create { record: record("four") })),
        by(ROOT, None, with(1, of_server)),
        by("unix:0 (root)", Some("racks 1 to 12"), with(2, of_pattern)),
        by(
            "token:01010101-0101-4101-8101-010101010101",
            None,
            with(1, enrol(Some(server(4)), "four", "four", None)),
        ),
        by("token:02020202-0202-4202-8202-020202020202", None, with(2, enrol(None, "web-1", "web-1", None))),
        by(ROOT, Some("lost"), with(2, TokenDeed::Revoke)),
        by(
            "unix:1001 (bob)",
            None,
            Deed::Refuse { verb: "servers_link".to_owned(), subject: "pair Coll\u{e8}ge".to_owned() },
        ),
        by(
            ROOT,
            None,
            about(4, ServerDeed::Delete { link: Some((minion("four", "four"), KeyFate::Reject)) }),
        ),
        by(ROOT, Some("sold"), about(1, ServerDeed::Delete { link: None })),
    ]
}

#[test]
fn writes_these_bytes() {
    writes(decisions(), GOLDEN);
}

#[test]
fn reads_these_bytes() {
    let registry = Registry::fold(&reads(GOLDEN, &decisions()));
    let servers = registry.servers();
    let ids: Vec<_> = servers.iter().map(|(id, _)| id).collect();
    assert_eq!(ids, [server(2), server(3)]);
    let link = |n| servers.get(server(n)).and_then(|entry| entry.link.clone()).expect("a link");
    let two = link(2);
    assert_eq!(
        (two.minion.as_str(), two.fingerprint, two.way),
        ("eluard", fingerprint("eluard 2"), Way::Paired)
    );
    let three = link(3);
    assert_eq!(three.preseed, Some(Preseed { until: until(), is_fetched: false }));
    assert_eq!(servers.unarrived().map(|(id, _)| id).collect::<Vec<_>>(), [server(3)]);
    assert_eq!(servers.tokens().count(), 0, "one was revoked, one went with its server");
    let accepted: Vec<_> = registry.accepted().map(|(id, generation)| (id.as_str(), generation)).collect();
    assert_eq!(accepted, [("eluard", 4), ("three", 14), ("web-1", 19)]);
}

#[test]
fn only_new_acts_are_of_the_new_version() {
    assert_eq!(versions(GOLDEN), [3; 23]);
    for line in GOLDEN.lines() {
        for other in ["\"v\":1,", "\"v\":2,"] {
            let error = Entry::from_line(line.replacen("\"v\":3,", other, 1).as_bytes()).unwrap_err();
            assert!(error.to_string().contains("is not written in version"), "{error}");
        }
        assert!(line.len() < 2048, "a decision is some hundred bytes");
    }
    let fields: Vec<Map<String, Value>> = GOLDEN.lines().map(fields).collect();
    let mut acts: Vec<&str> = fields.iter().map(|line| line["act"].as_str().expect("a name")).collect();
    acts.sort_unstable();
    acts.dedup();
    let expected = [
        "arrive",
        "create-server",
        "create-token",
        "delete-server",
        "enrol",
        "expire",
        "fetch",
        "pair",
        "preseed",
        "refuse",
        "revoke-token",
        "unpair",
        "update-server",
    ];
    assert_eq!(acts, expected);
}

/// What a field that does not belong there would say.
fn surplus() -> Map<String, Value> {
    let Value::Object(fields) = json!({
        "server": server(9), "token": token(9), "record": record("x"), "id": "web1",
        "fingerprint": fingerprint("x"), "key": "AAAA", "fate": "keep", "from_id": "web9",
        "from": fingerprint("x"), "hash": Hash([9; 32]), "pattern": "*", "uses": 1, "until": until(),
        "verb": "keys_act", "subject": "x", "signature": "AAAA", "serial": 1, "breaks": [], "removed": 1,
        "aside": "x",
    }) else {
        unreachable!("an object")
    };
    fields
}

/// Fields that a line may have or not, whatever else it says.
fn is_optional(line: &Map<String, Value>, field: &str) -> bool {
    match (line["act"].as_str().expect("a name"), field) {
        // Which is another decision: the key is not accepted by it, no key is given up, or the one
        // that is given up is the id's own.
        ("pair", "key") => line.contains_key("key"),
        ("pair" | "preseed" | "enrol", "from") => !line.contains_key("from_id"),
        ("pair" | "preseed" | "enrol", "from_id") => line.contains_key("from"),
        ("enrol", "server") => true,
        _ => false,
    }
}

#[test]
fn a_line_with_a_field_too_many_or_too_few_is_refused() {
    for line in GOLDEN.lines() {
        let value = fields(line);
        for (field, with) in surplus() {
            let mut changed = value.clone();
            if changed.remove(&field).is_none() {
                changed.insert(field.clone(), with);
            }
            let text = serde_json::to_string(&changed).unwrap();
            match Entry::from_line(text.as_bytes()) {
                Err(error) => {
                    let error = error.to_string();
                    let names_it =
                        ["without", " with ", "does not belong"].iter().any(|word| error.contains(word));
                    assert!(names_it && !is_optional(&value, &field), "{field}: {error}\n{text}");
                }
                Ok(_) => assert!(is_optional(&value, &field), "{field} changes nothing\n{text}"),
            }
        }
        let mut unknown = value.clone();
        unknown.insert("colour".to_owned(), "red".into());
        Entry::from_line(serde_json::to_string(&unknown).unwrap().as_bytes()).unwrap_err();
    }
}

#[test]
fn what_a_line_says_in_one_way_it_does_not_say_in_another() {
    let pairs = |line: &&str| line.contains("\"act\":\"pair\"") && line.contains("\"from\"");
    let line = GOLDEN.lines().find(pairs).expect("a pair that gives up a key of the same id");
    let own = line.replacen("\"from\":", "\"from_id\":\"eluard\",\"from\":", 1);
    assert_eq!(Entry::from_line(own.as_bytes()).unwrap_err().to_string(), "\"pair\" with \"from_id\"");
    let record = GOLDEN.lines().next().expect("a line").replacen("\"model\":", "\"colour\":1,\"model\":", 1);
    let error = Entry::from_line(record.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("unknown field `colour`"), "{error}");
}
