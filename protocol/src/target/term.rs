//! One term: a word of a compound, or the whole of a target of another kind.

use regex::Regex;

use super::ip::Network;
use super::key::{Key, Once};
use super::lookup::Lookup;
use super::pattern::compile;
use super::{EXPRESSION_MAX, Fault, Known, TargetKind, Uses};
use crate::glob::Glob;
use crate::server::RecordTerm;

/// The most regular expressions of a target; one over grains or pillar counts once for each place
/// where its keys may end.
const REGEXES_MAX: usize = 128;

/// The longest glob over ids, in characters: ids have at most 253.
const GLOB_MAX: usize = 1024;

/// What a target has cost so far, with the nodegroups that it names.
#[derive(Debug, Default)]
pub(super) struct Budget {
    bytes: usize,
    regexes: usize,
}

impl Budget {
    pub(super) fn take_bytes(&mut self, term: &str) -> Result<(), String> {
        self.bytes += term.len();
        if self.bytes > EXPRESSION_MAX {
            return Err(too_long());
        }
        Ok(())
    }

    pub(super) fn take_regex(&mut self) -> Result<(), String> {
        self.regexes += 1;
        if self.regexes > REGEXES_MAX {
            return Err(format!("a target has at most {REGEXES_MAX} regular expressions"));
        }
        Ok(())
    }
}

pub(super) fn too_long() -> String {
    format!("a target has at most {EXPRESSION_MAX} bytes, its nodegroups spelled out")
}

/// What a minion is asked.
#[derive(Debug, Clone)]
pub(super) enum Term {
    Glob(Glob),
    Pcre(Regex),
    /// Sorted.
    List(Box<[Box<str>]>),
    Grains(Lookup),
    Pillar(Lookup),
    /// None when the text is no address and so means nobody.
    Network(Option<Network>),
    Record(RecordTerm),
}

impl Term {
    /// Reads a term of any kind but compounds and nodegroups, which are made of others.
    pub(super) fn read(
        kind: TargetKind,
        delimiter: Option<char>,
        text: &str,
        budget: &mut Budget,
    ) -> Result<Option<Self>, Fault> {
        let here = |what| Fault { at: 0, what };
        let mut lookup = |is_regex| Lookup::read(text, delimiter, is_regex, budget);
        Ok(Some(match kind {
            TargetKind::Glob if text.chars().count() > GLOB_MAX => {
                return Err(here(format!("a glob over ids has at most {GLOB_MAX} characters")));
            }
            TargetKind::Glob => Term::Glob(Glob::new(text)),
            TargetKind::Pcre => {
                budget.take_regex().map_err(here)?;
                Term::Pcre(compile(text, false)?)
            }
            TargetKind::List => {
                let mut ids: Vec<Box<str>> =
                    text.split(',').filter(|id| !id.is_empty()).map(Box::from).collect();
                ids.sort_unstable();
                ids.dedup();
                Term::List(ids.into())
            }
            TargetKind::Grain => Term::Grains(lookup(false)?),
            TargetKind::GrainPcre => Term::Grains(lookup(true)?),
            TargetKind::Pillar => Term::Pillar(lookup(false)?),
            TargetKind::PillarPcre => Term::Pillar(lookup(true)?),
            TargetKind::Ipcidr => Term::Network(Network::read(text)?),
            TargetKind::Record => {
                Term::Record(text.parse().map_err(|error: crate::server::TermError| here(error.to_string()))?)
            }
            TargetKind::Nodegroup | TargetKind::Compound => return Ok(None),
        }))
    }

    pub(super) fn matches(&self, minion: &Known<'_>, ahead: &Once<'_>) -> bool {
        let id = minion.id.as_str();
        let grains = || minion.grains.inspect(|grains| ahead.read(grains));
        match self {
            Term::Glob(glob) => glob.matches(id),
            Term::Pcre(regex) => regex.is_match(id),
            Term::List(ids) => ids.binary_search_by(|listed| (**listed).cmp(id)).is_ok(),
            Term::Grains(lookup) => grains().is_some_and(|grains| lookup.matches(grains)),
            Term::Pillar(lookup) => minion.pillar.is_some_and(|pillar| lookup.matches(pillar)),
            Term::Network(network) => {
                network.as_ref().is_some_and(|network| grains().is_some_and(|grains| network.matches(grains)))
            }
            Term::Record(term) => minion.record.is_some_and(|(id, record)| term.matches(id, record)),
        }
    }

    /// The grain that it reads first.
    pub(super) fn first_grain(&self) -> Option<&Key> {
        match self {
            Term::Grains(lookup) => Some(lookup.first()),
            Term::Network(network) => network.as_ref().map(Network::grain),
            _ => None,
        }
    }

    pub(super) fn add_uses(&self, uses: &mut Uses) {
        match self {
            Term::Glob(_) | Term::Pcre(_) | Term::List(_) => uses.id = true,
            Term::Grains(_) | Term::Network(_) => uses.grains = true,
            Term::Pillar(_) => uses.pillar = true,
            Term::Record(_) => uses.record = true,
        }
    }
}
