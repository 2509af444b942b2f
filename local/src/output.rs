//! How values are shown: Salt's outputters, and where they go.
//!
//! Pure apart from [`screen`]: a value and a [`Style`] in, text out. **Invariant:** no control character, direction
//! override or invisible character that a minion sent comes out as itself; newlines and tabs of
//! values do, where the form allows.

mod colour;
mod grid;
mod json;
mod nested;
mod plain;
mod pprint;
mod python;
pub mod scalar;
pub mod screen;
pub mod table;
mod yaml;

use std::io::IsTerminal;
use std::str::FromStr;

use serde_json::{Map, Value};

pub use crate::text::escape;
pub use colour::Colour;

/// The outputters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Salt's indented form, for people.
    #[default]
    Nested,
    /// JSON.
    Json,
    /// YAML in block style.
    Yaml,
    /// One `id: line` per line of output.
    Txt,
    /// As Python writes it.
    Raw,
    /// As Python's `pprint` lays it out.
    Pprint,
    /// The values alone, one a line.
    ValuesOnly,
    /// Rows and columns.
    Table,
    /// Who is in it, and texts.
    NoReturn,
    /// Nothing.
    Quiet,
}

/// The outputters by name.
pub const FORMATS: [(&str, Format); 10] = [
    ("nested", Format::Nested),
    ("json", Format::Json),
    ("yaml", Format::Yaml),
    ("txt", Format::Txt),
    ("raw", Format::Raw),
    ("pprint", Format::Pprint),
    ("newline_values_only", Format::ValuesOnly),
    ("table", Format::Table),
    ("no_return", Format::NoReturn),
    ("quiet", Format::Quiet),
];

/// A name that is no outputter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no outputter {0:?}; there are {known}", known = FORMATS.map(|(name, _)| name).join(", "))]
pub struct FormatError(String);

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(name: &str) -> Result<Self, FormatError> {
        FORMATS
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, format)| *format)
            .ok_or_else(|| FormatError(name.to_owned()))
    }
}

impl Format {
    /// Whether programs read this form: then prompts, notes and missing minions stay off it.
    #[must_use]
    pub fn is_for_programs(self) -> bool {
        match self {
            Format::Json
            | Format::Yaml
            | Format::Raw
            | Format::Pprint
            | Format::ValuesOnly
            | Format::Quiet => true,
            Format::Nested | Format::Txt | Format::Table | Format::NoReturn => false,
        }
    }
}

/// How to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    /// The outputter.
    pub format: Format,
    /// Spaces per level of JSON; negative for one line. Salt's default is 4.
    pub indent: Option<i32>,
    /// Whether to colour.
    pub colours: bool,
}

/// Whether to colour what goes to stdout: as asked, else on a terminal unless `NO_COLOR` is set.
#[must_use]
pub fn wants_colours(no_color: bool, force_color: bool) -> bool {
    if no_color || force_color {
        return force_color && !no_color;
    }
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && std::io::stdout().is_terminal()
}

/// Shows a map, such as {id: return}. `retcode` other than 0 turns what `nested` colours to red.
#[must_use]
pub fn render(data: &Map<String, Value>, style: &Style, retcode: i32) -> String {
    match style.format {
        Format::Nested => nested::render(data, style.colours, retcode),
        Format::Json => json::render(data, style.indent.unwrap_or(4)),
        Format::Yaml => yaml::render(data),
        Format::Txt => plain::txt(data),
        Format::Raw => python::repr_map(data) + "\n",
        Format::Pprint => pprint::render(&Value::Object(data.clone())),
        Format::ValuesOnly => data.values().map(plain::values_only).collect(),
        Format::Table => grid::render(data),
        Format::NoReturn => plain::no_return(&Value::Object(data.clone()), style.colours),
        Format::Quiet => String::new(),
    }
}

/// Shows one minion's value under its id.
#[must_use]
pub fn render_one(id: &str, value: &Value, style: &Style, retcode: i32) -> String {
    let mut data = Map::new();
    data.insert(id.to_owned(), value.clone());
    render(&data, style, retcode)
}

/// Shows any value: a map as [`render`] does, anything else in the same form without keys.
#[must_use]
pub fn render_value(value: &Value, style: &Style) -> String {
    match (value, style.format) {
        (Value::Object(map), _) => render(map, style, 0),
        (_, Format::Json) => json::render(value, style.indent.unwrap_or(4)),
        (_, Format::Yaml) => yaml::render_value(value),
        (_, Format::Nested) => nested::render_value(value, style.colours),
        (_, Format::Txt) => escape_text(&python::text(value)) + "\n",
        (_, Format::Raw) => python::repr(value) + "\n",
        (_, Format::Pprint) => pprint::render(value),
        (_, Format::ValuesOnly) => plain::values_only(value),
        (_, Format::Table) => grid::render_value(value),
        (_, Format::NoReturn) => plain::no_return(value, style.colours),
        (_, Format::Quiet) => String::new(),
    }
}

