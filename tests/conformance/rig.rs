//! A master's decisions without its sockets and disk: files and keys as a case wants them.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use brine_master::config::Config;
use brine_master::engine::{
    Answer as Answered, Ask, Engine, Input, Memory, Now, Opened, Output, OwnKey, Request, RequestId, Settings,
};
use brine_master::gate::ConnId;
use brine_master::roles::Roles;
use brine_master::rule_files::RuleFiles;
use brine_pki::key::PublicKey;
use brine_pki::ledger::MemoryLedger;
use brine_pki::registry::Trust;
use brine_pki::waiting::WaitingLimits;
use brine_protocol::control::{Act, KeyActRequest, KeyName, KeysQuery};
use brine_protocol::message::{Knock, Standing, ToMaster, ToMinion};
use brine_protocol::time::Timestamp;
use brine_protocol::{Fingerprint, MinionId};
use brine_tests::fixtures::key_file;

use crate::key_state_machine::{Answer, Case, States};

/// The file that a key of a case stands for.
const KEYS: [(&str, &str); 4] = [("A", "m1"), ("B", "m2"), ("C", "m3"), ("D", "m4")];

pub(crate) struct Rig {
    engine: Engine<MemoryLedger>,
    id: MinionId,
    conn: u64,
}

/// What the master tells a minion, in the words of the cases.
fn reply(standing: &Standing) -> &'static str {
    match standing {
        Standing::Accepted { .. } => "accept",
        Standing::Pending => "pend",
        Standing::Rejected | Standing::Denied => "reject",
        Standing::Suspended => "suspended",
    }
}

fn key(name: &str) -> Option<PublicKey> {
    let Some((_, file)) = KEYS.iter().find(|(letter, _)| *letter == name) else {
        // As the handshake reads what a stranger sends.
        return PublicKey::from_der(if name == "empty" { b"" } else { name.as_bytes() }).ok();
    };
    let pem = fs::read_to_string(key_file(&format!("{file}.pub"))).unwrap();
    Some(PublicKey::from_pem(&pem).unwrap())
}

fn letter(fingerprint: Fingerprint) -> String {
    let is_it = |(letter, _): &&(&str, &str)| key(letter).is_some_and(|key| key.fingerprint() == fingerprint);
    KEYS.iter().find(is_it).expect("a key of the case").0.to_owned()
}

/// The options that name the case's files, once they are written.
fn write_files(case: &Case, folder: &Path) -> Config {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    let mut config = Config {
        auto_accept: case.is_on("auto_accept"),
        open_mode: case.is_on("open_mode"),
        ..Config::default()
    };
    for (name, text) in &case.files {
        let path = folder.join(name);
        let parent = path.parent().unwrap();
        fs::create_dir_all(parent).unwrap();
        fs::set_permissions(parent, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        match name.split('/').next() {
            Some("autosign") => config.autosign_file = Some(path),
            Some("autoreject") => config.autoreject_file = Some(path),
            Some("ag") => config.autosign_grains_dir = Some("ag".into()),
            // No option names Salt's stubs.
            Some("p") => {}
            _ => panic!("a file of its own: {name}"),
        }
    }
    config
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
        open_orders_max: 10,
        open_bytes_max: 1 << 20,
        message_max: 1 << 20,
        hand_window: 1 << 20,
    };
    let memory = Memory {
        store: "s".repeat(32),
        lost: vec![],
        last_jid: Timestamp::default(),
        open: vec![],
        facts: vec![],
        last_event: 0,
        idempotency: vec![],
        nodegroups: Default::default(),
        own: OwnKey { fingerprint: Fingerprint([7; 32]), problem: None, notice: None },
    };
    let trust = Trust::with_log(MemoryLedger::default(), WaitingLimits::default()).unwrap();
    Engine::new(settings, trust, memory, Box::new(|bytes| bytes.fill(1)), Now::default())
}

