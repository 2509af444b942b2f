//! The fields of a line, and how they say what was decided.

use base64ct::{Base64, Encoding};
use brine_local::text::escape;
use brine_protocol::control::{Act, KeyFate};
use brine_protocol::server::ServerRecord;
use brine_protocol::time::Timestamp;
use brine_protocol::{Fingerprint, MinionId, ServerId, TokenId};
use serde::{Deserialize, Serialize};

use super::{Break, Deed, LineError, keeps_key, read_key};
use crate::key::BITS_MAX;
use crate::ledger::Hash;

/// The line's fields in their order. Those that only some acts have are absent from the others.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fields {
    pub(super) v: u32,
    pub(super) seq: u64,
    pub(super) at: Timestamp,
    pub(super) by: String,
    pub(super) act: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) server: Option<ServerId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) token: Option<TokenId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) record: Option<Box<ServerRecord>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<MinionId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) fingerprint: Option<Fingerprint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) fate: Option<KeyFate>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) from_id: Option<MinionId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<Fingerprint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) hash: Option<Hash>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pattern: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) uses: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) verb: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) subject: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) signature: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) serial: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) breaks: Option<Vec<Break>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) removed: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) aside: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    pub(super) prev: Hash,
}

/// What a line says, and the fields that such a line may have.
pub(super) type Said = (Deed, &'static [&'static str]);

impl Fields {
    /// Fills in what only this decision has.
    pub(super) fn say(&mut self, deed: &Deed) {
        match deed {
            Deed::Key { act, id, fingerprint, key } => {
                self.name(act.name());
                self.id = Some(id.clone());
                self.fingerprint = Some(*fingerprint);
                self.key = key.as_deref().map(Base64::encode_string);
            }
            Deed::Config { serial } => {
                self.name("config");
                self.serial = Some(*serial);
            }
            Deed::Repair { breaks, removed, aside } => {
                self.name("repair");
                self.breaks = Some(breaks.clone());
                self.removed = Some(*removed);
                self.aside.clone_from(aside);
            }
            Deed::Rotate { id, fingerprint, key, from, signature } => {
                self.name("rotate");
                self.id = Some(id.clone());
                self.fingerprint = Some(*fingerprint);
                self.key = Some(Base64::encode_string(key));
                self.from = Some(*from);
                self.signature = Some(Base64::encode_string(signature));
            }
            Deed::Announce { fingerprint, key, from, until } => {
                self.name("announce");
                self.fingerprint = Some(*fingerprint);
                self.key = Some(Base64::encode_string(key));
                self.from = Some(*from);
                self.until = Some(*until);
            }
            Deed::Succeed { fingerprint, from } | Deed::Withdraw { fingerprint, from } => {
                let is_success = matches!(deed, Deed::Succeed { .. });
                self.name(if is_success { "succeed" } else { "withdraw" });
                self.fingerprint = Some(*fingerprint);
                self.from = Some(*from);
            }
            Deed::Server { server, deed } => self.say_server(*server, deed),
            Deed::Token { token, deed } => self.say_token(*token, deed),
            Deed::Refuse { verb, subject } => {
                self.name("refuse");
                self.verb = Some(verb.clone());
                self.subject = Some(subject.clone());
            }
        }
    }

    pub(super) fn name(&mut self, act: &str) {
        act.clone_into(&mut self.act);
    }

