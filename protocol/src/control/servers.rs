//! Server records and their links to minions.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::KeyName;
use crate::server::{ServerId, ServerRecord};
use crate::time::Timestamp;
use crate::{Fingerprint, MinionId};

/// One line of `GET /v1/servers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Its name for programs.
    pub id: ServerId,
    /// What is said about it.
    #[serde(flatten)]
    pub record: ServerRecord,
    /// When it was created.
    pub created: Timestamp,
    /// By whom.
    pub created_by: String,
    /// Its minion, when one is linked.
    #[serde(default)]
    pub link: Option<Link>,
}

/// That a minion is a server's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The minion.
    pub minion: MinionId,
    /// The key that holds its id: accepted or suspended.
    pub fingerprint: Fingerprint,
    /// Since when.
    pub since: Timestamp,
    /// Who made it: an operator, or `token:<uuid>`.
    pub by: String,
    /// By which way.
    pub way: Way,
    /// Of a key that was made for the record and whose minion has yet to come: what is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preseed: Option<Preseed>,
    /// Whether its minion is connected now.
    #[serde(default)]
    pub connected: bool,
}

/// How a link came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// A key was paired with the record by an operator.
    Paired,
    /// The key was made for the record.
    Preseeded,
    /// The minion showed an enrolment token that is bound to the record.
    Enrolled,
}

/// A key that was made for a record, until its minion comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preseed {
    /// When the key is rejected and the link undone, unless the minion has come.
    pub until: Timestamp,
    /// Whether the bundle was fetched: it is handed out once.
    pub is_fetched: bool,
}

/// Query of `GET /v1/servers`; `find` may be repeated, and all of them have to match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServersQuery {
    /// Terms as in [`crate::server::RecordTerm`].
    pub find: Vec<String>,
    /// Only linked ones, or only others.
    pub linked: Option<bool>,
    /// Only the record with this id or external id, and those with exactly this name.
    pub named: Option<String>,
}

/// `POST /v1/servers` and `PUT /v1/servers/<uuid>`: make a record, and on request a key for it.
///
/// `PUT` of a record that exists makes it what the request says. `POST` with an `external_id` that
/// a record has gives that record if it says the same, and is refused otherwise. Either way a
/// message that is delivered twice makes one record and one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerRequest {
    /// What people call it.
    pub name: String,
    /// The kind of server.
    pub model: String,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// What else is worth saying.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The id that its minion will have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minion_id: Option<MinionId>,
    /// What another application calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// Make a key for it as well, accepted and linked, unless it has a minion.
    #[serde(default, skip_serializing_if = "is_false")]
    pub preseed: bool,
    /// How that key is made.
    #[serde(default, skip_serializing_if = "PreseedWish::is_default")]
    pub bundle: PreseedWish,
    /// Why, for the ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl ServerRequest {
    /// The record that is asked for.
    #[must_use]
    pub fn record(&self) -> ServerRecord {
        ServerRecord {
            name: self.name.clone(),
            model: self.model.clone(),
            zone: self.zone.clone(),
            site: self.site.clone(),
            labels: self.labels.clone(),
            minion_id: self.minion_id.clone(),
            external_id: self.external_id.clone(),
        }
    }
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// What is wanted of a key that is made for a record, and of its bundle.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PreseedWish {
    /// Keep the bundle on the master, for `POST /v1/servers/<uuid>/bundle`, instead of handing it
    /// out in the answer.
    pub keep: bool,
    /// The host name or address by which the minion reaches this master.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master: Option<String>,
    /// How long the key waits for its minion, in seconds; seven days when not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_s: Option<u64>,
}

impl PreseedWish {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// `POST /v1/servers/<uuid>/preseed`: make a key for a record that exists.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PreseedRequest {
    /// Give up the key that the record has: it is rejected.
    pub replace: bool,
    /// With `replace`: that key, as it was seen. If it is another by now, nothing is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gives_up: Option<Fingerprint>,
    /// How the new one is made.
    pub bundle: PreseedWish,
    /// Why, for the ledger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The answer to a request that makes a record or a key for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerMade {
    /// The record as it is now.
    #[serde(flatten)]
    pub server: Server,
    /// Whether the record was made by this very request.
    pub made: bool,
    /// The bundle with the private key, when one was made to be handed out here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<crate::Secret>,
}

/// Answer of `POST /v1/servers/<uuid>/bundle`: handed out once, and then no longer kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// The bundle: text, with the private key in it.
    pub bundle: crate::Secret,
}

