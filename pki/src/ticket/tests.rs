//! What opens, and everything that does not.

use super::*;

const DAY: u64 = 86_400;
const MASTER: Fingerprint = Fingerprint([1; 32]);

fn granted(signed_s: u64) -> Granted {
    Granted {
        id: "web1".parse().expect("an id"),
        fingerprint: Fingerprint([2; 32]),
        generation: 7,
        signed_s,
        resumption: Resumption(Zeroizing::new([3; 32])),
    }
}

fn keys(now_s: u64) -> TicketKeys {
    let mut keys = TicketKeys::new(DAY);
    keys.renew([4; 16], Zeroizing::new([5; 32]), now_s);
    keys
}

#[test]
fn a_ticket_says_what_was_granted() {
    let keys = keys(1000);
    let ticket = keys.seal(MASTER, [6; 12], &granted(1000)).expect("a key");
    let opened = keys.open(MASTER, &ticket, 1000).expect("its own");
    assert_eq!(
        (opened.id.as_str(), opened.fingerprint, opened.generation),
        ("web1", Fingerprint([2; 32]), 7)
    );
    assert_eq!((opened.signed_s, opened.resumption.bytes()), (1000, &[3; 32]));
    let long = Granted { id: "x".repeat(253).parse().expect("an id"), ..granted(1000) };
    let ticket = keys.seal(MASTER, [6; 12], &long).expect("a key");
    assert_eq!(ticket.len(), 378, "as TICKET_MAX says");
    assert!(keys.open(MASTER, &ticket, 1000).is_some());
}

#[test]
fn every_changed_byte_and_every_cut_is_refused() {
    let keys = keys(1000);
    let ticket = keys.seal(MASTER, [6; 12], &granted(1000)).expect("a key");
    for at in 0..ticket.len() {
        let mut changed = ticket.clone();
        changed[at] ^= 1;
        assert!(keys.open(MASTER, &changed, 1000).is_none(), "byte {at}");
        assert!(keys.open(MASTER, &ticket[..at], 1000).is_none(), "cut to {at}");
    }
    assert!(keys.open(MASTER, &[&ticket[..], &[0; TICKET_MAX]].concat(), 1000).is_none());
}

#[test]
fn another_masters_ticket_is_refused() {
    let keys = keys(1000);
    let ticket = keys.seal(MASTER, [6; 12], &granted(1000)).expect("a key");
    assert!(keys.open(Fingerprint([9; 32]), &ticket, 1000).is_none(), "another trust key");
    let mut others = TicketKeys::new(DAY);
    others.renew([4; 16], Zeroizing::new([8; 32]), 1000);
    assert!(others.open(MASTER, &ticket, 1000).is_none(), "another key of the same name");
    assert!(TicketKeys::new(DAY).open(MASTER, &ticket, 1000).is_none(), "no key");
    assert!(TicketKeys::new(DAY).seal(MASTER, [6; 12], &granted(1000)).is_none());
}

#[test]
fn the_last_signature_is_at_most_a_tickets_age_ago_and_not_to_come() {
    let keys = keys(1000);
    let ticket = |signed_s| keys.seal(MASTER, [6; 12], &granted(signed_s)).expect("a key");
    let cases =
        [(1000, 1000, true), (1000, 1000 + DAY - 1, true), (1000, 1000 + DAY, false), (1001, 1000, false)];
    for (signed_s, now_s, is_good) in cases {
        assert_eq!(keys.open(MASTER, &ticket(signed_s), now_s).is_some(), is_good, "{signed_s} at {now_s}");
    }
    assert!(keys.open(MASTER, &ticket(999), 999).is_none(), "a key that is yet to be made");
}

#[test]
fn a_key_seals_for_half_an_age_and_opens_for_one_and_a_half() {
    let mut keys = keys(1000);
    let first = keys.seal(MASTER, [6; 12], &granted(1000 + DAY / 2)).expect("a key");
    assert!(!keys.is_due(1000 + DAY / 2 - 1));
    assert!(keys.is_due(1000 + DAY / 2));
    assert!(keys.is_due(999), "a clock that was set back");
    assert!(TicketKeys::new(DAY).is_due(1000));
    for n in 1..=2 {
        keys.renew([10 + n; 16], Zeroizing::new([20 + n; 32]), 1000 + u64::from(n) * DAY / 2);
    }
    assert_eq!(keys.count(), 3);
    let end = 1000 + DAY + DAY / 2;
    assert!(keys.open(MASTER, &first, end - 1).is_some(), "as old as it may be");
    assert!(keys.open(MASTER, &first, end).is_none(), "its key is destroyed, if late");
    keys.renew([13; 16], Zeroizing::new([23; 32]), end);
    assert_eq!(keys.count(), 3, "the first is gone");
    // Keys from a time to come would stay for ever.
    keys.renew([14; 16], Zeroizing::new([24; 32]), 500);
    assert_eq!(keys.count(), 1);
}

#[test]
fn the_file_is_read_as_it_was_written_or_not_at_all() {
    let mut keys = keys(1000);
    keys.renew([7; 16], Zeroizing::new([8; 32]), 2000);
    let ticket = keys.seal(MASTER, [6; 12], &granted(1500)).expect("a key");
    let text = keys.to_text();
    let read = TicketKeys::from_text(&text, DAY).expect("its own");
    assert_eq!(read.to_text(), text);
    assert!(read.open(MASTER, &ticket, 2000).is_some());
    let line = text.lines().next().expect("two keys");
    let damaged = [
        line.replace("-1", "-2"),
        line.replace("2000", "2O00"),
        line.replace("2000", "-1"),
        format!("{line} more"),
        line[..line.len() - 1].to_owned(),
        line.rsplit_once(' ').expect("four words").0.to_owned(),
        format!("{line}\n\n"),
        "\0".to_owned(),
    ];
    for text in damaged {
        assert!(TicketKeys::from_text(&text, DAY).is_none(), "{text:?}");
    }
    assert_eq!(TicketKeys::from_text("", DAY).map(|keys| keys.count()), Some(0));
    assert!(!format!("{keys:?} {:?}", granted(1)).contains('3'), "secrets are not printed");
}

/// A ticket and a key file as this version made them: a master that comes later opens them.
#[test]
fn golden_ticket() {
    const TICKET: &[u8] = include_bytes!("../../tests/golden/v1/ticket.bin");
    const KEYS: &str = include_str!("../../tests/golden/v1/tickets.key");
    let keys = TicketKeys::from_text(KEYS, DAY).expect("a key file");
    assert_eq!(keys.seal(MASTER, [6; 12], &granted(1000)).as_deref(), Some(TICKET));
    assert_eq!(keys.open(MASTER, TICKET, 1000).map(|granted| granted.generation), Some(7));
}
