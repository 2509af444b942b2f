//! Rights of those whose orders wait: what was allowed when a job was submitted may not be when its
//! turn comes, a week or a restart later.

use brine_pki::ledger::Log;
use brine_protocol::MinionId;
use brine_protocol::job::{Ending, Job};

use super::Engine;
use super::handing::is_held_back;

impl<L: Log> Engine<L> {
    /// Ends an order that was held back if its principal may not give it any more: to be asked before
    /// it is handed out for the first time. What was handed out may have run, and goes on.
    pub(super) fn refuse_outlived(&mut self, job: &Job, id: &MinionId) -> bool {
        let waits = self.open.get(&job.jid).and_then(|open| open.minions.get(id));
        if !is_held_back(job) || waits.is_none_or(|waits| waits.handed) {
            return false;
        }
        let Some(why) = self.outlived(job, id) else { return false };
        self.end(job.jid, id, Ending::Refused { why });
        true
    }

    fn outlived(&self, job: &Job, id: &MinionId) -> Option<String> {
        let (roles, own_uid) = self.roles.as_ref()?;
        let Some(by) = roles.named(&job.principal, *own_uid) else {
            return Some(format!("{} has no role on this master any more", job.principal));
        };
        if let Err(problem) = by.may_run(&job.calls, [id]) {
            return Some(problem.detail);
        }
        (!self.sees_minion(&by, id)).then(|| format!("{id} is of none of the zones of {by} any more"))
    }
}
