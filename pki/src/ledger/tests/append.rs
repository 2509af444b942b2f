use std::cell::Cell;
use std::rc::Rc;

use super::*;

/// A disk that fails to write after some bytes, to flush, or to take back.
#[derive(Default)]
struct Disk {
    bytes: Vec<u8>,
    room: Rc<Cell<usize>>,
    can_sync: Rc<Cell<bool>>,
    can_cut: bool,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let fits = bytes.len().min(self.room.get());
        if fits == 0 {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.room.set(self.room.get() - fits);
        self.bytes.extend_from_slice(&bytes[..fits]);
        Ok(fits)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Medium for Disk {
    fn sync(&mut self) -> io::Result<()> {
        if self.can_sync.get() { Ok(()) } else { Err(io::Error::other("no flush")) }
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        if !self.can_cut {
            return Err(io::Error::other("no cut"));
        }
        self.bytes.truncate(length as usize);
        Ok(())
    }
}

#[test]
fn a_failed_append_leaves_no_half_line_or_takes_no_more() {
    for can_cut in [true, false] {
        for fails_to in ["write", "flush"] {
            let (room, can_sync) = (Rc::new(Cell::new(100)), Rc::new(Cell::new(true)));
            let medium = Disk { room: room.clone(), can_sync: can_sync.clone(), can_cut, ..Disk::default() };
            let mut end = End { medium, length: 0, is_poisoned: false };
            end.append(b"one\n").unwrap();
            if fails_to == "write" {
                room.set(2);
            } else {
                can_sync.set(false);
            }
            assert!(end.append(b"two\n").unwrap_err().is_some());
            room.set(100);
            can_sync.set(true);
            if can_cut {
                end.append(b"three\n").unwrap();
                assert_eq!(end.medium.bytes, b"one\nthree\n");
            } else {
                assert!(end.append(b"three\n").unwrap_err().is_none());
            }
        }
    }
}

#[test]
fn a_full_disk_is_one_sentence_and_changes_nothing() {
    let place = Place::filled(1);
    let mut ledger = place.open().unwrap().ledger;
    let head = ledger.head();
    // Every write to this device says that the disk is full.
    ledger.end.medium = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let error = ledger.append(draft(Act::Suspend, "m0", "k"), at(1)).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("cannot append to {}: No space left on device (os error 28)", place.path.display())
    );
    assert_eq!(ledger.head(), head);
    // A device cannot be cut either.
    let error = ledger.append(draft(Act::Suspend, "m0", "k"), at(1)).unwrap_err().to_string();
    assert!(error.contains("takes no more"), "{error}");
}

#[test]
fn many_at_once_are_the_same_lines_or_none() {
    let (one, many) = (Place::new(), Place::new());
    let drafts: Vec<_> = (0..50).map(|i| draft(Act::Accept, &format!("m{i}"), "k")).collect();
    let mut ledger = one.open().unwrap().ledger;
    for draft in &drafts {
        ledger.append(draft.clone(), at(0)).unwrap();
    }
    let mut ledger = many.open().unwrap().ledger;
    let entries = ledger.append_all(drafts.clone(), at(0)).unwrap();
    assert_eq!(fs::read(&one.path).unwrap(), fs::read(&many.path).unwrap());
    assert_eq!(ledger.append_all(vec![], at(0)).unwrap(), []);
    let head = ledger.head();
    let mut bad = drafts;
    bad[49].by = "x".repeat(LINE_MAX);
    assert!(matches!(ledger.append_all(bad, at(1)), Err(LedgerError::TooLong(_))));
    assert_eq!((ledger.head(), ledger.entries().unwrap()), (head, entries.clone()));
    drop(ledger);
    assert_eq!(many.open().unwrap().entries, entries);
}

#[test]
fn a_line_has_a_limit() {
    let place = Place::filled(1);
    let mut ledger = place.open().unwrap().ledger;
    let long = Draft { by: "x".repeat(LINE_MAX), ..draft(Act::Suspend, "m0", "k") };
    assert!(matches!(ledger.append(long, at(1)), Err(LedgerError::TooLong(_))));
    assert_eq!(ledger.append(draft(Act::Suspend, "m0", "k"), at(1)).unwrap().seq, 2);
}

#[test]
fn thirty_thousand_decisions_are_read_in_a_fraction_of_a_second() {
    let place = Place::new();
    let mut chain = Chain::default();
    let mut text = String::new();
    for i in 0..30_000 {
        let mut draft = draft(Act::Accept, &format!("m{i}"), &format!("{i} {}", "x".repeat(520)));
        draft.reason = Some("the first day".into());
        let (entry, line) = chain.next(draft, at(i)).unwrap();
        chain = Chain::after(&entry, &line);
        text.push_str(&line);
        text.push('\n');
    }
    fs::write(&place.path, text).unwrap();
    let started = std::time::Instant::now();
    let opened = place.open().unwrap();
    let read = started.elapsed();
    let registry = crate::registry::Registry::fold(&opened.entries);
    let folded = started.elapsed();
    assert_eq!(registry.accepted().count(), 30_000);
    println!("30,000 lines: read in {read:?}, folded in {:?}", folded - read);
    // Generous for an unoptimised build on a busy machine.
    assert!(folded < Duration::from_secs(10), "{folded:?}");
}
