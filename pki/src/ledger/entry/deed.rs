//! What a line of the ledger can say.

use brine_protocol::control::{Act, KeyFate};
use brine_protocol::server::ServerRecord;
use brine_protocol::time::Timestamp;
use brine_protocol::{Fingerprint, MinionId, ServerId, TokenId};
use serde::{Deserialize, Serialize};

use crate::ledger::Hash;

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// An act on a key.
    Key {
        /// Which.
        act: Act,
        /// The key's id.
        id: MinionId,
        /// The key.
        fingerprint: Fingerprint,
        /// DER of the public key, on the acts that keep it: accept and reject.
        key: Option<Vec<u8>>,
    },
    /// The master signed a new handshake config.
    Config {
        /// Its serial: at least the last one here and 1.
        serial: u64,
    },
    /// Somebody accepted damage of this file.
    Repair {
        /// Where lines that stayed do not continue each other.
        breaks: Vec<Break>,
        /// How many lines were taken out.
        removed: u64,
        /// The file that they were put into.
        aside: Option<String>,
    },
    /// A minion's accepted key gave way to one that it vouched for.
    Rotate {
        /// The key's id.
        id: MinionId,
        /// The new key.
        fingerprint: Fingerprint,
        /// DER of it.
        key: Vec<u8>,
        /// The key that gave way.
        from: Fingerprint,
        /// What that key signed ([`crate::rotation`]).
        signature: Vec<u8>,
    },
    /// The master announced the key that is to follow its own.
    Announce {
        /// The new key.
        fingerprint: Fingerprint,
        /// DER of it.
        key: Vec<u8>,
        /// The master's key.
        from: Fingerprint,
        /// When the new one takes over.
        until: Timestamp,
    },
    /// The announced key is the master's now.
    Succeed {
        /// That key.
        fingerprint: Fingerprint,
        /// The master's key before.
        from: Fingerprint,
    },
    /// The announced key will not follow after all.
    Withdraw {
        /// That key.
        fingerprint: Fingerprint,
        /// The master's key, which stays.
        from: Fingerprint,
    },
    /// About a server record or its minion.
    Server {
        /// Which.
        server: ServerId,
        /// What.
        deed: ServerDeed,
    },
    /// About an enrolment token.
    Token {
        /// Which.
        token: TokenId,
        /// What.
        deed: TokenDeed,
    },
    /// Somebody asked for what he may not do. Nothing follows from it.
    Refuse {
        /// What was asked for.
        verb: String,
        /// About what.
        subject: String,
    },
}

/// One key of one minion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MinionKey {
    /// The minion.
    pub id: MinionId,
    /// The key.
    pub fingerprint: Fingerprint,
}

/// What was decided about a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerDeed {
    /// It is known from now on.
    Create {
        /// What is said about it.
        record: Box<ServerRecord>,
    },
    /// Something else is said about it.
    Update {
        /// The whole record.
        record: Box<ServerRecord>,
    },
    /// It is no more.
    Delete {
        /// Its minion, and what becomes of that minion's key.
        link: Option<(MinionKey, KeyFate)>,
    },
    /// A minion is the server's.
    Pair {
        /// The minion.
        minion: MinionKey,
        /// DER of the key, when it is accepted by this.
        key: Option<Vec<u8>>,
        /// The key that is given up for it: it is rejected.
        from: Option<MinionKey>,
    },
    /// The minion is the server's no more.
    Unpair {
        /// The minion.
        minion: MinionKey,
        /// What becomes of its key.
        fate: KeyFate,
    },
    /// A key was made for the server's minion, which has yet to come. It is accepted.
    Preseed {
        /// The minion.
        minion: MinionKey,
        /// DER of the public key.
        key: Vec<u8>,
        /// Until when the minion has to come.
        until: Timestamp,
        /// The key that is given up for it: it is rejected.
        from: Option<MinionKey>,
    },
    /// The private key that was made is handed out.
    Fetch {
        /// The minion.
        minion: MinionKey,
    },
    /// The minion for which a key was made has come.
    Arrive {
        /// The minion.
        minion: MinionKey,
    },
    /// It did not come in time: its key is rejected.
    Expire {
        /// The minion.
        minion: MinionKey,
    },
}

/// What was decided about an enrolment token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenDeed {
    /// Who shows it is let in from now on.
    Create {
        /// SHA-256 of its text.
        hash: Hash,
        /// The server whose minion it lets in; or else
        server: Option<ServerId>,
        /// the pattern that a minion's id has to match.
        pattern: Option<String>,
        /// How often it may be used.
        uses: u32,
        /// Until when.
        until: Timestamp,
    },
    /// It is good for nothing any more.
    Revoke,
    /// A minion showed it: its key is accepted.
    Enrol {
        /// The server whose minion it is now.
        server: Option<ServerId>,
        /// The minion.
        minion: MinionKey,
        /// DER of its key.
        key: Vec<u8>,
        /// The key that is given up for it: it is rejected.
        from: Option<MinionKey>,
    },
}

