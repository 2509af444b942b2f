//! What the journal says, folded: which orders were taken, which are open, which returns wait.
//!
//! ```text
//! (unknown) --Open--> open --End--> ended --Stored--> taken --floor passes--> (forgotten)
//!     '-----------------End-----------^   an order that was refused ends at once
//! ```
//! Pure: the engine applies an entry at the moment it orders it to be written, and the journal
//! applies the same entries when it is read again.
//!
//! Numbers belong to one store of the master. When the master names another store, what is held
//! for the old one is *foreign*: its returns are still delivered, its numbers mean nothing.

use std::collections::BTreeMap;

use brine_protocol::Jid;
use brine_protocol::message::Return;
use serde::{Deserialize, Serialize};

/// One line of the journal. Tags and fields are frozen: readers of a later version read them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum Entry {
    /// The first line: which journal this is.
    Journal {
        /// The format's version, 1.
        version: u8,
        /// Random id, told to the master at each session start.
        id: String,
    },
    /// Numbers from here on belong to this store.
    Store {
        /// The store's random id.
        id: String,
    },
    /// An order is taken and will run.
    Open {
        /// Its delivery number.
        number: u64,
        /// The job.
        jid: Jid,
        /// The functions, for its return.
        functions: String,
        /// SHA-256 of calls and target, in hex.
        digest: String,
        /// For an order to reboot, or one that is detached: the id of the boot it was taken in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        boot: Option<String>,
        /// Whether it outlives this minion: then the first process is that of its supervisor.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        detached: bool,
    },
    /// A process of a job was started.
    Pid {
        /// The job.
        jid: Jid,
        /// The process, which leads its group.
        pid: u32,
        /// When it was started, in clock ticks since boot.
        start: Option<u64>,
    },
    /// A job ended, and its return waits to be stored by the master.
    End {
        /// What the master will be told.
        #[serde(rename = "return")]
        returned: Box<Return>,
        /// Whether its number belongs to an earlier store.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        foreign: bool,
    },
    /// The master has these returns on disk, and will not send a number below the floor again.
    Stored {
        /// The numbers.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        numbers: Vec<u64>,
        /// The floor.
        floor: u64,
    },
}

impl Entry {
    /// Whether something is promised on it. A process does not survive a power cut, so its number
    /// need not either; and a return that is forgotten to be stored is only sent once more.
    #[must_use]
    pub fn is_promise(&self) -> bool {
        !matches!(self, Entry::Pid { .. } | Entry::Stored { .. })
    }
}

/// The version in [`Entry::Journal`].
pub const VERSION: u8 = 1;

/// What an open order costs on disk, roughly, in bytes: its own lines.
const OPEN_BYTES: u64 = 320;

/// A process that a job started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Its number, and its group's.
    pub pid: u32,
    /// When it was started, in clock ticks since boot.
    pub start: Option<u64>,
}

/// How far a held job is.
#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    /// Taken, not ended.
    Open {
        /// SHA-256 of what it was ordered to do, in hex.
        digest: String,
        /// For an order to reboot, or one that is detached: the id of the boot it was taken in.
        boot: Option<String>,
        /// Whether it outlives this minion: then the first process is that of its supervisor.
        is_detached: bool,
        /// Every process it was seen to start.
        processes: Vec<Process>,
    },
    /// Ended, with what the master will be told.
    Ended(Box<Return>),
}

/// A job that is held until the master has its return.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// Its delivery number.
    pub number: u64,
    /// Its functions, joined by commas.
    pub functions: String,
    /// How far it is.
    pub stage: Stage,
    /// Whether its number belongs to an earlier store.
    pub is_foreign: bool,
    bytes: u64,
}

/// How many processes of one open job are remembered; further ones are found by their marker.
const PROCESSES_MAX: usize = 16;

