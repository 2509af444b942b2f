//! Minion ids: parsed once at the edge, trusted afterwards.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest id, in bytes: a DNS name fits.
pub const ID_MAX: usize = 253;

/// Words that mean something else where ids are written: compound targets, role names, devices.
const RESERVED: [&str; 9] = ["and", "or", "not", "all", "localhost", "master", "con", "nul", "local"];

/// The name of a minion.
///
/// 1 to 253 bytes of `[A-Za-z0-9._-]`, beginning and ending with a letter or digit, without `..`,
/// and not a word that targets or role names use. The grammar is narrower than Salt's on purpose:
/// an id can stand in a path, a target, a terminal or a log line without quoting. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MinionId(Arc<str>);

impl MinionId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is not a minion id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing was given.
    #[error("a minion id cannot be empty")]
    Empty,
    /// Longer than [`ID_MAX`] bytes.
    #[error("a minion id has at most {ID_MAX} bytes, this one has {0}")]
    TooLong(usize),
    /// A character outside the grammar, shown escaped.
    #[error("a minion id is made of letters, digits, '.', '_' and '-'; {0:?} is none of them")]
    Character(char),
    /// Begins or ends with a dot, dash or underscore.
    #[error("a minion id begins and ends with a letter or a digit")]
    Edge,
    /// Contains `..`.
    #[error("a minion id cannot contain '..'")]
    Dots,
    /// Is a word with another meaning.
    #[error("{0:?} has another meaning in targets or roles and cannot be a minion id")]
    Reserved(String),
}

impl FromStr for MinionId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.is_empty() {
            return Err(IdError::Empty);
        }
        if text.len() > ID_MAX {
            return Err(IdError::TooLong(text.len()));
        }
        if let Some(other) =
            text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')))
        {
            return Err(IdError::Character(other));
        }
        let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
        if !edge(text.bytes().next()) || !edge(text.bytes().last()) {
            return Err(IdError::Edge);
        }
        if text.contains("..") {
            return Err(IdError::Dots);
        }
        if RESERVED.contains(&text.to_ascii_lowercase().as_str()) {
            return Err(IdError::Reserved(text.to_owned()));
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for MinionId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<MinionId> for String {
    fn from(id: MinionId) -> Self {
        id.0.as_ref().to_owned()
    }
}

impl fmt::Display for MinionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for MinionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, valid: bool) {
        assert_eq!(text.parse::<MinionId>().is_ok(), valid, "{text:?}");
    }

    #[test]
    fn grammar() {
        for ok in
            ["a", "m1", "web-01", "WEB01", "king_bob.foo.org", "127890", "1.2.3.4", "xn--bcher-kva.example"]
        {
            check(ok, true);
        }
        for bad in [
            "",
            ".",
            "..",
            "...",
            ".a",
            "-a",
            "a-",
            "a.",
            "a..b",
            "a/b",
            "/a",
            "a\\b",
            "a b",
            "a\n",
            "a\0",
            "a\u{1b}[31m",
            "é",
            "a\u{202e}b",
            "not",
            "AND",
            "master",
            "localhost",
            "web*",
            "a@b",
            "a:b",
            "--help",
        ] {
            check(bad, false);
        }
        check(&"a".repeat(253), true);
        check(&"a".repeat(254), false);
    }
}
