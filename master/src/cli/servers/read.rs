//! Records in a file: CSV, JSON or JSON lines, each with the line where it begins. Pure.
//!
//! **Invariant:** a record that makes no sense spoils itself and no other; only a file that cannot
//! be taken apart at all is refused as a whole.

use std::collections::BTreeSet;

use brine_protocol::MinionId;
use brine_protocol::server::ServerRecord;
use csv::{ByteRecord, ReaderBuilder, Trim};
use serde::de::IgnoredAny;
use serde_json::Deserializer;

use crate::cli::options::servers::Form;

/// More records than any register of servers has; they reach the ledger in one piece.
pub(super) const RECORDS_MAX: usize = 100_000;

/// Columns that are no label.
const COLUMNS: [&str; 6] = ["name", "model", "zone", "site", "minion_id", "external_id"];

/// One record, or what is wrong with it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) line: usize,
    pub(super) record: Result<ServerRecord, String>,
}

/// Takes a file apart.
pub(super) fn read(bytes: &[u8], form: Form) -> Result<Vec<Entry>, String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut entries = match form {
        Form::Csv => table(bytes)?,
        Form::Json => array(bytes)?,
        Form::Jsonl => lines(bytes)?,
    };
    for entry in &mut entries {
        let fault = entry.record.as_ref().ok().and_then(|record| record.check().err());
        if let Some(fault) = fault {
            entry.record = Err(fault.to_string());
        }
    }
    Ok(entries)
}

fn add(entries: &mut Vec<Entry>, line: usize, record: Result<ServerRecord, String>) -> Result<(), String> {
    if entries.len() == RECORDS_MAX {
        return Err(format!("line {line}: more than {RECORDS_MAX} records; import them in several files"));
    }
    entries.push(Entry { line, record });
    Ok(())
}

/// Lines are counted from offset to offset, once through the file.
struct Place<'a> {
    bytes: &'a [u8],
    offset: usize,
    line: usize,
}

impl<'a> Place<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0, line: 1 }
    }

    /// The line of a place that is not before the last one.
    fn line_of(&mut self, offset: usize) -> usize {
        self.line += self.bytes[self.offset..offset].iter().filter(|byte| **byte == b'\n').count();
        self.offset = offset;
        self.line
    }
}

