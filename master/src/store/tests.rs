mod damage;
mod list;
mod summaries;

use super::layers::Want;
use super::*;
use brine_protocol::batch::Batch as Turns;
use brine_protocol::control::JobsQuery;
use brine_protocol::job::{Call, Delivery, Returned};
use brine_protocol::target::Target;

pub(super) const DAY: i64 = 86_400;
pub(super) const T0: i64 = 1_795_305_600; // 2026-11-22T00:00:00Z

fn options() -> StoreOptions {
    StoreOptions { keep_jobs_seconds: DAY as u64, cache_bytes: 1 << 22, orphans_per_minion: 3, room_min: 0 }
}

pub(super) struct Scratch(tempfile::TempDir);

impl Scratch {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.0.path().join("store")
    }

    pub(super) fn open(&self) -> (Store, Vec<String>) {
        Store::open(&self.folder(), &self.0.path().join("jid.ceiling"), options()).expect("opens")
    }
}

pub(super) fn id(text: &str) -> MinionId {
    text.parse().expect("an id")
}

pub(super) fn job(seconds: i64, minions: &[&str]) -> Arc<Job> {
    let jid = Jid::at(Timestamp(seconds * 1_000_000), 0);
    Arc::new(Job {
        jid,
        calls: vec![Call { function: "test.ping".to_owned(), arguments: vec![], keywords: Map::new() }],
        target: Target::glob("*"),
        delivery: Delivery::Now,
        job_timeout_ms: None,
        batch: None,
        detach: false,
        principal: "unix:0 (root)".to_owned(),
        submitted: jid.time(),
        number: jid.time().0 as u64,
        minions: minions.iter().map(|m| (id(m), 1)).collect(),
    })
}

pub(super) fn row(value: i64, retcode: i32) -> Box<Row> {
    let ending =
        Ending::Returned(Returned { value: value.into(), retcode, duration_ms: 1, truncated: false });
    Box::new(Row { ending, at: Timestamp(T0 * 1_000_000) })
}

pub(super) fn ended(job: &Job, minion: &str, row: Box<Row>) -> Record {
    Record::Row { jid: job.jid, id: id(minion), row }
}

pub(super) fn report(job: &Job, minion: &str, row: Box<Row>) -> Record {
    Record::Report { jid: job.jid, id: id(minion), row }
}

#[test]
fn keeps_jobs_rows_and_facts_across_a_restart() {
    let scratch = Scratch::new();
    let (first, second) = (job(T0, &["a", "b"]), job(T0 + 10, &["a"]));
    let facts = Facts { generation: 3, journal: "j1".to_owned(), ..Facts::default() };
    let seen = Timestamp(T0 * 1_000_000);
    let store_id = {
        let (store, said) = scratch.open();
        assert!(said.is_empty(), "{said:?}");
        store
            .commit(&[
                Record::Job(Arc::clone(&first)),
                Record::Job(Arc::clone(&second)),
                ended(&first, "a", row(1, 0)),
                ended(&second, "a", row(2, 3)),
                Record::Closed(second.jid),
                Record::Handed { jid: first.jid, id: id("b") },
                Record::Cancelled { jid: first.jid, by: "ann".to_owned() },
                Record::Facts(id("a"), Box::new(facts.clone())),
                Record::Facts(id("gone"), Box::new(facts.clone())),
                Record::Seen(id("a"), seen),
                Record::Seen(id("gone"), seen),
                Record::Forget(id("gone")),
                Record::Idempotency { key: "k".to_owned(), digest: [7; 32], jid: first.jid },
            ])
            .expect("commits");
        store.id().to_owned()
    };
    let (store, said) = scratch.open();
    assert!(said.is_empty(), "{said:?}");
    assert_eq!(store.id(), store_id);
    assert_eq!(store.job(first.jid).expect("reads"), Some((*first).clone()));
    assert_eq!(store.facts().expect("reads"), vec![(id("a"), Facts { last_seen: seen, ..facts })]);
    assert_eq!(store.idempotency().expect("reads"), vec![("k".to_owned(), [7; 32], first.jid)]);
    let rows = store.rows(first.jid).expect("reads");
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[&id("a")].ending, Some(row(1, 0).ending));
    let open = store.open_jobs().expect("reads");
    assert_eq!(
        open,
        vec![OpenJob {
            job: Arc::clone(&first),
            ended: BTreeSet::from([id("a")]),
            handed: BTreeSet::from([id("b")]),
            rests: Vec::new(),
            cancelled_by: Some("ann".to_owned()),
        }]
    );
    let list = store.list(&JobsQuery::default(), 10, |_| true).expect("reads").jobs;
    let shown: Vec<_> = list.iter().map(|s| (s.jid, s.open, s.failed)).collect();
    assert_eq!(shown, vec![(second.jid, 0, 1), (first.jid, 1, 0)], "newest first");
    assert_eq!(store.last_jid().expect("reads"), second.jid.time());
}

