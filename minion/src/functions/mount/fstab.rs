//! The file that says what is mounted at boot, fstab(5).

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::super::Fault;
use super::table::decode;

/// More entries than any machine has. Each of many at the same place gets a longer name.
const ENTRIES_MAX: usize = 4096;

/// The entries by their mount point; one at a place that is there already has `_` behind its name.
/// Comments and lines with another number of fields than four to six are passed over.
pub(super) fn read(text: &[u8]) -> Result<Map<String, Value>, Fault> {
    let mut entries = Map::new();
    // How often each place was there, so that a name is not tried again and again.
    let mut seen: HashMap<String, usize> = HashMap::new();
    for line in text.split(|byte| *byte == b'\n') {
        let fields: Vec<&[u8]> =
            line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty()).collect();
        let is_comment = fields.first().is_some_and(|first| first.starts_with(b"#"));
        let (false, [device, point, kind, options, more @ ..]) = (is_comment, fields.as_slice()) else {
            continue;
        };
        if more.len() > 2 {
            continue;
        }
        if entries.len() == ENTRIES_MAX {
            return Err(Fault::Execution(format!("there are more than {ENTRIES_MAX} entries in the file")));
        }
        let number = |at: usize| more.get(at).map_or_else(|| "0".to_owned(), |field| decode(field));
        let options: Vec<String> = options.split(|byte| *byte == b',').map(decode).collect();
        let entry = json!({
            "device": decode(device),
            "fstype": decode(kind),
            "opts": options,
            "dump": number(0),
            "pass": number(1),
        });
        let point = decode(point);
        let times = seen.entry(point.clone()).or_default();
        let mut name = point + &"_".repeat(*times);
        while entries.contains_key(&name) {
            name.push('_');
            *times += 1;
        }
        *times += 1;
        entries.insert(name, entry);
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn entries_by_their_place() {
        let text = b"# a comment\n  # b c d e\n\n/dev/sda1 / ext4 defaults,noatime 0 1\n\
                     UUID=ab\t/srv/a\\040b\txfs\tro\nswap none swap sw 0 0\nproc none proc rw 0\none /x\n\
                     a b c d e f g\n/swap none swap sw 0 0\nlast none_ auto x 0 0";
        let entry = |device: &str, kind: &str, opts: &[&str], pass: &str| json!({"device": device, "fstype": kind, "opts": opts, "dump": "0", "pass": pass});
        let expected = json!({
            "/": entry("/dev/sda1", "ext4", &["defaults", "noatime"], "1"),
            "/srv/a b": entry("UUID=ab", "xfs", &["ro"], "0"),
            "none": entry("swap", "swap", &["sw"], "0"),
            "none_": entry("proc", "proc", &["rw"], "0"),
            "none__": entry("/swap", "swap", &["sw"], "0"),
            "none___": entry("last", "auto", &["x"], "0"),
        });
        assert_eq!(Value::Object(read(text).unwrap()), expected);
        assert_eq!(read(b"").unwrap(), Map::new());
    }

    #[test]
    fn many_at_one_place_have_a_bound() {
        let text = "a b c d\n".repeat(ENTRIES_MAX);
        assert_eq!(read(text.as_bytes()).unwrap().len(), ENTRIES_MAX);
        assert!(read((text + "e f g h").as_bytes()).is_err());
    }

    proptest! {
        /// One entry for each line that is one, whatever the places are called.
        #[test]
        fn no_entry_is_lost(points in prop::collection::vec("[ab]_{0,3}", 0..20)) {
            let text: String = points.iter().map(|point| format!("dev {point} ext4 rw\n")).collect();
            prop_assert_eq!(read(text.as_bytes()).unwrap().len(), points.len());
        }

        #[test]
        fn foreign_bytes_never_panic(text in prop::collection::vec(any::<u8>(), 0..100)) {
            let lines = text.split(|byte| *byte == b'\n').count();
            prop_assert!(read(&text).unwrap().len() <= lines);
        }
    }
}
