//! Server records: what an application knows of a machine before, and whether or not, a minion is
//! linked to it.
//!
//! In Zéphir a *server* is created by somebody with the right to do so, with a model and a zone,
//! before any machine exists. A link to a minion comes later, by pairing a waiting key with the
//! record or by a key that was made for it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{MinionId, glob};

/// The longest name, model, zone, site, label value or external id, in bytes.
pub const TEXT_MAX: usize = 256;

/// The most labels of a record.
pub const LABELS_MAX: usize = 32;

/// The longest name of a label, in bytes.
pub const LABEL_NAME_MAX: usize = 64;

macro_rules! uuid_name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// The id made of these random bytes (RFC 9562, version 4).
            #[must_use]
            pub fn from_random(bytes: [u8; 16]) -> Self {
                Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0.hyphenated())
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                text.parse().map(Self)
            }
        }
    };
}

uuid_name! {
    /// The name of a server record: made by the master, or chosen by the application that keeps
    /// the records.
    ServerId
}

uuid_name! {
    /// The name of an enrolment token. It is no secret.
    TokenId
}

/// What somebody says about a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerRecord {
    /// What people call it. Several may have the same name.
    pub name: String,
    /// The kind of server: what will be installed on it.
    pub model: String,
    /// Whose it is: operators may be limited to zones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// What else is worth saying.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The id that its minion will have; no other record may name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minion_id: Option<MinionId>,
    /// What another application calls it; no other record may be called so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
}

/// Why a record cannot be kept: one sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A text that has to say something is empty.
    #[error("{0} is empty")]
    Empty(String),
    /// A text is too long.
    #[error("{field} has {bytes} bytes, at most {max} are kept")]
    TooLong {
        /// Which.
        field: String,
        /// How long.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A text that would not stay on its line.
    #[error("{0} has a control character in it")]
    Control(String),
    /// Too many labels.
    #[error("{0} labels, at most {LABELS_MAX} are kept")]
    Labels(usize),
    /// A label's name that could not be written in a target.
    #[error("the name of a label is made of letters, digits, '.', '_' and '-', which {0:?} is not")]
    LabelName(String),
}

impl ServerRecord {
    /// Whether everything in it can be kept. Free text is any UTF-8 without control characters.
    ///
    /// # Errors
    /// The first that cannot, in one sentence.
    pub fn check(&self) -> Result<(), RecordError> {
        text("the name", &self.name)?;
        text("the model", &self.model)?;
        let others =
            [("the zone", &self.zone), ("the site", &self.site), ("the external id", &self.external_id)];
        for (field, value) in others {
            value.as_deref().map_or(Ok(()), |value| text(field, value))?;
        }
        if self.labels.len() > LABELS_MAX {
            return Err(RecordError::Labels(self.labels.len()));
        }
        for (name, value) in &self.labels {
            let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
            if name.is_empty() || !name.bytes().all(is_name) {
                return Err(RecordError::LabelName(name.escape_default().to_string()));
            }
            short(&format!("the name of label {name}"), name, LABEL_NAME_MAX)?;
            if !value.is_empty() {
                text(&format!("label {name}"), value)?;
            }
        }
        Ok(())
    }

    /// What a field says, as targets name it: `name`, `model`, `zone`, `site`, `minion_id`,
    /// `external_id`, `label.<name>`.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        match name {
            "name" => Some(&self.name),
            "model" => Some(&self.model),
            "zone" => self.zone.as_deref(),
            "site" => self.site.as_deref(),
            "minion_id" => self.minion_id.as_ref().map(MinionId::as_str),
            "external_id" => self.external_id.as_deref(),
            _ => self.labels.get(name.strip_prefix("label.")?).map(String::as_str),
        }
    }
}

fn text(field: &str, value: &str) -> Result<(), RecordError> {
    if value.trim().is_empty() {
        return Err(RecordError::Empty(field.to_owned()));
    }
    short(field, value, TEXT_MAX)?;
    if value.chars().any(char::is_control) {
        return Err(RecordError::Control(field.to_owned()));
    }
    Ok(())
}

