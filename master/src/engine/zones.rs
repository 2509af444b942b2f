//! What somebody sees and may act on who is limited to zones: records of these zones, and keys by
//! the record that they are linked to or, while nobody has let them in, that they name.
//!
//! Of a key that is let in only its link counts. Whoever may write records must not get hold of
//! a minion that runs already by writing a record that expects its id. Nor of one that waits and
//! says whose it is, by writing a record that is called the same: what a minion says counts as all
//! records that it can mean.

use brine_pki::ledger::Log;
use brine_pki::registry::servers::{Linked, Meant};
use brine_protocol::MinionId;
use brine_protocol::control::{
    Act, Decision, Key, KeyName, KeyServer, KeyState, KeysQuery, Problem, ProblemKind,
};
use brine_protocol::message::Knock;
use brine_protocol::server::{ServerId, ServerRecord};

use super::Engine;
use crate::roles::Principal;

/// Zones of records of one name that are looked at. A name that is in more is nobody's who is limited
/// to zones.
const ZONES_MAX: usize = 64;

/// What is to be done with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyUse {
    /// One of the acts on keys.
    Act(Act),
    /// Making its minion a record's.
    Pair,
}

impl<L: Log> Engine<L> {
    /// Whether a record is there for this caller. What is not shown to it is not there.
    pub(super) fn may_see_server(&self, by: &Principal, id: ServerId) -> Result<(), Problem> {
        match self.trust.registry().servers().get(id) {
            Some(entry) if by.sees_zone(entry.record.zone.as_deref()) => Ok(()),
            Some(_) | None => Err(no_server(id)),
        }
    }

    /// Whether this caller may change a record or its link.
    pub(super) fn may_act_on_server(&self, by: &Principal, id: ServerId) -> Result<(), Problem> {
        match self.trust.registry().servers().get(id) {
            Some(entry) if by.sees_zone(entry.record.zone.as_deref()) => Ok(()),
            Some(_) => Err(forbidden(format!("{by} may not act on server {id}: it is of none of its zones"))),
            None => Err(no_server(id)),
        }
    }

    /// Whether a record of this zone is for this caller to make, or to leave behind.
    pub(super) fn may_have_zone(&self, by: &Principal, zone: Option<&str>) -> Result<(), Problem> {
        if by.sees_zone(zone) {
            return Ok(());
        }
        let zones = by.zones().unwrap_or_default().join(", ");
        let what = match zone {
            Some(zone) => format!("a record of zone {:?}", brine_local::text::escape(zone)),
            None => "a record without a zone".to_owned(),
        };
        Err(forbidden(format!("{by} may not have {what}: its zones are {zones:?}")))
    }

    /// Whether this record of the caller's, if it is there, may expect this minion id: not when a key
    /// of that id is let in, or names a record, that is not the caller's; nor when one was turned away
    /// that was not this record's.
    pub(super) fn may_expect(
        &self,
        by: &Principal,
        id: Option<&MinionId>,
        server: Option<ServerId>,
    ) -> Result<(), Problem> {
        let Some(id) = id.filter(|_| by.zones().is_some()) else {
            return Ok(());
        };
        let keys = self.trust.find(&keys_of(id));
        let is_known = |key: &Key| {
            let history = server.map(|server| self.trust.registry().servers().history(server));
            history.unwrap_or_default().iter().any(|decision| decision.fingerprint == Some(key.fingerprint))
        };
        let is_of_others = |key: &Key| match self.all_hers(by, key) {
            Some(is_hers) => !is_hers,
            None => is_holder(key.state) || (is_turned_away(key) && !is_known(key)),
        };
        if keys.iter().any(is_of_others) {
            let detail =
                format!("{by} may not expect {id}: there is a key of that id which is of none of its zones");
            return Err(forbidden(detail));
        }
        Ok(())
    }

    /// Whether a record of this caller's may have this id, by which it would be named: not when that is
    /// what records of other zones are called.
    pub(super) fn may_be_called(&self, by: &Principal, id: ServerId) -> Result<(), Problem> {
        let meant = self.trust.registry().servers().meant(&id.to_string());
        if sees_all(by, meant.zones()) == Some(false) {
            let detail = format!("{by} may not have server {id}: a record of none of its zones is called so");
            return Err(forbidden(detail));
        }
        Ok(())
    }

