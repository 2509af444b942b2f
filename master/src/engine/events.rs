//! Events, each with the zone of what it is about: who is limited to zones hears only of these.

use std::sync::Arc;

use brine_pki::ledger::Log;
use brine_protocol::control::Event;
use brine_protocol::message::Knock;
use brine_protocol::server::ServerId;
use brine_protocol::{Fingerprint, MinionId};
use serde::Deserialize;
use serde_json::Value;

use super::zones::{Owner, keys_of, said_of};
use super::{Engine, Output};
use crate::store::Record;

/// The record by which a key is somebody's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Whose {
    /// None when it is one of several.
    pub(super) server: Option<ServerId>,
    /// Theirs, if they are all of one.
    pub(super) zone: Option<String>,
}

impl<L: Log> Engine<L> {
    /// Emits an event and keeps it in the store.
    pub(super) fn event(&mut self, tag: String, mut data: Value) {
        let zone = self.zone_of_event(&tag, &mut data);
        self.event_in_zone(tag, data, zone);
    }

    /// The same of what may be gone already.
    pub(super) fn event_in_zone(&mut self, tag: String, data: Value, zone: Option<String>) {
        let event = self.make_event(tag, data, zone);
        self.output(Output::Persist(Record::Event(Arc::clone(&event))));
        self.output(Output::Event(event));
    }

    /// Emits an event that can be derived from what is stored anyway, or that a stranger causes.
    pub(super) fn passing_event(&mut self, tag: String, mut data: Value) {
        let zone = self.zone_of_event(&tag, &mut data);
        let event = self.make_event(tag, data, zone);
        self.output(Output::Event(event));
    }

    pub(super) fn make_event(&mut self, tag: String, data: Value, zone: Option<String>) -> Arc<Event> {
        self.next_event += 1;
        Arc::new(Event { id: self.next_event, tag, at: self.now.wall, data, zone })
    }

    /// Whose a key is now. For events about it: to be asked before a decision that may end it.
    pub(super) fn whose_key(&self, id: &MinionId, fingerprint: Option<Fingerprint>) -> Option<Whose> {
        let keys = self.trust.find(&keys_of(id));
        let owner = match keys.iter().find(|key| Some(key.fingerprint) == fingerprint) {
            Some(key) => self.owner(id, said_of(key)),
            // What it said is forgotten with it.
            None => self.owner(id, Some(&Knock::default())),
        };
        self.whose(owner)
    }

    /// Whose a waiting key was that is no longer there.
    pub(super) fn whose_gone(&self, id: &MinionId, claims: &Knock) -> Option<Whose> {
        self.whose(self.owner(id, Some(claims)))
    }

    fn whose(&self, owner: Owner<'_>) -> Option<Whose> {
        match owner {
            Owner::Server(server) => Some(self.whose_server(server)),
            Owner::Any(meant) => {
                let first = meant.zones().next().flatten();
                // Records of one name: each zone comes three times at most.
                let is_one = meant.zones().take(4).all(|zone| zone == first);
                let zone = first.filter(|_| is_one).map(str::to_owned);
                Some(Whose { server: None, zone })
            }
            Owner::Nobody => None,
        }
    }

    /// The same of a key that is known by its record, which may be deleted by now.
    pub(super) fn whose_server(&self, server: ServerId) -> Whose {
        let servers = self.trust.registry().servers();
        let record = match servers.get(server) {
            Some(entry) => Some(&entry.record),
            None => servers.history(server).iter().rev().find_map(|decision| decision.record.as_ref()),
        };
        Whose { server: Some(server), zone: record.and_then(|record| record.zone.clone()) }
    }

    /// The zone of what an event is about. An event about a key names its record as well.
    fn zone_of_event(&self, tag: &str, data: &mut Value) -> Option<String> {
        let mut words = tag.strip_prefix("brine/")?.split('/');
        let (kind, name) = (words.next()?, words.next()?);
        let servers = self.trust.registry().servers();
        let server = match kind {
            "key" => {
                let fingerprint = Fingerprint::deserialize(&data["fingerprint"]).ok();
                return name_server(data, self.whose_key(&name.parse().ok()?, fingerprint));
            }
            "minion" => servers.of_minion(&name.parse().ok()?)?.0,
            "server" => name.parse().ok()?,
            "token" => servers.token(name.parse().ok()?)?.server?,
            _ => return None,
        };
        self.zone_of_server(server)
    }
}

/// Writes into an event about a key which record's it is, or that it is one of several, and gives the
/// zone.
pub(super) fn name_server(data: &mut Value, whose: Option<Whose>) -> Option<String> {
    let Whose { server, zone } = whose?;
    match server {
        Some(server) => data["server"] = server.to_string().into(),
        None => data["ambiguous"] = true.into(),
    }
    zone
}
