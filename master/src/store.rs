//! Jobs, returns and facts on disk: what may be written, and where it is found again.
//!
//! Jobs live in buckets of time, found by the time in their jid: a job and its rows share a bucket,
//! events are in that of their own time, retention drops a bucket whole, and a damaged bucket is set
//! aside while the others go on. A bucket is a database, and a file once it is over. What is known of
//! each minion lives in a database of its own.
//!
//! **Invariants:** one thread writes ([`Store::commit`]); when a commit returns, everything in it
//! survives the death of the process and of the machine. A job's state is derived from its rows;
//! what they come to is stored when no more can follow.

mod bucket;
mod buckets;
mod ceiling;
mod database;
mod guard;
mod layers;
mod list;
mod pack;
mod packed;
mod redo;
mod span;
mod summaries;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

use brine_local::file;
use brine_protocol::control::{Event, JobRow};
use brine_protocol::job::{Ending, Job};
use brine_protocol::time::Timestamp;
use brine_protocol::{Fingerprint, Jid, MinionId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use bucket::Bucket;
use ceiling::Ceiling;
use database::{Database, NOTHING_IS_LOST, open_or_rebuild};
use guard::looked_at;
pub use list::Page;
use redo::Batch;
use span::Span;
use summaries::{Changes, OpenJobs};

/// Something to be written.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A new job.
    Job(Arc<Job>),
    /// A minion's final state in a job that is open for it.
    Row {
        /// The job.
        jid: Jid,
        /// The minion.
        id: MinionId,
        /// The state.
        row: Box<Row>,
    },
    /// A report about a job that is not open for the minion: stored as late, as an orphan, or,
    /// when it is what is stored already, not at all.
    Report {
        /// The job.
        jid: Jid,
        /// The minion.
        id: MinionId,
        /// What it said.
        row: Box<Row>,
    },
    /// An order that was queued, or waited for its turn, is about to be handed to its minion.
    Handed {
        /// The job.
        jid: Jid,
        /// The minion.
        id: MinionId,
    },
    /// Somebody killed the job: minions that come back are told so.
    Cancelled {
        /// The job.
        jid: Jid,
        /// Who.
        by: String,
    },
    /// No minion of this job is open any more.
    Closed(Jid),
    /// A request with this key made this job.
    Idempotency {
        /// The caller and its key.
        key: String,
        /// Digest of the request.
        digest: [u8; 32],
        /// The job it made.
        jid: Jid,
    },
    /// What is known of a minion.
    Facts(MinionId, Box<Facts>),
    /// When it was heard of; nothing else that is known of it has changed.
    Seen(MinionId, Timestamp),
    /// A minion's key is gone, and what was known with it.
    Forget(MinionId),
    /// Something happened.
    Event(Arc<Event>),
    /// Jids up to this time may be handed out.
    Ceiling(Timestamp),
}

/// A stored final state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// How it ended.
    pub ending: Ending,
    /// When that was stored.
    pub at: Timestamp,
}

/// What a master remembers of a minion between its sessions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// The generation of the key it was learnt under.
    pub generation: u64,
    /// The journal that orders were handed to last.
    pub journal: String,
    /// When it was last heard of.
    pub last_seen: Timestamp,
    /// Where from.
    pub address: String,
    /// Brine's version there.
    pub version: String,
    /// Its grains.
    pub grains: Map<String, Value>,
    /// The key that it knows to follow this master's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<Fingerprint>,
}

impl Facts {
    /// Whether they differ only in when the minion was heard of.
    #[must_use]
    pub fn is_but_for_time(&self, other: &Self) -> bool {
        let Self { generation, journal, last_seen: _, address, version, grains, successor } = self;
        *generation == other.generation
            && *journal == other.journal
            && *address == other.address
            && *version == other.version
            && *successor == other.successor
            && *grains == other.grains
    }
}

/// What a key begins with in the database of facts that says when a minion was heard of. No id has a `/`.
const SEEN: &str = "seen/";

/// What went wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database says so.
    #[error("the store at {}: {why}", .path.display())]
    Database {
        /// Where.
        path: PathBuf,
        /// Its words.
        why: String,
    },
    /// A file beside it.
    #[error(transparent)]
    File(#[from] file::FileError),
    /// The disk has too little room to begin writing.
    #[error("the disk under {} has {free} bytes left, writing begins with {room}", .path.display())]
    NoRoom {
        /// Where.
        path: PathBuf,
        /// What is left.
        free: u64,
        /// What there has to be.
        room: u64,
    },
    /// A write failed within the database. It takes no more, ever: only opening it anew helps.
    #[error("the store at {} is broken until it is opened anew: {why}", .path.display())]
    Broken {
        /// Where.
        path: PathBuf,
        /// Its words.
        why: String,
    },
    /// A value in it is none that was written.
    #[error("the store at {}: the value of {key:?} is damaged", .path.display())]
    Value {
        /// Where.
        path: PathBuf,
        /// Which.
        key: String,
    },
}

impl StoreError {
    fn database(path: &Path, why: &impl ToString) -> Self {
        Self::Database { path: path.to_owned(), why: why.to_string() }
    }

