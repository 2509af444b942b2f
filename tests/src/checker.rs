//! What must hold of every order, whatever is killed or cut off while jobs flow: one final state
//! for each minion that never changes, and a command that ran as often as that state allows.
//!
//! What is looked at comes from the API and from the counter files; what it means is judged here
//! without either, so that the tests below can show each fault to be found.

use std::collections::{BTreeMap, BTreeSet, HashMap};
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
    /// What it appends to the counter of each minion, if it counts: a line for each of its functions.
    pub token: Option<String>,
}

/// Remembers what was final, and holds later looks against it.
#[derive(Debug)]
pub struct Checker {
    folder: PathBuf,
    orders: Vec<Order>,
    seen: Seen,
}

/// What was seen of the jobs so far.
#[derive(Debug, Default)]
struct Seen {
    finals: HashMap<(String, String), Final>,
    detached: BTreeSet<String>,
}

#[derive(Debug)]
struct Final {
    ending: Value,
    /// What came after it.
    late: Value,
}

impl Checker {
    /// A checker whose minions count in files of this folder.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, orders: Vec::new(), seen: Seen::default() }
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
        let (mut is_over, mut faults) = (true, Vec::new());
        for order in &self.orders[from..] {
            let reply = api.get(&format!("/v1/jobs/{}", order.jid));
            let view = (reply.status != 404).then(|| reply.expect(200).json());
            is_over &= self.seen.note(order, view.as_ref(), &mut faults);
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
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
            let faults = self.seen.faults(&self.orders, id, &text);
            assert!(faults.is_empty(), "{}", faults.join("\n"));
        }
    }

    /// How many endings there are of each state.
    #[must_use]
    pub fn endings(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for seen in self.seen.finals.values() {
            *counts.entry(state_of(&seen.ending).to_owned()).or_insert(0) += 1;
        }
        counts
    }

    /// How many reports came after the final state, and how many detached jobs returned.
    #[must_use]
    pub fn late_and_detached(&self) -> (usize, usize) {
        let finals = &self.seen.finals;
        let late = finals.values().filter_map(|seen| seen.late.as_array()).map(Vec::len).sum();
        let detached = finals.iter().filter(|((jid, _), seen)| {
            self.seen.detached.contains(jid) && state_of(&seen.ending) == "returned"
        });
        (late, detached.count())
    }
}

impl Seen {
    /// Takes in how a job is shown now, none if there is no such job; says whether it is over.
    fn note(&mut self, order: &Order, view: Option<&Value>, faults: &mut Vec<String>) -> bool {
        let jid = &order.jid;
        let Some(view) = view else {
            faults.push(format!("job {jid} was accepted, and is not in the store"));
            return true;
        };
        if view["detach"] == true {
            self.detached.insert(jid.clone());
        }
        let none = Vec::new();
        let rows = view["rows"].as_array().unwrap_or(&none);
        for row in rows.iter().filter(|row| !order.minions.iter().any(|id| row["id"] == **id)) {
            faults.push(format!("job {jid} is not for whom it has this row: {row}"));
        }
        let mut is_over = true;
        for id in &order.minions {
            let of: Vec<&Value> = rows.iter().filter(|row| row["id"] == **id).collect();
            let [row] = of[..] else {
                faults.push(format!("job {jid} has {} rows of {id}, not one: {of:?}", of.len()));
                continue;
            };
            is_over &= self.note_row(jid, id, row, faults);
        }
        is_over
    }

    fn note_row(&mut self, jid: &str, id: &str, row: &Value, faults: &mut Vec<String>) -> bool {
        let ending = &row["ending"];
        if let Some(seen) = self.finals.get_mut(&(jid.to_owned(), id.to_owned())) {
            if seen.ending != *ending {
                let was = &seen.ending;
                faults
                    .push(format!("the final state of job {jid} on {id} has changed from {was} to {ending}"));
            }
            seen.late = row["late"].clone();
            return true;
        }
        if ending.is_null() {
            return false;
        }
        let seen = Final { ending: ending.clone(), late: row["late"].clone() };
        self.finals.insert((jid.to_owned(), id.to_owned()), seen);
        true
    }

    /// What is wrong with the counter of a minion, `text`.
    fn faults(&self, orders: &[Order], id: &str, text: &str) -> Vec<String> {
        let (mut ran, mut faults) = (HashMap::new(), Vec::new());
        for (at, line) in text.lines().enumerate() {
            if ran.insert(line, at).is_some() {
                faults.push(format!("{line} ran twice on {id}"));
            }
        }
        for order in orders {
            let Some(token) = &order.token else { continue };
            let Some(seen) = self.finals.get(&(order.jid.clone(), id.to_owned())) else { continue };
            let places: Vec<Option<usize>> = token.lines().map(|line| ran.get(line).copied()).collect();
            let began = places.iter().take_while(|place| place.is_some()).count();
            let has_gap = places.iter().flatten().count() > began;
            if has_gap || !places[..began].is_sorted() {
                faults.push(format!("{token:?} of job {} ran out of order on {id}: {places:?}", order.jid));
            }
            if !self.may_have_run(&order.jid, seen, began, places.len()) {
                let ending = &seen.ending;
                faults
                    .push(format!("{token:?} of job {} on {id}: ran {began} times, but {ending}", order.jid));
            }
        }
        faults
    }

