//! The control API: HTTP/1.1 and JSON over a Unix socket, for the CLI, the key tool and `curl`.
//!
//! Handlers only translate: every decision, permissions included, is the engine's or `roles`'s.
//! The caller is who the socket's peer credentials say, never what a request says.

mod caller;
mod jobs;
mod keys;
mod master;
mod pillar;
mod reply;
mod rights;
mod servers;
mod streams;
mod targets;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path as Segment, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{delete, get, post};
use brine_protocol::control::{Caution, Health, MinionsQuery, Problem, ProblemKind, Whoami};
use brine_protocol::permission::Verb;
use brine_protocol::time::Timestamp;
use brine_protocol::{Jid, MinionId};
use serde::de::DeserializeOwned;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot, watch};

use crate::counters::Counters;
use crate::driver::{Desk, Follow, Waiter};
use crate::engine::{Answer, Ask, Input, Request};
use crate::pillar::Source;
use crate::roles::{Principal, Roles};
use crate::store::{Store, StoreError};
use caller::{Caller, Peer};
use reply::{Reply, json_reply, problem};

/// What handlers share.
pub struct Api {
    /// To the engine.
    pub inputs: mpsc::Sender<Input>,
    /// Where answers come back.
    pub desk: Arc<Desk>,
    /// Jobs and rows.
    pub store: Arc<Store>,
    /// Who may do what.
    pub roles: watch::Receiver<Arc<Roles>>,
    /// What clients are asked to heed.
    pub caution: watch::Receiver<Caution>,
    /// Where pillar is read from.
    pub pillar: watch::Receiver<Source>,
    /// What is counted.
    pub counters: Arc<Counters>,
    /// The uid this master runs as.
    pub own_uid: u32,
    /// The ports as bound: publish, return.
    pub ports: (u16, u16),
    /// The host name or address by which minions reach this master.
    pub master_address: Option<String>,
    /// Since when the master runs.
    pub since: Timestamp,
    /// Largest request body.
    pub request_max: usize,
    /// Most minions that are connected at a time.
    pub minions_max: usize,
}

/// Binds the control socket: mode 0660, group `brine` where there is one.
///
/// # Errors
/// The path is too long for a socket, or cannot be bound; one sentence.
pub fn bind(path: &Path) -> anyhow::Result<UnixListener> {
    use anyhow::Context;
    brine_client::check_socket_path(path)?;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot replace {}", path.display()));
        }
        Ok(()) | Err(_) => {}
    }
    let listener =
        UnixListener::bind(path).with_context(|| format!("cannot listen on {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))
        .with_context(|| format!("cannot set the mode of {}", path.display()))?;
    if let Ok(Some(group)) = nix::unistd::Group::from_name("brine")
        && let Err(error) = nix::unistd::chown(path, None, Some(group.gid))
    {
        tracing::warn!(%error, "cannot give the control socket to group brine");
    }
    Ok(listener)
}

/// Serves the API for as long as the program runs.
///
/// # Errors
/// The socket cannot be accepted on.
pub async fn serve(api: Arc<Api>, listener: UnixListener) -> std::io::Result<()> {
    let request_max = api.request_max;
    let router = Router::new()
        .route("/v1/health", get(health))
        .route("/v1/whoami", get(whoami))
        .route("/v1/keys", get(keys::list))
        .route("/v1/keys/act", post(keys::act))
        .route("/v1/keys/import", post(keys::import))
        .route("/v1/keys/{id}/history", get(keys::history))
        .route("/v1/master/rotation", get(master::show).post(master::start).delete(master::withdraw))
        .route("/v1/master/rotation/finish", post(master::finish))
        .route("/v1/servers", get(servers::list).post(servers::create))
        .route("/v1/servers/import", post(servers::import))
        .route(
            "/v1/servers/{id}",
            get(servers::show).put(servers::put).patch(servers::change).delete(servers::delete),
        )
        .route("/v1/servers/{id}/history", get(servers::history))
        .route("/v1/servers/{id}/pair", post(servers::pair))
        .route("/v1/servers/{id}/unpair", post(servers::unpair))
        .route("/v1/servers/{id}/preseed", post(servers::preseed))
        .route("/v1/servers/{id}/bundle", post(servers::bundle))
        .route("/v1/tokens", get(servers::tokens).post(servers::create_token))
        .route("/v1/tokens/{id}", delete(servers::revoke_token))
        .route("/v1/minions", get(minions))
        .route("/v1/minions/{id}", get(minion))
        .route("/v1/minions/{id}/pillar", get(pillar::show))
        .route("/v1/pillar/check", get(pillar::check))
        .route("/v1/targets", post(targets::get))
        .route("/v1/jobs", get(jobs::list).post(jobs::submit))
        .route("/v1/jobs/{jid}", get(jobs::show))
        .route("/v1/jobs/{jid}/follow", get(jobs::follow))
        .route("/v1/jobs/{jid}/kill", post(jobs::kill))
        .route("/v1/jobs/{jid}/signal", post(jobs::signal))
        .route("/v1/jobs/{jid}/probe", post(jobs::probe))
        .route("/v1/events", get(events))
        .fallback(async || {
            problem(&Problem::new(ProblemKind::NotFound, "there is no such path; the API is under /v1"))
        })
        .method_not_allowed_fallback(async || {
            let mut found = Problem::new(ProblemKind::BadRequest, "this path does not take that method");
            found.status = StatusCode::METHOD_NOT_ALLOWED.as_u16();
            problem(&found)
        })
        .layer(DefaultBodyLimit::max(request_max))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&api), rights::end_streams))
        .with_state(api);
    axum::serve(listener, router.into_make_service_with_connect_info::<Peer>()).await
}

