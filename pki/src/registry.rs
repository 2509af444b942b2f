//! The registry of trust: what the decisions in the ledger have made of each key.
//!
//! ```text
//!                      accept                 suspend
//!   pending, denied ----------->  accepted  <----------->  suspended
//!         |                       |      ^     resume          |
//!         | reject         reject |      | accept              | reject
//!         |                       v      |                     |
//!         +--------------------->  rejected  <-----------------+
//!
//!   delete takes a key out of any state, and the registry forgets it.
//! ```
//!
//! A pure fold over ledger entries: the same entries make the same registry, on every machine.
//! **Invariants:** at most one key of an id is accepted or suspended; no key is trusted but by a
//! decision that accepts exactly that key (`accept`, or `pair`, `preseed` and `enrol`, which link it
//! to a server as well), or by a `rotate` to it from the key that was trusted; nothing here knows a
//! clock, a file or a waiting key.

mod history;
mod rotation;
pub mod rules;
pub mod servers;
mod succession;
mod transition;
mod trust;

pub use rotation::RotationRefusal;
pub use servers::{RefusalKind, ServerRefusal, Servers};
pub use succession::{Announced, MasterKeys, SuccessionRefusal};
pub use transition::{Fate, transition};
pub use trust::{
    ActError, Created, Done, Imported, Knocked, Knocker, OpenError, Opened, Rejudged, Replace, RotateError,
    ServerDone, ServerError, SuccessionError, Trust, Warning,
};

use std::collections::BTreeMap;

use brine_protocol::control::{Act, Decision, KeyName, KeyState};
use brine_protocol::time::Timestamp;
use brine_protocol::{Fingerprint, MinionId};

use crate::ledger::{Deed, Draft, Entry, KeyAct};
use history::History;

/// The longest reason of a decision, in bytes.
pub const REASON_MAX: usize = 1024;

/// Where a key stands: the verdict at its handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Its minion gets orders.
    Accepted {
        /// The number of the decision that accepted it. State that belongs to a minion belongs to
        /// its id and this number.
        generation: u64,
    },
    /// Somebody has to decide.
    Pending,
    /// An operator or a rule said no.
    Rejected,
    /// Another key holds the id.
    Denied,
    /// Accepted before, cut off for now.
    Suspended,
}

impl Verdict {
    /// The key's state.
    #[must_use]
    pub fn state(self) -> KeyState {
        match self {
            Verdict::Accepted { .. } => KeyState::Accepted,
            Verdict::Pending => KeyState::Pending,
            Verdict::Rejected => KeyState::Rejected,
            Verdict::Denied => KeyState::Denied,
            Verdict::Suspended => KeyState::Suspended,
        }
    }
}

/// A key that was decided about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// SHA-256 of the key.
    pub fingerprint: Fingerprint,
    /// DER of the public key.
    pub key: Vec<u8>,
    /// Accepted, rejected or suspended.
    pub state: KeyState,
    /// Number of the decision that accepted it last; 0 if none did.
    pub generation: u64,
    /// When it was first decided about.
    pub since: Timestamp,
}

