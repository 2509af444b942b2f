//! What is left of files, from what was written down about them.
//!
//! The bytes at the beginning are found by taking everything back; from there on only that is done
//! again which the cut left.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::{Chance, Taken};

/// What the kernel writes at once.
const PAGE: usize = 4096;

/// What a disk writes at once.
const SECTOR: usize = 512;

/// One line of the notes; the fields are those of `struct event` in `shim.c`.
#[derive(Debug, Clone, Default)]
pub struct Event {
    pub kind: u8,
    pub ino: u64,
    parent: u64,
    other: u64,
    at: usize,
    size: usize,
    old: Vec<u8>,
    new: Vec<u8>,
    from: PathBuf,
    to: PathBuf,
    /// Where it stands in the notes.
    place: usize,
}

/// A change of names that is to be taken back.
#[derive(Debug, PartialEq)]
pub enum Names {
    Created(PathBuf),
    Removed(PathBuf, u64),
    Renamed { from: PathBuf, to: PathBuf, replaced: u64 },
    FolderMade(PathBuf),
    FolderRemoved(PathBuf),
}

/// Reads the notes.
pub fn read(bytes: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    let mut place = 0;
    while let Some(head) = bytes.get(place..place + 80) {
        let field = |n: usize| {
            u64::from_ne_bytes(head[n * 8..n * 8 + 8].try_into().expect("eight bytes of a head of eighty"))
        };
        let number = |n: usize| usize::try_from(field(n)).expect("a length");
        let mut end = place + 80;
        let mut part = |n: usize| {
            let begin = end;
            end += number(n);
            bytes.get(begin..end).unwrap_or_default().to_vec()
        };
        let path =
            |bytes: Vec<u8>| PathBuf::from(String::from_utf8(bytes).expect("paths of tests are UTF-8"));
        events.push(Event {
            kind: u8::try_from(field(0)).expect("a letter"),
            ino: field(1),
            parent: field(2),
            other: field(3),
            at: number(4),
            size: number(5),
            old: part(6),
            new: part(7),
            from: path(part(8)),
            to: path(part(9)),
            place,
        });
        place = end;
    }
    events
}

/// The note that memory was given back.
pub fn revealed(ino: u64) -> Vec<u8> {
    let mut note = vec![0; 80];
    note[..8].copy_from_slice(&u64::from(b'V').to_ne_bytes());
    note[8..16].copy_from_slice(&ino.to_ne_bytes());
    note
}

/// The files whose bytes were changed.
pub fn written(events: &[Event]) -> BTreeSet<u64> {
    events.iter().filter(|event| matches!(event.kind, b'W' | b'T')).map(|event| event.ino).collect()
}

/// The files of which a flush failed.
pub fn failed(events: &[Event]) -> BTreeSet<u64> {
    events.iter().filter(|event| event.kind == b'F').map(|event| event.ino).collect()
}

/// Whether what stands at `place` was flushed, before `end`.
fn is_durable(events: &[Event], ino: u64, place: usize, end: usize) -> bool {
    events.iter().any(|event| event.kind == b'S' && event.ino == ino && event.at > place && event.place < end)
}

/// The failed flush that lost this write.
fn lost_by<'a>(events: &'a [Event], write: &Event) -> Option<&'a Event> {
    events.iter().find(|event| {
        event.kind == b'F'
            && event.ino == write.ino
            && event.at > write.place
            && !is_durable(events, write.ino, write.place, event.place)
    })
}

/// The bytes of a write whose pages were written again after it was lost, and flushed if asked for.
fn rescued(events: &[Event], write: &Event, lost: &Event, is_flushed: bool) -> Vec<(usize, Vec<u8>)> {
    let later = || events.iter().filter(|event| event.ino == write.ino && event.place > lost.place);
    // From then on memory does not have them either.
    let end = later().find(|event| event.kind == b'V').map_or(usize::MAX, |event| event.place);
    let again: BTreeSet<usize> = later()
        .filter(|event| event.kind == b'W' && event.place < end)
        .filter(|event| !is_flushed || is_durable(events, event.ino, event.place, usize::MAX))
        .flat_map(|event| event.at / PAGE..=(event.at + event.new.len()) / PAGE)
        .collect();
    let mut parts = Vec::new();
    let mut at = write.at;
    let end = write.at + write.new.len();
    while at < end {
        let next = ((at / PAGE + 1) * PAGE).min(end);
        if again.contains(&(at / PAGE)) {
            parts.push((at, write.new[at - write.at..next - write.at].to_vec()));
        }
        at = next;
    }
    parts
}

fn put(bytes: &mut Vec<u8>, at: usize, new: &[u8]) {
    if bytes.len() < at + new.len() {
        bytes.resize(at + new.len(), 0);
    }
    bytes[at..at + new.len()].copy_from_slice(new);
}

/// What was there before all of these.
fn before(events: &[Event], ino: u64, mut bytes: Vec<u8>) -> Vec<u8> {
    for event in events.iter().rev().filter(|event| event.ino == ino) {
        if matches!(event.kind, b'W' | b'T') {
            put(&mut bytes, event.at, &event.old);
            bytes.resize(event.size, 0);
        }
    }
    bytes
}

