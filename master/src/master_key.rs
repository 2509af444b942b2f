//! The master's own key on disk: `master.pem`, and while a rotation is under way the key that is
//! to follow it, `master.next.pem`.
//!
//! ```text
//!  1. master.next.pem is written             (nothing says so yet: removed at the next start)
//!  2. the ledger says announce               (from here on minions are told, and the file is needed)
//!  3. the ledger says succeed                (the next start finishes the rest)
//!  4. master.pem gets the bytes of the next
//!  5. master.pub follows, master.next.pem is removed
//! ```
//! **Invariants:** the ledger decides which key is the master's, the files follow; a key that
//! nobody announced never takes over; a file that the ledger still needs is never removed.
//!
//! The old private key is gone after step 4, on purpose: no minion that learned the new one needs
//! it, and whoever stole it later could still pose as this master to those that did not.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use brine_local::file::{self, FileError};
use brine_pki::key::{PrivateKey, PublicKey};
use brine_pki::registry::MasterKeys;
use brine_protocol::Fingerprint;
use zeroize::Zeroizing;

use crate::engine::OwnKey;

const KEY_FILE_MAX: u64 = 64 * 1024;

/// What was found in place of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Nothing,
    Key(Fingerprint),
    /// A file that is no key.
    Junk,
}

/// What the files and the ledger together mean.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Plan {
    /// The first start.
    Make,
    /// `master.pem` is the key.
    Keep(Next),
    /// The ledger has named the next key already: finish what was cut short.
    Finish,
    /// The key that the ledger names is nowhere.
    Lost(Fingerprint),
}

/// What `master.next.pem` is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Next {
    Nothing,
    /// The announced key.
    Ready,
    /// Nobody announced it.
    Leftover,
    /// A key is announced, and this is not how it can take over.
    Broken(String),
}

/// From any files that a crash, or a person, can leave.
fn plan(pem: Found, next: Found, ledger: &MasterKeys) -> Plan {
    let named = ledger.announced.map(|announced| announced.from).or(ledger.current);
    let Found::Key(pem) = pem else {
        return match (named, next) {
            (None, _) => Plan::Make,
            (Some(named), next) if next == Found::Key(named) => Plan::Finish,
            (Some(named), _) => Plan::Lost(named),
        };
    };
    let Some(announced) = ledger.announced else {
        return match (named, next) {
            (Some(named), next) if named != pem && next == Found::Key(named) => Plan::Finish,
            (_, Found::Nothing) => Plan::Keep(Next::Nothing),
            (_, Found::Key(_) | Found::Junk) => Plan::Keep(Next::Leftover),
        };
    };
    let (from, to) = (announced.from, announced.to);
    Plan::Keep(match next {
        // Somebody moved it by hand; there is nothing left to wait for.
        _ if pem == to => Next::Ready,
        _ if pem != from => {
            Next::Broken(format!("master.pem has the key {pem}, but {to} was announced to follow {from}"))
        }
        Found::Key(next) if next == to => Next::Ready,
        Found::Key(next) => {
            Next::Broken(format!("master.next.pem has the key {next}, but {to} was announced"))
        }
        Found::Junk => Next::Broken(format!("master.next.pem is no key, and {to} was announced")),
        Found::Nothing => Next::Broken(format!("master.next.pem with the announced key {to} is missing")),
    })
}

/// The master's key, and the one that is to follow.
pub struct KeyFiles {
    folder: PathBuf,
    key: PrivateKey,
    next: Option<PrivateKey>,
}

impl KeyFiles {
    /// Reads the keys, makes the first one, and finishes what a crash has cut short. Says what the
    /// engine has to know.
    ///
    /// # Errors
    /// A key cannot be read, is open to others, or is not the one that the ledger names.
    pub fn open(folder: &Path, bits: usize, ledger: &MasterKeys) -> anyhow::Result<(Self, OwnKey)> {
        file::create_private_dir(folder)?;
        let (pem, next) = (folder.join("master.pem"), folder.join("master.next.pem"));
        let (key, following) = (read(&pem)?, read(&next)?);
        if let Some(Err(error)) = &key {
            bail!("cannot use the key in {}: {error}", pem.display());
        }
        let key = key.and_then(Result::ok);
        let found_next = match &following {
            None => Found::Nothing,
            Some(Ok(key)) => Found::Key(key.public().fingerprint()),
            Some(Err(_)) => Found::Junk,
        };
        let found = key.as_ref().map_or(Found::Nothing, |key| Found::Key(key.public().fingerprint()));
        let plan = plan(found, found_next, ledger);
        let following = following.and_then(Result::ok);
        let (mut files, problem) = match (plan, key, following) {
            (Plan::Keep(next), Some(key), following) => {
                check_public(folder, &key, ledger)?;
                let mut files = Self { folder: folder.to_owned(), key, next: None };
                let problem = files.sort_next(next, following);
                (files, problem)
            }
            (Plan::Finish, _, Some(following)) => {
                tracing::info!("finishing the rotation of this master's key");
                let files = Self { folder: folder.to_owned(), key: following, next: None };
                files.save()?;
                (files, None)
            }
            (Plan::Lost(named), ..) => bail!(
                "{} is missing, and the ledger names {named} as this master's key: put it back from a backup; \
                 any other key is refused by every minion until it is told of it",
                pem.display()
            ),
            (Plan::Make | Plan::Keep(_) | Plan::Finish, ..) => {
                tracing::info!(bits, "making this master's key, which takes a moment");
                let files = Self { folder: folder.to_owned(), key: PrivateKey::generate(bits)?, next: None };
                files.save()?;
                (files, None)
            }
        };
        let fingerprint = files.key.public().fingerprint();
        if let Some(problem) = &problem {
            files.next = None;
            tracing::error!("{problem}");
        }
        let named = ledger.current.filter(|named| *named != fingerprint && problem.is_none());
        let notice = named.filter(|_| ledger.announced.is_none()).map(|named| {
            format!(
                "master.pem has the key {fingerprint}, but the ledger names {named} as this master's key: minions \
                 that know that one refuse this one until they are told (brine-minion trust-master {fingerprint})"
            )
        });
        Ok((files, OwnKey { fingerprint, problem, notice }))
    }

