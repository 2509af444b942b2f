//! Decisions about server records and their minions: judged, on disk, and only then true.
//!
//! **Invariant:** each decision is one line of the ledger, so that a crash leaves all of it or
//! nothing.

mod links;
mod preseeds;
mod records;

pub use records::Created;

use std::sync::Arc;

use brine_protocol::control::{Act, KeyName};
use brine_protocol::time::Timestamp;
use brine_protocol::{Fingerprint, MinionId, ServerId};

use super::{Done, Trust};
use crate::ledger::{Deed, Draft, Entry, LedgerError, Log, MinionKey};
use crate::registry::servers::{Linked, ServerEntry, ServerRefusal};
use crate::registry::{Decided, REASON_MAX, Refusal, Verdict};

/// A decision about a server that was done and is in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerDone {
    /// The ledger entry.
    pub entry: Entry,
    /// The server.
    pub server: Option<ServerId>,
    /// What became of keys, in the order in which sessions have to follow: the key that was given
    /// up first.
    pub keys: Vec<(Act, Done)>,
    /// The link that was undone, if there was one.
    pub unlinked: Option<(ServerId, MinionId, Fingerprint)>,
}

/// Which key may give way to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// None.
    Nothing,
    /// Whichever stands in the way.
    Any,
    /// This one, as somebody has seen it, and no other.
    Key(Fingerprint),
}

impl Replace {
    /// What a request says: `gives_up` is of `replace`, and means nothing without it.
    #[must_use]
    pub fn new(replace: bool, gives_up: Option<Fingerprint>) -> Self {
        match (replace, gives_up) {
            (false, _) => Self::Nothing,
            (true, None) => Self::Any,
            (true, Some(key)) => Self::Key(key),
        }
    }
}

impl From<bool> for Replace {
    fn from(replace: bool) -> Self {
        Self::new(replace, None)
    }
}

/// Why a decision about a server was not done.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ServerError {
    /// It does not fit.
    #[error(transparent)]
    Refused(#[from] ServerRefusal),
    /// The ledger could not be written; nothing has changed.
    #[error(transparent)]
    Ledger(Arc<LedgerError>),
}

impl From<Refusal> for ServerError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal.into())
    }
}

impl From<LedgerError> for ServerError {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(Arc::new(error))
    }
}

/// Ten years, in microseconds: nobody waits longer for a machine, and times that far are times
/// that the ledger can still say.
const WITHIN: i64 = 3652 * 24 * 3600 * 1_000_000;

/// Whether something can be good until then.
pub(super) fn check_until(until: Timestamp, now: Timestamp) -> Result<(), ServerRefusal> {
    let is_ahead = until > now && until <= now.plus_micros(WITHIN);
    if is_ahead { Ok(()) } else { Err(ServerRefusal::Until(until)) }
}

/// A decision that fits, unless its reason does not.
pub(super) fn draft(deed: Deed, by: &str, reason: Option<&str>) -> Result<Draft, ServerRefusal> {
    match reason {
        Some(reason) if reason.len() > REASON_MAX => Err(Refusal::ReasonTooLong(reason.len()).into()),
        _ => Ok(Draft { by: by.to_owned(), reason: reason.map(str::to_owned), deed }),
    }
}

/// What an act on a key met.
struct Before {
    act: Act,
    name: KeyName,
    was: Verdict,
    linked: Option<ServerId>,
}

impl<L: Log> Trust<L> {
    /// Writes a decision, and lets it be true.
    pub(super) fn perform(&mut self, draft: Draft, now: Timestamp) -> Result<ServerDone, ServerError> {
        let mut done = self.perform_all(vec![draft], now)?;
        Ok(done.pop().expect("one draft makes one decision"))
    }

    /// Writes decisions of which none depends on another, with one flush for all of them.
    fn perform_all(&mut self, drafts: Vec<Draft>, now: Timestamp) -> Result<Vec<ServerDone>, LedgerError> {
        let entries = self.log.append_all(drafts, now)?;
        Ok(entries.into_iter().map(|entry| self.follow(entry, now)).collect())
    }

    /// Lets a decision that is on disk be true.
    fn follow(&mut self, entry: Entry, now: Timestamp) -> ServerDone {
        let before: Vec<Before> = entry
            .deed
            .key_acts()
            .into_iter()
            .map(|on| {
                let name = KeyName { id: on.id.clone(), fingerprint: on.fingerprint, state: None };
                let (was, linked) = (self.standing(on.id, on.fingerprint), self.linked_by(&name));
                Before { act: on.act, name, was, linked }
            })
            .collect();
        let server = entry.deed.server();
        let link = server.and_then(|id| Some((id, self.registry.servers().get(id)?.link.clone()?)));
        self.registry.apply(&entry);
        let unlinked = link
            .map(|(id, link)| (id, link.minion, link.fingerprint))
            .filter(|(id, minion, key)| self.registry.servers().of_key(minion, *key) != Some(*id));
        let keys = before.into_iter().map(|Before { act, name, was, linked }| {
            (act, self.finish(act, name, was, linked, entry.clone(), now))
        });
        let keys = keys.collect();
        ServerDone { entry, server, keys, unlinked }
    }

