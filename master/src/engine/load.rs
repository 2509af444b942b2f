//! How much an engine holds in memory, for whoever checks that it forgets.

use std::collections::BTreeMap;

use brine_pki::ledger::Log;

use super::Engine;

/// What an engine holds at a moment, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Sessions, live or waiting.
    pub sessions: usize,
    /// Subscribers that were quicker than their session's first frame.
    pub early_subscribers: usize,
    /// Jobs that are open for somebody.
    pub jobs: usize,
    /// Orders that have not ended.
    pub orders: usize,
    /// What these hold, roughly, in bytes.
    pub order_bytes: usize,
    /// Orders that sessions have yet to be handed of what was open when they began.
    pub backlog: usize,
    /// Probes that wait for signs of life.
    pub probes: usize,
}

impl<L: Log> Engine<L> {
    /// What it holds now.
    #[must_use]
    pub fn load(&self) -> Load {
        let listed: usize = self.open.values().map(|open| open.minions.len()).sum();
        let by_minion: usize = self.orders.values().map(BTreeMap::len).sum();
        Load {
            sessions: self.sessions.len(),
            early_subscribers: self.early_subscribers.len(),
            jobs: self.open.len(),
            // They are the same unless an order was forgotten in one place.
            orders: self.orders_open.max(listed).max(by_minion),
            order_bytes: self.open_bytes,
            backlog: self.sessions.values().map(|session| session.backlog.len()).sum(),
            probes: self.probes.len(),
        }
    }
}
