//! Bodies byte for byte: a folder of golden files, and the messages that they are.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use brine_protocol::frame::Frame;
use brine_protocol::message::{ToMaster, ToMinion};

/// A file, the kind in the frame's header, and what they mean.
pub type Said<T> = Vec<(&'static str, u8, T)>;

/// A folder of golden files.
pub struct Golden(pub &'static str);

impl Golden {
    fn folder(&self) -> PathBuf {
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden")).join(self.0)
    }

    /// A file's bytes.
    pub fn read(&self, name: &str) -> Vec<u8> {
        let path = self.folder().join(format!("{name}.json"));
        fs::read(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
    }

    /// Minions write these bytes, and masters read them.
    pub fn check_to_master(&self, said: Said<ToMaster>) {
        for (name, kind, message) in said {
            let frame = message.to_frame();
            assert_eq!((frame.kind, text(&frame.json)), (kind, text(&self.read(name))), "{name}");
            assert_eq!(ToMaster::from_frame(&Frame::control(kind, self.read(name))), Ok(message), "{name}");
        }
    }

    /// Masters write these bytes, and minions read them.
    pub fn check_to_minion(&self, said: Said<ToMinion>) {
        for (name, kind, message) in said {
            let frame = message.to_frame();
            assert_eq!((frame.kind, text(&frame.json)), (kind, text(&self.read(name))), "{name}");
            assert_eq!(ToMinion::from_frame(&Frame::control(kind, self.read(name))), Ok(message), "{name}");
        }
    }

    /// A file that no test reads guards nothing.
    pub fn check_all_read<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        let read: BTreeSet<String> = names.into_iter().map(|name| format!("{name}.json")).collect();
        let there: BTreeSet<String> = fs::read_dir(self.folder())
            .expect("the folder is there")
            .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
            .collect();
        assert_eq!(read, there);
    }
}

/// The names of the files of messages.
pub fn names<T>(said: &Said<T>) -> Vec<&'static str> {
    said.iter().map(|(name, ..)| *name).collect()
}

/// JSON as text, so that a difference can be read.
pub fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("JSON is UTF-8")
}
