//! One line of the ledger, byte for byte.
//!
//! **The rule.** What version 1 says is frozen: a reader refuses every act, field and version it
//! does not know, because a decision that is half understood is trust that is guessed. A new act
//! or field is a new version, read beside this one.

use std::fmt;
use std::str::FromStr;

use base64ct::{Base64, Encoding};
use brine_local::text::escape;
use brine_protocol::control::Act;
use brine_protocol::time::Timestamp;
use brine_protocol::{Fingerprint, MinionId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::LINE_MAX;

/// The version that every line names.
const VERSION: u32 = 1;

/// Up to here a JSON number is exact everywhere; counting to it takes longer than there is time.
const NUMBER_MAX: u64 = 1 << 53;

/// SHA-256 of a line's bytes without the line feed; zeros stand before the first line.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The hash of a line.
    #[must_use]
    pub fn of(line: &[u8]) -> Self {
        Self(Sha256::digest(line).into())
    }

    /// Its first eight digits, enough to tell two apart in a sentence.
    #[must_use]
    pub fn short(&self) -> String {
        self.to_string()[..8].to_owned()
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || "a hash is 64 lower-case hex digits".to_owned();
        let digit = |b: u8| match b {
            b'0'..=b'9' => Some(b - b'0'),
            b'a'..=b'f' => Some(b - b'a' + 10),
            _ => None,
        };
        let text = text.as_bytes();
        if text.len() != 64 {
            return Err(bad());
        }
        let mut hash = Self::default();
        for (byte, pair) in hash.0.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(pair[0]).ok_or_else(bad)? << 4 | digit(pair[1]).ok_or_else(bad)?;
        }
        Ok(hash)
    }
}

impl TryFrom<String> for Hash {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> Self {
        hash.to_string()
    }
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// An act on a key.
    Key {
        /// Which.
        act: Act,
        /// The key's id.
        id: MinionId,
        /// The key.
        fingerprint: Fingerprint,
        /// DER of the public key, on the acts that keep it: accept and reject.
        key: Option<Vec<u8>>,
    },
    /// The master signed a new handshake config.
    Config {
        /// Its serial: at least the last one here and 1.
        serial: u64,
    },
    /// Somebody accepted damage of this file.
    Repair {
        /// Where lines that stayed do not continue each other.
        breaks: Vec<Break>,
        /// How many lines were taken out.
        removed: u64,
        /// The file that they were put into.
        aside: Option<String>,
    },
}

/// Where a line does not continue the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Break {
    /// The line, counted from 1, when this was found.
    pub line: u64,
    /// The hash of the line before it.
    pub expected: Hash,
    /// The hash that it says.
    pub found: Hash,
}

/// A decision that is not recorded yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Who decided: `unix:0 (root)`, `rule:auto_accept`, …
    pub by: String,
    /// Why.
    pub reason: Option<String>,
    /// What.
    pub deed: Deed,
}

/// A recorded decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number, counted from 1.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
    /// What.
    pub deed: Deed,
    /// The hash of the line before it.
    pub prev: Hash,
}

/// Why a line is not an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Not the JSON object that an entry is.
    #[error("not a ledger entry: {0}")]
    Json(String),
    /// Longer than any entry.
    #[error("a line longer than {LINE_MAX} bytes")]
    TooLong,
    /// Another version.
    #[error("ledger version {0} is not known here (a newer Brine wrote it)")]
    Version(u32),
    /// Another act.
    #[error("act {0:?} is not known here (a newer Brine wrote it)")]
    Act(String),
    /// A field that the act needs.
    #[error("{act:?} without {field:?}")]
    Missing {
        /// The act.
        act: String,
        /// The field.
        field: &'static str,
    },
    /// A field that the act does not have.
    #[error("{act:?} with {field:?}")]
    Surplus {
        /// The act.
        act: String,
        /// The field.
        field: &'static str,
    },
    /// A number that programs which read JSON numbers as floating point would round.
    #[error("{0:?} is beyond 2^53")]
    TooBig(&'static str),
    /// The public key is not base64, or has another fingerprint.
    #[error("the key does not belong to the fingerprint")]
    Key,
}

/// The line's fields in their order.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    v: u32,
    seq: u64,
    at: Timestamp,
    by: String,
    act: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<MinionId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fingerprint: Option<Fingerprint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    serial: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    breaks: Option<Vec<Break>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    removed: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    aside: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    prev: Hash,
}

/// Only the version: read first when the whole cannot be read, so that a newer line is named so.
#[derive(Deserialize)]
struct Version {
    v: u32,
}

