//! What the rules make of keys about which nobody has decided.

use std::collections::{BTreeMap, BTreeSet};

use brine_protocol::MinionId;
use brine_protocol::control::{Act, KeyName};
use brine_protocol::time::Timestamp;

use super::deciding::Wanted;
use super::{ActError, Done, Trust};
use crate::ledger::Log;
use crate::registry::Verdict;
use crate::registry::rules::{Rules, Ruling, shorten};
use crate::waiting::WaitingKey;

/// What other rules changed.
#[derive(Debug)]
pub struct Rejudged {
    /// Keys that were let in, or could not be.
    pub decided: Vec<Result<Done, ActError>>,
    /// Waiting keys that are turned away from now on.
    pub rejected: Vec<KeyName>,
    /// Waiting keys that no rule turns away any more.
    pub released: Vec<KeyName>,
}

impl<L: Log> Trust<L> {
    /// Replaces the rules, and judges anew every key that waits.
    pub fn set_rules(&mut self, rules: Rules, now: Timestamp) -> Rejudged {
        let before = std::mem::take(&mut self.ruled_out);
        self.rules = rules;
        for id in self.waiting_ids() {
            self.note_waiting(&id);
        }
        let decided = self.judge_all(now);
        Rejudged { decided, rejected: self.changed(&before, true), released: self.changed(&before, false) }
    }

    /// The waiting keys that are ruled out now and were not before, or the other way round.
    fn changed(&self, before: &BTreeMap<MinionId, String>, is_out: bool) -> Vec<KeyName> {
        let is_changed = |key: &&WaitingKey| {
            let (was, is) = (before.contains_key(&key.id), self.ruled_out.contains_key(&key.id));
            was != is && is == is_out && self.registry.standing(&key.id, key.fingerprint) == Verdict::Pending
        };
        self.waiting.iter().filter(is_changed).map(WaitingKey::name).collect()
    }

    /// The rules.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Lets in the key of this id by the rules: if nobody holds the id, exactly one key waits for
    /// it, and its minion has proved to have it.
    pub fn judge(&mut self, id: &MinionId, now: Timestamp) -> Option<Result<Done, ActError>> {
        let wanted = self.wanted(id)?;
        self.decide_all([wanted], now).pop()
    }

    /// The same for every id: when the rules are others, or when there is room again.
    pub fn judge_all(&mut self, now: Timestamp) -> Vec<Result<Done, ActError>> {
        let wanted: Vec<Wanted> = self.waiting_ids().iter().filter_map(|id| self.wanted(id)).collect();
        self.decide_all(wanted, now)
    }

    fn waiting_ids(&self) -> BTreeSet<MinionId> {
        self.waiting.iter().map(|key| key.id.clone()).collect()
    }

    fn wanted(&self, id: &MinionId) -> Option<Wanted> {
        let mut waiting = self.waiting.of(id);
        let (Some(key), None) = (waiting.next(), waiting.next()) else {
            return None;
        };
        // A key that was imported has yet to show that somebody here has it.
        if key.attempts == 0 || self.registry.standing(id, key.fingerprint) != Verdict::Pending {
            return None;
        }
        match self.rules.judge(id, &key.claims) {
            Ruling::Accept { rule, why } => Some(Wanted {
                act: Act::Accept,
                name: key.name(),
                imported: None,
                by: rule.by().to_owned(),
                reason: why,
            }),
            Ruling::Wait | Ruling::Reject { .. } => None,
        }
    }

    /// Bounds the keys that may be accepted or suspended; 0 means no limit. Who is in stays in.
    pub fn set_max_minions(&mut self, max: usize) {
        self.max_minions = max;
    }

    /// The bound, if there is one, and how many keys it counts now.
    #[must_use]
    pub fn fill(&self) -> Option<(usize, usize)> {
        (self.max_minions > 0).then(|| (self.max_minions, self.registry.holders()))
    }

    /// The line of `autoreject_file` that turns an id away while nobody has decided about it.
    pub(super) fn ruled_out(&self, id: &MinionId) -> Option<&str> {
        if self.waiting.of(id).next().is_some() {
            self.ruled_out.get(id).map(String::as_str)
        } else {
            self.rules.autoreject.find(id.as_str())
        }
    }

    /// Keeps [`Trust::ruled_out`] right after keys of an id came or went.
    pub(super) fn note_waiting(&mut self, id: &MinionId) {
        if self.waiting.of(id).next().is_none() {
            self.ruled_out.remove(id);
        } else if !self.ruled_out.contains_key(id)
            && let Some(line) = self.rules.autoreject.find(id.as_str())
        {
            let line = shorten(line);
            self.ruled_out.insert(id.clone(), line);
        }
    }
}