impl Rig {
    /// What the master answers to the case.
    pub(crate) fn answer(case: &Case) -> Answer {
        let folder = tempfile::tempdir().unwrap();
        let config = write_files(case, folder.path());
        let Ok(id) = case.id.parse() else {
            // The handshake reads an id by the same rule.
            return Answer { reply: "reject".to_owned(), after: States::new() };
        };
        let mut rig = Self { engine: engine(), id, conn: 0 };
        rig.make(case);
        if config.check().is_err() {
            return Answer { reply: "the master does not start".to_owned(), after: rig.states() };
        }
        let rules = Box::new(RuleFiles::new(&config, folder.path()).read().unwrap());
        rig.input(Input::Rules { rules, problem: None });
        let reply = key(&case.presented).map_or("reject", |key| {
            let claims = Knock { grains: case.grains.clone(), ..Knock::default() };
            reply(&rig.knock(&key, claims))
        });
        Answer { reply: reply.to_owned(), after: rig.states() }
    }

    /// Brings the keys into their states, as operators would have.
    fn make(&mut self, case: &Case) {
        for (folder, act) in [("minions", Act::Accept), ("minions_rejected", Act::Reject)] {
            for name in case.keys(folder) {
                let key = key(&name).expect("a key");
                self.knock(&key, Knock::default());
                self.act(act, key.fingerprint());
            }
        }
        let decided = &case.keys("minions") | &case.keys("minions_rejected");
        let waiting = &(&case.keys("minions_pre") | &case.keys("minions_denied")) - &decided;
        for name in waiting {
            self.knock(&key(&name).expect("a key"), Knock::default());
        }
    }

    fn input(&mut self, input: Input) -> Vec<Output> {
        self.engine.handle(input, Now::default());
        std::iter::from_fn(|| self.engine.poll_output()).collect()
    }

    /// A session from its Hello to its end; the last that its minion was told.
    fn knock(&mut self, key: &PublicKey, claims: Knock) -> Standing {
        self.conn += 1;
        let (conn, fingerprint) = (ConnId(self.conn), key.fingerprint());
        let mut outputs = self.input(Input::Hello { conn, id: self.id.clone(), fingerprint });
        let opened = Opened {
            conn,
            id: self.id.clone(),
            key: key.der().to_vec(),
            fingerprint,
            address: Ipv4Addr::new(192, 0, 2, 1).into(),
            resumed: None,
        };
        outputs
            .extend(self.input(Input::Opened { opened: Box::new(opened), first: ToMaster::Knock(claims) }));
        self.input(Input::Closed { conn, why: "bye" });
        let told = outputs.into_iter().filter_map(|output| match output {
            Output::Welcome { standing, .. } => Some(standing),
            Output::Send { message: ToMinion::Standing(standing), .. } => Some(standing),
            _ => None,
        });
        told.last().expect("a Hello is answered")
    }

    fn ask(&mut self, ask: Ask) -> Answered {
        let principal = Roles::default().principal(0, Some("root"), 0).unwrap();
        let request = Request { id: RequestId(1), principal, ask };
        let answer = |output| match output {
            Output::Answer { answer, .. } | Output::AnswerNow { answer, .. } => Some(*answer),
            _ => None,
        };
        self.input(Input::Request(Box::new(request))).into_iter().find_map(answer).expect("an answer")
    }

    fn act(&mut self, act: Act, fingerprint: Fingerprint) {
        let name = KeyName { id: self.id.clone(), fingerprint, state: None };
        let request = KeyActRequest { act, keys: vec![name], reason: None };
        let Answered::Acted(results) = self.ask(Ask::Act(request)) else { panic!("another answer") };
        assert_eq!(results[0].refused, None);
    }

    fn states(&mut self) -> States {
        let Answered::Keys(keys) = self.ask(Ask::Keys(KeysQuery::default())) else {
            panic!("another answer")
        };
        let mut states = States::new();
        for key in keys {
            states.entry(key.state.salt_name().to_owned()).or_default().insert(letter(key.fingerprint));
        }
        states
    }
}
