//! The files of a master that does not run.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use brine_local::Paths;
use brine_local::clock::wall;
use brine_local::file::{self, FileError};
use brine_local::text::escape;
use brine_pki::key::PublicKey;
use brine_pki::registry::rules::Rules;
use brine_pki::registry::{Imported, OpenError, Trust};
use brine_pki::waiting::WaitingLimits;
use brine_protocol::control::{
    Act, Decision, ImportRequest, ImportedKey, Key, KeyActRequest, KeyState, KeysQuery,
};
use brine_protocol::{Fingerprint, MinionId};

use super::{Outcome, settings};
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
    /// Why it is not known whom the master's configuration keeps out.
    in_the_dark: Option<String>,
}

impl Offline {
    pub(super) fn open(paths: &Paths) -> Result<Self, OpenError> {
        let opened = Trust::open(&paths.ledger(), &paths.waiting(), NO_LIMITS, Duration::ZERO)?;
        for warning in &opened.warnings {
            eprintln!("brine-key: {warning}");
        }
        let mut trust = opened.trust;
        let in_the_dark = match settings::read(paths) {
            Ok(settings) => {
                trust.set_max_minions(settings.max_minions);
                // Whom rules would let in the master itself lets in, once it runs.
                trust.set_rules(Rules { autoreject: settings.autoreject, ..Rules::default() }, wall());
                None
            }
            Err(why) => {
                eprintln!("brine-key: WARNING: no key can be accepted: {}", escape(&why));
                Some(why)
            }
        };
        Ok(Self { trust, paths: paths.clone(), by: principal(), in_the_dark })
    }

    pub(super) fn find(&self, query: &KeysQuery) -> Vec<Key> {
        self.trust.find(query)
    }

    pub(super) fn history(&self, id: &MinionId) -> Vec<Decision> {
        self.trust.registry().history(id).to_vec()
    }

    /// What became of each key, in the order of the request.
    pub(super) fn act(&mut self, request: &KeyActRequest) -> Result<Vec<Outcome>, Failure> {
        if request.act == Act::Accept {
            self.check_settings()?;
        }
        let reason = request.reason.as_deref();
        let done = self.trust.act_all(request.act, &request.keys, &self.by, reason, wall());
        if let Err(error) = self.save() {
            eprintln!(
                "brine-key: WARNING: what was decided holds, but the list of waiting keys is not up to date, so \
                 that a key deleted from it may be there again: {}",
                escape(&error.to_string())
            );
        }
        Ok(done.into_iter().map(Outcome::from).collect())
    }

    /// As [`Offline::act`].
    pub(super) fn import(&mut self, request: &ImportRequest) -> Result<Vec<Outcome>, Failure> {
        if request.keys.iter().any(|key| key.state == KeyState::Accepted) {
            self.check_settings()?;
        }
        let read = |key: &ImportedKey| -> Result<Imported, Failure> {
            let public = PublicKey::from_pem(&key.public_key)?;
            let (fingerprint, der) = (public.fingerprint(), public.der().to_vec());
            Ok(Imported { id: key.id.clone(), fingerprint, key: der, state: key.state })
        };
        let keys = request.keys.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let done = self.trust.import(&keys, &self.by, request.reason.as_deref(), wall());
        let mut outcomes: Vec<Outcome> = done.into_iter().map(Outcome::from).collect();
        if let Err(error) = self.save() {
            // The others are in the ledger.
            let waits = |key: &ImportedKey| matches!(key.state, KeyState::Pending | KeyState::Denied);
            for (outcome, _) in outcomes.iter_mut().zip(&request.keys).filter(|(_, key)| waits(key)) {
                *outcome = Outcome::Refused(format!("it could not be filed: {error}"));
            }
        }
        Ok(outcomes)
    }

    fn check_settings(&self) -> Result<(), Failure> {
        match &self.in_the_dark {
            None => Ok(()),
            Some(why) => Err(Failure::Refused(format!(
                "no key is accepted as long as it is not known whom max_minions and autoreject_file keep out: {}",
                escape(why)
            ))),
        }
    }

    fn save(&mut self) -> Result<(), Failure> {
        self.trust.save()?;
        self.keep_owner()
    }

    /// The ledger decides which key is the master's; files that a kill has left behind follow at its
    /// next start.
    pub(super) fn master_fingerprint(&self) -> Result<Option<Fingerprint>, Failure> {
        if let Some(current) = self.trust.registry().master_keys().current {
            return Ok(Some(current));
        }
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
