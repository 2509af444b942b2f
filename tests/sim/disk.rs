//! The disks. What was flushed survives everything, of what was not a beginning may.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use brine_master::store::{Facts, OpenJob, Record, Row};
use brine_minion::book::{Book, Entry, Stage};
use brine_pki::ledger::{Draft, Entry as Line, Hash, LedgerError, Log, MemoryLedger};
use brine_protocol::job::{Ending, Job};
use brine_protocol::time::Timestamp;
use brine_protocol::{Jid, MinionId};

use crate::dice::Dice;

/// The master's store, with the rules of `master/src/store/bucket.rs`.
#[derive(Debug, Clone, Default)]
pub struct Store {
    /// Jobs.
    pub jobs: BTreeMap<Jid, Arc<Job>>,
    /// Jobs that are open for somebody.
    pub open: BTreeSet<Jid>,
    /// Final states.
    pub rows: BTreeMap<(Jid, MinionId), Row>,
    /// Reports that came later.
    pub late: BTreeMap<(Jid, MinionId), Vec<Ending>>,
    /// Reports of jobs that are not known.
    pub orphans: BTreeMap<(MinionId, Jid), Ending>,
    handed: BTreeSet<(Jid, MinionId)>,
    cancelled: BTreeMap<Jid, String>,
    /// What is known of minions.
    pub facts: BTreeMap<MinionId, Facts>,
    /// Idempotency keys.
    pub idempotency: BTreeMap<String, ([u8; 32], Jid)>,
    ceiling: Timestamp,
}

/// Late reports kept of one row.
const LATE_MAX: usize = 8;

impl Store {
    /// Writes a batch as the store does: ceilings, then jobs, then facts, each of them whole. With
    /// `steps` below 3 the power goes in between.
    pub fn commit(&mut self, records: &[Record], steps: usize) {
        for record in records.iter().filter(|record| step(record) < steps) {
            self.write(record);
        }
    }

    fn write(&mut self, record: &Record) {
        match record {
            Record::Job(job) => {
                self.open.insert(job.jid);
                self.jobs.insert(job.jid, Arc::clone(job));
            }
            Record::Row { jid, id, row } => {
                self.rows.insert((*jid, id.clone()), (**row).clone());
            }
            Record::Report { jid, id, row } => match self.rows.get(&(*jid, id.clone())) {
                Some(known) if known.ending == row.ending => {}
                Some(_) => {
                    let late = self.late.entry((*jid, id.clone())).or_default();
                    if !late.contains(&row.ending) && late.len() < LATE_MAX {
                        late.push(row.ending.clone());
                    }
                }
                None => {
                    self.orphans.insert((id.clone(), *jid), row.ending.clone());
                }
            },
            Record::Handed { jid, id } => drop(self.handed.insert((*jid, id.clone()))),
            Record::Cancelled { jid, by } => drop(self.cancelled.insert(*jid, by.clone())),
            Record::Closed(jid) => {
                self.open.remove(jid);
                self.cancelled.remove(jid);
            }
            Record::Idempotency { key, digest, jid } => {
                self.idempotency.insert(key.clone(), (*digest, *jid));
            }
            Record::Facts(id, facts) => drop(self.facts.insert(id.clone(), (**facts).clone())),
            Record::Seen(id, at) => {
                if let Some(facts) = self.facts.get_mut(id) {
                    facts.last_seen = facts.last_seen.max(*at);
                }
            }
            Record::Forget(id) => drop(self.facts.remove(id)),
            Record::Ceiling(at) => self.ceiling = self.ceiling.max(*at),
            Record::Event(_) => {}
        }
    }

    /// No jid up to this time may be handed out again.
    pub fn last_jid(&self) -> Timestamp {
        self.jobs.keys().next_back().map_or(self.ceiling, |jid| jid.time().max(self.ceiling))
    }

    /// The jobs that are open.
    pub fn open_jobs(&self) -> Vec<OpenJob> {
        let of = |set: &mut dyn Iterator<Item = &(Jid, MinionId)>, jid: Jid| {
            set.filter(|(its, _)| *its == jid).map(|(_, id)| id.clone()).collect()
        };
        let had_turn = |name: &(Jid, MinionId), jid: Jid| name.0 == jid && self.handed.contains(name);
        let waits = |jid: &Jid| self.jobs[jid].batch.as_ref().is_some_and(|batch| batch.wait_ms > 0);
        let ended = |jid: Jid| self.rows.iter().filter(move |(name, _)| had_turn(name, jid));
        let job = |jid: &Jid| OpenJob {
            rests: ended(*jid).filter(|_| waits(jid)).map(|(_, row)| row.at).collect(),
            job: Arc::clone(&self.jobs[jid]),
            ended: of(&mut self.rows.keys(), *jid),
            handed: of(&mut self.handed.iter(), *jid),
            cancelled_by: self.cancelled.get(jid).cloned(),
        };
        self.open.iter().map(job).collect()
    }

