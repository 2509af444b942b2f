//! Who asks: the peer of the socket, or whom that one acts as.

use std::sync::Arc;

use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use axum::serve::IncomingStream;
use brine_protocol::control::{Problem, ProblemKind};
use brine_protocol::permission::Verb;
use tokio::net::{UnixListener, UnixStream};

use super::Api;
use super::reply::Refused;
use crate::engine::Input;
use crate::roles::{Principal, Roles, shown};

/// Who is at the other end of the socket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(Option<u32>);

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        let io: &UnixStream = stream.io();
        Peer(io.peer_cred().ok().map(|credentials| credentials.uid()))
    }
}

/// Who asks, for handlers: known before anything of the request is looked at.
pub(super) struct Caller(pub(super) Principal);

impl FromRequestParts<Arc<Api>> for Caller {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Refused> {
        let peer = parts.extensions.get::<ConnectInfo<Peer>>().map_or(Peer(None), |info| info.0);
        let (uid, name) = user(peer)?;
        match api.principal(uid, name.as_deref(), &parts.headers) {
            Ok(principal) => Ok(Self(principal)),
            Err(problem) => {
                if let Some(verb) = trust_verb(&parts.method, parts.uri.path())
                    && problem.kind == ProblemKind::Forbidden
                {
                    let subject = format!("{} {}", parts.method, parts.uri.path());
                    let refused = Input::Refused { who: shown(uid, name.as_deref()), verb, subject };
                    // A master that is stopping writes nothing more.
                    let _ = api.inputs.send(refused).await;
                }
                Err(problem.into())
            }
        }
    }
}

/// The user at the other end.
pub(super) fn user(peer: Peer) -> Result<(u32, Option<String>), Problem> {
    let uid = peer.0.ok_or_else(|| {
        Problem::new(ProblemKind::Forbidden, "the system does not say who is at the other end of the socket")
    })?;
    let name = match uid {
        0 => Some("root".to_owned()),
        uid => nix::unistd::User::from_uid(uid.into()).ok().flatten().map(|user| user.name),
    };
    Ok((uid, name))
}

/// The verb of a request about trust. What comes from somebody without a role is never read further.
fn trust_verb(method: &Method, path: &str) -> Option<Verb> {
    if method == Method::GET || method == Method::HEAD {
        return None;
    }
    let mut words = path.strip_prefix("/v1/")?.split('/');
    match (words.next()?, words.next(), words.next()) {
        ("keys", Some("act"), _) => Some(Verb::KeysAct),
        ("keys", Some("import"), _) => Some(Verb::KeysImport),
        ("master", ..) => Some(Verb::MasterRotate),
        ("servers", _, Some("pair" | "unpair" | "preseed" | "bundle")) | ("tokens", ..) => {
            Some(Verb::ServersLink)
        }
        ("servers", ..) => Some(Verb::ServersEdit),
        _ => None,
    }
}

impl Api {
    /// Who asks: the peer of the socket, or whom that one acts as.
    fn principal(&self, uid: u32, name: Option<&str>, headers: &HeaderMap) -> Result<Principal, Problem> {
        let roles = Arc::clone(&self.roles.borrow());
        self.principal_under(&roles, uid, name, headers)
    }

    /// The same under these roles.
    pub(super) fn principal_under(
        &self,
        roles: &Roles,
        uid: u32,
        name: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<Principal, Problem> {
        let caller = roles.principal(uid, name, self.own_uid)?;
        match headers.get("brine-as") {
            None => Ok(caller),
            Some(name) => {
                let name = name
                    .to_str()
                    .map_err(|_| Problem::new(ProblemKind::BadRequest, "Brine-As is not a name"))?;
                roles.act_as(&caller, name)
            }
        }
    }
}
