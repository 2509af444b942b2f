//! What was written to a disk, and what the disk makes of it.

use std::fs;
use std::time::Duration;

use brine_minion::journal::{Found, Journal};
use brine_pki::ledger::{Entry, FileLedger, look, repair};
use brine_pki::registry::Registry;
use brine_pki::waiting::{Waiting, WaitingLimits};
use brine_protocol::time::Timestamp;

use super::scratch::folder;

/// One line of a ledger.
pub(super) fn ledger_line(bytes: &[u8]) {
    if let Ok(entry) = Entry::from_line(bytes) {
        let line = entry.to_line();
        assert_eq!(Entry::from_line(line.as_bytes()).as_ref(), Ok(&entry), "{line}");
        assert!(!line.contains('\n'), "a line is one line");
        let _ = Registry::fold([&entry]);
    }
}

/// A whole ledger: what cannot be read can be mended, and is then read.
pub(super) fn ledger_file(bytes: &[u8]) {
    let folder = folder();
    let path = folder.path().join("ledger.jsonl");
    fs::write(&path, bytes).expect("a file");
    match look(&path) {
        Ok(looked) => {
            let registry = Registry::fold(&looked.entries);
            assert!(registry.holders() <= looked.entries.len());
        }
        Err(_) => {
            repair(&path, "fuzz", Timestamp(0), Duration::ZERO).expect("a ledger can be mended");
        }
    }
    let opened = FileLedger::open(&path, Duration::ZERO).expect("a ledger that is mended opens");
    drop(opened);
    let nothing = repair(&path, "fuzz", Timestamp(0), Duration::ZERO).expect("it was mended before");
    assert_eq!(nothing, None, "what is mended needs no mending");
}

/// The file of waiting keys.
pub(super) fn waiting_keys(bytes: &[u8]) {
    let folder = folder();
    let path = folder.path().join("waiting.json");
    fs::write(&path, bytes).expect("a file");
    let limits = WaitingLimits { pending_max: 4, pending_per_id: 2, ..WaitingLimits::default() };
    let (waiting, damage) = Waiting::load(&path, limits).expect("damage is set aside");
    assert!(waiting.len() <= limits.pending_max);
    assert_eq!(path.exists(), damage.is_none(), "what is damaged is set aside");
    let written = waiting.to_json();
    fs::write(&path, &written).expect("a file");
    let (again, damage) = Waiting::load(&path, limits).expect("it was written here");
    assert!(damage.is_none() && again.len() == waiting.len());
}

/// A minion's journal. With an odd first byte each line gets the checksum that it should have.
pub(super) fn journal(bytes: &[u8]) {
    let Some((how, content)) = bytes.split_first() else { return };
    let folder = folder();
    let path = folder.path().join("journal");
    fs::write(&path, if how & 1 == 0 { content.to_vec() } else { checked(content) }).expect("a file");
    let (journal, book, found) = Journal::open(&path, "fresh", 1 << 20).expect("damage is no error");
    drop(journal);
    if let Found::Damaged { aside, .. } = &found {
        assert!(aside.exists(), "what is damaged is set aside");
    }
    let (_, again, found) = Journal::open(&path, "other", 1 << 20).expect("it was mended");
    assert_eq!((&again, found), (&book, Found::Whole), "a journal that was opened is whole");
}

fn checked(content: &[u8]) -> Vec<u8> {
    let mut file = Vec::with_capacity(content.len() * 2);
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        let json = line.strip_suffix(b"\n").unwrap_or(line);
        file.extend_from_slice(format!("{:08x} ", crc32(json)).as_bytes());
        file.extend_from_slice(line);
    }
    file
}

/// CRC-32 as of ISO 3309, bit by bit: written here so that it is not checked against itself.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}
