//! What was read, and what one minion gets of it. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use brine_protocol::pillar::merge;
use brine_protocol::target::{Expression, Known};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// Which files make up a minion's pillar, by their numbers, each over those before it.
pub type Selection = Vec<usize>;

/// All pillar files that somebody may get, and who gets which.
#[derive(Default)]
pub struct Tree {
    pub(super) top: Vec<Entry>,
    pub(super) files: Vec<File>,
}

/// One target of the top file.
pub(super) struct Entry {
    pub(super) expression: Expression,
    pub(super) files: Vec<usize>,
}

/// One file.
pub(super) struct File {
    pub(super) path: PathBuf,
    /// Files under it: what it says itself is merged over these.
    pub(super) includes: Vec<usize>,
    pub(super) data: Map<String, Value>,
}

/// One minion's pillar.
#[derive(Clone, PartialEq)]
pub struct Compiled {
    /// What it says.
    pub pillar: Map<String, Value>,
    /// How much that is as JSON, in bytes.
    pub bytes: usize,
    /// SHA-256 of that.
    pub digest: [u8; 32],
}

/// How much, and nothing of what.
impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tree({} targets, {} files)", self.top.len(), self.files.len())
    }
}

impl fmt::Debug for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Compiled({} keys, {} bytes)", self.pillar.len(), self.bytes)
    }
}

impl Tree {
    /// How many targets there are.
    #[must_use]
    pub fn targets(&self) -> usize {
        self.top.len()
    }

    /// How many files there are.
    #[must_use]
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// Whether the server record of a minion may decide what it gets.
    #[must_use]
    pub fn uses_records(&self) -> bool {
        self.top.iter().any(|entry| entry.expression.uses().record)
    }

    /// The files of a minion: those of all targets that match it, in the order of writing, each one at
    /// its first place and behind those that it includes.
    #[must_use]
    pub fn select(&self, minion: &Known<'_>) -> Selection {
        let (mut selection, mut seen) = (Vec::new(), BTreeSet::new());
        for entry in self.top.iter().filter(|entry| entry.expression.matches(minion)) {
            for file in &entry.files {
                self.add(*file, &mut selection, &mut seen);
            }
        }
        selection
    }

    fn add(&self, file: usize, selection: &mut Selection, seen: &mut BTreeSet<usize>) {
        if seen.insert(file) {
            for included in &self.files[file].includes {
                self.add(*included, selection, seen);
            }
            selection.push(file);
        }
    }

    /// Merges files.
    #[must_use]
    pub fn compile(&self, selection: &[usize]) -> Compiled {
        let mut pillar = Map::new();
        for file in selection {
            merge(&mut pillar, &self.files[*file].data);
        }
        let json = serde_json::to_vec(&pillar).expect("what was read as YAML can be JSON");
        Compiled { pillar, bytes: json.len(), digest: Sha256::digest(&json).into() }
    }

    /// From which files each key of that comes.
    #[must_use]
    pub fn origins(&self, selection: &[usize]) -> BTreeMap<String, Vec<String>> {
        let mut origins: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for file in selection.iter().map(|file| &self.files[*file]) {
            for key in file.data.keys() {
                origins.entry(key.clone()).or_default().push(file.path.display().to_string());
            }
        }
        origins
    }
}