#[test]
fn a_batch_that_waits_knows_when_those_that_had_their_turn_have_ended() {
    let scratch = Scratch::new();
    let (store, _) = scratch.open();
    let batch = |wait_ms| Some(Turns { size: "1".parse().expect("a size"), wait_ms, failhard: false });
    let mut jobs = Vec::new();
    for (at, wait_ms) in [(T0, 500), (T0 + 10, 0)] {
        let job = Arc::new(Job { batch: batch(wait_ms), ..(*job(at, &["a", "b", "c"])).clone() });
        store.commit(&[Record::Job(Arc::clone(&job))]).expect("commits");
        store.commit(&[Record::Handed { jid: job.jid, id: id("a") }]).expect("commits");
        // Nobody waits after one that was away and had no turn.
        store.commit(&[ended(&job, "a", row(1, 3)), ended(&job, "b", row(1, 0))]).expect("commits");
        jobs.push(job);
    }
    let open = store.open_jobs().expect("reads");
    let rests = |job: &Arc<Job>| &open.iter().find(|open| open.job.jid == job.jid).expect("open").rests;
    assert_eq!(*rests(&jobs[0]), [Timestamp(T0 * 1_000_000)]);
    assert!(rests(&jobs[1]).is_empty());
}

#[test]
fn later_reports_are_kept_beside_and_change_nothing() {
    let scratch = Scratch::new();
    let (store, _) = scratch.open();
    let known = job(T0, &["a"]);
    store.commit(&[Record::Job(Arc::clone(&known)), ended(&known, "a", row(1, 0))]).expect("commits");
    store.commit(&[report(&known, "a", row(1, 0))]).expect("the same again");
    store.commit(&[report(&known, "a", row(2, 0))]).expect("another");
    store.commit(&[report(&known, "a", row(2, 0))]).expect("another again");
    let rows = store.rows(known.jid).expect("reads");
    assert_eq!(rows[&id("a")].ending, Some(row(1, 0).ending));
    assert_eq!(rows[&id("a")].late, vec![row(2, 0).ending]);
}

#[test]
fn a_report_is_late_for_what_is_written_in_the_same_commit() {
    let scratch = Scratch::new();
    let (store, _) = scratch.open();
    let known = job(T0, &["a"]);
    let ends = [
        Record::Job(Arc::clone(&known)),
        ended(&known, "a", row(1, 0)),
        report(&known, "a", row(2, 0)),
        report(&known, "a", row(1, 0)),
        report(&known, "a", row(3, 0)),
    ];
    store.commit(&ends).expect("commits");
    store.commit(&ends[2..]).expect("the same again");
    let rows = store.rows(known.jid).expect("reads");
    assert_eq!(rows[&id("a")].ending, Some(row(1, 0).ending));
    assert_eq!(rows[&id("a")].late, vec![row(2, 0).ending, row(3, 0).ending]);
    assert_eq!(store.all()[0].orphans("a"), 0);
}

#[test]
fn orphans_have_a_quota() {
    let scratch = Scratch::new();
    let (store, _) = scratch.open();
    for n in 0..10 {
        store.commit(&[report(&job(T0 + n, &[]), "a", row(n, 0))]).expect("commits");
    }
    let bucket = &store.all()[0];
    let mut changes = Changes::default();
    bucket
        .add(&mut changes, &report(&job(T0 + 50, &[]), "b", row(1, 0)), 3)
        .expect("another minion has its own");
    bucket.commit(changes).expect("commits");
    assert_eq!(
        store.list(&JobsQuery::default(), 10, |_| true).expect("reads").jobs,
        vec![],
        "orphans are no jobs"
    );
    assert_eq!(bucket.orphans("a"), 3);
    assert_eq!(bucket.orphans("b"), 1);
}

#[test]
fn a_report_cannot_have_buckets_made_for_any_time() {
    let scratch = Scratch::new();
    let (store, _) = scratch.open();
    for year in 1..20 {
        store.commit(&[report(&job(year * 365 * DAY, &[]), "a", row(1, 0))]).expect("commits");
    }
    assert_eq!(Span::found_in(&scratch.folder()).expect("reads").len(), 1);
    assert_eq!(store.all()[0].orphans("a"), 3, "the quota holds for all of them, equal as they are");
}

