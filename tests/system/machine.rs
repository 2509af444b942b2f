//! A master and a minion on machines whose disks and clocks misbehave when they are told to.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use brine_tests::checker::{COUNTER, Checker, Order};
use brine_tests::fleet::job;
use brine_tests::process::Done;
use brine_tests::{Fleet, Minion, Process, eventually};
use nix::sys::statvfs::statvfs;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::run;

/// The variable that says that this process has mounts of its own.
const APART: &str = "BRINE_TEST_APART";

/// Runs a test in a process with mounts of its own, which end with it. `name` is the test's.
pub(crate) fn apart(name: &str, body: impl FnOnce()) {
    if std::env::var_os(APART).is_some() {
        return body();
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private"]).arg(std::env::current_exe().unwrap());
    let done = Done::run({
        command.args(["--exact", name, "--nocapture"]).env(APART, "1");
        command
    });
    print!("{}", done.stdout);
    assert!(done.code == 0 && done.stdout.contains("1 passed"), "{}\n{}", done.stdout, done.stderr);
}

/// A small file system in memory in the place of a folder, with what is in it; gone with this value.
pub(crate) struct Small(PathBuf);

impl Small {
    pub(crate) fn at(folder: &Path, mib: u64) -> Self {
        let (folder, copy) = (folder.display().to_string(), folder.with_extension("copy"));
        let copy = copy.display().to_string();
        let _ = run(&["mv", &folder, &copy]).expect(0);
        fs::create_dir(&folder).unwrap();
        let _ = run(&["mount", "-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs", &folder]).expect(0);
        let _ = run(&["cp", "-a", &format!("{copy}/."), &folder]).expect(0);
        Self(folder.into())
    }

    pub(crate) fn remount(&self, how: &str) -> Done {
        run(&["mount", "-o", &format!("remount,{how}"), &self.0.display().to_string()])
    }

    pub(crate) fn free(&self) -> u64 {
        let stat = statvfs(&self.0).unwrap();
        stat.blocks_available() * stat.fragment_size()
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// Fills it until so many bytes are free.
    pub(crate) fn fill(&self, leave: u64) {
        use std::io::Write;
        let mut file = fs::OpenOptions::new().create(true).append(true).open(self.ballast()).unwrap();
        let bytes = [7_u8; 4096];
        while self.free() > leave {
            let left = usize::try_from(self.free() - leave).unwrap().min(bytes.len());
            if file.write_all(&bytes[..left]).is_err() {
                break;
            }
        }
    }

    pub(crate) fn empty(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Who still works there keeps it; the folder's name is free again.
        let _ = run(&["umount", "--lazy", &self.0.display().to_string()]);
    }
}

/// What one program's machine is told.
pub(crate) struct Machine {
    orders: PathBuf,
    root: PathBuf,
}

impl Machine {
    pub(crate) fn new(orders: PathBuf, root: PathBuf) -> Self {
        fs::create_dir_all(&orders).unwrap();
        Self { orders, root }
    }

    pub(crate) fn give_to(&self, mut command: Command) -> Command {
        command.env("LD_PRELOAD", shim()).env("BRINE_MACHINE", &self.orders);
        command.env("BRINE_MACHINE_ROOT", &self.root);
        command
    }

    /// Says how it is: `hold`, `readonly`, or `clock` with seconds.
    pub(crate) fn tell(&self, order: &str, text: &str) {
        let new = self.orders.join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.orders.join(order)).unwrap();
    }

    pub(crate) fn take_back(&self, order: &str) {
        fs::remove_file(self.orders.join(order)).unwrap();
    }
}

/// The shim, compiled once for each state of its source, beside the tests.
fn shim() -> &'static Path {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    SHIM.get_or_init(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/system/machine.c");
        let digest = Sha256::digest(include_bytes!("machine.c"));
        let folder = std::env::current_exe().unwrap().parent().unwrap().to_owned();
        let path =
            folder.join(format!("brine-machine-{:02x}{:02x}{:02x}.so", digest[0], digest[1], digest[2]));
        if !path.exists() {
            let own = folder.join(format!("brine-machine-{}.so", std::process::id()));
            let mut cc = Command::new("cc");
            cc.args(["-O1", "-shared", "-fPIC", "-o"]).arg(&own).arg(source).arg("-ldl");
            let _ = Done::run(cc).expect(0);
            fs::rename(own, &path).unwrap();
        }
        path
    })
}

