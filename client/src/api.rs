//! The control API, endpoint by endpoint; server records and tokens in [`servers`].

mod jobs;
mod servers;

use std::path::{Path, PathBuf};

use brine_protocol::control::{
    Decision, Health, ImportRequest, JobRequest, JobRow, JobView, Key, KeyActRequest, KeyActResult,
    KeysQuery, MasterRotation, Matched, Minion, MinionPillar, PillarCheck, RotateMaster, TargetRequest,
    Whoami,
};
use brine_protocol::job::Job;
use brine_protocol::{Jid, MinionId};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::connection::{self, Answer};
use crate::error::ClientError;
use crate::stream::{EventStream, JobStream};
pub use jobs::JobsPage;

/// The most keys that one request should name: they reach the disk together, and the master does
/// nothing else meanwhile. Who has more sends several.
pub const KEYS_AT_ONCE: usize = 500;

/// A client of one master. Each call is one connection: over a Unix socket that costs less than
/// keeping one would save.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
    act_as: Option<String>,
}

/// Answer of `POST /v1/jobs/<jid>/kill`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelled {
    /// The minions that were told to end it.
    pub cancelled: Vec<MinionId>,
}

/// Answer of `POST /v1/jobs/<jid>/probe`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probed {
    /// The minions that are still open, with their presence.
    pub rows: Vec<JobRow>,
}

