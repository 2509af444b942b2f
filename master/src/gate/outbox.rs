//! What waits to be sent to one peer: bounded in bytes, never blocking who sends.

use std::collections::VecDeque;
use std::sync::Mutex;

use brine_protocol::frame::Frame;
use brine_protocol::message::Standing;
use bytes::Bytes;
use tokio::sync::Notify;

/// Something to send. Frames are sealed when they are handed to the socket, not here.
#[derive(Debug)]
pub enum Outgoing {
    /// The verdict on a Hello or a Resume, and the decision that accepted the key, if one did.
    Welcome(Standing, Option<u64>),
    /// A ticket, under the decision that has accepted the key of a session that waited.
    Grant(u64),
    /// A frame to be sealed.
    Frame(Frame),
    /// Bytes that many peers get alike, ready for the wire.
    Shared(Bytes),
    /// Tell the engine that everything queued before this was handed to the socket.
    Mark,
    /// The end, after what was queued before it.
    Close(&'static str),
}

impl Outgoing {
    /// What it costs: its bytes and what it takes to keep it.
    fn cost(&self) -> usize {
        const KEEPING: usize = 64;
        KEEPING
            + match self {
                Outgoing::Welcome(..) | Outgoing::Grant(_) | Outgoing::Mark | Outgoing::Close(_) => 0,
                Outgoing::Frame(frame) => frame.encoded_len(),
                Outgoing::Shared(bytes) => bytes.len(),
            }
    }
}

#[derive(Debug, Default)]
struct Queue {
    items: VecDeque<Outgoing>,
    bytes: usize,
    cut: Option<&'static str>,
}

#[derive(Debug)]
pub(super) struct Outbox {
    queue: Mutex<Queue>,
    changed: Notify,
    bytes_max: usize,
}

impl Outbox {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { queue: Mutex::default(), changed: Notify::new(), bytes_max }
    }

    /// Queues an item. A peer whose queue is full is cut off: it will get what it missed again.
    pub(super) fn push(&self, item: Outgoing) {
        let mut queue = self.queue.lock().expect("no holder panics");
        if queue.cut.is_some() {
            return;
        }
        let cost = item.cost();
        if queue.bytes + cost > self.bytes_max && !queue.items.is_empty() {
            *queue = Queue { cut: Some("send_queue_full"), ..Queue::default() };
        } else {
            queue.bytes += cost;
            queue.items.push_back(item);
        }
        drop(queue);
        self.changed.notify_one();
    }

    /// Ends the connection at once.
    pub(super) fn cut(&self, why: &'static str) {
        let mut queue = self.queue.lock().expect("no holder panics");
        if queue.cut.is_none() {
            *queue = Queue { cut: Some(why), ..Queue::default() };
        }
        drop(queue);
        self.changed.notify_one();
    }

    /// The next item, or why the connection has to end now.
    pub(super) fn pop(&self) -> Result<Option<Outgoing>, &'static str> {
        let mut queue = self.queue.lock().expect("no holder panics");
        if let Some(why) = queue.cut {
            return Err(why);
        }
        let item = queue.items.pop_front();
        if let Some(item) = &item {
            queue.bytes -= item.cost();
        }
        if queue.items.is_empty() {
            queue.items = VecDeque::new();
        }
        Ok(item)
    }

    /// Why the connection has to end now, if it has to.
    pub(super) fn is_cut(&self) -> Option<&'static str> {
        self.queue.lock().expect("no holder panics").cut
    }

    /// Something was pushed or the connection was cut. One task may wait for it.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_and_a_bound() {
        let outbox = Outbox::new(1000);
        outbox.push(Outgoing::Shared(Bytes::from_static(&[1; 400])));
        outbox.push(Outgoing::Close("bye"));
        assert!(matches!(outbox.pop(), Ok(Some(Outgoing::Shared(_)))));
        outbox.push(Outgoing::Shared(Bytes::from_static(&[1; 400])));
        assert!(matches!(outbox.pop(), Ok(Some(Outgoing::Close("bye")))));
        outbox.push(Outgoing::Shared(Bytes::from_static(&[1; 400])));
        outbox.push(Outgoing::Shared(Bytes::from_static(&[1; 400])));
        assert_eq!(outbox.pop().expect_err("full"), "send_queue_full");
        outbox.push(Outgoing::Close("bye"));
        assert_eq!(outbox.pop().expect_err("stays cut"), "send_queue_full");
    }
}
