//! Sessions that a ticket opens, and all that does not open one.

use brine_protocol::message::Welcome;
use zeroize::Zeroizing;

use super::*;
use crate::handshake::master::{NotResumed, Opening, Resumed, refused};
use crate::handshake::minion::{Answer, Ticket, Welcomed};
use crate::ticket::{Granted, TicketKeys};

const NOW_S: u64 = 1_000_000;
const DAY: u64 = 86_400;
const GENERATION: u64 = 7;
const VERDICT: Welcome = Welcome { standing: Standing::Accepted { token: [5; 32] }, pace: PACE };

fn keys() -> TicketKeys {
    let mut keys = TicketKeys::new(DAY);
    keys.renew([4; 16], Zeroizing::new([5; 32]), NOW_S);
    keys
}

fn own_key() -> Fingerprint {
    fixed("minion").public().fingerprint()
}

fn trust_key() -> Fingerprint {
    fixed("master").public().fingerprint()
}

/// What the master does with an accepted minion's new session.
fn let_in(opening: Opening, keys: &TicketKeys) -> (Vec<u8>, Channel) {
    let granted = Granted {
        id: id(),
        fingerprint: own_key(),
        generation: GENERATION,
        signed_s: NOW_S,
        resumption: opening.resumption().clone(),
    };
    let ticket = keys.seal(trust_key(), [6; 12], &granted).expect("a key");
    opening.welcome(&VERDICT, &ticket, 0)
}

fn welcomed(answer: Answer) -> (Ticket, Channel) {
    let Answer::Welcome(welcomed) = answer else { panic!("refused: {answer:?}") };
    let Welcomed { welcome, channel, ticket, resumption } = *welcomed;
    assert_eq!(welcome, VERDICT);
    (Ticket::new(own_key(), trust_key(), &ticket, resumption).expect("a ticket"), channel)
}

/// A ticket as a full handshake brings it, with both ends of that session.
fn first(keys: &TicketKeys) -> (Ticket, Channel, Channel) {
    let offer = config(&fixed("master"), 1).offer([1; 32]);
    let (hello, waiting) = hello_to(offer.message(), &Pin::FirstUse);
    let verified = offer.read_hello(&hello).expect("well-formed").verify().expect("signed");
    let (welcome, master) = let_in(verified.open([33; 32]).expect("honest"), keys);
    let (ticket, minion) = welcomed(waiting.answer(&welcome).expect("authentic"));
    (ticket, minion, master)
}

fn resume(offer: &Offer, ticket: &Ticket) -> (Vec<u8>, Waiting) {
    Offered::read(offer.message(), &Pin::FirstUse).expect("honest").resume(ticket, [44; 32])
}

fn read(offer: Offer, message: &[u8], keys: &TicketKeys) -> Resumed {
    offer.read_resume(message, keys, NOW_S).unwrap_or_else(|error| panic!("{error:?}"))
}

fn is_refused(read: &Result<Resumed, NotResumed>) -> bool {
    matches!(read, Err(NotResumed::Refused(_)))
}

#[test]
fn a_ticket_opens_a_session_with_keys_of_its_own() {
    let keys = keys();
    let (ticket, mut old_minion, mut old_master) = first(&keys);
    // By a master that has restarted: another config, the same keys of tickets.
    let offer = Agreement::new(&fixed("master"), 2, [12; 32], &Succession::default()).offer([2; 32]);
    let (message, waiting) = resume(&offer, &ticket);
    let resumed = read(offer, &message, &keys);
    let granted = resumed.granted();
    assert_eq!((&granted.id, granted.fingerprint, granted.generation), (&id(), own_key(), GENERATION));
    let (welcome, mut master) = let_in(resumed.open([34; 32]).expect("honest"), &keys);
    let (again, mut minion) = welcomed(waiting.answer(&welcome).expect("authentic"));
    let up = ToMaster::Bye.to_frame();
    assert_eq!(master.opener.open(minion.sealer.seal(&up, 0)), Ok(up.clone()));
    let down = brine_protocol::message::ToMinion::Probe.to_frame();
    assert_eq!(minion.opener.open(master.sealer.seal(&down, 0)), Ok(down.clone()));
    // Neither session reads the other.
    assert!(master.opener.open(old_minion.sealer.seal(&up, 0)).is_err());
    assert!(old_minion.opener.open(master.sealer.seal(&down, 0)).is_err());
    assert!(old_master.opener.open(minion.sealer.seal(&up, 0)).is_err());
    // And the ticket that it brought opens the next.
    let offer = config(&fixed("master"), 3).offer([3; 32]);
    let (message, _) = resume(&offer, &again);
    assert!(offer.read_resume(&message, &keys, NOW_S).is_ok());
}

