//! What is kept of one stretch of time: keys and values, whatever holds them.
//!
//! ```text
//! j/<jid>              job, JSON
//! o/<jid>              empty: the job is open for somebody
//! s/<jid>              what lists say of it, JSON, once it is open for nobody
//! r/<jid>/<minion>     mark, then row, JSON: the final state
//! h/<jid>/<minion>     empty: an order that was held back was handed to the minion
//! c/<jid>              who killed the job, while it is open
//! l/<jid>/<minion>/<n> row, JSON: a later report
//! x/<minion>/<jid>     row, JSON: a return of a job that is not known here
//! k/<key>              digest 32, jid 20: an idempotency key
//! e/<id>               event, JSON; id as sixteen hex digits
//! ```
//! The mark is one byte, `+` for a retcode of 0 and `-` for everything else, so that counting
//! needs no JSON. One batch is atomic because there is one tree of a database.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, RwLock};

use brine_protocol::control::{Event, JobRow};
use brine_protocol::job::{Ending, Job, Returned};
use brine_protocol::time::Timestamp;
use brine_protocol::{Jid, MinionId};
use serde::Deserialize;
use serde_json::Value;

use super::layers::{Layers, Merged, Order, Want, beginning};
use super::redo::Batch;
use super::span::Span;
use super::summaries::{Changes, OpenJobs};
use super::{OpenJob, Record, Row, StoreError};

/// Late reports kept per row: a minion that repeats itself differently is broken.
const LATE_MAX: usize = 8;

/// Bytes that are kept of a report on a job that is not known here; a larger one loses its value.
const ORPHAN_MAX: usize = 16 * 1024;

/// Under what a minion's final state is kept.
pub(super) fn row_key(jid: Jid, id: &MinionId) -> String {
    format!("r/{jid}/{id}")
}

/// What the rows of a job come to.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Minions that have ended.
    pub(super) ended: usize,
    /// Those of them that ended with a retcode other than 0, or without one.
    pub(super) failed: usize,
    /// What was read for it.
    pub(super) bytes: usize,
}

/// The jids of a bucket, newest first.
pub(super) struct Jids {
    bucket: Arc<Bucket>,
    keys: Merged,
    first: Option<Jid>,
}

impl Jids {
    /// Of all jobs or of the open ones, from this jid up to that one, which is not included.
    pub(super) fn new(bucket: Arc<Bucket>, is_active: bool, from: &str, to: &str) -> Self {
        let tree = if is_active { "o" } else { "j" };
        let keys = format!("{tree}/{from}").into_bytes()..format!("{tree}/{to}").into_bytes();
        let keys = bucket.view().range(keys, Order::Down, Want::Keys);
        Self { bucket, keys, first: None }
    }

    pub(super) fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// The next one.
    pub(super) fn peek(&mut self) -> Result<Option<Jid>, StoreError> {
        if self.first.is_none()
            && let Some(key) = self.keys.next()
        {
            let (key, _) = key.map_err(|error| self.bucket.failed(&error))?;
            self.first = Some(self.bucket.jid_of(&key)?);
        }
        Ok(self.first)
    }

    /// Goes on behind it.
    pub(super) fn pass(&mut self) {
        self.first = None;
    }
}

#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) span: Span,
    pub(super) path: PathBuf,
    pub(super) cache_bytes: u64,
    pub(super) layers: RwLock<Layers>,
    pub(super) open: OpenJobs,
}

impl Bucket {
    /// Reads what a starting master reads.
    pub(super) fn try_reading(&self) -> Result<(), StoreError> {
        self.newest()?;
        self.open_jobs(&mut Vec::new())?;
        self.idempotency(&mut Vec::new())
    }

    pub(super) fn span(&self) -> Span {
        self.span
    }

    pub(super) fn failed(&self, error: &sled::Error) -> StoreError {
        StoreError::database(&self.path, error)
    }

