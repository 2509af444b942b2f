//! A ledger that forgets: for tests, and for the simulation of a fleet.

use brine_protocol::time::Timestamp;

use super::{Chain, Draft, Entry, Hash, LedgerError, Log};

/// A ledger in memory, with the same chain as the one in a file.
#[derive(Debug, Clone, Default)]
pub struct MemoryLedger {
    entries: Vec<Entry>,
    chain: Chain,
}

impl Log for MemoryLedger {
    fn append(&mut self, draft: Draft, at: Timestamp) -> Result<Entry, LedgerError> {
        let (entry, line) = self.chain.next(draft, at)?;
        self.chain = Chain::after(&entry, &line);
        self.entries.push(entry.clone());
        Ok(entry)
    }

    fn entries(&self) -> Result<Vec<Entry>, LedgerError> {
        Ok(self.entries.clone())
    }

    fn head(&self) -> Hash {
        self.chain.head
    }
}
