//! What a bucket consists of: a file that never changes once it is over, and a database for all else.

use std::iter::Peekable;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use sled::IVec;

use super::database::Database;
use super::packed::{Item, Packed};

/// Both, as far as there are; what the database has hides what the file has.
#[derive(Debug, Clone, Default)]
pub(super) struct Layers {
    pub(super) packed: Option<Arc<Packed>>,
    pub(super) db: Option<Arc<Database>>,
}

/// The order of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Up,
    Down,
}

/// What is wanted beside keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    Keys,
    Values,
}

impl Layers {
    pub(super) fn get(&self, key: impl AsRef<[u8]>) -> sled::Result<Option<IVec>> {
        if let Some(db) = &self.db
            && let Some(value) = db.get(&key)?
        {
            return Ok(Some(value));
        }
        Ok(self.packed.as_ref().map(|packed| packed.get(key.as_ref())).transpose()?.flatten())
    }

    pub(super) fn has(&self, key: impl AsRef<[u8]>) -> sled::Result<bool> {
        self.get(key).map(|value| value.is_some())
    }

    /// All that begins with these, in order. They end with a `/`.
    pub(super) fn scan(&self, prefix: impl Into<String>, want: Want) -> Merged {
        self.range(beginning(&prefix.into()), Order::Up, want)
    }

    /// All from one key up to another, which is not included.
    pub(super) fn range(&self, keys: Range<Vec<u8>>, order: Order, want: Want) -> Merged {
        // A range that ends before it begins is a fault to sled.
        let keys = if keys.start < keys.end { keys } else { Vec::new()..Vec::new() };
        let is_down = order == Order::Down;
        let packed = self.packed.as_ref().map(|packed| {
            let items = packed.scan(&keys, is_down, want == Want::Values);
            boxed(items.map(|item| item.map_err(sled::Error::from)))
        });
        let db = self.db.as_ref().filter(|_| !keys.is_empty()).map(|db| {
            let items = db.range(keys.clone());
            let items = if is_down { boxed(items.rev()) } else { boxed(items) };
            // The database is not closed as long as it is read.
            let db = Arc::clone(db);
            boxed(items.inspect(move |_| {
                let _held = &db;
            }))
        });
        let none = || boxed(std::iter::empty());
        Merged {
            packed: packed.unwrap_or_else(none).peekable(),
            db: db.unwrap_or_else(none).peekable(),
            is_down,
        }
    }

    /// Where the database is.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        self.db.as_ref().is_some_and(|db| db.path() == path)
    }
}

/// All keys that begin with these bytes, the last of which is not the largest.
pub(super) fn beginning(prefix: &str) -> Range<Vec<u8>> {
    let from = prefix.as_bytes().to_vec();
    let mut to = from.clone();
    if let Some(last) = to.last_mut() {
        *last += 1;
    }
    from..to
}

type Items = Box<dyn Iterator<Item = sled::Result<Item>>>;

fn boxed(items: impl Iterator<Item = sled::Result<Item>> + 'static) -> Items {
    Box::new(items)
}

/// The items of both, each key once.
pub(super) struct Merged {
    packed: Peekable<Items>,
    db: Peekable<Items>,
    is_down: bool,
}

impl Iterator for Merged {
    type Item = sled::Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        let (Some(Ok((packed, _))), Some(Ok((db, _)))) = (self.packed.peek(), self.db.peek()) else {
            // One is at its end, or says what is wrong with it.
            return match self.db.peek() {
                None | Some(Ok(_)) if self.packed.peek().is_some() => self.packed.next(),
                _ => self.db.next(),
            };
        };
        let order = if self.is_down { db.cmp(packed) } else { packed.cmp(db) };
        if order.is_lt() {
            return self.packed.next();
        }
        if order.is_eq() {
            let _hidden = self.packed.next();
        }
        self.db.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::packed::Writer;
    use crate::store::redo::Batch;

    #[test]
    fn what_the_database_has_hides_what_the_file_has_in_both_orders() {
        let place = tempfile::tempdir().expect("a folder");
        let mut writer = Writer::begin(&place.path().join("file")).expect("begins");
        for (key, value) in [("a/1", "file"), ("b/1", "file"), ("b/3", "file"), ("b/4", "file"), ("c/1", "")]
        {
            writer.add(key.as_bytes(), value.as_bytes()).expect("writes");
        }
        let packed = writer.finish(5).expect("is whole");
        let opened = Database::open(&place.path().join("db"), 1 << 20).expect("opens").expect("whole");
        let mut batch = Batch::default();
        for key in ["b/0", "b/3", "b/9", "d/1"] {
            batch.insert(key, "db");
        }
        opened.0.commit(&batch).expect("commits");
        let layers = Layers { packed: Some(Arc::new(packed)), db: Some(Arc::new(opened.0)) };
        let text = |items: Merged| -> Vec<String> {
            let text = |bytes: IVec| String::from_utf8(bytes.to_vec()).expect("text");
            items
                .map(|item| item.expect("reads"))
                .map(|(key, value)| text(key) + "=" + &text(value))
                .collect()
        };
        let mut expected = ["b/0=db", "b/1=file", "b/3=db", "b/4=file", "b/9=db"].map(str::to_owned);
        assert_eq!(text(layers.scan("b/", Want::Values)), expected);
        expected.reverse();
        assert_eq!(text(layers.range(beginning("b/"), Order::Down, Want::Values)), expected);
        let got = ["b/3", "b/4", "b/5", "b/9"].map(|key| layers.get(key).expect("reads"));
        assert_eq!(got, [Some("db".into()), Some("file".into()), None, Some("db".into())]);
        assert_eq!(text(layers.range(b"b/3".to_vec()..b"b/1".to_vec(), Order::Up, Want::Values)), [""; 0]);
    }
}