    fn damaged(&self, key: &[u8]) -> StoreError {
        StoreError::Value { path: self.path.clone(), key: String::from_utf8_lossy(key).into_owned() }
    }

    /// Adds a record to changes. Reads only what these cannot have changed: a minion's
    /// report is judged by what is stored before it.
    pub(super) fn add(
        &self,
        changes: &mut Changes,
        record: &Record,
        orphans_max: usize,
    ) -> Result<(), StoreError> {
        match record {
            Record::Job(job) => changes.open(job),
            Record::Row { jid, id, row } => changes.end(self, *jid, id, row),
            Record::Closed(jid) => changes.close(self, *jid),
            _ => {}
        }
        let batch = &mut changes.batch;
        let json = |value: &Row| serde_json::to_vec(value).expect("a row is plain data");
        match record {
            Record::Job(job) => {
                batch.insert(
                    format!("j/{}", job.jid).as_bytes(),
                    serde_json::to_vec(job).expect("a job is plain data"),
                );
                batch.insert(format!("o/{}", job.jid).as_bytes(), []);
            }
            Record::Row { jid, id, row } => {
                let mark = if row.ending.retcode() == Some(0) { b'+' } else { b'-' };
                let value = [&[mark], &json(row)[..]].concat();
                batch.insert(row_key(*jid, id), value);
            }
            Record::Report { jid, id, row } => self.add_report(batch, *jid, id, row, orphans_max)?,
            Record::Handed { jid, id } => batch.insert(format!("h/{jid}/{id}").as_bytes(), []),
            Record::Cancelled { jid, by } => batch.insert(format!("c/{jid}").as_bytes(), by.as_bytes()),
            Record::Closed(jid) => {
                batch.remove(format!("o/{jid}").as_bytes());
                batch.remove(format!("c/{jid}").as_bytes());
            }
            Record::Idempotency { key, digest, jid } => {
                let value = [&digest[..], jid.as_str().as_bytes()].concat();
                batch.insert(format!("k/{key}").as_bytes(), value);
            }
            Record::Event(event) => {
                let value = serde_json::to_vec(event).expect("an event is plain data");
                batch.insert(format!("e/{:016x}", event.id).as_bytes(), value);
            }
            Record::Facts(..) | Record::Seen(..) | Record::Forget(_) | Record::Ceiling(_) => {}
        }
        Ok(())
    }

    fn add_report(
        &self,
        batch: &mut Batch,
        jid: Jid,
        id: &MinionId,
        row: &Row,
        orphans_max: usize,
    ) -> Result<(), StoreError> {
        let is_same = |stored: &[u8], row: &Row| {
            serde_json::from_slice::<Row>(stored).is_ok_and(|stored| stored.ending == row.ending)
        };
        let known = match self.view().get(row_key(jid, id)) {
            Ok(known) => known,
            // One that cannot be read must not stop all that is to be written, for ever.
            Err(_) => Some(sled::IVec::default()),
        };
        let Some(known) = known else {
            return self.add_orphan(batch, jid, id, row, orphans_max);
        };
        if is_same(known.get(1..).unwrap_or_default(), row) {
            return Ok(());
        }
        let (prefix, mut count) = (format!("l/{jid}/{id}/"), 0);
        for item in self.view().scan(&prefix, Want::Values) {
            let Ok((_, stored)) = item else { return Ok(()) };
            if is_same(&stored, row) {
                return Ok(());
            }
            count += 1;
        }
        if count < LATE_MAX {
            let value = serde_json::to_vec(row).expect("a row is plain data");
            batch.insert(format!("{prefix}{count}").as_bytes(), value);
        }
        Ok(())
    }

