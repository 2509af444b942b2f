//! Asking whom a target means, without running anything.

use serde::{Deserialize, Serialize};

use super::Presence;
use crate::MinionId;
use crate::target::Target;

/// `POST /v1/targets`. The answer is [`Matched`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetRequest {
    /// Whom.
    pub target: Target,
    /// Whether to say of each minion which terms of the target hold for it.
    #[serde(default)]
    pub explain: bool,
}

/// Whom a target means, as far as the master can tell now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Matched {
    /// The accepted minions that match, by id.
    pub minions: Vec<MatchedMinion>,
    /// How many match.
    pub matched: usize,
    /// How many of these are not connected: a job that runs now ends `offline` for them.
    pub offline: usize,
    /// Of how many accepted minions that the caller sees.
    pub accepted: usize,
    /// How many do not match and could not be judged, because the target asks for their grains and these
    /// are not known: they have not been connected under the key that is accepted now.
    pub unjudged: usize,
}

/// One minion that a target means.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MatchedMinion {
    /// Its id.
    pub id: MinionId,
    /// Whether it is connected.
    pub presence: Presence,
    /// Each term of the target with whether it holds, in the order of writing. Only when it was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub why: Vec<(String, bool)>,
}

/// That nobody matches a target, which was made safe to show, and of how many that cannot be told.
#[must_use]
pub fn nobody_matches(written: &str, accepted: usize, unjudged: usize) -> String {
    let mut text = format!("no accepted minion matches \"{written}\"");
    if unjudged > 0 {
        text += &format!(
            "; {unjudged} of {accepted} could not be judged, because their grains are not known: they have not \
             been connected under the key that is accepted"
        );
    }
    text
}
