//! Why a simulated session ended, and how soon it is tried again.

use std::borrow::Cow;
use std::time::Duration;

use brine_minion::backoff::Setback;
use brine_pki::handshake::HandshakeError;

/// Why a session could not be had or went away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// No connection, or it was lost.
    Lost(Cow<'static, str>),
    /// The master asked to come back later.
    Busy(Duration),
    /// Somebody answered, and not so that one would try again at once.
    Refused(Cow<'static, str>),
    /// The swarm stops.
    Stopped,
}

impl Ended {
    /// How soon to try again: what the real minion decides.
    pub(super) fn setback(&self) -> Setback {
        match self {
            Ended::Busy(at_least) => Setback::Slow { at_least: *at_least },
            Ended::Refused(_) => Setback::Slow { at_least: Duration::ZERO },
            Ended::Lost(_) | Ended::Stopped => Setback::Lost,
        }
    }

    /// One sentence, the same for all that ended alike.
    pub(super) fn reason(&self) -> &str {
        match self {
            Ended::Lost(why) | Ended::Refused(why) => why,
            Ended::Busy(_) => "the master is busy",
            Ended::Stopped => "the swarm stops",
        }
    }
}

impl From<HandshakeError> for Ended {
    fn from(error: HandshakeError) -> Self {
        match error {
            HandshakeError::Busy { retry_after_ms } => {
                Ended::Busy(Duration::from_millis(u64::from(retry_after_ms)))
            }
            other => Ended::Refused(other.to_string().into()),
        }
    }
}