    /// What the line says.
    pub(super) fn deed(&self) -> Result<Said, LineError> {
        Ok(match self.act.as_str() {
            "config" => (Deed::Config { serial: self.need(self.serial, "serial")? }, &["serial"]),
            "repair" => (
                Deed::Repair {
                    breaks: self.need(self.breaks.clone(), "breaks")?,
                    removed: self.need(self.removed, "removed")?,
                    aside: self.aside.clone(),
                },
                &["breaks", "removed", "aside"],
            ),
            "rotate" => (
                Deed::Rotate {
                    signature: self.read_signature()?,
                    id: self.read_id()?,
                    fingerprint: self.read_fingerprint()?,
                    key: self.read_key()?,
                    from: self.read_from()?,
                },
                &["id", "fingerprint", "key", "from", "signature"],
            ),
            "announce" => (
                Deed::Announce {
                    until: self.need(self.until, "until")?,
                    fingerprint: self.read_fingerprint()?,
                    key: self.read_key()?,
                    from: self.read_from()?,
                },
                &["fingerprint", "key", "from", "until"],
            ),
            "succeed" => (
                Deed::Succeed { fingerprint: self.read_fingerprint()?, from: self.read_from()? },
                &["fingerprint", "from"],
            ),
            "withdraw" => (
                Deed::Withdraw { fingerprint: self.read_fingerprint()?, from: self.read_from()? },
                &["fingerprint", "from"],
            ),
            "refuse" => (
                Deed::Refuse {
                    verb: self.need(self.verb.clone(), "verb")?,
                    subject: self.need(self.subject.clone(), "subject")?,
                },
                &["verb", "subject"],
            ),
            name => match key_act(name) {
                Some(act) => self.read_key_act(act)?,
                None => self.read_server(name)?.ok_or_else(|| LineError::Act(escape(name)))?,
            },
        })
    }

    fn read_key_act(&self, act: Act) -> Result<Said, LineError> {
        let (fingerprint, id) = (self.read_fingerprint()?, self.read_id()?);
        Ok(if keeps_key(act) {
            let deed = Deed::Key { act, id, fingerprint, key: Some(self.read_key()?) };
            (deed, &["id", "fingerprint", "key"])
        } else {
            (Deed::Key { act, id, fingerprint, key: None }, &["id", "fingerprint"])
        })
    }

    pub(super) fn need<T>(&self, value: Option<T>, field: &'static str) -> Result<T, LineError> {
        value.ok_or_else(|| LineError::Missing { act: self.act.clone(), field })
    }

    pub(super) fn read_id(&self) -> Result<MinionId, LineError> {
        self.need(self.id.clone(), "id")
    }

    pub(super) fn read_fingerprint(&self) -> Result<Fingerprint, LineError> {
        self.need(self.fingerprint, "fingerprint")
    }

    fn read_from(&self) -> Result<Fingerprint, LineError> {
        self.need(self.from, "from")
    }

    pub(super) fn read_key(&self) -> Result<Vec<u8>, LineError> {
        let text = self.need(self.key.as_ref(), "key")?;
        read_key(text, self.read_fingerprint()?).ok_or(LineError::Key)
    }

    fn read_signature(&self) -> Result<Vec<u8>, LineError> {
        let signature = self.need(self.signature.as_ref(), "signature")?;
        let signature = Base64::decode_vec(signature).map_err(|_| LineError::Signature)?;
        if signature.len() > BITS_MAX / 8 { Err(LineError::Signature) } else { Ok(signature) }
    }

    /// The fields present that only some acts have.
    pub(super) fn present(&self) -> impl Iterator<Item = &'static str> + use<> {
        [
            ("server", self.server.is_some()),
            ("token", self.token.is_some()),
            ("record", self.record.is_some()),
            ("id", self.id.is_some()),
            ("fingerprint", self.fingerprint.is_some()),
            ("key", self.key.is_some()),
            ("fate", self.fate.is_some()),
            ("from_id", self.from_id.is_some()),
            ("from", self.from.is_some()),
            ("hash", self.hash.is_some()),
            ("pattern", self.pattern.is_some()),
            ("uses", self.uses.is_some()),
            ("until", self.until.is_some()),
            ("verb", self.verb.is_some()),
            ("subject", self.subject.is_some()),
            ("signature", self.signature.is_some()),
            ("serial", self.serial.is_some()),
            ("breaks", self.breaks.is_some()),
            ("removed", self.removed.is_some()),
            ("aside", self.aside.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, is_present)| is_present.then_some(name))
    }
}

fn key_act(name: &str) -> Option<Act> {
    [Act::Accept, Act::Reject, Act::Delete, Act::Suspend, Act::Resume]
        .into_iter()
        .find(|act| act.name() == name)
}
