//! Acts on keys, and what each of them does to sessions and orders.

use std::collections::BTreeMap;

use brine_pki::key::PublicKey;
use brine_pki::ledger::Log;
use brine_pki::registry::{ActError, Done, Imported, Verdict};
use brine_protocol::Fingerprint;
use brine_protocol::control::{
    Act, ImportRequest, KEY_STATES, Key, KeyActRequest, KeyActResult, KeyState, KeysQuery, Problem,
    ProblemKind,
};
use brine_protocol::job::Ending;
use brine_protocol::message::{Standing, ToMinion};
use brine_protocol::permission::Verb;
use serde_json::{Map, Value, json};

use super::events::{Whose, name_server};
use super::refusals::subject;
use super::zones::KeyUse;
use super::{Engine, Output};
use crate::roles::Principal;
use crate::store::Record;

/// Keys in one import: each is parsed and may become a decision while nothing else is done.
const IMPORT_MAX: usize = 1000;

/// The fingerprint in the result of what is no key.
const NO_KEY: Fingerprint = Fingerprint([0; 32]);

impl<L: Log> Engine<L> {
    /// Does one act on every key named; each succeeds or is refused by itself.
    pub(super) fn act(&mut self, request: &KeyActRequest, by: &Principal) -> Vec<KeyActResult> {
        let (who, act) = (by.to_string(), request.act);
        let mut refusals = Vec::new();
        let mut allowed = Vec::new();
        for name in &request.keys {
            let refused = self.may_act_on_key(by, name, KeyUse::Act(act)).err();
            if refused.is_some() {
                self.note_refused(&who, Verb::KeysAct, &subject(act.name(), Some(name), 1));
            } else {
                allowed.push(name.clone());
            }
            refusals.push(refused.map(|problem| problem.detail));
        }
        let whose: Vec<_> =
            allowed.iter().map(|name| self.whose_key(&name.id, Some(name.fingerprint))).collect();
        let done = self.trust.act_all(act, &allowed, &who, request.reason.as_deref(), self.now.wall);
        let mut done = done.into_iter().zip(whose);
        let results = request.keys.iter().zip(refusals).map(|(name, refused)| {
            let refused = refused.or_else(|| match done.next().expect("each allowed one has a result") {
                (Ok(done), whose) => {
                    self.decided_for(act, &done, &who, whose);
                    None
                }
                (Err(error), _) => Some(self.undone(&error)),
            });
            KeyActResult { id: name.id.clone(), fingerprint: name.fingerprint, refused }
        });
        results.collect()
    }

    /// Why an act was not done, for whoever asked.
    fn undone(&mut self, error: &ActError) -> String {
        match error {
            ActError::Refused(refusal) => refusal.to_string(),
            ActError::Ledger(error) => {
                self.output(Output::Count("ledger_failed"));
                format!("nothing was done: {error}")
            }
        }
    }

    /// Takes in keys that never knocked here; each succeeds or is refused by itself.
    pub(super) fn import(
        &mut self,
        request: &ImportRequest,
        by: &Principal,
    ) -> Result<Vec<KeyActResult>, Problem> {
        if request.keys.len() > IMPORT_MAX {
            let detail =
                format!("an import has at most {IMPORT_MAX} keys, this one has {}", request.keys.len());
            return Err(Problem::new(ProblemKind::BadRequest, detail));
        }
        let mut results = Vec::new();
        let mut good = Vec::new();
        for (at, key) in request.keys.iter().enumerate() {
            let (fingerprint, refused) = match PublicKey::from_pem(&key.public_key) {
                Ok(read) => {
                    let (fingerprint, der) = (read.fingerprint(), read.der().to_vec());
                    let imported = Imported { id: key.id.clone(), fingerprint, key: der, state: key.state };
                    good.push((at, imported));
                    (fingerprint, None)
                }
                Err(error) => {
                    (NO_KEY, Some(format!("what is given as the key of {} is none: {error}", key.id)))
                }
            };
            results.push(KeyActResult { id: key.id.clone(), fingerprint, refused });
        }
        let who = by.to_string();
        let reason = request.reason.as_deref().unwrap_or("imported");
        let (places, keys): (Vec<usize>, Vec<Imported>) = good.into_iter().unzip();
        let done = self.trust.import(&keys, &who, Some(reason), self.now.wall);
        for ((at, key), done) in places.into_iter().zip(&keys).zip(done) {
            match done {
                Ok(Some(done)) => {
                    let act = if key.state == KeyState::Accepted { Act::Accept } else { Act::Reject };
                    self.on_decided(act, &done, &who);
                }
                Ok(None) => {
                    let state = self.trust.standing(&key.id, key.fingerprint).state().name();
                    let data = json!({"fingerprint": key.fingerprint, "by": who});
                    self.passing_event(format!("brine/key/{}/{state}", key.id), data);
                }
                Err(error) => results[at].refused = Some(self.undone(&error)),
            }
        }
        Ok(results)
    }

