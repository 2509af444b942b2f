//! What lists say of jobs without a look at their rows.

use brine_protocol::control::JobSummary;

use super::*;

fn listed(store: &Store) -> Vec<JobSummary> {
    store.list(&JobsQuery::default(), 100, |_| true).expect("reads").jobs
}

fn counted(store: &Store) -> Vec<JobSummary> {
    let count = |job: &JobSummary| store.holding(job.jid)[0].counted(job.jid, |_| true).expect("reads").0;
    listed(store).iter().map(|job| count(job).expect("is there")).collect()
}

#[test]
fn a_list_says_what_the_rows_come_to_before_after_and_across_a_restart() {
    let scratch = Scratch::new();
    let (first, second) = (job(T0, &["a", "b", "c"]), job(T0 + 10, &["a", "b"]));
    let steps: [&[Record]; 6] = [
        &[Record::Job(Arc::clone(&first)), ended(&first, "a", row(1, 3))],
        &[Record::Job(Arc::clone(&second)), report(&first, "a", row(7, 0)), ended(&first, "b", row(1, 0))],
        &[ended(&second, "a", row(1, 0)), ended(&second, "b", row(1, 9)), Record::Closed(second.jid)],
        &[report(&second, "b", row(8, 0)), Record::Handed { jid: first.jid, id: id("c") }],
        &[ended(&first, "c", row(1, 1))],
        &[Record::Closed(first.jid)],
    ];
    let expected = [vec![(2, 1)], vec![(2, 0), (1, 1)], vec![(0, 1), (1, 1)], vec![(0, 1), (1, 1)]];
    let expected = expected.into_iter().chain([vec![(0, 1), (0, 2)], vec![(0, 1), (0, 2)]]);
    let mut store = scratch.open().0;
    for (at, (step, expected)) in steps.into_iter().zip(expected).enumerate() {
        store.commit(step).expect("commits");
        if at % 2 == 1 {
            drop(store);
            store = scratch.open().0;
        }
        let list = listed(&store);
        let shown: Vec<_> = list.iter().map(|job| (job.open, job.failed)).collect();
        assert_eq!(shown, expected, "after step {at}");
        assert_eq!(counted(&store), list, "after step {at}");
    }
    for jid in [first.jid, second.jid] {
        let stored = store.holding(jid)[0].view().get(format!("s/{jid}")).expect("reads");
        assert!(stored.is_some(), "it is kept at the close");
    }
}

#[test]
fn a_commit_that_failed_and_is_made_again_counts_once() {
    let scratch = Scratch::new();
    let (store, _) = scratch.open();
    let (old, new) = (job(T0, &["a", "b"]), job(T0 + DAY, &["a"]));
    store.commit(&[Record::Job(Arc::clone(&old)), Record::Job(Arc::clone(&new))]).expect("commits");
    let records = [ended(&old, "a", row(1, 1)), ended(&new, "a", row(1, 1))];
    // The second bucket takes nothing now; the first one has its part.
    let broken = store.holding(new.jid)[0].view().db.expect("one");
    broken.break_it();
    store.commit(&records).expect_err("one of them is broken");
    let shown: Vec<_> = listed(&store).iter().map(|job| (job.open, job.failed)).collect();
    assert_eq!(shown, [(1, 0), (1, 1)]);
    store.holding(old.jid)[0].view().db.expect("one").settle().expect("the first one is well");
    store.commit(&records[..1]).expect("commits");
    assert_eq!(counted(&store)[1].failed, 1);
    assert_eq!((listed(&store)[1].open, listed(&store)[1].failed), (1, 1), "not counted twice");
}

/// Bytes that have shipped: see `keys_and_values_are_these_bytes`.
#[test]
fn a_summary_is_these_bytes() {
    let scratch = Scratch::new();
    let (store, _) = scratch.open();
    let known = job(T0, &["a", "b"]);
    let ends = [ended(&known, "a", row(1, 0)), ended(&known, "b", row(2, 3)), Record::Closed(known.jid)];
    store.commit(&[Record::Job(Arc::clone(&known))]).expect("commits");
    store.commit(&ends).expect("commits");
    let value = store.all()[0].view().get("s/20261122000000000000").expect("reads").expect("is there");
    assert_eq!(
        String::from_utf8_lossy(&value),
        r#"{"jid":"20261122000000000000","functions":"test.ping","target":"*","target_kind":"glob","principal":"unix:0 (root)","submitted":"2026-11-22T00:00:00.000000Z","minions":2,"open":0,"failed":1}"#
    );
}

/// What the last version wrote has none.
#[test]
fn jobs_without_a_summary_are_counted() {
    let scratch = Scratch::new();
    let (store, _) = scratch.open();
    let known = job(T0, &["a", "b"]);
    let ends = [ended(&known, "a", row(1, 0)), ended(&known, "b", row(2, 3)), Record::Closed(known.jid)];
    store.commit(&[Record::Job(Arc::clone(&known))]).expect("commits");
    store.commit(&ends).expect("commits");
    let list = listed(&store);
    let mut batch = redo::Batch::default();
    batch.remove("s/20261122000000000000");
    store.all()[0].view().db.expect("one").commit(&batch).expect("commits");
    assert_eq!(listed(&store), list);
    let of = |id: &str| JobsQuery { minion: Some(id.parse().expect("an id")), ..JobsQuery::default() };
    let count = |id: &str| store.list(&of(id), 10, |_| true).expect("reads").jobs.len();
    assert_eq!([count("a"), count("b"), count("c")], [1, 1, 0]);
}
