//! Version 1 of every JSON body, byte for byte.
//!
//! These bytes have shipped: do not change this test or a file in `golden/v1`, and never record
//! one anew. A body that has to be written otherwise is a new version with golden files of its
//! own beside these.

mod bytes;

use brine_protocol::Fingerprint;
use brine_protocol::control::MasterState;
use brine_protocol::frame::Frame;
use brine_protocol::job::{Call, Ending, Returned};
use brine_protocol::message::{
    Beat, Cancel, Epoch, Knock, Order, Pace, Return, Standing, Start, Stored, ToMaster, ToMinion, Welcome,
};
use brine_protocol::target::{Target, TargetKind};
use brine_protocol::time::Timestamp;
use bytes::{Golden, Said, names, text};
use serde_json::{Map, Value, json};

const JID: &str = "20261122060732000100";
const NUMBER: u64 = 1_795_327_652_000_100;
const STORE: &str = "5a0e9b1c3d7f4826b5e4c3a2d1f09687";
const ALICE: &str = "unix:1000 (alice)";

const GOLDEN: Golden = Golden("v1");

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("{other} is no object"),
    }
}

/// What a minion says: file, kind in the frame's header, meaning.
fn to_master() -> Said<ToMaster> {
    let grains = json!({"id": "web1", "os": "Debian", "num_cpus": 4, "ipv4": ["127.0.0.1", "192.0.2.7"]});
    let changed = json!({"id": "web1", "roles": ["web", "cache"], "virtual": "kvm"});
    let ending = Ending::Returned(Returned {
        value: "\u{e9}t\u{e9}\n".into(),
        retcode: 3,
        duration_ms: 12,
        truncated: true,
    });
    vec![
        (
            "knock",
            1,
            ToMaster::Knock(Knock {
                host: "web1".into(),
                os: "Debian 12.8".into(),
                version: "0.1.0".into(),
                ..Knock::default()
            }),
        ),
        (
            "start",
            2,
            ToMaster::Start(Box::new(Start {
                version: "0.1.0".into(),
                journal: "6f1c8e4d2b7a49d0a3c5e1f0b2d4968a".into(),
                store: Some(STORE.into()),
                open: vec![NUMBER, NUMBER + 100],
                message_max: Some(1_048_576),
                successor: None,
                grains: map(grains),
            })),
        ),
        ("beat", 3, ToMaster::Beat(Beat { running: vec![JID.parse().expect("a jid")], clock: None })),
        (
            "return",
            4,
            ToMaster::Return(Box::new(Return {
                jid: JID.parse().expect("a jid"),
                number: NUMBER,
                functions: "cmd.run".into(),
                ending,
            })),
        ),
        ("grains", 5, ToMaster::Grains(map(changed))),
        ("bye", 6, ToMaster::Bye),
    ]
}

/// What a master says, in frames that are not its verdict.
fn to_minion() -> Said<ToMinion> {
    let jid = JID.parse().expect("a jid");
    let calls = vec![
        Call {
            function: "cmd.run".into(),
            arguments: vec!["uptime".into()],
            keywords: map(json!({"timeout": 5})),
        },
        Call { function: "test.ping".into(), arguments: vec![], keywords: Map::new() },
    ];
    let order = Order {
        jid,
        number: NUMBER,
        calls,
        target: Target::new(TargetKind::Glob, "web*"),
        job_timeout_ms: Some(60_000),
        expires_in_ms: Some(30_000),
        principal: ALICE.into(),
        detach: false,
    };
    let verify = golden_verify_key();
    vec![
        ("standing", 33, ToMinion::Standing(Standing::Accepted { token: [5; 32] })),
        ("epoch", 34, ToMinion::Epoch(Box::new(Epoch { id: [1; 16], key: [2; 32], verify, next: 0 }))),
        ("order", 35, ToMinion::Order(Box::new(order))),
        (
            "stored",
            36,
            ToMinion::Stored(Stored { store: STORE.into(), numbers: vec![NUMBER], floor: NUMBER + 1 }),
        ),
        ("cancel", 37, ToMinion::Cancel(Cancel { jid, number: NUMBER, by: ALICE.into() })),
        ("probe", 38, ToMinion::Probe),
        ("master_beat", 39, ToMinion::Beat),
    ]
}

/// The Ed25519 public key of the seed of thirty-two threes.
fn golden_verify_key() -> [u8; 32] {
    let text = "ed4928c628d1c2c6eae90338905995612959273a5c63f93636c14614ac8737d1";
    std::array::from_fn(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).expect("hex"))
}

