//! What `file.find` looks for, and what it does with it.

use std::cmp::Ordering;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use nix::unistd::{Group, User};
use regex::bytes::Regex;
use serde_json::{Map, Value, json};

use super::super::super::hashutil::Algorithm;
use super::super::super::{Fault, text_of};
use super::super::blocking::Stop;
use super::super::bytes::kind;
use super::super::digest::of_open;
use super::super::look::{group, owner};
use super::super::path::text;
use super::super::pattern::{Flags, compile};
use super::super::read::scan;
use super::{Seen, name};

/// A match that is longer than this may be missed where two pieces of a file meet.
const OVERLAP: usize = 64 * 1024;

/// The options, read once.
pub(super) struct Options {
    pub(super) mindepth: u64,
    pub(super) maxdepth: Option<u64>,
    is_test: bool,
    criteria: Vec<Criterion>,
    actions: Vec<Action>,
}

enum Criterion {
    Name(Regex),
    Kind(String),
    Owner(Vec<u32>),
    Group(Vec<u32>),
    Size(u64, u64),
    /// Changed at this time or later, in seconds since 1970.
    Younger(f64),
    Older(f64),
    Contents(Regex),
}

enum Action {
    Print(Vec<String>),
    Delete(String),
}

/// The letters of kinds, in the order of `find`.
const KINDS: [(&str, char); 7] = [
    ("block", 'b'),
    ("char", 'c'),
    ("dir", 'd'),
    ("pipe", 'p'),
    ("file", 'f'),
    ("link", 'l'),
    ("socket", 's'),
];

fn letter(found: &Metadata) -> char {
    let kind = kind(found.file_type());
    KINDS.iter().find(|(name, _)| *name == kind).map_or('?', |(_, letter)| *letter)
}

impl Options {
    /// # Errors
    /// What is wrong, in Salt's words.
    pub(super) fn read(rest: &[String], given: &Map<String, Value>, now: i64) -> Result<Self, String> {
        let mut options =
            Self { mindepth: 0, maxdepth: None, is_test: false, criteria: Vec::new(), actions: Vec::new() };
        let mut given = given.clone();
        for word in rest {
            match word.as_str() {
                "delete" => drop(given.insert("delete".to_owned(), json!("f"))),
                "print" => drop(given.insert("print".to_owned(), json!("path"))),
                other => return Err(format!("invalid option \"{other}\"")),
            }
        }
        for (key, value) in &given {
            let text = match value {
                Value::Array(list) => list.iter().map(text_of).collect::<Vec<_>>().join(","),
                Value::Null => String::new(),
                value => text_of(value),
            };
            let number =
                || text.trim().parse::<u64>().map_err(|_| format!("\"{key}\" needs a number, not {text:?}"));
            match key.as_str() {
                "mindepth" => options.mindepth = number()?,
                "maxdepth" => options.maxdepth = Some(number()?),
                "test" => options.is_test = *value == Value::Bool(true),
                key if text.is_empty() => return Err(format!("missing value for \"{key}\" option")),
                "print" => options.actions.push(Action::Print(printed(&text)?)),
                "delete" => {
                    let kinds = if text.contains('a') { "bcdpfls".to_owned() } else { kinds(&text)? };
                    options.actions.push(Action::Delete(kinds));
                }
                "exec" => return Err("\"exec\" is not supported; run cmd.run on what is found".to_owned()),
                key => options.criteria.push(Criterion::read(key, &text, now)?),
            }
        }
        if options.actions.is_empty() {
            options.actions.push(Action::Print(vec!["path".to_owned()]));
        }
        // What needs the contents comes last.
        options.criteria.sort_by_key(|criterion| matches!(criterion, Criterion::Contents(_)));
        Ok(options)
    }

    pub(super) fn deletes(&self) -> bool {
        self.actions.iter().any(|action| matches!(action, Action::Delete(_)))
    }