    /// A report on a job that nobody gave, as far as is known here. A minion may say as many and as large
    /// ones as it likes: what is compared, counted and kept is little.
    fn add_orphan(
        &self,
        batch: &mut Batch,
        jid: Jid,
        id: &MinionId,
        row: &Row,
        orphans_max: usize,
    ) -> Result<(), StoreError> {
        let mut value = serde_json::to_vec(row).expect("a row is plain data");
        if value.len() > ORPHAN_MAX {
            let Ending::Returned(returned) = &row.ending else { return Ok(()) };
            let cut = Returned { value: Value::Null, truncated: true, ..*returned };
            value = serde_json::to_vec(&Row { ending: Ending::Returned(cut), at: row.at })
                .expect("a row is plain data");
        }
        let (prefix, orphan) = (format!("x/{id}/"), format!("x/{id}/{jid}"));
        let view = self.view();
        // Where nothing can be read there is no place for it.
        if view.has(&orphan).unwrap_or(true) {
            return Ok(());
        }
        let mut known = view.scan(&prefix, Want::Keys).take(orphans_max);
        if known.try_fold(0, |count, key| key.map(|_| count + 1)).is_ok_and(|count| count < orphans_max) {
            batch.insert(orphan.as_bytes(), value);
        }
        Ok(())
    }

    pub(super) fn newest(&self) -> Result<Option<Jid>, StoreError> {
        match self.view().range(beginning("j/"), Order::Down, Want::Keys).next() {
            Some(Ok((key, _))) => self.jid_of(&key).map(Some),
            Some(Err(error)) => Err(self.failed(&error)),
            None => Ok(None),
        }
    }

    pub(super) fn jid_of(&self, key: &[u8]) -> Result<Jid, StoreError> {
        key.get(2..22)
            .and_then(|jid| std::str::from_utf8(jid).ok())
            .and_then(|jid| jid.parse().ok())
            .ok_or_else(|| self.damaged(key))
    }

    pub(super) fn has_job(&self, jid: Jid) -> Result<bool, StoreError> {
        self.view().has(format!("j/{jid}")).map_err(|error| self.failed(&error))
    }

    pub(super) fn job(&self, jid: Jid) -> Result<Option<Job>, StoreError> {
        Ok(self.sized_job(jid)?.map(|(job, _)| job))
    }

    pub(super) fn rows(&self, jid: Jid, rows: &mut BTreeMap<MinionId, JobRow>) -> Result<(), StoreError> {
        let prefix = format!("r/{jid}/");
        for item in self.view().scan(&prefix, Want::Values) {
            let (key, value) = item.map_err(|error| self.failed(&error))?;
            let id = self.id_of(&key, prefix.len())?;
            let json = value.get(1..).unwrap_or_default();
            let row: Row = serde_json::from_slice(json).map_err(|_| self.damaged(&key))?;
            rows.insert(
                id.clone(),
                JobRow { id, ending: Some(row.ending), at: Some(row.at), late: vec![], presence: None },
            );
        }
        for item in self.view().scan(format!("l/{jid}/"), Want::Values) {
            let (key, value) = item.map_err(|error| self.failed(&error))?;
            let end = key.iter().rposition(|b| *b == b'/').ok_or_else(|| self.damaged(&key))?;
            let id = self.id_of(&key[..end], prefix.len())?;
            let row: Row = serde_json::from_slice(&value).map_err(|_| self.damaged(&key))?;
            if let Some(known) = rows.get_mut(&id) {
                known.late.push(row.ending);
            }
        }
        Ok(())
    }

    fn id_of(&self, key: &[u8], from: usize) -> Result<MinionId, StoreError> {
        key.get(from..)
            .and_then(|id| std::str::from_utf8(id).ok())
            .and_then(|id| id.parse().ok())
            .ok_or_else(|| self.damaged(key))
    }

    /// A job with the size that it has here.
    pub(super) fn sized_job(&self, jid: Jid) -> Result<Option<(Job, usize)>, StoreError> {
        let key = format!("j/{jid}");
        let Some(value) = self.view().get(&key).map_err(|error| self.failed(&error))? else {
            return Ok(None);
        };
        let job = serde_json::from_slice(&value).map_err(|_| self.damaged(key.as_bytes()))?;
        Ok(Some((job, value.len())))
    }

