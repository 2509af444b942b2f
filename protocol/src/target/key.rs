//! The first keys of lookups, in thousands of mappings that are mostly alike.
//!
//! Asking a fleet minion by minion is waiting for memory that no cache holds, several times for
//! each term: the table, the entry, the key's text, the value's text. Minions of one version tell
//! their grains in one order, so a key is looked for where it was the last time; and what several
//! terms will read is read once ahead of them, so that the waits overlap. **Invariant:** neither
//! changes what is found.

use std::cell::Cell;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Map, Value};

/// In a mixed fleet, how many lookups have to go astray before the place is looked for again, which
/// costs more than one lookup spares.
const ASTRAY: usize = 64;

/// From how many keys on their waits are worth overlapping.
const AHEAD_MIN: usize = 3;

/// How much of one list or mapping is read ahead.
const MEMBERS_MAX: usize = 8;

/// A key and where it was last; clones share what they learn.
#[derive(Debug, Clone)]
pub(super) struct Key(Arc<Learned>);

#[derive(Debug)]
struct Learned {
    name: Box<str>,
    place: AtomicUsize,
    astray: AtomicUsize,
}

impl Key {
    pub(super) fn new(name: &str) -> Self {
        Self(Arc::new(Learned { name: name.into(), place: AtomicUsize::new(0), astray: AtomicUsize::new(0) }))
    }

    fn at_place<'v>(&self, values: &'v Map<String, Value>) -> Option<(&'v String, &'v Value)> {
        values.iter().nth(self.0.place.load(Ordering::Relaxed))
    }

    /// What a mapping says under this key.
    pub(super) fn get<'v>(&self, values: &'v Map<String, Value>) -> Option<&'v Value> {
        let wanted = &*self.0.name;
        if let Some((name, value)) = self.at_place(values)
            && name == wanted
        {
            return Some(value);
        }
        let value = values.get(wanted)?;
        if self.0.astray.fetch_add(1, Ordering::Relaxed).is_multiple_of(ASTRAY)
            && let Some(place) = values.keys().position(|name| name == wanted)
        {
            self.0.place.store(place, Ordering::Relaxed);
        }
        Some(value)
    }
}

/// The keys whose values the terms of a target will read.
#[derive(Debug, Clone, Default)]
pub(super) struct Ahead(Box<[Key]>);

impl Ahead {
    /// Each key once; few are not worth it.
    pub(super) fn of(mut keys: Vec<Key>) -> Self {
        keys.sort_by(|a, b| a.0.name.cmp(&b.0.name));
        keys.dedup_by(|a, b| a.0.name == b.0.name);
        Self(if keys.len() < AHEAD_MIN { Box::default() } else { keys.into() })
    }

    /// Reads ahead for one minion, once a term wants its grains at all.
    pub(super) fn once(&self) -> Once<'_> {
        Once { keys: &self.0, is_due: Cell::new(!self.0.is_empty()) }
    }
}

/// One minion's reading ahead.
pub(super) struct Once<'k> {
    keys: &'k [Key],
    is_due: Cell<bool>,
}

impl Once<'_> {
    pub(super) fn read(&self, values: &Map<String, Value>) {
        if !self.is_due.replace(false) {
            return;
        }
        let read = |sum: u8, key: &Key| {
            let found = key.at_place(values);
            sum ^ found.map_or(0, |(name, value)| first_byte(name) ^ first_bytes(value))
        };
        black_box(self.keys.iter().fold(0, read));
    }
}

fn first_byte(text: &str) -> u8 {
    text.as_bytes().first().copied().unwrap_or_default()
}

fn first_bytes(value: &Value) -> u8 {
    let flat = |value: &Value| value.as_str().map_or(0, first_byte);
    match value {
        Value::Array(members) => members.iter().take(MEMBERS_MAX).fold(0, |sum, member| sum ^ flat(member)),
        Value::Object(mapping) => {
            let members = mapping.iter().take(MEMBERS_MAX);
            members.fold(0, |sum, (name, value)| sum ^ first_byte(name) ^ flat(value))
        }
        value => flat(value),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_order_of_a_mapping_changes_nothing() {
        let key = Key::new("b");
        let ahead = Ahead::of(vec![key.clone(), Key::new("a"), Key::new("c"), Key::new("a")]);
        assert_eq!(ahead.0.len(), 3);
        let with = |value: Value| {
            let value = value.as_object().expect("a mapping");
            ahead.once().read(value);
            key.get(value).and_then(Value::as_i64)
        };
        for at in 0..200 {
            assert_eq!(with(json!({"a": 0, "b": at})), Some(at));
            assert_eq!(with(json!({"b": at, "a": [0, "x", []], "c": {"d": "e"}})), Some(at));
            assert_eq!(with(json!({"a": 0, "c": ""})), None);
            assert_eq!(with(json!({})), None);
        }
    }
}
