//! What a job is, and the ways it can end for one minion.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::batch::Batch;
use crate::target::Target;
use crate::time::Timestamp;
use crate::{Jid, MinionId};

/// One function with its arguments. A job carries one, or several that run in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// `module.function`.
    pub function: String,
    /// Positional arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<Value>,
    /// Keyword arguments.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub keywords: Map<String, Value>,
}

/// The name that a function has here: what Salt calls `saltutil.X` is `brine.X`. Rights are judged
/// by this name, and so are patterns of names, so that no other name gets around them.
#[must_use]
pub fn canonical(function: &str) -> Cow<'_, str> {
    match function.strip_prefix("saltutil.") {
        Some(name) => Cow::Owned(format!("brine.{name}")),
        None => Cow::Borrowed(function),
    }
}

/// What Salt calls a function of the module `brine`.
#[must_use]
pub fn salt_name(function: &str) -> Option<String> {
    canonical(function).strip_prefix("brine.").map(|name| format!("saltutil.{name}"))
}

/// What happens to minions that are not connected when the job is submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// They end `offline` at once.
    #[default]
    Now,
    /// They get the order when they are back, unless it has expired by then.
    Queue {
        /// How long the order stays valid, in milliseconds from its submission.
        ttl_ms: u64,
    },
}

/// What a function gave back, before anybody decides what that means.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Returned {
    /// The function's value; for several functions a map from function to value.
    pub value: Value,
    /// 0 when all is well; Salt's retcode otherwise.
    pub retcode: i32,
    /// How long the function ran, in milliseconds.
    pub duration_ms: u64,
    /// Whether output was cut to the minion's cap.
    #[serde(default, skip_serializing_if = "is_false")]
    pub truncated: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// How a job ended for one minion. The first of these that is flushed to disk is final.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Ending {
    /// The function ran to its end.
    Returned(Returned),
    /// It could not be started.
    Failed {
        /// What stood in the way.
        why: String,
    },
    /// The minion killed it at its job timeout.
    TimedOut {
        /// The limit that was reached, in milliseconds.
        after_ms: u64,
    },
    /// An operator, or the loss of the minion's key, ended it.
    Cancelled {
        /// Who or what.
        by: String,
    },
    /// The minion died while it ran, or lost the journal that would have known.
    Interrupted {
        /// What is known of it.
        why: String,
    },
    /// Never handed to the minion: it was not connected.
    Offline {
        /// When it was last heard of, if ever.
        since: Option<Timestamp>,
    },
    /// Queued, and not delivered within its time to live.
    Expired,
    /// The minion or the master declined: the target no longer matches, the spool is full. It did
    /// not run; functions that may run twice may have run before, and lost their answer.
    Refused {
        /// The reason given.
        why: String,
    },
    /// Handed over, and no answer came before the deadline: the outcome is unknown.
    Lost {
        /// What is known of it.
        why: String,
    },
}

impl Ending {
    /// The state's name, as printed and as in `state` of the JSON form.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Ending::Returned(_) => "returned",
            Ending::Failed { .. } => "failed",
            Ending::TimedOut { .. } => "timed_out",
            Ending::Cancelled { .. } => "cancelled",
            Ending::Interrupted { .. } => "interrupted",
            Ending::Offline { .. } => "offline",
            Ending::Expired => "expired",
            Ending::Refused { .. } => "refused",
            Ending::Lost { .. } => "lost",
        }
    }

    /// The retcode, for endings that have one: what the function said, or 1 for a function that
    /// did not get to say it on a minion that answered.
    #[must_use]
    pub fn retcode(&self) -> Option<i32> {
        match self {
            Ending::Returned(returned) => Some(returned.retcode),
            Ending::Failed { .. }
            | Ending::TimedOut { .. }
            | Ending::Cancelled { .. }
            | Ending::Interrupted { .. }
            | Ending::Refused { .. } => Some(1),
            Ending::Offline { .. } | Ending::Expired | Ending::Lost { .. } => None,
        }
    }

    /// One sentence for an ending without a value; `None` when the function returned.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        Some(match self {
            Ending::Returned(_) => return None,
            Ending::Failed { why } => why.clone(),
            Ending::TimedOut { after_ms } => {
                format!("timed out: killed after {} s", *after_ms as f64 / 1000.0)
            }
            Ending::Cancelled { by } => format!("cancelled by {by}"),
            Ending::Interrupted { why } => format!("interrupted: {why}"),
            Ending::Offline { since: Some(since) } => format!("offline since {since}"),
            Ending::Offline { since: None } => {
                "offline: never connected since its key was accepted".to_owned()
            }
            Ending::Expired => "expired: not connected while the order was valid".to_owned(),
            Ending::Refused { why } => format!("refused: {why}"),
            Ending::Lost { why } => format!("lost: {why}"),
        })
    }
}

/// The largest number of functions in one job.
pub const CALLS_MAX: usize = 64;

/// What makes a job: everything that is decided when it is submitted, and nothing after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its id.
    pub jid: Jid,
    /// What runs.
    pub calls: Vec<Call>,
    /// The target as written.
    pub target: Target,
    /// What happens to minions that are not connected.
    pub delivery: Delivery,
    /// After this long on the minion the whole process group is killed, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_timeout_ms: Option<u64>,
    /// How the orders are handed out, when not all at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Batch>,
    /// Whether what it starts on a minion goes on when that is stopped or started anew.
    #[serde(default, skip_serializing_if = "is_false")]
    pub detach: bool,
    /// Who submitted it, as `unix:1000 (alice)`.
    pub principal: String,
    /// When.
    pub submitted: Timestamp,
    /// The delivery number that every minion gets this order under.
    pub number: u64,
    /// The minions it is for, each with the generation of the key that was accepted then.
    pub minions: Vec<(MinionId, u64)>,
}

impl Job {
    /// The functions, joined by commas as Salt writes them.
    #[must_use]
    pub fn functions(&self) -> String {
        let names: Vec<&str> = self.calls.iter().map(|c| c.function.as_str()).collect();
        names.join(",")
    }
}
