//! The one table of exit codes of `brine` and `brine-key`.

use std::process::ExitCode;

use brine_protocol::control::ProblemKind;

use crate::ClientError;

/// How a program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// All well.
    Ok = 0,
    /// It could not be done for a reason that no other code names: a file, the system.
    /// With `brine-key` also that nothing matched: it is a script that has to notice, not a typist.
    Failed = 1,
    /// Wrong usage; with `brine` also that nothing matched.
    Usage = 2,
    /// No master answers.
    Unreachable = 3,
    /// The master, or the rules, said no.
    Refused = 4,
    /// Some minion's function ended with a retcode other than 0. Salt's code.
    Retcode = 11,
    /// Some minion gave no return. Outweighs [`Exit::Retcode`].
    NoReturn = 12,
    /// Ctrl-C.
    Interrupted = 130,
    /// Whoever read our output went away: what a shell shows for SIGPIPE.
    ClosedOutput = 141,
}

impl Exit {
    /// The number for the shell.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

impl From<&ClientError> for Exit {
    fn from(error: &ClientError) -> Self {
        match error {
            ClientError::Unreachable { .. } => Exit::Unreachable,
            ClientError::Refused(problem) => match problem.kind {
                ProblemKind::BadRequest | ProblemKind::NotFound | ProblemKind::NothingMatched => Exit::Usage,
                ProblemKind::Forbidden
                | ProblemKind::Conflict
                | ProblemKind::Busy
                | ProblemKind::Degraded
                | ProblemKind::Internal => Exit::Refused,
            },
            ClientError::Protocol(_) => Exit::Failed,
        }
    }
}
