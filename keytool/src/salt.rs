//! Keys from a Salt master and back: a fleet moves without new keys.
//!
//! Salt keeps one file per key, named after the minion, in a folder per state. **Invariants:** a
//! file is only believed to be a key when it is a small regular file that holds one; no key is
//! taken in as accepted that Salt itself would keep out.

pub(crate) mod export;
mod folder;
pub(crate) mod import;
