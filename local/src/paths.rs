//! The default place of every file. Pure: nothing is created or looked up here.

use std::path::{Path, PathBuf};

/// Where things are: the system's folders, or the same tree under `--root-dir`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    root: PathBuf,
    config: Option<PathBuf>,
}

impl Paths {
    /// Paths under `root_dir` (default `/`), with the YAML files in `config_dir` (default
    /// `etc/brine` under the root). Only the YAML files follow `config_dir`: keys and state stay
    /// where they are, so that trying another configuration never makes another identity.
    #[must_use]
    pub fn new(root_dir: Option<&Path>, config_dir: Option<&Path>) -> Self {
        Self { root: root_dir.unwrap_or(Path::new("/")).to_owned(), config: config_dir.map(Path::to_owned) }
    }

    /// The folder that all others are under.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `etc/brine`: keys and what an administrator writes.
    #[must_use]
    pub fn etc(&self) -> PathBuf {
        self.root.join("etc/brine")
    }

    /// The folder of the YAML files.
    #[must_use]
    pub fn config_dir(&self) -> PathBuf {
        self.config.clone().unwrap_or_else(|| self.etc())
    }

    /// Whether somebody named the folder of the YAML files, so that it has to exist.
    #[must_use]
    pub fn is_config_dir_given(&self) -> bool {
        self.config.is_some()
    }

    /// The options of a program: `master.yaml` or `minion.yaml`.
    #[must_use]
    pub fn config_file(&self, program: &str) -> PathBuf {
        self.config_dir().join(format!("{program}.yaml"))
    }

    /// The folder of further options of a program: `master.d` or `minion.d`.
    #[must_use]
    pub fn config_folder(&self, program: &str) -> PathBuf {
        self.config_dir().join(format!("{program}.d"))
    }

    /// The master's key pair: `master.pem`, `master.pub`.
    #[must_use]
    pub fn pki_master(&self) -> PathBuf {
        self.etc().join("pki/master")
    }

    /// The private keys that were made for server records, until they are handed out.
    #[must_use]
    pub fn bundles(&self) -> PathBuf {
        self.pki_master().join("bundles")
    }

    /// The minion's key pair and its pinned master: `minion.pem`, `minion.pub`,
    /// `minion_master.pub`.
    #[must_use]
    pub fn pki_minion(&self) -> PathBuf {
        self.etc().join("pki/minion")
    }

    /// The pillar files, when no option names other folders.
    #[must_use]
    pub fn pillar(&self) -> PathBuf {
        self.etc().join("pillar")
    }

    /// The modules that minions get from the master, when no option names another folder.
    #[must_use]
    pub fn modules(&self) -> PathBuf {
        self.etc().join("modules")
    }

    /// The grains that `grains.setval` writes.
    #[must_use]
    pub fn grains_file(&self) -> PathBuf {
        self.etc().join("grains")
    }

    /// The master's ledger, waiting keys and store.
    #[must_use]
    pub fn master_state_dir(&self) -> PathBuf {
        self.root.join("var/lib/brine/master")
    }

    /// The master's ledger of trust decisions.
    #[must_use]
    pub fn ledger(&self) -> PathBuf {
        self.master_state_dir().join("ledger.jsonl")
    }

    /// The keys that wait for a decision.
    #[must_use]
    pub fn waiting(&self) -> PathBuf {
        self.master_state_dir().join("waiting.json")
    }

    /// The highest jid that the master may have given out.
    #[must_use]
    pub fn jid_ceiling(&self) -> PathBuf {
        self.master_state_dir().join("jid.ceiling")
    }

    /// The master's store of jobs, returns and facts.
    #[must_use]
    pub fn store_dir(&self) -> PathBuf {
        self.master_state_dir().join("store")
    }

    /// The minion's journal.
    #[must_use]
    pub fn minion_state_dir(&self) -> PathBuf {
        self.root.join("var/lib/brine/minion")
    }

    /// The minion's journal of orders and spool of returns.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.minion_state_dir().join("journal")
    }

    /// What exists only while a program runs.
    #[must_use]
    pub fn run_dir(&self) -> PathBuf {
        self.root.join("run/brine")
    }

    /// The control API's socket.
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        self.run_dir().join("control.sock")
    }

    /// What a running master says about itself.
    #[must_use]
    pub fn master_json(&self) -> PathBuf {
        self.run_dir().join("master.json")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(paths: &Paths) -> Vec<String> {
        [
            paths.config_file("master"),
            paths.config_folder("minion"),
            paths.pki_master(),
            paths.bundles(),
            paths.pki_minion(),
            paths.grains_file(),
            paths.ledger(),
            paths.waiting(),
            paths.jid_ceiling(),
            paths.store_dir(),
            paths.journal(),
            paths.control_socket(),
            paths.master_json(),
        ]
        .iter()
        .map(|path| path.display().to_string())
        .collect()
    }

    #[test]
    fn defaults() {
        assert_eq!(
            all(&Paths::new(None, None)),
            [
                "/etc/brine/master.yaml",
                "/etc/brine/minion.d",
                "/etc/brine/pki/master",
                "/etc/brine/pki/master/bundles",
                "/etc/brine/pki/minion",
                "/etc/brine/grains",
                "/var/lib/brine/master/ledger.jsonl",
                "/var/lib/brine/master/waiting.json",
                "/var/lib/brine/master/jid.ceiling",
                "/var/lib/brine/master/store",
                "/var/lib/brine/minion/journal",
                "/run/brine/control.sock",
                "/run/brine/master.json",
            ]
        );
    }

    #[test]
    fn everything_moves_with_the_root_and_only_yaml_with_the_config_dir() {
        let moved = all(&Paths::new(Some(Path::new("/r")), None));
        for (moved, plain) in moved.iter().zip(all(&Paths::new(None, None))) {
            assert_eq!(*moved, format!("/r{plain}"));
        }
        let paths = Paths::new(Some(Path::new("/r")), Some(Path::new("/c")));
        assert_eq!(paths.config_file("master"), Path::new("/c/master.yaml"));
        assert_eq!(paths.pki_master(), Path::new("/r/etc/brine/pki/master"));
        assert!(paths.is_config_dir_given());
    }
}
