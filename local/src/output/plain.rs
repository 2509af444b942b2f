//! Forms of a line each: `txt`, `newline_values_only`, and `no_return`.

use serde_json::{Map, Value};

use super::{Colour, escape, escape_text, lines, python};

/// `id: line` for every line.
pub(super) fn txt(data: &Map<String, Value>) -> String {
    let mut out = String::new();
    for (id, value) in data {
        let id = escape(id);
        each_line(value, |line| out.push_str(&format!("{id}: {line}\n")));
    }
    out
}

/// Values without what they are called; a list's or a map's one by one.
pub(super) fn values_only(value: &Value) -> String {
    let mut out = String::new();
    let mut push = |value: &Value| each_line(value, |line| out.push_str(&format!("{line}\n")));
    match value {
        Value::Array(items) => items.iter().for_each(&mut push),
        Value::Object(map) => map.values().for_each(&mut push),
        scalar => push(scalar),
    }
    out
}

fn each_line(value: &Value, mut take: impl FnMut(String)) {
    match value {
        Value::String(text) => lines(text).for_each(|line| take(escape_text(line))),
        other => take(escape_text(&python::text(other))),
    }
}

/// Who is in it, and texts: what minions that gave no return are shown in.
pub(super) fn no_return(value: &Value, colours: bool) -> String {
    let mut out = String::new();
    push_no_return(&mut out, value, 0, colours);
    out
}

fn push_no_return(out: &mut String, value: &Value, indent: usize, colours: bool) {
    let spaces = " ".repeat(indent);
    match value {
        Value::String(text) => {
            for line in lines(text) {
                out.push_str(&format!("{spaces}{}\n", Colour::Red.paint(&escape_text(line), colours)));
            }
        }
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            for (key, value) in entries {
                out.push_str(&format!("{spaces}{}:\n", Colour::Cyan.paint(&escape(key), colours)));
                push_no_return(out, value, indent + 4, colours);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_without_names() {
        for (value, expected) in [
            (json!(["127.0.0.1", "10.0.0.1"]), "127.0.0.1\n10.0.0.1\n"),
            (json!({"a": 8, "b": null}), "8\nNone\n"),
            (json!("x\ny\u{1b}"), "x\ny\\u{1b}\n"),
            (json!([["a", 1], {"k": true}]), "['a', 1]\n{'k': True}\n"),
            (json!(true), "True\n"),
            (json!(""), ""),
        ] {
            assert_eq!(values_only(&value), expected);
        }
    }

    /// The first is case 12 of the recorded runs of Salt 3008.5.
    #[test]
    fn who_gave_no_return() {
        assert_eq!(no_return(&json!({"m1": true}), false), "m1:\n");
        assert_eq!(
            no_return(&json!({"m2": "Minion did not\nreturn."}), false),
            "m2:\n    Minion did not\n    return.\n"
        );
        assert_eq!(
            no_return(&json!({"m2": "x"}), true),
            "\u{1b}[0;36mm2\u{1b}[0;0m:\n    \u{1b}[0;31mx\u{1b}[0;0m\n"
        );
    }
}
