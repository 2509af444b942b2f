//! Acts under way, and what became of each of their keys.

use super::ask::{past, verb};
use super::plan::Step;
use crate::text::{capital, counted};

/// One answer to a question, as it is carried out.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) steps: Vec<Step>,
    pub(crate) is_undo: bool,
    /// What became of the first of them: nothing when it was done, else why it was not.
    pub(crate) results: Vec<Option<String>>,
    pub(crate) is_over: bool,
    /// The first line of the results that is shown.
    pub(crate) top: usize,
}

impl Batch {
    pub(crate) fn new(steps: Vec<Step>, is_undo: bool) -> Self {
        Self { steps, is_undo, results: Vec::new(), is_over: false, top: 0 }
    }

    /// Whether it is worth a window: of a single key the status line tells.
    pub(crate) fn is_bulk(&self) -> bool {
        self.steps.len() > 1
    }

    pub(crate) fn refused(&self) -> usize {
        self.results.iter().flatten().count()
    }

    /// The steps that were done.
    pub(crate) fn done(&self) -> Vec<Step> {
        let results = self.steps.iter().zip(&self.results);
        results.filter(|(_, refused)| refused.is_none()).map(|(step, _)| step.clone()).collect()
    }

    /// What became of each key: what was refused first, it wants attention.
    pub(crate) fn lines(&self) -> Vec<(&Step, Option<&str>)> {
        let all = || self.steps.iter().zip(&self.results).map(|(step, why)| (step, why.as_deref()));
        all().filter(|(_, why)| why.is_some()).chain(all().filter(|(_, why)| why.is_none())).collect()
    }

    /// `Accept 3 keys`.
    pub(crate) fn title(&self) -> String {
        let undo = if self.is_undo { "Undo: " } else { "" };
        let verb = if self.is_undo { verb(&self.steps).to_owned() } else { capital(verb(&self.steps)) };
        format!("{undo}{verb} {}", counted(self.steps.len(), "key"))
    }

    /// How far it is, or how it ended, in one sentence.
    pub(crate) fn sentence(&self) -> String {
        let (done, refused) = (self.results.len() - self.refused(), self.refused());
        let of = self.steps.len();
        match (self.is_over, refused) {
            (false, 0) => format!("{done} of {of} {}", past(&self.steps)),
            (false, _) => format!("{done} of {of} {}, {refused} refused", past(&self.steps)),
            (true, 0) => format!("{} {}", counted(done, "key"), past(&self.steps)),
            (true, _) => format!("{} {}, {refused} refused", counted(done, "key"), past(&self.steps)),
        }
    }

    pub(crate) fn scroll(&mut self, lines: isize) {
        self.top = self.top.saturating_add_signed(lines).min(self.results.len().saturating_sub(1));
    }
}
