//! Everything that is counted: one name, one number, from the first refusal on.

use std::collections::BTreeMap;
use std::sync::Mutex;

/// Named counters. Names are fixed texts of the program, never a peer's.
#[derive(Debug, Default)]
pub struct Counters(Mutex<BTreeMap<&'static str, u64>>);

impl Counters {
    /// Adds one.
    pub fn count(&self, name: &'static str) {
        self.add(name, 1);
    }

    /// Adds `n`.
    pub fn add(&self, name: &'static str, n: u64) {
        let mut all = self.0.lock().expect("no holder panics");
        *all.entry(name).or_default() += n;
    }

    /// All of them, as JSON.
    #[must_use]
    pub fn snapshot(&self) -> serde_json::Map<String, serde_json::Value> {
        let all = self.0.lock().expect("no holder panics");
        all.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect()
    }
}
