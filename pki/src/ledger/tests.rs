use std::fs;

use brine_protocol::control::Act;
use proptest::prelude::*;

use super::*;
use crate::registry::samples::{at, draft};

mod append;

struct Place {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.jsonl");
        Self { _dir: dir, path }
    }

    /// A ledger of `n` entries.
    fn filled(n: usize) -> Self {
        let place = Self::new();
        let mut ledger = place.open().unwrap().ledger;
        for i in 0..n {
            let act = [Act::Accept, Act::Suspend, Act::Resume, Act::Reject, Act::Delete][i % 5];
            ledger.append(draft(act, &format!("m{}", i / 5), "k"), at(i as i64)).unwrap();
        }
        place
    }

    fn open(&self) -> Result<Opened, LedgerError> {
        FileLedger::open(&self.path, Duration::ZERO)
    }

    fn error(&self) -> String {
        let error = self.open().unwrap_err().to_string();
        error.replace(&format!("{}", self.path.display()), "L")
    }

    fn repair(&self) -> Option<Repaired> {
        repair(&self.path, "unix:0 (root)", at(100), Duration::ZERO).unwrap()
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(&self.path).unwrap()
    }

    fn lines(&self) -> Vec<String> {
        String::from_utf8(self.bytes()).unwrap().lines().map(str::to_owned).collect()
    }

    fn write_lines(&self, lines: &[String]) {
        fs::write(&self.path, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    }
}

