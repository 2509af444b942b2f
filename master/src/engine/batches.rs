//! Batches: whose turn it is, and what comes of an ending.
//!
//! ```text
//! away -session-> ready -turn-> out -ended-> resting -wait_ms-> (a place for the next)
//!   ^ only after a restart         '- with failhard, not well -> nobody else gets a turn
//! ```
//! An order that has had its turn may run from the moment it is handed out, which is on disk before
//! it is sent; what has not been handed out never ran. So a master that is started again goes on
//! where the last one stopped: what was handed out keeps its place until it ends, and rests as long as
//! its row on disk is young. **Invariant:** no more orders than the batch's size are out or resting.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use brine_pki::ledger::Log;
use brine_protocol::batch::Batch;
use brine_protocol::control::{JobRequest, Problem, ProblemKind};
use brine_protocol::job::{Delivery, Ending, Job};
use brine_protocol::time::Timestamp;
use brine_protocol::{Jid, MinionId};

use super::{Engine, Now};

/// The turns of one job.
#[derive(Debug)]
pub(super) struct Turns {
    size: usize,
    wait: Duration,
    is_failhard: bool,
    /// Connected, and without their turn; the next is the first.
    ready: BTreeSet<MinionId>,
    /// Without their turn and, since the master was started, without a session.
    away: BTreeSet<MinionId>,
    /// Whose turn it is.
    out: BTreeSet<MinionId>,
    /// When the places of those that have ended are free again, soonest first.
    resting: VecDeque<Duration>,
    /// Why nobody else gets a turn, if that is so.
    stopped: Option<String>,
}

impl Turns {
    fn new(batch: &Batch, minions: usize) -> Self {
        // Checked when the job was submitted; one at a time is what harms least.
        let size = usize::try_from(batch.size.of(minions)).unwrap_or(1).max(1);
        Self {
            size,
            wait: Duration::from_millis(batch.wait_ms),
            is_failhard: batch.failhard,
            ready: BTreeSet::new(),
            away: BTreeSet::new(),
            out: BTreeSet::new(),
            resting: VecDeque::new(),
            stopped: None,
        }
    }

    /// The minion whose turn comes now, if there is a place for one.
    fn next(&mut self, now: Duration) -> Option<MinionId> {
        while self.resting.front().is_some_and(|until| *until <= now) {
            self.resting.pop_front();
        }
        if self.stopped.is_some() || self.out.len() + self.resting.len() >= self.size {
            return None;
        }
        let id = self.ready.pop_first()?;
        self.out.insert(id.clone());
        Some(id)
    }

    /// Whether the order of a minion that has not ended may be handed to it.
    pub(super) fn is_out(&self, id: &MinionId) -> bool {
        self.out.contains(id)
    }

    /// A minion has ended. Returns when its place is free again if that is later.
    fn ended(&mut self, id: &MinionId, ending: &Ending, now: Duration) -> Option<Duration> {
        self.ready.remove(id);
        self.away.remove(id);
        if !self.out.remove(id) {
            return None;
        }
        // Who went away before it got the order has done nothing wrong.
        let is_well = ending.retcode() == Some(0) || matches!(ending, Ending::Offline { .. });
        if self.is_failhard && !is_well && self.stopped.is_none() {
            self.stopped = Some(format!("failhard: {id} ended with {}", said(ending)));
        }
        if self.wait.is_zero() {
            return None;
        }
        self.resting.push_back(now + self.wait);
        Some(now + self.wait)
    }
}

/// When the places of those that had `ended` are free again, soonest first; not of those that are now. A clock
/// that was set back makes nobody wait longer than the batch does.
fn still_resting(wait: Duration, ended: &[Timestamp], now: Now) -> VecDeque<Duration> {
    let left = |at: &Timestamp| {
        let since = Duration::from_micros(u64::try_from(now.wall.0.saturating_sub(at.0)).unwrap_or(0));
        wait.checked_sub(since).filter(|left| !left.is_zero())
    };
    let mut resting: Vec<Duration> = ended.iter().filter_map(left).map(|left| now.steady + left).collect();
    resting.sort_unstable();
    resting.into()
}

fn said(ending: &Ending) -> String {
    match ending {
        Ending::Returned(returned) => format!("retcode {}", returned.retcode),
        other => format!("state {}", other.name()),
    }
}

/// The batches that something has to be done for.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// At the end of this input.
    now: BTreeSet<Jid>,
    /// When a place is free again.
    later: BTreeSet<(Duration, Jid)>,
}

impl Due {
    /// When the first place is free again.
    pub(super) fn next(&self) -> Option<Duration> {
        self.later.first().map(|(at, _)| *at)
    }
}

