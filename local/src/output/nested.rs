//! Salt's `nested` form.

use serde_json::{Map, Value};

use super::{Colour, escape, escape_text, lines, python};

struct Writer {
    out: String,
    colours: bool,
    /// Colour of keys, rules and list marks: red when something went wrong.
    frame: Colour,
    list_mark: Colour,
}

pub(super) fn render(data: &Map<String, Value>, colours: bool, retcode: i32) -> String {
    let mut writer = Writer::new(colours, retcode);
    writer.map(data, 0, "");
    writer.finish()
}

pub(super) fn render_value(value: &Value, colours: bool) -> String {
    let mut writer = Writer::new(colours, 0);
    writer.value(value, 0, "");
    writer.finish()
}

impl Writer {
    fn new(colours: bool, retcode: i32) -> Self {
        let (frame, list_mark) = match retcode {
            0 => (Colour::Cyan, Colour::Green),
            _ => (Colour::Red, Colour::Red),
        };
        Self { out: String::new(), colours, frame, list_mark }
    }

    fn finish(mut self) -> String {
        self.out.truncate(self.out.trim_end().len());
        self.out.push('\n');
        self.out
    }

    fn line(&mut self, indent: usize, colour: Colour, text: &str, suffix: &str) {
        self.out.extend(std::iter::repeat_n(' ', indent));
        self.out.push_str(&colour.paint(text, self.colours));
        self.out.push_str(suffix);
        self.out.push('\n');
    }

    fn value(&mut self, value: &Value, indent: usize, prefix: &str) {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => {
                self.line(indent, Colour::LightYellow, &format!("{prefix}{}", python::text(value)), "");
            }
            Value::String(text) => {
                for (i, line) in lines(text).enumerate() {
                    let width = if i == 0 { prefix.to_owned() } else { " ".repeat(prefix.len()) };
                    self.line(indent, Colour::Green, &format!("{width}{}", escape_text(line)), "");
                }
            }
            Value::Array(items) => {
                for item in items {
                    match item {
                        Value::Object(map) => {
                            self.line(indent, self.list_mark, "|_", "");
                            self.map(map, indent + 2, "");
                        }
                        Value::Array(_) => {
                            self.line(indent, self.list_mark, "|_", "");
                            self.value(item, indent + 2, "- ");
                        }
                        _ => self.value(item, indent, "- "),
                    }
                }
            }
            Value::Object(map) => self.map(map, indent, prefix),
        }
    }

    fn map(&mut self, map: &Map<String, Value>, indent: usize, prefix: &str) {
        if indent > 0 {
            self.line(indent, self.frame, "----------", "");
        }
        let mut entries: Vec<_> = map.iter().collect();
        entries.sort_by_key(|(key, _)| *key);
        for (key, value) in entries {
            self.line(indent, self.frame, &format!("{prefix}{}", escape(key)), ":");
            self.value(value, indent + 4, "");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn show(value: Value, colours: bool, retcode: i32) -> String {
        let mut data = Map::new();
        data.insert("m1".to_owned(), value);
        render(&data, colours, retcode)
    }

    /// Cases 63 and 64 of the recorded runs of Salt 3008.5.
    #[test]
    fn as_salt() {
        assert_eq!(
            show(json!(["a", {"b": ["c", "d"]}, 3]), false, 0),
            "m1:\n    - a\n    |_\n      ----------\n      b:\n          - c\n          - d\n    - 3\n"
        );
        assert_eq!(
            show(json!({"k": null, "t": true, "f": 1.5, "e": "", "l": []}), false, 0),
            "m1:\n    ----------\n    e:\n    f:\n        1.5\n    k:\n        None\n    l:\n    t:\n        True\n"
        );
    }

    #[test]
    fn colours() {
        let (cyan, yellow, green, red, end) =
            ("\u{1b}[0;36m", "\u{1b}[0;1;33m", "\u{1b}[0;32m", "\u{1b}[0;31m", "\u{1b}[0;0m");
        assert_eq!(
            show(json!({"t": true, "s": ["x"]}), true, 0),
            format!(
                "{cyan}m1{end}:\n    {cyan}----------{end}\n    {cyan}s{end}:\n        {green}- x{end}\n    \
                 {cyan}t{end}:\n        {yellow}True{end}\n"
            )
        );
        assert_eq!(show(json!("no"), true, 1), format!("{red}m1{end}:\n    {green}no{end}\n"));
    }

    #[test]
    fn lines_and_lists_of_lists() {
        assert_eq!(show(json!("a\n\tb\r\nc\u{1b}\n\n"), false, 0), "m1:\n    a\n    \tb\n    c\\u{1b}\n");
        assert_eq!(show(json!(["a\nb"]), false, 0), "m1:\n    - a\n      b\n");
        assert_eq!(show(json!([["a", "b"]]), false, 0), "m1:\n    |_\n      - a\n      - b\n");
        assert_eq!(show(json!({}), false, 0), "m1:\n    ----------\n");
    }
}
