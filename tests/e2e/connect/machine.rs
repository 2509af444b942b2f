//! A machine without Brine, the script, and the master that the machine is meant for.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use brine_protocol::time::Timestamp;
use brine_tests::binaries::program;
use brine_tests::fixtures::{fingerprint, key_file};
use brine_tests::fleet::Fleet;
use brine_tests::{Done, Process, eventually};

/// The script.
pub const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../keytool/brine-connect.sh");

/// The record that the bundle is for.
pub const SERVER: &str = "4a4f4e0a-0000-4000-8000-000000000001";

/// What is under a machine's root.
pub type Tree = BTreeMap<PathBuf, Found>;

/// A machine that is to be connected, and the master that it is meant for.
pub struct Machine {
    pub fleet: Fleet,
    pub root: PathBuf,
}

impl Machine {
    pub fn new() -> Self {
        Self::of(Fleet::start())
    }

    pub fn of(fleet: Fleet) -> Self {
        let root = fleet.dir().join("machine");
        fs::create_dir(&root).unwrap();
        Self { fleet, root }
    }

    /// The machine as it came.
    pub fn renew(&mut self) {
        fs::remove_dir_all(&self.root).unwrap();
        fs::create_dir(&self.root).unwrap();
    }

    /// The script with these flags, before it is run.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(Path::new(SCRIPT), arguments)
    }

    pub fn command_of(&self, script: &Path, arguments: &[&str]) -> Command {
        let folder = program("brine-minion").parent().unwrap().to_owned();
        let path = std::env::var("PATH").unwrap_or_default();
        // The strictest shell at hand, which is /bin/sh on the machines that the script is for.
        let has_dash = std::env::split_paths(&path).any(|folder| folder.join("dash").is_file());
        let mut command = Command::new(if has_dash { "dash" } else { "sh" });
        command.arg(script).arg("--root-dir").arg(&self.root).args(arguments);
        command.env("PATH", format!("{}:{path}", folder.display())).env("TMPDIR", self.fleet.dir());
        for name in ["MASTER", "PUBLISH_PORT", "RET_PORT", "FINGER", "ID", "TOKEN", "SERVER", "BUNDLE"] {
            command.env_remove(format!("BRINE_CONNECT_{name}"));
        }
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Done {
        Done::run(self.command(arguments))
    }

    /// The flags for the fleet's master.
    pub fn here(&self) -> Vec<String> {
        let (publish, ret) = (self.fleet.publish_port.to_string(), self.fleet.ret_port.to_string());
        let finger = fingerprint("master");
        ["--master", "127.0.0.1", "--publish-port", &publish, "--ret-port", &ret, "--fingerprint", &finger]
            .map(str::to_owned)
            .to_vec()
    }

    /// Runs the script with the flags for the fleet's master, and more.
    pub fn connect(&self, more: &[&str]) -> Done {
        let here = self.here();
        self.run(&[&here.iter().map(String::as_str).collect::<Vec<_>>()[..], more].concat())
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.root.join("etc/brine").join(name)
    }

    pub fn text(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    /// Everything under the machine's root.
    pub fn tree(&self) -> Tree {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                let (path, is_folder) = (entry.path(), entry.file_type().unwrap().is_dir());
                found.insert(path.strip_prefix(&self.root).unwrap().to_owned(), Found::at(&path));
                if is_folder {
                    folders.push(path);
                }
            }
        }
        found
    }

    /// What is not as it was, by its path.
    pub fn changed(&self, before: &Tree) -> Vec<PathBuf> {
        let now = self.tree();
        let paths = now.keys().chain(before.keys().filter(|path| !now.contains_key(*path)));
        paths.filter(|path| now.get(*path) != before.get(*path)).cloned().collect()
    }

    /// That somebody looked, and that is all.
    #[track_caller]
    pub fn is_as_it_was(&self, before: &Tree) {
        let changed = self.changed(before);
        assert!(changed.is_empty(), "{changed:?}");
    }

    pub fn backups(&self) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> =
            fs::read_dir(self.file("")).unwrap().flatten().map(|e| e.path()).collect();
        found.retain(|path| path.file_name().unwrap().to_string_lossy().starts_with("backup-"));
        found.sort();
        found
    }

    pub fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.file(name)).unwrap().permissions().mode() & 0o7777
    }

    /// The minion, from what the script wrote.
    pub fn start(&self) -> Process {
        let mut command = Command::new(program("brine-minion"));
        command.env_remove("RUST_LOG").arg("--root-dir").arg(&self.root);
        Process::start(command, &self.fleet.dir().join("machine.log"))
    }

    #[track_caller]
    pub fn until(&self, id: &str, key: &str, state: &str) {
        eventually(10.0, &format!("{key} is {state} as {id}"), || {
            self.fleet.key_state(id, &fingerprint(key)).as_deref() == Some(state)
        });
    }

    /// A bundle as the master makes them, for the key `m1`.
    pub fn bundle(&self) -> String {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let expires = Timestamp(i64::try_from(now.as_micros()).unwrap()).plus_micros(7 * 86_400_000_000);
        let key = |name: &str| fs::read_to_string(key_file(name)).unwrap();
        format!(
            "brine-bundle: 1\nserver: {SERVER}\nminion-id: web1\nmaster: 127.0.0.1\npublish-port: {}\nret-port: {}\n\
             master-finger: {}\nexpires: {expires}\n{}{}",
            self.fleet.publish_port,
            self.fleet.ret_port,
            fingerprint("master"),
            key("m1.pem"),
            key("master.pub"),
        )
    }

    pub fn place_bundle(&self, text: &str) -> String {
        let path = self.fleet.dir().join("bundle");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    }
}

/// What tells whether somebody touched a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    mode: u32,
    file: (u64, u64),
    modified: (i64, i64),
    pub content: Option<Vec<u8>>,
}

impl Found {
    fn at(path: &Path) -> Self {
        let meta = fs::symlink_metadata(path).unwrap();
        Self {
            mode: meta.mode(),
            file: (meta.dev(), meta.ino()),
            modified: (meta.mtime(), meta.mtime_nsec()),
            content: fs::read(path).ok(),
        }
    }
}
