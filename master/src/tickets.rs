//! Tickets: the keys that they are sealed under, in `tickets.key` beside the master's own, and what is
//! given and taken under them.
//!
//! **Invariants:** a key is on disk before anything is sealed under it, so that a restart opens what was
//! given; a file that is missing, damaged or open to others costs its minions a signature each, and never
//! keeps the master from starting.

use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use brine_local::clock::wall;
use brine_local::file;
use brine_pki::handshake::master::{NotResumed, Offer, Resumed};
use brine_pki::random;
use brine_pki::ticket::{Granted, TicketKeys};
use brine_protocol::Fingerprint;
use zeroize::Zeroizing;

/// How long a ticket is good after its minion's last signature, or the end of the session that it was for.
const AGE_MAX_S: u64 = 86_400;

/// How old the last ticket of a session gets before it is told another.
pub(crate) const RENEW_AFTER_S: u64 = AGE_MAX_S / 2;

/// How often it is looked whether another key is due, twelve hours after the last.
const LOOK_EVERY: Duration = Duration::from_secs(600);

/// Larger files are none: four keys of 94 bytes are more than there ever are.
const FILE_MAX: u64 = 4096;

/// The wall clock in seconds: what the age of keys and tickets is told by, across restarts.
pub(crate) fn wall_s() -> u64 {
    u64::try_from(wall().0 / 1_000_000).unwrap_or(0)
}

/// The keys of tickets, and their file.
#[derive(Debug)]
pub struct Tickets {
    file: PathBuf,
    keys: RwLock<TicketKeys>,
}

impl Tickets {
    /// Takes the keys from their file, and makes one if none is there or another is due.
    #[must_use]
    pub fn open(folder: &Path) -> Self {
        let file = folder.join("tickets.key");
        let keys = read(&file).unwrap_or_else(|why| {
            tracing::warn!(
                "the keys of tickets are made anew, and each minion signs once: {} cannot be used: {why}",
                file.display()
            );
            None
        });
        let keys = RwLock::new(keys.unwrap_or_else(|| TicketKeys::new(AGE_MAX_S)));
        let tickets = Self { file, keys };
        tickets.renew(wall_s());
        tickets
    }

    /// Makes another key whenever one is due, for as long as the program runs.
    pub async fn keep(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let tickets = Arc::clone(&self);
            // A disk that hangs must not hold a thread that serves minions.
            let renewed = tokio::task::spawn_blocking(move || tickets.renew(wall_s())).await;
            renewed.expect("writing a file does not panic");
        }
    }

    fn renew(&self, now_s: u64) {
        let mut keys = self.keys.read().expect("no holder panics").clone();
        if !keys.is_due(now_s) {
            return;
        }
        keys.renew(random::bytes(), Zeroizing::new(random::bytes()), now_s);
        match file::replace(&self.file, keys.to_text().as_bytes(), 0o600) {
            Ok(()) => *self.keys.write().expect("no holder panics") = keys,
            Err(error) => {
                tracing::warn!("no new key for tickets, the last one serves while it is good: {error}");
            }
        }
    }

    /// A ticket for a minion that is in; empty without a key.
    #[must_use]
    pub fn grant(&self, trust_key: Fingerprint, granted: &Granted) -> Vec<u8> {
        let keys = self.keys.read().expect("no holder panics");
        keys.seal(trust_key, random::bytes(), granted).unwrap_or_default()
    }

    #[cfg(test)]
    pub(crate) fn opened(&self, trust_key: Fingerprint, ticket: &[u8], now_s: u64) -> Option<Granted> {
        self.keys.read().expect("unpoisoned").open(trust_key, ticket, now_s)
    }

    /// Reads a Resume, and opens its ticket.
    ///
    /// # Errors
    /// It is malformed, or of no use.
    pub fn read(&self, offer: Offer, message: &[u8]) -> Result<Resumed, NotResumed> {
        offer.read_resume(message, &self.keys.read().expect("no holder panics"), wall_s())
    }
}

/// The keys in the file; none if there is no file, and why not if they are no keys or not only ours.
fn read(path: &Path) -> Result<Option<TicketKeys>, String> {
    let text = match file::read_text(path, FILE_MAX).map(Zeroizing::new) {
        Ok(text) => text,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    // What others could read is not a secret any more.
    file::check_private(path).map_err(|error| error.to_string())?;
    let keys = TicketKeys::from_text(&text, AGE_MAX_S).ok_or("a line of it is no key of tickets")?;
    Ok(Some(keys))
}

#[cfg(test)]
mod tests;