/// Refuses a batch that would never run, or for which nobody waits.
pub(super) fn check(request: &JobRequest, minions: usize) -> Result<(), Problem> {
    let Some(batch) = &request.batch else {
        return Ok(());
    };
    let bad = |detail: String| Err(Problem::new(ProblemKind::BadRequest, detail));
    if request.delivery != Delivery::Now {
        return bad("a batch and a queue do not go together: a batch takes the minions that are \
                    connected in turn, and a queued job waits for those that are not"
            .to_owned());
    }
    if batch.size.of(minions) < 1 {
        return bad(format!(
            "a batch of {} of {minions} minions would never run: its size has to be at least 1",
            batch.size
        ));
    }
    Ok(())
}

impl<L: Log> Engine<L> {
    /// The turns of a job that begins: of those that are connected.
    pub(super) fn begin_turns(&mut self, job: &Job) {
        let Some(batch) = &job.batch else {
            return;
        };
        let mut turns = Turns::new(batch, job.minions.len());
        let ids = job.minions.iter().map(|(id, _)| id);
        turns.ready = ids.filter(|id| self.is_connected(id)).cloned().collect();
        self.set_turns(job.jid, turns);
    }

    /// The turns of a job that was open when the last engine stopped: who has the order keeps its
    /// place, and the others are away until they have a session. A place of one that had `ended` not
    /// long ago is free again when it would have been.
    pub(super) fn resume_turns(&mut self, job: &Job, ended: &[Timestamp]) {
        let Some(batch) = &job.batch else {
            return;
        };
        let mut turns = Turns::new(batch, job.minions.len());
        if let Some(open) = self.open.get(&job.jid) {
            for (id, waits) in &open.minions {
                let place = if waits.handed { &mut turns.out } else { &mut turns.away };
                place.insert(id.clone());
            }
        }
        turns.resting = still_resting(turns.wait, ended, self.now);
        self.due.later.extend(turns.resting.iter().map(|until| (*until, job.jid)));
        self.set_turns(job.jid, turns);
    }

    fn set_turns(&mut self, jid: Jid, turns: Turns) {
        if let Some(open) = self.open.get_mut(&jid) {
            open.turns = Some(turns);
            self.due.now.insert(jid);
        }
    }

    /// A minion that was away has a session: its turn may come.
    pub(super) fn ready_for_turn(&mut self, jid: Jid, id: &MinionId) {
        if let Some(turns) = self.open.get_mut(&jid).and_then(|open| open.turns.as_mut())
            && turns.away.remove(id)
        {
            turns.ready.insert(id.clone());
            self.due.now.insert(jid);
        }
    }

    /// A minion has ended in a job that is still open: the next may have its turn.
    pub(super) fn turn_ended(&mut self, jid: Jid, id: &MinionId, ending: &Ending) {
        let now = self.now.steady;
        if let Some(turns) = self.open.get_mut(&jid).and_then(|open| open.turns.as_mut()) {
            if let Some(at) = turns.ended(id, ending, now) {
                self.due.later.insert((at, jid));
            }
            self.due.now.insert(jid);
        }
    }

    /// Gives every turn that has come. At the end of each input, so that what ends because of a
    /// turn never gives the next one from within.
    pub(super) fn give_turns(&mut self) {
        let now = self.now.steady;
        while let Some((at, jid)) = self.due.later.first().copied().filter(|(at, _)| *at <= now) {
            self.due.later.remove(&(at, jid));
            self.due.now.insert(jid);
        }
        while let Some(jid) = self.due.now.pop_first() {
            self.end_stopped(jid);
            self.give_turn(jid);
        }
    }

    fn give_turn(&mut self, jid: Jid) {
        let now = self.now.steady;
        let Some(job) = self.open_job(jid).map(Arc::clone) else {
            return;
        };
        while let Some(open) = self.open.get_mut(&jid).filter(|open| open.cancelled_by.is_none())
            && let Some(id) = open.turns.as_mut().and_then(|turns| turns.next(now))
        {
            // Who has yet to say Start is handed what is open for it then.
            self.hand_one(&job, &id);
        }
    }

    /// After a failure nothing else is handed out.
    fn end_stopped(&mut self, jid: Jid) {
        let Some(open) = self.open.get(&jid) else {
            return;
        };
        let Some(by) = open.turns.as_ref().and_then(|turns| turns.stopped.clone()) else {
            return;
        };
        let held = open.minions.iter().filter(|(_, waits)| !waits.handed);
        let held: Vec<MinionId> = held.map(|(id, _)| id.clone()).collect();
        for id in held {
            self.end(jid, &id, Ending::Cancelled { by: by.clone() });
        }
    }
}