    fn broken(path: &Path, why: &impl ToString) -> Self {
        Self::Broken { path: path.to_owned(), why: why.to_string() }
    }
}

/// How the store is to be kept.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// How long jobs are kept.
    pub keep_jobs_seconds: u64,
    /// Memory for caches, in bytes.
    pub cache_bytes: u64,
    /// Orphans kept per minion and bucket.
    pub orphans_per_minion: usize,
    /// Nothing is written while the disk has less room than this. sled does not recover from a
    /// disk that fills up under it: after the error it hangs.
    pub room_min: u64,
}

/// The store.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    id: String,
    options: StoreOptions,
    facts: Database,
    buckets: RwLock<BTreeMap<Span, Arc<Bucket>>>,
    /// Held by whoever retires buckets.
    retiring: Mutex<()>,
    ceiling: Ceiling,
}

/// A job that was open when the store was opened, and who has ended in it.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenJob {
    /// The job.
    pub job: Arc<Job>,
    /// The minions that have ended.
    pub ended: BTreeSet<MinionId>,
    /// The minions that an order was handed to which was queued, or waited for its turn.
    pub handed: BTreeSet<MinionId>,
    /// When those ended that had had their turn, in a batch that waits after each.
    pub rests: Vec<Timestamp>,
    /// Who killed it, if somebody did.
    pub cancelled_by: Option<String>,
}

impl Store {
    /// Opens the store, or makes a new one. The second value has one sentence for everything
    /// that had to be mended or set aside.
    ///
    /// # Errors
    /// The folder or the minions' facts cannot be opened at all.
    pub fn open(
        path: &Path,
        ceiling: &Path,
        options: StoreOptions,
    ) -> Result<(Self, Vec<String>), StoreError> {
        file::create_private_dir(path)?;
        let id = read_or_make_id(&path.join("id"))?;
        let mut warnings = Vec::new();
        let facts_path = path.join("facts");
        let facts = open_facts(&facts_path, options.cache_bytes / 4, &mut warnings)?;
        let mut buckets = BTreeMap::new();
        for span in Span::found_in(path)? {
            let (bucket, said) = Bucket::open(path, span, options.cache_bytes / 4)?;
            warnings.extend(said);
            if let Some(bucket) = bucket {
                buckets.insert(span, Arc::new(bucket));
            }
        }
        let ceiling = Ceiling::open(ceiling)?;
        let (path, buckets) = (path.to_owned(), RwLock::new(buckets));
        let store = Self { path, id, options, facts, buckets, retiring: Mutex::new(()), ceiling };
        Ok((store, warnings))
    }

    /// The store's random id: delivery numbers are counted under it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// No jid up to this time may be handed out again.
    ///
    /// # Errors
    /// A bucket cannot be read.
    pub fn last_jid(&self) -> Result<Timestamp, StoreError> {
        let mut last = self.ceiling.get();
        for bucket in self.all() {
            if let Some(jid) = bucket.newest()? {
                last = last.max(jid.time());
            }
        }
        Ok(last)
    }

    /// Writes everything and makes it durable. On an error nothing was promised: call again with
    /// the same records, except after [`StoreError::Broken`].
    ///
    /// # Errors
    /// The disk is full, read-only or broken.
    pub fn commit(&self, records: &[Record]) -> Result<(), StoreError> {
        let committed = self.try_commit(records);
        let counted = if committed.is_ok() { OpenJobs::trust } else { OpenJobs::forget };
        self.all().iter().for_each(|bucket| counted(&bucket.open));
        committed
    }

    fn try_commit(&self, records: &[Record]) -> Result<(), StoreError> {
        self.look_for_room()?;
        let mut batches: BTreeMap<Span, (Arc<Bucket>, Changes)> = BTreeMap::new();
        let mut facts = Batch::default();
        let mut told = BTreeSet::new();
        for record in records {
            // A report is judged by what is stored, and what it is late for may stand before it here.
            if let Record::Row { jid, id, .. } | Record::Report { jid, id, .. } = record
                && !told.insert((jid, id))
                && let Some((bucket, changes)) = batches.remove(&self.bucket_of(record)?.span())
            {
                bucket.commit(changes)?;
            }
            match record {
                Record::Ceiling(time) => self.ceiling.raise(*time)?,
                Record::Facts(id, known) => {
                    let value = serde_json::to_vec(known).expect("facts are plain data");
                    facts.insert(id.as_str(), value);
                }
                Record::Seen(id, at) => {
                    let value = serde_json::to_vec(at).expect("a time is plain data");
                    facts.insert(format!("{SEEN}{id}"), value);
                }
                Record::Forget(id) => {
                    facts.remove(id.as_str());
                    facts.remove(format!("{SEEN}{id}"));
                }
                Record::Job(_)
                | Record::Row { .. }
                | Record::Report { .. }
                | Record::Handed { .. }
                | Record::Cancelled { .. }
                | Record::Closed(_)
                | Record::Idempotency { .. }
                | Record::Event(_) => {
                    let bucket = self.bucket_of(record)?;
                    let (bucket, changes) =
                        batches.entry(bucket.span()).or_insert_with(|| (bucket, Changes::default()));
                    bucket.add(changes, record, self.options.orphans_per_minion)?;
                }
            }
        }
        for (bucket, changes) in batches.into_values() {
            bucket.commit(changes)?;
        }
        self.facts.commit(&facts)?;
        Ok(())
    }