    /// The rows of a job, counted.
    pub(super) fn tally(&self, jid: Jid) -> Result<Tally, StoreError> {
        let mut tally = Tally::default();
        for row in self.view().scan(format!("r/{jid}/"), Want::Values) {
            let (key, value) = row.map_err(|error| self.failed(&error))?;
            tally.ended += 1;
            tally.failed += usize::from(value.first() != Some(&b'+'));
            tally.bytes += key.len() + value.len();
        }
        Ok(tally)
    }

    pub(super) fn open_jobs(&self, open: &mut Vec<OpenJob>) -> Result<(), StoreError> {
        for item in self.view().scan("o/", Want::Keys) {
            let (key, _) = item.map_err(|error| self.failed(&error))?;
            let jid = self.jid_of(&key)?;
            let Some(job) = self.job(jid)? else {
                return Err(self.damaged(&key));
            };
            let ended = self.ids_under(&format!("r/{jid}/"))?;
            let handed = self.ids_under(&format!("h/{jid}/"))?;
            let cancelled_by = self.view().get(format!("c/{jid}")).map_err(|error| self.failed(&error))?;
            let cancelled_by = cancelled_by.map(|by| String::from_utf8_lossy(&by).into_owned());
            let waits = job.batch.as_ref().is_some_and(|batch| batch.wait_ms > 0);
            let rests = ended.intersection(&handed).filter(|_| waits).map(|id| self.ended_at(jid, id));
            let rests = rests.collect::<Result<_, _>>()?;
            open.push(OpenJob { job: Arc::new(job), ended, handed, rests, cancelled_by });
        }
        Ok(())
    }

    fn ended_at(&self, jid: Jid, id: &MinionId) -> Result<Timestamp, StoreError> {
        /// A row without how it ended, which can be large.
        #[derive(Deserialize)]
        struct When {
            at: Timestamp,
        }
        let key = row_key(jid, id);
        let value = self.view().get(&key).map_err(|error| self.failed(&error))?.unwrap_or_default();
        let when = serde_json::from_slice(value.get(1..).unwrap_or_default());
        when.map(|When { at }| at).map_err(|_| self.damaged(key.as_bytes()))
    }

    fn ids_under(&self, prefix: &str) -> Result<BTreeSet<MinionId>, StoreError> {
        let keys = self.view().scan(prefix, Want::Keys);
        keys.map(|key| self.id_of(&key.map_err(|error| self.failed(&error))?.0, prefix.len())).collect()
    }

    pub(super) fn has_open_jobs(&self) -> Result<bool, StoreError> {
        let first = self.view().scan("o/", Want::Keys).next().transpose();
        Ok(first.map_err(|error| self.failed(&error))?.is_some())
    }

    /// Adds the newest events in front, until there are `limit`.
    pub(super) fn events(&self, limit: usize, events: &mut VecDeque<Arc<Event>>) -> Result<(), StoreError> {
        for item in self.view().range(beginning("e/"), Order::Down, Want::Values) {
            if events.len() >= limit {
                break;
            }
            // An event that cannot be read is one that is not resumed from: no reason not to start.
            if let Ok((_, value)) = item
                && let Ok(event) = serde_json::from_slice(&value)
            {
                events.push_front(Arc::new(event));
            }
        }
        Ok(())
    }

    pub(super) fn idempotency(&self, keys: &mut Vec<(String, [u8; 32], Jid)>) -> Result<(), StoreError> {
        for item in self.view().scan("k/", Want::Values) {
            let (key, value) = item.map_err(|error| self.failed(&error))?;
            let read = || {
                let name = std::str::from_utf8(key.get(2..)?).ok()?;
                let digest = value.get(..32)?.try_into().ok()?;
                let jid = std::str::from_utf8(value.get(32..)?).ok()?.parse().ok()?;
                Some((name.to_owned(), digest, jid))
            };
            keys.push(read().ok_or_else(|| self.damaged(&key))?);
        }
        Ok(())
    }
}
