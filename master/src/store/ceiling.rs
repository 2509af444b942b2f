//! The time up to which jids may have been handed out, in a file of its own: it has to hold even
//! when the store behind it is lost.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use brine_local::file;
use brine_protocol::time::Timestamp;

use super::StoreError;

#[derive(Debug)]
pub(super) struct Ceiling {
    path: PathBuf,
    value: Mutex<Timestamp>,
}

impl Ceiling {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let value = match file::read_text(path, 64) {
            Ok(text) => Timestamp::try_from(text.trim().to_owned())
                .map_err(|_| StoreError::Value { path: path.to_owned(), key: "ceiling".to_owned() })?,
            Err(error) if error.is_not_found() => Timestamp::default(),
            Err(error) => return Err(error.into()),
        };
        Ok(Self { path: path.to_owned(), value: Mutex::new(value) })
    }

    pub(super) fn get(&self) -> Timestamp {
        *self.value.lock().expect("no holder panics")
    }

    pub(super) fn raise(&self, to: Timestamp) -> Result<(), StoreError> {
        let mut value = self.value.lock().expect("no holder panics");
        if to > *value {
            file::replace(&self.path, format!("{to}\n").as_bytes(), 0o600)?;
            *value = to;
        }
        Ok(())
    }
}
