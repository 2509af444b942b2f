//! Where keys are read and acted on: the running master or, when there is none, its ledger.

use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use brine_client::{Client, ClientError, Unreachable};
use brine_local::Paths;
use brine_local::clock::wall;
use brine_local::file::{self, FileError};
use brine_pki::key::PublicKey;
use brine_pki::ledger::LedgerError;
use brine_pki::registry::{OpenError, Trust};
use brine_pki::waiting::WaitingLimits;
use brine_protocol::Fingerprint;
use brine_protocol::control::{Key, KeyActRequest, KeyActResult};

use crate::failure::Failure;

/// How long a master that holds the ledger may take to open its socket.
const STARTING: Duration = Duration::from_secs(5);

/// Reading the waiting keys must never drop one because the master's limits are not known here.
const NO_LIMITS: WaitingLimits =
    WaitingLimits { pending_max: usize::MAX, pending_per_id: usize::MAX, pending_age_s: u64::MAX };

/// Where keys are.
pub(crate) enum Source {
    Online(Client),
    Offline(Box<Offline>),
}

/// The files of a master that does not run; holding this is holding their lock.
pub(crate) struct Offline {
    trust: Trust,
    paths: Paths,
    by: String,
}

impl Source {
    /// The master, or its files when no master listens.
    pub(crate) async fn open(paths: &Paths, act_as: Option<String>) -> Result<Self, Failure> {
        let client = Client::new(&paths.control_socket()).acting_as(act_as.clone());
        let end = Instant::now() + STARTING;
        loop {
            let Err(error) = client.health().await else {
                return Ok(Source::Online(client));
            };
            let is_stopped = matches!(
                error,
                ClientError::Unreachable { why: Unreachable::NotRunning | Unreachable::NotListening, .. }
            );
            if matches!(error, ClientError::Refused(_)) {
                // Who may not read the health may still do what is asked; the master decides.
                return Ok(Source::Online(client));
            }
            // Without a ledger there has never been a master here: most likely a wrong folder.
            if !is_stopped || !paths.ledger().exists() {
                return Err(error.into());
            }
            match Trust::open(&paths.ledger(), &paths.waiting(), NO_LIMITS, Duration::ZERO) {
                Ok(_) if act_as.is_some() => {
                    return Err(Failure::Refused(
                        "no master runs, and nobody else knows what another name may do: leave out --as"
                            .to_owned(),
                    ));
                }
                Ok(opened) => {
                    eprintln!("brine-key: no master runs; working on {} itself", paths.ledger().display());
                    for warning in &opened.warnings {
                        eprintln!("brine-key: {warning}");
                    }
                    let offline = Offline { trust: opened.trust, paths: paths.clone(), by: principal() };
                    return Ok(Source::Offline(Box::new(offline)));
                }
                // A master that is starting or stopping.
                Err(OpenError::Ledger(LedgerError::File(FileError::Locked { .. })))
                    if Instant::now() < end =>
                {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    pub(crate) async fn keys(&mut self) -> Result<Vec<Key>, Failure> {
        match self {
            Source::Online(client) => Ok(client.keys().await?),
            Source::Offline(offline) => Ok(offline.trust.list()),
        }
    }

    /// Does what is asked, key by key; a key that was refused says so in its result.
    pub(crate) async fn act(&mut self, request: &KeyActRequest) -> Result<Vec<KeyActResult>, Failure> {
        match self {
            Source::Online(client) => Ok(client.act(request).await?),
            Source::Offline(offline) => offline.act(request),
        }
    }

    /// The fingerprint of the master's own key, if it has one.
    pub(crate) async fn master_fingerprint(&mut self) -> Result<Option<Fingerprint>, Failure> {
        match self {
            Source::Online(client) => Ok(Some(client.health().await?.fingerprint)),
            Source::Offline(offline) => {
                let path = offline.paths.pki_master().join("master.pub");
                match file::read_text(&path, 16 * 1024) {
                    Ok(pem) => {
                        let key = PublicKey::from_pem(&pem)
                            .map_err(|error| Failure::Wrong(format!("{}: {error}", path.display())))?;
                        Ok(Some(key.fingerprint()))
                    }
                    Err(error) if error.is_not_found() => Ok(None),
                    Err(error) => Err(error.into()),
                }
            }
        }
    }
}

impl Offline {
    fn act(&mut self, request: &KeyActRequest) -> Result<Vec<KeyActResult>, Failure> {
        let mut results = Vec::new();
        for name in &request.keys {
            let done = self.trust.act(request.act, name, &self.by, request.reason.as_deref(), wall());
            results.push(KeyActResult {
                id: name.id.clone(),
                fingerprint: name.fingerprint,
                refused: done.err().map(|error| error.to_string()),
            });
        }
        self.trust.save()?;
        self.keep_owner()?;
        Ok(results)
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

/// Who acts, as the ledger has it from a running master.
pub(crate) fn principal() -> String {
    let uid = nix::unistd::Uid::current();
    let name = nix::unistd::User::from_uid(uid).ok().flatten().map(|user| user.name);
    let name = name.unwrap_or_else(|| "?".to_owned());
    format!("unix:{uid} ({name}), offline")
}
