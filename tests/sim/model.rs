//! What has to hold, written down a second time and much simpler: a list of what was seen, and
//! rules over it. It knows no engine; it sees what was flushed, sent, run and answered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use brine_master::store::Record;
use brine_pki::ledger::{Deed, Entry as Line};
use brine_protocol::control::Act;
use brine_protocol::job::{Ending, Job};
use brine_protocol::message::is_repeatable;
use brine_protocol::{Fingerprint, Jid, MinionId};

use crate::clocks::Clocks;
use crate::disk::Store;

/// The promises, by the number they have in the failure.
pub const RULES: [&str; 12] = [
    "the simulation itself",
    "one final state for each job and minion, and it never changes",
    "what may not run twice runs at most once",
    "a return that was journaled is the final state or stands beside it, and what never ran never ran",
    "nobody runs what was not sealed for an accepted key of the job's minions",
    "what was acknowledged is in the store",
    "in the end every job has ended for everybody, and nobody remembers it as open",
    "every answered jid is in the store",
    "memory stays within its limits",
    "the channel refuses what was forged",
    "jids ascend, and orders are good and given up by a clock that nobody sets",
    "detached work that nobody disturbs ends as it ends, whatever becomes of the minion",
];

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Which of [`RULES`].
    pub rule: usize,
    /// How.
    pub how: String,
}

type Name = (Jid, MinionId);

/// The key that holds an id, by the decision that accepted it.
#[derive(Debug)]
struct Holder {
    key: Fingerprint,
    generation: u64,
    is_suspended: bool,
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Model {
    /// The first promise that was broken.
    pub broken: Option<Broken>,
    jobs: BTreeMap<Jid, Arc<Job>>,
    ended: BTreeMap<Name, Ending>,
    answered: BTreeSet<Jid>,
    by_idempotency: BTreeMap<String, Jid>,
    holders: BTreeMap<MinionId, Holder>,
    sealed: BTreeSet<Name>,
    runs: BTreeMap<Name, u32>,
    journaled: BTreeMap<Name, Ending>,
    /// Reports under way to the store, in the order in which they are acknowledged.
    reported: BTreeMap<(MinionId, u64), VecDeque<(Jid, Ending)>>,
    acknowledged: Vec<(Name, Ending)>,
    /// How detached work will end, if nobody disturbs it.
    detached: BTreeMap<Name, Ending>,
    /// What clocks have no say in.
    pub clocks: Clocks,
}

fn never_ran(ending: &Ending) -> bool {
    matches!(ending, Ending::Offline { .. } | Ending::Expired | Ending::Refused { .. })
}

fn is_harmless(job: &Job) -> bool {
    job.calls.iter().all(|call| is_repeatable(&call.function))
}

impl Model {
    /// A promise is broken. The first one counts.
    pub fn broke(&mut self, rule: usize, how: String) {
        self.broken.get_or_insert(Broken { rule, how });
    }

    /// How often something was run.
    pub fn runs(&self) -> u64 {
        self.runs.values().map(|count| u64::from(*count)).sum()
    }

    /// A line was written into the ledger.
    pub fn on_decided(&mut self, line: &Line) {
        match &line.deed {
            Deed::Key { act: Act::Accept, id, fingerprint, .. } => {
                let holder = Holder { key: *fingerprint, generation: line.seq, is_suspended: false };
                self.holders.insert(id.clone(), holder);
            }
            Deed::Key { act, id, fingerprint, .. } => {
                let Some(holder) = self.holders.get_mut(id).filter(|holder| holder.key == *fingerprint)
                else {
                    return;
                };
                match act {
                    Act::Suspend => holder.is_suspended = true,
                    Act::Resume => holder.is_suspended = false,
                    Act::Delete | Act::Reject | Act::Accept => drop(self.holders.remove(id)),
                }
            }
            Deed::Rotate { id, fingerprint, .. } => {
                if let Some(holder) = self.holders.get_mut(id) {
                    holder.key = *fingerprint;
                }
            }
            _ => {}
        }
    }

    /// The key that holds an id, and whether it is suspended.
    pub fn holder(&self, id: &MinionId) -> Option<(Fingerprint, bool)> {
        self.holders.get(id).map(|holder| (holder.key, holder.is_suspended))
    }

