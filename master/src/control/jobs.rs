//! The endpoints about jobs.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path as Segment, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use brine_protocol::control::{
    JOBS_NEXT, JobRow, JobView, JobsQuery, Problem, ProblemKind, SignalRequest, Signalled,
};
use brine_protocol::permission::Verb;
use serde_json::json;
use tokio::sync::mpsc;

use super::caller::Caller;
use super::reply::{Reply, json_reply};
use super::{Api, bad_query, parse_body, parse_jid, streams, unexpected};
use crate::driver::Follow;
use crate::engine::{Answer, Ask};

/// Jobs listed when nobody says how many, and at most.
const LISTED: usize = 50;
const LISTED_MAX: usize = 10_000;

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Caller(principal): Caller,
    query: Result<Query<JobsQuery>, axum::extract::rejection::QueryRejection>,
) -> Reply {
    principal.may(Verb::JobsOwn)?;
    let Query(query) = query.map_err(|error| bad_query(&error))?;
    let limit = query.limit.unwrap_or(LISTED);
    if limit > LISTED_MAX {
        let detail = format!("limit is at most {LISTED_MAX}");
        return Err(Problem::new(ProblemKind::BadRequest, detail).into());
    }
    let page =
        api.read(move |store| store.list(&query, limit, |owner| principal.may_see_job_of(owner))).await?;
    let mut reply = json_reply(&page.jobs)?;
    if let Some(next) = page.next {
        let next = HeaderValue::from_str(next.as_str()).expect("digits");
        reply.headers_mut().insert(JOBS_NEXT, next);
    }
    Ok(reply)
}

pub(super) async fn submit(
    State(api): State<Arc<Api>>,
    Caller(principal): Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Reply {
    let request = parse_body(&body)?;
    let idempotency = match headers.get("idempotency-key") {
        None => None,
        Some(key) => Some(
            key.to_str()
                .map_err(|_| Problem::new(ProblemKind::BadRequest, "Idempotency-Key is not ASCII"))?
                .to_owned(),
        ),
    };
    let wants_stream = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/event-stream"));
    let (events, received) = mpsc::unbounded_channel();
    let follow = wants_stream.then_some(Follow { jid: None, events });
    let answer = api.ask(principal.clone(), Ask::Submit { request, idempotency }, follow).await?;
    let Answer::Job { jid, made } = answer else {
        return Err(unexpected().into());
    };
    match made {
        Some(_) if wants_stream => Ok(streams::live(received)),
        Some(job) => json_reply(&*job).map(|reply| (StatusCode::CREATED, reply).into_response()),
        None if wants_stream => streams::follow(&api, principal, jid).await,
        None => {
            let job = api.read(move |store| store.job(jid)).await?;
            let job = job
                .ok_or_else(|| Problem::new(ProblemKind::NotFound, format!("job {jid} is no longer kept")))?;
            json_reply(&job)
        }
    }
}

pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Caller(principal): Caller,
    Segment(jid): Segment<String>,
) -> Reply {
    let jid = parse_jid(&jid)?;
    let job = streams::visible_job(&api, &principal, jid).await?;
    let Answer::Rows(open) = api.ask(principal, Ask::Presence(jid), None).await? else {
        return Err(unexpected().into());
    };
    // Rows are read after the open ones were listed: a minion that ended meanwhile is in both,
    // and its row wins.
    let mut rows = api.read(move |store| store.rows(jid)).await?;
    for row in open {
        rows.entry(row.id.clone()).or_insert(row);
    }
    let rows = job
        .minions
        .iter()
        .map(|(id, _)| {
            rows.remove(id).unwrap_or(JobRow {
                id: id.clone(),
                ending: None,
                at: None,
                late: vec![],
                presence: None,
            })
        })
        .collect();
    json_reply(&JobView { job, rows })
}

pub(super) async fn follow(
    State(api): State<Arc<Api>>,
    Caller(principal): Caller,
    Segment(jid): Segment<String>,
) -> Reply {
    streams::follow(&api, principal, parse_jid(&jid)?).await
}

pub(super) async fn kill(
    State(api): State<Arc<Api>>,
    Caller(principal): Caller,
    Segment(jid): Segment<String>,
) -> Reply {
    principal.may(Verb::JobsKill)?;
    let jid = parse_jid(&jid)?;
    streams::visible_job(&api, &principal, jid).await?;
    match api.ask(principal, Ask::Kill(jid), None).await? {
        Answer::Cancelled(ids) => json_reply(&json!({"cancelled": ids})),
        _ => Err(unexpected().into()),
    }
}

pub(super) async fn signal(
    State(api): State<Arc<Api>>,
    Caller(principal): Caller,
    Segment(jid): Segment<String>,
    body: Bytes,
) -> Reply {
    principal.may(Verb::JobsKill)?;
    let jid = parse_jid(&jid)?;
    let request: SignalRequest = parse_body(&body)?;
    streams::visible_job(&api, &principal, jid).await?;
    match api.ask(principal, Ask::Signal(jid, request.signal), None).await? {
        Answer::Signalled(signalled) => json_reply(&Signalled { signalled }),
        _ => Err(unexpected().into()),
    }
}

pub(super) async fn probe(
    State(api): State<Arc<Api>>,
    Caller(principal): Caller,
    Segment(jid): Segment<String>,
) -> Reply {
    let jid = parse_jid(&jid)?;
    streams::visible_job(&api, &principal, jid).await?;
    match api.ask(principal, Ask::Probe(jid), None).await? {
        Answer::Rows(rows) => json_reply(&json!({"rows": rows})),
        _ => Err(unexpected().into()),
    }
}
