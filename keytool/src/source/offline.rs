//! The files of a master that does not run.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use brine_local::Paths;
use brine_local::clock::wall;
use brine_local::file::{self, FileError};
use brine_pki::key::PublicKey;
use brine_pki::registry::{ActError, Done, Imported, OpenError, Trust};
use brine_pki::waiting::WaitingLimits;
use brine_protocol::control::{
    Decision, ImportRequest, ImportedKey, Key, KeyActRequest, KeyActResult, KeyName, KeysQuery,
};
use brine_protocol::{Fingerprint, MinionId};

use crate::failure::Failure;

/// Reading the waiting keys must never drop one because the master's limits are not known here.
const NO_LIMITS: WaitingLimits =
    WaitingLimits { pending_max: usize::MAX, pending_per_id: usize::MAX, pending_age_s: u64::MAX };

/// The longest PEM text that is read.
const PEM_MAX: u64 = 16 * 1024;

/// The files of a master that does not run; holding this is holding their lock.
pub(crate) struct Offline {
    trust: Trust,
    paths: Paths,
    by: String,
}

impl Offline {
    pub(super) fn open(paths: &Paths) -> Result<Self, OpenError> {
        let opened = Trust::open(&paths.ledger(), &paths.waiting(), NO_LIMITS, Duration::ZERO)?;
        for warning in &opened.warnings {
            eprintln!("brine-key: {warning}");
        }
        Ok(Self { trust: opened.trust, paths: paths.clone(), by: principal() })
    }

    pub(super) fn find(&self, query: &KeysQuery) -> Vec<Key> {
        self.trust.find(query)
    }

    pub(super) fn history(&self, id: &MinionId) -> Vec<Decision> {
        self.trust.registry().history(id).to_vec()
    }

    pub(super) fn act(&mut self, request: &KeyActRequest) -> Result<Vec<KeyActResult>, Failure> {
        let reason = request.reason.as_deref();
        let done = self.trust.act_all(request.act, &request.keys, &self.by, reason, wall());
        self.save()?;
        let result = |(name, done): (&KeyName, Result<Done, ActError>)| KeyActResult {
            id: name.id.clone(),
            fingerprint: name.fingerprint,
            refused: done.err().map(|error| error.to_string()),
        };
        Ok(request.keys.iter().zip(done).map(result).collect())
    }

    pub(super) fn import(&mut self, request: &ImportRequest) -> Result<Vec<KeyActResult>, Failure> {
        let read = |key: &ImportedKey| -> Result<Imported, Failure> {
            let public = PublicKey::from_pem(&key.public_key)?;
            let (fingerprint, der) = (public.fingerprint(), public.der().to_vec());
            Ok(Imported { id: key.id.clone(), fingerprint, key: der, state: key.state })
        };
        let keys = request.keys.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let done = self.trust.import(&keys, &self.by, request.reason.as_deref(), wall());
        self.save()?;
        let result = |(key, done): (Imported, Result<Option<Done>, ActError>)| KeyActResult {
            id: key.id,
            fingerprint: key.fingerprint,
            refused: done.err().map(|error| error.to_string()),
        };
        Ok(keys.into_iter().zip(done).map(result).collect())
    }

    fn save(&mut self) -> Result<(), Failure> {
        self.trust.save()?;
        self.keep_owner()
    }

    pub(super) fn master_fingerprint(&self) -> Result<Option<Fingerprint>, Failure> {
        Ok(public_key(&self.paths.pki_master().join("master.pub"))?.map(|key| key.fingerprint()))
    }

    /// Files that root made anew stay the master's: it may run as another user.
    fn keep_owner(&self) -> Result<(), Failure> {
        let folder = self.paths.master_state_dir();
        let failed = |reason| FileError::System { doing: "keep the owner of", path: folder.clone(), reason };
        let owner = std::fs::metadata(&folder).map_err(failed)?;
        for path in
            [self.paths.ledger(), self.paths.waiting(), self.paths.ledger().with_file_name("ledger.lock")]
        {
            let Ok(found) = std::fs::metadata(&path) else { continue };
            if found.uid() != owner.uid() {
                std::os::unix::fs::chown(&path, Some(owner.uid()), Some(owner.gid())).map_err(failed)?;
            }
        }
        Ok(())
    }
}

/// The public key in a file; none when there is no such file.
pub(crate) fn public_key(path: &Path) -> Result<Option<PublicKey>, Failure> {
    match file::read_text(path, PEM_MAX) {
        Ok(pem) => {
            let key = PublicKey::from_pem(&pem);
            key.map(Some).map_err(|error| Failure::Wrong(format!("{}: {error}", path.display())))
        }
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Who acts, as the ledger has it from a running master.
pub(crate) fn principal() -> String {
    let uid = nix::unistd::Uid::current();
    let name = nix::unistd::User::from_uid(uid).ok().flatten().map(|user| user.name);
    let name = name.unwrap_or_else(|| "?".to_owned());
    format!("unix:{uid} ({name}), offline")
}
