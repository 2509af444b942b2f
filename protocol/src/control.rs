//! The control API's words: what the CLI, the key tool, the terminal UI and `curl` exchange with
//! a master. JSON in both directions; errors are [`Problem`] documents (RFC 9457).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::job::{Call, Delivery, Ending, Job, Target};
use crate::message::Knock;
use crate::time::Timestamp;
use crate::{Fingerprint, Jid, MinionId};

/// The states of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// Somebody has to decide.
    Pending,
    /// Its minion gets orders.
    Accepted,
    /// An operator or a rule said no.
    Rejected,
    /// Another key holds the id.
    Denied,
    /// Accepted before, cut off for now.
    Suspended,
}

/// All key states, in the order in which lists show them.
pub const KEY_STATES: [KeyState; 5] =
    [KeyState::Accepted, KeyState::Denied, KeyState::Pending, KeyState::Rejected, KeyState::Suspended];

impl KeyState {
    /// The word for it in commands, JSON and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            KeyState::Pending => "pending",
            KeyState::Accepted => "accepted",
            KeyState::Rejected => "rejected",
            KeyState::Denied => "denied",
            KeyState::Suspended => "suspended",
        }
    }

    /// The heading that salt-key prints over keys in this state.
    #[must_use]
    pub fn heading(self) -> &'static str {
        match self {
            KeyState::Pending => "Unaccepted Keys:",
            KeyState::Accepted => "Accepted Keys:",
            KeyState::Rejected => "Rejected Keys:",
            KeyState::Denied => "Denied Keys:",
            KeyState::Suspended => "Suspended Keys:",
        }
    }

    /// The name that salt-key's JSON has for this state.
    #[must_use]
    pub fn salt_name(self) -> &'static str {
        match self {
            KeyState::Pending => "minions_pre",
            KeyState::Accepted => "minions",
            KeyState::Rejected => "minions_rejected",
            KeyState::Denied => "minions_denied",
            KeyState::Suspended => "minions_suspended",
        }
    }
}

/// One key, as `GET /v1/keys` lists it: a (minion id, public key) pair and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// The id that the key claims or holds.
    pub id: MinionId,
    /// Where it stands.
    pub state: KeyState,
    /// SHA-256 of its public key.
    pub fingerprint: Fingerprint,
    /// The public key, SPKI PEM.
    pub public_key: String,
    /// Number of the decision that accepted it; 0 for a key that never was.
    pub generation: u64,
    /// When it was first seen.
    pub first_seen: Timestamp,
    /// When its minion last opened a session.
    pub last_seen: Timestamp,
    /// The address it last came from.
    #[serde(default)]
    pub address: Option<String>,
    /// How often it has knocked.
    #[serde(default)]
    pub attempts: u64,
    /// What a waiting minion says about itself; claims.
    #[serde(default)]
    pub claims: Knock,
    /// Whether another key held this id before.
    #[serde(default)]
    pub known_before: bool,
    /// Whether a session of this key is open now.
    #[serde(default)]
    pub connected: bool,
}

/// Acts on keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Let the minion in.
    Accept,
    /// Say no, and keep the key so that it stays no.
    Reject,
    /// Forget the key. Its minion may knock again.
    Delete,
    /// Cut the minion off and keep the key.
    Suspend,
    /// Let a suspended minion in again.
    Resume,
}

impl Act {
    /// The verb.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Act::Accept => "accept",
            Act::Reject => "reject",
            Act::Delete => "delete",
            Act::Suspend => "suspend",
            Act::Resume => "resume",
        }
    }

    /// What it made of a key.
    #[must_use]
    pub fn past(self) -> &'static str {
        match self {
            Act::Accept => "accepted",
            Act::Reject => "rejected",
            Act::Delete => "deleted",
            Act::Suspend => "suspended",
            Act::Resume => "resumed",
        }
    }
}

/// `POST /v1/keys/act`: one act on keys named exactly, so that what was shown is what is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyActRequest {
    /// What to do.
    pub act: Act,
    /// To which keys.
    pub keys: Vec<KeyName>,
    /// Why, for the ledger.
    #[serde(default)]
    pub reason: Option<String>,
}

/// Exactly one key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyName {
    /// The minion id.
    pub id: MinionId,
    /// The key's fingerprint.
    pub fingerprint: Fingerprint,
    /// The state in which the caller saw it; when given and no longer true, nothing is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<KeyState>,
}

/// What became of one key of a [`KeyActRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyActResult {
    /// The minion id.
    pub id: MinionId,
    /// The key.
    pub fingerprint: Fingerprint,
    /// None when it was done; one sentence when it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

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

/// One line of `GET /v1/jobs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobSummary {
    /// The job, without its list of minions.
    pub jid: Jid,
    /// Its functions, joined by commas.
    pub functions: String,
    /// The target as written.
    pub target: String,
    /// Who submitted it.
    pub principal: String,
    /// When.
    pub submitted: Timestamp,
    /// How many minions it was for.
    pub minions: usize,
    /// How many of them are still open.
    pub open: usize,
    /// How many ended with a retcode other than 0, or without one.
    pub failed: usize,
}

/// Query of `GET /v1/jobs`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobsQuery {
    /// Only jobs that are still open.
    #[serde(default)]
    pub active: bool,
    /// At most so many, newest first; 50 when not said, 10,000 at most.
    #[serde(default)]
    pub limit: Option<usize>,
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
    /// Its grains; only in `GET /v1/minions/<id>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grains: Option<Map<String, Value>>,
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
}

/// `GET /v1/health`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// `ok`, or `degraded` with the reasons.
    pub status: String,
    /// One sentence each.
    #[serde(default)]
    pub problems: Vec<String>,
    /// Brine's version.
    pub version: String,
    /// The master's fingerprint.
    pub fingerprint: Fingerprint,
    /// Where minions connect to receive broadcasts.
    pub publish_port: u16,
    /// Where minions connect to return.
    pub ret_port: u16,
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
            ProblemKind::Busy => 429,
            ProblemKind::Degraded => 503,
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
        }
    }
}
