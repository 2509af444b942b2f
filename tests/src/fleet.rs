//! A master and its minions in one temporary directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use brine_protocol::time::Timestamp;
use nix::fcntl::Flock;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::api::Api;
use crate::binaries::program;
use crate::fixtures::{place_key, reserve_port, short_dir};
use crate::minion::Minion;
use crate::process::{Done, Process};
use crate::wait::{eventually, within};

/// A master on a root directory of its own, and the place for its minions.
///
/// Everything ends with it: `Drop` stops the processes by their id and removes the directory.
#[derive(Debug)]
pub struct Fleet {
    /// The running master, if any.
    pub master: Option<Process>,
    /// The port of broadcasts.
    pub publish_port: u16,
    /// The port of returns.
    pub ret_port: u16,
    options: String,
    dir: Arc<TempDir>,
    _ports: Vec<Flock<fs::File>>,
}

impl Fleet {
    /// A master with default options, listening.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// A master with more lines in `master.yaml`, listening.
    #[must_use]
    pub fn start_with(options: &str) -> Self {
        let mut fleet = Self::prepare(options);
        fleet.start_master();
        fleet
    }

    /// A fleet whose master is configured and not started.
    ///
    /// # Panics
    /// The temporary directory cannot be filled.
    #[must_use]
    pub fn prepare(options: &str) -> Self {
        let fleet = Self {
            master: None,
            publish_port: 0,
            ret_port: 0,
            options: options.to_owned(),
            dir: Arc::new(short_dir()),
            _ports: Vec::new(),
        };
        place_key("master", &fleet.root().join("etc/brine/pki/master"), "master");
        fleet.write_config();
        fleet
    }

    /// A fleet whose ports are known before the master starts, and stay its own while the master
    /// is down: they lie below the range from which the system gives ports to others.
    #[must_use]
    pub fn prepare_with_ports(options: &str) -> Self {
        let mut fleet = Self::prepare(options);
        let (first, second) = (reserve_port(), reserve_port());
        (fleet.publish_port, fleet.ret_port) = (first.0, second.0);
        fleet._ports = vec![first.1, second.1];
        fleet.write_config();
        fleet
    }

