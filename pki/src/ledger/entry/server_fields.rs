//! How lines say what was decided about servers and enrolment tokens.

use base64ct::{Base64, Encoding};
use brine_protocol::{ServerId, TokenId};

use super::fields::{Fields, Said};
use super::{Deed, LineError, MinionKey, ServerDeed, TokenDeed};

impl Fields {
    pub(super) fn say_server(&mut self, server: ServerId, deed: &ServerDeed) {
        self.server = Some(server);
        match deed {
            ServerDeed::Create { record } | ServerDeed::Update { record } => {
                let is_new = matches!(deed, ServerDeed::Create { .. });
                self.name(if is_new { "create-server" } else { "update-server" });
                self.record = Some(record.clone());
            }
            ServerDeed::Delete { link } => {
                self.name("delete-server");
                if let Some((minion, fate)) = link {
                    self.say_minion(minion);
                    self.fate = Some(*fate);
                }
            }
            ServerDeed::Pair { minion, key, from } => {
                self.name("pair");
                self.say_swap(minion, key.as_deref(), from.as_ref());
            }
            ServerDeed::Unpair { minion, fate } => {
                self.name("unpair");
                self.say_minion(minion);
                self.fate = Some(*fate);
            }
            ServerDeed::Preseed { minion, key, until, from } => {
                self.name("preseed");
                self.say_swap(minion, Some(key), from.as_ref());
                self.until = Some(*until);
            }
            ServerDeed::Fetch { minion } => {
                self.name("fetch");
                self.say_minion(minion);
            }
            ServerDeed::Arrive { minion } => {
                self.name("arrive");
                self.say_minion(minion);
            }
            ServerDeed::Expire { minion } => {
                self.name("expire");
                self.say_minion(minion);
            }
        }
    }

    pub(super) fn say_token(&mut self, token: TokenId, deed: &TokenDeed) {
        self.token = Some(token);
        match deed {
            TokenDeed::Create { hash, server, pattern, uses, until } => {
                self.name("create-token");
                self.hash = Some(*hash);
                self.server = *server;
                self.pattern.clone_from(pattern);
                self.uses = Some(*uses);
                self.until = Some(*until);
            }
            TokenDeed::Revoke => self.name("revoke-token"),
            TokenDeed::Enrol { server, minion, key, from } => {
                self.name("enrol");
                self.server = *server;
                self.say_swap(minion, Some(key), from.as_ref());
            }
        }
    }

    fn say_minion(&mut self, minion: &MinionKey) {
        self.id = Some(minion.id.clone());
        self.fingerprint = Some(minion.fingerprint);
    }

    fn say_swap(&mut self, minion: &MinionKey, key: Option<&[u8]>, from: Option<&MinionKey>) {
        self.say_minion(minion);
        self.key = key.map(Base64::encode_string);
        self.from = from.map(|from| from.fingerprint);
        self.from_id = from.map(|from| &from.id).filter(|id| **id != minion.id).cloned();
    }

    /// What a line about a server or a token says; none if `act` is none of these.
    pub(super) fn read_server(&self, act: &str) -> Result<Option<Said>, LineError> {
        if let Some(said) = self.read_token(act)? {
            return Ok(Some(said));
        }
        let (deed, allowed): (ServerDeed, &'static [&'static str]) = match act {
            "create-server" => (ServerDeed::Create { record: self.read_record()? }, &["server", "record"]),
            "update-server" => (ServerDeed::Update { record: self.read_record()? }, &["server", "record"]),
            "delete-server" => match self.fate {
                Some(fate) => (
                    ServerDeed::Delete { link: Some((self.read_minion()?, fate)) },
                    &["server", "id", "fingerprint", "fate"],
                ),
                None => (ServerDeed::Delete { link: None }, &["server"]),
            },
            "pair" => (
                ServerDeed::Pair {
                    minion: self.read_minion()?,
                    key: self.key.as_ref().map(|_| self.read_key()).transpose()?,
                    from: self.read_given_up()?,
                },
                &["server", "id", "fingerprint", "key", "from_id", "from"],
            ),
            "unpair" => (
                ServerDeed::Unpair { minion: self.read_minion()?, fate: self.need(self.fate, "fate")? },
                &["server", "id", "fingerprint", "fate"],
            ),
            "preseed" => (
                ServerDeed::Preseed {
                    minion: self.read_minion()?,
                    key: self.read_key()?,
                    until: self.need(self.until, "until")?,
                    from: self.read_given_up()?,
                },
                &["server", "id", "fingerprint", "key", "until", "from_id", "from"],
            ),
            "fetch" => (ServerDeed::Fetch { minion: self.read_minion()? }, &["server", "id", "fingerprint"]),
            "arrive" => {
                (ServerDeed::Arrive { minion: self.read_minion()? }, &["server", "id", "fingerprint"])
            }
            "expire" => {
                (ServerDeed::Expire { minion: self.read_minion()? }, &["server", "id", "fingerprint"])
            }
            _ => return Ok(None),
        };
        Ok(Some((Deed::Server { server: self.need(self.server, "server")?, deed }, allowed)))
    }

    fn read_token(&self, act: &str) -> Result<Option<Said>, LineError> {
        let (deed, allowed): (TokenDeed, &'static [&'static str]) = match act {
            "create-token" => {
                // One of the two: with a server, a pattern is a field too many.
                let pattern = match self.server {
                    Some(_) => None,
                    None => Some(self.need(self.pattern.clone(), "pattern")?),
                };
                let allowed: &[&str] = match pattern {
                    Some(_) => &["token", "hash", "pattern", "uses", "until"],
                    None => &["token", "hash", "server", "uses", "until"],
                };
                let deed = TokenDeed::Create {
                    hash: self.need(self.hash, "hash")?,
                    server: self.server,
                    pattern,
                    uses: self.need(self.uses, "uses")?,
                    until: self.need(self.until, "until")?,
                };
                (deed, allowed)
            }
            "revoke-token" => (TokenDeed::Revoke, &["token"]),
            "enrol" => (
                TokenDeed::Enrol {
                    server: self.server,
                    minion: self.read_minion()?,
                    key: self.read_key()?,
                    from: self.read_given_up()?,
                },
                &["token", "server", "id", "fingerprint", "key", "from_id", "from"],
            ),
            _ => return Ok(None),
        };
        Ok(Some((Deed::Token { token: self.need(self.token, "token")?, deed }, allowed)))
    }

    fn read_record(&self) -> Result<Box<brine_protocol::server::ServerRecord>, LineError> {
        self.need(self.record.clone(), "record")
    }

    fn read_minion(&self) -> Result<MinionKey, LineError> {
        Ok(MinionKey { id: self.read_id()?, fingerprint: self.read_fingerprint()? })
    }

    /// The key that is given up: another one of the same id, unless another id is named.
    fn read_given_up(&self) -> Result<Option<MinionKey>, LineError> {
        let other = self.from_id.as_ref();
        if other.is_some() && other == self.id.as_ref() {
            return Err(LineError::Surplus { act: self.act.clone(), field: "from_id" });
        }
        match (self.from, other) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(LineError::Missing { act: self.act.clone(), field: "from" }),
            (Some(fingerprint), other) => {
                Ok(Some(MinionKey { id: other.cloned().map_or_else(|| self.read_id(), Ok)?, fingerprint }))
            }
        }
    }
}
