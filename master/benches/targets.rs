//! How long the master's engine takes to find whom a target of ten terms means among 10,000 accepted
//! minions whose grains it knows.

use std::net::Ipv4Addr;
use std::time::Duration;

use brine_master::engine::{
    Answer, Ask, Engine, Input, Memory, Now, Opened, Output, OwnKey, Request, RequestId, Settings,
};
use brine_master::gate::ConnId;
use brine_master::roles::Roles;
use brine_pki::ledger::MemoryLedger;
use brine_pki::registry::Trust;
use brine_pki::waiting::WaitingLimits;
use brine_protocol::control::{Act, KeyActRequest, KeyName, TargetRequest};
use brine_protocol::message::{Knock, Start, ToMaster};
use brine_protocol::target::{Nodegroup, Nodegroups, Target, TargetKind};
use brine_protocol::{Fingerprint, MinionId};
use criterion::Criterion;
use serde_json::json;
use sha2::{Digest, Sha256};

const MINIONS: usize = 10_000;

/// Ten terms, of which the last ones decide for most minions.
const TEN: &str = "( G@os:Debian or G@os:Ubuntu ) and not L@web00001,web00002 and web* and E@web[0-9]+ \
    and not N@old and S@10.0.0.0/8 and P@role:(web|db)$ and not G@stage:test and not G@osrelease:11";

fn main() {
    let mut criterion = Criterion::default().configure_from_args().sample_size(20);
    let mut engine = engine();
    for at in 0..MINIONS {
        join(&mut engine, at);
    }
    let mut group = criterion.benchmark_group("engine, 10,000 minions");
    for (name, kind, expression) in [
        ("ten terms", TargetKind::Compound, TEN),
        ("grain", TargetKind::Grain, "role:web"),
        ("glob", TargetKind::Glob, "web*9"),
    ] {
        group.bench_function(name, |bencher| bencher.iter(|| ask(&mut engine, kind, expression)));
    }
    group.finish();
    criterion.final_summary();
}

fn engine() -> Engine<MemoryLedger> {
    let settings = Settings {
        node: 0,
        heartbeat: Duration::from_secs(10),
        handshake: Duration::from_secs(5),
        lost_after: Duration::from_secs(100),
        keep_jobs: Duration::from_secs(100),
        servers_max: 100,
        pillar_cache_bytes: 1 << 20,
        open_orders_max: 1_000_000,
        open_bytes_max: 1 << 28,
        message_max: 1 << 20,
        hand_window: 1 << 20,
    };
    let memory = Memory {
        store: "s".repeat(32),
        lost: vec![],
        last_jid: brine_protocol::time::Timestamp::default(),
        open: vec![],
        facts: vec![],
        last_event: 0,
        idempotency: vec![],
        nodegroups: Nodegroups::from([(
            "old".to_owned(),
            Nodegroup::Text("G@os:Slackware or db*".to_owned()),
        )]),
        own: OwnKey { fingerprint: Fingerprint([7; 32]), problem: None, notice: None },
    };
    let trust = Trust::with_log(MemoryLedger::default(), WaitingLimits::default()).expect("nothing to read");
    Engine::new(settings, trust, memory, Box::new(|bytes| bytes.fill(1)), Now::default())
}

/// Lets one minion in, which says what it is.
fn join(engine: &mut Engine<MemoryLedger>, at: usize) {
    let conn = ConnId(at as u64);
    let id: MinionId = format!("web{at:05}").parse().expect("an id");
    let key = id.as_str().as_bytes().to_vec();
    let fingerprint = Fingerprint(Sha256::digest(&key).into());
    let address = Ipv4Addr::new(10, 0, (at / 250) as u8, (at % 250) as u8);
    let opened = Opened { conn, id: id.clone(), key, fingerprint, resumed: None, address: address.into() };
    put(engine, Input::Opened { opened: Box::new(opened), first: ToMaster::Knock(Knock::default()) });
    let keys = vec![KeyName { id, fingerprint, state: None }];
    request(engine, Ask::Act(KeyActRequest { act: Act::Accept, keys, reason: None }));
    let grains = json!({
        "os": if at.is_multiple_of(2) { "Debian" } else { "Ubuntu" },
        "osrelease": "12", "role": (["web", "db", "mail"][at % 3]), "stage": "live",
        "ipv4": ["127.0.0.1", address.to_string()], "kernel": "Linux", "num_cpus": 4, "mem_total": 8192,
    });
    let start = Start {
        version: "0".to_owned(),
        journal: "j".to_owned(),
        store: None,
        open: vec![],
        message_max: None,
        successor: None,
        grains: serde_json::from_value(grains).expect("a mapping"),
    };
    put(engine, Input::Frame { conn, message: ToMaster::Start(Box::new(start)) });
}

fn put(engine: &mut Engine<MemoryLedger>, input: Input) -> Vec<Output> {
    engine.handle(input, Now::default());
    std::iter::from_fn(|| engine.poll_output()).collect()
}

fn request(engine: &mut Engine<MemoryLedger>, ask: Ask) -> Vec<Output> {
    let principal = Roles::default().principal(0, Some("root"), 0).expect("root may");
    put(engine, Input::Request(Box::new(Request { id: RequestId(1), principal, ask })))
}

fn ask(engine: &mut Engine<MemoryLedger>, kind: TargetKind, expression: &str) {
    let ask = Ask::Targets(TargetRequest { target: Target::new(kind, expression), explain: false });
    let outputs = request(engine, ask);
    let is_answered = |output: &Output| match output {
        Output::AnswerNow { answer, .. } => {
            matches!(&**answer, Answer::Targets(matched) if matched.matched > 0 && matched.accepted == MINIONS)
        }
        _ => false,
    };
    assert!(outputs.iter().any(is_answered), "{expression} means somebody");
}
