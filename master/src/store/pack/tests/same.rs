//! A packed bucket answers as the database did that it was made of.

use std::collections::BTreeMap;
use std::ops::Range;

use proptest::prelude::*;

use super::*;
use crate::store::layers::beginning;
use crate::store::redo::Batch;

type Items = Vec<(Vec<u8>, Vec<u8>)>;

/// Keys of the trees that are packed, many of which begin alike.
fn key() -> impl Strategy<Value = Vec<u8>> {
    let tree = prop::sample::select(vec!["e/", "j/", "k/", "l/", "r/", "s/", "x/"]);
    (tree, "[ab]{0,3}(/[a-c]{1,3})?").prop_map(|(tree, rest)| (tree.to_owned() + &rest).into_bytes())
}

/// Some are above the size of a block.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![8 => 0..200_usize, 2 => 3000..9000_usize, 1 => 33_000..40_000_usize];
    (any::<u8>(), length).prop_map(|(byte, length)| vec![byte; length])
}

fn items(most: usize) -> impl Strategy<Value = Items> {
    prop::collection::vec((key(), value()), 0..most)
}

fn committed(path: &Path, items: &Items) -> Arc<Database> {
    let db = Database::open(path, 1 << 20).expect("opens").expect("whole").0;
    let mut batch = Batch::default();
    items.iter().for_each(|(key, value)| batch.insert(key, value));
    db.commit(&batch).expect("commits");
    Arc::new(db)
}

fn told(layers: &Layers, keys: Range<Vec<u8>>, order: Order, want: Want) -> Items {
    let items = layers.range(keys, order, want).map(|item| item.expect("reads"));
    // A database gives values also to whom they are nothing to.
    let value = |value: sled::IVec| if want == Want::Values { value.to_vec() } else { Vec::new() };
    items.map(|(key, bytes)| (key.to_vec(), value(bytes))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn a_packed_bucket_and_what_came_late_say_what_one_database_says(
        early in items(60),
        late in items(12),
        asked in prop::collection::vec((key(), key()), 8),
    ) {
        let place = tempfile::tempdir().expect("a folder");
        let one = Layers { packed: None, db: Some(committed(&place.path().join("one"), &early)) };
        let mut writer = Writer::begin(&place.path().join("file")).expect("begins");
        for item in one.range(Vec::new()..vec![0xff], Order::Up, Want::Values) {
            let (key, value) = item.expect("reads");
            writer.add(&key, &value).expect("writes");
        }
        let packed = Some(Arc::new(writer.finish(1).expect("is whole")));
        let db = committed(&place.path().join("late"), &late);
        let pieces = Layers { packed, db: Some(db) };
        let mut batch = Batch::default();
        late.iter().for_each(|(key, value)| batch.insert(key, value));
        one.db.as_ref().expect("one").commit(&batch).expect("commits");

        let expected: BTreeMap<_, _> = early.iter().chain(&late).cloned().collect();
        let whole = Vec::new()..vec![0xff];
        prop_assert_eq!(
            told(&pieces, whole.clone(), Order::Up, Want::Values),
            expected.clone().into_iter().collect::<Items>()
        );
        let keys = expected.keys().chain(asked.iter().map(|(from, _)| from));
        for key in keys {
            let [found, in_one] = [&pieces, &one].map(|layers| layers.get(key).expect("reads"));
            let value = expected.get(key).map(|value| &value[..]);
            prop_assert_eq!(found.as_deref(), value);
            prop_assert_eq!(in_one.as_deref(), value);
            prop_assert_eq!(pieces.has(key).expect("reads"), value.is_some());
        }
        let prefix = |key: &[u8]| beginning(&(String::from_utf8_lossy(key).into_owned() + "/"));
        let ranges = asked.iter().flat_map(|(from, to)| [from.clone()..to.clone(), prefix(from), prefix(to)]);
        for keys in ranges.chain([whole]) {
            for (order, want) in [
                (Order::Up, Want::Values),
                (Order::Up, Want::Keys),
                (Order::Down, Want::Values),
                (Order::Down, Want::Keys),
            ] {
                prop_assert_eq!(
                    told(&pieces, keys.clone(), order, want),
                    told(&one, keys.clone(), order, want),
                    "{:?} {:?} {:?}", keys, order, want
                );
            }
        }
    }
}

/// A store of the version before there were summaries and packed files, and buckets were twice as long.
#[test]
fn a_store_of_the_version_before_is_read_gone_on_with_and_packed() {
    let scratch = Scratch::new();
    std::fs::create_dir_all(scratch.folder()).expect("a folder");
    let span = Span { start: T0, end: T0 + DAY / 4 };
    let db = Database::open(&scratch.folder().join(span.folder()), 1 << 20).expect("opens").expect("whole").0;
    let (over, open) = (job(T0 + 7, &["a", "b"]), job(T0 + 9, &["a", "b"]));
    let mut batch = Batch::default();
    for job in [&over, &open] {
        batch.insert(format!("j/{}", job.jid), serde_json::to_vec(&**job).expect("a job"));
    }
    let row = |value, retcode| {
        let row = serde_json::to_vec(&*row(value, retcode)).expect("a row");
        [if retcode == 0 { &b"+"[..] } else { b"-" }, &row].concat()
    };
    batch.insert(format!("o/{}", open.jid), []);
    batch.insert(format!("h/{}/b", open.jid), []);
    for (jid, minion, row) in
        [(over.jid, "a", row(1, 0)), (over.jid, "b", row(2, 3)), (open.jid, "a", row(3, 4))]
    {
        batch.insert(format!("r/{jid}/{minion}"), row);
    }
    db.commit(&batch).expect("commits");
    drop(db);

    let (store, said) = scratch.open();
    assert!(said.is_empty(), "{said:?}");
    let listed = |store: &Store| -> Vec<_> {
        let query = brine_protocol::control::JobsQuery::default();
        let jobs = store.list(&query, 100, |_| true).expect("reads").jobs;
        jobs.iter().map(|job| (job.jid, job.minions, job.open, job.failed)).collect()
    };
    assert_eq!(listed(&store), [(open.jid, 2, 1, 1), (over.jid, 2, 0, 1)]);
    let still = store.open_jobs().expect("reads");
    assert_eq!((still.len(), still[0].ended.len(), still[0].handed.len()), (1, 1, 1));
    store.commit(&[ended(&open, "b", super::row(5, 0)), Record::Closed(open.jid)]).expect("commits");
    let expected = [(open.jid, 2, 0, 1), (over.jid, 2, 0, 1)];
    assert_eq!(listed(&store), expected);
    let before = all(&store, &[over.jid, open.jid]);
    store.retire(later()).expect("retires");
    assert!(first(&scratch).1.exists() && !first(&scratch).0.exists());
    let kept = store.all()[0].view().has(format!("s/{}", over.jid)).expect("reads");
    assert!(kept, "what was not kept then is kept now");
    assert_eq!(all(&store, &[over.jid, open.jid]), before);
    drop(store);
    let (store, said) = scratch.open();
    assert!(said.is_empty(), "{said:?}");
    assert_eq!((listed(&store), all(&store, &[over.jid, open.jid])), (expected.into(), before));
}
