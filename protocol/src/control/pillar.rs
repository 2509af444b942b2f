//! Pillar, for administrators.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::MinionId;

/// `GET /v1/minions/<id>/pillar`: what a minion gets. `Debug` shows no values.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct MinionPillar {
    /// The minion.
    pub id: MinionId,
    /// Its pillar; none when the master has no pillar files that it could use since it started.
    pub pillar: Option<Map<String, Value>>,
    /// From which files each key comes, the later ones over the earlier ones.
    pub files: BTreeMap<String, Vec<String>>,
    /// What is wrong with the files as they are now, which are not heeded for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl fmt::Debug for MinionPillar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MinionPillar")
            .field("id", &self.id)
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

/// `GET /v1/pillar/check`: the files as they are now, which changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PillarCheck {
    /// Why they cannot be used: the file, the line, and what is wrong there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What should be mended though they can be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    /// How many targets the top file has; of files that can be used.
    pub targets: usize,
    /// How many files these name.
    pub files: usize,
}
