//! The master's own key and its rotation, and who the caller is.

use serde::{Deserialize, Serialize};

use crate::batch::BatchSize;
use crate::permission::{Role, Verb};
use crate::time::Timestamp;
use crate::{Fingerprint, MinionId};

/// `POST /v1/master/rotation`: make a new key for this master and announce it. The answer is the
/// [`MasterRotation`]; `GET` tells how it goes (`null` when there is none), `DELETE` withdraws the
/// announcement, and `POST /v1/master/rotation/finish` ends the grace now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotateMaster {
    /// How long minions may learn the new key before it takes over, in seconds.
    pub grace_s: u64,
    /// Why, for the ledger.
    #[serde(default)]
    pub reason: Option<String>,
}

/// A rotation of the master's key that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MasterRotation {
    /// The key that minions pin now.
    pub from: Fingerprint,
    /// The key that takes over.
    pub to: Fingerprint,
    /// When it was announced.
    pub since: Timestamp,
    /// When it takes over.
    pub until: Timestamp,
    /// How many accepted minions have stored the new key.
    pub learned: usize,
    /// Accepted minions that have not. Those that are still here at `until` will refuse the master
    /// until somebody tells them the new key.
    pub missing: Vec<MinionId>,
}

/// `GET /v1/whoami`: who the master takes the caller for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whoami {
    /// The name that the ledger would have.
    pub principal: String,
    /// What the caller is.
    pub role: Role,
    /// What the caller may ask for.
    pub verbs: Vec<Verb>,
    /// Globs of the zones to which the caller is limited: what is not of these is not shown to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zones: Option<Vec<String>>,
    /// What master.yaml asks a client to heed before it submits a job.
    #[serde(default)]
    pub caution: Caution,
}

/// Options of master.yaml that clients heed before they submit a job for many minions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caution {
    /// More minions than this are confirmed by a person; 0 means no number is.
    pub confirm_above: usize,
    /// So many minions or more are made a batch of; 0 means that no number is.
    pub batch_safe_limit: usize,
    /// The size of that batch.
    pub batch_safe_size: BatchSize,
}

impl Default for Caution {
    fn default() -> Self {
        let batch_safe_size = "8".parse().expect("a number");
        Self { confirm_above: 0, batch_safe_limit: 0, batch_safe_size }
    }
}
