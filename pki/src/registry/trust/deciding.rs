//! Decisions: judged against the registry as it is, on disk, and only then true.
//!
//! Many at a time cost one flush: none of them depends on another of the same part. Rejecting or
//! deleting a key asks for nothing but that key; everything else asks who holds the id.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use brine_protocol::control::{Act, KeyName, KeyState};
use brine_protocol::time::Timestamp;
use brine_protocol::{Fingerprint, MinionId, ServerId};

use super::{Sighting, Trust};
use crate::ledger::{Draft, Entry, LedgerError, Log};
use crate::registry::{Fate, Proposed, Refusal, Verdict, transition};
use crate::waiting::WaitingKey;

/// Decisions that go to disk together at most: some megabytes, written in one go.
pub(super) const PART_MAX: usize = 1000;

/// An act that was done and is in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The ledger entry.
    pub entry: Entry,
    /// The key.
    pub id: MinionId,
    /// The key.
    pub fingerprint: Fingerprint,
    /// Where it stood.
    pub was: Verdict,
    /// Where it stands; none when it is forgotten.
    pub is: Option<Verdict>,
    /// The server whose link this undid. Of a [`super::ServerDone`] it is the server that the
    /// decision is about, and told there as well.
    pub unlinked: Option<ServerId>,
}

/// Why an act was not done.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ActError {
    /// It does not fit.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The ledger could not be written; of several that were to be written together, none was.
    #[error(transparent)]
    Ledger(Arc<LedgerError>),
}

/// A key that comes from elsewhere, checked by the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Whose.
    pub id: MinionId,
    /// SHA-256 of it.
    pub fingerprint: Fingerprint,
    /// DER of the public key.
    pub key: Vec<u8>,
    /// What it was there.
    pub state: KeyState,
}

/// An act that somebody, or a rule, wants done.
pub(super) struct Wanted {
    pub(super) act: Act,
    pub(super) name: KeyName,
    /// The key, when it is neither decided about nor waiting.
    pub(super) imported: Option<Vec<u8>>,
    pub(super) by: String,
    pub(super) reason: Option<String>,
}

/// A decision that only has to be written.
struct Prepared {
    /// Whose result it is.
    at: usize,
    act: Act,
    name: KeyName,
    was: Verdict,
    draft: Draft,
}