impl Api {
    /// Asks the engine.
    async fn ask(&self, principal: Principal, ask: Ask, follow: Option<Follow>) -> Result<Answer, Problem> {
        let (reply, answer) = oneshot::channel();
        let id = self.desk.expect(Waiter { reply, follow });
        let request = Box::new(Request { id, principal, ask });
        let stopping = || Problem::new(ProblemKind::Busy, "the master is stopping");
        self.inputs.send(Input::Request(request)).await.map_err(|_| stopping())?;
        match answer.await.map_err(|_| stopping())? {
            Answer::Refused(problem) => Err(problem),
            answer => Ok(answer),
        }
    }

    /// Reads the store on a thread that may wait for the disk.
    async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Problem> {
        let store = Arc::clone(&self.store);
        let result = tokio::task::spawn_blocking(move || read(&store)).await;
        match result {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(Problem::new(ProblemKind::Internal, error.to_string())),
            Err(_) => Err(Problem::new(ProblemKind::Internal, "reading the store failed")),
        }
    }
}

fn parse_body<T: DeserializeOwned>(body: &Bytes) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        Problem::new(ProblemKind::BadRequest, format!("the body is not what this takes: {error}"))
    })
}

fn bad_query(error: &axum::extract::rejection::QueryRejection) -> Problem {
    let text = error.body_text();
    let why = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
    Problem::new(ProblemKind::BadRequest, format!("the query is not what this takes: {why}"))
}

fn parse_id(text: &str) -> Result<MinionId, Problem> {
    text.parse().map_err(|error| Problem::new(ProblemKind::BadRequest, format!("{error}")))
}

fn parse_jid(text: &str) -> Result<Jid, Problem> {
    text.parse().map_err(|error| Problem::new(ProblemKind::BadRequest, format!("{error}")))
}

fn unexpected() -> Problem {
    Problem::new(ProblemKind::Internal, "the engine gave an answer to another question")
}

async fn health(State(api): State<Arc<Api>>, Caller(principal): Caller) -> Reply {
    let answer = api.ask(principal, Ask::Health, None).await?;
    let Answer::Health { sessions, keys, mut problems, notices, fingerprint } = answer else {
        return Err(unexpected().into());
    };
    problems.extend(too_few(&keys, api.minions_max));
    json_reply(&Health {
        status: if problems.is_empty() { "ok" } else { "degraded" }.to_owned(),
        problems,
        notices,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        fingerprint,
        publish_port: api.ports.0,
        ret_port: api.ports.1,
        master_address: api.master_address.clone(),
        since: api.since,
        sessions,
        keys,
        counters: api.counters.snapshot(),
    })
}

/// Whether not all accepted minions can be connected at a time.
fn too_few(keys: &serde_json::Map<String, serde_json::Value>, minions_max: usize) -> Option<String> {
    let accepted = keys.get("accepted")?.as_u64()?;
    (accepted > minions_max as u64).then(|| {
        format!(
            "{accepted} keys are accepted, and the limits of this master carry {minions_max} minions at a time: \
             raise the descriptor limit (ulimit -n, LimitNOFILE= of the service) to {} or more, or the option \
             max_minions_connected if it is set",
            // Two each, some beside them, and what the master itself needs.
            accepted * 2 + accepted / 20 + 256
        )
    })
}

/// Whoever is listed may know as what.
async fn whoami(State(api): State<Arc<Api>>, Caller(principal): Caller) -> Reply {
    json_reply(&Whoami {
        principal: principal.to_string(),
        role: principal.role(),
        verbs: principal.verbs().collect(),
        zones: principal.zones().map(<[String]>::to_vec),
        caution: api.caution.borrow().clone(),
    })
}

async fn minions(
    State(api): State<Arc<Api>>,
    Caller(principal): Caller,
    query: Result<Query<MinionsQuery>, axum::extract::rejection::QueryRejection>,
) -> Reply {
    let Query(query) = query.map_err(|error| bad_query(&error))?;
    match api.ask(principal, Ask::Minions(query), None).await? {
        Answer::Minions(minions) => json_reply(&minions),
        _ => Err(unexpected().into()),
    }
}

async fn minion(
    State(api): State<Arc<Api>>,
    Caller(principal): Caller,
    Segment(id): Segment<String>,
) -> Reply {
    match api.ask(principal, Ask::Minion(parse_id(&id)?), None).await? {
        Answer::Minion(minion) => json_reply(&minion),
        _ => Err(unexpected().into()),
    }
}

async fn events(
    State(api): State<Arc<Api>>,
    Caller(principal): Caller,
    headers: HeaderMap,
    query: Result<Query<streams::EventsQuery>, axum::extract::rejection::QueryRejection>,
) -> Reply {
    principal.may(Verb::Events)?;
    let Query(query) = query.map_err(|error| bad_query(&error))?;
    streams::events(&api, &principal, query, &headers)
}