/// The lines of a text as Python's `splitlines` gives them: `\n`, `\r\n` or `\r` ends a line, and
/// no empty line follows the last one.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some(end) = rest.find(['\n', '\r']) else {
            return Some(std::mem::take(&mut rest));
        };
        let line = &rest[..end];
        let ending = if rest[end..].starts_with("\r\n") { 2 } else { 1 };
        rest = &rest[end + ending..];
        Some(line)
    })
}

/// [`escape`], but a tab stays a tab.
pub(crate) fn escape_text(line: &str) -> String {
    if line.bytes().all(|b| matches!(b, b' '..=b'~' | b'\t')) {
        return line.to_owned();
    }
    let parts: Vec<String> = line.split('\t').map(escape).collect();
    parts.join("\t")
}

/// Whether a character is shown as itself.
pub(crate) fn is_safe(c: char) -> bool {
    matches!(c, ' '..='~') || (!c.is_control() && escape(c.encode_utf8(&mut [0; 4])).chars().eq([c]))
}

#[cfg(test)]
pub(crate) mod testing;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn check(format: &str, value: &Value, expected: &str) {
        let style = Style { format: format.parse().expect("a known format"), ..Style::default() };
        assert_eq!(render_one("m1", value, &style, 0), expected, "{format} of {value}");
    }

    /// What Salt 3008.5 printed.
    #[test]
    fn as_salt_shows_them() {
        check("nested", &json!(true), "m1:\n    True\n");
        check("json", &json!(true), "{\n    \"m1\": true\n}\n");
        check("txt", &json!(true), "m1: True\n");
        check("raw", &json!(true), "{'m1': True}\n");
        check("yaml", &json!(true), "m1: true\n");
        check("quiet", &json!(true), "");
        check("pprint", &json!(true), "{'m1': True}\n");
        check("no_return", &json!(true), "m1:\n");
        check("newline_values_only", &json!(["a", 1]), "a\n1\n");
        check("table", &json!(true), "NAME  VALUE\nm1    True\n");
        check("nested", &json!(""), "m1:\n");
        check("json", &json!([]), "{\n    \"m1\": []\n}\n");
        check("json", &json!("a\nb"), "{\n    \"m1\": \"a\\nb\"\n}\n");
    }

    #[test]
    fn text_form() {
        check("txt", &json!("a\nb\r\nc"), "m1: a\nm1: b\nm1: c\n");
        check("txt", &json!(["pre1", "pre2"]), "m1: ['pre1', 'pre2']\n");
        check("txt", &json!("\u{1b}[2Jx\ty"), "m1: \\u{1b}[2Jx\ty\n");
        check("txt", &json!(""), "");
    }

    #[test]
    fn unknown_names_are_refused() {
        assert_eq!(
            "nosuch".parse::<Format>().map_err(|e| e.to_string()),
            Err("there is no outputter \"nosuch\"; there are nested, json, yaml, txt, raw, pprint, \
                 newline_values_only, table, no_return, quiet"
                .to_owned())
        );
    }

    proptest! {
        #[test]
        fn no_value_reaches_the_terminal(value in testing::any_value()) {
            for (name, format) in FORMATS {
                let style = Style { format, ..Style::default() };
                for out in [render_one("m1", &value, &style, 1), render_value(&value, &style)] {
                    let bad = out.chars().find(|c| !is_safe(*c) && !matches!(c, '\n' | '\t'));
                    prop_assert_eq!(bad, None, "{}: {}", name, out);
                }
            }
        }
    }

    #[test]
    fn nothing_hostile_passes_any_form() {
        let hostile = "\u{1b}]0;x\u{7}\u{9b}31m\u{202e}\u{2028}\u{200b}\u{7f}\r\u{0}";
        let value = json!({hostile: [hostile, {"k": hostile}], "s": hostile});
        for (name, format) in FORMATS {
            let out = render_one("m1", &value, &Style { format, ..Style::default() }, 0);
            let bad = out.chars().find(|c| !is_safe(*c) && *c != '\n');
            assert_eq!(bad, None, "{name}: {out}");
        }
    }
}