    /// Keeps the next key if it can take over; says what stands against it.
    fn sort_next(&mut self, next: Next, following: Option<PrivateKey>) -> Option<String> {
        match next {
            Next::Nothing => None,
            Next::Ready => {
                self.next = following;
                None
            }
            Next::Leftover => {
                tracing::warn!("removing master.next.pem: nobody announced that key");
                self.discard();
                None
            }
            Next::Broken(why) => Some(format!(
                "the rotation of this master's key cannot be finished: {why}; put the right file into {} and \
                 restart the master, or keep the present key with: brine-key rotate-master --withdraw",
                self.folder.display()
            )),
        }
    }

    /// The key that signs.
    #[must_use]
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// Writes a key that may be announced then.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn prepare(&mut self, next: PrivateKey) -> Result<(), FileError> {
        file::replace(&self.folder.join("master.next.pem"), next.to_pem().as_bytes(), 0o600)?;
        self.next = Some(next);
        Ok(())
    }

    /// Removes the key that was to follow.
    pub fn discard(&mut self) {
        self.next = None;
        let path = self.folder.join("master.next.pem");
        match std::fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            // The next start tries again; until then it is only a key that nobody knows.
            Err(error) => tracing::warn!(%error, "cannot remove {}", path.display()),
        }
    }

    /// Signs with the next key from now on. [`KeyFiles::save`] makes it last; until then the
    /// ledger and `master.next.pem` say the same.
    pub fn take_over(&mut self) {
        if let Some(next) = self.next.take() {
            self.key = next;
        }
    }

    /// Leaves the key that signs as the only one.
    ///
    /// # Errors
    /// A file cannot be written; whatever is there then, the next start makes the same of it.
    pub fn save(&self) -> Result<(), FileError> {
        file::replace(&self.folder.join("master.pem"), self.key.to_pem().as_bytes(), 0o600)?;
        file::replace(&self.folder.join("master.pub"), self.key.public().to_pem().as_bytes(), 0o644)?;
        let next = self.folder.join("master.next.pem");
        match std::fs::remove_file(&next) {
            Err(reason) if reason.kind() != std::io::ErrorKind::NotFound => {
                Err(FileError::System { doing: "remove", path: next, reason })
            }
            Ok(()) | Err(_) => file::sync_folder(&next),
        }
    }
}

/// A key file; none if there is no file, and why if it is no key.
fn read(path: &Path) -> anyhow::Result<Option<Result<PrivateKey, String>>> {
    match file::read_text(path, KEY_FILE_MAX).map(Zeroizing::new) {
        Ok(pem) => {
            file::check_private(path)?;
            Ok(Some(PrivateKey::from_pem(&pem).map_err(|error| error.to_string())))
        }
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The public half lies beside the key for people to read and to copy: it has to be the right one.
fn check_public(folder: &Path, key: &PrivateKey, ledger: &MasterKeys) -> anyhow::Result<()> {
    let path = folder.join("master.pub");
    let write = || Ok(file::replace(&path, key.public().to_pem().as_bytes(), 0o644)?);
    match file::read_text(&path, KEY_FILE_MAX) {
        Ok(pem) => {
            let public = PublicKey::from_pem(&pem);
            if public.as_ref() == Ok(key.public()) {
                return Ok(());
            }
            if ledger.current == Some(key.public().fingerprint()) {
                // A crash came between the two files of a rotation; the ledger knows the key.
                return write();
            }
            let public = public.with_context(|| format!("cannot use the key in {}", path.display()))?;
            bail!(
                "{} is not the public half of the key beside it: it is {}, and that of the key is {}; remove it to have it written anew",
                path.display(),
                public.fingerprint(),
                key.public().fingerprint()
            );
        }
        Err(error) if error.is_not_found() => write(),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
