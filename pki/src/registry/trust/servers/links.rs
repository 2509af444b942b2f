//! Links: a key and a record are brought together, or parted.

use brine_protocol::control::{Act, KeyFate, KeyName, KeyState};
use brine_protocol::time::Timestamp;
use brine_protocol::{Fingerprint, ServerId};

use super::{Replace, ServerDone, ServerError, Trust, check_replaced, check_seen, draft};
use crate::ledger::{Deed, Log, MinionKey, ServerDeed};
use crate::registry::servers::ServerRefusal;
use crate::registry::{Fate, Refusal, transition};

impl<L: Log> Trust<L> {
    /// Makes the minion with this key the server: a key that waits is accepted and linked in one
    /// decision, an accepted one is linked. With `replace` the key that the server has, or that
    /// holds the minion's id, is given up: it is rejected by the same decision.
    ///
    /// # Errors
    /// It does not fit, or the ledger could not be written; nothing has changed.
    pub fn pair(
        &mut self,
        server: ServerId,
        name: &KeyName,
        replace: impl Into<Replace>,
        by: &str,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<ServerDone, ServerError> {
        let deed = self.decide_pair(server, name, replace.into())?;
        self.perform(draft(Deed::Server { server, deed }, by, reason)?, now)
    }

    fn decide_pair(
        &self,
        id: ServerId,
        name: &KeyName,
        replace: Replace,
    ) -> Result<ServerDeed, ServerRefusal> {
        let server = self.server(id)?;
        let KeyName { id: minion, fingerprint, state: seen } = name;
        let decided = self.registry.key(minion, *fingerprint);
        let waiting = self.waiting.get(minion, *fingerprint);
        let key = decided.map(|key| &key.key).or(waiting.map(|key| &key.key));
        let state = self.standing(minion, *fingerprint).state();
        let found = key.map(|_| state);
        if let Some(expected) = seen.filter(|seen| found != Some(*seen)) {
            return Err(Refusal::Changed { id: minion.clone(), expected, found }.into());
        }
        let Some(key) = key else {
            return Err(Refusal::Unknown { id: minion.clone(), fingerprint: *fingerprint }.into());
        };
        if state == KeyState::Rejected && seen.is_none() {
            return Err(ServerRefusal::Rejected(minion.clone()));
        }
        let accepts = state != KeyState::Accepted;
        if accepts && let Fate::Refused(why) = transition(state, Act::Accept) {
            return Err(Refusal::Unfit { id: minion.clone(), act: Act::Accept, why }.into());
        }
        if self.linked_by(name) == Some(id) {
            return Err(ServerRefusal::Same { name: server.record.name.clone(), minion: minion.clone() });
        }
        self.check_minion(id, server, minion)?;
        let from = self.given_up(server, minion, Some(*fingerprint), replace != Replace::Nothing)?;
        check_replaced(server, replace, from.as_ref())?;
        if accepts {
            self.check_room(minion, from.as_ref())?;
        }
        Ok(ServerDeed::Pair {
            minion: MinionKey { id: minion.clone(), fingerprint: *fingerprint },
            key: accepts.then(|| key.clone()),
            from,
        })
    }

    /// Parts a server from its minion, and does to the key what `fate` says: only to the key that is
    /// expected, if one is.
    ///
    /// # Errors
    /// It has none, or the ledger could not be written; nothing has changed.
    pub fn unpair(
        &mut self,
        server: ServerId,
        fate: KeyFate,
        expects: Option<Fingerprint>,
        by: &str,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<ServerDone, ServerError> {
        let entry = self.server(server)?;
        let name = || entry.record.name.clone();
        let link = entry.link.as_ref().ok_or_else(|| ServerRefusal::NotLinked(name()))?;
        check_seen(entry, expects, Some(link.fingerprint))?;
        // Kept without a link, it would never expire.
        if fate == KeyFate::Keep && link.preseed.is_some() {
            return Err(ServerRefusal::Unused(name()).into());
        }
        let minion = MinionKey { id: link.minion.clone(), fingerprint: link.fingerprint };
        let deed = Deed::Server { server, deed: ServerDeed::Unpair { minion, fate } };
        self.perform(draft(deed, by, reason)?, now)
    }
}
