//! The ticket of the last session, for the next: in memory only, and used once.

use std::sync::Mutex;

use brine_pki::handshake::minion::Ticket;
use brine_protocol::Fingerprint;

/// Holds one ticket, the last that came.
#[derive(Debug, Default)]
pub struct Pocket(Mutex<Option<Ticket>>);

impl Pocket {
    /// Takes the ticket out if it is for this key of the minion and this trust key of the master. An attempt
    /// that fails leaves none behind, so that the next one is made without.
    #[must_use]
    pub fn take(&self, own: Fingerprint, master: Fingerprint) -> Option<Ticket> {
        let mut held = self.0.lock().expect("no holder panics");
        held.take_if(|ticket| ticket.is_of(own) && ticket.is_from(master))
    }

    /// Keeps a ticket in place of any before it.
    pub fn put(&self, ticket: Option<Ticket>) {
        if ticket.is_some() {
            *self.0.lock().expect("no holder panics") = ticket;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Fingerprint = Fingerprint([1; 32]);
    const MASTER: Fingerprint = Fingerprint([2; 32]);

    #[test]
    fn a_ticket_is_used_once_and_only_where_it_belongs() {
        let pocket = Pocket::default();
        let ticket = || Ticket::new(OWN, MASTER, b"sealed", zeroize::Zeroizing::new([3; 32]).into());
        assert!(pocket.take(OWN, MASTER).is_none());
        pocket.put(ticket());
        pocket.put(None);
        assert!(pocket.take(MASTER, MASTER).is_none() && pocket.take(OWN, OWN).is_none());
        assert!(pocket.take(OWN, MASTER).is_some());
        assert!(pocket.take(OWN, MASTER).is_none());
    }
}