/// A master and one minion, each on a machine of its own, and a checker of what becomes of orders.
pub(crate) struct World {
    // In this order: what is mounted goes before the folders do.
    pub(crate) mounts: Vec<Small>,
    pub(crate) minion: Minion,
    pub(crate) fleet: Fleet,
    pub(crate) of_master: Machine,
    pub(crate) of_minion: Machine,
    pub(crate) checker: Checker,
}

impl World {
    /// With so many MiB for the master's and the minion's root, or the disk that there is for 0.
    pub(crate) fn prepare(options: &str, master_mib: u64, minion_mib: u64) -> Self {
        let fleet = Fleet::prepare_with_ports(&format!("heartbeat: 1\n{options}"));
        let minion = fleet.prepare_minion("m1");
        let mut mounts = Vec::new();
        for (root, mib) in [(fleet.root(), master_mib), (minion.root(), minion_mib)] {
            if mib > 0 {
                mounts.push(Small::at(&root, mib));
            }
        }
        let of_master = Machine::new(fleet.dir().join("machine-M"), fleet.root().join("var"));
        let of_minion = Machine::new(fleet.dir().join("machine-m1"), minion.root().join("var"));
        let checker = Checker::new(fleet.dir().to_owned());
        Self { mounts, minion, fleet, of_master, of_minion, checker }
    }

    pub(crate) fn begin(options: &str, master_mib: u64, minion_mib: u64) -> Self {
        let mut world = Self::prepare(options, master_mib, minion_mib);
        world.start();
        world
    }

    /// Starts both and lets the minion in.
    pub(crate) fn start(&mut self) {
        self.start_master();
        self.start_minion();
        self.fleet.until_key(&self.minion, "pending");
        self.fleet.act("accept", "m1", &self.minion.fingerprint());
        self.fleet.until_up("m1");
    }

    pub(crate) fn start_master(&mut self) {
        let command = self.of_master.give_to(self.fleet.command("brine-master", &[]));
        self.fleet.start_master_by(command);
    }

    pub(crate) fn start_minion(&mut self) {
        let mut command = self.of_minion.give_to(self.minion.command(&[]));
        command.env(COUNTER, self.checker.counter("m1"));
        self.minion.process = Some(Process::start(command, &self.fleet.dir().join("m1.log")));
    }

    /// What `brine-minion doctor` says on the minion's machine.
    pub(crate) fn minion_doctor(&self) -> Done {
        let arguments = ["doctor", "--out", "json", "--timeout", "2"];
        Done::run(self.of_minion.give_to(self.minion.command(&arguments)))
    }

    /// What `brine doctor` says on the master's machine.
    pub(crate) fn doctor(&self) -> Done {
        Done::run(self.of_master.give_to(self.fleet.command("brine", &["doctor", "--out", "json"])))
    }

    /// The file that an order waits for which was given by [`World::order_that_waits`].
    pub(crate) fn signal(&self, token: &str) -> PathBuf {
        self.fleet.dir().join(format!("go-{token}"))
    }

    pub(crate) fn let_go(&self, token: &str) {
        fs::write(self.signal(token), "").unwrap();
    }

    pub(crate) fn request(&self, token: &str, waits: bool) -> Value {
        let go = self.signal(token);
        // What it says takes a disk that is full more than the room in its last block.
        let wait = if waits {
            format!("while [ ! -e {} ]; do sleep 0.05; done; printf %16000s x; ", go.display())
        } else {
            String::new()
        };
        job("m1", "cmd.run", &[json!(format!("{wait}echo {token} >> \"${COUNTER}\""))])
    }

