//! One line of the ledger, byte for byte.
//!
//! **The rule.** What a version says is frozen: a reader refuses every act, field and version it
//! does not know, because a decision that is half understood is trust that is guessed. A new act
//! or field is a new version, read beside the others; each act is written in the version that
//! brought it, so that a ledger without new acts stays readable to an older Brine.

mod deed;
mod error;
mod fields;
mod server_fields;

pub use deed::{Break, Deed, KeyAct, MinionKey, ServerDeed, TokenDeed};
pub use error::LineError;

use base64ct::{Base64, Encoding};
use brine_local::text::escape;
use brine_protocol::Fingerprint;
use brine_protocol::control::Act;
use brine_protocol::time::Timestamp;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{Hash, LINE_MAX};
use fields::Fields;

/// The versions that lines name: decisions about keys, configs and repairs; then rotations; then
/// servers, enrolment tokens and refused acts.
const VERSIONS: [u32; 3] = [1, 2, 3];

/// Up to here a JSON number is exact everywhere; counting to it takes longer than there is time.
const NUMBER_MAX: u64 = 1 << 53;

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
            reason: self.reason.clone(),
            prev: self.prev,
            ..Fields::default()
        };
        fields.say(&self.deed);
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

/// Whether the ledger keeps the public key with an act, so that it survives the loss of
/// everything else.
pub(crate) fn keeps_key(act: Act) -> bool {
    match act {
        Act::Accept | Act::Reject => true,
        Act::Delete | Act::Suspend | Act::Resume => false,
    }
}

/// Reads a base64 public key that has to have this fingerprint.
pub(crate) fn read_key(base64: &str, fingerprint: Fingerprint) -> Option<Vec<u8>> {
    let der = Base64::decode_vec(base64).ok()?;
    (Sha256::digest(&der)[..] == fingerprint.0[..]).then_some(der)
}