    /// A job.
    ///
    /// # Errors
    /// Its bucket cannot be read.
    pub fn job(&self, jid: Jid) -> Result<Option<Job>, StoreError> {
        for bucket in self.holding(jid) {
            if let Some(job) = bucket.job(jid)? {
                return Ok(Some(job));
            }
        }
        Ok(None)
    }

    /// The rows of a job that have ended, by minion.
    ///
    /// # Errors
    /// Its bucket cannot be read.
    pub fn rows(&self, jid: Jid) -> Result<BTreeMap<MinionId, JobRow>, StoreError> {
        let mut rows = BTreeMap::new();
        for bucket in self.holding(jid) {
            bucket.rows(jid, &mut rows)?;
        }
        Ok(rows)
    }

    /// The jobs that are open, as far as rows tell.
    ///
    /// # Errors
    /// A bucket cannot be read.
    pub fn open_jobs(&self) -> Result<Vec<OpenJob>, StoreError> {
        let mut open = Vec::new();
        for bucket in self.all() {
            bucket.open_jobs(&mut open)?;
        }
        Ok(open)
    }

    /// Idempotency keys with the digests and jobs that belong to them.
    ///
    /// # Errors
    /// A bucket cannot be read.
    pub fn idempotency(&self) -> Result<Vec<(String, [u8; 32], Jid)>, StoreError> {
        let mut keys = Vec::new();
        for bucket in self.all() {
            bucket.idempotency(&mut keys)?;
        }
        Ok(keys)
    }

    /// The newest events that were stored, oldest first.
    ///
    /// # Errors
    /// A bucket cannot be read.
    pub fn events(&self, limit: usize) -> Result<VecDeque<Arc<Event>>, StoreError> {
        let mut events = VecDeque::new();
        for bucket in self.all().iter().rev() {
            bucket.events(limit, &mut events)?;
        }
        events.make_contiguous().sort_by_key(|event| event.id);
        Ok(events)
    }

    /// What is known of every minion.
    ///
    /// # Errors
    /// The facts cannot be read.
    pub fn facts(&self) -> Result<Vec<(MinionId, Facts)>, StoreError> {
        read_facts(&self.facts, &self.path.join("facts"))
    }
}

/// Whether a sentence of [`Store::open`] tells of something that is not there any more.
#[must_use]
pub fn is_loss(said: &str) -> bool {
    !said.ends_with(NOTHING_IS_LOST)
}

/// Opens what is known of each minion; what is damaged is set aside, and nothing is known.
fn open_facts(path: &Path, cache_bytes: u64, warnings: &mut Vec<String>) -> Result<Database, StoreError> {
    let open = || {
        let opened = Database::open(path, cache_bytes)?;
        Ok(opened.and_then(|(facts, said)| {
            looked_at(facts, |facts| read_facts(facts, path).map(drop)).map(|facts| (facts, said))
        }))
    };
    for _ in 0..2 {
        let (facts, said) = open_or_rebuild(path, "what is known of each minion", open)?;
        warnings.extend(said);
        if let Some(facts) = facts {
            return Ok(facts);
        }
    }
    Err(StoreError::database(path, &"cannot be made anew"))
}

fn read_facts(db: &sled::Db, path: &Path) -> Result<Vec<(MinionId, Facts)>, StoreError> {
    let (mut all, mut seen) = (BTreeMap::new(), Vec::new());
    for item in db.iter() {
        let (key, value) = item.map_err(|error| StoreError::database(path, &error))?;
        let damaged =
            || StoreError::Value { path: path.to_owned(), key: String::from_utf8_lossy(&key).into_owned() };
        let name = std::str::from_utf8(&key).map_err(|_| damaged())?;
        let id = |name: &str| name.parse::<MinionId>().map_err(|_| damaged());
        if let Some(name) = name.strip_prefix(SEEN) {
            seen.push((id(name)?, serde_json::from_slice::<Timestamp>(&value).map_err(|_| damaged())?));
        } else {
            all.insert(id(name)?, serde_json::from_slice::<Facts>(&value).map_err(|_| damaged())?);
        }
    }
    for (id, at) in seen {
        if let Some(facts) = all.get_mut(&id) {
            facts.last_seen = facts.last_seen.max(at);
        }
    }
    Ok(all.into_iter().collect())
}

fn read_or_make_id(path: &Path) -> Result<String, StoreError> {
    match file::read_text(path, 64) {
        Ok(id) if id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()) => return Ok(id),
        Ok(_) => return Err(StoreError::Value { path: path.to_owned(), key: "id".to_owned() }),
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error.into()),
    }
    let id = uuid::Uuid::new_v4().simple().to_string();
    file::replace(path, id.as_bytes(), 0o600)?;
    Ok(id)
}

#[cfg(test)]
mod tests;
