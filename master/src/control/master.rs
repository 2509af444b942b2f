//! The endpoints about the master's own key.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use brine_protocol::control::RotateMaster;

use super::reply::{Reply, json_reply};
use super::{Api, Caller, parse_body, unexpected};
use crate::engine::{Answer, Ask};
use crate::roles::Principal;

pub(super) async fn show(State(api): State<Arc<Api>>, Caller(principal): Caller) -> Reply {
    match api.ask(principal, Ask::Rotation, None).await? {
        Answer::Rotation(rotation) => json_reply(&rotation),
        _ => Err(unexpected().into()),
    }
}

pub(super) async fn start(State(api): State<Arc<Api>>, Caller(principal): Caller, body: Bytes) -> Reply {
    let wanted: RotateMaster = parse_body(&body)?;
    change(&api, principal, Ask::Rotate(wanted)).await
}

pub(super) async fn finish(State(api): State<Arc<Api>>, Caller(principal): Caller) -> Reply {
    change(&api, principal, Ask::FinishRotation).await
}

pub(super) async fn withdraw(State(api): State<Arc<Api>>, Caller(principal): Caller) -> Reply {
    change(&api, principal, Ask::WithdrawRotation).await
}

async fn change(api: &Api, principal: Principal, ask: Ask) -> Reply {
    match api.ask(principal, ask, None).await? {
        Answer::Rotation(Some(rotation)) => json_reply(&rotation),
        _ => Err(unexpected().into()),
    }
}
