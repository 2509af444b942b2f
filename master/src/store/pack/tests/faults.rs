//! A disk that does not take a packed file, and commits that come while it is made.

use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// Something that happens to the disk.
type Act<'a> = &'a dyn Fn();

#[test]
fn a_disk_that_is_full_or_takes_no_name_leaves_the_database_and_no_part_of_a_file() {
    let scratch = Scratch::new();
    let (store, jids) = filled(&scratch);
    let before = all(&store, &jids);
    let (database, file, _) = first(&scratch);
    let new = named(&file, NEW);
    let faults: [(&str, Act, Act); 3] = [
        // Whatever is written there fails with ENOSPC.
        ("no room", &|| symlink("/dev/full", &new).expect("a link"), &|| {}),
        ("no new file", &|| std::fs::create_dir(&new).expect("a folder"), &|| {}),
        ("no name", &|| std::fs::create_dir_all(file.join("x")).expect("a folder"), &|| {
            std::fs::remove_dir_all(&file).expect("removes");
        }),
    ];
    for (what, begin, end) in faults {
        begin();
        let error = store.retire(later()).expect_err(what).to_string();
        assert!(error.contains("jobs-1795305600"), "{what}: {error}");
        assert!(database.exists() && std::fs::symlink_metadata(&new).is_err(), "{what}");
        assert_eq!(all(&store, &jids), before, "{what}");
        store.commit(&[report(&job(T0 + 3, &[]), "a", row(-4, 0))]).expect("commits go on");
        end();
    }
    store.retire(later()).expect("retires");
    assert!(file.is_file() && !database.exists(), "the next time it is done");
    assert_eq!(all(&store, &jids), before);
}

#[test]
fn a_commit_that_comes_while_the_file_is_written_is_not_lost() {
    let scratch = Scratch::new();
    let (store, jids) = filled(&scratch);
    let (database, file, late) = first(&scratch);
    let bucket = &store.holding(jids[0])[0];
    let db = |bucket: &Bucket| bucket.view().db.expect("one");
    db(bucket).settle().expect("settles");
    let commits = db(bucket).settled().expect("is settled");
    let packed = bucket.write_packed(&bucket.view(), commits).expect("writes");
    store.commit(&[report(&job(T0 + 3, &[]), "b", row(77, 0))]).expect("commits");
    let before = all(&store, &jids);
    assert!(bucket.replace(packed, commits).expect("nothing fails").is_none(), "it has not all");
    assert!(database.exists() && !file.exists());
    store.retire(later()).expect("retires");
    assert!(!database.exists() && file.exists() && !late.exists());
    assert_eq!(all(&store, &jids), before);
}

#[test]
fn whoever_commits_and_reads_while_buckets_are_packed_is_served() {
    let scratch = Scratch::new();
    let (store, jids) = filled(&scratch);
    let (database, file, _) = first(&scratch);
    let is_done = AtomicBool::new(false);
    let known = job(T0 + 3, &[]);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut count = 0;
            while !is_done.load(Ordering::SeqCst) || count < 6 {
                count += 1;
                store.commit(&[report(&known, "b", row(1000 + count, 0))]).expect("commits");
            }
        });
        let reader = scope.spawn(|| {
            while !is_done.load(Ordering::SeqCst) {
                assert_eq!(store.rows(known.jid).expect("reads").len(), 2);
            }
        });
        // A reader or a writer at the wrong moment puts it off.
        let packed = (0..1000).any(|_| {
            store.retire(later()).expect("retires");
            file.exists()
        });
        is_done.store(true, Ordering::SeqCst);
        writer.join().expect("it does not panic");
        reader.join().expect("it does not panic");
        assert!(packed, "in a thousand times");
    });
    let lates = |store: &Store| store.rows(known.jid).expect("reads")[&id("b")].late.len();
    assert!(!database.exists());
    let expected = lates(&store);
    assert!(expected >= 6, "{expected}");
    drop(store);
    let (store, said) = scratch.open();
    assert!(said.is_empty(), "{said:?}");
    assert_eq!(lates(&store), expected);
    assert!(store.job(jids[0]).expect("reads").is_some());
}

#[test]
fn a_damaged_block_does_not_stop_what_is_to_be_written() {
    let scratch = Scratch::new();
    let (store, jids) = filled(&scratch);
    // It has a block of its own, which a start does not read.
    let mut large = row(1, 1);
    large.ending = brine_protocol::job::Ending::Failed { why: "x".repeat(40_000) };
    store.commit(&[report(&job(T0 + 3, &[]), "a", large)]).expect("commits");
    store.retire(later()).expect("retires");
    drop(store);
    let file = first(&scratch).1;
    let mut bytes = std::fs::read(&file).expect("reads");
    let key = b"l/20261122000003000000/a/1";
    let at = bytes.windows(key.len()).position(|bytes| bytes == key).expect("a late report");
    bytes[at + key.len() + 4] ^= 1;
    std::fs::write(&file, bytes).expect("writes");
    let (store, said) = scratch.open();
    assert!(said.is_empty(), "{said:?}");
    store.rows(jids[3]).expect_err("it cannot be read");
    let reports = [report(&job(T0 + 3, &[]), "a", row(5, 5)), report(&job(T0 + 59, &[]), "z", row(5, 5))];
    store.commit(&reports).expect("commits");
    let fresh = job(T0 + 57, &["a"]);
    store.commit(&[Record::Job(Arc::clone(&fresh))]).expect("commits");
    assert!(store.job(fresh.jid).expect("reads").is_some());
}
