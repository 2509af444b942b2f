//! Lists of jobs, and signals to one.

use serde::{Deserialize, Serialize};

use crate::batch::Batch;
use crate::signal::SignalName;
use crate::target::TargetKind;
use crate::time::Timestamp;
use crate::{Jid, MinionId};

/// One line of `GET /v1/jobs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobSummary {
    /// The job, without its list of minions.
    pub jid: Jid,
    /// Its functions, joined by commas.
    pub functions: String,
    /// The target as written.
    pub target: String,
    /// How the target is read.
    #[serde(default)]
    pub target_kind: TargetKind,
    /// Who submitted it.
    pub principal: String,
    /// When.
    pub submitted: Timestamp,
    /// How its orders are handed out, when not all at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Batch>,
    /// How many minions it was for.
    pub minions: usize,
    /// How many of them are still open.
    pub open: usize,
    /// How many ended with a retcode other than 0, or without one.
    pub failed: usize,
}

/// Query of `GET /v1/jobs`. A job is listed when all that is said is so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobsQuery {
    /// The same as `state=active`.
    #[serde(default)]
    pub active: bool,
    /// Only jobs in this state.
    #[serde(default)]
    pub state: Option<JobsState>,
    /// A glob; one of the job's functions has to match.
    #[serde(default)]
    pub function: Option<String>,
    /// Who submitted it: a part of the principal, or a glob over it or over the user's name in it.
    #[serde(default)]
    pub user: Option<String>,
    /// The target as written, or a glob over that.
    #[serde(default)]
    pub target: Option<String>,
    /// Only jobs that were for this minion.
    #[serde(default)]
    pub minion: Option<MinionId>,
    /// Only jobs submitted then or later.
    #[serde(default)]
    pub since: Option<Timestamp>,
    /// Only jobs submitted then or earlier.
    #[serde(default)]
    pub until: Option<Timestamp>,
    /// Only jobs older than this one: for the next page.
    #[serde(default)]
    pub before: Option<Jid>,
    /// At most so many, newest first; 50 when not said, 10,000 at most.
    #[serde(default)]
    pub limit: Option<usize>,
}

/// A state by which jobs are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobsState {
    /// Somebody has not ended.
    Active,
    /// Somebody ended with a retcode other than 0, or without one.
    Failed,
}

/// The header of an answer to `GET /v1/jobs` that may not be all: the jid to ask for as `before`
/// to go on. With fewer jobs than the limit, it says where the search stopped because it had read
/// as much as one request may.
pub const JOBS_NEXT: &str = "brine-next";

/// `POST /v1/jobs/<jid>/signal`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignalRequest {
    /// Which, by name or number.
    pub signal: SignalName,
}

/// The answer to that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signalled {
    /// The minions that were told: connected, and the job is with them. Those that run it deliver
    /// the signal.
    pub signalled: Vec<MinionId>,
}
