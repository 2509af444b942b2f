//! Enrolment tokens: only the hash of what a minion shows is kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use brine_protocol::control::Token;
use brine_protocol::{Secret, ServerId, TokenId};

use crate::ledger::{Entry, Hash, TokenDeed};

/// What every token's text begins with, so that one that lies about somewhere is recognised.
const PREFIX: &str = "brt_";

/// The token with these random bytes, and the hash of it that is kept.
#[must_use]
pub fn new_token(random: [u8; 32]) -> (Secret, Hash) {
    let text = format!("{PREFIX}{}", Hash(random));
    let hash = hash_token(&text);
    (Secret::from(text), hash)
}

/// What is kept of a token: the SHA-256 of its whole text, which nobody can guess 32 bytes from.
#[must_use]
pub fn hash_token(text: &str) -> Hash {
    Hash::of(text.as_bytes())
}

/// The tokens that were not revoked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tokens {
    all: BTreeMap<TokenId, (Token, Hash)>,
    by_hash: HashMap<Hash, TokenId>,
    by_server: BTreeMap<ServerId, BTreeSet<TokenId>>,
}

impl Tokens {
    pub(super) fn get(&self, id: TokenId) -> Option<&Token> {
        self.all.get(&id).map(|(token, _)| token)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Token> {
        self.all.values().map(|(token, _)| token)
    }

    pub(super) fn of(&self, hash: &Hash) -> Option<TokenId> {
        self.by_hash.get(hash).copied()
    }

    pub(super) fn apply(&mut self, entry: &Entry, id: TokenId, deed: &TokenDeed) {
        match deed {
            TokenDeed::Create { hash, server, pattern, uses, until } => {
                // Two tokens of one name or text are never decided: after a repair the later stands.
                self.revoke(id);
                if let Some(other) = self.of(hash) {
                    self.revoke(other);
                }
                if let Some(server) = server {
                    self.by_server.entry(*server).or_default().insert(id);
                }
                self.by_hash.insert(*hash, id);
                let token = Token {
                    id,
                    server: *server,
                    id_pattern: pattern.clone(),
                    uses: *uses,
                    used: 0,
                    until: *until,
                    created: entry.at,
                    created_by: entry.by.clone(),
                };
                self.all.insert(id, (token, *hash));
            }
            TokenDeed::Revoke => self.revoke(id),
            TokenDeed::Enrol { .. } => {
                if let Some((token, _)) = self.all.get_mut(&id) {
                    token.used = token.used.saturating_add(1);
                }
            }
        }
    }

    fn revoke(&mut self, id: TokenId) {
        let Some((token, hash)) = self.all.remove(&id) else { return };
        self.by_hash.remove(&hash);
        if let Some(server) = token.server
            && let Some(of_server) = self.by_server.get_mut(&server)
        {
            of_server.remove(&id);
            if of_server.is_empty() {
                self.by_server.remove(&server);
            }
        }
    }

    /// Revokes the tokens of a server that is no more.
    pub(super) fn revoke_of(&mut self, server: ServerId) {
        for id in self.by_server.remove(&server).unwrap_or_default() {
            self.revoke(id);
        }
    }
}
