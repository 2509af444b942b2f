//! Why nothing is done about a server or a token: one sentence each.

use brine_protocol::control::KeyState;
use brine_protocol::server::{RecordError, TEXT_MAX};
use brine_protocol::time::Timestamp;
use brine_protocol::{Fingerprint, MinionId, ServerId, TokenId};

use crate::registry::Refusal;

/// What kind of refusal it is, for whoever has to answer with a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// What is named is not here.
    Unknown,
    /// It does not fit what is here now.
    Conflict,
    /// It fits nowhere.
    Invalid,
    /// Who shows this token is not let in.
    Forbidden,
}

/// Why nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerRefusal {
    /// No such server.
    #[error("there is no server {0}")]
    Unknown(ServerId),
    /// No such token.
    #[error("there is no enrolment token {0}")]
    UnknownToken(TokenId),
    /// The record cannot be kept.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The id is another record's.
    #[error("server {0} is there already, with another content")]
    Exists(ServerId),
    /// The external id is another record's.
    #[error("server {server} has the external id {external_id:?} already, with another content")]
    External {
        /// The external id.
        external_id: String,
        /// Whose it is.
        server: ServerId,
    },
    /// Another record names the minion id.
    #[error("server {name:?} ({server}) is the one that expects the minion {minion}")]
    Expected {
        /// The minion.
        minion: MinionId,
        /// The other server.
        server: ServerId,
        /// Its name.
        name: String,
    },
    /// The minion is another record's.
    #[error("{minion} is linked to server {name:?} ({server}); unpair it there first")]
    LinkedElsewhere {
        /// The minion.
        minion: MinionId,
        /// The other server.
        server: ServerId,
        /// Its name.
        name: String,
    },
    /// The record names another minion id than the one at hand.
    #[error("server {name:?} expects the minion {expected}, not {minion}")]
    Expects {
        /// The server's name.
        name: String,
        /// What its record names.
        expected: MinionId,
        /// The minion at hand.
        minion: MinionId,
    },
    /// The record has a minion, and it was not said that its key is to be given up.
    #[error(
        "server {name:?} is linked to {minion} by the key {fingerprint}; unpair it, or ask to replace that key"
    )]
    Linked {
        /// The server's name.
        name: String,
        /// Its minion.
        minion: MinionId,
        /// That minion's key.
        fingerprint: Fingerprint,
    },
    /// There is nothing to be done.
    #[error("server {name:?} is linked to {minion} by this very key")]
    Same {
        /// The server's name.
        name: String,
        /// Its minion.
        minion: MinionId,
    },
    /// Another key has the minion's id.
    #[error(
        "{minion} is held by the {} key {holder}; reject or delete that key first (pairing can also replace it)",
        .state.name()
    )]
    Held {
        /// The minion.
        minion: MinionId,
        /// The key that holds its id.
        holder: Fingerprint,
        /// In which state.
        state: KeyState,
    },
    /// Two keys would have to give way.
    #[error(
        "server {name:?} is linked to {linked}, and {minion} is held by the key {holder}: one decision gives up one key; unpair the server first"
    )]
    TwoKeys {
        /// The server's name.
        name: String,
        /// Its minion.
        linked: MinionId,
        /// The minion at hand.
        minion: MinionId,
        /// The key that holds its id.
        holder: Fingerprint,
    },
    /// The key that would be cut off is not the one that somebody has seen.
    #[error(
        "server {name:?} changed since it was seen: the key that would give way is {}, not {expected}; look at it again",
        .found.map_or("none".to_owned(), |key| key.to_string())
    )]
    OtherKey {
        /// The server's name.
        name: String,
        /// The key that was seen.
        expected: Fingerprint,
        /// The one that is there.
        found: Option<Fingerprint>,
    },
    /// The record has a minion, and nobody said what becomes of its key.
    #[error("server {name:?} has the minion {minion}; say what becomes of its key: keep, reject or delete")]
    Fate {
        /// The server's name.
        name: String,
        /// Its minion.
        minion: MinionId,
    },
    /// The record has no minion.
    #[error("server {0:?} has no minion")]
    NotLinked(String),
    /// A key that was made here stays in only with its record.
    #[error(
        "the key that was made for server {0:?} was not used yet: it can be rejected or deleted, not kept without its server"
    )]
    Unused(String),
    /// A rejected key, which nobody said to have seen so.
    #[error("the key of {0} is rejected; to pair it in spite of that, say that this is how it was seen")]
    Rejected(MinionId),
    /// No minion id can be made up.
    #[error("server {0:?} names no minion id, and its name is none; give the record a minion id")]
    NoMinionId(String),
    /// A time that is over, or too far away.
    #[error("{0} is not within the next ten years")]
    Until(Timestamp),
    /// No key was made for it.
    #[error("no key was made for server {0:?}")]
    NoPreseed(String),
    /// The minion has come: its key is where it belongs.
    #[error("the minion of server {0:?} has come; its bundle is no longer kept")]
    Arrived(String),
    /// The bundle was handed out.
    #[error("the bundle of server {name:?} was fetched by {by} at {at}; it is handed out once")]
    Fetched {
        /// The server's name.
        name: String,
        /// By whom.
        by: String,
        /// When.
        at: Timestamp,
    },
    /// The bundle's time is over.
    #[error("the bundle of server {name:?} was good until {until}")]
    BundleExpired {
        /// The server's name.
        name: String,
        /// Until when it was good.
        until: Timestamp,
    },
    /// A token for nothing, or for two things.
    #[error("an enrolment token is for one server or for the ids of one pattern: say one of the two")]
    TokenScope,
    /// A pattern that nobody needs.
    #[error("the id pattern of an enrolment token has 1 to {TEXT_MAX} bytes, this one has {0}")]
    TokenPattern(usize),
    /// So many uses make no sense.
    #[error("an enrolment token has at least one use, and exactly one when it is for a server")]
    TokenUses,
    /// A name or secret that is taken.
    #[error("the enrolment token {0} is there already")]
    TokenExists(TokenId),
    /// The token is none, or was revoked.
    #[error("this enrolment token is not known here: it is mistyped or was revoked")]
    TokenUnknown,
    /// The token is too old.
    #[error("this enrolment token was good until {0}")]
    TokenExpired(Timestamp),
    /// The token was used.
    #[error("this enrolment token was used as often as it may be")]
    TokenUsedUp,
    /// The token is for others.
    #[error("this enrolment token is not for the minion {0}")]
    TokenOther(MinionId),
    /// The token's server has a minion.
    #[error("the server of this enrolment token has a minion already")]
    TokenLinked,
    /// A rule turns the id away.
    #[error("this master turns away {0} by its autoreject_file")]
    TurnedAway(MinionId),
    /// Another key has the id.
    #[error("{0} is held by another key; a token does not take its place")]
    TokenHeld(MinionId),
    /// It does not fit the key.
    #[error(transparent)]
    Key(#[from] Refusal),
}