fn welcome() -> Welcome {
    Welcome {
        standing: Standing::Pending,
        pace: Pace { heartbeat_ms: 10_000, message_max: Some(1_048_576), clock: None },
    }
}

fn standings() -> Vec<Standing> {
    vec![
        Standing::Accepted { token: [5; 32] },
        Standing::Pending,
        Standing::Rejected,
        Standing::Denied,
        Standing::Suspended,
    ]
}

fn endings() -> Vec<Ending> {
    let why = |why: &str| why.to_owned();
    let value = json!({"test.ping": true, "test.echo": null});
    vec![
        Ending::Returned(Returned { value, retcode: 0, duration_ms: 4, truncated: false }),
        Ending::Failed { why: why("no function web.ping") },
        Ending::TimedOut { after_ms: 60_000 },
        Ending::Cancelled { by: ALICE.into() },
        Ending::Interrupted { why: why("the minion stopped while the job ran") },
        Ending::Offline { since: Some(Timestamp(1_795_327_652_000_100)) },
        Ending::Offline { since: None },
        Ending::Expired,
        Ending::Refused { why: why("no longer matches") },
        Ending::Lost { why: why("no answer") },
    ]
}

/// Writes the same bytes, and reads them back.
fn check_body<T>(name: &str, value: &T)
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let golden = GOLDEN.read(name);
    let written = serde_json::to_vec(value).expect("plain data");
    assert_eq!(text(&written), text(&golden), "{name}");
    assert_eq!(&serde_json::from_slice::<T>(&golden).expect("reads"), value, "{name}");
}

#[test]
fn what_a_minion_says() {
    GOLDEN.check_to_master(to_master());
}

#[test]
fn what_a_master_says() {
    GOLDEN.check_to_minion(to_minion());
    let frame = welcome().to_frame();
    assert_eq!((frame.kind, text(&frame.json)), (32, text(&GOLDEN.read("welcome"))));
    assert_eq!(Welcome::from_frame(&Frame::control(32, GOLDEN.read("welcome"))), Ok(welcome()));
}

#[test]
fn every_standing_and_every_ending() {
    check_body("standings", &standings());
    check_body("endings", &endings());
}

#[test]
fn the_state_of_a_running_master() {
    let fingerprint = Fingerprint(std::array::from_fn(|i| i as u8 * 7));
    check_body("master", &MasterState { pid: 4711, publish_port: 4505, ret_port: 4506, fingerprint });
}

/// A peer that leaves out what may be left out, or says more than is known here, is understood.
#[test]
fn what_may_be_left_out_and_what_may_be_added() {
    let up = |kind, body: &str| ToMaster::from_frame(&Frame::control(kind, body.into()));
    let down = |kind, body: &str| ToMinion::from_frame(&Frame::control(kind, body.into()));
    assert_eq!(up(1, "{}"), Ok(ToMaster::Knock(Knock::default())));
    assert_eq!(up(3, r#"{"load":0.5}"#), Ok(ToMaster::Beat(Beat::default())));
    let start = Start {
        version: "1".into(),
        journal: "j".into(),
        store: None,
        open: vec![],
        message_max: None,
        successor: None,
        grains: Map::new(),
    };
    assert_eq!(up(2, r#"{"version":"1","journal":"j","grains":{}}"#), Ok(ToMaster::Start(Box::new(start))));
    let stored = Stored { store: "s".into(), numbers: vec![], floor: 7 };
    assert_eq!(text(&ToMinion::Stored(stored.clone()).to_frame().json), r#"{"store":"s","floor":7}"#);
    assert_eq!(down(36, r#"{"floor":7,"store":"s","new":[]}"#), Ok(ToMinion::Stored(stored)));
    assert_eq!(down(33, r#"{"verdict":"denied","since":1}"#), Ok(ToMinion::Standing(Standing::Denied)));
    // The body of a message that says nothing is not looked at.
    assert_eq!((up(6, ""), down(39, "[]")), (Ok(ToMaster::Bye), Ok(ToMinion::Beat)));
}

/// A file that no test reads guards nothing.
#[test]
fn every_file_is_read_here() {
    let names = names(&to_master()).into_iter().chain(names(&to_minion()));
    GOLDEN.check_all_read(names.chain(["welcome", "standings", "endings", "master"]));
}
