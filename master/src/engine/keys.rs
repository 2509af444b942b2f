//! Acts on keys, and what each of them does to sessions and orders.

use brine_pki::ledger::Log;
use brine_pki::registry::{ActError, Done, Verdict};
use brine_protocol::control::{Act, Key, KeyActRequest, KeyActResult, KeyState};
use brine_protocol::job::Ending;
use brine_protocol::message::{Standing, ToMinion};
use serde_json::json;

use super::{Engine, Output};
use crate::roles::Principal;
use crate::store::Record;

impl<L: Log> Engine<L> {
    /// Does one act on every key named; each succeeds or is refused by itself.
    pub(super) fn act(&mut self, request: &KeyActRequest, by: &Principal) -> Vec<KeyActResult> {
        let who = by.to_string();
        let mut results = Vec::new();
        for name in &request.keys {
            let done = self.trust.act(request.act, name, &who, request.reason.as_deref(), self.now.wall);
            let refused = match done {
                Ok(done) => {
                    self.on_decided(request.act, &done, &who);
                    None
                }
                Err(error @ ActError::Refused(_)) => Some(error.to_string()),
                Err(error @ ActError::Ledger(_)) => {
                    self.output(Output::Count("ledger_failed"));
                    Some(format!("nothing was done: {error}"))
                }
            };
            results.push(KeyActResult { id: name.id.clone(), fingerprint: name.fingerprint, refused });
        }
        results
    }

    /// A decision is on disk: who gains is let in at once, who loses is cut off at once.
    fn on_decided(&mut self, act: Act, done: &Done, by: &str) {
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
        let data = json!({"fingerprint": fingerprint, "by": by, "was": done.was.state().name()});
        self.event(format!("brine/key/{id}/{}", act.past()), data);
    }

    /// Every key, with whether its minion is connected.
    pub(super) fn keys(&self) -> Vec<Key> {
        let mut keys = self.trust.list();
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