/// Why an act is refused: one sentence for whoever asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such key is known.
    #[error("{id} has no key {fingerprint}")]
    Unknown {
        /// The id.
        id: MinionId,
        /// The key.
        fingerprint: Fingerprint,
    },
    /// It is not in the state in which the caller saw it.
    #[error("the key of {id} changed meanwhile: it is {}, not {}", .found.map_or("gone", KeyState::name), .expected.name())]
    Changed {
        /// The id.
        id: MinionId,
        /// What the caller saw.
        expected: KeyState,
        /// What it is.
        found: Option<KeyState>,
    },
    /// The act does not fit the state.
    #[error("cannot {} the key of {id}: {why}", .act.name())]
    Unfit {
        /// The id.
        id: MinionId,
        /// What was asked.
        act: Act,
        /// What stands against it.
        why: &'static str,
    },
    /// Another key holds the id.
    #[error(
        "{id} is held by the {} key {holder}; delete or reject that key before {fingerprint} can be accepted",
        .state.name()
    )]
    Held {
        /// The id.
        id: MinionId,
        /// The key that holds it.
        holder: Fingerprint,
        /// In which state.
        state: KeyState,
        /// The key that was to be accepted.
        fingerprint: Fingerprint,
    },
    /// As many minions as `max_minions` allows are in.
    #[error("cannot accept the key of {id}: max_minions is {max}, and so many are accepted or suspended")]
    Full {
        /// The id.
        id: MinionId,
        /// The limit.
        max: usize,
    },
    /// A key from elsewhere that is here.
    #[error("the key of {id} is {} here already", .state.name())]
    Known {
        /// The id.
        id: MinionId,
        /// Where it stands.
        state: KeyState,
    },
    /// A key from elsewhere that was suspended there.
    #[error("the key of {0} cannot be imported as suspended; import it as accepted and suspend it here")]
    Suspended(MinionId),
    /// As many keys wait as may.
    #[error("there is no room for another waiting key of {0} (pending_max, pending_per_id)")]
    NoRoom(MinionId),
    /// The reason is too long for the ledger.
    #[error("a reason has at most {REASON_MAX} bytes, this one has {0}")]
    ReasonTooLong(usize),
}

/// A key that nobody has decided about, and that is to be decided about.
#[derive(Debug, Clone, Copy)]
pub struct Proposed<'a> {
    /// DER of the public key.
    pub key: &'a [u8],
    /// Where it stands, a rule that turns it away included.
    pub standing: Verdict,
}

/// What is known of one id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Id {
    /// Few: at most one holder, and what operators rejected.
    keys: Vec<Decided>,
    /// Every key that was ever accepted for it.
    held: Vec<Fingerprint>,
}

impl Id {
    fn key(&self, fingerprint: Fingerprint) -> Option<&Decided> {
        self.keys.iter().find(|key| key.fingerprint == fingerprint)
    }

    fn holder(&self) -> Option<&Decided> {
        self.keys.iter().find(|key| is_holder(key.state))
    }
}

fn is_holder(state: KeyState) -> bool {
    match state {
        KeyState::Accepted | KeyState::Suspended => true,
        KeyState::Pending | KeyState::Rejected | KeyState::Denied => false,
    }
}

/// Whether a key is still in the state in which the caller saw it. To turn away or to forget a key
/// that nobody has decided about, it is all one whether another key of its id was decided about
/// meanwhile: of many keys of one id, the first rejected one makes the others denied.
fn is_as_seen(act: Act, expected: KeyState, found: Option<KeyState>) -> bool {
    let is_undecided = |state| matches!(state, KeyState::Pending | KeyState::Denied);
    match act {
        _ if found == Some(expected) => true,
        Act::Reject | Act::Delete => is_undecided(expected) && found.is_some_and(is_undecided),
        Act::Accept | Act::Suspend | Act::Resume => false,
    }
}

/// The registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registry {
    ids: BTreeMap<MinionId, Id>,
    history: History,
    config_serial: u64,
    master: MasterKeys,
    servers: Servers,
}

impl Registry {
    /// The registry that these entries make.
    #[must_use]
    pub fn fold<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Self {
        let mut registry = Self::default();
        for entry in entries {
            registry.apply(entry);
        }
        registry
    }

    /// Takes in the next entry.
    ///
    /// Any entry can be applied in any state: after a repair, lines before it may be missing.
    /// What does not fit changes nothing, and an accept displaces whatever key held the id.
    pub fn apply(&mut self, entry: &Entry) {
        self.history.note(entry, &self.servers);
        match &entry.deed {
            Deed::Config { serial } => self.config_serial = self.config_serial.max(*serial),
            Deed::Rotate { id, fingerprint, key, from, .. } => {
                self.apply_rotation(id, *fingerprint, key, *from);
            }
            Deed::Announce { .. } | Deed::Succeed { .. } | Deed::Withdraw { .. } => self.master.apply(entry),
            Deed::Key { .. }
            | Deed::Repair { .. }
            | Deed::Server { .. }
            | Deed::Token { .. }
            | Deed::Refuse { .. } => {}
        }
        for act in entry.deed.key_acts() {
            self.apply_act(entry, act);
        }
        self.apply_links(entry);
    }

