//! Detached jobs that an earlier run of this minion started.

use std::collections::BTreeSet;

use brine_protocol::Jid;
use brine_protocol::job::Call;

use super::{Engine, Output, Running};
use crate::book::{Process, Stage};
use crate::functions::is_detachable;

/// What there is to do for a detached job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DetachedStep {
    /// Its supervisor is in the journal: tell it what to run.
    Proceed,
    /// An earlier run of this minion started it: watch it.
    Resume {
        /// Its functions, joined by commas.
        functions: String,
        /// Its supervisor.
        process: Option<Process>,
    },
    /// Its end is in the journal: remove its files.
    Forget,
}

impl Engine {
    /// Has those watched that go on.
    pub(super) fn resume(&mut self, going_on: &BTreeSet<Jid>) {
        for &jid in going_on {
            let Some(held) = self.book.job(jid) else { continue };
            let Stage::Open { processes, .. } = &held.stage else { continue };
            let (functions, process) = (held.functions.clone(), processes.first().copied());
            let running = Running {
                number: held.number,
                functions: functions.clone(),
                is_fleeting: false,
                is_privileged: false,
            };
            self.running.insert(jid, running);
            self.put(Output::Detached { jid, step: DetachedStep::Resume { functions, process } });
        }
    }
}

/// Why these calls cannot go on without the minion.
pub(super) fn objection(calls: &[Call]) -> Option<String> {
    let stays = calls.iter().find(|call| !is_detachable(&call.function))?;
    let function = &stays.function;
    Some(format!("{function} cannot be detached: only cmd.* and custom modules can go on without the minion"))
}