    /// The master's root directory.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("M")
    }

    /// The directory that holds all roots.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Replaces the options and writes `master.yaml` anew.
    pub fn set_options(&mut self, options: &str) {
        options.clone_into(&mut self.options);
        self.write_config();
    }

    fn write_config(&self) {
        let folder = self.root().join("etc/brine");
        fs::create_dir_all(&folder).expect("the fleet's folder");
        let text = format!(
            "interface: 127.0.0.1\npublish_port: {}\nret_port: {}\nkeysize: 2048\n{}",
            self.publish_port, self.ret_port, self.options
        );
        fs::write(folder.join("master.yaml"), text).expect("the fleet's folder");
    }

    /// The command that runs one of the programs on the master's root.
    #[must_use]
    pub fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program(name));
        command.env_remove("RUST_LOG").arg("--root-dir").arg(self.root()).args(arguments);
        command
    }

    /// Starts the master and waits until it listens.
    ///
    /// # Panics
    /// It does not listen within ten seconds.
    pub fn start_master(&mut self) {
        let command = self.command("brine-master", &[]);
        self.start_master_by(command);
    }

    /// Starts the master with so many descriptors and waits until it listens.
    ///
    /// # Panics
    /// It does not listen within ten seconds.
    pub fn start_master_within(&mut self, descriptors: usize) {
        let master = self.command("brine-master", &[]);
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(format!("ulimit -n {descriptors}; exec \"$0\" \"$@\""));
        command.arg(master.get_program()).args(master.get_args()).env_remove("RUST_LOG");
        self.start_master_by(command);
    }

    /// Starts the master by this command and waits until it listens.
    ///
    /// # Panics
    /// It does not listen within ten seconds.
    pub fn start_master_by(&mut self, command: Command) {
        let mut process = Process::start(command, &self.dir.path().join("master.log"));
        let state = within(10.0, "the master writes master.json", || {
            assert!(process.is_alive(), "the master ended:\n{}", process.log());
            self.state().filter(|state| state["pid"] == process.pid())
        });
        let port = |name: &str| u16::try_from(state[name].as_u64().expect("a port")).expect("a port");
        (self.publish_port, self.ret_port) = (port("publish_port"), port("ret_port"));
        self.master = Some(process);
    }

    /// `run/brine/master.json`, once it is there.
    #[must_use]
    pub fn state(&self) -> Option<Value> {
        let text = fs::read_to_string(self.root().join("run/brine/master.json")).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// The running master.
    ///
    /// # Panics
    /// It was stopped.
    pub fn master(&mut self) -> &mut Process {
        self.master.as_mut().expect("the master was started")
    }

    /// What the master has logged since its last start.
    #[must_use]
    pub fn log(&self) -> String {
        self.master.as_ref().map(Process::log).unwrap_or_default()
    }

    /// Ends the master as a crash would.
    pub fn kill_master(&mut self) {
        self.master().kill();
    }

    /// Runs `brine`.
    #[must_use]
    pub fn brine(&self, arguments: &[&str]) -> Done {
        Done::run(self.command("brine", arguments))
    }

    /// Runs `brine-key`.
    #[must_use]
    pub fn brine_key(&self, arguments: &[&str]) -> Done {
        Done::run(self.command("brine-key", arguments))
    }

    /// The control API.
    #[must_use]
    pub fn api(&self) -> Api {
        Api::new(&self.root().join("run/brine/control.sock"))
    }

    /// `GET /v1/health`.
    #[must_use]
    #[track_caller]
    pub fn health(&self) -> Value {
        self.api().get("/v1/health").expect(200).json()
    }

    /// One counter of the master, or the sum of all whose name begins so.
    #[must_use]
    #[track_caller]
    pub fn counter(&self, name: &str) -> u64 {
        let health = self.health();
        let counters = health["counters"].as_object().expect("counters").clone();
        counters.iter().filter(|(key, _)| key.starts_with(name)).filter_map(|(_, n)| n.as_u64()).sum()
    }

    /// The state of a minion's key, by the key's fingerprint.
    #[must_use]
    #[track_caller]
    pub fn key_state(&self, id: &str, fingerprint: &str) -> Option<String> {
        let keys = self.api().get("/v1/keys").expect(200).json();
        let key = keys
            .as_array()
            .expect("a list")
            .iter()
            .find(|key| key["id"] == id && key["fingerprint"] == fingerprint)?;
        Some(key["state"].as_str().expect("a state").to_owned())
    }

    /// An act on one key through the API.
    #[track_caller]
    pub fn act(&self, act: &str, id: &str, fingerprint: &str) {
        let request = json!({"act": act, "keys": [{"id": id, "fingerprint": fingerprint}]});
        let results = self.api().post("/v1/keys/act", &request).expect(200).json();
        assert_eq!(results[0]["refused"], Value::Null, "{results}");
    }

    /// Prepares a minion whose id is also the name of its test key, and does not start it.
    #[must_use]
    pub fn prepare_minion(&self, id: &str) -> Minion {
        self.prepare_minion_with(id, id, "")
    }

    /// Prepares a minion with this id, test key, and more lines in `minion.yaml`.
    #[must_use]
    pub fn prepare_minion_with(&self, id: &str, key: &str, options: &str) -> Minion {
        let minion = Minion::new(id, key, options, (self.publish_port, self.ret_port), Arc::clone(&self.dir));
        place_key(key, &minion.root().join("etc/brine/pki/minion"), "minion");
        minion.write_config();
        minion
    }

    /// Prepares a minion that makes a key of its own when it starts.
    ///
    /// # Panics
    /// The temporary directory is not writable.
    #[must_use]
    pub fn prepare_keyless_minion(&self, id: &str) -> Minion {
        let minion = Minion::new(id, id, "", (self.publish_port, self.ret_port), Arc::clone(&self.dir));
        fs::create_dir_all(minion.root().join("etc/brine")).expect("the fleet's folder");
        minion.write_config();
        minion
    }

    /// Starts a minion whose key is still unknown.
    #[must_use]
    pub fn stranger(&self, id: &str) -> Minion {
        self.stranger_with(id, id, "")
    }

    /// Starts a minion with this id, test key and options, whose key is still unknown.
    #[must_use]
    pub fn stranger_with(&self, id: &str, key: &str, options: &str) -> Minion {
        let mut minion = self.prepare_minion_with(id, key, options);
        minion.start();
        minion
    }

    /// Starts a minion, accepts its key, and waits until it is live.
    #[must_use]
    pub fn minion(&self, id: &str) -> Minion {
        self.minion_with(id, id, "")
    }

    /// Starts a minion with this id, test key and options, accepts its key, and waits until live.
    #[must_use]
    pub fn minion_with(&self, id: &str, key: &str, options: &str) -> Minion {
        let minion = self.stranger_with(id, key, options);
        self.until_key(&minion, "pending");
        self.act("accept", id, &minion.fingerprint());
        self.until_up(id);
        minion
    }

    /// Waits until the minion's key is in this state.
    #[track_caller]
    pub fn until_key(&self, minion: &Minion, state: &str) {
        let fingerprint = minion.fingerprint();
        eventually(10.0, &format!("the key of {} is {state}", minion.id), || {
            self.key_state(&minion.id, &fingerprint).as_deref() == Some(state)
        });
    }

    /// What the master says of a minion's presence: `up`, `silent`, `offline`, or nothing.
    #[must_use]
    #[track_caller]
    pub fn presence(&self, id: &str) -> String {
        let minions = self.api().get("/v1/minions").expect(200).json();
        let minion = minions.as_array().expect("a list").iter().find(|minion| minion["id"] == id).cloned();
        minion.and_then(|minion| minion["presence"]["is"].as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// Waits until a minion is live.
    #[track_caller]
    pub fn until_up(&self, id: &str) {
        eventually(10.0, &format!("{id} is up"), || self.presence(id) == "up");
    }

    /// Waits until a minion that was started again is live: the master may not have noticed yet that the
    /// one before it is gone.
    #[track_caller]
    pub fn until_back(&self, minion: &Minion) {
        eventually(10.0, &format!("{} is back", minion.id), || {
            let minions = self.api().get("/v1/minions").expect(200).json();
            let seen =
                minions.as_array().expect("a list").iter().find(|seen| seen["id"] == minion.id).cloned();
            let seen = seen.unwrap_or_default();
            let since = serde_json::from_value::<Timestamp>(seen["since"].clone());
            seen["presence"]["is"] == "up" && since.is_ok_and(|since| since >= minion.started)
        });
    }

    /// Pings a minion and returns how long the whole `brine` process took, in seconds.
    ///
    /// # Panics
    /// The answer is no `true`.
    #[track_caller]
    pub fn ping(&self, id: &str) -> f64 {
        let begun = Instant::now();
        let answer = self.brine(&[id, "test.ping", "--out", "json", "--static"]).expect(0).json();
        assert_eq!(answer, json!({ id: true }));
        begun.elapsed().as_secs_f64()
    }

    /// Submits a job for a glob and returns its jid, without waiting.
    #[must_use]
    #[track_caller]
    pub fn submit(&self, target: &str, function: &str, arguments: &[Value]) -> String {
        let request = job(target, function, arguments);
        let job = self.api().post("/v1/jobs", &request).expect(201).json();
        job["jid"].as_str().expect("a jid").to_owned()
    }

    /// One minion's row of a job; `null` where there is none.
    #[must_use]
    #[track_caller]
    pub fn row(&self, jid: &str, id: &str) -> Value {
        let view = self.api().get(&format!("/v1/jobs/{jid}")).expect(200).json();
        let rows = view["rows"].as_array().expect("rows");
        rows.iter().find(|row| row["id"] == id).cloned().unwrap_or_default()
    }

    /// Waits until a minion's part in a job has ended, and returns its ending.
    #[must_use]
    #[track_caller]
    pub fn ending(&self, jid: &str, id: &str, seconds: f64) -> Value {
        within(seconds, &format!("job {jid} ends for {id}"), || {
            Some(self.row(jid, id)["ending"].clone()).filter(|ending| !ending.is_null())
        })
    }

    /// The trust decisions on disk.
    #[must_use]
    pub fn ledger(&self) -> String {
        fs::read_to_string(self.root().join("var/lib/brine/master/ledger.jsonl")).unwrap_or_default()
    }
}

/// The body of `POST /v1/jobs` for one function on a glob.
#[must_use]
pub fn job(target: &str, function: &str, arguments: &[Value]) -> Value {
    json!({"target": {"expression": target}, "calls": [{"function": function, "arguments": arguments}]})
}
