//! Server records, their links to minions, and enrolment tokens: what the decisions in the ledger
//! have made of them.
//!
//! ```text
//!   create --> unlinked --pair, preseed, enrol--> linked --unpair, expire--> unlinked
//!                                                   |
//!                                                   '-- any act that takes the key's id away --> unlinked
//! ```
//! **Invariants:** a link stands only while its minion's id is held by its key (accepted or
//! suspended); a record has at most one link and a minion is in at most one; no two records name
//! the same minion id or external id. Every look-up is by an index, so that ten thousand records
//! beside ten thousand keys stay quick.

mod fold;
mod meant;
mod refusal;
mod tokens;

pub use meant::Meant;
pub use refusal::{RefusalKind, ServerRefusal};
pub use tokens::{hash_token, new_token};

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use brine_protocol::control::{KeyServer, Link, Preseed, Server, ServerDecision, Token, Way};
use brine_protocol::server::ServerRecord;
use brine_protocol::time::Timestamp;
use brine_protocol::{Fingerprint, MinionId, ServerId, TokenId};

use crate::ledger::Hash;
use meant::Namesakes;
use tokens::Tokens;

/// What is known of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerEntry {
    /// What is said about it.
    pub record: ServerRecord,
    /// When it was created.
    pub created: Timestamp,
    /// By whom.
    pub created_by: String,
    /// Its minion, when one is linked.
    pub link: Option<Linked>,
}

/// That a minion is a server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linked {
    /// The minion.
    pub minion: MinionId,
    /// The key that holds its id.
    pub fingerprint: Fingerprint,
    /// Since when.
    pub since: Timestamp,
    /// Who decided it.
    pub by: String,
    /// By which way.
    pub way: Way,
    /// Of a key that was made for the record and whose minion has yet to come: what is known.
    pub preseed: Option<Preseed>,
}

/// All server records and enrolment tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Servers {
    records: BTreeMap<ServerId, ServerEntry>,
    /// The record of each linked minion.
    linked: BTreeMap<MinionId, ServerId>,
    /// The record that names each minion id.
    expected: BTreeMap<MinionId, ServerId>,
    externals: BTreeMap<String, ServerId>,
    names: BTreeMap<String, Namesakes>,
    /// Records whose link waits for its minion to come.
    unarrived: BTreeSet<ServerId>,
    /// Kept when a record is deleted.
    history: BTreeMap<ServerId, Vec<ServerDecision>>,
    tokens: Tokens,
}

impl Servers {
    /// A server.
    #[must_use]
    pub fn get(&self, id: ServerId) -> Option<&ServerEntry> {
        self.records.get(&id)
    }

    /// All servers, by id.
    pub fn iter(&self) -> impl Iterator<Item = (ServerId, &ServerEntry)> {
        self.records.iter().map(|(id, entry)| (*id, entry))
    }

    /// Those with a greater id than this, in the same order.
    pub fn after(&self, id: Option<ServerId>) -> impl Iterator<Item = (ServerId, &ServerEntry)> {
        let from = id.map_or(Bound::Unbounded, Bound::Excluded);
        self.records.range((from, Bound::Unbounded)).map(|(id, entry)| (*id, entry))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The server that this minion is linked to.
    #[must_use]
    pub fn of_minion(&self, minion: &MinionId) -> Option<(ServerId, &ServerEntry)> {
        let id = *self.linked.get(minion)?;
        Some((id, self.records.get(&id)?))
    }

    /// The server that is linked to exactly this key of this minion.
    #[must_use]
    pub fn of_key(&self, minion: &MinionId, fingerprint: Fingerprint) -> Option<ServerId> {
        let (id, entry) = self.of_minion(minion)?;
        entry.link.as_ref().filter(|link| link.fingerprint == fingerprint).map(|_| id)
    }

    /// The server whose record names this minion id.
    #[must_use]
    pub fn expecting(&self, minion: &MinionId) -> Option<ServerId> {
        self.expected.get(minion).copied()
    }

    /// The server with this external id.
    #[must_use]
    pub fn by_external(&self, external_id: &str) -> Option<ServerId> {
        self.externals.get(external_id).copied()
    }

    /// A server as operators see it. Nobody is connected as far as trust knows; a master fills
    /// that in.
    #[must_use]
    pub fn show(&self, id: ServerId) -> Option<Server> {
        let entry = self.get(id)?;
        Some(Server {
            id,
            record: entry.record.clone(),
            created: entry.created,
            created_by: entry.created_by.clone(),
            link: entry.link.as_ref().map(Linked::show),
        })
    }

    /// Every decision about a server, oldest first; also of one that was deleted.
    #[must_use]
    pub fn history(&self, id: ServerId) -> &[ServerDecision] {
        self.history.get(&id).map_or(&[], Vec::as_slice)
    }

    /// An enrolment token.
    #[must_use]
    pub fn token(&self, id: TokenId) -> Option<&Token> {
        self.tokens.get(id)
    }

    /// All enrolment tokens that were not revoked, by id.
    pub fn tokens(&self) -> impl Iterator<Item = &Token> {
        self.tokens.iter()
    }

    /// The token whose text has this hash.
    #[must_use]
    pub fn token_of(&self, hash: &Hash) -> Option<TokenId> {
        self.tokens.of(hash)
    }

    /// The links whose key was made here and whose minion has yet to come.
    pub fn unarrived(&self) -> impl Iterator<Item = (ServerId, &Linked)> {
        self.unarrived.iter().filter_map(|id| Some((*id, self.records.get(id)?.link.as_ref()?)))
    }

    /// The server that a key belongs to, or asks to belong to: the one that it is linked to, else
    /// the one whose record expects the minion id, else the only one that `claim` can mean.
    #[must_use]
    pub fn key_server(
        &self,
        minion: &MinionId,
        fingerprint: Fingerprint,
        claim: Option<&str>,
    ) -> Option<KeyServer> {
        let linked = self.of_key(minion, fingerprint);
        let id = linked.or_else(|| self.expecting(minion)).or_else(|| self.meant(claim?).only())?;
        let record = &self.records.get(&id)?.record;
        Some(KeyServer { id, name: record.name.clone(), zone: record.zone.clone(), linked: linked.is_some() })
    }
}

impl Linked {
    fn show(&self) -> Link {
        Link {
            minion: self.minion.clone(),
            fingerprint: self.fingerprint,
            since: self.since,
            by: self.by.clone(),
            way: self.way,
            preseed: self.preseed,
            connected: false,
        }
    }
}
