//! Orders that go out once for everybody: epochs, and when a new one is due.

use brine_pki::ledger::Log;
use brine_pki::publish::Writer;
use brine_protocol::message::ToMinion;

use super::{Engine, Output};
use crate::gate::ConnId;

/// The present epoch; none until the first subscriber, and none once it is stale.
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

    /// Gives a new subscriber, whose session is live, what it needs to read from now on.
    pub(super) fn send_epoch(&mut self, conn: ConnId) {
        if !self.need_epoch() {
            self.tell_epoch(conn);
        }
    }

    /// Somebody who could read broadcasts may not any more: the next one gets a new epoch, told
    /// to those who remain.
    pub(super) fn end_epoch(&mut self) {
        self.epochs.0 = None;
    }

    /// Makes an epoch if there is none, and tells it to every subscriber: whoever is not told
    /// could not read the next broadcast. Whether it made one.
    fn need_epoch(&mut self) -> bool {
        if self.epochs.0.is_some() {
            return false;
        }
        let (id, key, seed) = (self.random(), self.random(), self.random());
        self.epochs.0 = Some(Writer::new(id, key, &seed));
        let subscribed: Vec<ConnId> =
            self.sessions.values().filter(|s| s.is_subscribed()).map(|s| s.conn).collect();
        for conn in subscribed {
            self.tell_epoch(conn);
        }
        true
    }

    fn tell_epoch(&mut self, conn: ConnId) {
        let writer = self.epochs.0.as_ref().expect("told only when there is one");
        let epoch = Box::new(writer.epoch());
        self.send(conn, ToMinion::Epoch(epoch));
    }
}