impl<L: Log> Trust<L> {
    /// Does an act on a key. When it returns, the decision is on disk and holds.
    ///
    /// # Errors
    /// It does not fit, or the ledger could not be written; nothing has changed.
    pub fn act(
        &mut self,
        act: Act,
        name: &KeyName,
        by: &str,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<Done, ActError> {
        let mut done = self.act_all(act, std::slice::from_ref(name), by, reason, now);
        done.pop().expect("there is a result for each name")
    }

    /// Does one act on many keys, with one flush for a thousand of them. Each succeeds or is
    /// refused by itself; the results are in the order of the names.
    pub fn act_all(
        &mut self,
        act: Act,
        names: &[KeyName],
        by: &str,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Vec<Result<Done, ActError>> {
        let wanted = names.iter().map(|name| Wanted {
            act,
            name: name.clone(),
            imported: None,
            by: by.to_owned(),
            reason: reason.map(str::to_owned),
        });
        self.decide_all(wanted, now)
    }

    /// Takes in keys from elsewhere. Of a key that nobody decides about there is nothing to be
    /// done: it waits here from now on, and as what is derived.
    pub fn import(
        &mut self,
        keys: &[Imported],
        by: &str,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Vec<Result<Option<Done>, ActError>> {
        let mut results: Vec<_> = keys.iter().map(|_| None).collect();
        let decided = |state| match state {
            KeyState::Accepted => Some(Act::Accept),
            KeyState::Rejected => Some(Act::Reject),
            KeyState::Pending | KeyState::Denied | KeyState::Suspended => None,
        };
        let acts: Vec<(usize, Act)> =
            keys.iter().enumerate().filter_map(|(at, key)| Some((at, decided(key.state)?))).collect();
        let wanted = acts.iter().map(|(at, act)| Wanted {
            act: *act,
            name: KeyName { id: keys[*at].id.clone(), fingerprint: keys[*at].fingerprint, state: None },
            imported: Some(keys[*at].key.clone()),
            by: by.to_owned(),
            reason: reason.map(str::to_owned),
        });
        for ((at, _), done) in acts.iter().zip(self.decide_all(wanted, now)) {
            results[*at] = Some(done.map(Some));
        }
        let waits = |(at, result): (usize, Option<_>)| {
            result.unwrap_or_else(|| Ok(self.import_waiting(&keys[at], now).map(|()| None)?))
        };
        results.into_iter().enumerate().map(waits).collect()
    }

    fn import_waiting(&mut self, imported: &Imported, now: Timestamp) -> Result<(), Refusal> {
        let Imported { id, fingerprint, key, state } = imported;
        if *state == KeyState::Suspended {
            return Err(Refusal::Suspended(id.clone()));
        }
        let is_known =
            self.registry.key(id, *fingerprint).is_some() || self.waiting.get(id, *fingerprint).is_some();
        if is_known {
            let state = self.standing(id, *fingerprint).state();
            return Err(Refusal::Known { id: id.clone(), state });
        }
        let waits = WaitingKey::imported(id.clone(), *fingerprint, key.clone(), now);
        if !self.waiting.add(waits) {
            return Err(Refusal::NoRoom(id.clone()));
        }
        self.note_waiting(id);
        Ok(())
    }

    pub(super) fn decide_all(
        &mut self,
        wanted: impl IntoIterator<Item = Wanted>,
        now: Timestamp,
    ) -> Vec<Result<Done, ActError>> {
        let mut results = Vec::new();
        let mut part: Vec<Prepared> = Vec::new();
        // What the part is about.
        let mut keys: BTreeMap<MinionId, BTreeSet<Fingerprint>> = BTreeMap::new();
        let mut holders = self.holders();
        for (at, wanted) in wanted.into_iter().enumerate() {
            let depends = keys.get(&wanted.name.id).is_some_and(|keys| match wanted.act {
                Act::Reject | Act::Delete => keys.contains(&wanted.name.fingerprint),
                Act::Accept | Act::Suspend | Act::Resume => true,
            });
            if part.len() >= PART_MAX || depends {
                self.write(&mut part, &mut results, now);
                keys.clear();
                holders = self.holders();
            }
            // Every prepared one gets its result when its part is written.
            results.push(None);
            match self.prepare(at, &wanted, holders) {
                Ok(prepared) => {
                    holders += usize::from(prepared.act == Act::Accept);
                    keys.entry(prepared.name.id.clone()).or_default().insert(prepared.name.fingerprint);
                    part.push(prepared);
                }
                Err(refusal) => results[at] = Some(Err(refusal.into())),
            }
        }
        self.write(&mut part, &mut results, now);
        results.into_iter().map(|result| result.expect("every part was written or refused")).collect()
    }

    /// How many keys `max_minions` counts; not asked for without such a limit.
    pub(super) fn holders(&self) -> usize {
        if self.max_minions == 0 { 0 } else { self.registry.holders() }
    }

    fn prepare(&self, at: usize, wanted: &Wanted, holders: usize) -> Result<Prepared, Refusal> {
        let Wanted { act, name, imported, by, reason } = wanted;
        let (id, fingerprint) = (&name.id, name.fingerprint);
        let was = self.standing(id, fingerprint);
        if imported.is_some() && self.registry.key(id, fingerprint).is_some() {
            return Err(Refusal::Known { id: id.clone(), state: was.state() });
        }
        let waiting = self.waiting.get(id, fingerprint).map(|key| key.key.as_slice());
        let proposed = waiting.or(imported.as_deref()).map(|key| Proposed { key, standing: was });
        let draft = self.registry.decide(*act, name, proposed, by, reason.as_deref())?;
        if *act == Act::Accept && self.max_minions > 0 && holders >= self.max_minions {
            return Err(Refusal::Full { id: id.clone(), max: self.max_minions });
        }
        Ok(Prepared { at, act: *act, name: name.clone(), was, draft })
    }

    /// Writes a part, and lets it be true.
    fn write(
        &mut self,
        part: &mut Vec<Prepared>,
        results: &mut [Option<Result<Done, ActError>>],
        now: Timestamp,
    ) {
        if part.is_empty() {
            return;
        }
        let (drafts, decided): (Vec<_>, Vec<_>) =
            part.drain(..).map(|p| (p.draft, (p.at, p.act, p.name, p.was))).unzip();
        match self.log.append_all(drafts, now) {
            Ok(entries) => {
                for ((at, act, name, was), entry) in decided.into_iter().zip(entries) {
                    let linked = self.linked_by(&name);
                    self.registry.apply(&entry);
                    results[at] = Some(Ok(self.finish(act, name, was, linked, entry, now)));
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                for (at, ..) in decided {
                    results[at] = Some(Err(ActError::Ledger(Arc::clone(&error))));
                }
            }
        }
    }

    /// The server that is linked to a key.
    pub(super) fn linked_by(&self, name: &KeyName) -> Option<ServerId> {
        self.registry.servers().of_key(&name.id, name.fingerprint)
    }

    /// Tidies up behind an act that is true now. `linked` is the server that the key was linked to.
    pub(super) fn finish(
        &mut self,
        act: Act,
        name: KeyName,
        was: Verdict,
        linked: Option<ServerId>,
        entry: Entry,
        now: Timestamp,
    ) -> Done {
        let unlinked = linked.filter(|server| self.linked_by(&name) != Some(*server));
        let (id, fingerprint) = (name.id, name.fingerprint);
        let waited = self.waiting.remove(&id, fingerprint);
        self.note_waiting(&id);
        let is = if transition(was.state(), act) == Fate::Gone {
            self.sightings.remove(&(id.clone(), fingerprint));
            None
        } else {
            if let Some(key) = waited {
                let sighting = self.sighting(id.clone(), fingerprint, now);
                *sighting = Sighting {
                    first_seen: key.first_seen,
                    last_seen: key.last_seen,
                    address: Some(key.address),
                    attempts: key.attempts,
                    claims: key.claims,
                };
            }
            Some(self.standing(&id, fingerprint))
        };
        Done { entry, id, fingerprint, was, is, unlinked }
    }
}
