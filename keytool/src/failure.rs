//! Why a command could not do its work: one sentence and an exit code.

use std::io;

use brine_client::{ClientError, Exit};
use brine_local::file::FileError;
use brine_pki::key::KeyError;
use brine_pki::ledger::LedgerError;
use brine_pki::registry::OpenError;

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The master did not answer, or said no.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A terminal or a pipe.
    #[error("cannot read the answer or write the output: {0}")]
    Io(#[from] io::Error),
    /// A file of the master, or one to be made.
    #[error(transparent)]
    File(#[from] FileError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A key could not be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
    /// What was asked for is not there, or did not come in time.
    #[error("{0}")]
    Nothing(String),
    /// It takes a running master.
    #[error("{0}")]
    NoMaster(String),
    /// It has to be done in another way.
    #[error("{0}")]
    Refused(String),
    /// Something that has to be right is not.
    #[error("{0}")]
    Wrong(String),
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Ledger(error) => Failure::Ledger(error),
            OpenError::File(error) => Failure::File(error),
        }
    }
}

impl Failure {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Failure::Client(error) => Exit::from(error),
            Failure::Io(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::ClosedOutput,
            Failure::Io(_)
            | Failure::File(_)
            | Failure::Ledger(_)
            | Failure::Key(_)
            | Failure::Nothing(_)
            | Failure::Wrong(_) => Exit::Failed,
            Failure::Usage(_) => Exit::Usage,
            Failure::NoMaster(_) => Exit::Unreachable,
            Failure::Refused(_) => Exit::Refused,
        }
    }
}