    /// Whether a minion's report is there: as the final state, beside it, or as an orphan.
    pub fn has_report(&self, jid: Jid, id: &MinionId, ending: &Ending) -> bool {
        let name = (jid, id.clone());
        self.rows.get(&name).is_some_and(|row| row.ending == *ending)
            || self.late.get(&name).is_some_and(|late| late.contains(ending) || late.len() == LATE_MAX)
            || self.orphans.get(&(id.clone(), jid)).is_some_and(|orphan| orphan == ending)
    }
}

/// In which step of a commit a record is written.
pub fn step(record: &Record) -> usize {
    match record {
        Record::Ceiling(_) => 0,
        Record::Facts(..) | Record::Seen(..) | Record::Forget(_) => 2,
        _ => 1,
    }
}

/// A minion's journal.
#[derive(Debug, Default)]
pub struct Journal {
    durable: Vec<Entry>,
    /// Written, and not flushed: nothing is promised on it.
    cached: Vec<Entry>,
}

/// How a journal is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// It is gone.
    Removed,
    /// It is damaged: its returns can be read.
    Damaged,
}

impl Journal {
    /// Appends; if one of the entries is a promise, everything is flushed.
    pub fn append(&mut self, entries: &[Entry]) {
        self.cached.extend_from_slice(entries);
        if entries.iter().any(Entry::is_promise) {
            self.durable.append(&mut self.cached);
        }
    }

    /// Writes it anew when it is long.
    pub fn compact(&mut self, book: &Book) {
        if self.durable.len() > 60 {
            self.durable = book.entries();
            self.cached.clear();
        }
    }

    /// The process ends, or the power: of what was being written a beginning stays.
    pub fn crash(&mut self, writing: &[Entry], is_power: bool, dice: &mut Dice) -> usize {
        if is_power {
            self.cached.truncate(dice.below(self.cached.len() + 1));
        }
        let kept = dice.below(writing.len() + 1);
        self.durable.append(&mut self.cached);
        self.durable.extend_from_slice(&writing[..kept]);
        kept
    }

    /// Breaks what this disk is for.
    pub fn forget_last(&mut self) {
        if self.durable.len() > 1 {
            self.durable.pop();
        }
    }

    /// The journal is lost.
    pub fn lose(&mut self, how: Loss) {
        let old = std::mem::take(&mut self.durable);
        self.cached.clear();
        if how == Loss::Removed {
            return;
        }
        // Begun under an id that is none; the next start gives it one.
        for (_, held) in fold(&old).jobs() {
            if let Stage::Ended(returned) = &held.stage {
                self.durable.push(Entry::End { returned: returned.clone(), foreign: true });
            }
        }
    }

    /// Reads it, and begins it with this id if it has none.
    pub fn open(&mut self, fresh: &str) -> Book {
        if !matches!(self.durable.first(), Some(Entry::Journal { .. })) {
            self.durable.insert(0, Entry::Journal { version: 1, id: fresh.to_owned() });
        }
        fold(&self.durable)
    }
}

fn fold(entries: &[Entry]) -> Book {
    let mut book = Book::new(String::new());
    entries.iter().for_each(|entry| book.apply(entry));
    book
}

/// What the ledger's file holds.
#[derive(Debug, Default)]
pub struct Lines {
    ledger: MemoryLedger,
    /// Every line.
    pub all: Vec<Line>,
    /// Whether the disk refuses.
    pub is_failing: bool,
}

/// The ledger: survives everything, and now and then refuses.
#[derive(Debug, Clone, Default)]
pub struct Ledger(pub Rc<RefCell<Lines>>);

impl Log for Ledger {
    fn append_all(&mut self, drafts: Vec<Draft>, at: Timestamp) -> Result<Vec<Line>, LedgerError> {
        let mut lines = self.0.borrow_mut();
        if lines.is_failing {
            let reason = io::Error::from(io::ErrorKind::StorageFull);
            return Err(LedgerError::Append { path: "ledger".into(), reason });
        }
        let entries = lines.ledger.append_all(drafts, at)?;
        lines.all.extend(entries.iter().cloned());
        Ok(entries)
    }

    fn entries(&self) -> Result<Vec<Line>, LedgerError> {
        self.0.borrow().ledger.entries()
    }

    fn head(&self) -> Hash {
        self.0.borrow().ledger.head()
    }
}