#[test]
fn a_resume_is_good_for_one_connection() {
    let keys = keys();
    let (ticket, ..) = first(&keys);
    let config = config(&fixed("master"), 1);
    let offer = config.offer([2; 32]);
    let (message, _) = resume(&offer, &ticket);
    assert!(is_refused(&config.offer([3; 32]).read_resume(&message, &keys, NOW_S)));
    assert!(offer.read_resume(&message, &keys, NOW_S).is_ok());
}

#[test]
fn every_changed_byte_of_a_resume_is_refused() {
    let keys = keys();
    let (ticket, ..) = first(&keys);
    let offer = || config(&fixed("master"), 1).offer([2; 32]);
    let (message, _) = resume(&offer(), &ticket);
    for at in 0..message.len() {
        let mut changed = message.clone();
        changed[at] ^= 1;
        assert!(offer().read_resume(&changed, &keys, NOW_S).is_err(), "byte {at}");
        let cut = offer().read_resume(&message[..at], &keys, NOW_S);
        assert!(matches!(cut, Err(NotResumed::Malformed(_))), "cut to {at}");
    }
    let longer = [&message[..], &[0]].concat();
    assert!(matches!(offer().read_resume(&longer, &keys, NOW_S), Err(NotResumed::Malformed(_))));
    // What it answers is part of it as well.
    let mut said = said(&offer());
    for at in 0..said.len() {
        said[at] ^= 1;
        let mut other = offer();
        other.set_message(said.clone());
        assert!(is_refused(&other.read_resume(&message, &keys, NOW_S)), "byte {at} of the Offer");
        said[at] ^= 1;
    }
}

#[test]
fn a_ticket_without_its_secret_is_refused() {
    let keys = keys();
    let (ticket, ..) = first(&keys);
    // Somebody has read it where it is kept, or has opened it, and does not have the secret.
    let sealed = ticket.sealed().clone();
    let thief =
        Ticket::new(own_key(), trust_key(), &sealed, Zeroizing::new([0; 32]).into()).expect("a ticket");
    let offer = config(&fixed("master"), 1).offer([2; 32]);
    let (message, _) = resume(&offer, &thief);
    assert!(is_refused(&offer.read_resume(&message, &keys, NOW_S)));
}

#[test]
fn a_ticket_that_is_old_or_anothers_is_refused() {
    let keys = keys();
    let (ticket, ..) = first(&keys);
    let config = config(&fixed("master"), 1);
    let message = |offer: &Offer| resume(offer, &ticket).0;
    for now_s in [NOW_S + DAY, NOW_S - 1] {
        let offer = config.offer([2; 32]);
        let message = message(&offer);
        assert!(is_refused(&offer.read_resume(&message, &keys, now_s)), "at {now_s}");
    }
    let offer = config.offer([2; 32]);
    let said = message(&offer);
    assert!(is_refused(&offer.read_resume(&said, &TicketKeys::new(DAY), NOW_S)), "its key is destroyed");
    let offer = Agreement::new(&fixed("other"), 1, [11; 32], &Succession::default()).offer([2; 32]);
    let said = message(&offer);
    assert!(is_refused(&offer.read_resume(&said, &keys, NOW_S)), "another trust key");
    assert!(ticket.is_of(own_key()) && ticket.is_from(trust_key()));
    assert!(!ticket.is_of(trust_key()) && !ticket.is_from(own_key()));
}

