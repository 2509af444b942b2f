//! The stretch of time of a bucket, and the names of what it consists of.

use std::collections::BTreeSet;
use std::path::Path;

use brine_protocol::time::Timestamp;

use super::StoreError;

/// What the name of the file of a bucket ends with that is over.
pub(super) const PACKED: &str = ".packed";

/// What the name of the database ends with that has what came after that.
pub(super) const LATE: &str = ".late";

/// A stretch of time in seconds since 1970: start included, end not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    pub(super) start: i64,
    pub(super) end: i64,
}

impl Span {
    pub(super) fn contains(self, at: i64) -> bool {
        (self.start..self.end).contains(&at)
    }

    pub(super) fn folder(self) -> String {
        format!("jobs-{}-{}", self.start, self.end)
    }

    fn read(name: &str) -> Option<Self> {
        let name = name.split_once('.').map_or(name, |(span, _)| span);
        let (start, end) = name.strip_prefix("jobs-")?.split_once('-')?;
        Some(Self { start: start.parse().ok()?, end: end.parse().ok()? })
    }

    /// The spans of which there is anything.
    pub(super) fn found_in(path: &Path) -> Result<BTreeSet<Self>, StoreError> {
        let entries = std::fs::read_dir(path).map_err(|error| StoreError::database(path, &error))?;
        Ok(entries.flatten().filter_map(|entry| Self::read(entry.file_name().to_str()?)).collect())
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = |seconds: i64| Timestamp(seconds.saturating_mul(1_000_000));
        write!(f, "jobs from {} to {}", at(self.start), at(self.end))
    }
}
