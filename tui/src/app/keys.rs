//! The keys that the master told of, ready to be shown.

use std::collections::BTreeMap;
use std::net::IpAddr;

use brine_local::text::escape;
use brine_protocol::control::{Key, KeyState};
use brine_protocol::time::Timestamp;
use brine_protocol::{Fingerprint, MinionId};

use super::plan::Step;
use crate::text::claim;

/// Shorter words do not search fingerprints: two digits are in every fourth of them by chance.
const DIGITS_MIN: usize = 4;

/// Which key: the same one whatever becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) id: MinionId,
    pub(crate) fingerprint: Fingerprint,
}

/// A key, and what is made of it once so that drawing and filtering need not.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) key: Key,
    /// Where it came from; empty when that is not known.
    pub(crate) address: String,
    /// Its operating system as claimed, safe to show.
    pub(crate) os: String,
    /// Its host name as claimed, safe to show.
    pub(crate) host: String,
    /// The record that it is linked to; behind `?` the one that it could be. Empty without any.
    pub(crate) record: String,
    pub(crate) ip: Option<IpAddr>,
    /// How many keys of its id wait for somebody to choose.
    pub(crate) candidates: usize,
    /// What a filter looks into, in lower case.
    words: String,
    /// What it looks into when it asks for claims, or for a record, which may rest on one: what a
    /// stranger says of himself shall not bring him into a selection of others.
    os_words: String,
    host_words: String,
    record_words: String,
    zone_words: String,
    /// Its fingerprint with and without colons.
    digits: String,
}

impl Row {
    pub(crate) fn new(key: Key) -> Self {
        let address = key.address.as_deref().map(escape).unwrap_or_default();
        let (os, host) = (claim(&key.claims.os), claim(&key.claims.host));
        let (record, zone) = match &key.server {
            None => (String::new(), String::new()),
            Some(server) => {
                let name = claim(&server.name);
                let zone = server.zone.as_deref().map(claim).unwrap_or_default();
                (if server.linked { name } else { format!("? {name}") }, zone)
            }
        };
        let pairs = key.fingerprint.to_string();
        let words = format!("{}\n{address}", key.id).to_lowercase();
        let (os_words, host_words) = (os.to_lowercase(), host.to_lowercase());
        let (record_words, zone_words) = (record.to_lowercase(), zone.to_lowercase());
        let digits = format!("{pairs}\n{}", pairs.replace(':', ""));
        let ip = key.address.as_deref().and_then(|address| address.parse().ok());
        Self {
            key,
            address,
            os,
            host,
            record,
            ip,
            candidates: 0,
            words,
            os_words,
            host_words,
            record_words,
            zone_words,
            digits,
        }
    }

    pub(crate) fn name(&self) -> Name {
        Name { id: self.key.id.clone(), fingerprint: self.key.fingerprint }
    }

    /// Whether every word of a filter, in lower case, is somewhere in this key.
    pub(crate) fn matches(&self, words: &[String]) -> bool {
        words.iter().all(|word| {
            if let Some(os) = word.strip_prefix("os:") {
                self.os_words.contains(os)
            } else if let Some(host) = word.strip_prefix("host:") {
                self.host_words.contains(host)
            } else if let Some(record) = word.strip_prefix("record:") {
                self.record_words.contains(record)
            } else if let Some(zone) = word.strip_prefix("zone:") {
                self.zone_words.contains(zone)
            } else {
                self.words.contains(word) || (word.len() >= DIGITS_MIN && self.digits.contains(word))
            }
        })
    }

    /// What to be careful about, in few letters: another key held the id before, several keys want
    /// it, a rule rejected it.
    pub(crate) fn mark(&self) -> String {
        let mut marks = Vec::new();
        if self.key.known_before {
            marks.push("!key".to_owned());
        }
        if self.candidates > 1 && is_candidate(self.key.state) {
            marks.push(format!("{} keys", self.candidates));
        }
        if self.key.rule.is_some() {
            marks.push("rule".to_owned());
        }
        marks.join(" ")
    }

    fn sorts(&self) -> (&MinionId, Fingerprint) {
        (&self.key.id, self.key.fingerprint)
    }
}