    /// A decision is on disk: who gains is let in at once, who loses is cut off at once.
    pub(super) fn on_decided(&mut self, act: Act, done: &Done, by: &str) {
        let whose = match done.unlinked {
            Some(server) => Some(self.whose_server(server)),
            None => self.whose_key(&done.id, Some(done.fingerprint)),
        };
        self.decided_for(act, done, by, whose);
    }

    /// The same of a key that was, or is, this record's.
    pub(super) fn decided_for(&mut self, act: Act, done: &Done, by: &str, whose: Option<Whose>) {
        let (id, fingerprint) = (&done.id, done.fingerprint);
        let key = (id.clone(), fingerprint);
        if matches!(done.was, Verdict::Accepted { .. }) {
            // The group key it knows is good for nothing from the next broadcast on.
            self.end_epoch();
            if let Some(conn) = self.by_id.remove(id) {
                self.sessions.remove(&conn);
                self.output(Output::Cut { conn, why: "key_removed" });
            }
            let because = format!("{by}: its key was {}", act.past());
            self.end_orders(id, |_| Ending::Cancelled { by: because.clone() });
        }
        match done.is {
            Some(Verdict::Accepted { generation }) => {
                // It may not read what was broadcast before it was let in, should it have kept it.
                self.end_epoch();
                if let Some(conn) = self.waiting.get(&key).copied() {
                    self.admit(conn, generation);
                }
            }
            Some(Verdict::Rejected) => {
                if let Some(conn) = self.waiting.get(&key).copied() {
                    self.send(conn, ToMinion::Standing(Standing::Rejected));
                }
                self.close_waiting(&key, "key_rejected");
            }
            Some(Verdict::Pending | Verdict::Denied | Verdict::Suspended) => {}
            None => {
                if matches!(done.was, Verdict::Accepted { .. } | Verdict::Suspended) {
                    // A later owner of the id sees nothing of this one.
                    self.facts.remove(id);
                    self.last_jobs.remove(id);
                    self.output(Output::Persist(Record::Forget(id.clone())));
                }
                self.close_waiting(&key, "key_deleted");
            }
        }
        let mut data = json!({"fingerprint": fingerprint, "by": by, "was": done.was.state().name()});
        if let Some(reason) = &done.entry.reason {
            data["reason"] = reason.as_str().into();
        }
        let zone = name_server(&mut data, whose);
        self.event_in_zone(format!("brine/key/{id}/{}", act.past()), data, zone);
        if let Some(server) = done.unlinked {
            self.unlinked(server, id, fingerprint, by, done.entry.reason.as_deref());
        }
        if done.is.is_none() {
            // Of two that waited, the other may be the only one now.
            self.judge(id);
        }
        let is_holder = |verdict| matches!(verdict, Verdict::Accepted { .. } | Verdict::Suspended);
        let has_room_again = is_holder(done.was) && !done.is.is_some_and(is_holder);
        self.judge_again |= has_room_again && self.trust.fill().is_some();
    }

    /// How many keys that are shown to this caller are in each state.
    pub(super) fn counts(&self, by: &Principal) -> Map<String, Value> {
        let mut counts: BTreeMap<KeyState, u64> = BTreeMap::new();
        if by.zones().is_some() {
            let keys = self.trust.find(&KeysQuery { public_key: false, ..KeysQuery::default() });
            for key in keys.iter().filter(|key| self.sees_key(by, key)) {
                *counts.entry(key.state).or_default() += 1;
            }
        } else {
            counts.extend(KEY_STATES.map(|state| (state, self.trust.count(state) as u64)));
        }
        let count = |state: &KeyState| counts.get(state).copied().unwrap_or_default();
        KEY_STATES.iter().map(|state| (state.name().to_owned(), count(state).into())).collect()
    }

    /// The keys that are asked for and shown to this caller, with their records and with whether
    /// their minions are connected.
    pub(super) fn keys(&self, by: &Principal, query: &KeysQuery) -> Vec<Key> {
        let mut keys = self.trust.find(query);
        keys.retain(|key| self.sees_key(by, key));
        for key in &mut keys {
            key.server = self.key_server(key);
            key.connected = match key.state {
                KeyState::Accepted => self
                    .by_id
                    .get(&key.id)
                    .and_then(|conn| self.sessions.get(conn))
                    .is_some_and(|session| session.fingerprint == key.fingerprint),
                KeyState::Pending | KeyState::Rejected | KeyState::Denied | KeyState::Suspended => {
                    self.waiting.contains_key(&(key.id.clone(), key.fingerprint))
                }
            };
        }
        keys
    }
}