    /// Whether so many of the functions may have run, by what was said of the job.
    fn may_have_run(&self, jid: &str, seen: &Final, began: usize, functions: usize) -> bool {
        let allows = |ending: &Value| match state_of(ending) {
            "returned" => began == functions,
            "offline" | "expired" | "refused" | "failed" => began == 0,
            // A detached command begins when its supervisor is in the journal, and that one outlives the
            // minion: of a command that has begun, the end is known.
            "interrupted" if self.detached.contains(jid) => began == 0,
            "interrupted" | "lost" | "cancelled" | "timed_out" => true,
            _ => false,
        };
        allows(&seen.ending) && seen.late.as_array().is_none_or(|late| late.iter().all(allows))
    }
}

fn state_of(ending: &Value) -> &str {
    ending["state"].as_str().unwrap_or("?")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn order(token: Option<&str>) -> Order {
        Order { jid: "1".into(), minions: vec!["a".into()], token: token.map(str::to_owned) }
    }

    fn row(state: &str) -> Value {
        json!({"id": "a", "ending": {"state": state}})
    }

    /// What is found when a job is shown so, one time after the other.
    fn shown(views: &[Option<Value>]) -> Vec<String> {
        let (mut seen, mut faults) = (Seen::default(), Vec::new());
        for view in views {
            seen.note(&order(None), view.as_ref(), &mut faults);
        }
        faults
    }

    /// What is found when a job with this view has left this counter.
    fn counted(view: &Value, token: &str, counter: &str) -> Vec<String> {
        let (mut seen, mut faults) = (Seen::default(), Vec::new());
        assert!(seen.note(&order(Some(token)), Some(view), &mut faults));
        faults.extend(seen.faults(&[order(Some(token))], "a", counter));
        faults
    }

    #[track_caller]
    fn finds(faults: &[String], what: &str) {
        assert!(faults.len() == 1 && faults[0].contains(what), "{what}: {faults:?}");
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
            ("timed_out", true, true),
            ("nonsense", false, false),
        ] {
            let view = json!({"rows": [row(state)]});
            assert_eq!(counted(&view, "t", "").is_empty(), never, "{state}");
            assert_eq!(counted(&view, "t", "t\n").is_empty(), once, "{state}");
            assert!(counted(&view, "t", "t\nt\n").iter().any(|fault| fault.contains("twice")), "{state}");
        }
    }

    #[test]
    fn a_doubled_line_is_found_even_of_an_order_that_nobody_knows() {
        finds(&Seen::default().faults(&[], "a", "x\ny\nx\n"), "x ran twice on a");
    }

    #[test]
    fn a_missing_line_of_what_returned_is_found() {
        finds(&counted(&json!({"rows": [row("returned")]}), "t", "u\n"), "ran 0 times");
    }

    #[test]
    fn functions_run_in_order_each_once_and_all_of_them_when_the_job_returned() {
        let (returned, dead) = (json!({"rows": [row("returned")]}), json!({"rows": [row("interrupted")]}));
        assert!(counted(&returned, "t\nu", "t\nx\nu\n").is_empty());
        assert!(counted(&dead, "t\nu", "t\n").is_empty());
        finds(&counted(&returned, "t\nu", "t\n"), "ran 1 times");
        finds(&counted(&dead, "t\nu", "u\n"), "out of order");
        finds(&counted(&dead, "t\nu", "u\nt\n"), "out of order");
    }

    #[test]
    fn a_detached_command_that_began_is_not_interrupted() {
        let view = json!({"detach": true, "rows": [row("interrupted")]});
        assert!(counted(&view, "t", "").is_empty());
        finds(&counted(&view, "t", "t\n"), "ran 1 times");
    }

    #[test]
    fn a_late_report_is_held_against_the_counter_too() {
        let view = json!({"rows": [
            {"id": "a", "ending": {"state": "lost"}, "late": [{"state": "returned"}]},
        ]});
        assert!(counted(&view, "t", "t\n").is_empty());
        finds(&counted(&view, "t", ""), "ran 0 times");
    }

    #[test]
    fn a_final_state_that_changes_or_is_forgotten_is_found() {
        let view = |ending: Value| Some(json!({"rows": [{"id": "a", "ending": ending}]}));
        assert!(
            shown(&[view(json!(null)), view(json!({"state": "lost"})), view(json!({"state": "lost"}))])
                .is_empty()
        );
        let lost = view(json!({"state": "lost"}));
        finds(&shown(&[lost.clone(), view(json!({"state": "returned"}))]), "has changed");
        finds(&shown(&[lost.clone(), view(json!(null))]), "has changed");
        finds(&shown(&[lost, view(json!({"state": "lost", "why": "other"}))]), "has changed");
    }

    #[test]
    fn two_final_states_are_found() {
        finds(&shown(&[Some(json!({"rows": [row("returned"), row("lost")]}))]), "2 rows of a, not one");
    }

    #[test]
    fn a_job_that_is_gone_is_found() {
        finds(&shown(&[Some(json!({"rows": [row("lost")]})), None]), "is not in the store");
    }

    #[test]
    fn a_minion_without_a_row_and_one_too_many_are_found() {
        finds(&shown(&[Some(json!({"rows": []}))]), "0 rows of a");
        finds(&shown(&[Some(json!({}))]), "0 rows of a");
        let other = json!({"id": "b", "ending": {"state": "lost"}});
        finds(&shown(&[Some(json!({"rows": [row("lost"), other]}))]), "not for whom");
    }
}
