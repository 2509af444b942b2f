//! What is wrong with a line.

use crate::ledger::LINE_MAX;

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
