//! The daemons under a service manager: they say when they are ready, that they are alive, and that they stop.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use brine_tests::fleet::Fleet;
use brine_tests::minion::Minion;
use brine_tests::process::Process;
use brine_tests::wait::{stays, within};
use nix::sys::signal::Signal;
use serde_json::Value;

/// What a service manager listens with, as sd_notify(3) has it.
struct Manager {
    _dir: tempfile::TempDir,
    path: PathBuf,
    socket: UnixDatagram,
}

/// The watchdog of these tests; signs of life come three times as often.
const WATCHDOG: Duration = Duration::from_millis(900);

impl Manager {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { _dir: dir, path, socket }
    }

    fn watching(&self, mut command: Command) -> Command {
        command.env("NOTIFY_SOCKET", &self.path).env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
        command
    }

    /// The lines of the next message, if there is one.
    fn heard(&self) -> Option<String> {
        let mut bytes = [0; 4096];
        let len = self.socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..len]).into_owned())
    }

    /// Waits for a line, and passes over others.
    fn until(&self, what: &str) -> String {
        let line = |message: String| message.lines().find(|line| line.starts_with(what)).map(str::to_owned);
        within(10.0, what, || std::iter::from_fn(|| self.heard()).find_map(line))
    }

    /// Signs of life come, and those that are not stopped: a program that does not run gives none.
    fn watches(&self, process: &Process) {
        for _ in 0..3 {
            self.until("WATCHDOG=1");
        }
        process.signal(Signal::SIGSTOP);
        within(5.0, "the program is stopped", || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.pid())).unwrap();
            stat.rsplit(") ").next().unwrap().starts_with('T').then_some(())
        });
        while self.heard().is_some() {}
        stays(WATCHDOG.as_secs_f64() * 2.0, "nothing is heard of it", || self.heard().is_none());
        process.signal(Signal::SIGCONT);
        self.until("WATCHDOG=1");
    }
}

#[test]
fn a_master_is_ready_when_it_serves_and_says_that_it_lives_and_stops() {
    let manager = Manager::new();
    let mut fleet = Fleet::prepare("");
    fleet.start_master_by(manager.watching(fleet.command("brine-master", &[])));
    manager.until("READY=1");
    assert_eq!(fleet.health()["status"], "ok");
    assert!(manager.until("STATUS=").contains("ports"));
    manager.watches(fleet.master());
    fleet.master().stop();
    manager.until("STOPPING=1");
}

#[test]
fn a_minion_is_ready_without_its_master_and_tells_how_it_stands() {
    let manager = Manager::new();
    let mut fleet = Fleet::start();
    let mut minion = fleet.prepare_minion("m1");
    fleet.kill_master();
    let mut process = started(&manager, &minion);
    manager.until("READY=1");
    assert!(manager.until("STATUS=").contains("no session with 127.0.0.1"));
    manager.watches(&process);
    fleet.start_master();
    let state = fleet.state().expect("a master that runs");
    let port = |name: &str| u16::try_from(state[name].as_u64().unwrap()).unwrap();
    minion.dial(port("publish_port"), port("ret_port"));
    process.signal(Signal::SIGHUP);
    manager.until("STATUS=the key waits for approval");
    // The verdict came first, its knock behind it.
    fleet.until_key(&minion, "pending");
    fleet.act("accept", "m1", &minion.fingerprint());
    assert_eq!(manager.until("STATUS=the master accepts"), "STATUS=the master accepts this minion as m1");
    // What it runs is not the service, and must not speak for it.
    let done = fleet.brine(&["m1", "cmd.run", "env", "--out", "json", "--static"]).expect(0).json();
    let environment = done["m1"].as_str().expect("a text");
    assert!(environment.contains("PATH=") && !environment.contains("NOTIFY_SOCKET"), "{environment}");
    assert!(!environment.contains("WATCHDOG_USEC"), "{environment}");
    process.stop();
    manager.until("STOPPING=1");
}

fn started(manager: &Manager, minion: &Minion) -> Process {
    Process::start(manager.watching(minion.command(&[])), &minion.root().join("supervised.log"))
}

#[test]
fn a_log_of_objects_has_the_jid_the_minion_and_its_peer_as_fields() {
    let mut fleet = Fleet::start_with("log_format: json\nlog_level: debug\n");
    let minion = fleet.minion_with("m1", "m1", "log_format: json\n");
    let jid = fleet.submit("m1", "test.ping", &[]);
    assert_eq!(fleet.ending(&jid, "m1", 10.0)["state"], "returned");
    fleet.master().stop();
    let lines = |log: String| -> Vec<Value> {
        log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"))).collect()
    };
    let master = lines(fleet.log());
    let of = |name: &str, value: &str| master.iter().filter(|line| line[name] == *value).count();
    assert!(of("jid", &jid) > 0, "no line of the job {jid}: {master:#?}");
    assert!(of("minion", "m1") > 0, "no line of the minion");
    let peer = |line: &&Value| line["peer"].as_str().is_some_and(|peer| peer.starts_with("127.0.0.1"));
    assert!(master.iter().find(peer).is_some(), "no line of a peer: {master:#?}");
    let told = lines(minion.log());
    assert!(told.iter().any(|line| line["jid"] == jid && line["fun"] == "test.ping"), "{told:#?}");
}
