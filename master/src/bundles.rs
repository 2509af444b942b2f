//! Bundles: the private keys that this master made for server records, each in one file until it
//! is handed out.
//!
//! **Invariants:** a private key is in its bundle and nowhere else; a bundle is there only while the
//! ledger says that it waits to be fetched; before a file goes, its bytes are overwritten. A file
//! is written before the ledger speaks of it, under a second name, so that the bundle which the ledger
//! still speaks of stays until it does not. What a crash leaves too many, [`Bundles::sweep`] removes,
//! and what it left under the second name, that finishes.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use brine_local::file::{self, FileError};
use brine_pki::key::{PrivateKey, PublicKey};
use brine_protocol::server::ServerId;
use brine_protocol::time::Timestamp;
use brine_protocol::{Fingerprint, MinionId, Secret};
use nix::libc::{O_CLOEXEC, O_NOFOLLOW};
use zeroize::Zeroizing;

use crate::config::Config;

/// The largest bundle: a private key of 4096 bits has 3.2 KB.
const BUNDLE_MAX: u64 = 64 * 1024;

/// The longest address of a master in a bundle, in bytes: a host name has at most 253.
const ADDRESS_MAX: usize = 253;

/// The line in front of the private key.
const KEY_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const KEY_END: &str = "-----END PRIVATE KEY-----";

/// Behind the name of a bundle that the ledger does not speak of yet.
const NEW: &str = ".new";

/// Why a bundle cannot be handed out.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It has another key than the ledger names.
    #[error("{} does not have the key that the ledger names", .0.display())]
    Foreign(PathBuf),
}

/// What stands in a bundle besides the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The record.
    pub server: ServerId,
    /// The id of its minion.
    pub minion: MinionId,
    /// Where the minion reaches this master.
    pub master: String,
    /// The port of broadcasts.
    pub publish_port: u16,
    /// The port of returns.
    pub ret_port: u16,
    /// When the key is rejected, unless its minion has come.
    pub until: Timestamp,
}

impl Head {
    /// The bundle: lines of `key: value`, then the minion's private key, then the master's public
    /// one.
    #[must_use]
    pub fn bundle(&self, key: &PrivateKey, master: &PublicKey) -> Secret {
        let (key, public) = (key.to_pem(), master.to_pem());
        let Self { server, minion, master: address, publish_port, ret_port, until } = self;
        // In one piece from the beginning: a text that grows leaves copies behind.
        let mut text = String::with_capacity(key.len() + public.len() + 2048);
        let written = write!(
            text,
            "brine-bundle: 1\nserver: {server}\nminion-id: {minion}\nmaster: {address}\npublish-port: {publish_port}\n\
             ret-port: {ret_port}\nmaster-finger: {}\nexpires: {until}\n{}\n{}\n",
            master.fingerprint(),
            key.trim_end(),
            public.trim_end(),
        );
        written.expect("a text takes what is written");
        Secret::from(text)
    }
}

/// Whether a minion could be told this address: one word, so that it is one line of a bundle and
/// one value of an option.
///
/// # Errors
/// It could not; one sentence.
pub fn check_address(address: &str) -> Result<(), String> {
    let is_word = address.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:_[]%".contains(&b));
    if address.is_empty() || address.len() > ADDRESS_MAX || !is_word {
        let shown = brine_local::text::escape(address);
        return Err(format!("{shown:?} is no host name or address of a master"));
    }
    Ok(())
}

/// Where minions reach this master, unless whoever wants a bundle says otherwise.
#[must_use]
pub fn master_address(config: &Config) -> Option<String> {
    let host = || nix::unistd::gethostname().ok()?.into_string().ok();
    let one = (!config.interface.is_unspecified()).then(|| config.interface.to_string());
    config.master_address.clone().or(one).or_else(host).filter(|address| check_address(address).is_ok())
}

/// The folder of the bundles that wait to be fetched.
#[derive(Debug, Clone)]
pub struct Bundles {
    folder: PathBuf,
}

impl Bundles {
    /// The bundles in a folder that is ours alone; it is made if it is not there.
    ///
    /// # Errors
    /// It cannot be made, or is another user's.
    pub fn open(folder: &Path) -> Result<Self, FileError> {
        file::create_private_dir(folder)?;
        Ok(Self { folder: folder.to_owned() })
    }

    fn path(&self, server: ServerId) -> PathBuf {
        self.folder.join(server.to_string())
    }

    fn new_path(&self, server: ServerId) -> PathBuf {
        self.folder.join(format!("{server}{NEW}"))
    }

