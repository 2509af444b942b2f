//! Keys that are made here for a server's minion, before there is one.

use brine_protocol::control::Way;
use brine_protocol::time::Timestamp;
use brine_protocol::{Fingerprint, MinionId, ServerId};

use super::super::deciding::PART_MAX;
use super::{Replace, ServerDone, ServerError, Trust, check_replaced, check_until, draft};
use crate::key::PublicKey;
use crate::ledger::{Deed, Draft, Entry, LedgerError, Log, MinionKey, ServerDeed};
use crate::registry::Refusal;
use crate::registry::servers::{Linked, ServerRefusal};

impl<L: Log> Trust<L> {
    /// The minion id for which a key can be made for this server: the one that its record names,
    /// else its name. Asked before the key is made, and again by [`Trust::preseed`].
    ///
    /// # Errors
    /// None can be made now.
    pub fn preseed_id(
        &self,
        server: ServerId,
        replace: impl Into<Replace>,
    ) -> Result<MinionId, ServerRefusal> {
        self.preseeding(server, replace.into()).map(|(minion, _)| minion)
    }

    /// The minion id, and the key that is given up.
    fn preseeding(
        &self,
        id: ServerId,
        replace: Replace,
    ) -> Result<(MinionId, Option<MinionKey>), ServerRefusal> {
        let server = self.server(id)?;
        let record = &server.record;
        let minion = match &record.minion_id {
            Some(minion) => minion.clone(),
            None => record.name.parse().map_err(|_| ServerRefusal::NoMinionId(record.name.clone()))?,
        };
        self.check_minion(id, server, &minion)?;
        // Only the server's own key is given up: to take an id from a minion that is no server's
        // is what an operator says of that key.
        let may_replace = replace != Replace::Nothing && server.link.is_some();
        let from = self.given_up(server, &minion, None, may_replace)?;
        check_replaced(server, replace, from.as_ref())?;
        self.check_room(&minion, from.as_ref())?;
        Ok((minion, from))
    }

    /// Accepts and links the key that was made for a server, in one decision. Unless its minion
    /// comes before `until`, [`Trust::expire_preseeds`] takes it back.
    ///
    /// # Errors
    /// It does not fit, or the ledger could not be written; nothing has changed.
    #[expect(clippy::too_many_arguments, reason = "who, why and when come last in every decision")]
    pub fn preseed(
        &mut self,
        server: ServerId,
        key: &PublicKey,
        until: Timestamp,
        replace: impl Into<Replace>,
        by: &str,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<ServerDone, ServerError> {
        check_until(until, now)?;
        let (id, from) = self.preseeding(server, replace.into())?;
        let fingerprint = key.fingerprint();
        if self.registry.key(&id, fingerprint).is_some() {
            let state = self.standing(&id, fingerprint).state();
            return Err(Refusal::Known { id, state }.into());
        }
        let minion = MinionKey { id, fingerprint };
        let deed = ServerDeed::Preseed { minion, key: key.der().to_vec(), until, from };
        self.perform(draft(Deed::Server { server, deed }, by, reason)?, now)
    }

    /// Notes that the bundle of a server is handed out, before it is: it is handed out once.
    ///
    /// # Errors
    /// There is none (any more), or the ledger could not be written.
    pub fn fetch(
        &mut self,
        server: ServerId,
        by: &str,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<Entry, ServerError> {
        let minion = self.fetchable(server, now)?;
        let deed = Deed::Server { server, deed: ServerDeed::Fetch { minion } };
        Ok(self.record(draft(deed, by, reason)?, now)?)
    }

    fn fetchable(&self, id: ServerId, now: Timestamp) -> Result<MinionKey, ServerRefusal> {
        let server = self.server(id)?;
        let name = || server.record.name.clone();
        let made = server.link.as_ref().filter(|link| link.way == Way::Preseeded);
        let link = made.ok_or_else(|| ServerRefusal::NoPreseed(name()))?;
        let preseed = link.preseed.ok_or_else(|| ServerRefusal::Arrived(name()))?;
        if preseed.is_fetched {
            let is_it = |key: Option<Fingerprint>| key == Some(link.fingerprint);
            let mut decisions = self.registry.servers().history(id).iter().rev();
            let fetched = decisions.find(|decision| decision.act == "fetch" && is_it(decision.fingerprint));
            let (by, at) = fetched.map_or((link.by.clone(), link.since), |f| (f.by.clone(), f.at));
            return Err(ServerRefusal::Fetched { name: name(), by, at });
        }
        if preseed.until <= now {
            return Err(ServerRefusal::BundleExpired { name: name(), until: preseed.until });
        }
        Ok(MinionKey { id: link.minion.clone(), fingerprint: link.fingerprint })
    }

    /// Notes that a minion came with the key that was made for it. Nothing to note of others, and
    /// of one that comes too late, whose key is about to be taken back.
    ///
    /// # Errors
    /// The ledger could not be written.
    pub fn arrive(
        &mut self,
        id: &MinionId,
        fingerprint: Fingerprint,
        now: Timestamp,
    ) -> Result<Option<Entry>, LedgerError> {
        let servers = self.registry.servers();
        let Some(server) = servers.of_key(id, fingerprint) else { return Ok(None) };
        let link = servers.get(server).and_then(|entry| entry.link.as_ref());
        if link.and_then(|link| link.preseed).is_none_or(|preseed| preseed.until <= now) {
            return Ok(None);
        }
        let minion = MinionKey { id: id.clone(), fingerprint };
        let deed = Deed::Server { server, deed: ServerDeed::Arrive { minion } };
        self.record(Draft { by: format!("minion:{id}"), reason: None, deed }, now).map(Some)
    }

    /// Takes back the keys that were made for minions which did not come in time: they are
    /// rejected, and the links undone. An error stands for all that are left: they are tried again
    /// by the next call.
    pub fn expire_preseeds(&mut self, now: Timestamp) -> Vec<Result<ServerDone, ServerError>> {
        let is_over = |link: &Linked| link.preseed.is_some_and(|preseed| preseed.until <= now);
        let over = self.registry.servers().unarrived().filter(|(_, link)| is_over(link));
        let drafts: Vec<Draft> = over
            .map(|(server, link)| {
                let minion = MinionKey { id: link.minion.clone(), fingerprint: link.fingerprint };
                let deed = Deed::Server { server, deed: ServerDeed::Expire { minion } };
                Draft { by: "master".to_owned(), reason: None, deed }
            })
            .collect();
        let mut results = Vec::with_capacity(drafts.len());
        for part in drafts.chunks(PART_MAX) {
            match self.perform_all(part.to_vec(), now) {
                Ok(done) => results.extend(done.into_iter().map(Ok)),
                Err(error) => {
                    results.push(Err(error.into()));
                    break;
                }
            }
        }
        results
    }
}