    /// A server that is there.
    pub(super) fn server(&self, id: ServerId) -> Result<&ServerEntry, ServerRefusal> {
        self.registry.servers().get(id).ok_or(ServerRefusal::Unknown(id))
    }

    /// Whether this minion can become this server's: nobody else's record has it or expects it.
    /// Which key, if any, is to be given up for it, is another question.
    fn check_minion(
        &self,
        id: ServerId,
        server: &ServerEntry,
        minion: &MinionId,
    ) -> Result<(), ServerRefusal> {
        let record = &server.record;
        if let Some(expected) = record.minion_id.as_ref().filter(|expected| *expected != minion) {
            return Err(ServerRefusal::Expects {
                name: record.name.clone(),
                expected: expected.clone(),
                minion: minion.clone(),
            });
        }
        self.check_unlinked(id, minion)?;
        self.check_unexpected(id, minion)
    }

    /// Refuses when the minion is another server's.
    fn check_unlinked(&self, id: ServerId, minion: &MinionId) -> Result<(), ServerRefusal> {
        match self.registry.servers().of_minion(minion) {
            Some((server, entry)) if server != id => Err(ServerRefusal::LinkedElsewhere {
                minion: minion.clone(),
                server,
                name: entry.record.name.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// Refuses when another record names the minion.
    fn check_unexpected(&self, id: ServerId, minion: &MinionId) -> Result<(), ServerRefusal> {
        match self.registry.servers().expecting(minion).filter(|server| *server != id) {
            Some(server) => {
                let name = self.server(server)?.record.name.clone();
                Err(ServerRefusal::Expected { minion: minion.clone(), server, name })
            }
            None => Ok(()),
        }
    }

    /// The key that has to be given up so that `minion` can come in with another key and be this
    /// server's: the server's own, or the one that holds the minion's id, or none.
    fn given_up(
        &self,
        server: &ServerEntry,
        minion: &MinionId,
        fingerprint: Option<Fingerprint>,
        may_replace: bool,
    ) -> Result<Option<MinionKey>, ServerRefusal> {
        let name = || server.record.name.clone();
        let holder = self.registry.holder(minion).filter(|key| Some(key.fingerprint) != fingerprint);
        match (&server.link, holder) {
            (Some(link), _) if !may_replace => Err(ServerRefusal::Linked {
                name: name(),
                minion: link.minion.clone(),
                fingerprint: link.fingerprint,
            }),
            (Some(link), Some(holder)) if !is_link(link, minion, holder) => Err(ServerRefusal::TwoKeys {
                name: name(),
                linked: link.minion.clone(),
                minion: minion.clone(),
                holder: holder.fingerprint,
            }),
            (Some(link), _) => Ok(Some(MinionKey { id: link.minion.clone(), fingerprint: link.fingerprint })),
            (None, Some(holder)) if may_replace => {
                Ok(Some(MinionKey { id: minion.clone(), fingerprint: holder.fingerprint }))
            }
            (None, Some(holder)) => Err(ServerRefusal::Held {
                minion: minion.clone(),
                holder: holder.fingerprint,
                state: holder.state,
            }),
            (None, None) => Ok(None),
        }
    }

    /// Refuses when one more minion, for the one that is given up, would be too many.
    pub(super) fn check_room(
        &self,
        minion: &MinionId,
        from: Option<&MinionKey>,
    ) -> Result<(), ServerRefusal> {
        let gone = usize::from(from.is_some());
        if self.max_minions > 0 && self.holders().saturating_sub(gone) >= self.max_minions {
            return Err(Refusal::Full { id: minion.clone(), max: self.max_minions }.into());
        }
        Ok(())
    }
}

/// Refuses when the key at stake is another than the one that somebody has seen.
fn check_seen(
    server: &ServerEntry,
    expected: Option<Fingerprint>,
    found: Option<Fingerprint>,
) -> Result<(), ServerRefusal> {
    match expected.filter(|expected| found != Some(*expected)) {
        Some(expected) => Err(ServerRefusal::OtherKey { name: server.record.name.clone(), expected, found }),
        None => Ok(()),
    }
}

/// Refuses when the key that gives way, if any does, is another than the one that may.
fn check_replaced(
    server: &ServerEntry,
    replace: Replace,
    from: Option<&MinionKey>,
) -> Result<(), ServerRefusal> {
    match replace {
        Replace::Nothing | Replace::Any => Ok(()),
        Replace::Key(expected) => check_seen(server, Some(expected), from.map(|key| key.fingerprint)),
    }
}

fn is_link(link: &Linked, minion: &MinionId, holder: &Decided) -> bool {
    link.minion == *minion && link.fingerprint == holder.fingerprint
}
