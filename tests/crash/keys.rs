//! Who decides about keys while programs die. An act that was answered is in force and in the ledger
//! once; one that was refused is not there; one that was not answered is there once or not at all, and
//! in force or not accordingly. Half of an act would be a line without its effect, or the reverse.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use brine_tests::api::Api;
use brine_tests::checker::Order;
use brine_tests::fixtures::fingerprint_of;
use brine_tests::fleet::job;
use serde_json::{Value, json};

use crate::TENDED;
use crate::clients::ORDERS;
use crate::plan::Dice;

/// How often there is an act, in accepted orders of the others.
const PACE: usize = 2;

/// What was asked for one key, and what was said to it.
#[derive(Debug, Clone)]
pub struct Deed {
    /// Its reason, by which its line in the ledger is known.
    pub reason: String,
    pub id: String,
    pub fingerprint: String,
    pub act: &'static str,
    /// Whether it was done, if that was answered.
    pub is_done: Option<bool>,
}

/// One round of acts.
pub struct Keeper<'a> {
    pub api: Api,
    /// Where the minions are.
    pub folder: PathBuf,
    pub dice: Dice,
    pub name: String,
    pub accepted: &'a AtomicUsize,
    pub is_over: &'a AtomicBool,
}

impl Keeper<'_> {
    /// Acts until the others are done, and returns what was asked, and the orders to rotate.
    pub fn run(&self) -> (Vec<Deed>, Vec<Order>) {
        let (mut deeds, mut orders) = (Vec::new(), Vec::new());
        for number in 0..3 * ORDERS / PACE {
            while self.accepted.load(Ordering::SeqCst) < number * PACE {
                if self.is_over.load(Ordering::SeqCst) {
                    return (deeds, orders);
                }
                std::thread::yield_now();
                let _ = self.api.try_request("GET", "/v1/health", None);
            }
            self.decide(number, &mut deeds, &mut orders);
        }
        (deeds, orders)
    }

    fn decide(&self, number: usize, deeds: &mut Vec<Deed>, orders: &mut Vec<Order>) {
        let mut dice = self.dice.part(number);
        let (id, chance) = (TENDED[dice.below(TENDED.len())], dice.below(16));
        let Some((fingerprint, state)) = self.key(id) else { return };
        let act = match (state.as_str(), chance) {
            ("accepted", 0..7) => "suspend",
            // Seldom: a minion that was told no waits for seconds before it comes again.
            ("accepted" | "pending", 15) => "reject",
            ("accepted", 7..11) => "delete",
            ("accepted", _) => return orders.extend(self.rotate(id)),
            ("suspended", 0..8) => "resume",
            ("suspended", 8..12) => "accept",
            ("suspended", _) | ("rejected", 0..4) => "delete",
            ("pending" | "rejected", _) => "accept",
            _ => return,
        };
        let reason = format!("{}-{number}", self.name);
        let keys = json!([{"id": id, "fingerprint": fingerprint, "state": state}]);
        let request = json!({"act": act, "reason": reason, "keys": keys});
        let reply = self.api.try_request("POST", "/v1/keys/act", Some(request.to_string())).ok();
        let results = reply.filter(|reply| reply.status == 200);
        let results = results.and_then(|reply| serde_json::from_str::<Value>(&reply.body).ok());
        let is_done = results.map(|results| results[0]["refused"].is_null());
        deeds.push(Deed { reason, id: id.to_owned(), fingerprint, act, is_done });
    }

    fn rotate(&self, id: &str) -> Option<Order> {
        let request = job(id, "brine.rotate_key", &[]).to_string();
        let reply = self.api.try_request("POST", "/v1/jobs", Some(request)).ok()?;
        // The key may have been taken away meanwhile: then nobody is meant.
        let job: Value = serde_json::from_str(&reply.body).ok().filter(|_| reply.status == 201)?;
        Some(Order { jid: job["jid"].as_str()?.to_owned(), minions: vec![id.to_owned()], token: None })
    }

    /// The key to act on: the one that holds the id, or else the one that its minion has. What the
    /// minion has given up may still be shown, and nobody would ever come with it.
    fn key(&self, id: &str) -> Option<(String, String)> {
        let reply = self.api.try_request("GET", &format!("/v1/keys?id={id}"), None).ok()?;
        let keys: Value = serde_json::from_str(&reply.body).ok().filter(|_| reply.status == 200)?;
        let keys = keys.as_array()?;
        let is_holder = |key: &&Value| key["state"] == "accepted" || key["state"] == "suspended";
        let text = fs::read_to_string(self.folder.join(id).join("etc/brine/pki/minion/minion.pub")).ok()?;
        let own = fingerprint_of(&text);
        let key = keys.iter().find(is_holder).or(keys.iter().find(|key| key["fingerprint"] == own))?;
        Some((key["fingerprint"].as_str()?.to_owned(), key["state"].as_str()?.to_owned()))
    }
}