    /// Writes a bundle for a record, durably, beside the one that it may have. One of the two is to
    /// follow: [`Bundles::keep`] or [`Bundles::drop_new`].
    ///
    /// # Errors
    /// It could not be written; then no part of it is left, if the disk lets that be.
    pub fn write(&self, server: ServerId, bundle: &Secret) -> Result<(), FileError> {
        self.drop_new(server)?;
        let path = self.new_path(server);
        // Under its own name from the start: what a crash leaves of it is found by that name, and
        // until the ledger speaks of it, it is nobody's.
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed("write", &path))?;
        let written = file.write_all(bundle.expose().as_bytes()).and_then(|()| file.sync_all());
        let written = written.map_err(failed("write", &path)).and_then(|()| file::sync_folder(&path));
        if written.is_err() {
            drop(file);
            if let Err(error) = self.drop_new(server) {
                tracing::error!(%error, "a part of a bundle is left; the next start removes it");
            }
        }
        written
    }

    /// Puts the bundle that was written last for a record in the place of an older one, which is wiped.
    ///
    /// # Errors
    /// It may still be beside that place; [`Bundles::sweep`] tries again.
    pub fn keep(&self, server: ServerId) -> Result<(), FileError> {
        let (new, path) = (self.new_path(server), self.path(server));
        wipe(&path)?;
        fs::rename(&new, &path).map_err(failed("rename", &new))?;
        file::sync_folder(&path)
    }

    /// Wipes the bundle that was written last for a record, unless it was kept.
    ///
    /// # Errors
    /// It may still be there.
    pub fn drop_new(&self, server: ServerId) -> Result<(), FileError> {
        wipe(&self.new_path(server))
    }

    /// Reads a record's bundle and wipes it. The key in it has to be the one that the ledger names.
    ///
    /// # Errors
    /// It is not there, cannot be read, or is another key's.
    pub fn take(&self, server: ServerId, key: Fingerprint) -> Result<Secret, BundleError> {
        let path = self.path(server);
        let read = read(&path);
        // It was handed out, or is good for nobody: either way it goes.
        if let Err(error) = self.wipe(server) {
            tracing::error!(%error, "a bundle that was handed out is not gone; the next start removes it");
        }
        let bundle = read?;
        if key_in(bundle.expose()) == Some(key) { Ok(bundle) } else { Err(BundleError::Foreign(path)) }
    }

    /// Overwrites a record's bundle and removes it, durably, also one that was not put in its place.
    /// One that is not there is fine.
    ///
    /// # Errors
    /// It may still be there.
    pub fn wipe(&self, server: ServerId) -> Result<(), FileError> {
        wipe(&self.path(server)).and(self.drop_new(server))
    }

    /// Wipes everything in the folder but the bundles that are still to be fetched: what a crash
    /// left. Says how many files went.
    ///
    /// # Errors
    /// The folder cannot be read, or a file in it not be removed.
    pub fn sweep(&self, is_kept: impl Fn(ServerId, Fingerprint) -> bool) -> Result<usize, FileError> {
        let (mut wiped, mut news) = (0, Vec::new());
        for found in fs::read_dir(&self.folder).map_err(failed("list", &self.folder))? {
            let path = found.map_err(failed("list", &self.folder))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let (name, is_new) = name.strip_suffix(NEW).map_or((name, false), |name| (name, true));
            let key = || key_in(read(&path).ok()?.expose());
            let server: Option<ServerId> = name.parse().ok();
            match server.filter(|server| key().is_some_and(|key| is_kept(*server, key))) {
                Some(server) if is_new => news.push(server),
                Some(_) => {}
                None => {
                    wipe(&path)?;
                    wiped += 1;
                }
            }
        }
        for server in news {
            self.keep(server)?;
        }
        Ok(wiped)
    }
}

fn failed<'a>(doing: &'static str, path: &'a Path) -> impl Fn(io::Error) -> FileError + use<'a> {
    move |reason| FileError::System { doing, path: path.to_owned(), reason }
}

/// The fingerprint of the private key in a bundle.
fn key_in(bundle: &str) -> Option<Fingerprint> {
    let begin = bundle.find(KEY_BEGIN)?;
    let end = begin + bundle[begin..].find(KEY_END)? + KEY_END.len();
    Some(PrivateKey::from_pem(&bundle[begin..end]).ok()?.public().fingerprint())
}

fn read(path: &Path) -> Result<Secret, FileError> {
    use io::Read as _;
    let file = OpenOptions::new().read(true).custom_flags(O_NOFOLLOW | O_CLOEXEC).open(path);
    let file = file.map_err(failed("read", path))?;
    let len = file.metadata().map_err(failed("read", path))?.len();
    if len > BUNDLE_MAX {
        return Err(FileError::TooLarge { path: path.to_owned(), max: BUNDLE_MAX });
    }
    // Room for all of it, so that it does not move while it is read.
    let room = usize::try_from(BUNDLE_MAX).expect("64 KiB") + 1;
    let mut text = Zeroizing::new(String::with_capacity(room));
    file.take(BUNDLE_MAX).read_to_string(&mut text).map_err(failed("read", path))?;
    Ok(Secret::from(std::mem::take(&mut *text)))
}

fn wipe(path: &Path) -> Result<(), FileError> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("look at", path)(error)),
    };
    // Nothing else is put here by us, and what a link leads to is not ours to overwrite.
    if found.is_file() {
        overwrite(path, found.len()).map_err(failed("overwrite", path))?;
    }
    fs::remove_file(path).map_err(failed("remove", path))?;
    file::sync_folder(path)
}

fn overwrite(path: &Path, len: u64) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).custom_flags(O_NOFOLLOW | O_CLOEXEC).open(path)?;
    io::copy(&mut io::Read::take(io::repeat(0), len), &mut file)?;
    file.flush()?;
    file.sync_all()
}

#[cfg(test)]
mod tests;
