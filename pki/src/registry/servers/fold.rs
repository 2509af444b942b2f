//! How each decision changes servers and links.
//!
//! Any entry can be applied in any state: after a repair, lines before it may be missing. Where two
//! decisions cannot both stand, the later one does.

use brine_protocol::control::{Preseed, ServerDecision, Way};
use brine_protocol::server::ServerRecord;
use brine_protocol::{Fingerprint, MinionId, ServerId};

use super::{Linked, ServerEntry, Servers};
use crate::ledger::{Deed, Entry, MinionKey, ServerDeed, TokenDeed};
use crate::registry::Registry;

impl Registry {
    /// Takes in what an entry means for servers; what it means for keys is true already.
    pub(in crate::registry) fn apply_links(&mut self, entry: &Entry) {
        if let Deed::Rotate { id, fingerprint, from, .. } = &entry.deed
            && self.holds(id, *fingerprint)
        {
            self.servers.rotate(entry, id, *from, *fingerprint);
        }
        for act in entry.deed.key_acts() {
            let holder = self.holder(act.id).map(|key| key.fingerprint);
            self.servers.settle(entry, act.id, holder, act.act.name());
        }
        match &entry.deed {
            Deed::Server { server, deed } => self.apply_server(entry, *server, deed),
            Deed::Token { token, deed } => {
                self.servers.tokens.apply(entry, *token, deed);
                if let TokenDeed::Enrol { server: Some(server), minion, .. } = deed {
                    self.servers.note(entry, *server, "enrol", Some(minion), None);
                    self.link(entry, *server, minion, Way::Enrolled, None);
                }
            }
            Deed::Key { .. }
            | Deed::Config { .. }
            | Deed::Repair { .. }
            | Deed::Rotate { .. }
            | Deed::Announce { .. }
            | Deed::Succeed { .. }
            | Deed::Withdraw { .. }
            | Deed::Refuse { .. } => {}
        }
    }

    fn apply_server(&mut self, entry: &Entry, id: ServerId, deed: &ServerDeed) {
        let (act, minion, record) = match deed {
            ServerDeed::Create { record } => ("create", None, Some(&**record)),
            ServerDeed::Update { record } => ("update", None, Some(&**record)),
            ServerDeed::Delete { link } => ("delete", link.as_ref().map(|(minion, _)| minion), None),
            ServerDeed::Pair { minion, .. } => ("pair", Some(minion), None),
            ServerDeed::Unpair { minion, .. } => ("unpair", Some(minion), None),
            ServerDeed::Preseed { minion, .. } => ("preseed", Some(minion), None),
            ServerDeed::Fetch { minion } => ("fetch", Some(minion), None),
            ServerDeed::Arrive { minion } => ("arrive", Some(minion), None),
            ServerDeed::Expire { minion } => ("expire", Some(minion), None),
        };
        self.servers.note(entry, id, act, minion, record);
        match deed {
            ServerDeed::Create { record } => self.servers.create(entry, id, record),
            ServerDeed::Update { record } => self.servers.update(id, record),
            ServerDeed::Delete { .. } => self.servers.delete(id),
            ServerDeed::Pair { minion, .. } => self.link(entry, id, minion, Way::Paired, None),
            ServerDeed::Preseed { minion, until, .. } => {
                let preseed = Preseed { until: *until, is_fetched: false };
                self.link(entry, id, minion, Way::Preseeded, Some(preseed));
            }
            ServerDeed::Unpair { minion, .. } | ServerDeed::Expire { minion } => {
                if self.servers.of_key(&minion.id, minion.fingerprint) == Some(id) {
                    self.servers.unlink(id);
                }
            }
            ServerDeed::Fetch { minion } => {
                if let Some(preseed) = self.servers.preseed(id, minion) {
                    preseed.is_fetched = true;
                }
            }
            ServerDeed::Arrive { minion } => self.servers.arrive(id, minion),
        }
    }

    fn holds(&self, id: &MinionId, fingerprint: Fingerprint) -> bool {
        self.holder(id).is_some_and(|key| key.fingerprint == fingerprint)
    }

    /// Links, if the key holds the minion's id.
    fn link(&mut self, entry: &Entry, id: ServerId, minion: &MinionKey, way: Way, preseed: Option<Preseed>) {
        if self.holds(&minion.id, minion.fingerprint) {
            let link = Linked {
                minion: minion.id.clone(),
                fingerprint: minion.fingerprint,
                since: entry.at,
                by: entry.by.clone(),
                way,
                preseed,
            };
            self.servers.link(entry, id, link);
        }
    }
}

impl Servers {
    /// Notes a decision about a server. Of what was never created there is nothing to tell.
    fn note(
        &mut self,
        entry: &Entry,
        id: ServerId,
        act: &str,
        minion: Option<&MinionKey>,
        record: Option<&ServerRecord>,
    ) {
        if act != "create" && !self.history.contains_key(&id) {
            return;
        }
        self.history.entry(id).or_default().push(ServerDecision {
            seq: entry.seq,
            at: entry.at,
            by: entry.by.clone(),
            act: act.to_owned(),
            minion: minion.map(|minion| minion.id.clone()),
            fingerprint: minion.map(|minion| minion.fingerprint),
            record: record.cloned(),
            reason: entry.reason.clone(),
        });
    }

