//! Databases that lost something, and what is made of their redo files.

use super::*;

/// Damages the first of two buckets, and its redo files too or not; what is said, and both jobs.
fn with_a_damaged_bucket(has_redo: bool) -> (Store, String, [Arc<Job>; 2], Scratch) {
    let scratch = Scratch::new();
    let (bad, good) = (job(T0, &["a"]), job(T0 + DAY, &["a"]));
    {
        let (store, _) = scratch.open();
        for job in [&bad, &good] {
            store.commit(&[Record::Job(Arc::clone(job))]).expect("commits");
        }
    }
    let damaged = Span::found_in(&scratch.folder()).expect("reads").into_iter().next().expect("two");
    let folder = scratch.folder().join(damaged.folder());
    let bytes = std::fs::read(folder.join("db")).expect("reads");
    std::fs::write(folder.join("db"), vec![0x55; bytes.len() / 2]).expect("writes");
    if !has_redo {
        std::fs::remove_file(folder.join("redo")).expect("removes");
    }
    let (store, said) = scratch.open();
    (store, said.join("\n"), [bad, good], scratch)
}

#[test]
fn a_damaged_bucket_is_set_aside_and_the_rest_goes_on() {
    let (store, said, [bad, good], _scratch) = with_a_damaged_bucket(false);
    assert!(said.contains("set aside") && said.contains("jobs from 2026-11-22"), "{said}");
    assert!(!said.contains("nothing is lost") && is_loss(&said), "{said}");
    assert!(store.job(bad.jid).expect("reads").is_none());
    assert!(store.job(good.jid).expect("reads").is_some());
    store.commit(&[Record::Job(job(T0 + 1, &["a"]))]).expect("that time can be written again");
}

#[test]
fn a_damaged_bucket_is_made_anew_of_what_was_written_twice() {
    let (store, said, [bad, good], scratch) = with_a_damaged_bucket(true);
    assert!(said.is_empty() || said.ends_with("nothing is lost") && !is_loss(&said), "{said}");
    for job in [&bad, &good] {
        assert_eq!(store.job(job.jid).expect("reads"), Some((**job).clone()));
    }
    store.commit(&[Record::Job(job(T0 + 1, &["a"]))]).expect("it goes on");
    drop(store);
    let (store, said) = scratch.open();
    assert!(said.is_empty() && store.job(bad.jid).expect("reads").is_some(), "{said:?}");
}

#[test]
fn a_crash_while_a_bucket_is_made_anew_is_gone_on_from() {
    let (store, _, [job, _], scratch) = with_a_damaged_bucket(true);
    let folder =
        scratch.folder().join(store.bucket_of(&Record::Closed(job.jid)).expect("there").span().folder());
    drop(store);
    let mut name = folder.clone().into_os_string();
    name.push(".anew");
    // Between the renames: only the new one has a name that counts.
    std::fs::rename(&folder, &name).expect("renames");
    let (store, said) = scratch.open();
    assert!(said.is_empty() && store.job(job.jid).expect("reads").is_some(), "{said:?}");
    drop(store);
    // Before them: it may be half made.
    std::fs::create_dir(&name).expect("makes");
    let (store, said) = scratch.open();
    assert!(said.is_empty() && store.job(job.jid).expect("reads").is_some(), "{said:?}");
    assert!(!Path::new(&name).exists());
}

/// Writes so many large rows, and cuts the log of their bucket within its second segment.
fn with_a_cut_log(rows: i64) -> (Scratch, Vec<Arc<Job>>) {
    let scratch = Scratch::new();
    let jobs: Vec<_> = (0..rows).map(|n| job(T0 + n, &["a"])).collect();
    {
        let (store, _) = scratch.open();
        for job in &jobs {
            let mut large = row(1, 0);
            large.ending = Ending::Failed { why: "x".repeat(40_000) };
            store.commit(&[Record::Job(Arc::clone(job)), ended(job, "a", large)]).expect("commits");
        }
    }
    let span = *Span::found_in(&scratch.folder()).expect("reads").first().expect("a bucket");
    let log = std::fs::OpenOptions::new().write(true).open(scratch.folder().join(span.folder()).join("db"));
    log.and_then(|log| log.set_len(520_000)).expect("cut");
    (scratch, jobs)
}

/// A power cut can leave a log without its end that still opens.
#[test]
fn a_bucket_whose_log_lost_its_end_has_all_of_it_again() {
    let (scratch, jobs) = with_a_cut_log(40);
    let (store, said) = scratch.open();
    assert!(said.iter().all(|said| said.ends_with("nothing is lost")), "{said:?}");
    for job in &jobs {
        assert_eq!(store.job(job.jid).expect("reads"), Some((**job).clone()));
        assert!(store.rows(job.jid).expect("reads")[&id("a")].ending.is_some());
    }
}

#[test]
fn of_a_bucket_that_lost_more_than_is_written_twice_the_rest_is_kept() {
    let (scratch, jobs) = with_a_cut_log(600);
    let (store, said) = scratch.open();
    let said = said.join("\n");
    assert!(said.contains("set aside") && said.contains("of 600 is missing"), "{said}");
    assert_eq!(store.job(jobs[0].jid).expect("reads"), None);
    let last = &jobs[599];
    assert_eq!(store.job(last.jid).expect("reads"), Some((**last).clone()));
    store.commit(&[Record::Job(job(T0 + 900, &["a"]))]).expect("it goes on");
}
