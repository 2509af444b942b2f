//! All about one key, and what to compare it with. It stays with its key, whatever becomes of that
//! and wherever the list moves, until the operator goes to another one.

use brine_protocol::control::{Decision, KeyState};
use brine_protocol::{Fingerprint, MinionId};

use super::keys::{Keys, Name};

/// What the ledger says of an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum History {
    Awaited,
    Here(Vec<Decision>),
    Failed(String),
}

/// The detail of a key.
#[derive(Debug)]
pub(crate) struct Detail {
    pub(crate) name: Name,
    /// Its state when this was opened.
    pub(crate) was: KeyState,
    pub(crate) history: History,
    /// The first line shown.
    pub(crate) top: usize,
}

/// A key of the same id to hold beside this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rival {
    pub(crate) fingerprint: Fingerprint,
    /// Its state now; none when the id is no longer its own.
    pub(crate) state: Option<KeyState>,
    /// What it is to the id.
    pub(crate) what: &'static str,
}

impl Detail {
    pub(crate) fn new(name: Name, was: KeyState) -> Self {
        Self { name, was, history: History::Awaited, top: 0 }
    }

    /// Shows another key; what is known of its id stays.
    pub(crate) fn turn_to(&mut self, name: Name, was: KeyState) {
        if self.name.id != name.id {
            self.history = History::Awaited;
        }
        (self.name, self.was, self.top) = (name, was, 0);
    }

    pub(crate) fn learn(&mut self, id: &MinionId, history: Result<Vec<Decision>, String>) {
        if self.name.id == *id {
            self.history = history.map_or_else(History::Failed, History::Here);
        }
    }

    pub(crate) fn scroll(&mut self, lines: isize) {
        // The view knows where the end is, and the state is put right by it.
        self.top = self.top.saturating_add_signed(lines);
    }

    /// The keys to hold beside this one: what holds the id, then what also wants it, then what
    /// held it last.
    pub(crate) fn rivals(&self, keys: &Keys) -> Vec<Rival> {
        let others =
            || keys.of(&self.name.id).iter().filter(|row| row.key.fingerprint != self.name.fingerprint);
        let mut rivals = Vec::new();
        let mut add = |states: &[KeyState], what| {
            rivals.extend(others().filter(|row| states.contains(&row.key.state)).map(|row| Rival {
                fingerprint: row.key.fingerprint,
                state: Some(row.key.state),
                what,
            }));
        };
        add(&[KeyState::Accepted, KeyState::Suspended], "holds the id");
        add(&[KeyState::Pending, KeyState::Denied], "wants the id too");
        add(&[KeyState::Rejected], "was rejected for the id");
        if let History::Here(decisions) = &self.history {
            let is_new = |fingerprint: &Fingerprint| {
                *fingerprint != self.name.fingerprint
                    && rivals.iter().all(|rival| rival.fingerprint != *fingerprint)
            };
            let held = decisions
                .iter()
                .rev()
                .filter(|decision| matches!(decision.act.as_str(), "accept" | "rotate"));
            let last =
                held.flat_map(|decision| [Some(decision.fingerprint), decision.from]).flatten().find(is_new);
            if let Some(fingerprint) = last {
                rivals.push(Rival { fingerprint, state: None, what: "held the id before" });
            }
        }
        rivals
    }
}
