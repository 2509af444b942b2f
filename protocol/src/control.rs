//! The control API's words: what the CLI, the key tool, the terminal UI and `curl` exchange with
//! a master. JSON in both directions; errors are [`Problem`] documents (RFC 9457).

mod jobs;
mod keys;
mod master;
mod pillar;
mod servers;
mod targets;
mod tokens;

pub use jobs::{JOBS_NEXT, JobSummary, JobsQuery, JobsState, SignalRequest, Signalled};
pub use keys::{
    ACTS, Act, Decision, ImportRequest, ImportedKey, KEY_STATES, Key, KeyActRequest, KeyActResult, KeyName,
    KeyState, KeysQuery,
};
pub use master::{Caution, MasterRotation, RotateMaster, Whoami};
pub use pillar::{MinionPillar, PillarCheck};
pub use servers::{
    Bundle, DeleteServer, IMPORT_MAX, ImportServers, KeyFate, KeyServer, Link, PairRequest, Preseed,
    PreseedRequest, PreseedWish, Server, ServerChange, ServerDecision, ServerImported, ServerMade,
    ServerRequest, ServersQuery, UnpairRequest, Way,
};
pub use targets::{Matched, MatchedMinion, TargetRequest, nobody_matches};
pub use tokens::{RevokeToken, Token, TokenMade, TokenRequest};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::batch::Batch;
use crate::job::{Call, Delivery, Ending, Job};
use crate::target::Target;
use crate::time::Timestamp;
use crate::{Fingerprint, Jid, MinionId};

/// `POST /v1/jobs`. With `Accept: text/event-stream` the answer is the job's [`JobEvent`]s.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobRequest {
    /// Whom.
    pub target: Target,
    /// What.
    pub calls: Vec<Call>,
    /// When.
    #[serde(default)]
    pub delivery: Delivery,
    /// How long it may run on a minion, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_timeout_ms: Option<u64>,
    /// How its orders are handed out, when not all at once. Not together with a queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Batch>,
    /// Whether what it starts on a minion goes on when that is stopped or started anew.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub detach: bool,
}

/// One minion's part in a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobRow {
    /// The minion.
    pub id: MinionId,
    /// How it ended; none while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// When the ending was stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// Endings that came after the final one; they changed nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub late: Vec<Ending>,
    /// For an open row: what the master knows of the minion now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presence: Option<Presence>,
}

/// What a master knows of a minion's presence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Presence {
    /// Connected and beating.
    Up,
    /// Connected, and said lately that it runs the job in question.
    Running,
    /// Its turn in the batch has not come: the order was not handed to it yet.
    Waiting,
    /// Connected, but nothing was heard for longer than a beat.
    Silent {
        /// Since when.
        since: Timestamp,
    },
    /// Not connected.
    Offline {
        /// When it was last heard of.
        since: Option<Timestamp>,
    },
}

/// `GET /v1/jobs/<jid>`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobView {
    /// The job.
    #[serde(flatten)]
    pub job: Job,
    /// One row per minion, in the job's order.
    pub rows: Vec<JobRow>,
}

/// What following a job yields, in order: one `job`, a `row` per minion, one `end`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum JobEvent {
    /// The job is on disk and on its way.
    Job(Box<Job>),
    /// One minion's final state.
    Row(Box<JobRow>),
    /// Every minion has ended.
    End,
}

impl JobEvent {
    /// The event's name on the stream.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            JobEvent::Job(_) => "job",
            JobEvent::Row(_) => "row",
            JobEvent::End => "end",
        }
    }
}

/// One line of `GET /v1/minions`: a minion whose key is accepted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Minion {
    /// Its id.
    pub id: MinionId,
    /// Whether it is connected.
    pub presence: Presence,
    /// The address of its session, or of the last one.
    #[serde(default)]
    pub address: Option<String>,
    /// Brine's version there, if it ever started a session.
    #[serde(default)]
    pub version: Option<String>,
    /// When its session began; without one, when it was last heard of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// The newest job that was handed to it since the master was started, or that is open for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_job: Option<Jid>,
    /// Its grains; only in `GET /v1/minions/<id>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grains: Option<Map<String, Value>>,
}

