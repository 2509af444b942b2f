//! A machine that gets its identity from a bundle or from brine-connect.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use brine_tests::binaries::program;
use brine_tests::fleet::Fleet;
use brine_tests::hunt::Hunt;
use brine_tests::{Done, Process};

/// A root directory with nothing in it.
pub struct Machine {
    dir: PathBuf,
    root: PathBuf,
}

impl Machine {
    pub fn new(fleet: &Fleet, name: &str) -> Self {
        let root = fleet.dir().join(name);
        fs::create_dir(&root).unwrap();
        Self { dir: fleet.dir().to_owned(), root }
    }

    /// A machine on which brine-connect.sh has put the identity of a bundle.
    #[track_caller]
    pub fn of_bundle(fleet: &Fleet, name: &str, bundle: &Path) -> Self {
        let machine = Self::new(fleet, name);
        machine.connect(&["--bundle", &bundle.display().to_string()]).expect(0);
        machine
    }

    /// Runs brine-connect.sh here.
    pub fn connect(&self, words: &[&str]) -> Done {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../keytool/brine-connect.sh");
        self.run(Path::new(script), words)
    }

    /// Runs a script here, with brine-minion at hand.
    pub fn run(&self, script: &Path, words: &[&str]) -> Done {
        let folder = program("brine-minion").parent().unwrap().to_owned();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("sh");
        command.arg(script).arg("--root-dir").arg(&self.root).args(words);
        command.env("PATH", format!("{}:{path}", folder.display())).env("TMPDIR", &self.dir);
        Done::run(command)
    }

    /// Puts the identity of a bundle here, as somebody would who does not look at what it says.
    pub fn place(&self, bundle: &str) {
        let pki = self.root.join("etc/brine/pki/minion");
        fs::create_dir_all(&pki).unwrap();
        fs::set_permissions(&pki, fs::Permissions::from_mode(0o700)).unwrap();
        let (private, public) = bundle.split_at(bundle.find("-----BEGIN PUBLIC").unwrap());
        let private = &private[private.find("-----BEGIN PRIVATE").unwrap()..];
        for (name, text) in [("minion.pem", private), ("minion_master.pub", public)] {
            fs::write(pki.join(name), text).unwrap();
            fs::set_permissions(pki.join(name), fs::Permissions::from_mode(0o600)).unwrap();
        }
        let options: String = [
            ("id", "minion-id"),
            ("master", "master"),
            ("publish_port", "publish-port"),
            ("ret_port", "ret-port"),
        ]
        .map(|(option, line)| format!("{option}: {}\n", said(bundle, line)))
        .concat();
        fs::write(self.root.join("etc/brine/minion.yaml"), options).unwrap();
    }

    pub fn start(&self) -> Process {
        let mut command = Command::new(program("brine-minion"));
        command.env_remove("RUST_LOG").arg("--root-dir").arg(&self.root);
        Process::start(command, &self.root.with_extension("log"))
    }
}

/// What a line of a bundle says.
#[track_caller]
pub fn said(bundle: &str, name: &str) -> String {
    let line = bundle.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("no {name} in the bundle")).to_owned()
}

/// Where the master keeps the bundle of a record.
pub fn kept(fleet: &Fleet, server: &str) -> PathBuf {
    fleet.root().join("etc/brine/pki/master/bundles").join(server)
}

/// Looks through every file of the master, and what it has logged, for the private key of a bundle.
#[track_caller]
pub fn is_nowhere(fleet: &Fleet, bundle: &str) {
    let hunt = Hunt::private_key(bundle);
    assert_eq!(hunt.search(&fleet.root()), []);
    assert_eq!(hunt.find(&fs::read(fleet.dir().join("master.log")).unwrap()), None);
}