    /// Whether a minion's orders may go out now.
    fn is_accepted(&self, id: &MinionId, generation: u64) -> bool {
        let fits = |holder: &Holder| holder.generation == generation && !holder.is_suspended;
        self.holders.get(id).is_some_and(fits)
    }

    /// A record is on disk.
    pub fn on_flushed(&mut self, record: &Record) {
        match record {
            Record::Job(job) => {
                if let Err(how) = self.clocks.on_stored(job) {
                    self.broke(10, how);
                }
                let first = self.jobs.insert(job.jid, Arc::clone(job));
                if let Some(first) = first {
                    self.broke(1, format!("job {} was made twice", first.jid));
                }
            }
            Record::Row { jid, id, row } => {
                let name = (*jid, id.clone());
                let job = self.jobs.get(jid).filter(|job| job.minions.iter().any(|(its, _)| its == id));
                let Some(is_harmless) = job.map(|job| is_harmless(job)) else {
                    return self.broke(1, format!("{jid} ends for {id}, for whom it is not"));
                };
                // What may run twice may run, lose its answer, and be refused or late the second time: these
                // endings say so of functions that may not.
                if never_ran(&row.ending) && !is_harmless && self.runs.contains_key(&name) {
                    self.broke(3, format!("{jid} ends {} on {id}, where it ran", row.ending.name()));
                }
                if let Some(first) = self.ended.insert(name, row.ending.clone()) {
                    let (first, second) = (first.name(), row.ending.name());
                    self.broke(1, format!("{jid} ended {first} on {id}, and then {second}"));
                }
            }
            _ => {}
        }
    }

    /// An order left for a minion, sealed in its session.
    pub fn on_sealed(&mut self, jid: Jid, id: &MinionId, is_flushed: bool) {
        let generation = self
            .jobs
            .get(&jid)
            .and_then(|job| job.minions.iter().find(|(its, _)| its == id))
            .map(|its| its.1);
        if !is_flushed {
            return self.broke(7, format!("{jid} was sent to {id} before it was on disk"));
        }
        if generation.is_some_and(|generation| self.is_accepted(id, generation)) {
            self.sealed.insert((jid, id.clone()));
        } else {
            self.broke(4, format!("{jid} was sealed for {id}, which is not meant, or was not accepted then"));
        }
    }

    /// A broadcast is sealed: for every accepted minion of the job.
    pub fn on_broadcast_sealed(&mut self, job: &Job) {
        for (id, generation) in &job.minions {
            if self.is_accepted(id, *generation) {
                self.sealed.insert((job.jid, id.clone()));
            }
        }
    }

    /// A minion starts a job.
    pub fn on_run(&mut self, jid: Jid, id: &MinionId) {
        let name = (jid, id.clone());
        let Some(job) = self.jobs.get(&jid).cloned() else {
            return self.broke(7, format!("{id} runs {jid}, which is not on disk"));
        };
        if !self.sealed.contains(&name) {
            self.broke(4, format!("{id} runs {jid}, which was not sealed for it"));
        }
        if self.ended.get(&name).is_some_and(never_ran) {
            self.broke(3, format!("{id} runs {jid}, which has ended {} there", self.ended[&name].name()));
        }
        let runs = self.runs.entry(name).or_default();
        *runs += 1;
        let runs = *runs;
        if runs > 1 && !is_harmless(&job) {
            self.broke(2, format!("{id} runs {jid} ({}) for the {runs}. time", job.functions()));
        }
    }

    /// Detached work begins.
    pub fn on_begun(&mut self, jid: Jid, id: &MinionId, ending: &Ending) {
        self.detached.insert((jid, id.clone()), ending.clone());
    }

    /// Detached work is killed: this job's, or all that a machine has.
    pub fn on_disturbed(&mut self, id: &MinionId, jid: Option<Jid>) {
        self.detached.retain(|(its, name), _| name != id || jid.is_some_and(|jid| jid != *its));
    }