/// Query of `GET /v1/minions`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MinionsQuery {
    /// Only minions that are up, or only those that are not: offline, or silent.
    #[serde(default)]
    pub up: Option<bool>,
}

/// An entry of the event stream, `GET /v1/events`. The stream's id is `id`, and `Last-Event-ID`
/// resumes behind it while the master still remembers it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Ascending number.
    pub id: u64,
    /// What it is about: `brine/key/<id>/accepted`, `brine/job/<jid>/ret/<id>`, …
    pub tag: String,
    /// When.
    pub at: Timestamp,
    /// The facts.
    pub data: Value,
    /// The zone of the server record that it is about: who is limited to zones sees only these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

/// `GET /v1/health`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// `ok`, or `degraded` with the reasons.
    pub status: String,
    /// One sentence each.
    #[serde(default)]
    pub problems: Vec<String>,
    /// What an administrator should keep in mind though nothing is wrong, one sentence each: that
    /// every key is accepted unseen, that the master's key is being rotated, …
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
    /// Brine's version.
    pub version: String,
    /// The master's fingerprint.
    pub fingerprint: Fingerprint,
    /// Where minions connect to receive broadcasts.
    pub publish_port: u16,
    /// Where minions connect to return.
    pub ret_port: u16,
    /// The host name or address by which minions reach it, as far as it knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master_address: Option<String>,
    /// Since when it runs.
    pub since: Timestamp,
    /// Live sessions.
    pub sessions: usize,
    /// How many keys are in each state, by the state's name.
    pub keys: Map<String, Value>,
    /// Everything that is counted: refusals of the gate by name, frames, jobs, returns.
    pub counters: Map<String, Value>,
}

/// `run/brine/master.json`: renamed into place once the master listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MasterState {
    /// The master's process.
    pub pid: u32,
    /// The port of broadcasts, as bound.
    pub publish_port: u16,
    /// The port of returns, as bound.
    pub ret_port: u16,
    /// The master's fingerprint.
    pub fingerprint: Fingerprint,
}

/// What went wrong with a request, in RFC 9457's shape (`application/problem+json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `about:blank` or a URI; the stable name for programs is `kind`.
    #[serde(rename = "type", default = "about_blank")]
    pub type_uri: String,
    /// What happened, in general.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened, in this case: one sentence.
    pub detail: String,
    /// A stable name.
    pub kind: ProblemKind,
    /// Where in the expression of a target it is, in characters from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
}

fn about_blank() -> String {
    "about:blank".to_owned()
}

/// Stable names of what can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemKind {
    /// The request itself is malformed.
    BadRequest,
    /// The caller has no role, or its role lacks the verb, a target or a function.
    Forbidden,
    /// There is no such thing.
    NotFound,
    /// The target matches no accepted minion.
    NothingMatched,
    /// It changed meanwhile, or the same idempotency key came with another body.
    Conflict,
    /// The master is at a limit; try later.
    Busy,
    /// The master's disk is failing; nothing was done.
    Degraded,
    /// A fault of the master.
    Internal,
}

impl ProblemKind {
    /// The HTTP status that goes with it.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            ProblemKind::BadRequest => 400,
            ProblemKind::Forbidden => 403,
            ProblemKind::NotFound => 404,
            ProblemKind::NothingMatched => 422,
            ProblemKind::Conflict => 409,
            ProblemKind::Busy | ProblemKind::Degraded => 503,
            ProblemKind::Internal => 500,
        }
    }

    /// The general title.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            ProblemKind::BadRequest => "malformed request",
            ProblemKind::Forbidden => "refused",
            ProblemKind::NotFound => "not found",
            ProblemKind::NothingMatched => "no minions matched the target",
            ProblemKind::Conflict => "changed meanwhile",
            ProblemKind::Busy => "too busy",
            ProblemKind::Degraded => "the master cannot write",
            ProblemKind::Internal => "internal fault",
        }
    }
}

impl Problem {
    /// A problem of this kind with its sentence.
    #[must_use]
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self {
            type_uri: about_blank(),
            title: kind.title().to_owned(),
            status: kind.status(),
            detail: detail.into(),
            kind,
            column: None,
        }
    }
}