#[test]
fn an_empty_ledger() {
    let place = Place::new();
    let opened = place.open().unwrap();
    assert_eq!((opened.entries.len(), opened.torn, opened.ledger.head()), (0, None, Hash::default()));
    use std::os::unix::fs::MetadataExt;
    assert_eq!(fs::metadata(&place.path).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_off_and_the_rest_goes_on() {
    let place = Place::filled(3);
    let whole = place.bytes();
    let start = whole[..whole.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
    for end in start..whole.len() {
        fs::write(&place.path, &whole[..end]).unwrap();
        let mut opened = place.open().unwrap();
        let torn =
            (end > start).then(|| Torn { path: place.path.clone(), line: 2, bytes: (end - start) as u64 });
        assert_eq!(opened.torn, torn, "{end}");
        assert_eq!(opened.entries.len(), 2);
        assert_eq!(place.bytes(), whole[..start]);
        let again = opened.ledger.append(draft(Act::Resume, "m0", "k"), at(2)).unwrap();
        assert_eq!(again.seq, 3);
        assert_eq!(place.bytes(), whole);
    }
}

#[test]
fn a_tail_of_zeros_is_torn_too() {
    let place = Place::filled(2);
    let whole = place.bytes();
    for zeros in [1, 4096, 2 * LINE_MAX] {
        fs::write(&place.path, [whole.clone(), vec![0; zeros]].concat()).unwrap();
        let torn = place.open().unwrap().torn.unwrap();
        assert_eq!((torn.line, torn.bytes), (2, zeros as u64));
        assert_eq!(place.bytes(), whole);
    }
}

#[test]
fn an_append_whose_beginning_did_not_reach_the_disk_is_torn() {
    let (place, all) = (Place::filled(2), Place::filled(2));
    let before = place.bytes();
    let drafts = |n: usize| (0..n).map(|i| draft(Act::Accept, &format!("n{i}"), "k")).collect();
    all.open().unwrap().ledger.append_all(drafts(3), at(7)).unwrap();
    let whole = all.bytes();
    for hole in before.len()..whole.len() - 1 {
        // The disk writes what is behind the hole first.
        let mut bytes = whole.clone();
        bytes[before.len()..=hole].fill(0);
        fs::write(&place.path, &bytes).unwrap();
        let torn = place.open().unwrap().torn.unwrap();
        assert_eq!((torn.line, torn.bytes), (2, (whole.len() - before.len()) as u64), "{hole}");
        assert_eq!(place.bytes(), before);
    }
}

#[test]
fn zeros_before_what_was_appended_later_are_damage() {
    let place = Place::filled(3);
    let mut bytes = place.bytes();
    let first = bytes.iter().position(|b| *b == b'\n').unwrap();
    bytes[first - 9..first].fill(0);
    fs::write(&place.path, &bytes).unwrap();
    assert!(place.error().starts_with("L, line 1"), "{}", place.error());
    assert_eq!(place.bytes(), bytes, "left as it is");
}

#[test]
fn a_flipped_byte_anywhere_but_in_the_last_line_is_found() {
    let place = Place::filled(4);
    let whole = place.bytes();
    let last = whole[..whole.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
    for at in 0..last {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x01;
        fs::write(&place.path, &bytes).unwrap();
        let error = place.error();
        assert!(error.starts_with("L, line "), "{at}: {error}");
        assert!(error.ends_with("stop the master and run: brine-key ledger repair"), "{error}");
        assert_eq!(place.bytes(), bytes, "a damaged ledger is left as it is");
    }
}

#[test]
fn errors_name_the_line() {
    let place = Place::filled(3);
    let lines = place.lines();
    let check = |change: &dyn Fn(&mut Vec<String>), expected: &str| {
        let mut lines = lines.clone();
        change(&mut lines);
        place.write_lines(&lines);
        let error = place.error();
        assert_eq!(
            error.strip_suffix("; stop the master and run: brine-key ledger repair"),
            Some(expected),
            "{error}"
        );
    };
    let edit = |from: &'static str, to: &'static str| {
        move |lines: &mut Vec<String>| {
            assert!(lines[1].contains(from));
            lines[1] = lines[1].replace(from, to);
        }
    };
    check(&|lines| lines[1].clear(), "L, line 2: not a ledger entry: EOF while parsing a value at column 0");
    check(&|lines| lines[1].insert(0, '\u{1b}'), "L, line 2: not a ledger entry: expected value at column 1");
    check(
        &edit("\"v\":1", "\"v\":4"),
        "L, line 2: ledger version 4 is not known here (a newer Brine wrote it)",
    );
    check(
        &edit("\"v\":1,", "\"v\":4,\"x\":[],"),
        "L, line 2: ledger version 4 is not known here (a newer Brine wrote it)",
    );
    check(&edit("\"v\":1", "\"v\":2"), "L, line 2: \"suspend\" is not written in version 2");
    check(&edit("suspend", "rotate"), "L, line 2: \"rotate\" without \"signature\"");
    check(
        &edit("suspend\"", "suspend\",\"until\":\"2026-11-22T06:07:32.000001Z\""),
        "L, line 2: \"suspend\" with \"until\"",
    );
    check(
        &edit("suspend", "promote"),
        "L, line 2: act \"promote\" is not known here (a newer Brine wrote it)",
    );
    check(&edit("suspend", "accept"), "L, line 2: \"accept\" without \"key\"");
    check(&edit("suspend", "config"), "L, line 2: \"config\" without \"serial\"");
    check(&edit("suspend\"", "suspend\",\"serial\":1"), "L, line 2: \"suspend\" with \"serial\"");
    check(
        &edit("\"id\":\"m0\"", "\"id\":\"m/0\""),
        "L, line 2: not a ledger entry: a minion id is made of letters, digits, '.', '_' and '-'; '/' is none of them at column 97",
    );
    check(&edit("\"id\":\"m0\",", ""), "L, line 2: \"suspend\" without \"id\"");
    check(&edit("\"seq\":2", "\"seq\":9007199254740993"), "L, line 2: \"seq\" is beyond 2^53");
    check(&edit("\"seq\":2", "\"seq\":3"), "L, line 2: expected entry number 2, found 3");
    check(
        &edit("\"seq\":2", "\"seq\":2,\"seq\":2"),
        "L, line 2: not a ledger entry: duplicate field `seq` at column 20",
    );
    check(
        &|lines| drop(lines.remove(1)),
        "L, line 2: the chain is broken: this line follows 815816bc, but the line before it is 71aadfe9",
    );
    check(
        &|lines| lines[0] = lines[0].replace("\"key\":\"d", "\"key\":\"e"),
        "L, line 1: the key does not belong to the fingerprint",
    );
    check(&|lines| lines[1] = "x".repeat(LINE_MAX + 1), "L, line 2: a line longer than 262144 bytes");
    check(&|lines| lines.swap(1, 2), "L, line 3: expected entry number 4, found 2");
}

#[test]
fn a_repair_keeps_what_can_be_read_and_says_what_it_did() {
    let place = Place::filled(6);
    let lines = place.lines();
    assert_eq!(place.repair(), None);
    assert_eq!(place.lines(), lines);

    // Line 2 is still an entry, but another one; line 4 is none.
    let mut damaged = lines.clone();
    damaged[1] = damaged[1].replace("(root)", "(toor)");
    damaged[3] = damaged[3].replace("{\"v\"", "{v");
    place.write_lines(&damaged);
    fs::write(&place.path, [place.bytes(), b"{\"v\":1,\"se".to_vec()].concat()).unwrap();
    let repaired = place.repair().unwrap();
    assert_eq!(repaired.removed, [4]);
    let aside = repaired.aside.clone().unwrap();
    assert_eq!(fs::read_to_string(&aside).unwrap(), format!("{}\n{{\"v\":1,\"se", damaged[3]));
    assert_eq!(aside, place.path.with_file_name("ledger.jsonl.damaged-1"));
    let Deed::Repair { breaks, removed: 1, aside: Some(name) } = &repaired.entry.deed else {
        panic!("{repaired:?}")
    };
    assert_eq!(name, "ledger.jsonl.damaged-1");
    assert_eq!(breaks.iter().map(|b| b.line).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(breaks[0].expected, Hash::of(damaged[1].as_bytes()));
    assert_eq!(breaks[0].found, Hash::of(lines[1].as_bytes()));
    assert_eq!((repaired.entry.seq, repaired.entry.by.as_str()), (7, "unix:0 (root)"));

    // It opens, goes on, and stays whole.
    assert_eq!(place.repair(), None);
    let mut opened = place.open().unwrap();
    let numbers: Vec<_> = opened.entries.iter().map(|entry| entry.seq).collect();
    assert_eq!(numbers, [1, 2, 3, 5, 6, 7]);
    assert_eq!(opened.ledger.append(draft(Act::Accept, "x", "k"), at(101)).unwrap().seq, 8);
    drop(opened);
    assert_eq!(place.open().unwrap().entries.len(), 7);

    // New damage is not covered by the old repair, and mending it does not undo that one.
    let mut damaged = place.lines();
    damaged[0] = "gone".into();
    place.write_lines(&damaged);
    assert!(place.open().is_err());
    let again = place.repair().unwrap();
    assert_eq!(again.aside, Some(place.path.with_file_name("ledger.jsonl.damaged-2")));
    assert_eq!(place.open().unwrap().entries.len(), 7);
}

#[test]
fn a_number_that_was_changed_costs_only_its_own_line() {
    for (line, from, to) in
        [(1, "\"seq\":2", "\"seq\":9002"), (4, "\"seq\":5", "\"seq\":1"), (7, "\"seq\":8", "\"seq\":9")]
    {
        let place = Place::filled(8);
        let mut lines = place.lines();
        lines[line] = lines[line].replace(from, to);
        place.write_lines(&lines);
        assert_eq!(place.repair().unwrap().removed, [line as u64 + 1]);
        assert_eq!(place.open().unwrap().entries.len(), 8);
    }
}

#[test]
fn a_ledger_that_is_rubbish_can_be_started_anew() {
    let place = Place::new();
    fs::write(&place.path, b"\x00\xff\nrubbish\n").unwrap();
    assert!(place.open().is_err());
    assert_eq!(place.repair().unwrap().removed, [1, 2]);
    assert_eq!(place.open().unwrap().entries.len(), 1);
}

#[test]
fn a_repair_needs_the_lock() {
    let place = Place::filled(1);
    let held = place.open().unwrap();
    let refused = repair(&place.path, "test", at(0), Duration::ZERO).unwrap_err();
    assert!(refused.to_string().contains("ledger.lock is locked by process"), "{refused}");
    drop(held);
    place.repair();
}

#[test]
fn the_order_of_lines_is_the_longest_that_ascends() {
    fn check(numbers: &[u64], kept: &[u64]) {
        let entry = |seq| Entry {
            seq,
            at: at(0),
            by: String::new(),
            reason: None,
            deed: Deed::Config { serial: 1 },
            prev: Hash::default(),
        };
        let lines: Vec<_> = numbers.iter().map(|n| (Vec::new(), (*n > 0).then(|| entry(*n)))).collect();
        let is_kept = super::repair::longest_ascent(&lines);
        let found: Vec<_> =
            numbers.iter().zip(is_kept).filter_map(|(n, is_kept)| is_kept.then_some(*n)).collect();
        assert_eq!(found, kept, "{numbers:?}");
    }
    check(&[], &[]);
    check(&[0, 0], &[]);
    check(&[1, 2, 3], &[1, 2, 3]);
    check(&[1, 0, 3], &[1, 3]);
    check(&[1, 900, 3, 4], &[1, 3, 4]);
    check(&[5, 6, 7, 1, 9], &[5, 6, 7, 9]);
    check(&[1, 2, 3, 2, 3], &[1, 2, 3]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever happened to the file: it opens or says why, a repair makes it open, once is
    /// enough, and no line that was not there before is in it but the repair's own.
    #[test]
    fn any_damage_can_be_repaired(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let place = Place::filled(7);
        let mut bytes = place.bytes();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        fs::write(&place.path, &bytes).unwrap();
        let could_open = place.open().is_ok();
        let before: Vec<_> = place.bytes().split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
        let repaired = place.repair();
        prop_assert_eq!(repaired.is_none(), could_open);
        let opened = place.open().unwrap();
        prop_assert_eq!(opened.torn, None);
        drop(opened.ledger);
        prop_assert_eq!(place.repair(), None);
        let new = place.lines().iter().filter(|line| !before.contains(&line.as_bytes().to_vec())).count();
        prop_assert_eq!(new, usize::from(!could_open));
    }
}
