use super::*;

fn write(path: &Path, items: &[(&str, &str)]) -> Packed {
    let mut writer = Writer::begin(path).expect("begins");
    for (key, value) in items {
        writer.add(key.as_bytes(), value.as_bytes()).expect("writes");
    }
    let packed = writer.finish(7).expect("is whole");
    packed.keep().expect("has its name");
    packed
}

fn told(items: Scan) -> Vec<(String, String)> {
    let text = |bytes: IVec| String::from_utf8(bytes.to_vec()).expect("text");
    items.map(|item| item.expect("reads")).map(|(key, value)| (text(key), text(value))).collect()
}

/// Keys below and above each other in blocks of one and of many.
fn sample() -> Vec<(String, String)> {
    let length = |n: usize| if n.is_multiple_of(7) { 50_000 } else { 300 };
    (0..400).map(|n| (format!("k/{:03}", 2 * n), format!("{n}").repeat(length(n) / 3))).collect()
}

#[test]
fn every_key_is_found_and_no_other_in_both_orders_and_from_any_place() {
    let place = tempfile::tempdir().expect("a folder");
    let path = place.path().join("file");
    let all = sample();
    let items: Vec<(&str, &str)> = all.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    drop(write(&path, &items));
    let packed = Arc::new(Packed::open(&path).expect("opens"));
    assert_eq!(packed.commits(), 7);
    assert!(packed.places.len() > 60, "{}", packed.places.len());
    for (n, (key, value)) in all.iter().enumerate() {
        assert_eq!(packed.get(key.as_bytes()).expect("reads").as_deref(), Some(value.as_bytes()));
        let between = format!("k/{:03}", 2 * n + 1);
        assert_eq!(packed.get(between.as_bytes()).expect("reads"), None);
    }
    for (from, to) in [(0, 800), (0, 0), (1, 2), (13, 15), (28, 29), (400, 421), (799, 900)] {
        let keys = format!("k/{from:03}").into_bytes()..format!("k/{to:03}").into_bytes();
        let mut expected: Vec<_> =
            all.iter().filter(|(key, _)| keys.contains(&key.clone().into_bytes())).cloned().collect();
        assert_eq!(told(packed.scan(&keys, false, true)), expected);
        expected.reverse();
        assert_eq!(told(packed.scan(&keys, true, true)), expected);
        expected.iter_mut().for_each(|(_, value)| value.clear());
        assert_eq!(told(packed.scan(&keys, true, false)), expected);
    }
}

#[test]
fn one_without_anything_is_whole() {
    let place = tempfile::tempdir().expect("a folder");
    let packed = Arc::new(write(&place.path().join("file"), &[]));
    assert_eq!(told(packed.scan(&(Vec::new()..vec![0xff]), false, true)), []);
    assert_eq!(packed.get(b"k").expect("reads"), None);
}

#[test]
fn one_cut_or_changed_anywhere_says_so_and_gives_nothing_that_was_not_written() {
    let place = tempfile::tempdir().expect("a folder");
    let path = place.path().join("file");
    let (first, second) = ("1".repeat(BLOCK), "2".repeat(50));
    drop(write(&path, &[("a", first.as_str()), ("b", second.as_str()), ("c", "3")]));
    let whole = std::fs::read(&path).expect("reads");
    let places: Vec<usize> = (0..20).chain((20..whole.len() - 300).step_by(997)).collect();
    for at in places.into_iter().chain(whole.len() - 300..whole.len()) {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        for bytes in [&whole[..at], &changed] {
            std::fs::write(&path, bytes).expect("writes");
            let read = Packed::open(&path).and_then(|packed| {
                let keys = Vec::new()..vec![0xff];
                Arc::new(packed).scan(&keys, false, true).collect::<io::Result<Vec<Item>>>()
            });
            let error = read.expect_err("not all of it is there");
            assert!(super::super::guard::is_damage(&error), "{at}: {error}");
        }
    }
}

/// Bytes that have shipped: what has to be written otherwise ends with another word.
#[test]
fn a_file_is_these_bytes() {
    let place = tempfile::tempdir().expect("a folder");
    let path = place.path().join("file");
    drop(write(&path, &[("a", "12"), ("b", "")]));
    let bytes = std::fs::read(&path).expect("reads");
    let block = b"\0\0\0\x01\0\0\0\x02a12\0\0\0\x01\0\0\0\0b";
    let mut index = Vec::from(20_u32.to_be_bytes());
    index.extend(crc32fast::hash(block).to_be_bytes());
    index.extend(b"\0\0\0\x02\0\0\0\x01a");
    index.extend(20_u64.to_be_bytes());
    index.extend(7_u64.to_be_bytes());
    let end = [&crc32fast::hash(&index).to_be_bytes()[..], b"brinepk1"].concat();
    assert_eq!(bytes, [&block[..], &index, &end].concat());
}
