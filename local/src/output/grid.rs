//! The outputter `table`: one row per thing, one column per field.
//!
//! A list of maps has a row per item, a map of maps one per entry with its name in front; what is no
//! table has its text in the column VALUE, a row per line. All minions of a document share the columns.
//! **Invariant:** a foreign value makes at most [`COLUMNS_MAX`] columns.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{lines, python, table};

/// No screen holds more, and a row has a cell for each.
const COLUMNS_MAX: usize = 48;

/// A map with more entries is a list of them and no row: packages, grains.
const ROW_MAX: usize = 12;

const NAME: &str = "NAME";
const KEY: &str = "KEY";
const VALUE: &str = "VALUE";

/// Named values, such as {id: return}.
pub(super) fn render(data: &Map<String, Value>) -> String {
    let mut grid = Grid::default();
    for (name, value) in data {
        grid.add(&[(NAME, name)], value);
    }
    grid.finish()
}

/// One value.
pub(super) fn render_value(value: &Value) -> String {
    let mut grid = Grid::default();
    grid.add(&[], value);
    grid.finish()
}

/// Cells by column. Names of entries have columns of their own, which no field can get into.
#[derive(Default)]
struct Grid {
    labels: Vec<&'static str>,
    fields: Vec<String>,
    rows: Vec<Row>,
}

struct Row {
    labels: Vec<(&'static str, String)>,
    fields: Vec<(String, String)>,
}

impl Grid {
    fn add(&mut self, labels: &[(&'static str, &str)], value: &Value) {
        match value {
            Value::Array(items) if !items.is_empty() => {
                let is_table = self.has_room_for(items.iter().filter_map(Value::as_object));
                for item in items {
                    match item {
                        Value::Object(fields) if is_table => self.record(labels, fields),
                        other => self.text(labels, other),
                    }
                }
            }
            Value::Object(map) if !map.is_empty() && map.values().all(Value::is_object) => {
                let is_table = self.has_room_for(map.values().filter_map(Value::as_object));
                for (key, value) in map {
                    let labels: Vec<_> = labels.iter().copied().chain([(KEY, key.as_str())]).collect();
                    let fields = value.as_object().filter(|fields| is_table && !fields.is_empty());
                    match fields {
                        Some(fields) => self.record(&labels, fields),
                        None => self.text(&labels, value),
                    }
                }
            }
            Value::Object(map) if !map.is_empty() => {
                if map.len() <= ROW_MAX && self.has_room_for(std::iter::once(map)) {
                    return self.record(labels, map);
                }
                for (key, value) in map {
                    let labels: Vec<_> = labels.iter().copied().chain([(KEY, key.as_str())]).collect();
                    self.text(&labels, value);
                }
            }
            other => self.text(labels, other),
        }
    }

    /// Whether the columns of these rows fit beside those that are there.
    fn has_room_for<'a>(&self, mut rows: impl Iterator<Item = &'a Map<String, Value>>) -> bool {
        let mut columns: BTreeSet<&str> = self.fields.iter().map(String::as_str).collect();
        rows.all(|row| {
            columns.extend(row.keys().take(COLUMNS_MAX + 1).map(String::as_str));
            columns.len() < COLUMNS_MAX
        })
    }

    fn record(&mut self, labels: &[(&'static str, &str)], fields: &Map<String, Value>) {
        let fields = fields.iter().map(|(name, value)| (name.clone(), python::text(value))).collect();
        self.row(labels, fields);
    }

    fn text(&mut self, labels: &[(&'static str, &str)], value: &Value) {
        let text = python::text(value);
        let mut lines = lines(&text).peekable();
        if lines.peek().is_none() {
            self.row(labels, vec![(VALUE.to_owned(), String::new())]);
        }
        for line in lines {
            self.row(labels, vec![(VALUE.to_owned(), line.to_owned())]);
        }
    }

    fn row(&mut self, labels: &[(&'static str, &str)], fields: Vec<(String, String)>) {
        for (label, _) in labels {
            if !self.labels.contains(label) {
                self.labels.push(label);
            }
        }
        for (name, _) in &fields {
            if !self.fields.contains(name) {
                self.fields.push(name.clone());
            }
        }
        let labels = labels.iter().map(|(label, text)| (*label, (*text).to_owned())).collect();
        self.rows.push(Row { labels, fields });
    }

    fn finish(self) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let headings: Vec<String> =
            self.labels.iter().map(|label| (*label).to_owned()).chain(self.fields.iter().cloned()).collect();
        let rows: Vec<Vec<String>> = self
            .rows
            .iter()
            .map(|row| {
                let label =
                    |name: &&str| row.labels.iter().find(|(known, _)| known == name).map(|(_, text)| text);
                let field =
                    |name: &String| row.fields.iter().find(|(known, _)| known == name).map(|(_, text)| text);
                let labels = self.labels.iter().map(label);
                labels
                    .chain(self.fields.iter().map(field))
                    .map(|cell| cell.cloned().unwrap_or_default())
                    .collect()
            })
            .collect();
        let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
        table::table(&headings, &rows)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(value: Value, expected: &str) {
        let Value::Object(data) = value else { panic!("named values") };
        assert_eq!(render(&data), expected);
    }

    #[test]
    fn maps_of_maps_have_their_key_in_front() {
        check(
            json!({
                "m1": {"/": {"used": "10", "capacity": "5%"}, "/var": {"used": "7", "free": 3}},
                "m2": {"/": {"used": "1"}},
            }),
            "NAME  KEY   used  capacity  free\n\
             m1    /     10    5%\n\
             m1    /var  7               3\n\
             m2    /     1\n",
        );
    }

    #[test]
    fn lists_of_maps_and_maps_of_scalars_are_rows() {
        check(
            json!({"m1": [{"pid": 1, "name": "init"}, {"pid": 2, "args": ["a", null]}]}),
            "NAME  pid  name  args\nm1    1    init\nm1    2          ['a', None]\n",
        );
        check(json!({"m1": {"one": 0.5, "NAME": "x"}}), "NAME  one  NAME\nm1    0.5  x\n");
        assert_eq!(render_value(&json!([{"id": "m1"}, {"id": "m2"}])), "id\nm1\nm2\n");
    }

    /// What a minion sends decides about no more columns than a screen could have.
    #[test]
    fn long_maps_are_lists() {
        let many = |n: usize| Value::Object((0..n).map(|i| (format!("p{i:03}"), json!("1"))).collect());
        let list = render_value(&many(13));
        assert!(list.starts_with("KEY   VALUE\np000  1\n"), "{list}");
        assert!(render_value(&many(12)).starts_with("p000  p001"));
        let wide = render_value(&json!([many(300)]));
        assert!(wide.starts_with("VALUE\n{'p000': '1', "), "{wide}");
        let wide = render_value(&json!({"a": many(300)}));
        assert!(wide.starts_with("KEY  VALUE\na    {'p000'"), "{wide}");
    }

    #[test]
    fn what_is_no_table_is_its_text() {
        check(
            json!({"m1": "two\nlines\u{1b}", "m2": true, "m3": ["a", "b"], "m4": "", "m5": []}),
            "NAME  VALUE\nm1    two\nm1    lines\\u{1b}\nm2    True\nm3    a\nm3    b\nm4\nm5    []\n",
        );
        check(json!({}), "");
    }
}
