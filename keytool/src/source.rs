//! Where keys are read and acted on: the running master or, when there is none, its ledger.

mod offline;
mod settings;

use std::time::{Duration, Instant};

use brine_client::{Client, ClientError, Exit, KEYS_AT_ONCE, Unreachable};
use brine_local::Paths;
use brine_local::file::FileError;
use brine_pki::ledger::LedgerError;
use brine_pki::registry::{ActError, OpenError};
use brine_protocol::control::{Decision, Health, ImportRequest, Key, KeyActRequest, KeyActResult, KeysQuery};
use brine_protocol::{Fingerprint, MinionId};

use crate::failure::Failure;
pub(crate) use offline::{Offline, principal, public_key};

/// How long a master that holds the ledger may take to open its socket.
const STARTING: Duration = Duration::from_secs(5);

/// What became of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// It was not done, for this reason.
    Refused(String),
    /// It may have been done: this came instead of an answer.
    Unknown(String),
}

impl Outcome {
    /// How a program ends of whose keys this became. What is not known weighs most.
    pub(crate) fn exit(outcomes: &[Outcome]) -> Exit {
        let is = |wanted: fn(&Outcome) -> bool| outcomes.iter().any(wanted);
        if is(|outcome| matches!(outcome, Outcome::Unknown(_))) {
            Exit::Unreachable
        } else if is(|outcome| matches!(outcome, Outcome::Refused(_))) {
            Exit::Refused
        } else {
            Exit::Ok
        }
    }
}

impl From<KeyActResult> for Outcome {
    fn from(result: KeyActResult) -> Self {
        result.refused.map_or(Outcome::Done, Outcome::Refused)
    }
}

impl<T> From<Result<T, ActError>> for Outcome {
    fn from(done: Result<T, ActError>) -> Self {
        done.map_or_else(|error| Outcome::Refused(error.to_string()), |_| Outcome::Done)
    }
}

/// Where keys are.
pub(crate) enum Source {
    Online(Box<Online>),
    Offline(Box<Offline>),
}

/// A running master.
pub(crate) struct Online {
    pub(crate) client: Client,
    /// What it said of itself; none when the caller may not know.
    pub(crate) health: Option<Health>,
}

impl Source {
    /// The master, or its files when no master listens.
    pub(crate) async fn open(paths: &Paths, act_as: Option<String>) -> Result<Self, Failure> {
        let client = Client::new(&paths.control_socket()).acting_as(act_as.clone());
        let end = Instant::now() + STARTING;
        loop {
            let error = match client.health().await {
                Ok(health) => return Ok(Self::online(client, Some(health))),
                // Who may not read the health may still do what is asked; the master decides.
                Err(ClientError::Refused(_)) => return Ok(Self::online(client, None)),
                Err(error) => error,
            };
            let is_stopped = matches!(
                error,
                ClientError::Unreachable { why: Unreachable::NotRunning | Unreachable::NotListening, .. }
            );
            // Without a ledger there has never been a master here: most likely a wrong folder.
            if !is_stopped || !paths.ledger().exists() {
                return Err(error.into());
            }
            match Offline::open(paths) {
                Ok(_) if act_as.is_some() => {
                    return Err(Failure::Refused(
                        "no master runs, and nobody else knows what another name may do: leave out --as"
                            .to_owned(),
                    ));
                }
                Ok(offline) => {
                    eprintln!("brine-key: no master runs; working on {} itself", paths.ledger().display());
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

    pub(crate) fn online(client: Client, health: Option<Health>) -> Self {
        Source::Online(Box::new(Online { client, health }))
    }

    /// The running master; a sentence that says what needs one when there is none.
    pub(crate) fn master(&self, what: &str) -> Result<&Client, Failure> {
        match self {
            Source::Online(online) => Ok(&online.client),
            Source::Offline(_) => Err(Failure::NoMaster(format!("{what} needs a running master: start it"))),
        }
    }

    /// What an administrator should keep in mind, as the master says it.
    pub(crate) fn warnings(&self) -> Vec<String> {
        match self {
            Source::Online(online) => online.health.as_ref().map_or_else(Vec::new, |health| {
                health.problems.iter().chain(&health.notices).cloned().collect()
            }),
            Source::Offline(_) => Vec::new(),
        }
    }

    /// All keys, without the public keys themselves: those are most of a long answer.
    pub(crate) async fn keys(&mut self) -> Result<Vec<Key>, Failure> {
        self.find(&KeysQuery { id: None, public_key: false }).await
    }

    pub(crate) async fn find(&mut self, query: &KeysQuery) -> Result<Vec<Key>, Failure> {
        match self {
            Source::Online(online) => Ok(online.client.keys_of(query).await?),
            Source::Offline(offline) => Ok(offline.find(query)),
        }
    }

    /// Does what is asked, key by key: what became of each, in the order of the request.
    ///
    /// A failure means that nothing was done.
    pub(crate) async fn act(&mut self, request: &KeyActRequest) -> Result<Vec<Outcome>, Failure> {
        match self {
            Source::Online(online) => {
                let (act, reason) = (request.act, &request.reason);
                in_parts(&request.keys, async |keys| {
                    let part = KeyActRequest { act, keys: keys.to_vec(), reason: reason.clone() };
                    online.client.act(&part).await
                })
                .await
            }
            Source::Offline(offline) => offline.act(request),
        }
    }

    /// Takes keys in from elsewhere, as [`Source::act`] does acts.
    pub(crate) async fn import(&mut self, request: &ImportRequest) -> Result<Vec<Outcome>, Failure> {
        match self {
            Source::Online(online) => {
                let reason = &request.reason;
                in_parts(&request.keys, async |keys| {
                    let part = ImportRequest { keys: keys.to_vec(), reason: reason.clone() };
                    online.client.import(&part).await
                })
                .await
            }
            Source::Offline(offline) => offline.import(request),
        }
    }

    /// Every decision about an id, oldest first.
    pub(crate) async fn history(&mut self, id: &MinionId) -> Result<Vec<Decision>, Failure> {
        match self {
            Source::Online(online) => Ok(online.client.history(id).await?),
            Source::Offline(offline) => Ok(offline.history(id)),
        }
    }

    /// The fingerprint of the master's own key, if it has one.
    pub(crate) fn master_fingerprint(&self) -> Result<Option<Fingerprint>, Failure> {
        match self {
            Source::Online(online) => Ok(online.health.as_ref().map(|health| health.fingerprint)),
            Source::Offline(offline) => offline.master_fingerprint(),
        }
    }
}

/// Sends keys in parts. When one fails, what was done before stays told.
async fn in_parts<T>(
    keys: &[T],
    send: impl AsyncFn(&[T]) -> Result<Vec<KeyActResult>, ClientError>,
) -> Result<Vec<Outcome>, Failure> {
    let mut outcomes = Vec::with_capacity(keys.len());
    for part in keys.chunks(KEYS_AT_ONCE) {
        match send(part).await {
            Ok(results) => outcomes.extend(results.into_iter().map(Outcome::from)),
            Err(error) if outcomes.is_empty() && !error.leaves_doubt() => return Err(error.into()),
            Err(error) => {
                if error.leaves_doubt() {
                    outcomes.extend(part.iter().map(|_| Outcome::Unknown(error.to_string())));
                }
                // The rest was never sent.
                outcomes.resize(keys.len(), Outcome::Refused(error.to_string()));
                break;
            }
        }
    }
    Ok(outcomes)
}