    fn create(&mut self, entry: &Entry, id: ServerId, record: &ServerRecord) {
        if self.records.contains_key(&id) {
            self.update(id, record);
            return;
        }
        let made = ServerEntry {
            record: record.clone(),
            created: entry.at,
            created_by: entry.by.clone(),
            link: None,
        };
        self.records.insert(id, made);
        self.index(id, record);
    }

    fn update(&mut self, id: ServerId, record: &ServerRecord) {
        let Some(entry) = self.records.get_mut(&id) else { return };
        let before = std::mem::replace(&mut entry.record, record.clone());
        // A token is for the machine that the record stood for when somebody with the right to do so
        // made it: whoever moves the record, or says that it is another machine, did not.
        let is_other_minion = before.minion_id.is_some() && before.minion_id != record.minion_id;
        if before.zone != record.zone || is_other_minion {
            self.tokens.revoke_of(id);
        }
        self.forget(id, &before);
        self.index(id, record);
    }

    fn delete(&mut self, id: ServerId) {
        self.unlink(id);
        if let Some(entry) = self.records.remove(&id) {
            self.forget(id, &entry.record);
        }
        self.tokens.revoke_of(id);
    }

    /// Makes a record findable. What only one record may have is taken from another that has it.
    fn index(&mut self, id: ServerId, record: &ServerRecord) {
        self.add_name(id, record);
        if let Some(minion) = &record.minion_id
            && let Some(other) = self.expected.insert(minion.clone(), id).filter(|other| *other != id)
            && let Some(other) = self.records.get_mut(&other)
        {
            other.record.minion_id = None;
        }
        if let Some(external) = &record.external_id
            && let Some(other) = self.externals.insert(external.clone(), id).filter(|other| *other != id)
            && let Some(other) = self.records.get_mut(&other)
        {
            other.record.external_id = None;
        }
    }

    fn forget(&mut self, id: ServerId, record: &ServerRecord) {
        self.remove_name(id, record);
        if let Some(minion) = &record.minion_id {
            self.expected.remove(minion);
        }
        if let Some(external) = &record.external_id {
            self.externals.remove(external);
        }
    }

    fn link(&mut self, entry: &Entry, id: ServerId, link: Linked) {
        if !self.records.contains_key(&id) {
            return;
        }
        if let Some(other) = self.linked.get(&link.minion).copied().filter(|other| *other != id) {
            let minion = MinionKey { id: link.minion.clone(), fingerprint: link.fingerprint };
            let act = match link.way {
                Way::Paired => "pair",
                Way::Preseeded => "preseed",
                Way::Enrolled => "enrol",
            };
            self.note(entry, other, act, Some(&minion), None);
            self.unlink(other);
        }
        self.unlink(id);
        self.linked.insert(link.minion.clone(), id);
        if link.preseed.is_some() {
            self.unarrived.insert(id);
        }
        if let Some(entry) = self.records.get_mut(&id) {
            entry.link = Some(link);
        }
    }

    fn unlink(&mut self, id: ServerId) {
        self.unarrived.remove(&id);
        if let Some(link) = self.records.get_mut(&id).and_then(|entry| entry.link.take()) {
            self.linked.remove(&link.minion);
        }
    }

    fn rotate(&mut self, entry: &Entry, minion: &MinionId, from: Fingerprint, to: Fingerprint) {
        let Some(id) = self.of_key(minion, from) else { return };
        self.note(entry, id, "rotate", Some(&MinionKey { id: minion.clone(), fingerprint: to }), None);
        if let Some(link) = self.records.get_mut(&id).and_then(|entry| entry.link.as_mut()) {
            link.fingerprint = to;
        }
    }

    /// Undoes the link of a minion whose id its key no longer holds.
    fn settle(&mut self, entry: &Entry, minion: &MinionId, holder: Option<Fingerprint>, act: &str) {
        let Some((id, server)) = self.of_minion(minion) else { return };
        let Some(link) = server.link.as_ref().filter(|link| Some(link.fingerprint) != holder) else { return };
        let was = MinionKey { id: link.minion.clone(), fingerprint: link.fingerprint };
        // A decision about this very server is told as what it is.
        if entry.deed.server() != Some(id) {
            self.note(entry, id, act, Some(&was), None);
        }
        self.unlink(id);
    }

    fn preseed(&mut self, id: ServerId, minion: &MinionKey) -> Option<&mut Preseed> {
        let link = self.records.get_mut(&id)?.link.as_mut()?;
        let is_it = link.minion == minion.id && link.fingerprint == minion.fingerprint;
        link.preseed.as_mut().filter(|_| is_it)
    }

    fn arrive(&mut self, id: ServerId, minion: &MinionKey) {
        if self.preseed(id, minion).is_some() {
            self.unarrived.remove(&id);
            if let Some(link) = self.records.get_mut(&id).and_then(|entry| entry.link.as_mut()) {
                link.preseed = None;
            }
        }
    }
}