    fn apply_act(&mut self, entry: &Entry, on: KeyAct<'_>) {
        let KeyAct { act, id, fingerprint, key } = on;
        let of_id = match (act, key) {
            (Act::Accept | Act::Reject, Some(_)) => self.ids.entry(id.clone()).or_default(),
            _ => match self.ids.get_mut(id) {
                Some(known) => known,
                None => return,
            },
        };
        let at = of_id.keys.iter().position(|key| key.fingerprint == fingerprint);
        match (act, at, key) {
            (Act::Accept | Act::Reject, at, Some(key)) => {
                let at = at.unwrap_or_else(|| {
                    of_id.keys.push(Decided {
                        fingerprint,
                        key: key.to_vec(),
                        state: KeyState::Rejected,
                        generation: 0,
                        since: entry.at,
                    });
                    of_id.keys.len() - 1
                });
                let decided = &mut of_id.keys[at];
                if act == Act::Reject {
                    decided.state = KeyState::Rejected;
                } else {
                    decided.state = KeyState::Accepted;
                    decided.generation = entry.seq;
                    of_id.keys.retain(|key| key.fingerprint == fingerprint || !is_holder(key.state));
                    if !of_id.held.contains(&fingerprint) {
                        of_id.held.push(fingerprint);
                    }
                }
            }
            // A decision about a server names keys that are here, without saying them again.
            (Act::Reject, Some(at), None) => of_id.keys[at].state = KeyState::Rejected,
            (Act::Delete, Some(at), _) => {
                of_id.keys.remove(at);
            }
            (Act::Suspend, Some(at), _) if of_id.keys[at].state == KeyState::Accepted => {
                of_id.keys[at].state = KeyState::Suspended;
            }
            (Act::Resume, Some(at), _) if of_id.keys[at].state == KeyState::Suspended => {
                of_id.keys[at].state = KeyState::Accepted;
            }
            (Act::Accept | Act::Reject, _, None) | (Act::Delete | Act::Suspend | Act::Resume, _, _) => {}
        }
    }

    /// The key that holds an id: accepted or suspended.
    #[must_use]
    pub fn holder(&self, id: &MinionId) -> Option<&Decided> {
        self.ids.get(id)?.holder()
    }

    /// Server records, links and enrolment tokens.
    #[must_use]
    pub fn servers(&self) -> &Servers {
        &self.servers
    }

    /// Decides whether an act can be done. What comes back goes into the ledger, and from there
    /// to [`Registry::apply`].
    ///
    /// `proposed` is the key, if nobody has decided about it.
    ///
    /// # Errors
    /// The refusal, in one sentence.
    pub fn decide(
        &self,
        act: Act,
        name: &KeyName,
        proposed: Option<Proposed<'_>>,
        by: &str,
        reason: Option<&str>,
    ) -> Result<Draft, Refusal> {
        let KeyName { id, fingerprint, state: expected } = name;
        if let Some(reason) = reason.filter(|reason| reason.len() > REASON_MAX) {
            return Err(Refusal::ReasonTooLong(reason.len()));
        }
        let decided = self.key(id, *fingerprint);
        let key = decided.map(|decided| decided.key.as_slice()).or(proposed.map(|proposed| proposed.key));
        let standing = self.standing(id, *fingerprint).state();
        let found = match proposed {
            Some(proposed) if decided.is_none() => Some(proposed.standing.state()),
            Some(_) | None => decided.map(|_| standing),
        };
        if let Some(expected) = expected.filter(|expected| !is_as_seen(act, *expected, found)) {
            return Err(Refusal::Changed { id: id.clone(), expected, found });
        }
        let Some(key) = key else {
            return Err(Refusal::Unknown { id: id.clone(), fingerprint: *fingerprint });
        };
        // What a rule rejects, nobody has decided about: it may still be rejected for good.
        if let Fate::Refused(why) = transition(standing, act) {
            return Err(Refusal::Unfit { id: id.clone(), act, why });
        }
        let holder = self.ids.get(id).and_then(Id::holder);
        if let (Act::Accept, Some(holder)) = (act, holder.filter(|holder| holder.fingerprint != *fingerprint))
        {
            return Err(Refusal::Held {
                id: id.clone(),
                holder: holder.fingerprint,
                state: holder.state,
                fingerprint: *fingerprint,
            });
        }
        Ok(Draft {
            by: by.to_owned(),
            reason: reason.map(str::to_owned),
            deed: Deed::Key {
                act,
                id: id.clone(),
                fingerprint: *fingerprint,
                key: crate::ledger::keeps_key(act).then(|| key.to_vec()),
            },
        })
    }

