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
    fn append_all(&mut self, drafts: Vec<Draft>, at: Timestamp) -> Result<Vec<Entry>, LedgerError> {
        let (entries, _, chain) = self.chain.next_all(drafts, at)?;
        self.chain = chain;
        self.entries.extend(entries.iter().cloned());
        Ok(entries)
    }

    fn entries(&self) -> Result<Vec<Entry>, LedgerError> {
        Ok(self.entries.clone())
    }

    fn head(&self) -> Hash {
        self.chain.head
    }
}
