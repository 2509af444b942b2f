//! A minion's accepted key gives way to one that it vouched for.

use brine_protocol::control::KeyState;
use brine_protocol::{Fingerprint, MinionId};

use super::{Id, REASON_MAX, Registry, is_holder};
use crate::ledger::{Deed, Draft};
use crate::rotation::Handover;

/// Why a key is not taken in another's place: one sentence for the minion.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RotationRefusal {
    /// The key that gives way is not the id's accepted key.
    #[error("{0} is not the accepted key of this minion")]
    NotAccepted(Fingerprint),
    /// The new key is the old one.
    #[error("the new key is the one that is to give way")]
    Same,
    /// The new key is known for this id already.
    #[error("the new key {fingerprint} is known here as {}", .state.map_or("one that this minion had before", KeyState::name))]
    Known {
        /// The key.
        fingerprint: Fingerprint,
        /// Its state, if it has one.
        state: Option<KeyState>,
    },
}

impl Registry {
    /// Decides whether a handover that was verified can be done.
    ///
    /// # Errors
    /// The refusal, in one sentence.
    pub fn decide_rotation(
        &self,
        id: &MinionId,
        handover: &Handover,
        by: &str,
        reason: Option<&str>,
    ) -> Result<Draft, RotationRefusal> {
        let (fingerprint, from) = (handover.key.fingerprint(), handover.from);
        let of_id = self.ids.get(id);
        let is_accepted = |of_id: &Id| of_id.key(from).is_some_and(|key| key.state == KeyState::Accepted);
        let Some(of_id) = of_id.filter(|of_id| is_accepted(of_id)) else {
            return Err(RotationRefusal::NotAccepted(from));
        };
        if fingerprint == from {
            return Err(RotationRefusal::Same);
        }
        let state = of_id.key(fingerprint).map(|key| key.state);
        // A key that gave way is worth nothing for good: whoever copied it must not get it back.
        if state.is_some() || of_id.held.contains(&fingerprint) {
            return Err(RotationRefusal::Known { fingerprint, state });
        }
        let reason = reason.filter(|reason| reason.len() <= REASON_MAX);
        Ok(Draft {
            by: by.to_owned(),
            reason: reason.map(str::to_owned),
            deed: Deed::Rotate {
                id: id.clone(),
                fingerprint,
                key: handover.key.der().to_vec(),
                from,
                signature: handover.by_old.clone(),
            },
        })
    }

    /// Swaps the id's key. Generation, state and age stay: it is the same minion, and what it was
    /// ordered is still meant for it. Without the old key nothing is known to stand on, so a line
    /// whose earlier lines were lost in a repair changes nothing.
    pub(super) fn apply_rotation(
        &mut self,
        id: &MinionId,
        fingerprint: Fingerprint,
        key: &[u8],
        from: Fingerprint,
    ) {
        let Some(of_id) = self.ids.get_mut(id) else { return };
        if fingerprint == from || !of_id.key(from).is_some_and(|key| is_holder(key.state)) {
            return;
        }
        of_id.keys.retain(|known| known.fingerprint != fingerprint);
        if let Some(holder) = of_id.keys.iter_mut().find(|known| known.fingerprint == from) {
            holder.fingerprint = fingerprint;
            holder.key = key.to_vec();
        }
        if !of_id.held.contains(&fingerprint) {
            of_id.held.push(fingerprint);
        }
    }
}
