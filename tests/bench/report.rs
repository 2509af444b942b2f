//! The table for people and the list for programs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::row::{Row, shown};

/// Writes the list of rows.
///
/// # Errors
/// The file cannot be written; one sentence.
pub fn write(path: &Path, rows: &[Row]) -> Result<(), String> {
    let list: Vec<Value> = rows.iter().map(Row::to_json).collect();
    let text = serde_json::to_string_pretty(&list).expect("rows are plain data");
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(path, text + "\n"))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// What the names of rows about Salt begin with; the rest is the name of what is beside them.
const SALT: &str = "salt_";

/// The table, with a column for Salt where it was measured.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let salt: BTreeMap<&str, f64> =
        rows.iter().filter_map(|row| Some((row.measure.name.strip_prefix(SALT)?, row.value))).collect();
    let mut heads = vec!["what", "value", "unit", "spread", "limit", "ratio", "target", "met", "n"];
    if !salt.is_empty() {
        heads.push("Salt");
    }
    heads.push("the limit is");
    let mut lines: Vec<Vec<String>> = vec![heads.into_iter().map(str::to_owned).collect()];
    for row in rows.iter().filter(|row| !row.measure.name.starts_with(SALT)) {
        let limit = row.limit.as_ref();
        let mut cells = vec![
            row.measure.name.to_owned(),
            shown(row.value),
            row.measure.unit.to_owned(),
            row.shown_spread(),
            limit.map_or(String::new(), |limit| shown(limit.value)),
            row.ratio().map_or(String::new(), |ratio| format!("{ratio:.2}")),
            row.target(),
            row.verdict(),
            row.n.to_string(),
        ];
        if !salt.is_empty() {
            cells.push(salt.get(row.measure.name).map_or(String::new(), |value| shown(*value)));
        }
        cells.push(limit.map_or(String::new(), |limit| limit.name.clone()));
        lines.push(cells);
    }
    aligned(&lines)
}

/// Numbers to the right; names, units and the last column to the left.
fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let cells: Vec<String> = line
            .iter()
            .enumerate()
            .map(|(at, cell)| match at {
                0 | 2 | 7 => format!("{cell:<width$}", width = widths[at]),
                at if at + 1 == columns => cell.clone(),
                at => format!("{cell:>width$}", width = widths[at]),
            })
            .collect();
        text += cells.join("  ").trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::find;
    use crate::row::Limit;

    #[test]
    fn a_table_says_what_is_missed_and_by_how_much() {
        let limit = Limit::of(3.0, "a process that does nothing");
        let rows = [
            Row {
                measure: find("cli_one_ms").unwrap(),
                value: 12.0,
                limit,
                spread: Some((9.0, 12.5)),
                n: 15,
            },
            Row { measure: find("cli_ten_ms").unwrap(), value: 4.0, limit: None, spread: None, n: 15 },
            Row { measure: find("salt_cli_one_ms").unwrap(), value: 1100.0, limit: None, spread: None, n: 5 },
        ];
        let text = table(&rows);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        let expected = "cli_one_ms 12.00 ms 9.00..12.50 3.00 4.00 <= 10.00 NO, 1.20x 15 1100";
        assert_eq!(lines[1][..12].join(" "), expected);
        assert!(text.lines().nth(1).unwrap().ends_with("a process that does nothing"), "{text}");
        assert_eq!(lines[2], ["cli_ten_ms", "4.00", "ms", "15"]);
        assert_eq!(lines.len(), 3, "Salt is a column, not a line");
        assert!(!table(&rows[..2]).contains("Salt"));
    }
}
