//! Decisions that an administrator made beforehand: who is let in, and who never is.
//!
//! Pure data: what the files said when they were read. Rules speak only where nobody has decided;
//! [`super::Trust`] sees to that. `autoreject_file` comes before everything that lets in.

mod expressions;

pub use expressions::{BYTES_MAX, Expressions, ExpressionsError, lines};

use std::collections::{BTreeMap, BTreeSet};

use brine_protocol::MinionId;
use brine_protocol::message::Knock;

/// A rule, by the option that makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Everybody is let in.
    AutoAccept,
    /// Whose id a line matches is let in.
    AutosignFile,
    /// Who claims a listed grain is let in.
    AutosignGrains,
    /// Whose id a line matches is turned away.
    AutorejectFile,
}

impl Rule {
    /// What the ledger and events name as who decided.
    #[must_use]
    pub fn by(self) -> &'static str {
        match self {
            Rule::AutoAccept => "rule:auto_accept",
            Rule::AutosignFile => "rule:autosign_file",
            Rule::AutosignGrains => "rule:autosign_grains",
            Rule::AutorejectFile => "rule:autoreject_file",
        }
    }
}

/// What the rules say of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// Nothing: somebody has to decide.
    Wait,
    /// It is let in.
    Accept {
        /// By which rule.
        rule: Rule,
        /// What of it matched, for the ledger.
        why: Option<String>,
    },
    /// It is turned away by this line of `autoreject_file`.
    Reject {
        /// The line.
        line: String,
    },
}

/// The rules of a master. Without any, everybody waits.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Lets everybody in.
    pub auto_accept: bool,
    /// Ids that are let in.
    pub autosign: Expressions,
    /// Ids that are turned away.
    pub autoreject: Expressions,
    /// Values of grains that are let in, by grain. A minion's word, and nothing more.
    pub autosign_grains: BTreeMap<String, BTreeSet<String>>,
}

impl Rules {
    /// What the rules say of a key of this id, whose minion claims this of itself.
    #[must_use]
    pub fn judge(&self, id: &MinionId, claims: &Knock) -> Ruling {
        if let Some(line) = self.autoreject.find(id.as_str()) {
            return Ruling::Reject { line: line.to_owned() };
        }
        // The most particular first: it says most in the ledger.
        if let Some(line) = self.autosign.find(id.as_str()) {
            return Ruling::Accept { rule: Rule::AutosignFile, why: Some(shorten(line)) };
        }
        let listed = claims.grains.iter().find(|(name, value)| {
            self.autosign_grains.get(*name).is_some_and(|values| values.contains(*value))
        });
        if let Some((name, value)) = listed {
            return Ruling::Accept {
                rule: Rule::AutosignGrains,
                why: Some(shorten(&format!("{name}: {value}"))),
            };
        }
        if self.auto_accept {
            return Ruling::Accept { rule: Rule::AutoAccept, why: None };
        }
        Ruling::Wait
    }
}

/// What of a line is kept with a decision, and with each key that it turns away: a file may have
/// one line of a megabyte.
const SHOWN_MAX: usize = 256;

/// Cuts a line to what is kept of it.
pub(super) fn shorten(line: &str) -> String {
    let end = (0..=SHOWN_MAX.min(line.len())).rev().find(|end| line.is_char_boundary(*end));
    line[..end.unwrap_or(0)].to_owned()
}

#[cfg(test)]
mod tests;
