//! One line of the ledger, byte for byte.
//!
//! **The rule.** What a version says is frozen: a reader refuses every act, field and version it
//! does not know, because a decision that is half understood is trust that is guessed. A new act
//! or field is a new version, read beside the others; each act is written in the version that
//! brought it, so that a ledger without new acts stays readable to an older Brine.

use base64ct::{Base64, Encoding};
use brine_local::text::escape;
use brine_protocol::control::Act;
use brine_protocol::time::Timestamp;
use brine_protocol::{Fingerprint, MinionId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Hash, LINE_MAX};
use crate::key::BITS_MAX;

/// The versions that lines name: decisions about keys, configs and repairs; then rotations.
const VERSIONS: [u32; 2] = [1, 2];

/// Up to here a JSON number is exact everywhere; counting to it takes longer than there is time.
const NUMBER_MAX: u64 = 1 << 53;

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
    /// A minion's accepted key gave way to one that it vouched for.
    Rotate {
        /// The key's id.
        id: MinionId,
        /// The new key.
        fingerprint: Fingerprint,
        /// DER of it.
        key: Vec<u8>,
        /// The key that gave way.
        from: Fingerprint,
        /// What that key signed ([`crate::rotation`]).
        signature: Vec<u8>,
    },
    /// The master announced the key that is to follow its own.
    Announce {
        /// The new key.
        fingerprint: Fingerprint,
        /// DER of it.
        key: Vec<u8>,
        /// The master's key.
        from: Fingerprint,
        /// When the new one takes over.
        until: Timestamp,
    },
    /// The announced key is the master's now.
    Succeed {
        /// That key.
        fingerprint: Fingerprint,
        /// The master's key before.
        from: Fingerprint,
    },
    /// The announced key will not follow after all.
    Withdraw {
        /// That key.
        fingerprint: Fingerprint,
        /// The master's key, which stays.
        from: Fingerprint,
    },
}

impl Deed {
    /// The version of the lines that say this.
    fn version(&self) -> u32 {
        match self {
            Deed::Key { .. } | Deed::Config { .. } | Deed::Repair { .. } => 1,
            Deed::Rotate { .. } | Deed::Announce { .. } | Deed::Succeed { .. } | Deed::Withdraw { .. } => 2,
        }
    }
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
    /// An act in a version that does not have it.
    #[error("{act:?} is not written in version {v}")]
    Mixed {
        /// The act.
        act: String,
        /// The version.
        v: u32,
    },
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
    /// The signature is not base64, or longer than any.
    #[error("the signature is none")]
    Signature,
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
    from: Option<Fingerprint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
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
            v: self.deed.version(),
            seq: self.seq,
            at: self.at,
            by: self.by.clone(),
            act: String::new(),
            id: None,
            fingerprint: None,
            key: None,
            from: None,
            until: None,
            signature: None,
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
            Deed::Rotate { id, fingerprint, key, from, signature } => {
                "rotate".clone_into(&mut fields.act);
                fields.id = Some(id.clone());
                fields.fingerprint = Some(*fingerprint);
                fields.key = Some(Base64::encode_string(key));
                fields.from = Some(*from);
                fields.signature = Some(Base64::encode_string(signature));
            }
            Deed::Announce { fingerprint, key, from, until } => {
                "announce".clone_into(&mut fields.act);
                fields.fingerprint = Some(*fingerprint);
                fields.key = Some(Base64::encode_string(key));
                fields.from = Some(*from);
                fields.until = Some(*until);
            }
            Deed::Succeed { fingerprint, from } | Deed::Withdraw { fingerprint, from } => {
                let is_success = matches!(self.deed, Deed::Succeed { .. });
                if is_success { "succeed" } else { "withdraw" }.clone_into(&mut fields.act);
                fields.fingerprint = Some(*fingerprint);
                fields.from = Some(*from);
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
                Ok(Version { v }) if !VERSIONS.contains(&v) => LineError::Version(v),
                // A ledger line is one line: only the column helps.
                _ => LineError::Json(escape(&error.to_string().replace(" at line 1 column ", " at column "))),
            })?;
        if !VERSIONS.contains(&fields.v) {
            return Err(LineError::Version(fields.v));
        }
        for (field, number) in [("seq", Some(fields.seq)), ("serial", fields.serial)] {
            if number.is_some_and(|number| number > NUMBER_MAX) {
                return Err(LineError::TooBig(field));
            }
        }
        let (deed, allowed) = fields.deed()?;
        if deed.version() != fields.v {
            return Err(LineError::Mixed { act: fields.act, v: fields.v });
        }
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
    /// What the line says, and the fields that such a line has.
    fn deed(&self) -> Result<(Deed, &'static [&'static str]), LineError> {
        let missing = |field| LineError::Missing { act: self.act.clone(), field };
        let fingerprint = || self.fingerprint.ok_or_else(|| missing("fingerprint"));
        let from = || self.from.ok_or_else(|| missing("from"));
        let id = || self.id.clone().ok_or_else(|| missing("id"));
        let key = || {
            let text = self.key.as_ref().ok_or_else(|| missing("key"))?;
            read_key(text, fingerprint()?).ok_or(LineError::Key)
        };
        Ok(match self.act.as_str() {
            "config" => (Deed::Config { serial: self.serial.ok_or_else(|| missing("serial"))? }, &["serial"]),
            "repair" => (
                Deed::Repair {
                    breaks: self.breaks.clone().ok_or_else(|| missing("breaks"))?,
                    removed: self.removed.ok_or_else(|| missing("removed"))?,
                    aside: self.aside.clone(),
                },
                &["breaks", "removed", "aside"],
            ),
            "rotate" => {
                let signature = self.signature.as_ref().ok_or_else(|| missing("signature"))?;
                let signature = Base64::decode_vec(signature).map_err(|_| LineError::Signature)?;
                if signature.len() > BITS_MAX / 8 {
                    return Err(LineError::Signature);
                }
                (
                    Deed::Rotate {
                        id: id()?,
                        fingerprint: fingerprint()?,
                        key: key()?,
                        from: from()?,
                        signature,
                    },
                    &["id", "fingerprint", "key", "from", "signature"],
                )
            }
            "announce" => {
                let until = self.until.ok_or_else(|| missing("until"))?;
                (
                    Deed::Announce { fingerprint: fingerprint()?, key: key()?, from: from()?, until },
                    &["fingerprint", "key", "from", "until"],
                )
            }
            "succeed" => {
                (Deed::Succeed { fingerprint: fingerprint()?, from: from()? }, &["fingerprint", "from"])
            }
            "withdraw" => {
                (Deed::Withdraw { fingerprint: fingerprint()?, from: from()? }, &["fingerprint", "from"])
            }
            name => {
                let act = key_act(name).ok_or_else(|| LineError::Act(escape(name)))?;
                let (fingerprint, id) = (fingerprint()?, id()?);
                if keeps_key(act) {
                    let deed = Deed::Key { act, id, fingerprint, key: Some(key()?) };
                    (deed, &["id", "fingerprint", "key"])
                } else {
                    (Deed::Key { act, id, fingerprint, key: None }, &["id", "fingerprint"])
                }
            }
        })
    }

    /// The fields present that only some acts have.
    fn present(&self) -> impl Iterator<Item = &'static str> + use<> {
        [
            ("id", self.id.is_some()),
            ("fingerprint", self.fingerprint.is_some()),
            ("key", self.key.is_some()),
            ("from", self.from.is_some()),
            ("until", self.until.is_some()),
            ("signature", self.signature.is_some()),
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