impl Client {
    /// A client of the master behind this socket. Nothing is opened yet.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned(), act_as: None }
    }

    /// The same client acting under another name, which only ever drops rights.
    #[must_use]
    pub fn acting_as(mut self, name: Option<String>) -> Self {
        self.act_as = name;
        self
    }

    /// The master's socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// `GET /v1/health`.
    ///
    /// # Errors
    /// As every call here: no master, a refusal, or an answer that makes no sense.
    pub async fn health(&self) -> Result<Health, ClientError> {
        self.read("/v1/health").await
    }

    /// `GET /v1/keys`.
    ///
    /// # Errors
    /// See [`Client::health`].
    pub async fn keys(&self) -> Result<Vec<Key>, ClientError> {
        self.read("/v1/keys").await
    }

    /// `GET /v1/keys` of one id, or without the public keys.
    ///
    /// # Errors
    /// See [`Client::health`].
    pub async fn keys_of(&self, query: &KeysQuery) -> Result<Vec<Key>, ClientError> {
        let id = query.id.as_ref().map(|id| format!("&id={id}")).unwrap_or_default();
        self.read(&format!("/v1/keys?public_key={}{id}", query.public_key)).await
    }

    /// `GET /v1/keys/<id>/history`: every decision about keys of this id, oldest first.
    ///
    /// # Errors
    /// See [`Client::health`].
    pub async fn history(&self, id: &MinionId) -> Result<Vec<Decision>, ClientError> {
        self.read(&format!("/v1/keys/{id}/history")).await
    }

    /// `POST /v1/keys/import`, for at most [`KEYS_AT_ONCE`] keys: a result per key, in their order.
    /// Keys that were refused say so there.
    ///
    /// # Errors
    /// See [`Client::health`]; [`ClientError::leaves_doubt`] tells whether it may be done all the
    /// same.
    pub async fn import(&self, request: &ImportRequest) -> Result<Vec<KeyActResult>, ClientError> {
        let results = self.write("/v1/keys/import", Some(request)).await?;
        complete(results, request.keys.len())
    }

    /// `GET /v1/whoami`.
    ///
    /// # Errors
    /// See [`Client::health`].
    pub async fn whoami(&self) -> Result<Whoami, ClientError> {
        self.read("/v1/whoami").await
    }

    /// `GET /v1/master/rotation`.
    ///
    /// # Errors
    /// See [`Client::health`].
    pub async fn master_rotation(&self) -> Result<Option<MasterRotation>, ClientError> {
        self.read("/v1/master/rotation").await
    }

    /// `POST /v1/master/rotation`.
    ///
    /// # Errors
    /// See [`Client::health`].
    pub async fn rotate_master(&self, request: &RotateMaster) -> Result<MasterRotation, ClientError> {
        self.write("/v1/master/rotation", Some(request)).await
    }

    /// `POST /v1/master/rotation/finish`: the new key takes over now. Returns what was finished.
    ///
    /// # Errors
    /// See [`Client::health`].
    pub async fn finish_master_rotation(&self) -> Result<MasterRotation, ClientError> {
        self.write("/v1/master/rotation/finish", None::<&()>).await
    }

    /// `DELETE /v1/master/rotation`: the old key stays. Returns what was withdrawn.
    ///
    /// # Errors
    /// See [`Client::health`].
    pub async fn withdraw_master_rotation(&self) -> Result<MasterRotation, ClientError> {
        let path = "/v1/master/rotation";
        let answer = self.exchange(Method::DELETE, path, None, &[]).await?;
        self.decode(path, answer).await
    }

    /// `POST /v1/keys/act`, for at most [`KEYS_AT_ONCE`] keys: a result per key, in their order.
    /// Keys that were refused say so there.
    ///
    /// # Errors
    /// As [`Client::import`].
    pub async fn act(&self, request: &KeyActRequest) -> Result<Vec<KeyActResult>, ClientError> {
        let results = self.write("/v1/keys/act", Some(request)).await?;
        complete(results, request.keys.len())
    }

    /// `GET /v1/minions`.
    ///
    /// # Errors
    /// See [`Client::health`].
    pub async fn minions(&self) -> Result<Vec<Minion>, ClientError> {
        self.read("/v1/minions").await
    }

    /// `GET /v1/minions/<id>`, with its grains.
    ///
    /// # Errors
    /// See [`Client::health`].
    pub async fn minion(&self, id: &MinionId) -> Result<Minion, ClientError> {
        self.read(&format!("/v1/minions/{id}")).await
    }

    /// `POST /v1/targets`: which minions a target means. Runs nothing.
    ///
    /// # Errors
    /// See [`Client::health`].
    pub async fn targets(&self, request: &TargetRequest) -> Result<Matched, ClientError> {
        self.write("/v1/targets", Some(request)).await
    }

    /// `GET /v1/minions/<id>/pillar`: what it gets, for administrators.
    ///
    /// # Errors
    /// See [`Client::health`].
    pub async fn pillar(&self, id: &MinionId) -> Result<MinionPillar, ClientError> {
        self.read(&format!("/v1/minions/{id}/pillar")).await
    }

    /// `GET /v1/pillar/check`: what is wrong with the pillar files as they are now.
    ///
    /// # Errors
    /// See [`Client::health`].
    pub async fn check_pillar(&self) -> Result<PillarCheck, ClientError> {
        self.read("/v1/pillar/check").await
    }

    /// `POST /v1/jobs` without waiting for returns.
    ///
    /// # Errors
    /// See [`Client::health`].
    pub async fn submit(&self, request: &JobRequest) -> Result<Job, ClientError> {
        self.write("/v1/jobs", Some(request)).await
    }

    /// `POST /v1/jobs`, and follow the job in the same exchange.
    ///
    /// # Errors
    /// See [`Client::health`].
    pub async fn job_stream(&self, request: &JobRequest) -> Result<JobStream, ClientError> {
        let body = encode(request)?;
        let answer = self.exchange(Method::POST, "/v1/jobs", Some(body), &[STREAM]).await?;
        JobStream::new(self.socket.clone(), answer)
    }

    /// `GET /v1/jobs/<jid>`.
    ///
    /// # Errors
    /// See [`Client::health`].
    pub async fn job(&self, jid: Jid) -> Result<JobView, ClientError> {
        self.read(&format!("/v1/jobs/{jid}")).await
    }

    /// `GET /v1/jobs/<jid>/follow`: what is there already, then what comes.
    ///
    /// # Errors
    /// See [`Client::health`].
    pub async fn follow(&self, jid: Jid) -> Result<JobStream, ClientError> {
        let answer = self.exchange(Method::GET, &format!("/v1/jobs/{jid}/follow"), None, &[STREAM]).await?;
        JobStream::new(self.socket.clone(), answer)
    }

    /// `POST /v1/jobs/<jid>/kill`: ends it wherever it is open.
    ///
    /// # Errors
    /// See [`Client::health`].
    pub async fn kill(&self, jid: Jid) -> Result<Cancelled, ClientError> {
        self.write(&format!("/v1/jobs/{jid}/kill"), None::<&()>).await
    }

    /// `POST /v1/jobs/<jid>/probe`: asks the minions that are still open for a sign of life.
    ///
    /// # Errors
    /// See [`Client::health`].
    pub async fn probe(&self, jid: Jid) -> Result<Probed, ClientError> {
        self.write(&format!("/v1/jobs/{jid}/probe"), None::<&()>).await
    }

    /// `GET /v1/events` for tags that match the glob, from behind `last_id` when given.
    ///
    /// # Errors
    /// See [`Client::health`].
    pub async fn events(&self, tag: Option<&str>, last_id: Option<u64>) -> Result<EventStream, ClientError> {
        let query = tag.map(|tag| format!("?tag={}", percent(tag))).unwrap_or_default();
        let last_id = last_id.map(|id| id.to_string());
        let mut headers = vec![STREAM];
        headers.extend(last_id.as_deref().map(|id| ("last-event-id", id)));
        let answer = self.exchange(Method::GET, &format!("/v1/events{query}"), None, &headers).await?;
        EventStream::new(self.socket.clone(), answer)
    }

    async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let answer = self.exchange(Method::GET, path, None, &[]).await?;
        self.decode(path, answer).await
    }

    async fn write<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, ClientError> {
        let body = body.map(encode).transpose()?;
        let answer = self.exchange(Method::POST, path, body, &[]).await?;
        self.decode(path, answer).await
    }

    async fn decode<T: DeserializeOwned>(&self, path: &str, answer: Answer) -> Result<T, ClientError> {
        let bytes = connection::body(&self.socket, answer).await?;
        serde_json::from_slice(&bytes).map_err(|error| ClientError::Protocol(format!("{path}: {error}")))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        headers: &[(&str, &str)],
    ) -> Result<Answer, ClientError> {
        let mut request = Request::builder().method(method).uri(path).header(HOST, "brine");
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(name) = &self.act_as {
            request = request.header("brine-as", name);
        }
        let request = request
            .body(Full::new(body.unwrap_or_default()))
            .map_err(|_| ClientError::Protocol("a name given with --as cannot be sent".to_owned()))?;
        connection::exchange(&self.socket, request).await
    }
}

/// A key without a result would be taken for one of which nothing is to be said.
fn complete(results: Vec<KeyActResult>, asked: usize) -> Result<Vec<KeyActResult>, ClientError> {
    if results.len() == asked {
        return Ok(results);
    }
    Err(ClientError::Protocol(format!("{} results for {asked} keys", results.len())))
}

const STREAM: (&str, &str) = ("accept", "text/event-stream");

fn encode(body: &impl Serialize) -> Result<Bytes, ClientError> {
    serde_json::to_vec(body)
        .map(Bytes::from)
        .map_err(|error| ClientError::Protocol(format!("the request cannot be written as JSON: {error}")))
}

/// A query value (RFC 3986 §2.1): everything but unreserved characters in hex.
fn percent(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(byte as char);
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
#[path = "api_tests.rs"]
mod tests;
