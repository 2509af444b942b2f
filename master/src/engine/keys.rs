//! Acts on keys, and what each of them does to sessions and orders.

use brine_pki::key::PublicKey;
use brine_pki::ledger::Log;
use brine_pki::registry::{ActError, Done, Imported, Verdict};
use brine_protocol::Fingerprint;
use brine_protocol::control::{
    Act, ImportRequest, Key, KeyActRequest, KeyActResult, KeyState, KeysQuery, Problem, ProblemKind,
};
use brine_protocol::job::Ending;
use brine_protocol::message::{Standing, ToMinion};
use serde_json::json;

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
        let who = by.to_string();
        let reason = request.reason.as_deref();
        let done = self.trust.act_all(request.act, &request.keys, &who, reason, self.now.wall);
        let results = request.keys.iter().zip(done).map(|(name, done)| {
            let refused = match done {
                Ok(done) => {
                    self.on_decided(request.act, &done, &who);
                    None
                }
                Err(error) => Some(self.undone(&error)),
            };
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
                    self.output(Output::Persist(Record::Forget(id.clone())));
                }
                self.close_waiting(&key, "key_deleted");
            }
        }
        let mut data = json!({"fingerprint": fingerprint, "by": by, "was": done.was.state().name()});
        if let Some(reason) = &done.entry.reason {
            data["reason"] = reason.as_str().into();
        }
        self.event(format!("brine/key/{id}/{}", act.past()), data);
        if done.is.is_none() {
            // Of two that waited, the other may be the only one now.
            self.judge(id);
        }
        let is_holder = |verdict| matches!(verdict, Verdict::Accepted { .. } | Verdict::Suspended);
        let has_room_again = is_holder(done.was) && !done.is.is_some_and(is_holder);
        self.judge_again |= has_room_again && self.trust.fill().is_some();
    }

    /// The keys that are asked for, with whether their minions are connected.
    pub(super) fn keys(&self, query: &KeysQuery) -> Vec<Key> {
        let mut keys = self.trust.find(query);
        for key in &mut keys {
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
