//! The endpoints about keys.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path as Segment, Query, State};
use brine_protocol::control::{ImportRequest, KeyActRequest, KeysQuery};

use super::reply::{Reply, json_reply};
use super::{Api, Caller, bad_query, parse_body, parse_id, unexpected};
use crate::engine::{Answer, Ask};

pub(super) async fn list(
    State(api): State<Arc<Api>>,
    Caller(principal): Caller,
    query: Result<Query<KeysQuery>, QueryRejection>,
) -> Reply {
    let Query(query) = query.map_err(|error| bad_query(&error))?;
    match api.ask(principal, Ask::Keys(query), None).await? {
        Answer::Keys(keys) => json_reply(&keys),
        _ => Err(unexpected().into()),
    }
}

pub(super) async fn history(
    State(api): State<Arc<Api>>,
    Caller(principal): Caller,
    Segment(id): Segment<String>,
) -> Reply {
    match api.ask(principal, Ask::History(parse_id(&id)?), None).await? {
        Answer::History(decisions) => json_reply(&decisions),
        _ => Err(unexpected().into()),
    }
}

pub(super) async fn act(State(api): State<Arc<Api>>, Caller(principal): Caller, body: Bytes) -> Reply {
    let request: KeyActRequest = parse_body(&body)?;
    match api.ask(principal, Ask::Act(request), None).await? {
        Answer::Acted(results) => json_reply(&results),
        _ => Err(unexpected().into()),
    }
}

pub(super) async fn import(State(api): State<Arc<Api>>, Caller(principal): Caller, body: Bytes) -> Reply {
    let request: ImportRequest = parse_body(&body)?;
    match api.ask(principal, Ask::Import(request), None).await? {
        Answer::Acted(results) => json_reply(&results),
        _ => Err(unexpected().into()),
    }
}
