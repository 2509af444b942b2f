//! What was decided about each id, and by whom: the ledger's lines as operators ask for them.

use std::collections::BTreeMap;

use brine_protocol::MinionId;
use brine_protocol::control::Decision;

use crate::ledger::{Deed, Entry};

/// The decisions about keys, by id, oldest first. An id that was deleted keeps its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct History(BTreeMap<MinionId, Vec<Decision>>);

impl History {
    /// Takes in the next entry, if it is about a key.
    pub(super) fn note(&mut self, entry: &Entry) {
        let (id, act, fingerprint, from) = match &entry.deed {
            Deed::Key { act, id, fingerprint, .. } => (id, act.name(), *fingerprint, None),
            Deed::Rotate { id, fingerprint, from, .. } => (id, "rotate", *fingerprint, Some(*from)),
            Deed::Config { .. }
            | Deed::Repair { .. }
            | Deed::Announce { .. }
            | Deed::Succeed { .. }
            | Deed::Withdraw { .. } => return,
        };
        self.0.entry(id.clone()).or_default().push(Decision {
            seq: entry.seq,
            at: entry.at,
            by: entry.by.clone(),
            act: act.to_owned(),
            fingerprint,
            from,
            reason: entry.reason.clone(),
        });
    }

    /// The decisions about one id.
    pub(super) fn of(&self, id: &MinionId) -> &[Decision] {
        self.0.get(id).map_or(&[], Vec::as_slice)
    }
}
