//! YAML in block style with sorted keys, as PyYAML's `default_flow_style=False` writes it.
//!
//! Two differences, both for readers: long lines are not folded, and text of several lines is a
//! literal block. What is read back is the same.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::scalar::{Scalar, resolve};
use super::{is_safe, python};

pub(super) fn render(data: &Map<String, Value>) -> String {
    if data.is_empty() {
        return "{}\n".to_owned();
    }
    let mut out = String::new();
    map(&mut out, data, 0, false);
    out
}

pub(super) fn render_value(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(data) => return render(data),
        Value::Array(items) if !items.is_empty() => list(&mut out, items, 0, false),
        other => {
            out.push_str(&leaf(other, None));
            out.push('\n');
        }
    }
    out
}

/// `is_inline`: the first entry stands behind a dash on a line that is already there.
fn map(out: &mut String, map: &Map<String, Value>, indent: usize, is_inline: bool) {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by_key(|(key, _)| *key);
    for (i, (key, value)) in entries.into_iter().enumerate() {
        if i > 0 || !is_inline {
            out.push_str(&" ".repeat(indent));
        }
        out.push_str(&text(key, None));
        out.push(':');
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                out.push('\n');
                self::map(out, inner, indent + 2, false);
            }
            Value::Array(items) if !items.is_empty() => {
                out.push('\n');
                list(out, items, indent, false);
            }
            other => end_with(out, &leaf(other, Some(indent + 2))),
        }
    }
}

fn list(out: &mut String, items: &[Value], indent: usize, is_inline: bool) {
    for (i, item) in items.iter().enumerate() {
        if i > 0 || !is_inline {
            out.push_str(&" ".repeat(indent));
        }
        out.push('-');
        match item {
            Value::Object(inner) if !inner.is_empty() => {
                out.push(' ');
                map(out, inner, indent + 2, true);
            }
            Value::Array(inner) if !inner.is_empty() => {
                out.push(' ');
                list(out, inner, indent + 2, true);
            }
            other => end_with(out, &leaf(other, Some(indent + 2))),
        }
    }
}

fn end_with(out: &mut String, leaf: &str) {
    out.push(' ');
    out.push_str(leaf);
    if !leaf.ends_with('\n') {
        out.push('\n');
    }
}

/// A value without children. `block`: the indentation of a literal block, where one may stand.
fn leaf(value: &Value, block: Option<usize>) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => {
            let repr = python::repr_number(number);
            // `1e+16` would be text in YAML 1.1.
            if repr.contains('e') && !repr.contains('.') { repr.replacen('e', ".0e", 1) } else { repr }
        }
        Value::String(string) => text(string, block),
        Value::Array(_) => "[]".to_owned(),
        Value::Object(_) => "{}".to_owned(),
    }
}

fn text(text: &str, block: Option<usize>) -> String {
    if text.chars().all(is_safe) {
        return if is_plain(text) { text.to_owned() } else { format!("'{}'", text.replace('\'', "''")) };
    }
    if let Some(indent) = block
        && let Some(literal) = literal(text, indent)
    {
        return literal;
    }
    quoted(text)
}

fn literal(text: &str, indent: usize) -> Option<String> {
    let is_showable = text.chars().all(|c| is_safe(c) || c == '\n' || c == '\t');
    let starts_well = !text.starts_with([' ', '\n', '\t']);
    if !is_showable || !starts_well || !text.contains('\n') || text.ends_with("\n\n") {
        return None;
    }
    let mut out = if text.ends_with('\n') { "|\n" } else { "|-\n" }.to_owned();
    for line in text.trim_end_matches('\n').split('\n') {
        if !line.is_empty() {
            out.push_str(&" ".repeat(indent));
            out.push_str(line);
        }
        out.push('\n');
    }
    Some(out)
}

/// Whether a text of safe characters may stand without quotes.
fn is_plain(text: &str) -> bool {
    let Some(first) = text.chars().next() else {
        return false;
    };
    let second_is_space = text.chars().nth(1).is_none_or(|c| c == ' ');
    let is_indicator = "#,[]{}&*!|>'\"%@`".contains(first) || ("-?:".contains(first) && second_is_space);
    // Other parsers read by YAML 1.2, where `1e3` and `0o17` are numbers.
    let is_number_elsewhere = text.parse::<f64>().is_ok() || text.starts_with("0o");
    !is_indicator
        && !is_number_elsewhere
        && !text.starts_with(' ')
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.starts_with("---")
        && !text.starts_with("...")
        && resolve(text) == Scalar::Text
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_safe(c) => out.push(c),
            c => {
                let code = c as u32;
                let written = match code {
                    0..=0xff => write!(out, "\\x{code:02X}"),
                    0x100..=0xffff => write!(out, "\\u{code:04X}"),
                    _ => write!(out, "\\U{code:08X}"),
                };
                written.expect("writing to a string cannot fail");
            }
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::output::testing::any_value;

    fn check(value: &Value, expected: &str) {
        assert_eq!(render_value(value), expected);
    }

    /// The first is salt-key's own output; the others are PyYAML 6's.
    #[test]
    fn as_pyyaml() {
        check(
            &json!({"minions_pre": ["pre1", "pre2"], "minions": ["acc1"], "minions_denied": []}),
            "minions:\n- acc1\nminions_denied: []\nminions_pre:\n- pre1\n- pre2\n",
        );
        check(
            &json!({"m1": {"b": [{"x": 1, "y": [2]}, [3, [4]], {}], "a": {"c": null}}}),
            "m1:\n  a:\n    c: null\n  b:\n  - x: 1\n    y:\n    - 2\n  - - 3\n    - - 4\n  - {}\n",
        );
        check(
            &json!([
                "true", "1", "a: b", "#x", "", "it's", "'q", " a", "-", "-a", "a b", "1e16", "12:30", "x:y",
                "a#b"
            ]),
            "- 'true'\n- '1'\n- 'a: b'\n- '#x'\n- ''\n- it's\n- '''q'\n- ' a'\n- '-'\n- -a\n- a b\n- '1e16'\n- '12:30'\n- x:y\n- a#b\n",
        );
        check(&json!([1.5, 1e16, true, null]), "- 1.5\n- 1.0e+16\n- true\n- null\n");
        check(&json!({"a": "x\u{1b}"}), "a: \"x\\x1B\"\n");
    }

    #[test]
    fn several_lines_are_a_block() {
        check(&json!({"m1": "a\n\n b\n"}), "m1: |\n  a\n\n   b\n");
        check(&json!({"m1": ["a\nb"]}), "m1:\n- |-\n  a\n  b\n");
        check(&json!({"m1": "\na"}), "m1: \"\\na\"\n");
    }

    proptest! {
        #[test]
        fn reads_back(value in any_value()) {
            let text = render_value(&value);
            let back: Value = serde_saphyr::from_str(&text).map_err(|e| TestCaseError::fail(format!("{text}\n{e}")))?;
            prop_assert_eq!(back, value, "{}", text);
        }
    }
}