/// `PATCH /v1/servers/<uuid>` (RFC 7396): what is named changes, `null` takes away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerChange {
    /// Another name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Another model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Another zone, or none.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "named")]
    pub zone: Option<Option<String>>,
    /// Another site, or none.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "named")]
    pub site: Option<Option<String>>,
    /// Labels to set, and with `null` to take away.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, Option<String>>,
    /// Another expected minion id, or none.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "named")]
    pub minion_id: Option<Option<MinionId>>,
    /// Another external id, or none.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "named")]
    pub external_id: Option<Option<String>>,
    /// Why, for the ledger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl ServerChange {
    /// The record after the change.
    #[must_use]
    pub fn apply(&self, mut record: ServerRecord) -> ServerRecord {
        record.name = self.name.clone().unwrap_or(record.name);
        record.model = self.model.clone().unwrap_or(record.model);
        record.zone = self.zone.clone().unwrap_or(record.zone);
        record.site = self.site.clone().unwrap_or(record.site);
        record.minion_id = self.minion_id.clone().unwrap_or(record.minion_id);
        record.external_id = self.external_id.clone().unwrap_or(record.external_id);
        for (name, value) in &self.labels {
            match value {
                Some(value) => record.labels.insert(name.clone(), value.clone()),
                None => record.labels.remove(name),
            };
        }
        record
    }
}

/// Tells a field that is `null` from one that is not there.
fn named<'de, D: Deserializer<'de>, T: Deserialize<'de>>(input: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(input).map(Some)
}

/// What becomes of the key of a minion that is no longer a record's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyFate {
    /// It stays accepted.
    Keep,
    /// It is rejected: the minion is cut off and stays out.
    Reject,
    /// It is forgotten: the minion is cut off and may knock again.
    Delete,
}

/// `POST /v1/servers/<uuid>/pair`: the minion with this key is the server. A waiting key is
/// accepted and linked in one decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairRequest {
    /// The key, and the state in which it was seen.
    pub key: KeyName,
    /// Give up the key that the record has, and the key that holds the minion's id: they are
    /// rejected. For a machine that was installed anew.
    #[serde(default)]
    pub replace: bool,
    /// With `replace`: the key that is given up, as it was seen. If it is another by now, nothing is
    /// done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gives_up: Option<Fingerprint>,
    /// Why, for the ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `POST /v1/servers/<uuid>/unpair`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnpairRequest {
    /// What becomes of the key.
    pub key: KeyFate,
    /// The key, as it was seen. If it is another by now, nothing is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Fingerprint>,
    /// Why, for the ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Query of `DELETE /v1/servers/<uuid>`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeleteServer {
    /// What becomes of its minion's key; has to be said when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyFate>,
    /// That key, as it was seen. If it is another by now, nothing is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect: Option<Fingerprint>,
    /// Why, for the ledger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The most records of one import: the engine makes them in one step, and the ledger with one flush.
pub const IMPORT_MAX: usize = 10_000;

/// `POST /v1/servers/import`: many records at once, [`IMPORT_MAX`] at most. The answer is a [`ServerImported`] per record,
/// in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportServers {
    /// The records; none may ask for a key.
    pub servers: Vec<ServerRequest>,
    /// Make those that are good; otherwise one fault makes none.
    #[serde(default)]
    pub keep_going: bool,
    /// Judge, and make nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Why, for the ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What became of one record of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerImported {
    /// The record's id, unless it was refused or nothing was to be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ServerId>,
    /// Whether it was, or would be, made: not when it was there already, with the same content.
    pub made: bool,
    /// Why it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// One decision about a record, as `GET /v1/servers/<uuid>/history` tells it from the ledger,
/// oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerDecision {
    /// The ledger entry's number.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// What, as the ledger calls it: `create`, `update`, `delete`, `pair`, `unpair`, `preseed`,
    /// `fetch`, `arrive`, `expire`, `enrol`; `rotate`, when its minion has another key; or an act on
    /// the key that undid the link.
    pub act: String,
    /// The minion, of decisions about the link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minion: Option<MinionId>,
    /// Its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
    /// The record from then on, when it was created or changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<ServerRecord>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The record that a key belongs to, or that it asks to belong to, beside the key in
/// `GET /v1/keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyServer {
    /// The record.
    pub id: ServerId,
    /// Its name.
    pub name: String,
    /// Its zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Whether this key is linked to it. If not, the record expects this minion id, or the waiting
    /// minion says that it is this server.
    pub linked: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_tells_null_from_nothing() {
        let change: ServerChange =
            serde_json::from_str(r#"{"zone": null, "labels": {"a": "1", "b": null}}"#).expect("a change");
        let before = ServerRecord {
            name: "n".to_owned(),
            model: "m".to_owned(),
            zone: Some("Dijon".to_owned()),
            site: Some("attic".to_owned()),
            labels: [("b".to_owned(), "2".to_owned())].into(),
            minion_id: None,
            external_id: None,
        };
        let after = change.apply(before.clone());
        assert_eq!((after.zone, after.site), (None, before.site));
        assert_eq!(after.labels, [("a".to_owned(), "1".to_owned())].into());
        assert_eq!(
            serde_json::to_string(&change).expect("JSON"),
            r#"{"zone":null,"labels":{"a":"1","b":null}}"#
        );
    }
}
