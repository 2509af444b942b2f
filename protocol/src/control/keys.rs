//! Keys, as the control API tells of them, and acts on them.

use serde::{Deserialize, Serialize};

use super::KeyServer;
use crate::message::Knock;
use crate::time::Timestamp;
use crate::{Fingerprint, MinionId};

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
    /// The public key, SPKI PEM; empty when the query left it out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
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
    /// The rule by which it is rejected, when no operator decided: it stands only while the rule
    /// does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The server record that it is linked to, or that it could be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<KeyServer>,
}

/// Query of `GET /v1/keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeysQuery {
    /// Only the keys of this id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<MinionId>,
    /// Whether to send the public keys, which are most of the answer's size.
    pub public_key: bool,
}

impl Default for KeysQuery {
    fn default() -> Self {
        Self { id: None, public_key: true }
    }
}

/// One decision about a key of an id, as `GET /v1/keys/<id>/history` tells it from the ledger,
/// oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The ledger entry's number.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Who: `unix:0 (root)`, `rule:auto_accept`, `minion:web1`, …
    pub by: String,
    /// What, as the ledger calls it: `accept`, `reject`, `delete`, `suspend`, `resume`, `rotate`.
    pub act: String,
    /// The key it was about; of a rotation the new one.
    pub fingerprint: Fingerprint,
    /// Of a rotation, the key that gave way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Fingerprint>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `POST /v1/keys/import`: keys from elsewhere, with the states they had there. The answer is a
/// [`KeyActResult`] per key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportRequest {
    /// The keys.
    pub keys: Vec<ImportedKey>,
    /// Why, for the ledger.
    #[serde(default)]
    pub reason: Option<String>,
}

/// A key that comes from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportedKey {
    /// Whose.
    pub id: MinionId,
    /// The public key: SPKI PEM.
    pub public_key: String,
    /// Accepted or rejected goes into the ledger; pending and denied wait here, where it is
    /// derived which of the two they are. Suspended is refused.
    pub state: KeyState,
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

/// All acts, for tables and tests.
pub const ACTS: [Act; 5] = [Act::Accept, Act::Reject, Act::Delete, Act::Suspend, Act::Resume];

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
