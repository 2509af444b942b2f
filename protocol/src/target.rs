//! Targets: which minions are meant. One grammar and one evaluator, used by master and minion.
//!
//! A [`Target`] is what the operator wrote, kept as text in the job. [`Expression`] is what it
//! means: a tree, made once and asked once for each minion. Nothing is ever evaluated as code.
//! The kinds are Salt's: <https://docs.saltproject.io/en/latest/topics/targeting/>; what differs is
//! in docs/targeting.md.

mod ip;
mod key;
mod lookup;
mod nodegroup;
mod parse;
mod pattern;
mod term;
mod text;
mod tree;
mod words;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::MinionId;
use crate::server::{ServerId, ServerRecord};
use key::Ahead;
pub use nodegroup::spell_out;
use term::Term;
use tree::{Folded, Node};
pub use words::TermWord;

/// The longest expression, in bytes, as it is written and with its nodegroups spelled out: a
/// list of 1000 long ids fits.
pub const EXPRESSION_MAX: usize = 64 * 1024;

/// How deep parentheses and nodegroups may lie in each other.
pub const NEST_MAX: usize = 64;

/// How a target expression is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    /// A shell glob over minion ids.
    #[default]
    Glob,
    /// `-E`: a regular expression over minion ids, anchored at the start only.
    Pcre,
    /// `-L`: ids separated by commas.
    List,
    /// `-G`: `key[:key…]:glob` over grains.
    Grain,
    /// `-P`: `key[:key…]:regex` over grains.
    GrainPcre,
    /// `-I`: `key[:key…]:glob` over the minion's pillar.
    Pillar,
    /// `-J`: `key[:key…]:regex` over the minion's pillar.
    PillarPcre,
    /// `-S`: an IPv4 or IPv6 address, or a network in CIDR form, over the grains `ipv4`, `ipv6`.
    Ipcidr,
    /// `-N`: the name of a nodegroup.
    Nodegroup,
    /// `-C`: words of all these kinds, joined by `and`, `or`, `not`, `(` and `)`.
    Compound,
    /// `-Z`: `FIELD:GLOB` over the server record that a minion is linked to. The master alone can
    /// tell: a minion is sent the outcome, never this.
    Record,
}

impl TargetKind {
    /// The letter of its option, and before `@` of its words in a compound.
    #[must_use]
    pub fn letter(self) -> char {
        match self {
            TargetKind::Glob => '*',
            TargetKind::Pcre => 'E',
            TargetKind::List => 'L',
            TargetKind::Grain => 'G',
            TargetKind::GrainPcre => 'P',
            TargetKind::Pillar => 'I',
            TargetKind::PillarPcre => 'J',
            TargetKind::Ipcidr => 'S',
            TargetKind::Nodegroup => 'N',
            TargetKind::Compound => 'C',
            TargetKind::Record => 'Z',
        }
    }

    /// Whether its expression has keys, with a delimiter between them.
    #[must_use]
    pub fn has_keys(self) -> bool {
        matches!(
            self,
            TargetKind::Grain | TargetKind::GrainPcre | TargetKind::Pillar | TargetKind::PillarPcre
        )
    }
}

/// A target as the operator wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// How to read the expression.
    #[serde(default)]
    pub kind: TargetKind,
    /// The expression.
    pub expression: String,
    /// What stands between the keys and the pattern of grains and pillar instead of `:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
}

impl Target {
    /// A target of this kind.
    #[must_use]
    pub fn new(kind: TargetKind, expression: &str) -> Self {
        Self { kind, expression: expression.to_owned(), delimiter: None }
    }

    /// A glob over minion ids.
    #[must_use]
    pub fn glob(expression: &str) -> Self {
        Self::new(TargetKind::Glob, expression)
    }

    /// These ids, separated by commas.
    #[must_use]
    pub fn list(expression: &str) -> Self {
        Self::new(TargetKind::List, expression)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.expression)
    }
}

/// The nodegroups of master.yaml, by name.
pub type Nodegroups = BTreeMap<String, Nodegroup>;

/// One nodegroup as it is written: a compound target, or its words one by one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Nodegroup {
    /// A compound expression.
    Text(String),
    /// Its words; several plain ids without operators between them are a list.
    Words(Vec<String>),
}

/// What is known of one minion when a target is asked about it. What is not known matches nothing.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Its id.
    pub id: &'a MinionId,
    /// Its grains.
    pub grains: Option<&'a Map<String, Value>>,
    /// Its pillar.
    pub pillar: Option<&'a Map<String, Value>>,
    /// The server record that it is linked to.
    pub record: Option<(ServerId, &'a ServerRecord)>,
}

/// Why a target cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {what}")]
pub struct TargetError {
    /// Where, in characters of the expression, from 1.
    pub column: usize,
    /// What is wrong and what was expected.
    pub what: String,
}

/// What a target asks of a minion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Uses {
    /// Its id.
    pub id: bool,
    /// Its grains.
    pub grains: bool,
    /// Its pillar.
    pub pillar: bool,
    /// The server record that it is linked to.
    pub record: bool,
}

/// What a target means.
#[derive(Debug, Clone)]
pub struct Expression {
    target: Target,
    root: Node,
    ahead: Ahead,
    uses: Uses,
    /// With its nodegroups spelled out, when that is not how it was written.
    spelled: Option<String>,
}

