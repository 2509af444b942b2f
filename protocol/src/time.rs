//! Wall-clock instants as data. Only for display, jids and records: no decision rests on them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A wall-clock instant: microseconds since 1970-01-01T00:00:00Z.
///
/// Serialised as RFC 3339 text in UTC with microseconds, so that files and the API can be read by
/// people and by `jq`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The instant `micros` microseconds later (or earlier, when negative).
    #[must_use]
    pub fn plus_micros(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// Whole seconds since the epoch, rounded down.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    fn civil(self) -> jiff::civil::DateTime {
        jiff::Timestamp::from_microsecond(self.0)
            .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
            .to_zoned(jiff::tz::TimeZone::UTC)
            .datetime()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = self.civil();
        let text = format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
            c.year(),
            c.month(),
            c.day(),
            c.hour(),
            c.minute(),
            c.second(),
            c.subsec_nanosecond() / 1000
        );
        f.pad(&text)
    }
}

impl From<Timestamp> for String {
    fn from(at: Timestamp) -> Self {
        at.to_string()
    }
}

impl TryFrom<String> for Timestamp {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse::<jiff::Timestamp>()
            .map(|t| Self(t.as_microsecond()))
            .map_err(|_| format!("{text:?} is not an RFC 3339 time"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back() {
        for micros in [0, 1, 1_795_327_652_123_456, 951_782_400_000_000] {
            let text = String::from(Timestamp(micros));
            assert_eq!(Timestamp::try_from(text), Ok(Timestamp(micros)));
        }
        assert_eq!(Timestamp(1_795_327_652_000_001).to_string(), "2026-11-22T06:07:32.000001Z");
    }
}
