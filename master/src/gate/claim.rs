//! Who a peer proved to be, by its key or by a ticket, until its verdict is there.

use brine_pki::handshake::HandshakeError;
use brine_pki::handshake::master::{Offer, Opening, Resumed, Verified};
use brine_pki::random;
use brine_pki::ticket::{Granted, Resumption};
use brine_protocol::{Fingerprint, MinionId};

use crate::engine::Opened;
use crate::tickets::{RENEW_AFTER_S, Tickets};

/// What was proved for this connection.
pub(super) enum Claim {
    /// A Hello: the key signed it.
    Signed(Verified),
    /// A Resume: the session before has left it its secret.
    Resumed(Resumed),
}

impl Claim {
    pub(super) fn id(&self) -> &MinionId {
        match self {
            Claim::Signed(verified) => verified.id(),
            Claim::Resumed(resumed) => &resumed.granted().id,
        }
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        match self {
            Claim::Signed(verified) => verified.key().fingerprint(),
            Claim::Resumed(resumed) => resumed.granted().fingerprint,
        }
    }

    /// Holds a ticket against the decision that accepts its key now, if one does. A signature is good
    /// whatever is decided.
    ///
    /// # Errors
    /// The ticket is worth nothing: the Offer is open for a Hello again.
    pub(super) fn under(self, generation: Option<u64>) -> Result<Self, Offer> {
        match self {
            Claim::Resumed(resumed) if Some(resumed.granted().generation) != generation => {
                Err(resumed.refuse())
            }
            claim => Ok(claim),
        }
    }

    /// What the engine hears of it once the session is proven.
    pub(super) fn opened(&self, conn: super::ConnId, address: std::net::IpAddr) -> Opened {
        let (key, resumed) = match self {
            Claim::Signed(verified) => (verified.key().der().into(), None),
            Claim::Resumed(resumed) => (Vec::new(), Some(resumed.granted().generation)),
        };
        Opened { conn, id: self.id().clone(), key, fingerprint: self.fingerprint(), resumed, address }
    }

    /// Makes the session's keys, and what its tickets are made of. `generation` is that of the decision that
    /// accepts its key, if one does.
    pub(super) fn open(self, generation: Option<u64>) -> Result<(Opening, Grants), HandshakeError> {
        let (id, fingerprint) = (self.id().clone(), self.fingerprint());
        let (resumed_of, opening) = match self {
            Claim::Signed(verified) => (None, verified.open(random::bytes())?),
            Claim::Resumed(resumed) => (Some(resumed.granted().signed_s), resumed.open(random::bytes())?),
        };
        let (trust_key, resumption) = (opening.trust_key(), opening.resumption().clone());
        let grants = Grants { id, fingerprint, trust_key, resumption, generation, resumed_of, given_s: 0 };
        Ok((opening, grants))
    }
}

/// What a session's tickets are made of.
pub(super) struct Grants {
    id: MinionId,
    fingerprint: Fingerprint,
    trust_key: Fingerprint,
    resumption: Resumption,
    generation: Option<u64>,
    /// When its minion signed last, if not for this session.
    resumed_of: Option<u64>,
    given_s: u64,
}

impl Grants {
    /// A decision has accepted the key.
    pub(super) fn accept(&mut self, generation: u64) {
        self.generation = Some(generation);
    }

    /// The next ticket; empty while the key is not accepted.
    pub(super) fn next(&mut self, tickets: &Tickets, now_s: u64) -> Vec<u8> {
        let Some(generation) = self.generation else { return Vec::new() };
        self.given_s = now_s;
        let granted = Granted {
            id: self.id.clone(),
            fingerprint: self.fingerprint,
            generation,
            // A session that was signed for vouches for its minion while it lives. One that was resumed does
            // not: a ticket and its secret are good for a day, whatever is made of them.
            signed_s: self.resumed_of.unwrap_or(now_s),
            resumption: self.resumption.clone(),
        };
        tickets.grant(self.trust_key, &granted)
    }

    /// Whether a younger ticket is due.
    pub(super) fn is_due(&self, now_s: u64) -> bool {
        let is_old = now_s.checked_sub(self.given_s).is_none_or(|age| age >= RENEW_AFTER_S);
        self.generation.is_some() && self.resumed_of.is_none() && is_old
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: u64 = 2_000_000_000;

    fn grants(generation: Option<u64>, resumed_of: Option<u64>) -> Grants {
        Grants {
            id: "web1".parse().expect("an id"),
            fingerprint: Fingerprint([2; 32]),
            trust_key: Fingerprint([1; 32]),
            resumption: zeroize::Zeroizing::new([3; 32]).into(),
            generation,
            resumed_of,
            given_s: 0,
        }
    }

    fn signed_s(tickets: &Tickets, ticket: &[u8]) -> u64 {
        tickets.opened(Fingerprint([1; 32]), ticket, crate::tickets::wall_s()).expect("its own").signed_s
    }

    #[test]
    fn a_session_that_was_signed_for_is_told_younger_tickets() {
        let folder = tempfile::tempdir().expect("a folder");
        let tickets = Tickets::open(folder.path());
        let begun = crate::tickets::wall_s() - 3600;
        let mut grants = grants(Some(7), None);
        let first = grants.next(&tickets, begun);
        assert_eq!(signed_s(&tickets, &first), begun);
        assert!(!grants.is_due(begun + RENEW_AFTER_S - 1) && grants.is_due(begun + RENEW_AFTER_S));
        assert!(grants.is_due(begun - 1), "the clock was set back: the last one is from a later time");
        let second = grants.next(&tickets, begun + 1800);
        assert_eq!(signed_s(&tickets, &second), begun + 1800);
        assert!(!grants.is_due(begun + RENEW_AFTER_S));
    }

    #[test]
    fn tickets_of_resumed_sessions_are_as_old_as_the_signature() {
        let folder = tempfile::tempdir().expect("a folder");
        let tickets = Tickets::open(folder.path());
        let signed = crate::tickets::wall_s() - 3600;
        let mut grants = grants(Some(7), Some(signed));
        let ticket = grants.next(&tickets, signed + 1800);
        assert_eq!(signed_s(&tickets, &ticket), signed);
        assert!(!grants.is_due(signed + 10 * RENEW_AFTER_S));
    }

    #[test]
    fn who_waits_gets_none_until_it_is_accepted() {
        let folder = tempfile::tempdir().expect("a folder");
        let tickets = Tickets::open(folder.path());
        let mut grants = grants(None, None);
        assert!(grants.next(&tickets, NOW_S).is_empty() && !grants.is_due(NOW_S));
        grants.accept(7);
        assert!(grants.is_due(NOW_S) && !grants.next(&tickets, NOW_S).is_empty());
    }
}
