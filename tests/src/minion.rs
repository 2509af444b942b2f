//! A minion of a fleet.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use brine_local::clock;
use brine_protocol::time::Timestamp;
use tempfile::TempDir;

use crate::binaries::program;
use crate::fixtures::fingerprint_of;
use crate::process::{Done, Process};

/// One minion on a root directory of its own.
#[derive(Debug)]
pub struct Minion {
    /// Its id.
    pub id: String,
    /// The running process, if any.
    pub process: Option<Process>,
    /// Where it looks for the master's broadcasts.
    pub publish_port: u16,
    /// Where it returns.
    pub ret_port: u16,
    /// When it was started last.
    pub(crate) started: Timestamp,
    key: String,
    options: String,
    dir: Arc<TempDir>,
}

impl Minion {
    pub(crate) fn new(id: &str, key: &str, options: &str, ports: (u16, u16), dir: Arc<TempDir>) -> Self {
        Self {
            id: id.to_owned(),
            process: None,
            started: Timestamp(0),
            publish_port: ports.0,
            ret_port: ports.1,
            key: key.to_owned(),
            options: options.to_owned(),
            dir,
        }
    }

    /// Its root directory.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.dir.path().join(&self.key)
    }

    /// The fingerprint of its key, as on disk.
    ///
    /// # Panics
    /// Its public key is gone.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let path = self.root().join("etc/brine/pki/minion/minion.pub");
        fingerprint_of(&fs::read_to_string(path).expect("the minion's public key"))
    }

    /// Writes `minion.yaml` from the present ports.
    ///
    /// # Panics
    /// The temporary directory is not writable.
    pub fn write_config(&self) {
        // Ports of a master that was never started: nobody listens on these two.
        let text = format!(
            "master: 127.0.0.1\npublish_port: {}\nret_port: {}\nid: {}\nkeysize: 2048\n{}",
            self.publish_port.max(1),
            self.ret_port.max(2),
            self.id,
            self.options
        );
        fs::write(self.root().join("etc/brine/minion.yaml"), text).expect("the fleet's folder");
    }

    /// Sends the minion elsewhere at its next start.
    pub fn dial(&mut self, publish_port: u16, ret_port: u16) {
        (self.publish_port, self.ret_port) = (publish_port, ret_port);
        self.write_config();
    }

    /// The command that runs the minion.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("brine-minion"));
        command.env_remove("RUST_LOG").arg("--root-dir").arg(self.root()).args(arguments);
        command
    }

    /// Runs `brine-minion` with these arguments to its end.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Done {
        Done::run(self.command(arguments))
    }

    /// Starts it.
    pub fn start(&mut self) {
        self.started = clock::wall();
        let log = self.dir.path().join(format!("{}.log", self.key));
        self.process = Some(Process::start(self.command(&[]), &log));
    }

    /// The running process.
    ///
    /// # Panics
    /// It was not started.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("the minion was started")
    }

    /// What it has logged since its last start.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.as_ref().map(Process::log).unwrap_or_default()
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.process().kill();
    }

    /// Whether the pin of the master is on disk.
    #[must_use]
    pub fn has_pin(&self) -> bool {
        self.root().join("etc/brine/pki/minion/minion_master.pub").exists()
    }
}
