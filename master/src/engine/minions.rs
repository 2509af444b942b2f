//! Minions as operators see them, and signals to the jobs that are with them.

use brine_pki::ledger::Log;
use brine_protocol::control::{Minion, MinionsQuery, Presence};
use brine_protocol::message::ToMinion;
use brine_protocol::signal::{Signal, SignalName};
use brine_protocol::{Jid, MinionId};

use super::Engine;
use crate::roles::Principal;

impl<L: Log> Engine<L> {
    /// The accepted minions that are shown to a caller and that it asks for.
    pub(super) fn minions(&self, by: &Principal, query: &MinionsQuery) -> Vec<Minion> {
        let all = self.accepted_for(by).map(|(id, _)| self.minion(id));
        all.filter(|minion| query.up.is_none_or(|up| up == is_up(&minion.presence))).collect()
    }

    pub(super) fn minion(&self, id: &MinionId) -> Minion {
        let facts = self.facts.get(id);
        let since = match self.live(id) {
            Some(session) => Some(session.since),
            None => facts.map(|facts| facts.last_seen),
        };
        Minion {
            id: id.clone(),
            presence: self.presence(id, None),
            address: self.address(id),
            version: facts.map(|facts| facts.version.clone()),
            since,
            last_job: self.last_jobs.get(id).copied(),
            grains: None,
        }
    }

    /// What is known of the presence of a minion that has not ended in a job.
    pub(super) fn presence_in(&self, id: &MinionId, jid: Jid) -> Presence {
        let open = self.open.get(&jid);
        let waits = open.and_then(|open| open.turns.as_ref()).is_some_and(|turns| !turns.is_out(id));
        match self.presence(id, Some(jid)) {
            Presence::Up if waits => Presence::Waiting,
            presence => presence,
        }
    }

    /// Has the processes of a job signalled, wherever it was handed over and its minion is connected.
    pub(super) fn signal(&mut self, jid: Jid, signal: SignalName, by: &Principal) -> Vec<MinionId> {
        let Some(open) = self.open.get(&jid) else {
            return Vec::new();
        };
        let number = open.job.number;
        let handed = open.minions.iter().filter(|(_, waits)| waits.handed).map(|(id, _)| id);
        let told: Vec<_> = handed.filter_map(|id| Some((id.clone(), self.live(id)?.conn))).collect();
        let by = by.to_string();
        for (_, conn) in &told {
            self.send(*conn, ToMinion::Signal(Signal { jid, number, signal, by: by.clone() }));
        }
        told.into_iter().map(|(id, _)| id).collect()
    }
}

fn is_up(presence: &Presence) -> bool {
    match presence {
        Presence::Up | Presence::Running | Presence::Waiting => true,
        Presence::Silent { .. } | Presence::Offline { .. } => false,
    }
}
