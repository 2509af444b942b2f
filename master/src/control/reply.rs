//! Answers as HTTP has them.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use brine_protocol::control::{Problem, ProblemKind};
use serde::Serialize;

/// Seconds after which it may be another answer: jobs end, and the disk is looked at every second.
const RETRY_AFTER: &str = "5";

/// What a handler gives: a response, or a problem that becomes one.
pub(super) type Reply = Result<Response, Refused>;

/// A problem on its way to the caller.
#[derive(Debug)]
pub(super) struct Refused(Problem);

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        problem(&self.0)
    }
}

/// A problem document (RFC 9457).
pub(super) fn problem(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = serde_json::to_vec(problem).expect("a problem is plain data");
    let mut response = (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
    if matches!(problem.kind, ProblemKind::Busy | ProblemKind::Degraded) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
    }
    response
}

/// A JSON body.
pub(super) fn json_reply<T: Serialize>(value: &T) -> Reply {
    let body = serde_json::to_vec(value).map_err(|error| {
        Problem::new(ProblemKind::Internal, format!("the answer cannot be written: {error}"))
    })?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}
