//! Why a command could not do its work: one sentence and an exit code.

use std::io;

use brine_client::{ClientError, Exit};
use brine_local::config::ConfigError;
use brine_local::file::FileError;

use brine_local::arguments::ArgsError;

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The master did not answer, or said no.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A terminal, a pipe, a signal.
    #[error("cannot write the output: {0}")]
    Io(#[from] io::Error),
    /// `master.yaml`.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The words behind the target.
    #[error(transparent)]
    Args(#[from] ArgsError),
    /// A file that was named.
    #[error(transparent)]
    File(#[from] FileError),
    /// It was not done, and nobody said no.
    #[error("{0}")]
    Nothing(String),
    /// What the master is known to refuse, before it was asked.
    #[error("{0}")]
    Refused(String),
    /// Ctrl-C, where there was something to tidy up.
    #[error("interrupted")]
    Interrupted,
    /// The command line makes no sense for another reason.
    #[error("{0}")]
    Usage(String),
    /// Another program cannot be started.
    #[error("cannot run {program}: {reason}")]
    Exec {
        /// The program.
        program: String,
        /// What the system says.
        reason: io::Error,
    },
}

impl Failure {
    /// The exit code that goes with it.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Failure::Client(error) => Exit::from(error),
            Failure::Io(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::ClosedOutput,
            Failure::Io(_) | Failure::Exec { .. } | Failure::File(_) | Failure::Nothing(_) => Exit::Failed,
            Failure::Refused(_) => Exit::Refused,
            Failure::Interrupted => Exit::Interrupted,
            Failure::Config(_) | Failure::Args(_) | Failure::Usage(_) => Exit::Usage,
        }
    }

    /// Whether there is something to say: nobody reads a message about their own closed pipe.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.exit() == Exit::ClosedOutput
    }
}
