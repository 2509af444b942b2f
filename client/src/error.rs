//! Why a request did not get its answer, in sentences that say what to do.

use std::path::PathBuf;
use std::time::Duration;

use brine_protocol::control::{Problem, ProblemKind};

/// The longest path of a Unix socket that Linux takes, in bytes.
pub const SOCKET_PATH_MAX: usize = 107;

/// Why a request did not get its answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No exchange took place, or it broke off.
    #[error("{}", why.sentence(socket))]
    Unreachable {
        /// The master's socket.
        socket: PathBuf,
        /// What stood in the way.
        why: Unreachable,
    },
    /// The master answered, and said no.
    #[error("{}", .0.detail)]
    Refused(Problem),
    /// The answer is not what the API promises.
    #[error("the master's answer makes no sense here ({0}); are brine and brine-master of the same version?")]
    Protocol(String),
}

impl ClientError {
    /// Whether the request may have been done all the same: it was on its way, and only the master
    /// knows.
    #[must_use]
    pub fn leaves_doubt(&self) -> bool {
        match self {
            ClientError::Unreachable { why, .. } => match why {
                Unreachable::Silent(_) | Unreachable::Lost => true,
                // These end an attempt to connect.
                Unreachable::NotRunning
                | Unreachable::NotListening
                | Unreachable::Forbidden
                | Unreachable::PathTooLong
                | Unreachable::Other(_) => false,
            },
            // A master that is stopping says Busy, and may have got to it.
            ClientError::Refused(problem) => {
                matches!(problem.kind, ProblemKind::Internal | ProblemKind::Busy)
            }
            ClientError::Protocol(_) => true,
        }
    }
}

/// What stands between a client and its master.
#[derive(Debug)]
pub enum Unreachable {
    /// There is no socket.
    NotRunning,
    /// There is a socket and nobody listens on it.
    NotListening,
    /// The socket is there, and not for this user.
    Forbidden,
    /// The path does not fit into a socket address.
    PathTooLong,
    /// Nothing came back for this long.
    Silent(Duration),
    /// The connection ended before the answer did.
    Lost,
    /// Anything else that the system says.
    Other(std::io::Error),
}

impl Unreachable {
    pub(crate) fn from_connect(error: std::io::Error) -> Self {
        use std::io::ErrorKind;
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => Unreachable::NotRunning,
            ErrorKind::ConnectionRefused => Unreachable::NotListening,
            ErrorKind::PermissionDenied => Unreachable::Forbidden,
            _ => Unreachable::Other(error),
        }
    }

    /// Whether waiting may help: the master may be about to start.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Unreachable::NotRunning | Unreachable::NotListening | Unreachable::Lost | Unreachable::Silent(_)
        )
    }

    fn sentence(&self, socket: &std::path::Path) -> String {
        let socket = socket.display();
        match self {
            Unreachable::NotRunning => format!(
                "brine-master is not running, or its socket is elsewhere: there is no {socket}; \
                 start it, or say where it lives with --root-dir"
            ),
            Unreachable::NotListening => {
                format!("brine-master is not running: nobody listens on {socket} any more; start it again")
            }
            Unreachable::Forbidden => format!(
                "permission denied on {socket}: root, the user that brine-master runs as and the \
                 socket's group (brine, where it exists) may use it"
            ),
            Unreachable::PathTooLong => format!(
                "the socket path {socket} has {} bytes, and the system takes at most {SOCKET_PATH_MAX}; \
                 choose a shorter --root-dir",
                socket.to_string().len()
            ),
            Unreachable::Silent(waited) => {
                format!("brine-master listens on {socket} but gave no answer within {} s", waited.as_secs())
            }
            Unreachable::Lost => {
                format!("brine-master closed {socket} in the middle of an answer; was it stopped?")
            }
            Unreachable::Other(error) => format!("cannot use {socket}: {error}"),
        }
    }
}