/// The end of what is blank from here on.
fn skip(bytes: &[u8], offset: usize) -> usize {
    let blank = bytes[offset..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    offset + blank
}

fn table(bytes: &[u8]) -> Result<Vec<Entry>, String> {
    let mut reader =
        ReaderBuilder::new().delimiter(delimiter(bytes)).flexible(true).trim(Trim::All).from_reader(bytes);
    let unread = |error: csv::Error| format!("it is no CSV: {error}");
    let columns = columns(reader.byte_headers().map_err(unread)?)?;
    let (mut place, mut entries, mut row) = (Place::new(bytes), Vec::new(), ByteRecord::new());
    while reader.read_byte_record(&mut row).map_err(unread)? {
        if row.iter().all(<[u8]>::is_empty) {
            continue;
        }
        let begin = row.position().map_or(0, csv::Position::byte);
        let line = place.line_of(skip(bytes, usize::try_from(begin).unwrap_or(bytes.len()).min(bytes.len())));
        add(&mut entries, line, cells(&columns, &row))?;
    }
    Ok(entries)
}

/// What stands between the names of columns, none of which has any of these in it.
fn delimiter(bytes: &[u8]) -> u8 {
    let heading = bytes.trim_ascii_start().split(|byte| *byte == b'\n').next().unwrap_or_default();
    heading.iter().copied().find(|byte| b",;\t".contains(byte)).unwrap_or(b',')
}

fn columns(heading: &ByteRecord) -> Result<Vec<String>, String> {
    let (mut columns, mut known) = (Vec::new(), BTreeSet::new());
    for name in heading {
        let name = String::from_utf8_lossy(name).into_owned();
        let is_label = name.strip_prefix("label.").is_some_and(|label| !label.is_empty());
        if !COLUMNS.contains(&name.as_str()) && !is_label {
            return Err(format!(
                "line 1: there is no column {name:?}; there are {} and label.NAME",
                COLUMNS.join(", ")
            ));
        }
        if !known.insert(name.clone()) {
            return Err(format!("line 1: the column {name:?} is there twice"));
        }
        columns.push(name);
    }
    for needed in ["name", "model"] {
        if !known.contains(needed) {
            return Err(format!("line 1: the column {needed:?} is missing"));
        }
    }
    Ok(columns)
}

fn cells(columns: &[String], row: &ByteRecord) -> Result<ServerRecord, String> {
    if row.len() != columns.len() {
        return Err(format!("it has {} cells, and the heading {} columns", row.len(), columns.len()));
    }
    let mut record = ServerRecord {
        name: String::new(),
        model: String::new(),
        zone: None,
        site: None,
        labels: Default::default(),
        minion_id: None,
        external_id: None,
    };
    for (column, cell) in columns.iter().zip(row) {
        let cell = str::from_utf8(cell).map_err(|_| format!("the column {column:?} is not UTF-8"))?;
        if cell.is_empty() {
            continue;
        }
        let text = cell.to_owned();
        match column.as_str() {
            "name" => record.name = text,
            "model" => record.model = text,
            "zone" => record.zone = Some(text),
            "site" => record.site = Some(text),
            "minion_id" => record.minion_id = Some(id(cell)?),
            "external_id" => record.external_id = Some(text),
            label => {
                let name = label.strip_prefix("label.").expect("other columns were refused");
                record.labels.insert(name.to_owned(), text);
            }
        }
    }
    Ok(record)
}

fn id(text: &str) -> Result<MinionId, String> {
    text.parse().map_err(|error: brine_protocol::id::IdError| error.to_string())
}

/// Taken apart by hand: only so is it known where an object begins, and one that is no record does
/// not spoil those behind it.
fn array(bytes: &[u8]) -> Result<Vec<Entry>, String> {
    let mut place = Place::new(bytes);
    let mut at = skip(bytes, 0);
    let (mut entries, mut expected) = (Vec::new(), b'[');
    loop {
        let line = place.line_of(at);
        match bytes.get(at) {
            Some(b']') if expected != b'[' => break,
            Some(byte) if *byte == expected => {}
            _ if expected == b'[' => {
                return Err(format!(
                    "line {line}: a JSON file is an array of objects; for one object a line say --format jsonl"
                ));
            }
            _ => return Err(format!("line {line}: the array goes on with a comma or ends with ]")),
        }
        at = skip(bytes, at + 1);
        let line = place.line_of(at);
        if expected == b'[' && bytes.get(at) == Some(&b']') {
            break;
        }
        let mut values = Deserializer::from_slice(&bytes[at..]).into_iter::<IgnoredAny>();
        match values.next() {
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                return Err(format!("line {}: {}", line + error.line().saturating_sub(1), plain(&error)));
            }
            None => return Err(format!("line {line}: the array has no end")),
        }
        let end = at + values.byte_offset();
        object(&mut entries, line, &bytes[at..end])?;
        at = skip(bytes, end);
        expected = b',';
    }
    let rest = skip(bytes, at + 1);
    if rest == bytes.len() {
        return Ok(entries);
    }
    Err(format!("line {}: there is something behind the end of the array", place.line_of(rest)))
}

fn lines(bytes: &[u8]) -> Result<Vec<Entry>, String> {
    let mut entries = Vec::new();
    for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if !line.trim_ascii().is_empty() {
            object(&mut entries, at + 1, line)?;
        }
    }
    Ok(entries)
}

/// A fault in an object of several lines is told at its own line.
fn object(entries: &mut Vec<Entry>, line: usize, bytes: &[u8]) -> Result<(), String> {
    match serde_json::from_slice(bytes) {
        Ok(record) => add(entries, line, Ok(record)),
        Err(error) => add(entries, line + error.line().saturating_sub(1), Err(plain(&error))),
    }
}

