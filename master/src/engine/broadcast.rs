//! Orders that go out once for everybody: epochs, and when a new one is due.
//!
//! An epoch ends when somebody who could read broadcasts may not any more, and when somebody is
//! let in who may not read earlier ones. The next is made when it is needed, or within a second of
//! a subscriber that waits for one: so a thousand acceptances in a row make few epochs.
//!
//! A broadcast that somebody takes off the wire is missed by nobody until the next one of its
//! epoch. So subscribers are told over their channels how many there were: within a heartbeat, and
//! before the epoch ends. A minion that has fewer comes back, and is handed its orders again.

use std::time::Duration;

use brine_pki::ledger::Log;
use brine_pki::publish::Writer;
use brine_protocol::message::ToMinion;

use super::{Engine, Output};
use crate::gate::ConnId;

/// The present epoch; none until it is needed, and none once it is stale.
#[derive(Debug, Default)]
pub(super) struct Epochs {
    present: Option<Writer>,
    /// When the first broadcast went out that subscribers were not told the number of.
    uncounted: Option<Duration>,
}

impl<L: Log> Engine<L> {
    /// Broadcasts an order to every subscriber. Only for orders that are for all of them.
    pub(super) fn broadcast(&mut self, message: &ToMinion) {
        self.need_epoch();
        let writer = self.epochs.present.as_mut().expect("made above when there was none");
        let body = writer.seal(&message.to_frame());
        self.epochs.uncounted.get_or_insert(self.now.steady);
        self.output(Output::Broadcast(body));
    }

    /// Gives a new subscriber, whose session is live, what it needs to read from now on. Without
    /// an epoch it is told the next one with everybody else.
    pub(super) fn send_epoch(&mut self, conn: ConnId) {
        if let Some(writer) = &self.epochs.present {
            let epoch = Box::new(writer.epoch());
            self.send(conn, ToMinion::Epoch(epoch));
        }
    }

    /// Those who can read broadcasts are no longer those who may.
    pub(super) fn end_epoch(&mut self) {
        self.tell_count();
        self.epochs.present = None;
    }

    /// Tells how many broadcasts there were, when that is due.
    pub(super) fn count_broadcasts(&mut self) {
        let now = self.now.steady;
        let is_due = |since: Duration| now.saturating_sub(since) >= self.settings.heartbeat;
        if self.epochs.uncounted.is_some_and(is_due) {
            self.tell_count();
        }
    }

    fn tell_count(&mut self) {
        if self.epochs.uncounted.take().is_none() {
            return;
        }
        let Some(counted) = self.epochs.present.as_ref().map(Writer::counted) else { return };
        for conn in self.subscribers() {
            self.send(conn, ToMinion::Counted(counted));
        }
    }

    fn subscribers(&self) -> Vec<ConnId> {
        self.sessions.values().filter(|session| session.is_subscribed()).map(|session| session.conn).collect()
    }

    /// Makes the epoch that subscribers wait for, so that no broadcast has to.
    pub(super) fn prepare_epoch(&mut self) {
        if self.sessions.values().any(super::Session::is_subscribed) {
            self.need_epoch();
        }
    }

    /// Makes an epoch if there is none, and tells it to every subscriber: whoever is not told
    /// could not read the next broadcast.
    fn need_epoch(&mut self) {
        if self.epochs.present.is_some() {
            return;
        }
        let (id, key, seed) = (self.random(), self.random(), self.random());
        self.epochs.present = Some(Writer::new(id, key, &seed));
        for conn in self.subscribers() {
            self.send_epoch(conn);
        }
    }
}
