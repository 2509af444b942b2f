//! What must hold of every order, whatever is killed or cut off while jobs flow: one final state
//! for each minion that never changes, and a command that ran as often as that state allows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::api::Api;
use crate::wait::within;

/// The variable in a minion's environment that names its counter file.
pub const COUNTER: &str = "BRINE_TEST_COUNTER";

/// An order that a master accepted.
#[derive(Debug, Clone)]
pub struct Order {
    /// Its job.
    pub jid: String,
    /// For whom it is.
    pub minions: Vec<String>,
    /// What it appends to the counter of each minion, if it counts.
    pub token: Option<String>,
}

/// Remembers what was final, and holds later looks against it.
#[derive(Debug)]
pub struct Checker {
    folder: PathBuf,
    orders: Vec<Order>,
    finals: BTreeMap<(String, String), Value>,
}

impl Checker {
    /// A checker whose minions count in files of this folder.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, orders: Vec::new(), finals: BTreeMap::new() }
    }

    /// The counter file of a minion.
    #[must_use]
    pub fn counter(&self, id: &str) -> PathBuf {
        self.folder.join(format!("count-{id}"))
    }

    /// Takes orders under its care.
    pub fn add(&mut self, orders: impl IntoIterator<Item = Order>) {
        self.orders.extend(orders);
    }

    /// How many orders it knows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.orders.len()
    }

    /// Whether it knows no order.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.orders.is_empty()
    }

    /// Looks at the orders from number `from` on and notes what is final by now; says whether all is.
    ///
    /// # Panics
    /// A final state has changed, or an accepted order is not in the store as it was given.
    #[track_caller]
    pub fn look(&mut self, api: &Api, from: usize) -> bool {
        let mut is_over = true;
        for order in &self.orders[from..] {
            let view = api.get(&format!("/v1/jobs/{}", order.jid)).expect(200).json();
            is_over &= note(&mut self.finals, order, &view);
        }
        is_over
    }

    /// Waits until every order from number `from` on has ended for each of its minions.
    ///
    /// # Panics
    /// One does not within `seconds`, or [`Self::look`] does.
    #[track_caller]
    pub fn settle(&mut self, api: &Api, from: usize, seconds: f64) {
        within(seconds, "every accepted order ends for each of its minions", || {
            self.look(api, from).then_some(())
        });
    }

    /// Holds the counters of these minions against all that is final.
    ///
    /// # Panics
    /// A command ran more or less often than the state allows.
    #[track_caller]
    pub fn check_counters(&self, minions: &[&str]) {
        for id in minions {
            let text = fs::read_to_string(self.counter(id)).unwrap_or_default();
            let faults = self.faults(id, &text);
            assert!(faults.is_empty(), "{}", faults.join("\n"));
        }
    }

    /// How many endings there are of each state.
    #[must_use]
    pub fn endings(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for ending in self.finals.values() {
            *counts.entry(ending["state"].as_str().unwrap_or("?").to_owned()).or_insert(0) += 1;
        }
        counts
    }

    fn faults(&self, id: &str, text: &str) -> Vec<String> {
        let (mut ran, mut faults) = (BTreeSet::new(), Vec::new());
        for line in text.lines() {
            if !ran.insert(line) {
                faults.push(format!("{line} ran twice on {id}"));
            }
        }
        for order in &self.orders {
            let Some(token) = &order.token else { continue };
            let Some(ending) = self.finals.get(&(order.jid.clone(), id.to_owned())) else { continue };
            let has_run = ran.contains(token.as_str());
            let is_right = match ending["state"].as_str().unwrap_or("?") {
                "returned" => has_run,
                "offline" | "expired" | "refused" | "failed" => !has_run,
                "interrupted" | "lost" | "cancelled" | "timed_out" => true,
                _ => false,
            };
            if !is_right {
                faults.push(format!("{token} of job {} on {id}: ran {has_run}, but {ending}", order.jid));
            }
        }
        faults
    }
}

fn note(finals: &mut BTreeMap<(String, String), Value>, order: &Order, view: &Value) -> bool {
    let rows = view["rows"].as_array().unwrap_or_else(|| panic!("job {} has no rows: {view}", order.jid));
    let mut ids: Vec<&str> = rows.iter().filter_map(|row| row["id"].as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, order.minions, "one row for each minion of job {}", order.jid);
    let mut is_over = true;
    for row in rows {
        let key = (order.jid.clone(), row["id"].as_str().unwrap_or_default().to_owned());
        let ending = &row["ending"];
        match finals.get(&key) {
            Some(was) => assert_eq!(ending, was, "the final state of {key:?} has changed"),
            None if ending.is_null() => is_over = false,
            None => drop(finals.insert(key, ending.clone())),
        }
    }
    is_over
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn checker(state: &str) -> Checker {
        let mut checker = Checker::new(PathBuf::new());
        let order = Order { jid: "1".into(), minions: vec!["a".into()], token: Some("t".into()) };
        let view = json!({"rows": [{"id": "a", "ending": {"state": state}}]});
        assert!(note(&mut checker.finals, &order, &view));
        checker.add([order]);
        checker
    }

    #[test]
    fn a_state_says_how_often_the_command_may_have_run() {
        for (state, never, once) in [
            ("returned", false, true),
            ("offline", true, false),
            ("expired", true, false),
            ("refused", true, false),
            ("failed", true, false),
            ("interrupted", true, true),
            ("lost", true, true),
            ("cancelled", true, true),
            ("nonsense", false, false),
        ] {
            let checker = checker(state);
            assert_eq!(checker.faults("a", "").is_empty(), never, "{state}");
            assert_eq!(checker.faults("a", "t\n").is_empty(), once, "{state}");
            assert!(!checker.faults("a", "t\nt\n").is_empty(), "{state}");
        }
    }

    #[test]
    #[should_panic(expected = "has changed")]
    fn a_final_state_that_changes_is_found() {
        let mut checker = checker("lost");
        let order = checker.orders[0].clone();
        note(&mut checker.finals, &order, &json!({"rows": [{"id": "a", "ending": {"state": "returned"}}]}));
    }

    #[test]
    #[should_panic(expected = "has changed")]
    fn a_final_state_that_is_forgotten_is_found() {
        let mut checker = checker("returned");
        let order = checker.orders[0].clone();
        note(&mut checker.finals, &order, &json!({"rows": [{"id": "a", "ending": null}]}));
    }
}