/// The fold of a journal.
#[derive(Debug, Clone, PartialEq)]
pub struct Book {
    id: String,
    store: Option<String>,
    floor: u64,
    /// Every number of the present store that must not be taken again.
    taken: BTreeMap<u64, Jid>,
    held: BTreeMap<Jid, Held>,
    bytes: u64,
}

impl Book {
    /// The book of an empty journal with this id.
    #[must_use]
    pub fn new(id: String) -> Self {
        Self { id, store: None, floor: 0, taken: BTreeMap::new(), held: BTreeMap::new(), bytes: 0 }
    }

    /// The journal's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The store whose numbers are known here.
    #[must_use]
    pub fn store(&self) -> Option<&str> {
        self.store.as_deref()
    }

    /// The floor, below which the store sends no number again.
    #[must_use]
    pub fn floor(&self) -> u64 {
        self.floor
    }

    /// Whether this number of the present store was taken, or can no longer come.
    #[must_use]
    pub fn is_taken(&self, number: u64) -> bool {
        number < self.floor || self.taken.contains_key(&number)
    }

    /// A held job.
    #[must_use]
    pub fn job(&self, jid: Jid) -> Option<&Held> {
        self.held.get(&jid)
    }

    /// All held jobs, by jid.
    pub fn jobs(&self) -> impl Iterator<Item = (Jid, &Held)> {
        self.held.iter().map(|(jid, held)| (*jid, held))
    }

    /// Numbers of the present store that are held, for the session's start.
    #[must_use]
    pub fn open_numbers(&self) -> Vec<u64> {
        let mut numbers: Vec<u64> =
            self.held.values().filter(|held| !held.is_foreign).map(|held| held.number).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Roughly what the held jobs take on disk, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The jobs that the master means by `numbers`, which it has stored.
    ///
    /// A number may be that of a foreign return and of one of ours; then the foreign one is meant
    /// first. Should that be wrong, ours is sent once more and stored once more; the other way
    /// round a return would be lost.
    #[must_use]
    pub fn stored_jobs(&self, numbers: &[u64]) -> Vec<Jid> {
        let foreign = |number: u64| {
            self.held.iter().find(|(_, held)| held.is_foreign && held.number == number && held.is_ended())
        };
        let has_foreign = self.held.values().any(|held| held.is_foreign);
        numbers
            .iter()
            .filter_map(|number| {
                let of_old = if has_foreign { foreign(*number).map(|(jid, _)| *jid) } else { None };
                let of_ours = || {
                    self.taken
                        .get(number)
                        .copied()
                        .filter(|jid| self.held.get(jid).is_some_and(Held::is_ended))
                };
                of_old.or_else(of_ours)
            })
            .collect()
    }

    /// Takes an entry into account.
    pub fn apply(&mut self, entry: &Entry) {
        match entry {
            Entry::Journal { id, .. } => self.id.clone_from(id),
            Entry::Store { id } => {
                if self.store.as_ref() != Some(id) {
                    for held in self.held.values_mut() {
                        held.is_foreign = true;
                    }
                    self.taken.clear();
                    self.floor = 0;
                    self.store = Some(id.clone());
                }
            }
            Entry::Open { number, jid, functions, digest, boot, detached } => {
                self.taken.insert(*number, *jid);
                let stage = Stage::Open {
                    digest: digest.clone(),
                    boot: boot.clone(),
                    is_detached: *detached,
                    processes: Vec::new(),
                };
                self.hold(*jid, *number, functions.clone(), stage, false, OPEN_BYTES);
            }
            Entry::Pid { jid, pid, start } => {
                if let Some(Held { stage: Stage::Open { processes, .. }, .. }) = self.held.get_mut(jid)
                    && processes.len() < PROCESSES_MAX
                {
                    processes.push(Process { pid: *pid, start: *start });
                }
            }
            Entry::End { returned, foreign } => {
                let is_foreign = *foreign || self.held.get(&returned.jid).is_some_and(|held| held.is_foreign);
                if !is_foreign {
                    self.taken.insert(returned.number, returned.jid);
                }
                let bytes = serde_json::to_vec(returned).map_or(0, |json| json.len() as u64) + OPEN_BYTES;
                let functions = returned.functions.clone();
                self.hold(
                    returned.jid,
                    returned.number,
                    functions,
                    Stage::Ended(returned.clone()),
                    is_foreign,
                    bytes,
                );
            }
            Entry::Stored { numbers, floor } => {
                for jid in self.stored_jobs(numbers) {
                    if let Some(held) = self.held.remove(&jid) {
                        self.bytes -= held.bytes;
                    }
                }
                // The floor rises over a number that is still held only if the master settled it
                // otherwise; then the number stays known until its return is stored.
                self.floor = self.floor.max(*floor);
                let (floor, held) = (self.floor, &self.held);
                self.taken.retain(|number, jid| *number >= floor || held.contains_key(jid));
                for number in numbers.iter().filter(|number| **number >= floor) {
                    if !self.taken.contains_key(number) {
                        self.taken.insert(*number, NO_JOB.parse().expect("twenty digits of a time"));
                    }
                }
            }
        }
    }

    fn hold(&mut self, jid: Jid, number: u64, functions: String, stage: Stage, is_foreign: bool, bytes: u64) {
        self.bytes += bytes;
        if let Some(old) = self.held.insert(jid, Held { number, functions, stage, is_foreign, bytes }) {
            self.bytes -= old.bytes;
        }
    }

    /// The fewest entries that fold to this book again.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries = vec![Entry::Journal { version: VERSION, id: self.id.clone() }];
        // Foreign ones first: naming the store makes foreign what stands before it.
        for is_foreign in [true, false] {
            if !is_foreign && let Some(store) = &self.store {
                entries.push(Entry::Store { id: store.clone() });
            }
            for (jid, held) in self.held.iter().filter(|(_, held)| held.is_foreign == is_foreign) {
                entries.extend(held.entries(*jid));
            }
        }
        let numbers: Vec<u64> = self
            .taken
            .iter()
            .filter(|(_, jid)| !self.held.contains_key(jid))
            .map(|(number, _)| *number)
            .collect();
        if !numbers.is_empty() || self.floor > 0 {
            entries.push(Entry::Stored { numbers, floor: self.floor });
        }
        entries
    }
}

