//! The key pairs of simulated minions: a small pool, because ten thousand of 4096 bits would take
//! an hour to make. A key proves nothing about a machine here; the id is each minion's own.

use std::path::Path;
use std::sync::Arc;

use brine_local::file;
use brine_pki::key::PrivateKey;

use crate::fixtures::key_file;

/// The longest PEM text that is read.
const PEM_MAX: u64 = 16 * 1024;

/// The fixed test keys, of 2048 bits.
const FIXED: [&str; 6] = ["m1", "m2", "m3", "m4", "m5", "m6"];

/// Key pairs, shared by minions in turn.
#[derive(Debug, Clone)]
pub struct Pool {
    keys: Vec<Arc<PrivateKey>>,
    bits: usize,
}

impl Pool {
    /// The fixed test keys: nothing has to be made, and a signature costs little.
    ///
    /// # Panics
    /// They are not in the tree.
    #[must_use]
    pub fn fixed() -> Self {
        let load = |name: &&str| {
            let path = key_file(&format!("{name}.pem"));
            let pem = file::read_text(&path, PEM_MAX).expect("a test key");
            Arc::new(PrivateKey::from_pem(&pem).expect("a key"))
        };
        Self { keys: FIXED.iter().map(load).collect(), bits: 2048 }
    }

    /// The keys in `folder`; those that are missing are made and kept there.
    ///
    /// # Errors
    /// A file cannot be read or written, or is no key.
    pub fn in_folder(folder: &Path, count: usize, bits: usize) -> Result<Self, String> {
        file::create_private_dir(folder).map_err(|error| error.to_string())?;
        let mut keys = Vec::with_capacity(count);
        for number in 0..count.max(1) {
            let path = folder.join(format!("{bits}-{number}.pem"));
            let key = match file::read_text(&path, PEM_MAX) {
                Ok(pem) => PrivateKey::from_pem(&pem)
                    .map_err(|error| format!("cannot use {}: {error}", path.display()))?,
                Err(error) if error.is_not_found() => {
                    let key = PrivateKey::generate(bits).map_err(|error| error.to_string())?;
                    file::replace(&path, key.to_pem().as_bytes(), 0o600)
                        .map_err(|error| error.to_string())?;
                    key
                }
                Err(error) => return Err(error.to_string()),
            };
            keys.push(Arc::new(key));
        }
        Ok(Self { keys, bits })
    }

    /// The key of minion `number`.
    #[must_use]
    pub fn of(&self, number: usize) -> &Arc<PrivateKey> {
        &self.keys[number % self.keys.len()]
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// How long each is.
    #[must_use]
    pub fn bits(&self) -> usize {
        self.bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_that_was_made_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("keys");
        let first = Pool::in_folder(&folder, 2, 2048).unwrap();
        let again = Pool::in_folder(&folder, 2, 2048).unwrap();
        for number in [0, 1, 2] {
            let fingerprint = |pool: &Pool| pool.of(number).public().fingerprint();
            assert_eq!(fingerprint(&first), fingerprint(&again));
        }
        assert_ne!(first.of(0).public().fingerprint(), first.of(1).public().fingerprint());
        assert_eq!(first.of(0).public().fingerprint(), first.of(2).public().fingerprint());
        std::fs::write(folder.join("2048-1.pem"), "none").unwrap();
        let said = Pool::in_folder(&folder, 2, 2048).unwrap_err();
        assert!(said.contains("2048-1.pem"), "{said}");
    }
}
