//! Python's `pprint.pformat`: as [`python`] writes it, with keys sorted, broken where a
//! line would be longer than 80 characters.

use serde_json::{Map, Value};

use super::python;

const WIDTH: usize = 80;

pub(super) fn render(value: &Value) -> String {
    let mut writer = Writer { out: String::new() };
    writer.value(value, 0, 0, 1);
    writer.out + "\n"
}

struct Writer {
    out: String,
}

impl Writer {
    /// `indent` is the column where the value begins, `after` how many closing characters have to
    /// fit behind it, `level` how deep it lies.
    fn value(&mut self, value: &Value, indent: usize, after: usize, level: usize) {
        let whole = repr(value);
        if width(&whole) + indent + after <= WIDTH {
            self.out.push_str(&whole);
            return;
        }
        match value {
            Value::Object(map) if !map.is_empty() => self.map(map, indent, after + 1, level),
            Value::Array(items) if !items.is_empty() => self.list(items, indent, after + 1, level),
            Value::String(text) if !text.is_empty() => self.text(text, indent, after, level),
            _ => self.out.push_str(&whole),
        }
    }

    fn map(&mut self, map: &Map<String, Value>, indent: usize, after: usize, level: usize) {
        let indent = indent + 1;
        self.out.push('{');
        let last = map.len() - 1;
        for (i, (key, value)) in sorted(map).into_iter().enumerate() {
            if i > 0 {
                self.break_line(",", indent);
            }
            let key = python::repr_text(key);
            self.out.push_str(&format!("{key}: "));
            let after = if i == last { after } else { 1 };
            self.value(value, indent + width(&key) + 2, after, level + 1);
        }
        self.out.push('}');
    }

    fn list(&mut self, items: &[Value], indent: usize, after: usize, level: usize) {
        let indent = indent + 1;
        self.out.push('[');
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                self.break_line(",", indent);
            }
            let after = if i + 1 == items.len() { after } else { 1 };
            self.value(item, indent, after, level + 1);
        }
        self.out.push(']');
    }

    /// A long text is written in parts, which Python joins again; at the top in brackets.
    fn text(&mut self, text: &str, indent: usize, after: usize, level: usize) {
        let (indent, after) = if level == 1 { (indent + 1, after + 1) } else { (indent, after) };
        let room = WIDTH.saturating_sub(indent);
        let mut chunks = Vec::new();
        let lines = lines_with_ends(text);
        for (i, line) in lines.iter().enumerate() {
            let is_last = i + 1 == lines.len();
            let whole = python::repr_text(line);
            if width(&whole) <= room.saturating_sub(if is_last { after } else { 0 }) {
                chunks.push(whole);
                continue;
            }
            let words = words_with_spaces(line);
            let mut current = String::new();
            for (j, word) in words.iter().enumerate() {
                let is_end = is_last && j + 1 == words.len();
                let room = room.saturating_sub(if is_end { after } else { 0 });
                let longer = format!("{current}{word}");
                if width(&python::repr_text(&longer)) > room {
                    if !current.is_empty() {
                        chunks.push(python::repr_text(&current));
                    }
                    current = (*word).to_owned();
                } else {
                    current = longer;
                }
            }
            if !current.is_empty() {
                chunks.push(python::repr_text(&current));
            }
        }
        let is_bracketed = level == 1 && chunks.len() > 1;
        if is_bracketed {
            self.out.push('(');
        }
        for (i, chunk) in chunks.iter().enumerate() {
            if i > 0 {
                self.break_line("", indent);
            }
            self.out.push_str(chunk);
        }
        if is_bracketed {
            self.out.push(')');
        }
    }

    fn break_line(&mut self, before: &str, indent: usize) {
        self.out.push_str(before);
        self.out.push('\n');
        self.out.extend(std::iter::repeat_n(' ', indent));
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

fn sorted(map: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by_key(|(key, _)| *key);
    entries
}

/// [`python::repr`] with keys sorted at every level.
fn repr(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(repr).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let entry =
                |(key, value): (&String, &Value)| format!("{}: {}", python::repr_text(key), repr(value));
            format!("{{{}}}", sorted(map).into_iter().map(entry).collect::<Vec<_>>().join(", "))
        }
        scalar => python::repr(scalar),
    }
}

/// Python's `splitlines(True)`.
fn lines_with_ends(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    let is_end = |c: char| {
        matches!(
            c,
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    while let Some(at) = rest.find(is_end) {
        let end = &rest[at..];
        let length = if end.starts_with("\r\n") { 2 } else { end.chars().next().map_or(0, char::len_utf8) };
        let (line, more) = rest.split_at(at + length);
        lines.push(line);
        rest = more;
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

/// Each word with the spaces behind it.
fn words_with_spaces(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let word = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let spaces = rest[word..].find(|c: char| !c.is_whitespace()).unwrap_or(rest.len() - word);
        let (whole, more) = rest.split_at(word + spaces);
        words.push(whole);
        rest = more;
    }
    words
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What Python 3.11 printed.
    #[test]
    fn as_python() {
        for (value, expected) in [
            (json!({"m1": true}), "{'m1': True}\n"),
            (json!({"b": {"d": 1, "c": []}, "a": null}), "{'a': None, 'b': {'c': [], 'd': 1}}\n"),
            (
                json!({"m1": {"disk": ["xxxxxxxxxxxxxxxxxxxx", "xxxxxxxxxxxxxxxxxxxx", "xxxxxxxxxxxxxxxxxxxx", "xxxxxxxxxxxxxxxxxxxx", "xxxxxxxxxxxxxxxxxxxx"], "load": {"one": 0.25, "five": 0.5, "fifteen": 0.125}, "name": "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"}}),
                "{'m1': {'disk': ['xxxxxxxxxxxxxxxxxxxx',\n                 'xxxxxxxxxxxxxxxxxxxx',\n                 'xxxxxxxxxxxxxxxxxxxx',\n                 'xxxxxxxxxxxxxxxxxxxx',\n                 'xxxxxxxxxxxxxxxxxxxx'],\n        'load': {'fifteen': 0.125, 'five': 0.5, 'one': 0.25},\n        'name': 'yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy'}}\n",
            ),
            (
                json!({"m1": "word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word word "}),
                "{'m1': 'word word word word word word word word word word word word word word '\n       'word word word word word word word word word word word word word word '\n       'word word word word word word word word word word word word '}\n",
            ),
            (
                json!({"m1": "first line\nsecond line that is long enough to make the whole of it break\nthird\n"}),
                "{'m1': 'first line\\n'\n       'second line that is long enough to make the whole of it break\\n'\n       'third\\n'}\n",
            ),
            (
                json!([
                    "a b a b a b a b a b a b a b a b a b a b a b a b a b a b a b a b a b a b a b a b a b a b a b a b a b "
                ]),
                "['a b a b a b a b a b a b a b a b a b a b a b a b a b a b a b a b a b a b a b '\n 'a b a b a b a b a b a b ']\n",
            ),
            (
                json!(
                    "plain text at the top plain text at the top plain text at the top plain text at the top plain text at the top plain text at the top "
                ),
                "('plain text at the top plain text at the top plain text at the top plain text '\n 'at the top plain text at the top plain text at the top ')\n",
            ),
            (
                json!({"kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk": [1, 2]}),
                "{'kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk': [1,\n                                                                                                2]}\n",
            ),
            (
                json!({"m1": [{"a": 1}, {"b": "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"}], "m2": {}}),
                "{'m1': [{'a': 1},\n        {'b': 'zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz'}],\n 'm2': {}}\n",
            ),
        ] {
            assert_eq!(render(&value), expected);
        }
    }
}
