//! Acts under way, and what became of each of their keys.

use std::collections::BTreeSet;

use brine_protocol::control::KeyState;

use super::ask::{past, verb};
use super::keys::{Keys, Name};
use super::plan::Step;
use crate::text::{capital, counted};

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// Not done; one sentence that says why.
    Refused(String),
    /// The request was on its way when the answer broke off: the next list tells.
    Unknown(String),
}

/// One answer to a question, as it is carried out.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) steps: Vec<Step>,
    pub(crate) is_undo: bool,
    /// What became of the first of them.
    pub(crate) results: Vec<Outcome>,
    /// Keys about which somebody else decided meanwhile.
    pub(crate) overtaken: BTreeSet<Name>,
    /// Whether all was tried, and only the next list can tell what became of some.
    pub(crate) awaits_list: bool,
    pub(crate) is_over: bool,
    /// The first line of the results that is shown.
    pub(crate) top: usize,
}

impl Batch {
    pub(crate) fn new(steps: Vec<Step>, is_undo: bool) -> Self {
        Self {
            steps,
            is_undo,
            results: Vec::new(),
            overtaken: BTreeSet::new(),
            awaits_list: false,
            is_over: false,
            top: 0,
        }
    }

    /// Whether it is worth a window: of a single key the status line tells.
    pub(crate) fn is_bulk(&self) -> bool {
        self.steps.len() > 1
    }

    pub(crate) fn refused(&self) -> usize {
        self.results.iter().filter(|outcome| matches!(outcome, Outcome::Refused(_))).count()
    }

    pub(crate) fn unknown(&self) -> usize {
        self.results.iter().filter(|outcome| matches!(outcome, Outcome::Unknown(_))).count()
    }

    /// Finds out from a list that came later what became of the steps of which it is not known.
    pub(crate) fn resolve(&mut self, keys: &Keys) {
        for (step, outcome) in self.steps.iter().zip(&mut self.results) {
            if let Outcome::Unknown(_) = outcome {
                let now = keys.get(&step.name).map(|row| row.key.state);
                *outcome = if now == step.leaves() {
                    Outcome::Done
                } else {
                    let is = now.map_or("gone", KeyState::name);
                    Outcome::Refused(format!("the answer was lost, and it was not done: it is {is}"))
                };
            }
        }
    }

    /// The steps that were done.
    pub(crate) fn done(&self) -> Vec<Step> {
        let results = self.steps.iter().zip(&self.results);
        results.filter(|(_, outcome)| **outcome == Outcome::Done).map(|(step, _)| step.clone()).collect()
    }

    /// What became of each key: what was not done first, it wants attention.
    pub(crate) fn lines(&self) -> Vec<(&Step, &Outcome)> {
        let all = || self.steps.iter().zip(&self.results);
        let is_done = |(_, outcome): &(&Step, &Outcome)| **outcome == Outcome::Done;
        all().filter(|line| !is_done(line)).chain(all().filter(is_done)).collect()
    }

    /// `Accept 3 keys`.
    pub(crate) fn title(&self) -> String {
        let undo = if self.is_undo { "Undo: " } else { "" };
        let verb = if self.is_undo { verb(&self.steps).to_owned() } else { capital(verb(&self.steps)) };
        format!("{undo}{verb} {}", counted(self.steps.len(), "key"))
    }

    /// How far it is, or how it ended, in one sentence.
    pub(crate) fn sentence(&self) -> String {
        let (refused, unknown) = (self.refused(), self.unknown());
        let done = self.results.len() - refused - unknown;
        let mut sentence = if self.is_over {
            format!("{} {}", counted(done, "key"), past(&self.steps))
        } else {
            format!("{done} of {} {}", self.steps.len(), past(&self.steps))
        };
        if refused > 0 {
            sentence.push_str(&format!(", {refused} refused"));
        }
        if unknown > 0 {
            sentence.push_str(&format!(", {unknown} not known yet"));
        }
        sentence
    }

    pub(crate) fn scroll(&mut self, lines: isize) {
        self.top = self.top.saturating_add_signed(lines).min(self.results.len().saturating_sub(1));
    }
}
