//! A folder for decoders that read files, and edits for what only its maker can make anew.

use std::path::Path;

use tempfile::TempDir;

/// A new folder that is gone afterwards; in memory where the system offers that.
pub(super) fn folder() -> TempDir {
    let builder = || {
        let mut builder = tempfile::Builder::new();
        builder.prefix("br");
        builder
    };
    let memory = Path::new("/dev/shm");
    builder().tempdir_in(memory).or_else(|_| builder().tempdir()).expect("a temporary folder can be made")
}

/// What is signed or sealed, changed as a script says: each three bytes name a place and what is
/// done to the byte there; a byte behind them cuts the end off.
pub(super) fn edited(valid: &[u8], script: &[u8]) -> Vec<u8> {
    let mut bytes = valid.to_vec();
    let (edits, rest) = script.as_chunks::<3>();
    for [high, low, with] in edits {
        let at = usize::from(u16::from_be_bytes([*high, *low])) % (bytes.len() + 1);
        match bytes.get_mut(at) {
            Some(byte) => *byte ^= with,
            None => bytes.push(*with),
        }
    }
    if let Some(cut) = rest.first() {
        bytes.truncate(bytes.len().saturating_sub(usize::from(*cut)));
    }
    bytes
}
