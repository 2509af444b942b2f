mod faults;
mod same;

use std::path::PathBuf;

use brine_protocol::Jid;
use brine_protocol::time::Timestamp;

use super::*;
use crate::store::tests::{DAY, Scratch, T0, ended, id, job, report, row};
use crate::store::{Record, Store};

/// A store with jobs of a bucket that is over, all of which have ended, and of a later one; the jids.
fn filled(scratch: &Scratch) -> (Store, Vec<Jid>) {
    let (store, said) = scratch.open();
    assert!(said.is_empty(), "{said:?}");
    let mut jids = Vec::new();
    for n in 0..30 {
        let job = job(T0 + n, &["a", "b"]);
        let mut large = row(n, 1);
        if n % 10 == 0 {
            large.ending = brine_protocol::job::Ending::Failed { why: "x".repeat(200_000) };
        }
        store
            .commit(&[
                Record::Job(Arc::clone(&job)),
                Record::Handed { jid: job.jid, id: id("b") },
                Record::Idempotency { key: format!("k{n}"), digest: [7; 32], jid: job.jid },
                ended(&job, "a", row(n, 0)),
                ended(&job, "b", large),
                Record::Closed(job.jid),
            ])
            .expect("commits");
        store.commit(&[report(&job, "a", row(-n - 1, 0))]).expect("commits");
        jids.push(job.jid);
    }
    let later = job(T0 + DAY / 2, &["a"]);
    store.commit(&[Record::Job(Arc::clone(&later))]).expect("commits");
    jids.push(later.jid);
    (store, jids)
}

fn later() -> Timestamp {
    Timestamp((T0 + DAY / 2 + 60) * 1_000_000)
}

/// All that can be asked of a store.
fn all(store: &Store, jids: &[Jid]) -> String {
    let jobs: Vec<_> = jids.iter().map(|jid| store.job(*jid).expect("reads")).collect();
    let rows: Vec<_> = jids.iter().map(|jid| store.rows(*jid).expect("reads")).collect();
    let list = store.list(&brine_protocol::control::JobsQuery::default(), 100, |_| true).expect("reads");
    let open = store.open_jobs().expect("reads");
    let keys = store.idempotency().expect("reads");
    format!("{jobs:?} {rows:?} {list:?} {open:?} {keys:?} {:?}", store.last_jid().expect("reads"))
}

fn first(scratch: &Scratch) -> (PathBuf, PathBuf, PathBuf) {
    let span = *Span::found_in(&scratch.folder()).expect("reads").first().expect("one");
    let path = scratch.folder().join(span.folder());
    (path.clone(), named(&path, PACKED), named(&path, LATE))
}

#[test]
fn a_bucket_that_is_over_becomes_one_file_and_says_the_same() {
    let scratch = Scratch::new();
    let (store, jids) = filled(&scratch);
    let before = all(&store, &jids);
    let (database, file, late) = first(&scratch);
    let size = size_of(&database);
    store.retire(later()).expect("retires");
    assert!(!database.exists() && file.exists() && !late.exists());
    assert!(std::fs::metadata(&file).expect("is there").len() < size);
    assert_eq!(all(&store, &jids), before);
    store.retire(later()).expect("there is nothing more to do");
    drop(store);
    let (store, said) = scratch.open();
    assert!(said.is_empty(), "{said:?}");
    assert_eq!(all(&store, &jids), before);
    assert_eq!(store.retire(Timestamp((T0 + 2 * DAY) * 1_000_000)).expect("retires"), 1);
    assert!(!file.exists(), "it is dropped whole");
    assert_eq!(store.job(jids[0]).expect("reads"), None);
}