#[test]
fn rows_stay_beside_their_job_when_buckets_get_longer() {
    let scratch = Scratch::new();
    let open = |days: i64| {
        let options = StoreOptions { keep_jobs_seconds: (days * DAY) as u64, ..options() };
        Store::open(&scratch.folder(), &scratch.0.path().join("jid.ceiling"), options).expect("opens").0
    };
    let quarter = DAY / 4;
    let first = job(T0 + quarter, &["a"]);
    open(1).commit(&[Record::Job(Arc::clone(&first))]).expect("commits");
    {
        let store = open(4);
        store.commit(&[Record::Job(job(T0 + DAY / 8, &[]))]).expect("a bucket that begins before");
        assert_eq!(store.holding(first.jid).len(), 2);
        store.commit(&[ended(&first, "a", row(1, 0)), Record::Closed(first.jid)]).expect("commits");
    }
    let still: Vec<Jid> = open(4).open_jobs().expect("reads").iter().map(|open| open.job.jid).collect();
    assert!(!still.contains(&first.jid), "{still:?}");
}

#[test]
fn nothing_is_begun_without_room() {
    let scratch = Scratch::new();
    let options = StoreOptions { room_min: u64::MAX, ..options() };
    let (store, _) =
        Store::open(&scratch.folder(), &scratch.0.path().join("jid.ceiling"), options).expect("opens");
    let refused = store.commit(&[Record::Job(job(T0, &["a"]))]).expect_err("no room");
    assert!(matches!(refused, StoreError::NoRoom { .. }), "{refused}");
    assert!(store.all().is_empty(), "nothing was touched");
}

#[test]
fn retention_drops_whole_buckets_and_their_space() {
    let scratch = Scratch::new();
    let (store, _) = scratch.open();
    let old = job(T0, &["a"]);
    let stuck = job(T0 + DAY, &["a"]);
    let new = job(T0 + 3 * DAY, &["a"]);
    for job in [&old, &stuck, &new] {
        store.commit(&[Record::Job(Arc::clone(job))]).expect("commits");
    }
    store.commit(&[ended(&old, "a", row(1, 0)), Record::Closed(old.jid)]).expect("commits");
    let folders = || Span::found_in(&scratch.folder()).expect("reads").len();
    assert_eq!(folders(), 3);
    assert_eq!(store.retire(Timestamp((T0 + 3 * DAY) * 1_000_000)).expect("retires"), 1);
    assert_eq!(folders(), 2, "an open job keeps its bucket");
    assert_eq!(store.job(old.jid).expect("reads"), None);
    assert!(store.job(stuck.jid).expect("reads").is_some());
}

#[test]
fn large_values_are_flushed_too() {
    let scratch = Scratch::new();
    let (store, _) = scratch.open();
    let job = job(T0, &["a"]);
    let mut large = row(1, 0);
    large.ending = Ending::Failed { why: "x".repeat(900_000) };
    store.commit(&[Record::Job(Arc::clone(&job)), ended(&job, "a", large)]).expect("commits");
    let bucket = &store.all()[0];
    let folder = scratch.folder().join(bucket.span().folder()).join("blobs");
    let there: BTreeSet<_> =
        std::fs::read_dir(folder).expect("reads").flatten().map(|entry| entry.file_name()).collect();
    assert!(!there.is_empty(), "sled keeps large values in files of their own");
    assert_eq!(bucket.view().db.expect("one").flushed_blobs(), there);
}

#[test]
fn what_is_known_already_makes_the_disk_no_work() {
    let scratch = Scratch::new();
    let (store, _) = scratch.open();
    let known = job(T0, &["a"]);
    store.commit(&[Record::Job(Arc::clone(&known)), ended(&known, "a", row(1, 0))]).expect("commits");
    for n in 0..3 {
        store.commit(&[report(&job(T0 + n + 1, &[]), "a", row(n, 0))]).expect("commits");
    }
    let redo = scratch.folder().join(store.all()[0].span().folder()).join("redo");
    let size = || std::fs::metadata(&redo).expect("is there").len();
    let before = size();
    store.commit(&[report(&known, "a", row(1, 0))]).expect("the ending that is there");
    store.commit(&[report(&job(T0 + 9, &[]), "a", row(9, 0))]).expect("beyond the quota");
    assert_eq!(size(), before);
}

#[test]
fn a_damaged_snapshot_loses_nothing() {
    let scratch = Scratch::new();
    let kept = job(T0, &["a"]);
    {
        let (store, _) = scratch.open();
        store.commit(&[Record::Job(Arc::clone(&kept))]).expect("commits");
    }
    let span = Span::found_in(&scratch.folder()).expect("reads").into_iter().next().expect("one");
    let folder = scratch.folder().join(span.folder());
    std::fs::write(folder.join("snap.0000000000000001"), b"half a snapshot").expect("writes");
    let (store, _) = scratch.open();
    assert_eq!(store.job(kept.jid).expect("reads"), Some((*kept).clone()));
}

