//! Server records and enrolment tokens.

use brine_protocol::control::{
    Bundle, DeleteServer, ImportServers, KeyFate, PairRequest, PreseedRequest, RevokeToken, Server,
    ServerChange, ServerDecision, ServerImported, ServerMade, ServerRequest, ServersQuery, Token, TokenMade,
    TokenRequest, UnpairRequest,
};
use brine_protocol::server::{ServerId, TokenId};
use hyper::Method;

use super::{Client, encode, percent};
use crate::error::ClientError;

impl Client {
    /// `GET /v1/servers`.
    ///
    /// # Errors
    /// See [`Client::health`].
    pub async fn servers(&self, query: &ServersQuery) -> Result<Vec<Server>, ClientError> {
        self.read(&format!("/v1/servers{}", search(query))).await
    }

    /// `GET /v1/servers/<uuid>`.
    ///
    /// # Errors
    /// See [`Client::health`].
    pub async fn server(&self, id: ServerId) -> Result<Server, ClientError> {
        self.read(&format!("/v1/servers/{id}")).await
    }

    /// `POST /v1/servers`: a record under an id that the master makes.
    ///
    /// # Errors
    /// See [`Client::health`]; [`ClientError::leaves_doubt`] tells whether it may be done all the
    /// same.
    pub async fn create_server(&self, request: &ServerRequest) -> Result<ServerMade, ClientError> {
        self.write("/v1/servers", Some(request)).await
    }

    /// `PUT /v1/servers/<uuid>`: a record under the caller's own id, as often as it likes.
    ///
    /// # Errors
    /// As [`Client::create_server`].
    pub async fn put_server(&self, id: ServerId, request: &ServerRequest) -> Result<ServerMade, ClientError> {
        let path = format!("/v1/servers/{id}");
        let answer = self.exchange(Method::PUT, &path, Some(encode(request)?), &[]).await?;
        self.decode(&path, answer).await
    }

    /// `PATCH /v1/servers/<uuid>`: the record as it is now.
    ///
    /// # Errors
    /// As [`Client::create_server`].
    pub async fn update_server(&self, id: ServerId, change: &ServerChange) -> Result<Server, ClientError> {
        let path = format!("/v1/servers/{id}");
        let answer = self.exchange(Method::PATCH, &path, Some(encode(change)?), &[]).await?;
        self.decode(&path, answer).await
    }

    /// `DELETE /v1/servers/<uuid>`: the record as it was.
    ///
    /// # Errors
    /// As [`Client::create_server`].
    pub async fn delete_server(&self, id: ServerId, how: &DeleteServer) -> Result<Server, ClientError> {
        let key = how.key.map(|fate| ("key", fate_word(fate)));
        let expect = how.expect.map(|key| key.to_string());
        let expect = expect.as_deref().map(|key| ("expect", key));
        let reason = how.reason.as_deref().map(|reason| ("reason", reason));
        let path = format!("/v1/servers/{id}{}", query(key.into_iter().chain(expect).chain(reason)));
        let answer = self.exchange(Method::DELETE, &path, None, &[]).await?;
        self.decode(&path, answer).await
    }

    /// `GET /v1/servers/<uuid>/history`: every decision about the record, oldest first; those about
    /// a deleted one too.
    ///
    /// # Errors
    /// See [`Client::health`].
    pub async fn server_history(&self, id: ServerId) -> Result<Vec<ServerDecision>, ClientError> {
        self.read(&format!("/v1/servers/{id}/history")).await
    }

    /// `POST /v1/servers/<uuid>/pair`: the minion with this key is the server.
    ///
    /// # Errors
    /// As [`Client::create_server`].
    pub async fn pair(&self, id: ServerId, request: &PairRequest) -> Result<Server, ClientError> {
        self.write(&format!("/v1/servers/{id}/pair"), Some(request)).await
    }

    /// `POST /v1/servers/<uuid>/unpair`.
    ///
    /// # Errors
    /// As [`Client::create_server`].
    pub async fn unpair(&self, id: ServerId, request: &UnpairRequest) -> Result<Server, ClientError> {
        self.write(&format!("/v1/servers/{id}/unpair"), Some(request)).await
    }

    /// `POST /v1/servers/<uuid>/preseed`: a key for a record that exists.
    ///
    /// # Errors
    /// As [`Client::create_server`].
    pub async fn preseed(&self, id: ServerId, request: &PreseedRequest) -> Result<ServerMade, ClientError> {
        self.write(&format!("/v1/servers/{id}/preseed"), Some(request)).await
    }

    /// `POST /v1/servers/<uuid>/bundle`: the bundle that the master keeps, which it does no longer
    /// once it has answered.
    ///
    /// # Errors
    /// As [`Client::create_server`].
    pub async fn bundle(&self, id: ServerId) -> Result<Bundle, ClientError> {
        self.write(&format!("/v1/servers/{id}/bundle"), None::<&()>).await
    }

    /// `POST /v1/servers/import`: a result per record, in their order. Records that were refused
    /// say so there.
    ///
    /// # Errors
    /// As [`Client::create_server`].
    pub async fn import_servers(&self, request: &ImportServers) -> Result<Vec<ServerImported>, ClientError> {
        let results: Vec<ServerImported> = self.write("/v1/servers/import", Some(request)).await?;
        let asked = request.servers.len();
        if results.len() == asked {
            return Ok(results);
        }
        Err(ClientError::Protocol(format!("{} results for {asked} records", results.len())))
    }

    /// `GET /v1/tokens`.
    ///
    /// # Errors
    /// See [`Client::health`].
    pub async fn tokens(&self) -> Result<Vec<Token>, ClientError> {
        self.read("/v1/tokens").await
    }

    /// `POST /v1/tokens`: the only time that the secret is told.
    ///
    /// # Errors
    /// As [`Client::create_server`].
    pub async fn create_token(&self, request: &TokenRequest) -> Result<TokenMade, ClientError> {
        self.write("/v1/tokens", Some(request)).await
    }

    /// `DELETE /v1/tokens/<uuid>`: the token as it was.
    ///
    /// # Errors
    /// As [`Client::create_server`].
    pub async fn revoke_token(&self, id: TokenId, how: &RevokeToken) -> Result<Token, ClientError> {
        let reason = how.reason.as_deref().map(|reason| ("reason", reason));
        let path = format!("/v1/tokens/{id}{}", query(reason.into_iter()));
        let answer = self.exchange(Method::DELETE, &path, None, &[]).await?;
        self.decode(&path, answer).await
    }
}

fn search(wanted: &ServersQuery) -> String {
    let find = wanted.find.iter().map(|term| ("find", term.as_str()));
    let linked = wanted.linked.map(|linked| ("linked", if linked { "true" } else { "false" }));
    let named = wanted.named.as_deref().map(|text| ("named", text));
    query(find.chain(linked).chain(named))
}

fn query<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        text.push(if text.is_empty() { '?' } else { '&' });
        text.push_str(&format!("{name}={}", percent(value)));
    }
    text
}

fn fate_word(fate: KeyFate) -> &'static str {
    match fate {
        KeyFate::Keep => "keep",
        KeyFate::Reject => "reject",
        KeyFate::Delete => "delete",
    }
}

#[cfg(test)]
#[path = "servers_tests.rs"]
mod tests;