#[test]
fn behind_a_refusal_a_hello_is_due() {
    let keys = keys();
    let (ticket, ..) = first(&keys);
    let offer = config(&fixed("master"), 1).offer([2; 32]);
    let (message, waiting) = resume(&offer, &ticket);
    let offer = match offer.read_resume(&message, &TicketKeys::new(DAY), NOW_S) {
        Err(NotResumed::Refused(offer)) => offer,
        other => panic!("{other:?}"),
    };
    let answer = waiting.answer(&refused()).expect("an answer");
    let Answer::Refused(offered) = answer else { panic!("{answer:?}") };
    let (hello, waiting) = offered.hello(&fixed("minion"), &id(), [23; 32]);
    let verified = offer.read_hello(&hello).expect("well-formed").verify().expect("signed");
    let (welcome, _) = verified.welcome([33; 32], Standing::Suspended, PACE, 0).expect("honest");
    assert_eq!(waiting.welcome(&welcome).expect("authentic").0.standing, Standing::Suspended);
    // One that has said Hello is told nothing of the kind.
    let offer = config(&fixed("master"), 1).offer([3; 32]);
    let (_, waiting) = hello_to(offer.message(), &Pin::FirstUse);
    assert_eq!(waiting.answer(&refused()).expect_err("out of turn"), HandshakeError::Malformed("Welcome"));
    let (_, waiting) = resume(&offer, &ticket);
    let long = [&refused()[..], &[0]].concat();
    assert_eq!(waiting.answer(&long).expect_err("too long"), HandshakeError::Malformed("Refused"));
    let (_, waiting) = resume(&offer, &ticket);
    let later = HandshakeError::Busy { retry_after_ms: 9 };
    assert_eq!(waiting.answer(&busy(9)).expect_err("busy"), later);
}

#[test]
fn a_ticket_and_its_secret_do_not_make_a_master() {
    let keys = keys();
    let (ticket, ..) = first(&keys);
    let offer = config(&fixed("master"), 1).offer([2; 32]);
    let (message, waiting) = resume(&offer, &ticket);
    // The forger opens tickets and has seen everything on the wire; the config's secret he does not have.
    let mut forged = Agreement::new(&fixed("master"), 1, [99; 32], &Succession::default()).offer([2; 32]);
    forged.set_message(said(&offer));
    let resumed = read(forged, &message, &keys);
    let (welcome, _) = resumed.open([34; 32]).expect("made").welcome(&VERDICT, &[], 0);
    assert!(matches!(waiting.answer(&welcome), Err(HandshakeError::Verdict(_))));
}

#[test]
fn a_degenerate_exchange_value_is_refused_in_a_resume_as_well() {
    let keys = keys();
    let (ticket, ..) = first(&keys);
    let offer = config(&fixed("master"), 1).offer([2; 32]);
    let mut message = begin(kind::RESUME);
    message.long(ticket.sealed()).raw(&[0; 32]);
    let mac = resume_mac(ticket.resumption(), &context(offer.message(), trust_key()), &message.0);
    message.raw(&hmac::Mac::finalize(mac).into_bytes());
    let resumed = read(offer, &message.0, &keys);
    assert_eq!(resumed.open([34; 32]).expect_err("degenerate"), HandshakeError::Degenerate);
}

#[test]
fn tickets_that_fit_no_resume_are_none() {
    let secret = || Zeroizing::new([0; 32]).into();
    let ticket = |length| Ticket::new(own_key(), trust_key(), &vec![0; length], secret());
    assert!(ticket(0).is_none() && ticket(513).is_none());
    assert!(ticket(1).is_some() && ticket(512).is_some());
}

/// Bytes that have shipped, made once by a program that shares no code with this one: never recorded anew.
#[test]
fn golden_resume() {
    const OFFER: &[u8] = include_bytes!("../../../tests/golden/v1/offer.bin");
    const TICKET: &[u8] = include_bytes!("../../../tests/golden/v1/ticket_resume.bin");
    const RESUME: &[u8] = include_bytes!("../../../tests/golden/v1/resume.bin");
    const RESUMED: &[u8] = include_bytes!("../../../tests/golden/v1/resumed.bin");
    let keys = keys();
    let ticket = Ticket::new(own_key(), trust_key(), TICKET, Zeroizing::new([3; 32]).into());
    let offered = Offered::read(OFFER, &Pin::FirstUse).expect("an honest Offer");
    let (message, waiting) = offered.resume(&ticket.expect("a ticket"), [44; 32]);
    assert_eq!(message, RESUME);
    let mut offer = config(&fixed("master"), 1).offer([1; 32]);
    offer.set_message(OFFER.to_vec());
    let resumed = read(offer, RESUME, &keys);
    assert_eq!((&resumed.granted().id, resumed.granted().generation), (&id(), GENERATION));
    let (welcome, _) = resumed.open([34; 32]).expect("honest").welcome(&VERDICT, b"a ticket", 0);
    assert_eq!(welcome, RESUMED);
    let Answer::Welcome(welcomed) = waiting.answer(RESUMED).expect("authentic") else { panic!("refused") };
    assert_eq!((welcomed.welcome, &welcomed.ticket[..]), (VERDICT, &b"a ticket"[..]));
    assert_eq!(refused(), [1, 7]);
}