/// Without the place, which is counted from the object's own beginning.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(plain, _)| plain.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines with the names of their records, or with faults.
    fn told(text: &[u8], form: Form) -> Vec<String> {
        match read(text, form) {
            Ok(entries) => entries
                .into_iter()
                .map(|entry| match entry.record {
                    Ok(record) => format!("{} {}", entry.line, record.name),
                    Err(fault) => format!("{}! {fault}", entry.line),
                })
                .collect(),
            Err(fault) => vec![fault],
        }
    }

    fn first(text: &str, form: Form) -> ServerRecord {
        read(text.as_bytes(), form).expect("a file").remove(0).record.expect("a record")
    }

    #[test]
    fn csv_names_its_columns() {
        let record = first(
            "\u{feff}name;model;label.role;zone;minion_id\r\n\"Collège; Éluard\"; scribe ;files;;eluard\r\n",
            Form::Csv,
        );
        assert_eq!((record.name.as_str(), record.model.as_str()), ("Collège; Éluard", "scribe"));
        assert_eq!((record.zone, record.minion_id.map(String::from)), (None, Some("eluard".to_owned())));
        assert_eq!(record.labels, [("role".to_owned(), "files".to_owned())].into());
        assert_eq!(first("model\tname\nm\ta", Form::Csv).name, "a");
    }

    #[test]
    fn faults_of_csv_have_their_lines() {
        let text =
            b"name,model,minion_id\n\na,m,\n\n  \nb,,\n\"c\nd\",m,\ne,m\nf,m,x/y\ng\xff,m,\n,,\nh,m,h1\n";
        assert_eq!(
            told(text, Form::Csv),
            [
                "3 a",
                "6! the model is empty",
                "7! the name has a control character in it",
                "9! it has 2 cells, and the heading 3 columns",
                "10! a minion id is made of letters, digits, '.', '_' and '-'; '/' is none of them",
                "11! the column \"name\" is not UTF-8",
                "13 h",
            ]
        );
        for (text, fault) in [
            ("name,colour\n", "line 1: there is no column \"colour\"; there are name, model, zone"),
            ("name,model,name\n", "line 1: the column \"name\" is there twice"),
            ("name,zone\n", "line 1: the column \"model\" is missing"),
            ("name,model,label.\n", "line 1: there is no column \"label.\""),
            ("", "line 1: the column \"name\" is missing"),
        ] {
            let told = told(text.as_bytes(), Form::Csv);
            assert!(told[0].starts_with(fault), "{told:?}");
        }
    }

    #[test]
    fn faults_of_json_have_their_lines() {
        let text = br#"
[
  {"name": "a", "model": "m", "labels": {"role": "files"}}, {"name": "b", "model": "m"},
  {
    "name": "c",
    "colour": "red"
  },
  7,
  {"name": "d"},
  {"name": "e", "model": "m", "minion_id": "x/y"},

  {"name": "", "model": "m"}
]
"#;
        let told_json = told(text, Form::Json);
        assert_eq!(told_json[..2], ["3 a", "3 b"]);
        for (at, fault) in [
            (2, "6! unknown field `colour`"),
            (3, "8! invalid type: integer `7`"),
            (4, "9! missing field `model`"),
            (5, "10! a minion id is made of"),
            (6, "12! the name is empty"),
        ] {
            assert!(told_json[at].starts_with(fault), "{told_json:?}");
            assert!(!told_json[at].contains("column"), "{told_json:?}");
        }
        assert_eq!(told(b" [ ] ", Form::Json), Vec::<String>::new());
        for (text, fault) in [
            ("", "line 1: a JSON file is an array of objects"),
            ("\n{\"name\": \"a\"}", "line 2: a JSON file is an array of objects"),
            ("[{\"name\":\n \"a\" \"b\"}]", "line 2: expected"),
            ("[1\n2]", "line 2: the array goes on with a comma"),
            ("[1,]", "line 1: expected value"),
            ("[1,\n", "line 2: the array has no end"),
            ("[1", "line 1: the array goes on with a comma"),
            ("[\n]\n[]", "line 3: there is something behind"),
        ] {
            let told = told(text.as_bytes(), Form::Json);
            assert!(told[0].starts_with(fault), "{text:?}: {told:?}");
        }
    }

    #[test]
    fn json_lines_stand_alone() {
        let text =
            b"{\"name\": \"a\", \"model\": \"m\"}\r\n\n{\"name\": \n{\"name\": \"c\", \"model\": \"m\"}";
        let told = told(text, Form::Jsonl);
        assert_eq!((told[0].as_str(), told[2].as_str()), ("1 a", "4 c"));
        assert!(told[1].starts_with("3! EOF"), "{told:?}");
    }

    #[test]
    fn a_heading_without_end_takes_no_time_without_end() {
        let heading: Vec<String> = (0..100_000).map(|n| format!("label.{n}")).collect();
        let text = format!("name,model,{}\na,m\n", heading.join(","));
        let begin = std::time::Instant::now();
        assert_eq!(told(text.as_bytes(), Form::Csv), ["2! it has 2 cells, and the heading 100002 columns"]);
        // Each name compared with all before it would take several times as long.
        assert!(begin.elapsed() < std::time::Duration::from_secs(10), "{:?}", begin.elapsed());
    }

    #[test]
    fn there_is_a_limit() {
        let mut text = "name,model\n".to_owned();
        text.push_str(&"a,m\n".repeat(RECORDS_MAX));
        assert_eq!(read(text.as_bytes(), Form::Csv).expect("so many").len(), RECORDS_MAX);
        text.push_str("a,m\n");
        assert!(
            read(text.as_bytes(), Form::Csv)
                .expect_err("one more")
                .starts_with("line 100002: more than 100000")
        );
    }
}
