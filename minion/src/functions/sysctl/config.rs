//! Files of parameters, sysctl.d(5): what they say, and one line changed among all others.

use super::key::{Key, is_same};

/// What a new file begins with.
const HEADING: &[u8] = b"# Kernel parameters that sysctl.persist keeps.\n";

/// A line that gives a parameter its value.
#[derive(Debug, PartialEq)]
struct Line<'a> {
    key: Key,
    value: &'a str,
    /// Whether a parameter that is not there is passed over at boot.
    is_lenient: bool,
}

impl<'a> Line<'a> {
    /// None for comments, for what is no UTF-8, and for what names no single parameter.
    fn read(line: &'a [u8]) -> Option<Self> {
        let (name, value) = std::str::from_utf8(line).ok()?.split_once('=')?;
        let name = name.trim();
        let (name, is_lenient) =
            name.strip_prefix('-').map_or((name, false), |name| (name.trim_start(), true));
        Some(Self { key: Key::read(name)?, value: value.trim(), is_lenient })
    }
}

/// The values of a file, in its order: of a parameter that is there twice the later one counts.
pub(super) fn values(text: &[u8]) -> impl Iterator<Item = (String, String)> {
    let lines = text.split(|byte| *byte == b'\n').filter_map(Line::read);
    lines.map(|line| (line.key.dotted(), line.value.to_owned()))
}

/// The file with this value for the parameter, which is one line of text; none when it says so
/// already. All other lines stay byte for byte.
pub(super) fn set(text: &[u8], key: &Key, value: &str) -> Option<Vec<u8>> {
    let mut new = Vec::with_capacity(text.len());
    let (mut is_there, mut is_changed) = (false, false);
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let found = Line::read(line).filter(|found| found.key == *key);
        is_there |= found.is_some();
        match found {
            Some(found) if !is_same(found.value, value) => {
                is_changed = true;
                new.extend_from_slice(if found.is_lenient { b"-" } else { b"" });
                new.extend_from_slice(format!("{} = {value}\n", key.dotted()).as_bytes());
            }
            _ => new.extend_from_slice(line),
        }
    }
    if !is_there {
        if text.is_empty() {
            new.extend_from_slice(HEADING);
        } else if !text.ends_with(b"\n") {
            new.push(b'\n');
        }
        new.extend_from_slice(format!("{} = {value}\n", key.dotted()).as_bytes());
    }
    (is_changed || !is_there).then_some(new)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn changed(text: &str, name: &str, value: &str) -> Option<String> {
        let new = set(text.as_bytes(), &Key::read(name).unwrap(), value)?;
        Some(String::from_utf8(new).unwrap())
    }

    #[test]
    fn one_line_is_changed_and_all_others_stay() {
        for (text, name, value, expected) in [
            ("", "a.b", "1", Some("# Kernel parameters that sysctl.persist keeps.\na.b = 1\n")),
            ("a.b = 1\n", "a.b", "1", None),
            ("a.b=1", "a/b", "1", None),
            ("a.b = 4 5\t6\n", "a.b", "4\t5 6", None),
            ("a.b=1\nc.d=2", "a.b", "3", Some("a.b = 3\nc.d=2")),
            ("c.d=2", "a.b", "3", Some("c.d=2\na.b = 3\n")),
            (
                "# a.b = 1\n; a.b = 1\na.bc = 1\n",
                "a.b",
                "1",
                Some("# a.b = 1\n; a.b = 1\na.bc = 1\na.b = 1\n"),
            ),
            ("  a/b\t=\t1 \r\n\nx\n", "a.b", "2", Some("a.b = 2\n\nx\n")),
            ("-a.b = 1\n", "a.b", "2", Some("-a.b = 2\n")),
            ("a.b = 1\nx\na.b = 2\n", "a.b", "2", Some("a.b = 2\nx\na.b = 2\n")),
            ("a.b = |/bin/x  %p=%P\n", "a.b", "", Some("a.b = \n")),
            ("c/d.e.f = 1\n", "c.d/e.f", "1", Some("c/d.e.f = 1\nc.d/e.f = 1\n")),
        ] {
            assert_eq!(changed(text, name, value).as_deref(), expected, "{text:?} {name} {value}");
        }
        let key = Key::read("a.b").unwrap();
        assert_eq!(set(b"\xff\xfe = 1\na.b = 1\n", &key, "2").unwrap(), b"\xff\xfe = 1\na.b = 2\n");
    }

    #[test]
    fn values_are_read() {
        let text = b"#x = 1\n\n a.b = 1 \nc/d=2 3\n-e.f = \nno line\n;g = 1\n\xff = 1\na.b = 4";
        let expected = [("a.b", "1"), ("c.d", "2 3"), ("e.f", ""), ("a.b", "4")];
        assert_eq!(
            values(text).collect::<Vec<_>>(),
            expected.map(|(key, value)| (key.to_owned(), value.to_owned()))
        );
    }

    proptest! {
        #[test]
        fn the_rest_of_a_file_stays(
            text in prop::collection::vec(prop_oneof![
                "[ #;-]{0,1}(a[.]b|a/b|c[.]d|x)[ \t]{0,2}=?[ \t]{0,2}[0-9 ]{0,4}".prop_map(String::into_bytes),
                prop::collection::vec(any::<u8>(), 0..12),
            ], 0..8),
            has_end: bool,
            value in "[0-9]{1,3}( [0-9]{1,3})?",
        ) {
            let text = [text.join(b"\n".as_slice()), if has_end { b"\n".to_vec() } else { Vec::new() }].concat();
            let key = Key::read("a.b").unwrap();
            let new = set(&text, &key, &value).unwrap_or_else(|| text.clone());
            prop_assert_eq!(set(&new, &key, &value), None, "doing it again changes nothing");
            let last = values(&new).filter(|(name, _)| name == "a.b").last();
            prop_assert!(last.is_some_and(|(_, found)| is_same(&found, &value)));
            // Every other line is there, in its order.
            let others = |text: &[u8]| -> Vec<Vec<u8>> {
                let is_other = |line: &&[u8]| {
                    let is_ours = Line::read(line).is_some_and(|line| line.key == key);
                    !is_ours && !line.is_empty() && !HEADING.starts_with(line)
                };
                text.split(|byte| *byte == b'\n').filter(is_other).map(<[u8]>::to_vec).collect()
            };
            prop_assert_eq!(others(&new), others(&text));
        }
    }
}