    /// Whether this caller may do this with a key. A key that is not there is for trust to refuse.
    pub(super) fn may_act_on_key(&self, by: &Principal, name: &KeyName, act: KeyUse) -> Result<(), Problem> {
        if by.zones().is_none() {
            return Ok(());
        }
        let KeyName { id, fingerprint, .. } = name;
        let keys = self.trust.find(&keys_of(id));
        let Some(key) = keys.iter().find(|key| key.fingerprint == *fingerprint) else {
            return Ok(());
        };
        if !self.sees_key(by, key) {
            return Err(forbidden(format!(
                "{by} may not act on the key of {id}: it is of none of its zones"
            )));
        }
        match act {
            KeyUse::Act(Act::Accept) if !is_holder(key.state) => Err(forbidden(format!(
                "{by} may not accept the key of {id} for no server: pair it with a record: brine server pair"
            ))),
            KeyUse::Act(Act::Accept | Act::Reject | Act::Delete | Act::Suspend | Act::Resume) => Ok(()),
            KeyUse::Pair => {
                // It may have been turned away by somebody whom no zones limit.
                if is_turned_away(key) {
                    let detail = format!(
                        "{by} may not pair a rejected key of {id}: delete it, so that its minion knocks again"
                    );
                    return Err(forbidden(detail));
                }
                // Whoever writes a record that expects an id must not get the machine of another
                // zone that says whose it is, nor its id while it waits.
                let is_of_others = |key: &&Key| self.all_hers(by, key) == Some(false);
                if let Some(other) = keys.iter().find(is_of_others) {
                    let which = if other.fingerprint == *fingerprint { "it" } else { "a key of that id" };
                    let detail = format!(
                        "{by} may not pair {id}: {which} names a record that is of none of its zones"
                    );
                    return Err(forbidden(detail));
                }
                let other =
                    keys.iter().find(|other| is_holder(other.state) && other.fingerprint != *fingerprint);
                if other.is_some_and(|holder| !self.sees_key(by, holder)) {
                    let detail = format!("{by} may not take {id} from its key: that is of none of its zones");
                    return Err(forbidden(detail));
                }
                Ok(())
            }
        }
    }

    /// Whether a key is shown to this caller.
    pub(super) fn sees_key(&self, by: &Principal, key: &Key) -> bool {
        if by.zones().is_none() {
            return true;
        }
        let servers = self.trust.registry().servers();
        match self.owner(&key.id, said_of(key)) {
            Owner::Server(server) => {
                servers.get(server).is_some_and(|entry| by.sees_zone(entry.record.zone.as_deref()))
            }
            Owner::Any(meant) => sees_all(by, meant.zones()) == Some(true),
            Owner::Nobody => by.sees_unclaimed() && waits(key),
        }
    }

    /// Whether an accepted minion is shown to this caller.
    pub(super) fn sees_minion(&self, by: &Principal, id: &MinionId) -> bool {
        by.zones().is_none()
            || self.record_of(id).is_some_and(|(_, record)| by.sees_zone(record.zone.as_deref()))
    }

    /// Of the decisions about an id those that this caller may hear of: all when the id is that of a
    /// record it sees, otherwise those about keys that are shown to it.
    pub(super) fn history(&self, by: &Principal, id: &MinionId) -> Vec<Decision> {
        let all = self.trust.registry().history(id).to_vec();
        if by.zones().is_none() || self.sees_minion(by, id) {
            return all;
        }
        let keys = self.trust.find(&keys_of(id));
        let seen = |decision: &Decision| {
            keys.iter().any(|key| key.fingerprint == decision.fingerprint && self.sees_key(by, key))
        };
        all.into_iter().filter(seen).collect()
    }

    /// The record that a minion is linked to.
    pub(super) fn record_of(&self, id: &MinionId) -> Option<(ServerId, &ServerRecord)> {
        let (server, entry) = self.trust.registry().servers().of_minion(id)?;
        Some((server, &entry.record))
    }

