//! Lists of jobs, newest first. A job is judged when its summary is read and forgotten again, so a long
//! list needs no memory; and one request reads so much and no more, then says where it stopped.

use brine_protocol::control::{JobSummary, JobsQuery, JobsState};
use brine_protocol::jid::STEP_MICROS;
use brine_protocol::job::canonical;
use brine_protocol::time::Timestamp;
use brine_protocol::{Jid, glob};

use super::bucket::Jids;
use super::{Store, StoreError};

/// What one request reads of jobs and returns, in bytes: about a second's work.
const READ_MAX: usize = 128 * 1024 * 1024;

/// What a job counts for however small it is: finding it costs as much as reading so many bytes.
const JOB_MIN: usize = 1024;

/// A page of a list.
#[derive(Debug, Default, PartialEq)]
pub struct Page {
    /// The jobs.
    pub jobs: Vec<JobSummary>,
    /// Where the next page begins; none when nothing older can be in the list.
    pub next: Option<Jid>,
}

impl Store {
    /// The jobs that the query asks for, at most `limit` of them, as far as `may_see` lets jobs of
    /// these principals be seen.
    ///
    /// # Errors
    /// A bucket cannot be read.
    pub fn list(
        &self,
        query: &JobsQuery,
        limit: usize,
        may_see: impl Fn(&str) -> bool,
    ) -> Result<Page, StoreError> {
        self.list_within(query, limit, may_see, READ_MAX)
    }

    pub(super) fn list_within(
        &self,
        query: &JobsQuery,
        limit: usize,
        may_see: impl Fn(&str) -> bool,
        read_max: usize,
    ) -> Result<Page, StoreError> {
        let (from, to) = bounds(query);
        let is_active = query.active || query.state == Some(JobsState::Active);
        let mut sources: Vec<Jids> =
            self.all().into_iter().map(|bucket| Jids::new(bucket, is_active, &from, &to)).collect();
        let mut page = Page::default();
        let mut read = 0;
        let mut last = None;
        loop {
            let mut newest: Option<(usize, Jid)> = None;
            for (at, source) in sources.iter_mut().enumerate() {
                // Buckets overlap when their length was changed, so the newest may be in any.
                if let Some(jid) = source.peek()?
                    && newest.is_none_or(|(_, known)| jid > known)
                {
                    newest = Some((at, jid));
                }
            }
            let Some((at, jid)) = newest else {
                return Ok(page);
            };
            if page.jobs.len() >= limit || read >= read_max {
                page.next = last.or(query.before);
                return Ok(page);
            }
            last = Some(jid);
            let source = &mut sources[at];
            source.pass();
            let bucket = source.bucket();
            read += JOB_MIN;
            let is_wanted = |job: &JobSummary| may_see(&job.principal) && is_wanted(job, query);
            let (summary, bytes) = match bucket.summary(jid)? {
                Some((summary, bytes)) => (Some(summary).filter(is_wanted), bytes),
                None => bucket.counted(jid, is_wanted)?,
            };
            read += bytes;
            let Some(summary) = summary else { continue };
            if let Some(id) = &query.minion {
                let (is_in, bytes) = bucket.has_minion(&summary, id)?;
                read += bytes;
                if !is_in {
                    continue;
                }
            }
            let is_in_state = match query.state {
                Some(JobsState::Failed) => summary.failed > 0,
                Some(JobsState::Active) | None => true,
            };
            if is_in_state && (!is_active || summary.open > 0) {
                page.jobs.push(summary);
            }
        }
    }
}

/// The first jid that counts, and the first that does not any more, as text.
fn bounds(query: &JobsQuery) -> (String, String) {
    // Before 1970 there were no jobs, and a jid has no sign.
    let at = |time: Timestamp| Jid::at(time.max(Timestamp::default()), 0).to_string();
    let from = query.since.map_or_else(String::new, at);
    // The last digits of a jid are its master's number, so all of one step are at one time.
    let until = query.until.map(|until| at(until.plus_micros(STEP_MICROS)));
    let before = query.before.map(|jid| jid.to_string());
    let to = until.into_iter().chain(before).min().unwrap_or_else(|| "~".to_owned());
    (from, to)
}

fn is_wanted(job: &JobSummary, query: &JobsQuery) -> bool {
    let has_function = |pattern: &String| {
        let pattern = canonical(pattern);
        job.functions.split(',').any(|function| glob::matches(&pattern, function))
    };
    let has_target = |text: &String| job.target == *text || glob::matches(text, &job.target);
    query.function.as_ref().is_none_or(has_function)
        && query.target.as_ref().is_none_or(has_target)
        && query.user.as_ref().is_none_or(|text| is_user(text, &job.principal))
}

/// Whether a principal, as `unix:1000 (alice)` or `unix:0 (root) as alice`, is meant by a part of
/// it, or by a glob over it or over one of the names in it.
fn is_user(text: &str, principal: &str) -> bool {
    if !text.contains(['*', '?', '[']) {
        return principal.contains(text);
    }
    let (caller, acts_as) = match principal.split_once(" as ") {
        Some((caller, name)) => (caller, Some(name)),
        None => (principal, None),
    };
    let name = caller.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    let texts = [Some(principal), name, acts_as];
    texts.into_iter().flatten().any(|found| glob::matches(text, found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_by_a_part_or_a_glob() {
        for (text, principal, expected) in [
            ("alice", "unix:1000 (alice)", true),
            ("ali", "unix:1000 (alice)", true),
            ("unix:1000", "unix:1000 (alice)", true),
            ("al*", "unix:1000 (alice)", true),
            ("*1000*", "unix:1000 (alice)", true),
            ("1000*", "unix:1000 (alice)", false),
            ("[ab]lice", "unix:0 (root) as alice", true),
            ("r??t", "unix:0 (root) as alice", true),
            ("bob", "unix:1000 (alice)", false),
            ("b*", "unix:1000 (alice)", false),
            ("*", "unix:7", true),
        ] {
            assert_eq!(is_user(text, principal), expected, "{text} {principal}");
        }
    }

    #[test]
    fn times_become_bounds() {
        let time = |text: &str| Some(Timestamp::try_from(text.to_owned()).expect("a time"));
        let query = JobsQuery {
            since: time("2026-11-22T06:07:32Z"),
            until: time("2026-11-22T06:07:33Z"),
            ..JobsQuery::default()
        };
        let (from, to) = bounds(&query);
        assert_eq!((from.as_str(), to.as_str()), ("20261122060732000000", "20261122060733000100"));
        let paged = JobsQuery { before: Some("20261122060732500000".parse().expect("a jid")), ..query };
        assert_eq!(bounds(&paged).1, "20261122060732500000");
        let ever = JobsQuery { since: time("-002026-11-22T06:07:32Z"), ..JobsQuery::default() };
        assert_eq!(bounds(&ever), ("19700101000000000000".to_owned(), "~".to_owned()));
    }
}
