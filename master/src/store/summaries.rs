//! What lists say of a job, without a look at its rows: of an open one it is counted along in memory, of
//! one that is over it is stored.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use brine_protocol::control::JobSummary;
use brine_protocol::job::Job;
use brine_protocol::{Jid, MinionId};

use super::bucket::{Bucket, Tally, row_key};
use super::layers::Want;
use super::redo::Batch;
use super::{Row, StoreError};

/// What is to be committed to a bucket, and what its open jobs come to with it.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) batch: Batch,
    /// None: it is not open any more, or nothing is known of it.
    jobs: BTreeMap<Jid, Option<JobSummary>>,
}

/// The open jobs of a bucket.
#[derive(Debug, Default)]
pub(super) struct OpenJobs(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    /// Once they were counted.
    jobs: Option<BTreeMap<Jid, JobSummary>>,
    /// What is committed next may be there already.
    may_repeat: bool,
}

impl OpenJobs {
    /// Goes on from what is known.
    pub(super) fn apply(&self, changes: Changes) {
        let mut counted = self.counted();
        let Some(known) = counted.jobs.as_mut() else { return };
        for (jid, summary) in changes.jobs {
            match summary {
                Some(summary) => known.insert(jid, summary),
                None => known.remove(&jid),
            };
        }
    }

    /// Counts them anew when they are asked for again: nobody knows which of several commits happened, and
    /// all of them are given once more.
    pub(super) fn forget(&self) {
        *self.counted() = Counted { jobs: None, may_repeat: true };
    }

    /// All that was given once more is there now.
    pub(super) fn trust(&self) {
        self.counted().may_repeat = false;
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().expect("no holder panics")
    }
}

impl Changes {
    pub(super) fn open(&mut self, job: &Job) {
        self.jobs.insert(job.jid, Some(summary(job, &Tally::default())));
    }

    /// A minion has ended in a job.
    pub(super) fn end(&mut self, bucket: &Bucket, jid: Jid, id: &MinionId, row: &Row) {
        if bucket.open.counted().may_repeat && bucket.view().has(row_key(jid, id)).unwrap_or(false) {
            return;
        }
        let known = self.jobs.entry(jid).or_insert_with(|| bucket.open_summary(jid));
        if let Some(summary) = known {
            summary.open = summary.open.saturating_sub(1);
            summary.failed += usize::from(row.ending.retcode() != Some(0));
        }
    }

    /// No minion is open in a job any more.
    pub(super) fn close(&mut self, bucket: &Bucket, jid: Jid) {
        let known = self.jobs.insert(jid, None).unwrap_or_else(|| bucket.open_summary(jid));
        if let Some(summary) = known {
            self.batch.insert(summary_key(jid), json(&summary));
        }
    }
}

impl Bucket {
    /// What is known of an open job.
    fn open_summary(&self, jid: Jid) -> Option<JobSummary> {
        self.open.counted().jobs.get_or_insert_with(|| self.count_open()).get(&jid).cloned()
    }

    /// A job that cannot be read is left out: it must not stop all that is to be written.
    fn count_open(&self) -> BTreeMap<Jid, JobSummary> {
        let count = |jid| Some((jid, self.counted(jid, |_| true).ok()?.0?));
        let keys = self.view().scan("o/", Want::Keys);
        keys.filter_map(|key| count(self.jid_of(&key.ok()?.0).ok()?)).collect()
    }

    /// What lists say of a job, and how many bytes were read for that. None when that was not kept: it has
    /// to be [counted](Self::counted).
    pub(super) fn summary(&self, jid: Jid) -> Result<Option<(JobSummary, usize)>, StoreError> {
        if let Some(summary) = self.open_summary(jid) {
            return Ok(Some((summary, 0)));
        }
        let value = self.view().get(summary_key(jid)).map_err(|error| self.failed(&error))?;
        Ok(value.and_then(|value| Some((serde_json::from_slice(&value).ok()?, value.len()))))
    }

    /// The same from the job and its rows, which are read when it `is_wanted`; how many bytes were read.
    pub(super) fn counted(
        &self,
        jid: Jid,
        is_wanted: impl Fn(&JobSummary) -> bool,
    ) -> Result<(Option<JobSummary>, usize), StoreError> {
        let Some((job, bytes)) = self.sized_job(jid)? else { return Ok((None, 0)) };
        if !is_wanted(&summary(&job, &Tally::default())) {
            return Ok((None, bytes));
        }
        let tally = self.tally(jid)?;
        Ok((Some(summary(&job, &tally)), bytes + tally.bytes))
    }

    /// Those that a version did not keep which did not know them, of a bucket without open jobs.
    pub(super) fn missing_summaries(&self) -> Result<Batch, StoreError> {
        let mut batch = Batch::default();
        let view = self.view();
        for item in view.scan("j/", Want::Keys) {
            let (key, _) = item.map_err(|error| self.failed(&error))?;
            let jid = self.jid_of(&key)?;
            let is_there = view.has(summary_key(jid)).map_err(|error| self.failed(&error))?;
            if !is_there && let (Some(summary), _) = self.counted(jid, |_| true)? {
                batch.insert(summary_key(jid), json(&summary));
            }
        }
        Ok(batch)
    }

    /// Whether a job is for this minion, and how many bytes were read for that.
    pub(super) fn has_minion(&self, job: &JobSummary, id: &MinionId) -> Result<(bool, usize), StoreError> {
        // Whoever has ended in it has a row.
        let row = self.view().get(row_key(job.jid, id)).map_err(|error| self.failed(&error))?;
        if row.is_some() || job.open == 0 {
            return Ok((row.is_some(), row.map_or(0, |row| row.len())));
        }
        let Some((job, bytes)) = self.sized_job(job.jid)? else { return Ok((false, 0)) };
        Ok((job.minions.iter().any(|(known, _)| known == id), bytes))
    }
}

fn summary_key(jid: Jid) -> String {
    format!("s/{jid}")
}

fn json(summary: &JobSummary) -> Vec<u8> {
    serde_json::to_vec(summary).expect("a summary is plain data")
}

fn summary(job: &Job, tally: &Tally) -> JobSummary {
    JobSummary {
        jid: job.jid,
        functions: job.functions(),
        target: job.target.expression.clone(),
        target_kind: job.target.kind,
        principal: job.principal.clone(),
        submitted: job.submitted,
        batch: job.batch.clone(),
        minions: job.minions.len(),
        open: job.minions.len().saturating_sub(tally.ended),
        failed: tally.failed,
    }
}