#[test]
fn jids_never_go_back_even_without_the_store() {
    let scratch = Scratch::new();
    let high = Timestamp((T0 + 500) * 1_000_000);
    {
        let (store, _) = scratch.open();
        store.commit(&[Record::Ceiling(high)]).expect("commits");
    }
    std::fs::remove_dir_all(scratch.folder()).expect("the store is lost");
    let (store, _) = scratch.open();
    assert_eq!(store.last_jid().expect("reads"), high);
}

/// Version 1 of what is on disk, byte for byte. These bytes have shipped: do not change this
/// test; what has to be stored otherwise gets a key of its own.
#[test]
fn keys_and_values_are_these_bytes() {
    let scratch = Scratch::new();
    let (store, _) = scratch.open();
    let known = job(T0, &["a", "b"]);
    let at = known.jid.time();
    let event = Event {
        id: 0x1234_abcd,
        tag: "brine/minion/a/stop".to_owned(),
        at,
        data: Map::new().into(),
        zone: None,
    };
    let facts = Facts { generation: 3, journal: "j1".to_owned(), ..Facts::default() };
    store
        .commit(&[
            Record::Job(Arc::clone(&known)),
            Record::Handed { jid: known.jid, id: id("b") },
            ended(&known, "a", row(1, 0)),
            ended(&known, "b", row(2, 3)),
            Record::Idempotency {
                key: "unix:0 (root)/k".to_owned(),
                digest: *b"01234567890123456789012345678901",
                jid: known.jid,
            },
            Record::Event(Arc::new(event)),
            Record::Facts(id("a"), Box::new(facts)),
            Record::Seen(id("a"), at),
            Record::Ceiling(at.plus_micros(10_000_000)),
        ])
        .expect("commits");
    store
        .commit(&[report(&known, "a", row(9, 0)), report(&job(T0 + 1, &[]), "c", row(4, 0))])
        .expect("commits");

    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("keys and values are text here");
    let dump = |db: &sled::Db| -> Vec<(String, String)> {
        db.iter().map(|item| item.map(|(key, value)| (text(&key), text(&value))).expect("reads")).collect()
    };
    let expected: Vec<(String, String)> = [
        (
            "e/000000001234abcd",
            r#"{"id":305441741,"tag":"brine/minion/a/stop","at":"2026-11-22T00:00:00.000000Z","data":{}}"#,
        ),
        ("h/20261122000000000000/b", ""),
        (
            "j/20261122000000000000",
            r#"{"jid":"20261122000000000000","calls":[{"function":"test.ping"}],"target":{"kind":"glob","expression":"*"},"delivery":"now","principal":"unix:0 (root)","submitted":"2026-11-22T00:00:00.000000Z","number":1795305600000000,"minions":[["a",1],["b",1]]}"#,
        ),
        ("k/unix:0 (root)/k", "0123456789012345678901234567890120261122000000000000"),
        (
            "l/20261122000000000000/a/0",
            r#"{"ending":{"state":"returned","value":9,"retcode":0,"duration_ms":1},"at":"2026-11-22T00:00:00.000000Z"}"#,
        ),
        ("o/20261122000000000000", ""),
        (
            "r/20261122000000000000/a",
            r#"+{"ending":{"state":"returned","value":1,"retcode":0,"duration_ms":1},"at":"2026-11-22T00:00:00.000000Z"}"#,
        ),
        (
            "r/20261122000000000000/b",
            r#"-{"ending":{"state":"returned","value":2,"retcode":3,"duration_ms":1},"at":"2026-11-22T00:00:00.000000Z"}"#,
        ),
        (
            "x/c/20261122000001000000",
            r#"{"ending":{"state":"returned","value":4,"retcode":0,"duration_ms":1},"at":"2026-11-22T00:00:00.000000Z"}"#,
        ),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    assert_eq!(dump(store.all()[0].view().db.as_ref().expect("one")), expected);
    assert_eq!(store.all()[0].span().folder(), "jobs-1795305600-1795316400");
    let fact = r#"{"generation":3,"journal":"j1","last_seen":"1970-01-01T00:00:00.000000Z","address":"","version":"","grains":{}}"#;
    let seen = ("seen/a".to_owned(), r#""2026-11-22T00:00:00.000000Z""#.to_owned());
    assert_eq!(dump(&store.facts), [("a".to_owned(), fact.to_owned()), seen]);
    let ceiling = std::fs::read_to_string(scratch.0.path().join("jid.ceiling")).expect("reads");
    assert_eq!(ceiling, "2026-11-22T00:00:10.000000Z\n");

    store.commit(&[Record::Closed(known.jid)]).expect("commits");
    assert!(
        dump(store.all()[0].view().db.as_ref().expect("one")).iter().all(|(key, _)| !key.starts_with("o/"))
    );
}

impl Bucket {
    fn orphans(&self, id: &str) -> usize {
        self.view().scan(format!("x/{id}/"), Want::Keys).count()
    }
}
