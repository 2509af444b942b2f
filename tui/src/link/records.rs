//! Server records, while somebody chooses among them: when to fetch them anew, which is a pure
//! decision over events and time, and what is fetched.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use brine_client::{Client, ClientError};
use brine_protocol::control::{ProblemKind, Server, ServersQuery};
use brine_protocol::server::ServerId;

/// How long the first change waits for others: an import becomes one fetch, or a few.
const PAUSE: Duration = Duration::from_millis(80);

/// Fetches are this far apart: a list of thousands of records is a megabyte.
const SPACED: Duration = Duration::from_secs(1);

/// Which records are wanted, and whether what was fetched may be old.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// The linked ones that are wanted beside the unlinked ones; none while nobody chooses.
    wanted: Option<BTreeSet<ServerId>>,
    since: Option<Instant>,
    last: Option<Instant>,
}

impl Records {
    /// Somebody begins to choose.
    pub(super) fn want(&mut self, also: BTreeSet<ServerId>, now: Instant) {
        *self = Self { wanted: Some(also), since: Some(now), last: None };
    }

    /// Nobody chooses any more.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Records changed, or may have.
    pub(super) fn touch(&mut self, now: Instant) {
        if self.wanted.is_some() {
            self.since.get_or_insert(now);
        }
    }

    /// When the next fetch is due.
    pub(super) fn due(&self) -> Option<Instant> {
        let since = self.since?;
        Some(self.last.map_or(since, |last| (since + PAUSE).max(last + SPACED)))
    }

    /// What to fetch now, if anything is due. From here on it counts as fetched.
    pub(super) fn take(&mut self, now: Instant) -> Option<BTreeSet<ServerId>> {
        if self.due().is_none_or(|due| due > now) {
            return None;
        }
        (self.since, self.last) = (None, Some(now));
        self.wanted.clone()
    }
}

/// The unlinked records that the caller may see, and these, as far as they are there.
pub(super) async fn fetch(client: &Client, also: BTreeSet<ServerId>) -> Result<Vec<Server>, ClientError> {
    let query = ServersQuery { linked: Some(false), ..ServersQuery::default() };
    let mut servers = client.servers(&query).await?;
    for id in also {
        if servers.iter().any(|server| server.id == id) {
            continue;
        }
        match client.server(id).await {
            Ok(server) => servers.push(server),
            Err(ClientError::Refused(problem)) if problem.kind == ProblemKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(servers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::server_id;

    #[test]
    fn records_are_fetched_only_while_somebody_chooses() {
        let (mut records, start) = (Records::default(), Instant::now());
        records.touch(start);
        assert_eq!((records.due(), records.take(start)), (None, None));
        let also = BTreeSet::from([server_id(1)]);
        records.want(also.clone(), start);
        assert_eq!(records.take(start), Some(also.clone()), "at once");
        assert_eq!(records.due(), None);
        records.touch(start);
        assert_eq!(records.due(), Some(start + SPACED));
        assert_eq!(records.take(start + PAUSE), None);
        records.touch(start + PAUSE);
        assert_eq!(records.take(start + SPACED), Some(also), "what came meanwhile is in it");
        records.touch(start + 3 * SPACED);
        assert_eq!(records.due(), Some(start + 3 * SPACED + PAUSE));
        records.forget();
        assert_eq!(records.due(), None);
    }
}
