//! Records: made, changed and deleted.

use std::collections::BTreeMap;

use brine_protocol::control::KeyFate;
use brine_protocol::server::ServerRecord;
use brine_protocol::time::Timestamp;
use brine_protocol::{Fingerprint, MinionId, ServerId};

use super::{ServerDone, ServerError, Trust, check_seen, draft};
use crate::ledger::{Deed, Draft, Entry, LedgerError, Log, MinionKey, ServerDeed};
use crate::registry::servers::ServerRefusal;

/// A record that is there now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Created {
    /// Its id: not the one that was proposed, if a record with the external id was there.
    pub server: ServerId,
    /// Whether it was made; otherwise it was there, with the same content.
    pub made: bool,
}

/// Records that were judged good and are to be made together.
#[derive(Default)]
struct Batch<'a> {
    records: BTreeMap<ServerId, &'a ServerRecord>,
    expected: BTreeMap<&'a MinionId, ServerId>,
    externals: BTreeMap<&'a str, ServerId>,
}

impl<'a> Batch<'a> {
    fn add(&mut self, id: ServerId, record: &'a ServerRecord) {
        self.records.insert(id, record);
        self.expected.extend(record.minion_id.as_ref().map(|minion| (minion, id)));
        self.externals.extend(record.external_id.as_deref().map(|external| (external, id)));
    }
}

impl<L: Log> Trust<L> {
    /// Makes records, with one flush for all of them. What is there already, with the same content,
    /// is not made again. Unless `keep_going`, one refusal makes none; and in a dry run none is
    /// made: then what comes back tells what would be.
    ///
    /// # Errors
    /// The ledger could not be written; none was made.
    pub fn create_servers(
        &mut self,
        wanted: &[(ServerId, ServerRecord)],
        keep_going: bool,
        dry_run: bool,
        by: &str,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<Vec<Result<Created, ServerRefusal>>, LedgerError> {
        let (mut batch, mut drafts) = (Batch::default(), Vec::new());
        let mut judged = Vec::with_capacity(wanted.len());
        for (id, record) in wanted {
            judged.push(self.judge_record(&batch, *id, record, by, reason).map(|(created, draft)| {
                if let Some(draft) = draft {
                    batch.add(*id, record);
                    drafts.push(draft);
                }
                created
            }));
        }
        let is_off = dry_run || (!keep_going && judged.iter().any(Result::is_err));
        if !is_off && !drafts.is_empty() {
            for entry in self.log.append_all(drafts, now)? {
                self.registry.apply(&entry);
            }
        }
        Ok(judged)
    }

    /// Whether a record can be made, beside those of its batch, and the decision that makes it.
    fn judge_record(
        &self,
        batch: &Batch<'_>,
        id: ServerId,
        record: &ServerRecord,
        by: &str,
        reason: Option<&str>,
    ) -> Result<(Created, Option<Draft>), ServerRefusal> {
        record.check()?;
        let servers = self.registry.servers();
        let known = |id: ServerId| {
            batch.records.get(&id).copied().or_else(|| servers.get(id).map(|entry| &entry.record))
        };
        if let Some(known) = known(id) {
            let same = known == record;
            return if same {
                Ok((Created { server: id, made: false }, None))
            } else {
                Err(ServerRefusal::Exists(id))
            };
        }
        if let Some(external) = record.external_id.as_deref() {
            let other = batch.externals.get(external).copied().or_else(|| servers.by_external(external));
            if let Some(server) = other {
                return if known(server) == Some(record) {
                    Ok((Created { server, made: false }, None))
                } else {
                    Err(ServerRefusal::External { external_id: external.to_owned(), server })
                };
            }
        }
        if let Some(minion) = &record.minion_id {
            self.check_unexpected(id, minion)?;
            self.check_unlinked(id, minion)?;
            if let Some(server) = batch.expected.get(minion).copied() {
                let name = known(server).map(|record| record.name.clone()).unwrap_or_default();
                return Err(ServerRefusal::Expected { minion: minion.clone(), server, name });
            }
        }
        let deed = Deed::Server { server: id, deed: ServerDeed::Create { record: Box::new(record.clone()) } };
        Ok((Created { server: id, made: true }, Some(draft(deed, by, reason)?)))
    }

    /// Lets a record say something else. None if it says so already.
    ///
    /// # Errors
    /// It does not fit, or the ledger could not be written.
    pub fn update_server(
        &mut self,
        id: ServerId,
        record: ServerRecord,
        by: &str,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<Entry>, ServerError> {
        let server = self.server(id)?;
        record.check().map_err(ServerRefusal::from)?;
        if server.record == record {
            return Ok(None);
        }
        if let Some(minion) = &record.minion_id {
            self.check_unexpected(id, minion)?;
            self.check_unlinked(id, minion)?;
            if let Some(link) = server.link.as_ref().filter(|link| link.minion != *minion) {
                let (name, fingerprint) = (server.record.name.clone(), link.fingerprint);
                return Err(ServerRefusal::Linked { name, minion: link.minion.clone(), fingerprint }.into());
            }
        }
        if let Some(external) = record.external_id.as_deref()
            && let Some(server) = self.registry.servers().by_external(external).filter(|other| *other != id)
        {
            return Err(ServerRefusal::External { external_id: external.to_owned(), server }.into());
        }
        let deed = Deed::Server { server: id, deed: ServerDeed::Update { record: Box::new(record) } };
        Ok(Some(self.record(draft(deed, by, reason)?, now)?))
    }

    /// Deletes a record, and does to its minion's key what `fate` says: only to the key that is
    /// expected, if one is. Its tokens are revoked.
    ///
    /// # Errors
    /// It is not there, it has a minion and `fate` says nothing, or the ledger could not be written.
    pub fn delete_server(
        &mut self,
        id: ServerId,
        fate: Option<KeyFate>,
        expects: Option<Fingerprint>,
        by: &str,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<ServerDone, ServerError> {
        let server = self.server(id)?;
        let name = || server.record.name.clone();
        check_seen(server, expects, server.link.as_ref().map(|link| link.fingerprint))?;
        let link = match (&server.link, fate) {
            (None, _) => None,
            (Some(link), None) => {
                return Err(ServerRefusal::Fate { name: name(), minion: link.minion.clone() }.into());
            }
            (Some(link), Some(KeyFate::Keep)) if link.preseed.is_some() => {
                return Err(ServerRefusal::Unused(name()).into());
            }
            (Some(link), Some(fate)) => {
                Some((MinionKey { id: link.minion.clone(), fingerprint: link.fingerprint }, fate))
            }
        };
        let deed = Deed::Server { server: id, deed: ServerDeed::Delete { link } };
        self.perform(draft(deed, by, reason)?, now)
    }
}
