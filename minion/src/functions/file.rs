//! `file.*`: files and folders.
//!
//! **Invariants:** a file that is written holds the old text or the new one, and keeps owner, mode
//! and attributes; nothing here waits for a pipe or a device; what is edited as text has a bound.

mod blocking;
mod bytes;
mod diff;
mod digest;
mod find;
mod folder;
mod line;
mod look;
mod matching;
mod owner;
mod path;
mod pattern;
mod read;
mod replace;
mod tree;
mod write;

use super::Function;
pub(super) use blocking::{Stop, blocking};
pub(super) use bytes::{Place, open, read_text, replace as put};
pub(super) use digest::of_file;
pub(super) use matching::matching;
pub(super) use path::{expand, failed, reason, take as take_path, text as path_text};

pub(super) fn functions() -> Vec<Function> {
    [
        diff::functions(),
        digest::functions(),
        find::functions(),
        line::functions(),
        look::functions(),
        owner::functions(),
        path::functions(),
        read::functions(),
        replace::functions(),
        tree::functions(),
        write::functions(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