impl Entry {
    /// The line, without its line feed.
    #[must_use]
    pub fn to_line(&self) -> String {
        let mut fields = Fields {
            v: VERSION,
            seq: self.seq,
            at: self.at,
            by: self.by.clone(),
            act: String::new(),
            id: None,
            fingerprint: None,
            key: None,
            serial: None,
            breaks: None,
            removed: None,
            aside: None,
            reason: self.reason.clone(),
            prev: self.prev,
        };
        match &self.deed {
            Deed::Key { act, id, fingerprint, key } => {
                act.name().clone_into(&mut fields.act);
                fields.id = Some(id.clone());
                fields.fingerprint = Some(*fingerprint);
                fields.key = key.as_deref().map(Base64::encode_string);
            }
            Deed::Config { serial } => {
                "config".clone_into(&mut fields.act);
                fields.serial = Some(*serial);
            }
            Deed::Repair { breaks, removed, aside } => {
                "repair".clone_into(&mut fields.act);
                fields.breaks = Some(breaks.clone());
                fields.removed = Some(*removed);
                fields.aside.clone_from(aside);
            }
        }
        serde_json::to_string(&fields).expect("an entry holds nothing JSON cannot say")
    }

    /// Reads a line, without its line feed.
    ///
    /// # Errors
    /// Anything about it is not exactly what this version writes.
    pub fn from_line(line: &[u8]) -> Result<Self, LineError> {
        if line.len() > LINE_MAX {
            return Err(LineError::TooLong);
        }
        let fields: Fields =
            serde_json::from_slice(line).map_err(|error| match serde_json::from_slice(line) {
                Ok(Version { v }) if v != VERSION => LineError::Version(v),
                // A ledger line is one line: only the column helps.
                _ => LineError::Json(escape(&error.to_string().replace(" at line 1 column ", " at column "))),
            })?;
        if fields.v != VERSION {
            return Err(LineError::Version(fields.v));
        }
        for (field, number) in [("seq", Some(fields.seq)), ("serial", fields.serial)] {
            if number.is_some_and(|number| number > NUMBER_MAX) {
                return Err(LineError::TooBig(field));
            }
        }
        let missing = |field| LineError::Missing { act: fields.act.clone(), field };
        let (deed, allowed): (_, &[&str]) = match fields.act.as_str() {
            "config" => {
                (Deed::Config { serial: fields.serial.ok_or_else(|| missing("serial"))? }, &["serial"])
            }
            "repair" => (
                Deed::Repair {
                    breaks: fields.breaks.clone().ok_or_else(|| missing("breaks"))?,
                    removed: fields.removed.ok_or_else(|| missing("removed"))?,
                    aside: fields.aside.clone(),
                },
                &["breaks", "removed", "aside"],
            ),
            name => {
                let act = key_act(name).ok_or_else(|| LineError::Act(escape(name)))?;
                let fingerprint = fields.fingerprint.ok_or_else(|| missing("fingerprint"))?;
                let id = fields.id.clone().ok_or_else(|| missing("id"))?;
                let (key, allowed): (_, &[&str]) = if keeps_key(act) {
                    let text = fields.key.as_ref().ok_or_else(|| missing("key"))?;
                    (Some(read_key(text, fingerprint).ok_or(LineError::Key)?), &["id", "fingerprint", "key"])
                } else {
                    (None, &["id", "fingerprint"])
                };
                (Deed::Key { act, id, fingerprint, key }, allowed)
            }
        };
        let surplus = fields.present().find(|field| !allowed.contains(field));
        if let Some(field) = surplus {
            return Err(LineError::Surplus { act: fields.act, field });
        }
        Ok(Self {
            seq: fields.seq,
            at: fields.at,
            by: fields.by,
            reason: fields.reason,
            deed,
            prev: fields.prev,
        })
    }
}

impl Fields {
    /// The fields present that only some acts have.
    fn present(&self) -> impl Iterator<Item = &'static str> + use<> {
        [
            ("id", self.id.is_some()),
            ("fingerprint", self.fingerprint.is_some()),
            ("key", self.key.is_some()),
            ("serial", self.serial.is_some()),
            ("breaks", self.breaks.is_some()),
            ("removed", self.removed.is_some()),
            ("aside", self.aside.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, is_present)| is_present.then_some(name))
    }
}

/// Whether the ledger keeps the public key with an act, so that it survives the loss of
/// everything else.
pub(crate) fn keeps_key(act: Act) -> bool {
    match act {
        Act::Accept | Act::Reject => true,
        Act::Delete | Act::Suspend | Act::Resume => false,
    }
}

fn key_act(name: &str) -> Option<Act> {
    [Act::Accept, Act::Reject, Act::Delete, Act::Suspend, Act::Resume]
        .into_iter()
        .find(|act| act.name() == name)
}

/// Reads a base64 public key that has to have this fingerprint.
pub(crate) fn read_key(base64: &str, fingerprint: Fingerprint) -> Option<Vec<u8>> {
    let der = Base64::decode_vec(base64).ok()?;
    (Sha256::digest(&der)[..] == fingerprint.0[..]).then_some(der)
}
