//! The endpoints about pillar, for administrators.

use std::sync::Arc;

use axum::extract::{Path as Segment, State};
use brine_protocol::control::{PillarCheck, Problem, ProblemKind};
use brine_protocol::permission::Verb;

use super::reply::{Reply, json_reply};
use super::{Api, Caller, parse_id, unexpected};
use crate::engine::{Answer, Ask};

pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Caller(principal): Caller,
    Segment(id): Segment<String>,
) -> Reply {
    match api.ask(principal, Ask::Pillar(parse_id(&id)?), None).await? {
        Answer::Pillar(pillar) => json_reply(&pillar),
        _ => Err(unexpected().into()),
    }
}

/// Reads the files as they are now, and tells nobody else.
pub(super) async fn check(State(api): State<Arc<Api>>, Caller(principal): Caller) -> Reply {
    principal.may(Verb::PillarShow)?;
    let source = api.pillar.borrow().clone();
    let read = tokio::task::spawn_blocking(move || source.read())
        .await
        .map_err(|_| Problem::new(ProblemKind::Internal, "reading the pillar files failed"))?;
    let (targets, files) = read.tree.as_ref().map_or((0, 0), |tree| (tree.targets(), tree.files()));
    let problem = read.tree.err().map(|fault| fault.to_string());
    json_reply(&PillarCheck { problem, warning: read.warning, targets, files })
}
