//! How much an engine holds in memory, for whoever checks that it forgets.

use super::{Engine, Session};

/// What an engine holds at a moment, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Jobs that run.
    pub running: usize,
    /// Jobs that wait for a free place.
    pub queued: usize,
    /// Repeatable jobs, running or with an answer that is kept.
    pub fleeting: usize,
    /// Orders that came before the session was started by the master.
    pub early: usize,
    /// Returns that wait to be sent.
    pub unsent: usize,
    /// Returns sent and not yet acknowledged.
    pub in_flight: usize,
    /// Jobs held on disk.
    pub held: usize,
    /// What these hold, roughly, in bytes.
    pub held_bytes: u64,
}

impl Engine {
    /// What it holds now.
    #[must_use]
    pub fn load(&self) -> Load {
        let (early, unsent, in_flight) = match &self.session {
            Session::Live(_, live) => (live.early.len(), live.unsent.len(), live.in_flight.len()),
            Session::None | Session::Waiting(_) => (0, 0, 0),
        };
        Load {
            running: self.running.len(),
            queued: self.queue.len(),
            fleeting: self.fleeting.len(),
            early,
            unsent,
            in_flight,
            held: self.book.jobs().count(),
            held_bytes: self.book.bytes(),
        }
    }
}
