//! The endpoint about targets.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use brine_protocol::control::TargetRequest;

use super::reply::{Reply, json_reply};
use super::{Api, Caller, parse_body, unexpected};
use crate::engine::{Answer, Ask};

pub(super) async fn get(State(api): State<Arc<Api>>, Caller(principal): Caller, body: Bytes) -> Reply {
    let request: TargetRequest = parse_body(&body)?;
    match api.ask(principal, Ask::Targets(request), None).await? {
        Answer::Targets(matched) => json_reply(&matched),
        _ => Err(unexpected().into()),
    }
}