#[test]
fn a_bucket_is_not_packed_before_it_is_over_or_while_a_job_is_open_or_it_is_read() {
    let scratch = Scratch::new();
    let (store, jids) = filled(&scratch);
    let (database, file, _) = first(&scratch);
    store.retire(Timestamp((T0 + 60) * 1_000_000)).expect("retires");
    assert!(database.exists() && !file.exists(), "its time goes on");
    let open = job(T0 + 40, &["a"]);
    store.commit(&[Record::Job(Arc::clone(&open))]).expect("commits");
    store.retire(later()).expect("retires");
    assert!(database.exists() && !file.exists(), "a job is open");
    store.commit(&[ended(&open, "a", row(1, 0)), Record::Closed(open.jid)]).expect("commits");
    let reader = store.holding(jids[0])[0].view();
    store.retire(later()).expect("retires");
    assert!(database.exists() && !file.exists(), "somebody reads it");
    assert!(!named(&file, NEW).exists());
    drop(reader);
    store.retire(later()).expect("retires");
    assert!(!database.exists() && file.exists());
}

#[test]
fn without_room_for_it_a_bucket_stays_as_it_is() {
    let scratch = Scratch::new();
    let (store, jids) = filled(&scratch);
    assert!(!store.holding(jids[0])[0].pack(1000).expect("reads"));
    assert!(first(&scratch).0.exists() && !first(&scratch).1.exists());
}

#[test]
fn what_comes_late_is_kept_beside_it() {
    let scratch = Scratch::new();
    let (store, jids) = filled(&scratch);
    store.retire(later()).expect("retires");
    let known = job(T0 + 3, &["a", "b"]);
    assert_eq!(known.jid, jids[3]);
    store.commit(&[report(&known, "b", row(3, 1))]).expect("commits");
    assert!(!first(&scratch).2.exists(), "what is known already makes the disk no work");
    store.commit(&[report(&known, "b", row(77, 0))]).expect("commits");
    store.commit(&[report(&known, "a", row(78, 0))]).expect("commits");
    let lates = |store: &Store| {
        let rows = store.rows(known.jid).expect("reads");
        ["a", "b"].map(|name| rows[&id(name)].late.clone())
    };
    let expected = [vec![row(-4, 0).ending, row(78, 0).ending], vec![row(77, 0).ending]];
    assert_eq!(lates(&store), expected);
    drop(store);
    let (store, said) = scratch.open();
    assert!(said.is_empty(), "{said:?}");
    assert_eq!(lates(&store), expected);
    store.retire(later()).expect("retires");
    assert_eq!(lates(&store), expected);
    let (database, file, late) = first(&scratch);
    assert!(!database.exists() && file.exists() && late.exists());
    store.retire(Timestamp((T0 + 2 * DAY) * 1_000_000)).expect("retires");
    assert!(!file.exists() && !late.exists());
}

fn size_of(path: &Path) -> u64 {
    let found = std::fs::metadata(path).expect("is there");
    if !found.is_dir() {
        return found.len();
    }
    std::fs::read_dir(path).expect("a folder").flatten().map(|entry| size_of(&entry.path())).sum()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).expect("a file");
        }
    }
}

/// The states in which a crash can leave a bucket that is packed.
#[test]
fn a_crash_at_any_step_of_packing_loses_nothing() {
    let scratch = Scratch::new();
    let (store, jids) = filled(&scratch);
    let before = all(&store, &jids);
    let (database, file, _) = first(&scratch);
    drop(store);
    let kept = scratch.folder().join("kept");
    copy(&database, &kept);
    scratch.open().0.retire(later()).expect("retires");
    let whole = std::fs::read(&file).expect("reads");
    let new = named(&file, NEW);
    let remove_all = || [&database, &file, &new].into_iter().for_each(|path| remove(path).expect("removes"));
    let check = |what: &str, is_packed: bool| {
        let (store, said) = scratch.open();
        assert!(said.is_empty(), "{what}: {said:?}");
        assert_eq!(all(&store, &jids), before, "{what}");
        assert_eq!(
            (file.exists(), database.exists(), new.exists()),
            (is_packed, !is_packed, false),
            "{what}"
        );
        store.retire(later()).expect("retires");
        assert_eq!(all(&store, &jids), before, "{what}, and packed again");
        assert!(file.exists() && !database.exists(), "{what}");
    };
    // While the file is written, whatever of it the disk has.
    for part in [0, 1, whole.len() / 2, whole.len()] {
        remove_all();
        copy(&kept, &database);
        std::fs::write(&new, &whole[..part]).expect("writes");
        check("the file has not its name", false);
    }
    // It has its name, and the database goes file by file.
    for gone in [&[][..], &["redo"], &["redo", "db"], &["redo", "db", "conf"]] {
        remove_all();
        copy(&kept, &database);
        gone.iter().for_each(|name| remove(&database.join(name)).expect("removes"));
        std::fs::write(&file, &whole).expect("writes");
        check("the database is there still", true);
    }
}

