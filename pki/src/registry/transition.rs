//! The one table of what acts make of keys.

use brine_protocol::control::{Act, KeyState};

/// What an act makes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Its new state.
    Becomes(KeyState),
    /// It is forgotten.
    Gone,
    /// Nothing; why.
    Refused(&'static str),
}

/// What `act` makes of a key in state `from`. Accepting has one more condition, which is not
/// about the key itself: no other key holds the id.
#[must_use]
pub fn transition(from: KeyState, act: Act) -> Fate {
    match (from, act) {
        (KeyState::Pending | KeyState::Denied | KeyState::Rejected, Act::Accept) => {
            Fate::Becomes(KeyState::Accepted)
        }
        (KeyState::Accepted, Act::Accept) => Fate::Refused("it is accepted already"),
        (KeyState::Suspended, Act::Accept) => Fate::Refused("it is suspended; resume it"),

        (KeyState::Pending | KeyState::Denied | KeyState::Accepted | KeyState::Suspended, Act::Reject) => {
            Fate::Becomes(KeyState::Rejected)
        }
        (KeyState::Rejected, Act::Reject) => Fate::Refused("it is rejected already"),

        (
            KeyState::Pending
            | KeyState::Denied
            | KeyState::Accepted
            | KeyState::Rejected
            | KeyState::Suspended,
            Act::Delete,
        ) => Fate::Gone,

        (KeyState::Accepted, Act::Suspend) => Fate::Becomes(KeyState::Suspended),
        (KeyState::Suspended, Act::Suspend) => Fate::Refused("it is suspended already"),
        (KeyState::Pending | KeyState::Denied | KeyState::Rejected, Act::Suspend) => {
            Fate::Refused("only an accepted key can be suspended")
        }

        (KeyState::Suspended, Act::Resume) => Fate::Becomes(KeyState::Accepted),
        (KeyState::Pending | KeyState::Denied | KeyState::Accepted | KeyState::Rejected, Act::Resume) => {
            Fate::Refused("only a suspended key can be resumed")
        }
    }
}