    /// The record that a key is linked to or could be, as lists show it.
    pub(super) fn key_server(&self, key: &Key) -> Option<KeyServer> {
        let id = self.owner(&key.id, Some(&key.claims)).server()?;
        let entry = self.trust.registry().servers().get(id)?;
        let is_link = |link: &Linked| (&link.minion, link.fingerprint) == (&key.id, key.fingerprint);
        let linked = entry.link.as_ref().is_some_and(is_link);
        Some(KeyServer { id, name: entry.record.name.clone(), zone: entry.record.zone.clone(), linked })
    }

    /// The zone of a record that is there.
    pub(super) fn zone_of_server(&self, id: ServerId) -> Option<String> {
        self.trust.registry().servers().get(id)?.record.zone.clone()
    }

    /// Whose the key of this id is that says this, as far as it is let say anything.
    pub(super) fn owner(&self, id: &MinionId, said: Option<&Knock>) -> Owner<'_> {
        let servers = self.trust.registry().servers();
        let linked = servers.of_minion(id).map(|(server, _)| server);
        // Nor does it count for a key that is let in which record expects its id.
        let named = linked.or_else(|| servers.expecting(id).filter(|_| said.is_some()));
        if let Some(server) = named {
            return Owner::Server(server);
        }
        let meant = said.and_then(|said| said.server.as_deref()).map(|text| servers.meant(text));
        match meant.filter(|meant| !meant.is_nothing()) {
            Some(meant) => meant.only().map_or(Owner::Any(meant), Owner::Server),
            None => Owner::Nobody,
        }
    }

    /// Whether all records by which a key could be somebody's are of the caller's zones; None when
    /// there is none.
    fn all_hers(&self, by: &Principal, key: &Key) -> Option<bool> {
        let servers = self.trust.registry().servers();
        let linked = servers.of_minion(&key.id).map(|(server, _)| server);
        let expecting = || servers.expecting(&key.id);
        let said = said_of(key);
        let named = [linked, said.and_then(|_| expecting())].into_iter().flatten();
        let named = named.filter_map(|id| Some(servers.get(id)?.record.zone.as_deref()));
        let meant = said.and_then(|said| said.server.as_deref()).map(|text| servers.meant(text));
        sees_all(by, named.chain(meant.into_iter().flat_map(Meant::zones)))
    }
}

/// Whose a key is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Owner<'a> {
    /// This record's: its id is linked to it or expected by it, or it says so.
    Server(ServerId),
    /// One of these is what it says it is.
    Any(Meant<'a>),
    /// No record has to do with it.
    Nobody,
}

impl Owner<'_> {
    pub(super) fn server(self) -> Option<ServerId> {
        match self {
            Self::Server(server) => Some(server),
            Self::Any(_) | Self::Nobody => None,
        }
    }
}

/// Whether all of these zones are shown to the caller; None when there is none of them.
fn sees_all<'a>(by: &Principal, zones: impl Iterator<Item = Option<&'a str>>) -> Option<bool> {
    let mut zones = zones.peekable();
    zones.peek()?;
    let is_seen = |(at, zone): (usize, Option<&str>)| at < ZONES_MAX && by.sees_zone(zone);
    Some(by.zones().is_none() || zones.enumerate().all(is_seen))
}

/// What a key says of itself counts until it is let in: then it is not moved by anybody's word.
pub(super) fn said_of(key: &Key) -> Option<&Knock> {
    (!is_holder(key.state)).then_some(&key.claims)
}

/// Whether somebody has decided that a key stays out.
fn is_turned_away(key: &Key) -> bool {
    key.state == KeyState::Rejected && key.rule.is_none()
}

fn is_holder(state: KeyState) -> bool {
    matches!(state, KeyState::Accepted | KeyState::Suspended)
}

/// Whether nobody has decided about a key.
fn waits(key: &Key) -> bool {
    matches!(key.state, KeyState::Pending | KeyState::Denied) || key.rule.is_some()
}

pub(super) fn keys_of(id: &MinionId) -> KeysQuery {
    KeysQuery { id: Some(id.clone()), public_key: false }
}

fn no_server(id: ServerId) -> Problem {
    Problem::new(ProblemKind::NotFound, format!("there is no server {id}"))
}

fn forbidden(detail: String) -> Problem {
    Problem::new(ProblemKind::Forbidden, detail)
}
