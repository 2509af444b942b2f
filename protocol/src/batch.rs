//! Batches: a job whose orders go out a few at a time.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest text of a batch's size.
const SIZE_MAX: usize = 32;

/// How the orders of a job are handed out when not all at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// How many orders are out at the same time.
    pub size: BatchSize,
    /// How long after each ending the next order waits, in milliseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub wait_ms: u64,
    /// Whether the first order that does not return with a retcode of 0 is the last one.
    #[serde(default, skip_serializing_if = "is_false")]
    pub failhard: bool,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// The size of a batch as it was written: a number of minions, or a percentage of those that the
/// job is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "String")]
pub struct BatchSize(String);

/// A program may say the number as one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(i64),
    Text(String),
}

/// Why a text is no size of a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a batch has a number of minions or a percentage of them, as 10 or 25%; {0:?} is neither")]
pub struct BatchSizeError(pub String);

enum Read {
    Number(i64),
    Percent(f64),
}

impl BatchSize {
    /// How many minions at a time that is, of so many: parts of a minion are left out, except that
    /// a small part of one is one. It may be nothing to work with: 0, or less.
    #[must_use]
    pub fn of(&self, minions: usize) -> i64 {
        match read(&self.0).expect("checked when it was made") {
            Read::Number(number) => number,
            Read::Percent(percent) => {
                let part = percent / 100.0 * minions as f64;
                (if part < 1.0 { part.ceil() } else { part.trunc() }) as i64
            }
        }
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn read(text: &str) -> Option<Read> {
    match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse().ok().filter(|p: &f64| p.is_finite()).map(Read::Percent),
        None => text.parse().ok().map(Read::Number),
    }
}

impl FromStr for BatchSize {
    type Err = BatchSizeError;

    fn from_str(text: &str) -> Result<Self, BatchSizeError> {
        let trimmed = text.trim();
        if trimmed.len() > SIZE_MAX || read(trimmed).is_none() {
            return Err(BatchSizeError(text.chars().take(64).collect()));
        }
        Ok(Self(trimmed.to_owned()))
    }
}

impl TryFrom<Written> for BatchSize {
    type Error = BatchSizeError;

    fn try_from(written: Written) -> Result<Self, BatchSizeError> {
        match written {
            Written::Number(number) => number.to_string().parse(),
            Written::Text(text) => text.parse(),
        }
    }
}

impl From<BatchSize> for String {
    fn from(size: BatchSize) -> Self {
        size.0
    }
}

impl fmt::Display for BatchSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn sizes_are_those_that_salt_makes_of_them() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/cases/batch_size.jsonl");
        let text = std::fs::read_to_string(path).expect("the cases");
        let mut judged = 0;
        for line in text.lines() {
            let case: Value = serde_json::from_str(line).expect("a case");
            let minions = case["minions"].as_u64().expect("a number") as usize;
            let size = serde_json::from_value::<BatchSize>(case["batch"].clone());
            let found = size.ok().map(|size| size.of(minions));
            assert_eq!(found, case["expect"].as_i64(), "{line}");
            judged += 1;
        }
        assert!(judged >= 13, "{judged} cases");
    }

    #[test]
    fn what_is_no_size_is_said() {
        for bad in ["", "%", "abc", "1.5", "inf%", "NaN%", "10%%", "1e400%", "99999999999999999999", "1 0"] {
            assert!(bad.parse::<BatchSize>().is_err(), "{bad}");
        }
        assert!("9".repeat(1000).parse::<BatchSize>().is_err());
        assert_eq!(" 25% ".parse::<BatchSize>().map(|size| size.to_string()), Ok("25%".to_owned()));
        assert_eq!("1e300%".parse::<BatchSize>().map(|size| size.of(10_000)), Ok(i64::MAX));
    }

    #[test]
    fn a_batch_reads_back_and_a_misspelt_field_is_none() {
        let batch: Batch = serde_json::from_value(json!({"size": 2})).expect("a batch");
        assert_eq!(serde_json::to_value(&batch).expect("plain data"), json!({"size": "2"}));
        let full = json!({"size": "25%", "wait_ms": 5, "failhard": true});
        let batch: Batch = serde_json::from_value(full.clone()).expect("a batch");
        assert_eq!(serde_json::to_value(&batch).expect("plain data"), full);
        assert!(serde_json::from_value::<Batch>(json!({"size": 2, "fail_hard": true})).is_err());
    }
}