#[test]
fn a_database_that_went_on_beyond_the_file_is_not_removed_for_it() {
    let scratch = Scratch::new();
    let (store, jids) = filled(&scratch);
    let (database, file, _) = first(&scratch);
    drop(store);
    let kept = scratch.folder().join("kept");
    copy(&database, &kept);
    scratch.open().0.retire(later()).expect("retires");
    let packed = std::fs::read(&file).expect("reads");
    remove(&file).expect("removes");
    copy(&kept, &database);
    let more = {
        let (store, _) = scratch.open();
        let more = job(T0 + 50, &["a"]);
        store.commit(&[Record::Job(Arc::clone(&more))]).expect("commits");
        store.commit(&[ended(&more, "a", row(1, 0)), Record::Closed(more.jid)]).expect("commits");
        more
    };
    std::fs::write(&file, packed).expect("writes");
    for is_packed in [false, true] {
        let (store, said) = scratch.open();
        assert!(said.is_empty(), "{said:?}");
        assert_eq!(database.exists(), !is_packed);
        assert_eq!(store.job(more.jid).expect("reads"), Some((*more).clone()));
        assert!(store.job(jids[0]).expect("reads").is_some());
        store.retire(later()).expect("retires");
    }
}

#[test]
fn a_damaged_file_is_set_aside_and_what_came_late_goes_on() {
    let scratch = Scratch::new();
    let (store, jids) = filled(&scratch);
    store.retire(later()).expect("retires");
    store.commit(&[report(&job(T0 + 3, &[]), "b", row(77, 0))]).expect("commits");
    drop(store);
    let (_, file, late) = first(&scratch);
    let mut bytes = std::fs::read(&file).expect("reads");
    let end = bytes.len();
    bytes[end - 30] ^= 1;
    for has_late in [true, false] {
        std::fs::write(&file, &bytes).expect("writes");
        if !has_late {
            remove(&late).expect("removes");
        }
        let (store, said) = scratch.open();
        assert!(said[0].contains("set aside") && said[0].contains("jobs from 2026-11-22"), "{said:?}");
        assert_eq!(store.job(jids[0]).expect("reads"), None);
        assert!(store.job(jids[30]).expect("reads").is_some(), "the others go on");
        store.commit(&[Record::Job(job(T0 + 1, &["a"]))]).expect("that time can be written again");
        assert!(!file.exists());
        drop(store);
        assert!(scratch.open().1.is_empty());
        remove(&first(&scratch).0).expect("removes");
    }
}

#[test]
fn a_damaged_block_is_said_where_it_is_read() {
    let scratch = Scratch::new();
    let (store, jids) = filled(&scratch);
    store.retire(later()).expect("retires");
    drop(store);
    let file = first(&scratch).1;
    let mut bytes = std::fs::read(&file).expect("reads");
    let at = bytes.windows(200).position(|bytes| bytes.iter().all(|byte| *byte == b'x')).expect("a row");
    bytes[at] = b'y';
    std::fs::write(&file, bytes).expect("writes");
    let (store, said) = scratch.open();
    assert!(said.is_empty(), "a start reads no rows: {said:?}");
    let error = store.rows(jids[0]).expect_err("the row is damaged").to_string();
    assert!(error.contains("jobs-1795305600") && error.contains("damaged"), "{error}");
    assert!(store.rows(jids[25]).is_ok());
}