    /// Where a key stands with this id, known or not.
    #[must_use]
    pub fn standing(&self, id: &MinionId, fingerprint: Fingerprint) -> Verdict {
        let Some(of_id) = self.ids.get(id).filter(|of_id| !of_id.keys.is_empty()) else {
            return Verdict::Pending;
        };
        match of_id.key(fingerprint) {
            None => Verdict::Denied,
            Some(key) => match key.state {
                KeyState::Accepted => Verdict::Accepted { generation: key.generation },
                KeyState::Suspended => Verdict::Suspended,
                KeyState::Rejected | KeyState::Pending | KeyState::Denied => Verdict::Rejected,
            },
        }
    }

    /// Whether the key that was accepted by this decision is accepted now: asked for every frame.
    #[must_use]
    pub fn is_accepted(&self, id: &MinionId, generation: u64) -> bool {
        let holder = self.ids.get(id).and_then(Id::holder);
        holder.is_some_and(|key| key.generation == generation && key.state == KeyState::Accepted)
    }

    /// How many keys are accepted or suspended.
    #[must_use]
    pub fn holders(&self) -> usize {
        self.keys().filter(|(_, key)| is_holder(key.state)).count()
    }

    /// Whether another key than this one held the id before, or holds it.
    #[must_use]
    pub fn known_before(&self, id: &MinionId, fingerprint: Fingerprint) -> bool {
        self.ids.get(id).is_some_and(|of_id| of_id.held.iter().any(|held| *held != fingerprint))
    }

    /// A key that was decided about.
    #[must_use]
    pub fn key(&self, id: &MinionId, fingerprint: Fingerprint) -> Option<&Decided> {
        self.ids.get(id)?.key(fingerprint)
    }

    /// The keys of one id that were decided about.
    pub fn keys_of(&self, id: &MinionId) -> impl Iterator<Item = &Decided> {
        self.ids.get(id).into_iter().flat_map(|of_id| &of_id.keys)
    }

    /// Every decision about keys of an id, oldest first.
    #[must_use]
    pub fn history(&self, id: &MinionId) -> &[Decision] {
        self.history.of(id)
    }

    /// Every key that was decided about, by id.
    pub fn keys(&self) -> impl Iterator<Item = (&MinionId, &Decided)> {
        self.ids.iter().flat_map(|(id, of_id)| of_id.keys.iter().map(move |key| (id, key)))
    }

    /// The minions that get orders, by id, with their generations.
    pub fn accepted(&self) -> impl Iterator<Item = (&MinionId, u64)> {
        self.keys().filter(|(_, key)| key.state == KeyState::Accepted).map(|(id, key)| (id, key.generation))
    }

    /// The last serial of a handshake config; 0 before the first.
    #[must_use]
    pub fn config_serial(&self) -> u64 {
        self.config_serial
    }
}

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
