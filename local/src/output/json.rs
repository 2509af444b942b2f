//! JSON as Python's `json.dumps` lays it out.

use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use super::is_safe;

pub(super) fn render(value: &impl Serialize, indent: i32) -> String {
    let mut bytes = Vec::new();
    let written = match usize::try_from(indent) {
        Ok(width) => {
            let spaces = vec![b' '; width.min(64)];
            value
                .serialize(&mut Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(&spaces)))
        }
        Err(_) => value.serialize(&mut Serializer::with_formatter(&mut bytes, OneLine)),
    };
    written.expect("maps with text keys can always be written to memory");
    let text = String::from_utf8(bytes).expect("serde_json writes UTF-8");
    escape_rest(text) + "\n"
}

/// What JSON lets through and a terminal should not see. Outside of strings there is only ASCII,
/// so every such character is inside one, where `\u` escapes mean the same.
fn escape_rest(text: String) -> String {
    if text.bytes().all(|b| matches!(b, b' '..=b'~' | b'\n')) {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_safe(c) || c == '\n' {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}

/// `{"a": 1, "b": [1, 2]}`.
struct OneLine;

impl Formatter for OneLine {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::output::testing::any_value;

    #[test]
    fn layouts() {
        let value = json!({"minions_pre": ["pre1", "pre2"], "x": {}, "n": [1, null]});
        assert_eq!(
            render(&value, -1),
            "{\"minions_pre\": [\"pre1\", \"pre2\"], \"x\": {}, \"n\": [1, null]}\n"
        );
        assert_eq!(
            render(&value, 1),
            "{\n \"minions_pre\": [\n  \"pre1\",\n  \"pre2\"\n ],\n \"x\": {},\n \"n\": [\n  1,\n  null\n ]\n}\n"
        );
    }

    proptest! {
        #[test]
        fn reads_back(value in any_value(), indent in -1..9) {
            let text = render(&value, indent);
            prop_assert!(text.chars().all(|c| is_safe(c) || c == '\n'), "{}", text);
            let back: Value = serde_json::from_str(&text).map_err(|e| TestCaseError::fail(format!("{text}\n{e}")))?;
            prop_assert_eq!(back, value, "{}", text);
        }
    }

    #[test]
    fn escapes_mean_the_same() {
        let value = json!("é\u{9b}\u{202e}\u{e0041}\u{7f}\n");
        let text = render(&value, 4);
        assert_eq!(text, "\"é\\u009b\\u202e\\udb40\\udc41\\u007f\\n\"\n");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).ok(), Some(value));
    }
}