fn short(field: &str, value: &str, max: usize) -> Result<(), RecordError> {
    let bytes = value.len();
    if bytes <= max { Ok(()) } else { Err(RecordError::TooLong { field: field.to_owned(), bytes, max }) }
}

/// `FIELD:GLOB`: which records are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordTerm {
    field: String,
    glob: String,
}

/// Why a text is no [`RecordTerm`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TermError {
    /// No colon.
    #[error("write FIELD:GLOB, such as zone:Dijon or name:web*")]
    Form,
    /// No such field.
    #[error(
        "records have no field {0:?}; there are id, name, model, zone, site, minion_id, external_id and label.NAME"
    )]
    Field(String),
}

impl RecordTerm {
    /// Whether this record is meant. A field that a record does not have matches nothing.
    #[must_use]
    pub fn matches(&self, id: ServerId, record: &ServerRecord) -> bool {
        match self.field.as_str() {
            "id" => glob::matches(&self.glob, &id.to_string()),
            field => record.field(field).is_some_and(|value| glob::matches(&self.glob, value)),
        }
    }
}

impl FromStr for RecordTerm {
    type Err = TermError;

    fn from_str(text: &str) -> Result<Self, TermError> {
        let (field, glob) = text.split_once(':').ok_or(TermError::Form)?;
        let known = ["id", "name", "model", "zone", "site", "minion_id", "external_id"];
        let is_label = field.strip_prefix("label.").is_some_and(|name| !name.is_empty());
        if !known.contains(&field) && !is_label {
            return Err(TermError::Field(field.escape_default().to_string()));
        }
        Ok(Self { field: field.to_owned(), glob: glob.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> ServerRecord {
        ServerRecord {
            name: "Collège Éluard".to_owned(),
            model: "scribe-2.9".to_owned(),
            zone: Some("Dijon".to_owned()),
            site: None,
            labels: [("role".to_owned(), "files".to_owned()), ("note".to_owned(), String::new())].into(),
            minion_id: Some("eluard".parse().expect("an id")),
            external_id: None,
        }
    }

    #[test]
    fn free_text_is_any_utf_8_that_stays_on_its_line() {
        assert_eq!(record().check(), Ok(()));
        let with = |change: fn(&mut ServerRecord)| {
            let mut record = record();
            change(&mut record);
            record.check().expect_err("a fault").to_string()
        };
        assert_eq!(with(|r| r.model = " ".to_owned()), "the model is empty");
        assert_eq!(with(|r| r.name = "a\u{1b}[2J".to_owned()), "the name has a control character in it");
        assert_eq!(with(|r| r.zone = Some("é".repeat(129))), "the zone has 258 bytes, at most 256 are kept");
        assert!(with(|r| drop(r.labels.insert("a b".to_owned(), String::new()))).contains("label"));
        assert!(
            with(|r| r.labels = (0..33).map(|n| (n.to_string(), String::new())).collect()).contains("33")
        );
    }

    #[test]
    fn terms() {
        let id: ServerId = "6f1d3c1e-6a53-4b35-9a2e-0d8b1a3c4d5e".parse().expect("a uuid");
        for (term, is_meant) in [
            ("zone:Dij*", true),
            ("zone:dijon", false),
            ("name:Collège*", true),
            ("label.role:files", true),
            ("label.nosuch:*", false),
            ("site:*", false),
            ("minion_id:eluard", true),
            ("id:6f1d*", true),
        ] {
            let parsed: RecordTerm = term.parse().expect("a term");
            assert_eq!(parsed.matches(id, &record()), is_meant, "{term}");
        }
        assert_eq!("zone".parse::<RecordTerm>(), Err(TermError::Form));
        assert_eq!("colour:red".parse::<RecordTerm>(), Err(TermError::Field("colour".to_owned())));
    }

    #[test]
    fn ids_are_uuids() {
        let id = ServerId::from_random([7; 16]);
        assert_eq!(id.to_string(), "07070707-0707-4707-8707-070707070707");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("web1".parse::<ServerId>().is_err());
    }
}