    /// Takes an accepted order under the checker's care.
    pub(crate) fn add(&mut self, jid: &str, token: &str) {
        let (jid, minions, token) = (jid.to_owned(), vec!["m1".to_owned()], Some(token.to_owned()));
        self.checker.add([Order { jid, minions, token }]);
    }

    fn give(&mut self, token: &str, waits: bool) -> String {
        let job = self.fleet.api().post("/v1/jobs", &self.request(token, waits)).expect(201).json();
        let jid = job["jid"].as_str().unwrap().to_owned();
        self.add(&jid, token);
        jid
    }

    /// An order that counts itself.
    pub(crate) fn order(&mut self, token: &str) -> String {
        self.give(token, false)
    }

    /// An order that runs, and counts itself when it is let go.
    pub(crate) fn order_that_waits(&mut self, token: &str) -> String {
        let jid = self.give(token, true);
        eventually(10.0, &format!("{token} runs"), || {
            self.fleet.api().get(&format!("/v1/jobs/{jid}")).expect(200).json()["rows"][0]["presence"]["is"]
                == "running"
        });
        jid
    }

    /// Whether its command has come to its end.
    pub(crate) fn has_counted(&self, token: &str) -> bool {
        let text = fs::read_to_string(self.checker.counter("m1")).unwrap_or_default();
        text.lines().any(|line| line == token)
    }

    pub(crate) fn is_open(&self, jid: &str) -> bool {
        self.fleet.row(jid, "m1")["ending"].is_null()
    }

    /// Waits for a degraded master, and gives the sentence that says why.
    pub(crate) fn until_degraded(&self, word: &str) -> String {
        brine_tests::within(10.0, &format!("the master is degraded: {word}"), || {
            let health = self.fleet.health();
            let problems = health["problems"].as_array().unwrap();
            let said = problems.iter().filter_map(Value::as_str).find(|said| said.contains(word))?.to_owned();
            assert_eq!(health["status"], "degraded");
            Some(said)
        })
    }

    pub(crate) fn until_well(&self) {
        eventually(10.0, "the master is well", || self.fleet.health()["status"] == "ok");
    }

    /// Holds that a degraded master refuses: by its API, and by its command line in one sentence.
    #[track_caller]
    pub(crate) fn takes_no_order(&self, word: &str) {
        eventually(10.0, "new orders are refused", || {
            let reply = self.fleet.api().post("/v1/jobs", &job("m1", "test.ping", &[]));
            if reply.status == 503 {
                reply.is_problem(503, "degraded");
                assert!(reply.headers.contains_key("retry-after"), "{reply:?}");
            }
            reply.status == 503
        });
        self.fleet.brine(&["m1", "test.ping"]).refused(4, &[word]);
        let said = self.doctor();
        assert_eq!(said.code, 1, "{}", said.stdout);
        assert_says(&said, "health", "fail", word);
    }

    /// Waits for the end of everything that was accepted, and holds that each ran once.
    #[track_caller]
    pub(crate) fn settle(&mut self) {
        self.checker.settle(&self.fleet.api(), 0, 20.0);
        self.checker.check_counters(&["m1"]);
        let endings = self.checker.endings();
        assert_eq!(endings.get("returned"), Some(&self.checker.len()), "{endings:?}");
    }
}

/// Asserts that a doctor says something like this, in one sentence.
#[track_caller]
pub(crate) fn assert_says(done: &Done, about: &str, grade: &str, word: &str) {
    let checks = done.json();
    let fits = |check: &Value| {
        let says = check["says"].as_str().unwrap_or("");
        check["about"] == about && check["grade"] == grade && says.contains(word) && !says.contains('\n')
    };
    assert!(checks.as_array().unwrap().iter().any(fits), "no {grade} {about} with {word:?}: {}", done.stdout);
}
