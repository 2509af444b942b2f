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
            Ok(text) => Timestamp::try_from(text.trim().to_owned()).map_err(|_| {
                StoreError::database(path, &"it holds no time; remove it if this machine's clock is right")
            })?,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_torn_at_any_byte_is_refused_and_never_a_lower_one() {
        let place = tempfile::tempdir().expect("a folder");
        let path = place.path().join("jid.ceiling");
        let time = Timestamp(1_795_305_600_000_000);
        Ceiling::open(&path).expect("none yet").raise(time).expect("writes");
        let whole = std::fs::read(&path).expect("reads");
        for end in 0..whole.len() {
            std::fs::write(&path, &whole[..end]).expect("writes");
            match Ceiling::open(&path) {
                Ok(ceiling) => {
                    assert_eq!((ceiling.get(), end), (time, whole.len() - 1), "only the end of the line");
                }
                Err(error) => assert!(error.to_string().contains("remove it if"), "{error}"),
            }
        }
    }
}
