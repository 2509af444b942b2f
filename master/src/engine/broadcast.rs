//! Orders that go out once for everybody: epochs, and when a new one is due.
//!
//! An epoch ends when somebody who could read broadcasts may not any more, and when somebody is
//! let in who may not read earlier ones. The next is made when it is needed, or within a second of
//! a subscriber that waits for one: so a thousand acceptances in a row make few epochs.

use brine_pki::ledger::Log;
use brine_pki::publish::Writer;
use brine_protocol::message::ToMinion;

use super::{Engine, Output};
use crate::gate::ConnId;

/// The present epoch; none until it is needed, and none once it is stale.
#[derive(Debug, Default)]
pub(super) struct Epochs(Option<Writer>);

impl<L: Log> Engine<L> {
    /// Broadcasts an order to every subscriber. Only for orders that are for all of them.
    pub(super) fn broadcast(&mut self, message: &ToMinion) {
        self.need_epoch();
        let writer = self.epochs.0.as_mut().expect("made above when there was none");
        let body = writer.seal(&message.to_frame());
        self.output(Output::Broadcast(body));
    }

    /// Gives a new subscriber, whose session is live, what it needs to read from now on. Without
    /// an epoch it is told the next one with everybody else.
    pub(super) fn send_epoch(&mut self, conn: ConnId) {
        if let Some(writer) = &self.epochs.0 {
            let epoch = Box::new(writer.epoch());
            self.send(conn, ToMinion::Epoch(epoch));
        }
    }

    /// Those who can read broadcasts are no longer those who may.
    pub(super) fn end_epoch(&mut self) {
        self.epochs.0 = None;
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
        if self.epochs.0.is_some() {
            return;
        }
        let (id, key, seed) = (self.random(), self.random(), self.random());
        self.epochs.0 = Some(Writer::new(id, key, &seed));
        let subscribed: Vec<ConnId> =
            self.sessions.values().filter(|s| s.is_subscribed()).map(|s| s.conn).collect();
        for conn in subscribed {
            self.send_epoch(conn);
        }
    }
}