/// Stands for the job of a number whose job is no longer held.
const NO_JOB: &str = "19700101000000000000";

impl Held {
    /// Whether the job goes on without this minion.
    #[must_use]
    pub fn is_detached(&self) -> bool {
        matches!(self.stage, Stage::Open { is_detached: true, .. })
    }

    /// Whether the job has ended.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        matches!(self.stage, Stage::Ended(_))
    }

    fn entries(&self, jid: Jid) -> Vec<Entry> {
        match &self.stage {
            Stage::Ended(returned) => {
                vec![Entry::End { returned: returned.clone(), foreign: self.is_foreign }]
            }
            Stage::Open { digest, boot, is_detached: detached, processes } => {
                let (functions, digest, boot) = (self.functions.clone(), digest.clone(), boot.clone());
                let (number, detached) = (self.number, *detached);
                let open = Entry::Open { number, jid, functions, digest, boot, detached };
                let pids = processes.iter().map(|p| Entry::Pid { jid, pid: p.pid, start: p.start });
                std::iter::once(open).chain(pids).collect()
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use brine_protocol::job::Ending;

    use super::*;

    pub(crate) fn jid(n: u64) -> Jid {
        format!("202611220607321{n:05}").parse().unwrap()
    }

    pub(crate) fn end(number: u64) -> Entry {
        let ending = Ending::Failed { why: "x".repeat(10) };
        let returned = Return { jid: jid(number), number, functions: "cmd.run".into(), ending };
        Entry::End { returned: Box::new(returned), foreign: false }
    }

    fn open(number: u64) -> Entry {
        opened(number, "cmd.run", None)
    }

    pub(crate) fn opened(number: u64, functions: &str, boot: Option<&str>) -> Entry {
        Entry::Open {
            number,
            jid: jid(number),
            functions: functions.into(),
            digest: format!("d{number}"),
            boot: boot.map(str::to_owned),
            detached: false,
        }
    }

    pub(crate) fn detached(number: u64, boot: &str) -> Entry {
        Entry::Open {
            number,
            jid: jid(number),
            functions: "cmd.run".into(),
            digest: format!("d{number}"),
            boot: Some(boot.into()),
            detached: true,
        }
    }

    fn store(id: &str) -> Entry {
        Entry::Store { id: id.into() }
    }

    fn stored(numbers: &[u64], floor: u64) -> Entry {
        Entry::Stored { numbers: numbers.to_vec(), floor }
    }

    fn fold(entries: &[Entry]) -> Book {
        let mut book = Book::new("j".into());
        for entry in entries {
            book.apply(entry);
        }
        book
    }

    fn taken(book: &Book, upto: u64) -> Vec<u64> {
        (0..upto).filter(|number| book.is_taken(*number)).collect()
    }

    #[test]
    fn a_job_is_held_until_stored_and_its_number_until_the_floor() {
        let mut book = fold(&[store("s"), open(3), open(5), end(3)]);
        assert_eq!(book.open_numbers(), [3, 5]);
        book.apply(&stored(&[3], 0));
        assert_eq!((book.open_numbers(), taken(&book, 9)), (vec![5], vec![3, 5]));
        book.apply(&stored(&[], 4));
        assert_eq!(taken(&book, 9), [0, 1, 2, 3, 5]);
        book.apply(&end(5));
        book.apply(&stored(&[5], 6));
        assert_eq!((book.jobs().count(), book.bytes()), (0, 0));
        assert_eq!(taken(&book, 9), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_running_job_is_not_forgotten_because_its_number_was_stored() {
        // The master may have settled it otherwise; the job still runs, and its end is told.
        let book = fold(&[store("s"), open(3), stored(&[3], 9)]);
        assert_eq!(book.open_numbers(), [3]);
    }

    #[test]
    fn another_store_makes_what_is_held_foreign() {
        let mut book = fold(&[store("old"), open(1), end(1), open(2), stored(&[], 1), store("new")]);
        assert_eq!((book.floor(), taken(&book, 9), book.open_numbers()), (0, vec![], vec![]));
        let two = Return { jid: jid(92), number: 1, functions: "f".into(), ending: Ending::Expired };
        book.apply(&Entry::End { returned: Box::new(two), foreign: false });
        assert_eq!(book.stored_jobs(&[1]), [jid(1)], "the foreign one first");
        book.apply(&stored(&[1], 0));
        assert_eq!(book.stored_jobs(&[1]), [jid(92)]);
        book.apply(&end(2));
        assert!(book.job(jid(2)).unwrap().is_foreign, "it was open when the store changed");
        book.apply(&stored(&[1, 2], 0));
        assert_eq!(book.jobs().count(), 0);
    }

    #[test]
    fn the_fewest_entries_fold_to_the_same() {
        let pid = Entry::Pid { jid: jid(4), pid: 77, start: Some(9) };
        let story = [
            store("old"),
            open(1),
            end(2),
            store("new"),
            opened(4, "system.reboot", Some("b1")),
            pid,
            end(5),
            stored(&[5, 8], 3),
            detached(7, "b1"),
            open(9),
            end(9),
        ];
        for upto in 0..=story.len() {
            let book = fold(&story[..upto]);
            let again = fold(&book.entries());
            assert_eq!(book.entries(), again.entries(), "{upto}");
            assert_eq!(taken(&book, 20), taken(&again, 20), "{upto}");
            assert_eq!(
                (book.bytes(), book.store(), book.floor()),
                (again.bytes(), again.store(), again.floor())
            );
        }
    }
}
