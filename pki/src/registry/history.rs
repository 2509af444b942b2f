//! What was decided about each id, and by whom: the ledger's lines as operators ask for them.

use std::collections::BTreeMap;

use brine_protocol::control::{Act, Decision};
use brine_protocol::{MinionId, ServerId};

use super::servers::Servers;
use crate::ledger::{Deed, Entry, KeyAct, ServerDeed, TokenDeed};

/// The decisions about keys, by id, oldest first. An id that was deleted keeps its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct History(BTreeMap<MinionId, Vec<Decision>>);

impl History {
    /// Takes in the next entry, if it brings something about a key. `servers` are those before it.
    pub(super) fn note(&mut self, entry: &Entry, servers: &Servers) {
        let decision = |act: &str, fingerprint, from, reason: Option<String>| Decision {
            seq: entry.seq,
            at: entry.at,
            by: entry.by.clone(),
            act: act.to_owned(),
            fingerprint,
            from,
            reason: entry.reason.clone().or(reason),
        };
        if let Deed::Rotate { id, fingerprint, from, .. } = &entry.deed {
            self.add(id, decision("rotate", *fingerprint, Some(*from), None));
        }
        for KeyAct { act, id, fingerprint, .. } in entry.deed.key_acts() {
            let why = why(&entry.deed, act, servers);
            self.add(id, decision(act.name(), fingerprint, None, why));
        }
    }

    fn add(&mut self, id: &MinionId, decision: Decision) {
        self.0.entry(id.clone()).or_default().push(decision);
    }

    /// The decisions about one id.
    pub(super) fn of(&self, id: &MinionId) -> &[Decision] {
        self.0.get(id).map_or(&[], Vec::as_slice)
    }
}

/// What a decision about a server says to those who only look at the key.
fn why(deed: &Deed, act: Act, servers: &Servers) -> Option<String> {
    let server = |id: ServerId| {
        let name = servers.get(id).map(|entry| entry.record.name.as_str());
        name.map_or_else(|| format!("server {id}"), |name| format!("server {name}"))
    };
    let is_given_up = act == Act::Reject;
    match deed {
        Deed::Server { server: id, deed } => {
            let id = server(*id);
            match deed {
                ServerDeed::Pair { .. } | ServerDeed::Preseed { .. } if is_given_up => {
                    Some(format!("gave way to another key of {id}"))
                }
                ServerDeed::Pair { .. } => Some(format!("paired with {id}")),
                ServerDeed::Preseed { .. } => Some(format!("made for {id}")),
                ServerDeed::Expire { .. } => Some(format!("made for {id}, whose minion did not come")),
                ServerDeed::Unpair { .. } => Some(format!("unpaired from {id}")),
                ServerDeed::Delete { .. } => Some(format!("deleted with {id}")),
                ServerDeed::Create { .. }
                | ServerDeed::Update { .. }
                | ServerDeed::Fetch { .. }
                | ServerDeed::Arrive { .. } => None,
            }
        }
        Deed::Token { deed: TokenDeed::Enrol { .. }, .. } if is_given_up => {
            Some("gave way to a key with an enrolment token".to_owned())
        }
        Deed::Token { deed: TokenDeed::Enrol { server: Some(id), .. }, .. } => {
            Some(format!("enrolled as {}", server(*id)))
        }
        Deed::Token { .. }
        | Deed::Key { .. }
        | Deed::Config { .. }
        | Deed::Repair { .. }
        | Deed::Rotate { .. }
        | Deed::Announce { .. }
        | Deed::Succeed { .. }
        | Deed::Withdraw { .. }
        | Deed::Refuse { .. } => None,
    }
}