impl ServerRefusal {
    /// What kind of refusal it is.
    #[must_use]
    pub fn kind(&self) -> RefusalKind {
        match self {
            Self::Unknown(_) | Self::UnknownToken(_) | Self::Key(Refusal::Unknown { .. }) => {
                RefusalKind::Unknown
            }
            Self::Record(_)
            | Self::NoMinionId(_)
            | Self::Until(_)
            | Self::TokenScope
            | Self::TokenPattern(_)
            | Self::TokenUses
            | Self::Key(Refusal::ReasonTooLong(_)) => RefusalKind::Invalid,
            Self::TokenUnknown
            | Self::TokenExpired(_)
            | Self::TokenUsedUp
            | Self::TokenOther(_)
            | Self::TokenLinked
            | Self::TurnedAway(_)
            | Self::TokenHeld(_) => RefusalKind::Forbidden,
            Self::Exists(_)
            | Self::External { .. }
            | Self::Expected { .. }
            | Self::LinkedElsewhere { .. }
            | Self::Expects { .. }
            | Self::Linked { .. }
            | Self::Same { .. }
            | Self::Held { .. }
            | Self::TwoKeys { .. }
            | Self::OtherKey { .. }
            | Self::Fate { .. }
            | Self::NotLinked(_)
            | Self::Unused(_)
            | Self::Rejected(_)
            | Self::NoPreseed(_)
            | Self::Arrived(_)
            | Self::Fetched { .. }
            | Self::BundleExpired { .. }
            | Self::TokenExists(_)
            | Self::Key(
                Refusal::Changed { .. }
                | Refusal::Unfit { .. }
                | Refusal::Held { .. }
                | Refusal::Full { .. }
                | Refusal::Known { .. }
                | Refusal::Suspended(_)
                | Refusal::NoRoom(_),
            ) => RefusalKind::Conflict,
        }
    }
}