/// What a decision, whatever else it decides, makes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyAct<'a> {
    /// The act.
    pub act: Act,
    /// The key's id.
    pub id: &'a MinionId,
    /// The key.
    pub fingerprint: Fingerprint,
    /// DER of it, if the line has it.
    pub key: Option<&'a [u8]>,
}

impl Deed {
    /// The acts on keys that this decision brings, in their order.
    #[must_use]
    pub fn key_acts(&self) -> Vec<KeyAct<'_>> {
        fn on(act: Act, minion: &MinionKey) -> KeyAct<'_> {
            KeyAct { act, id: &minion.id, fingerprint: minion.fingerprint, key: None }
        }
        fn fate(fate: KeyFate, minion: &MinionKey) -> Vec<KeyAct<'_>> {
            match fate {
                KeyFate::Keep => vec![],
                KeyFate::Reject => vec![on(Act::Reject, minion)],
                KeyFate::Delete => vec![on(Act::Delete, minion)],
            }
        }
        fn swap<'a>(
            from: Option<&'a MinionKey>,
            minion: &'a MinionKey,
            key: Option<&'a [u8]>,
        ) -> Vec<KeyAct<'a>> {
            let accept = key.map(|key| KeyAct { key: Some(key), ..on(Act::Accept, minion) });
            from.map(|from| on(Act::Reject, from)).into_iter().chain(accept).collect()
        }
        match self {
            Deed::Key { act, id, fingerprint, key } => {
                vec![KeyAct { act: *act, id, fingerprint: *fingerprint, key: key.as_deref() }]
            }
            Deed::Server { deed, .. } => match deed {
                ServerDeed::Delete { link: Some((minion, to)) } | ServerDeed::Unpair { minion, fate: to } => {
                    fate(*to, minion)
                }
                ServerDeed::Pair { minion, key, from } => swap(from.as_ref(), minion, key.as_deref()),
                ServerDeed::Preseed { minion, key, from, .. } => swap(from.as_ref(), minion, Some(key)),
                ServerDeed::Expire { minion } => vec![on(Act::Reject, minion)],
                ServerDeed::Create { .. }
                | ServerDeed::Update { .. }
                | ServerDeed::Delete { link: None }
                | ServerDeed::Fetch { .. }
                | ServerDeed::Arrive { .. } => vec![],
            },
            Deed::Token { deed: TokenDeed::Enrol { minion, key, from, .. }, .. } => {
                swap(from.as_ref(), minion, Some(key))
            }
            Deed::Token { deed: TokenDeed::Create { .. } | TokenDeed::Revoke, .. }
            | Deed::Refuse { .. }
            | Deed::Config { .. }
            | Deed::Repair { .. }
            | Deed::Rotate { .. }
            | Deed::Announce { .. }
            | Deed::Succeed { .. }
            | Deed::Withdraw { .. } => vec![],
        }
    }

    /// The server that this is about.
    #[must_use]
    pub fn server(&self) -> Option<ServerId> {
        match self {
            Deed::Server { server, .. } => Some(*server),
            Deed::Token {
                deed: TokenDeed::Create { server, .. } | TokenDeed::Enrol { server, .. }, ..
            } => *server,
            Deed::Token { deed: TokenDeed::Revoke, .. }
            | Deed::Key { .. }
            | Deed::Config { .. }
            | Deed::Repair { .. }
            | Deed::Rotate { .. }
            | Deed::Announce { .. }
            | Deed::Succeed { .. }
            | Deed::Withdraw { .. }
            | Deed::Refuse { .. } => None,
        }
    }

    /// The version of the lines that say this.
    pub(super) fn version(&self) -> u32 {
        match self {
            Deed::Key { .. } | Deed::Config { .. } | Deed::Repair { .. } => 1,
            Deed::Rotate { .. } | Deed::Announce { .. } | Deed::Succeed { .. } | Deed::Withdraw { .. } => 2,
            Deed::Server { .. } | Deed::Token { .. } | Deed::Refuse { .. } => 3,
        }
    }
}

/// Where a line does not continue the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Break {
    /// The line, counted from 1, when this was found.
    pub line: u64,
    /// The hash of the line before it.
    pub expected: Hash,
    /// The hash that it says.
    pub found: Hash,
}