/// All keys that the master told of. It may not tell of all it has: nothing here assumes so.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// By id, then fingerprint.
    rows: Vec<Row>,
    /// What was done from here a moment ago. A list that was on its way meanwhile does not know it.
    done: BTreeMap<Name, Done>,
}

/// What an act made of a key.
#[derive(Debug)]
struct Done {
    was: KeyState,
    is: KeyState,
    at: Timestamp,
}

/// A list is on its way no longer than this, in seconds.
const ON_ITS_WAY: i64 = 5;

impl Keys {
    pub(crate) fn replace(&mut self, mut rows: Vec<Row>) {
        rows.sort_by(|a, b| a.sorts().cmp(&b.sorts()));
        self.rows = rows;
        self.set_right();
        for of_id in self.rows.chunk_by_mut(|a, b| a.key.id == b.key.id) {
            count_candidates(of_id);
        }
    }

    /// Puts these in the place of all keys of one id.
    pub(crate) fn replace_of(&mut self, id: &MinionId, mut rows: Vec<Row>) {
        rows.retain(|row| row.key.id == *id);
        rows.sort_by_key(|row| row.key.fingerprint);
        let range = self.range(id);
        self.rows.splice(range, rows);
        self.set_right();
        let range = self.range(id);
        count_candidates(&mut self.rows[range]);
    }

    /// Takes in that a step was done, before the master tells of it.
    pub(crate) fn settle(&mut self, step: &Step, now: Timestamp) {
        match step.leaves() {
            None => self.rows.retain(|row| row.key.id != step.name.id || row.name() != step.name),
            Some(is) => {
                let done = Done { was: step.was, is, at: now };
                self.apply(&step.name, &done);
                self.done.insert(step.name.clone(), done);
            }
        }
        let range = self.range(&step.name.id);
        count_candidates(&mut self.rows[range]);
    }

    /// Somebody else decided about this key: what was done here says nothing of it any more.
    pub(crate) fn unsettle(&mut self, name: &Name) {
        self.done.remove(name);
    }

    pub(crate) fn pass_time(&mut self, now: Timestamp) {
        self.done.retain(|_, done| now.seconds() - done.at.seconds() < ON_ITS_WAY);
    }

    /// Puts what was done here into a list that may not know it yet.
    fn set_right(&mut self) {
        let mut done = std::mem::take(&mut self.done);
        done.retain(|name, done| self.apply(name, done));
        self.done = done;
    }

    /// Whether the list does not tell of a later decision.
    fn apply(&mut self, name: &Name, done: &Done) -> bool {
        let range = self.range(&name.id);
        let row = self.rows[range].iter_mut().find(|row| row.key.fingerprint == name.fingerprint);
        let Some(row) = row else { return true };
        if row.key.state == done.was {
            row.key.state = done.is;
            row.key.rule = None;
        }
        row.key.state == done.is
    }

    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Every key of one id.
    pub(crate) fn of(&self, id: &MinionId) -> &[Row] {
        &self.rows[self.range(id)]
    }

    pub(crate) fn get(&self, name: &Name) -> Option<&Row> {
        self.of(&name.id).iter().find(|row| row.key.fingerprint == name.fingerprint)
    }

    /// The key that holds an id, working or suspended.
    pub(crate) fn holder(&self, id: &MinionId) -> Option<&Row> {
        self.of(id).iter().find(|row| matches!(row.key.state, KeyState::Accepted | KeyState::Suspended))
    }

    fn range(&self, id: &MinionId) -> std::ops::Range<usize> {
        let start = self.rows.partition_point(|row| row.key.id < *id);
        let count = self.rows[start..].partition_point(|row| row.key.id == *id);
        start..start + count
    }
}

fn is_candidate(state: KeyState) -> bool {
    matches!(state, KeyState::Pending | KeyState::Denied)
}

fn count_candidates(of_id: &mut [Row]) {
    let candidates = of_id.iter().filter(|row| is_candidate(row.key.state)).count();
    for row in of_id {
        row.candidates = candidates;
    }
}