    /// Whether all criteria hold for the file.
    pub(super) fn hold(&self, found: &Seen<'_>, stop: &Stop) -> Result<bool, Fault> {
        let (path, own, seen) = (&found.entry.path, &found.own, found.seen());
        for criterion in &self.criteria {
            let holds = match criterion {
                Criterion::Name(regex) => regex.is_match(name(path).as_bytes()),
                Criterion::Kind(kinds) => kinds.contains([letter(seen), letter(own)]),
                Criterion::Owner(uids) => uids.contains(&seen.uid()),
                Criterion::Group(gids) => gids.contains(&seen.gid()),
                Criterion::Size(min, max) => (*min..=*max).contains(&seen.size()),
                Criterion::Younger(than) => seen.mtime() as f64 >= *than,
                Criterion::Older(than) => seen.mtime() as f64 <= *than,
                Criterion::Contents(regex) => {
                    stop.check()?;
                    // What may not be read does not match, as it would stop the whole search.
                    found.contents().is_ok_and(|file| {
                        scan(file, path, OVERLAP, stop, |piece| regex.is_match(piece)).unwrap_or(false)
                    })
                }
            };
            if !holds {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Does what is to be done with a file that was found.
    pub(super) fn act(&self, found: &Seen<'_>, stop: &Stop) -> Vec<Value> {
        let (path, own) = (&found.entry.path, &found.own);
        let act = |action: &Action| match action {
            Action::Print(fields) => {
                let mut values: Vec<Value> = fields.iter().map(|field| shown(field, found, stop)).collect();
                Some(if values.len() == 1 { values.remove(0) } else { Value::Array(values) })
            }
            Action::Delete(kinds) if !kinds.contains(letter(own)) => None,
            Action::Delete(_) if self.is_test => Some(json!(text(path))),
            // As in Salt, only what is gone is told.
            Action::Delete(_) => found.remove(stop).then(|| json!(text(path))),
        };
        self.actions.iter().filter_map(act).collect()
    }
}

fn shown(field: &str, found: &Seen<'_>, stop: &Stop) -> Value {
    let (path, seen) = (&found.entry.path, found.seen());
    match field {
        "path" => json!(text(path)),
        "name" => json!(name(path)),
        "size" => json!(seen.size()),
        "type" => json!(letter(seen).to_string()),
        "mode" => json!(seen.mode() & 0o777),
        "mtime" => json!(seen.mtime()),
        "user" => owner(seen.uid()),
        "group" => group(seen.gid()),
        _ => match found.contents().map(|file| of_open(file, path, Algorithm::Md5, stop)) {
            Ok(Ok(digest)) => Value::from(digest),
            _ => json!(""),
        },
    }
}

fn printed(text: &str) -> Result<Vec<String>, String> {
    const FIELDS: [&str; 9] = ["name", "path", "size", "type", "mode", "mtime", "user", "group", "md5"];
    let fields: Vec<String> = text.replace(',', " ").split_whitespace().map(str::to_owned).collect();
    match fields.iter().find(|field| !FIELDS.contains(&field.as_str())) {
        Some(other) => Err(format!("invalid print option \"{other}\"; there are {}", FIELDS.join(", "))),
        None if fields.is_empty() => Ok(vec!["path".to_owned()]),
        None => Ok(fields),
    }
}

fn kinds(text: &str) -> Result<String, String> {
    let letters: String = text.chars().filter(|c| *c != ',' && !c.is_whitespace()).collect();
    match letters.chars().find(|c| !KINDS.iter().any(|(_, letter)| letter == c)) {
        Some(other) => Err(format!("invalid file type \"{other}\"")),
        None => Ok(letters),
    }
}

impl Criterion {
    fn read(key: &str, text: &str, now: i64) -> Result<Self, String> {
        let ids = |by_name: &dyn Fn(&str) -> Option<u32>, what: &str| {
            let names = text.replace(',', " ");
            let ids: Result<Vec<u32>, String> = names
                .split_whitespace()
                .map(|name| {
                    let number = || name.parse().ok();
                    by_name(name).or_else(number).ok_or_else(|| format!("no such {what} \"{name}\""))
                })
                .collect();
            ids
        };
        Ok(match key {
            "name" => Self::Name(wildcards(text, false)?),
            "iname" => Self::Name(wildcards(text, true)?),
            "regex" => Self::Name(regex(&format!("^(?:{text})"), text, false)?),
            "iregex" => Self::Name(regex(&format!("^(?:{text})"), text, true)?),
            "type" => Self::Kind(kinds(text)?),
            "user" | "owner" => {
                Self::Owner(ids(&|name| Some(User::from_name(name).ok()??.uid.as_raw()), "user")?)
            }
            "group" => Self::Group(ids(&|name| Some(Group::from_name(name).ok()??.gid.as_raw()), "group")?),
            "size" => {
                let (min, max) = size(text).ok_or_else(|| format!("invalid size: \"{text}\""))?;
                Self::Size(min, max)
            }
            "mtime" => {
                let (age, is_younger) =
                    age(text).ok_or_else(|| format!("invalid time interval: '{text}'"))?;
                let than = now as f64 - age;
                if is_younger { Self::Younger(than) } else { Self::Older(than) }
            }
            "grep" => Self::Contents(regex(text, text, false)?),
            other => return Err(format!("invalid option \"{other}\"")),
        })
    }
}

fn regex(pattern: &str, shown: &str, ignore_case: bool) -> Result<Regex, String> {
    compile(pattern, Flags { ignore_case, ..Flags::default() })
        .map_err(|_| format!("invalid regular expression: \"{shown}\""))
}

/// Wildcards as Salt reads them: the rest is a regular expression, so that `[ab]` works.
fn wildcards(text: &str, ignore_case: bool) -> Result<Regex, String> {
    let pattern = text.replace('.', "\\.").replace('?', ".?").replace('*', ".*");
    compile(&format!("^(?:{pattern})$"), Flags { ignore_case, dot_all: true, ..Flags::default() })
        .map_err(|_| format!("invalid regular expression: \"{text}\""))
}

/// The smallest and the largest size, in bytes.
fn size(text: &str) -> Option<(u64, u64)> {
    let text = text.trim();
    let (sign, number) = match text.strip_prefix(['+', '-']) {
        Some(number) => (text.chars().next(), number),
        None => (None, text),
    };
    let shift = match number.chars().last()?.to_ascii_lowercase() {
        'b' => Some(0),
        'k' => Some(10),
        'm' => Some(20),
        'g' => Some(30),
        't' => Some(40),
        _ => None,
    };
    let unit = 1_u64 << shift.unwrap_or(0);
    let digits = if shift.is_some() { &number[..number.len() - 1] } else { number }.trim();
    let bytes = match digits.parse::<u64>() {
        Ok(number) => number.checked_mul(unit)?,
        Err(_) => {
            let number: f64 = digits.parse().ok()?;
            let bytes = number * unit as f64;
            // Beyond that not every whole number is one.
            if !(0.0..9e15).contains(&bytes) {
                return None;
            }
            bytes as u64
        }
    };
    Some(match sign {
        Some('-') => (0, bytes),
        Some(_) => (bytes, u64::MAX),
        None => (bytes, bytes.saturating_add(unit - 1)),
    })
}

/// Seconds, in whole units of the smallest that is named, and whether younger is asked for.
fn age(text: &str) -> Option<(f64, bool)> {
    let text = text.trim();
    let is_younger = text.starts_with('-');
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text).trim_start();
    let (mut seconds, mut smallest) = (0.0, None);
    for (unit, length) in [('w', 604_800.0), ('d', 86_400.0), ('h', 3600.0), ('m', 60.0), ('s', 1.0)] {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let behind = rest[end..].trim_start();
        if behind.chars().next().is_some_and(|c| c.eq_ignore_ascii_case(&unit)) {
            seconds += rest[..end].parse::<f64>().ok()? * length;
            smallest = Some(length);
            rest = behind[1..].trim_start();
        }
    }
    let smallest = smallest.filter(|_| rest.is_empty())?;
    Some(((seconds / smallest).floor() * smallest, is_younger))
}

/// Texts in their order, numbers in theirs, lists by their first difference.
pub(super) fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Array(a), Value::Array(b)) => {
            let first = a.iter().zip(b).map(|(a, b)| compare(a, b)).find(|order| order.is_ne());
            first.unwrap_or(a.len().cmp(&b.len()))
        }
        (Value::Number(a), Value::Number(b)) => {
            a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal)
        }
        // A user without a name is a number among texts.
        (Value::Number(_), _) => Ordering::Less,
        (_, Value::Number(_)) => Ordering::Greater,
        _ => Ordering::Equal,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_and_ages() {
        for (text, expected) in [
            ("10", Some((10, 10))),
            ("+1k", Some((1024, u64::MAX))),
            ("-2M", Some((0, 2 << 20))),
            ("1k", Some((1024, 2047))),
            ("1.5k", Some((1536, 2559))),
            (" 3 b ", Some((3, 3))),
            ("k", None),
            ("", None),
            ("1x", None),
            ("+", None),
            ("99999999999t", None),
            ("1e300k", None),
        ] {
            assert_eq!(size(text), expected, "{text}");
        }
        for (text, expected) in [
            ("1d", Some((86_400.0, false))),
            ("+1w3d6h", Some((885_600.0, false))),
            ("-90s", Some((90.0, true))),
            ("1.5h", Some((3600.0, false))),
            (" 2 H ", Some((7200.0, false))),
            ("3", None),
            ("1s1d", None),
            ("", None),
            ("d", None),
            ("-", None),
        ] {
            assert_eq!(age(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn foreign_options_never_panic(key in "(name|iname|regex|type|user|size|mtime|grep|print|mindepth)", value in ".{0,12}") {
            let given = Map::from_iter([(key, Value::String(value))]);
            let _ = Options::read(&[], &given, 0);
        }
    }
}
