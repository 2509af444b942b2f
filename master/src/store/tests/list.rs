//! Lists of jobs: filters, pages, and how much is read for one.

use brine_protocol::control::JobsState;

use super::*;

fn other(seconds: i64, minions: &[&str], change: impl FnOnce(&mut Job)) -> Arc<Job> {
    let mut changed = (*job(seconds, minions)).clone();
    change(&mut changed);
    Arc::new(changed)
}

fn jids(page: &Page) -> Vec<Jid> {
    page.jobs.iter().map(|job| job.jid).collect()
}

fn query(text: &str) -> JobsQuery {
    serde_json::from_str(text).expect("a query")
}

#[test]
fn each_filter_leaves_out_what_it_says() {
    let scratch = Scratch::new();
    let (store, _) = scratch.open();
    let ping = job(T0, &["a", "b"]);
    let run = other(T0 + 10, &["a"], |job| {
        job.calls[0].function = "cmd.run".to_owned();
        job.target = Target::list("a");
        job.principal = "unix:1000 (alice)".to_owned();
        job.batch = Some(serde_json::from_str(r#"{"size": "10%"}"#).expect("a batch"));
    });
    let kill = other(T0 + 20, &["b"], |job| {
        job.calls.push(job.calls[0].clone());
        job.calls[1].function = "brine.kill_job".to_owned();
    });
    let records = [
        Record::Job(Arc::clone(&ping)),
        Record::Job(Arc::clone(&run)),
        Record::Job(Arc::clone(&kill)),
        ended(&ping, "a", row(1, 0)),
        ended(&ping, "b", row(1, 2)),
        Record::Closed(ping.jid),
        ended(&kill, "b", row(1, 0)),
        Record::Closed(kill.jid),
    ];
    store.commit(&records).expect("commits");
    let (ping, run, kill) = (ping.jid, run.jid, kill.jid);
    for (text, expected) in [
        ("{}", vec![kill, run, ping]),
        (r#"{"function": "cmd.*"}"#, vec![run]),
        (r#"{"function": "test.ping"}"#, vec![kill, ping]),
        (r#"{"function": "saltutil.*"}"#, vec![kill]),
        (r#"{"function": "cmd"}"#, vec![]),
        (r#"{"user": "alice"}"#, vec![run]),
        (r#"{"user": "r??t"}"#, vec![kill, ping]),
        (r#"{"target": "a"}"#, vec![run]),
        (r#"{"target": "*"}"#, vec![kill, run, ping]),
        (r#"{"target": "[*]"}"#, vec![kill, ping]),
        (r#"{"minion": "a"}"#, vec![run, ping]),
        (r#"{"minion": "c"}"#, vec![]),
        (r#"{"active": true}"#, vec![run]),
        (r#"{"state": "active"}"#, vec![run]),
        (r#"{"state": "failed"}"#, vec![ping]),
        (r#"{"state": "failed", "active": true}"#, vec![]),
        (r#"{"since": "2026-11-22T00:00:10Z"}"#, vec![kill, run]),
        (r#"{"until": "2026-11-22T00:00:10Z"}"#, vec![run, ping]),
        (r#"{"since": "2026-11-22T00:00:01Z", "until": "2026-11-22T00:00:19Z"}"#, vec![run]),
        (r#"{"since": "2026-11-23T00:00:01Z", "until": "2026-11-22T00:00:19Z"}"#, vec![]),
        (r#"{"before": "20261122000010000000"}"#, vec![ping]),
        (r#"{"minion": "b", "function": "test.*", "user": "root", "state": "failed"}"#, vec![ping]),
    ] {
        let page = store.list(&query(text), 10, |_| true).expect("reads");
        assert_eq!((jids(&page), page.next), (expected, None), "{text}");
    }
    let mine = store.list(&JobsQuery::default(), 10, |owner| owner.contains("alice")).expect("reads");
    assert_eq!(jids(&mine), [run]);
    let shown = &mine.jobs[0];
    assert_eq!(shown.batch.as_ref().map(|batch| batch.size.as_str()), Some("10%"));
    assert_eq!((shown.target_kind, shown.open), (brine_protocol::target::TargetKind::List, 1));
    assert_eq!(JobsState::Failed, serde_json::from_str("\"failed\"").expect("a state"));
}

#[test]
fn pages_follow_each_other_over_buckets_that_overlap() {
    let scratch = Scratch::new();
    let open = |days: i64| {
        let options = StoreOptions { keep_jobs_seconds: (days * DAY) as u64, ..options() };
        Store::open(&scratch.folder(), &scratch.0.path().join("jid.ceiling"), options).expect("opens").0
    };
    let mut all = Vec::new();
    let write = |store: &Store, n: i64| {
        let job = job(T0 + n * 600, &["a"]);
        store.commit(&[Record::Job(Arc::clone(&job))]).expect("commits");
        job.jid
    };
    {
        let store = open(1);
        all.extend((0..40).step_by(2).map(|n| write(&store, n)));
    }
    {
        // Longer buckets: those of before are used where there is one, and overlap with new ones.
        let store = open(16);
        all.extend((1..90).step_by(2).map(|n| write(&store, n)));
    }
    let store = open(1);
    all.sort();
    all.reverse();
    let mut found = Vec::new();
    let mut before = None;
    loop {
        let page = store.list(&JobsQuery { before, ..JobsQuery::default() }, 7, |_| true).expect("reads");
        assert!(page.jobs.len() <= 7);
        found.extend(jids(&page));
        match page.next {
            Some(next) => before = Some(next),
            None => break,
        }
    }
    assert_eq!(found, all);
}

#[test]
fn one_request_reads_so_much_and_says_where_it_stopped() {
    let scratch = Scratch::new();
    let (store, _) = scratch.open();
    let large =
        |n: i64| other(T0 + n, &["a"], |job| job.calls[0].arguments = vec!["x".repeat(10_000).into()]);
    let jobs: Vec<Arc<Job>> = (0..20).map(large).collect();
    let records: Vec<Record> = jobs.iter().map(|job| Record::Job(Arc::clone(job))).collect();
    store.commit(&records).expect("commits");
    let oldest = JobsQuery { until: Some(jobs[0].submitted), ..JobsQuery::default() };
    let read = |query: &JobsQuery| store.list_within(query, 5, |_| true, 5000).expect("reads");
    assert_eq!(jids(&read(&oldest)), [jobs[0].jid], "what is too new is not read at all");
    let nobody = JobsQuery { user: Some("nobody".to_owned()), ..JobsQuery::default() };
    let first = read(&nobody);
    assert_eq!((first.jobs.len(), first.next), (0, Some(jobs[15].jid)), "five of ten thousand bytes");
    let mut steps = 1;
    let mut next = first.next;
    while let Some(before) = next {
        next = read(&JobsQuery { before: Some(before), ..nobody.clone() }).next;
        steps += 1;
    }
    assert_eq!(steps, 4);
    let none = store.list_within(&JobsQuery::default(), 0, |_| true, 5000).expect("reads");
    assert_eq!((none.jobs.len(), none.next), (0, None), "a page of nothing leads nowhere");
}