    /// A minion's journal has a return.
    pub fn on_journaled(&mut self, jid: Jid, id: &MinionId, ending: &Ending) {
        if let Some(due) = self.detached.remove(&(jid, id.clone())).filter(|due| due != ending) {
            self.broke(11, format!("{jid} ends {} on {id}, its work ended {}", ending.name(), due.name()));
        }
        let first = self.journaled.entry((jid, id.clone())).or_insert_with(|| ending.clone());
        if first != ending {
            let how = format!("{id} journaled {jid} as {}, and then as {}", first.name(), ending.name());
            self.broke(3, how);
        }
    }

    /// A minion's journal is gone, and all that only it knew.
    pub fn on_journal_removed(&mut self, id: &MinionId) {
        self.journaled.retain(|(_, its), _| its != id);
    }

    /// A minion's report has reached the engine.
    pub fn on_reported(&mut self, jid: Jid, id: &MinionId, number: u64, ending: &Ending) {
        self.reported.entry((id.clone(), number)).or_default().push_back((jid, ending.clone()));
    }

    /// The master tells a minion that a number is stored.
    pub fn on_acknowledged(&mut self, id: &MinionId, number: u64, store: &Store) {
        let of_number = self.reported.get_mut(&(id.clone(), number));
        let Some((jid, ending)) = of_number.and_then(VecDeque::pop_front) else {
            return self.broke(5, format!("number {number} was acknowledged to {id}, who reported nothing"));
        };
        if store.has_report(jid, id, &ending) {
            self.acknowledged.push(((jid, id.clone()), ending));
        } else {
            self.broke(5, format!("{jid} of {id} was acknowledged before it was stored"));
        }
    }

    /// An operator is told the jid of a job.
    pub fn on_answered(&mut self, jid: Jid, idempotency: Option<&String>, store: &Store) {
        self.answered.insert(jid);
        if !store.jobs.contains_key(&jid) {
            self.broke(7, format!("{jid} was answered and is not on disk"));
        }
        if let Some(key) = idempotency {
            let first = *self.by_idempotency.entry(key.clone()).or_insert(jid);
            if first != jid {
                self.broke(7, format!("key {key} made {first}, and then {jid}"));
            }
        }
    }

    /// The master's process has ended: what was under way is gone.
    pub fn on_master_gone(&mut self) {
        self.reported.clear();
    }

    /// What was promised, against what is on disk.
    pub fn check_store(&mut self, store: &Store) {
        for jid in &self.answered {
            if !store.jobs.contains_key(jid) {
                return self.broke(7, format!("{jid} was answered, and is no longer on disk"));
            }
        }
        for ((jid, id), ending) in &self.ended {
            let found = store.rows.get(&(*jid, id.clone())).map(|row| &row.ending);
            if found != Some(ending) {
                let found = found.map_or("nothing", Ending::name);
                return self.broke(1, format!("{jid} ended {} on {id}, now it is {found}", ending.name()));
            }
        }
        for ((jid, id), ending) in &self.acknowledged {
            if !store.has_report(*jid, id, ending) {
                let how = format!("{jid} of {id} ({}) was acknowledged, and is gone", ending.name());
                return self.broke(5, how);
            }
        }
    }

    /// All is well again, and time has passed.
    pub fn check_end(&mut self, store: &Store) {
        self.check_store(store);
        for (jid, job) in &store.jobs {
            for (id, _) in &job.minions {
                if !store.rows.contains_key(&(*jid, id.clone())) {
                    return self.broke(6, format!("{jid} ({}) has not ended for {id}", job.functions()));
                }
            }
        }
        if let Some(jid) = store.open.first() {
            return self.broke(6, format!("{jid} is still open in the store"));
        }
        for ((jid, id), ending) in &self.journaled {
            let name = (*jid, id.clone());
            let is_stored = store.rows.get(&name).is_some_and(|row| row.ending == *ending)
                || store.late.get(&name).is_some_and(|late| late.contains(ending));
            if !is_stored {
                let state = store.rows.get(&name).map_or("open", |row| row.ending.name());
                let is_orphan = store.orphans.contains_key(&(id.clone(), *jid));
                let how = format!(
                    "{jid} ended {} on {id}, in its journal, and {state} in the store (an orphan: {is_orphan})",
                    ending.name()
                );
                return self.broke(3, how);
            }
        }
    }
}