/// What is wrong with a ledger and the keys that a master shows, after these deeds.
pub fn faults(deeds: &[Deed], ledger: &[Value], keys: &[Value]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut lines: BTreeMap<&str, Vec<(usize, &Value)>> = BTreeMap::new();
    for (at, line) in ledger.iter().enumerate() {
        lines.entry(line["reason"].as_str().unwrap_or_default()).or_default().push((at, line));
    }
    let mut before = 0;
    for deed in deeds {
        let found = lines.get(deed.reason.as_str()).map_or(&[][..], Vec::as_slice);
        let may_be = match deed.is_done {
            Some(true) => 1..=1,
            Some(false) => 0..=0,
            None => 0..=1,
        };
        if !may_be.contains(&found.len()) {
            faults.push(format!("the ledger has {} lines of {deed:?}", found.len()));
        }
        for (at, line) in found {
            let says = [&line["act"], &line["id"], &line["fingerprint"]];
            if says != [deed.act, deed.id.as_str(), deed.fingerprint.as_str()] || *at < before {
                faults.push(format!("line {at} of the ledger is not what {deed:?} asked for: {line}"));
            }
            before = *at;
        }
    }
    let decided = |state: &str| matches!(state, "accepted" | "suspended" | "rejected");
    let triple = |key: &Value| {
        let text = |name: &str| key[name].as_str().unwrap_or_default().to_owned();
        (text("id"), text("fingerprint"), text("state"))
    };
    let shown: BTreeSet<_> = keys.iter().map(triple).filter(|(_, _, state)| decided(state)).collect();
    let meant = fold(ledger);
    for (id, fingerprint, state) in meant.symmetric_difference(&shown) {
        let whose = if shown.contains(&(id.clone(), fingerprint.clone(), state.clone())) {
            "shown"
        } else {
            "in the ledger"
        };
        faults.push(format!("the key {fingerprint} of {id} is {state} only as {whose}"));
    }
    faults
}

/// What a ledger makes of keys, worked out here so that the master is not checked against itself.
fn fold(ledger: &[Value]) -> BTreeSet<(String, String, String)> {
    let mut keys: BTreeMap<(String, String), &str> = BTreeMap::new();
    for line in ledger {
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        let key = (text("id"), text("fingerprint"));
        match line["act"].as_str().unwrap_or_default() {
            "accept" | "resume" => drop(keys.insert(key, "accepted")),
            "suspend" => drop(keys.insert(key, "suspended")),
            "reject" => drop(keys.insert(key, "rejected")),
            "delete" => drop(keys.remove(&key)),
            "rotate" => {
                keys.remove(&(text("id"), text("from")));
                keys.insert(key, "accepted");
            }
            _ => {}
        }
    }
    keys.into_iter().map(|((id, fingerprint), state)| (id, fingerprint, state.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deed(number: usize, act: &'static str, is_done: Option<bool>) -> Deed {
        Deed { reason: number.to_string(), id: "a".into(), fingerprint: "f".into(), act, is_done }
    }

    fn line(number: usize, act: &str) -> Value {
        json!({"act": act, "id": "a", "fingerprint": "f", "reason": number.to_string()})
    }

    fn key(state: &str) -> [Value; 1] {
        [json!({"id": "a", "fingerprint": "f", "state": state})]
    }

    #[track_caller]
    fn finds(faults: &[String], what: &str) {
        assert!(faults.len() == 1 && faults[0].contains(what), "{what}: {faults:?}");
    }

    #[test]
    fn what_was_answered_is_in_the_ledger_once_and_in_force() {
        let deeds = [deed(1, "accept", Some(true)), deed(2, "suspend", Some(true))];
        let ledger = [line(1, "accept"), line(2, "suspend")];
        assert!(faults(&deeds, &ledger, &key("suspended")).is_empty());
        finds(&faults(&deeds, &ledger[..1], &key("accepted")), "0 lines");
        let doubled = [ledger[0].clone(), ledger[1].clone(), ledger[1].clone()];
        finds(&faults(&deeds, &doubled, &key("suspended")), "2 lines");
        finds(&faults(&deeds, &[line(1, "accept"), line(2, "resume")], &key("accepted")), "not what");
        let turned = [ledger[1].clone(), ledger[0].clone()];
        finds(&faults(&deeds, &turned, &key("accepted")), "not what");
    }

    #[test]
    fn what_was_not_answered_is_there_or_not_and_never_half() {
        let deeds = [deed(1, "accept", Some(true)), deed(2, "delete", None)];
        assert!(faults(&deeds, &[line(1, "accept")], &key("accepted")).is_empty());
        assert!(faults(&deeds, &[line(1, "accept"), line(2, "delete")], &key("pending")).is_empty());
        finds(&faults(&deeds, &[line(1, "accept"), line(2, "delete")], &key("accepted")), "only as shown");
        finds(&faults(&deeds, &[line(1, "accept")], &[]), "only as in the ledger");
    }

    #[test]
    fn what_was_refused_is_not_there() {
        let refused = [deed(1, "reject", Some(false))];
        assert!(faults(&refused, &[], &[]).is_empty());
        finds(&faults(&refused, &[line(1, "reject")], &key("rejected")), "1 lines");
    }

    #[test]
    fn a_rotation_swaps_the_key_whole() {
        let rotate = json!({"act": "rotate", "id": "a", "fingerprint": "g", "from": "f"});
        let ledger = [line(1, "accept"), rotate];
        assert!(
            faults(&[], &ledger, &[json!({"id": "a", "fingerprint": "g", "state": "accepted"})]).is_empty()
        );
        assert_eq!(faults(&[], &ledger, &key("accepted")).len(), 2);
    }
}