/// What is left of a file of which these bytes are there now.
pub fn after_cut(
    events: &[Event],
    ino: u64,
    bytes: Vec<u8>,
    mut chance: Option<&mut Chance>,
    taken: &mut Taken,
) -> Vec<u8> {
    let mut left = before(events, ino, bytes);
    for event in events.iter().filter(|event| event.ino == ino) {
        let is_flushed = is_durable(events, ino, event.place, usize::MAX);
        match event.kind {
            b'T' if is_flushed => left.resize(event.at, 0),
            b'T' if chance.as_mut().is_some_and(|chance| chance.below(2) == 0) => left.resize(event.at, 0),
            b'W' => {
                if let Some(lost) = lost_by(events, event) {
                    taken.writes += 1;
                    for (at, part) in rescued(events, event, lost, true) {
                        put(&mut left, at, &part);
                    }
                } else if is_flushed {
                    put(&mut left, event.at, &event.new);
                } else {
                    tear(&mut left, event, chance.as_deref_mut(), taken);
                }
            }
            _ => {}
        }
    }
    left
}

/// Puts of an unflushed write what chance leaves.
fn tear(left: &mut Vec<u8>, write: &Event, chance: Option<&mut Chance>, taken: &mut Taken) {
    match chance.map(|chance| (chance.below(4), chance)) {
        None | Some((0, _)) => taken.writes += 1,
        Some((1, _)) => put(left, write.at, &write.new),
        // The first bytes.
        Some((2, chance)) => {
            taken.torn += 1;
            put(left, write.at, &write.new[..chance.below(write.new.len() + 1)]);
        }
        // Some of the sectors, in no order.
        Some((_, chance)) => {
            taken.torn += 1;
            let mut at = write.at;
            while at < write.at + write.new.len() {
                let next = ((at / SECTOR + 1) * SECTOR).min(write.at + write.new.len());
                if chance.below(2) == 0 {
                    put(left, at, &write.new[at - write.at..next - write.at]);
                }
                at = next;
            }
        }
    }
}

/// What can be read of a file once memory no longer hides what a failed flush lost.
pub fn without_lost(events: &[Event], ino: u64, bytes: Vec<u8>) -> Vec<u8> {
    let mut left = before(events, ino, bytes);
    for event in events.iter().filter(|event| event.ino == ino) {
        match event.kind {
            b'T' => left.resize(event.at, 0),
            b'W' => match lost_by(events, event) {
                Some(lost) => {
                    rescued(events, event, lost, false)
                        .iter()
                        .for_each(|(at, part)| put(&mut left, *at, part));
                }
                None => put(&mut left, event.at, &event.new),
            },
            _ => {}
        }
    }
    left
}

/// The changes of names that the cut takes back, the newest first. A folder keeps what was flushed
/// and, where chance says so, some of what came after it.
pub fn undone(events: &[Event], mut chance: Option<&mut Chance>) -> Vec<Names> {
    let mut kept: BTreeMap<u64, usize> = BTreeMap::new();
    let open = |event: &&Event| {
        matches!(event.kind, b'C' | b'U' | b'R' | b'M' | b'X')
            && !is_durable(events, event.parent, event.place, usize::MAX)
    };
    let mut count: BTreeMap<u64, usize> = BTreeMap::new();
    for event in events.iter().filter(open) {
        *count.entry(event.parent).or_default() += 1;
    }
    for (folder, count) in count {
        kept.insert(folder, chance.as_mut().map_or(0, |chance| chance.below(count + 1)));
    }
    let mut undone = Vec::new();
    for event in events.iter().filter(open) {
        let left = kept.entry(event.parent).or_default();
        if *left > 0 {
            *left -= 1;
            continue;
        }
        let from = event.from.clone();
        undone.push(match event.kind {
            b'C' => Names::Created(from),
            b'U' => Names::Removed(from, event.ino),
            b'R' => Names::Renamed { from, to: event.to.clone(), replaced: event.other },
            b'M' => Names::FolderMade(from),
            _ => Names::FolderRemoved(from),
        });
    }
    undone.reverse();
    undone
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(place: usize, at: usize, size: usize, old: &str, new: &str) -> Event {
        let [old, new] = [old, new].map(|text| text.as_bytes().to_vec());
        Event { kind: b'W', ino: 1, at, size, old, new, place, ..Event::default() }
    }

    fn flush(kind: u8, place: usize) -> Event {
        Event { kind, ino: 1, at: place, place, ..Event::default() }
    }

    fn left(events: &[Event], now: &str) -> String {
        let bytes = after_cut(events, 1, now.as_bytes().to_vec(), None, &mut Taken::default());
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn what_was_not_flushed_is_gone() {
        let events = [write(10, 2, 2, "", "cd"), flush(b'S', 20), write(30, 0, 4, "ab", "AB")];
        assert_eq!(left(&events, "ABcd"), "abcd");
        assert_eq!(left(&events[..1], "abcd"), "ab");
    }

    #[test]
    fn a_flush_that_failed_loses_what_a_later_one_calls_durable() {
        let events = [write(10, 0, 0, "", "ab"), flush(b'F', 20), flush(b'S', 30)];
        assert_eq!(left(&events, "ab"), "");
        let again = [&events[..2], &[write(25, 2, 2, "", "cd")], &events[2..]].concat();
        assert_eq!(left(&again, "abcd"), "abcd", "the page was written again");
        let revealed = without_lost(&events, 1, b"ab".to_vec());
        assert_eq!(revealed, b"");
    }

    #[test]
    fn names_in_a_folder_that_was_not_flushed_are_as_before() {
        let name = |kind, place: usize| Event {
            kind,
            ino: 1,
            parent: 9,
            place,
            from: format!("f{place}").into(),
            to: "t".into(),
            ..Event::default()
        };
        let synced = Event { ino: 9, ..flush(b'S', 15) };
        let events = [name(b'C', 10), synced, name(b'C', 20), name(b'R', 30)];
        let renamed = Names::Renamed { from: "f30".into(), to: "t".into(), replaced: 0 };
        assert_eq!(undone(&events, None), [renamed, Names::Created("f20".into())]);
    }
}
