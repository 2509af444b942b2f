//! What strangers show in place of a signature, and the file of keys behind it.

use std::cell::RefCell;
use std::sync::Arc;

use brine_pki::handshake::master::{Agreement, NotResumed, Succession};
use brine_pki::handshake::minion::{Answer, Offered, Pin, Ticket};
use brine_pki::ticket::{Granted, TicketKeys};
use brine_protocol::Fingerprint;
use zeroize::Zeroizing;

use super::keys::key;
use super::scratch::edited;

const NOW_S: u64 = 1_000_000;
const DAY: u64 = 86_400;
const OWN: Fingerprint = Fingerprint([2; 32]);

/// A master with a key of tickets, and one ticket of it.
struct Given {
    master: Arc<Agreement>,
    keys: TicketKeys,
    sealed: Vec<u8>,
    ticket: Ticket,
}

thread_local! {
    static GIVEN: RefCell<Option<Given>> = const { RefCell::new(None) };
}

impl Given {
    fn new() -> Self {
        let trust = key("master");
        let master = Agreement::new(&trust, 7, [9; 32], &Succession::default());
        let mut keys = TicketKeys::new(DAY);
        keys.renew([4; 16], Zeroizing::new([5; 32]), NOW_S);
        let (trust_key, resumption) = (trust.public().fingerprint(), || Zeroizing::new([3; 32]).into());
        let granted = Granted {
            id: "web1".parse().expect("an id"),
            fingerprint: OWN,
            generation: 7,
            signed_s: NOW_S,
            resumption: resumption(),
        };
        let sealed = keys.seal(trust_key, [6; 12], &granted).expect("a key");
        let ticket = Ticket::new(OWN, trust_key, &sealed, resumption()).expect("it fits");
        Self { master, keys, sealed, ticket }
    }
}

/// What a master takes from whoever dials it, as it is and as an edit of a good one; and a minion's answer.
pub(super) fn handshake_resume(bytes: &[u8]) {
    GIVEN.with_borrow_mut(|given| {
        let Given { master, keys, sealed, ticket } = given.get_or_insert_with(Given::new);
        let offer = || master.offer([1; 32]);
        let offered = || Offered::read(offer().message(), &Pin::FirstUse).expect("a good offer");
        let (good, waiting) = offered().resume(ticket, [8; 32]);
        for message in [bytes, &edited(&good, bytes)] {
            let is_good = message == good;
            match offer().read_resume(message, keys, NOW_S) {
                Ok(_) => assert!(is_good, "a Resume that nobody made for this Offer"),
                Err(NotResumed::Refused(offer)) => {
                    assert!(!is_good, "a good one is refused");
                    assert!(offer.read_hello(bytes).is_err() || bytes[1] == 2, "it waits for a Hello");
                }
                Err(NotResumed::Malformed(_)) => assert!(!is_good, "a good one is malformed"),
            }
        }
        let trust_key = offer().trust_key();
        for ticket in [bytes, &edited(sealed, bytes)] {
            let opened = keys.open(trust_key, ticket, NOW_S);
            assert_eq!(opened.is_some(), ticket == &sealed[..], "a ticket that was never given");
        }
        // Nobody but the master makes a verdict; that a ticket is refused, anybody may say.
        let is_refused = matches!(waiting.answer(bytes), Ok(Answer::Refused(_)));
        assert_eq!(is_refused, bytes == [1, 7], "an answer that was not given");
    });
}

/// The file of keys.
pub(super) fn ticket_keys(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Some(keys) = TicketKeys::from_text(text, DAY) else { return };
    assert_eq!(keys.count(), text.lines().count());
    let again = TicketKeys::from_text(&keys.to_text(), DAY).expect("it was written here");
    assert_eq!(*again.to_text(), *keys.to_text());
    for now_s in [0, NOW_S, u64::MAX] {
        let mut keys = keys.clone();
        let _ = keys.is_due(now_s);
        keys.renew([1; 16], Zeroizing::new([2; 32]), now_s);
        assert!(!keys.is_due(now_s), "one was made just now");
        assert!(keys.count() <= text.lines().count() + 1);
    }
}