impl Expression {
    /// Reads a target.
    ///
    /// # Errors
    /// Where it cannot be read, and what was expected there.
    pub fn parse(target: &Target, groups: &Nodegroups) -> Result<Self, TargetError> {
        let refused = |what| TargetError { column: 1, what };
        if target.expression.len() > EXPRESSION_MAX {
            return Err(refused(format!("a target has at most {EXPRESSION_MAX} bytes")));
        }
        if target.delimiter.is_some() && !target.kind.has_keys() {
            return Err(refused("only targets over grains and pillar take a delimiter".to_owned()));
        }
        let root = parse::parse(target, groups)?;
        let uses = root.uses();
        let mut keys = Vec::new();
        root.each_term(&mut |term| keys.extend(term.first_grain().cloned()));
        let spelled = (target.kind == TargetKind::Nodegroup || root.has_group() || uses.record).then(|| {
            let mut text = String::new();
            root.write(&mut text);
            text
        });
        if spelled.as_ref().is_some_and(|text| text.len() > EXPRESSION_MAX) {
            return Err(refused(term::too_long()));
        }
        Ok(Self { target: target.clone(), root, ahead: Ahead::of(keys), uses, spelled })
    }

    /// Whether this minion is meant.
    #[must_use]
    pub fn matches(&self, minion: &Known<'_>) -> bool {
        self.root.matches(minion, &self.ahead.once())
    }

    /// Each term as it is spelled in the expression, with whether it holds for this minion, in the
    /// order of writing. A nodegroup that is the whole target is told by its own terms.
    #[must_use]
    pub fn explain(&self, minion: &Known<'_>) -> Vec<(String, bool)> {
        let mut said = Vec::new();
        match (self.target.kind, &self.root) {
            (TargetKind::Compound, root) => root.explain(minion, &mut said),
            (TargetKind::Nodegroup, Node::Group { body, .. }) => body.explain(minion, &mut said),
            _ => said.push((self.target.expression.clone(), self.matches(minion))),
        }
        said
    }

    /// What it asks of a minion, nodegroups spelled out.
    #[must_use]
    pub fn uses(&self) -> Uses {
        self.uses
    }

    /// Whether nothing about pillar in it is a pattern: who may not read a pillar must not find
    /// out what is in it by asking for `a*`, `b*` and so on.
    #[must_use]
    pub fn pillar_is_exact(&self) -> bool {
        let mut is_exact = true;
        self.root.each_term(&mut |term| {
            is_exact &= !matches!(term, Term::Pillar(lookup) if !lookup.is_exact());
        });
        is_exact
    }

    /// The ids that are named outright, in lists that nothing takes away again: one that is no
    /// minion's was probably meant otherwise.
    #[must_use]
    pub fn named(&self) -> Vec<&str> {
        let mut ids = Vec::new();
        self.root.named(true, &mut ids);
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// The target that this minion, which is meant, is sent and checks again with what it knows:
    /// nodegroups are spelled out, and what only the master knows has become its outcome. When
    /// nothing else was asked, or the outcome alone has changed the answer since, it is its id:
    /// what was resolved when the job was submitted stands.
    #[must_use]
    pub fn sent_to(&self, minion: &Known<'_>) -> Target {
        if !self.uses.record {
            return self.spelled();
        }
        match self.root.folded(minion) {
            Folded::Known(_) => Target::list(minion.id.as_str()),
            Folded::Open(node) => {
                let mut text = String::new();
                node.write(&mut text);
                Target::new(TargetKind::Compound, &text)
            }
        }
    }

    /// The target that is sent to all accepted minions when it matches every one of them.
    #[must_use]
    pub fn sent_to_all(&self) -> Target {
        if self.uses.record { Target::glob("*") } else { self.spelled() }
    }

    fn spelled(&self) -> Target {
        match &self.spelled {
            Some(text) => Target::new(TargetKind::Compound, text),
            None => self.target.clone(),
        }
    }

    /// The longest that [`Expression::sent_to`] may be in JSON, in bytes.
    #[must_use]
    pub fn sent_max(&self) -> usize {
        let text = self.spelled.as_deref().unwrap_or(&self.target.expression);
        let escaped = |byte: u8| match byte {
            b'"' | b'\\' => 2,
            0..0x20 => 6,
            _ => 1,
        };
        let text: usize = text.bytes().map(escaped).sum();
        FIELDS_MAX + text.max(crate::id::ID_MAX)
    }
}

/// The JSON around an expression: kind, delimiter and their names, generously.
const FIELDS_MAX: usize = 96;

/// Why a part of a target cannot be read.
#[derive(Debug)]
struct Fault {
    /// Where in it, in characters from 0.
    at: usize,
    what: String,
}

impl Fault {
    fn at_column(self, column: usize) -> TargetError {
        TargetError { column: column + self.at, what: self.what }
    }
}

fn too_deep() -> String {
    format!("parentheses and nodegroups lie at most {NEST_MAX} deep in each other")
}

/// A word within an error: short, and nothing in it moves a cursor.
fn shown(word: &str) -> String {
    const SHOWN_MAX: usize = 40;
    let start: String = word.chars().take(SHOWN_MAX).collect();
    let more = if start.len() < word.len() { "..." } else { "" };
    format!("'{}{more}'", start.escape_debug())
}
