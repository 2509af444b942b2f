//! Which bucket a record belongs to, and when a bucket is over.

use std::sync::Arc;

use brine_protocol::Jid;
use brine_protocol::time::Timestamp;

use super::bucket::Bucket;
use super::span::Span;
use super::{Record, Store, StoreError};

/// Buckets that share the time for which jobs are kept: when one is dropped, at most an eighth
/// more than that is on disk, and no more than as much is in a database.
const BUCKETS_PER_KEEP: i64 = 8;

/// Seconds for what was under way when a bucket's time ended.
const PACK_AFTER: i64 = 10;

/// The shortest bucket, in seconds.
const BUCKET_MIN: i64 = 60;

impl Store {
    /// Drops the buckets whose jobs are kept no longer, packs one that is over, and gives their space back.
    ///
    /// # Errors
    /// A bucket cannot be read, packed or removed.
    pub fn retire(&self, now: Timestamp) -> Result<usize, StoreError> {
        let Ok(_alone) = self.retiring.try_lock() else { return Ok(0) };
        let keep = i64::try_from(self.options.keep_jobs_seconds).unwrap_or(i64::MAX);
        let over: Vec<Arc<Bucket>> = self
            .all()
            .into_iter()
            .filter(|bucket| bucket.span().end.saturating_add(keep) <= now.seconds())
            .collect();
        let mut dropped = 0;
        for bucket in over {
            if bucket.has_open_jobs()? {
                continue;
            }
            self.buckets.write().expect("no holder panics").remove(&bucket.span());
            bucket.remove()?;
            dropped += 1;
        }
        let over = self.all().into_iter().filter(|bucket| bucket.span().end + PACK_AFTER <= now.seconds());
        let mut failed = None;
        for bucket in over {
            match bucket.pack(self.free()?.saturating_sub(self.options.room_min)) {
                // One at a time: it takes the better part of a core for as long as it takes.
                Ok(true) => break,
                Ok(false) => {}
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(dropped), Err)
    }

    fn free(&self) -> Result<u64, StoreError> {
        let stat = nix::sys::statvfs::statvfs(&self.path)
            .map_err(|error| StoreError::database(&self.path, &error))?;
        Ok(stat.blocks_available().saturating_mul(stat.fragment_size()))
    }

    pub(super) fn all(&self) -> Vec<Arc<Bucket>> {
        self.buckets.read().expect("no holder panics").values().cloned().collect()
    }

    pub(super) fn holding(&self, jid: Jid) -> Vec<Arc<Bucket>> {
        let at = jid.time().seconds();
        self.all().into_iter().filter(|bucket| bucket.span().contains(at)).collect()
    }

    pub(super) fn look_for_room(&self) -> Result<(), StoreError> {
        let (free, room) = (self.free()?, self.options.room_min);
        if free < room {
            return Err(StoreError::NoRoom { path: self.path.clone(), free, room });
        }
        Ok(())
    }

    /// Where a record belongs: beside its job. Buckets overlap when their length was changed.
    pub(super) fn bucket_of(&self, record: &Record) -> Result<Arc<Bucket>, StoreError> {
        let at = record_time(record);
        let jid = match record {
            Record::Row { jid, .. }
            | Record::Report { jid, .. }
            | Record::Handed { jid, .. }
            | Record::Cancelled { jid, .. }
            | Record::Closed(jid) => *jid,
            Record::Job(_)
            | Record::Idempotency { .. }
            | Record::Event(_)
            | Record::Facts(..)
            | Record::Seen(..)
            | Record::Forget(_)
            | Record::Ceiling(_) => return self.bucket_for(at),
        };
        let mut holding = self.holding(jid);
        if holding.len() > 1 {
            for bucket in &holding {
                // One that cannot be read must not stop all that is to be written, for ever.
                if bucket.has_job(jid).unwrap_or(false) {
                    return Ok(Arc::clone(bucket));
                }
            }
        }
        match (holding.is_empty(), record) {
            (false, _) => Ok(holding.swap_remove(0)),
            // The jid is the minion's word: it must not be able to have a bucket made for any time.
            (true, Record::Report { row, .. }) => self.bucket_for(row.at),
            (true, _) => self.bucket_for(at),
        }
    }

    fn bucket_for(&self, at: Timestamp) -> Result<Arc<Bucket>, StoreError> {
        let at = at.seconds();
        let found = self
            .buckets
            .read()
            .expect("no holder panics")
            .values()
            .find(|bucket| bucket.span().contains(at))
            .cloned();
        if let Some(bucket) = found {
            return Ok(bucket);
        }
        let keep = i64::try_from(self.options.keep_jobs_seconds).unwrap_or(i64::MAX);
        let length = (keep / BUCKETS_PER_KEEP).max(BUCKET_MIN);
        let start = at.div_euclid(length) * length;
        let span = Span { start, end: start + length };
        let (bucket, said) = Bucket::open(&self.path, span, self.options.cache_bytes / 4)?;
        let bucket = bucket.ok_or_else(|| {
            let why = said.into_iter().next().unwrap_or_else(|| "a new bucket cannot be made".to_owned());
            StoreError::database(&self.path, &why)
        })?;
        let bucket = Arc::new(bucket);
        self.buckets.write().expect("no holder panics").insert(span, Arc::clone(&bucket));
        Ok(bucket)
    }
}

fn record_time(record: &Record) -> Timestamp {
    match record {
        Record::Job(job) => job.jid.time(),
        Record::Row { jid, .. }
        | Record::Report { jid, .. }
        | Record::Handed { jid, .. }
        | Record::Cancelled { jid, .. }
        | Record::Closed(jid)
        | Record::Idempotency { jid, .. } => jid.time(),
        Record::Event(event) => event.at,
        Record::Ceiling(at) => *at,
        Record::Facts(..) | Record::Seen(..) | Record::Forget(_) => Timestamp::default(),
    }
}
