//! What an engine has to say about what it did.

use std::fmt;

use brine_protocol::Jid;

/// Why the minion closes a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hangup {
    /// Three beats of the master were missed.
    Silent,
    /// The minion stops.
    Stopping,
    /// Orders keep coming before the session was started by the master.
    NeverStarted,
    /// Orders were turned away, and there is room for them now.
    TurnedAway,
}

impl fmt::Display for Hangup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Hangup::Silent => "the master has been silent for three beats",
            Hangup::Stopping => "the minion stops",
            Hangup::NeverStarted => "the master sends orders before it has named its store",
            Hangup::TurnedAway => {
                "orders were turned away while too many answers waited; now they may come again"
            }
        })
    }
}

/// What happened besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// An order that is known already.
    Duplicate(Jid),
    /// Another order under the jid of one that is open: this master's store is not what it was.
    Conflict(Jid),
    /// An order or another message that only counts in a live session.
    NotLive,
    /// An order was declined.
    Refused {
        /// The job.
        jid: Jid,
        /// The reason told to the master.
        why: String,
    },
    /// An order, or its cancel, was turned away: too many answers wait to be taken by the master.
    TurnedAway(Jid),
    /// The master's store is another one than before.
    StoreChanged,
    /// The master does not take the enrolment token; why.
    TokenRefused(String),
}
