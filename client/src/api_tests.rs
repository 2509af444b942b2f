//! The client against a small server on a socket of its own.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use brine_protocol::control::{JobEvent, JobsQuery, Problem, ProblemKind};
use brine_protocol::target::Target;
use serde_json::json;

use super::*;
use crate::{Exit, Unreachable};

fn stream(portions: &'static [&'static str]) -> Response {
    let portions = portions.iter().map(|portion| Ok::<_, Infallible>(Bytes::from_static(portion.as_bytes())));
    let body = Body::from_stream(futures_util::stream::iter(portions));
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}

/// Echoes the request line into what it answers, so that tests see what was sent.
async fn answer(request: Request) -> Response {
    let line = format!("{} {}", request.method(), request.uri());
    let header =
        |name: &str| request.headers().get(name).map(|value| value.to_str().expect("text").to_owned());
    let problem = |kind, detail: &str| {
        let status = StatusCode::from_u16(ProblemKind::status(kind)).expect("a status");
        (status, Json(Problem::new(kind, detail))).into_response()
    };
    match line.as_str() {
        "POST /v1/jobs" if header("accept").as_deref() == Some("text/event-stream") => stream(&[
            "event: row\nda",
            "ta: {\"event\": \"row\", \"id\": \"m1\", \"ending\": {\"state\": \"expired\"}}\n\n: beat\n\n",
            "event: end\ndata: {\"event\": \"end\"}\n\nignored",
        ]),
        "GET /v1/events?tag=brine%2Fkey%2F%2A" if header("last-event-id").as_deref() == Some("7") => {
            stream(&["data: {\"id\": 8, \"tag\": \"t\", \"at\": \"2026-11-22T06:07:32Z\", \"data\": 1}\n\n"])
        }
        "GET /v1/jobs?active=true&limit=3" => Json(json!([])).into_response(),
        "GET /v1/keys" => problem(ProblemKind::Forbidden, &format!("as {:?}", header("brine-as"))),
        "GET /v1/minions/web1" => problem(ProblemKind::NotFound, "no such minion"),
        "POST /v1/keys/act" | "POST /v1/keys/import" => Json(json!([])).into_response(),
        "GET /v1/minions" => Json(json!({"not": "a list"})).into_response(),
        "GET /v1/health" => (StatusCode::BAD_GATEWAY, "<html>").into_response(),
        other => panic!("unexpected {other}"),
    }
}

struct Server {
    client: Client,
    _folder: tempfile::TempDir,
}

fn server() -> Server {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("control.sock");
    let listener = tokio::net::UnixListener::bind(&socket).expect("a socket");
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    Server { client: Client::new(&socket), _folder: folder }
}

fn request() -> JobRequest {
    JobRequest {
        target: Target::glob("*"),
        calls: Vec::new(),
        delivery: brine_protocol::job::Delivery::Now,
        job_timeout_ms: None,
        batch: None,
        detach: false,
    }
}

#[tokio::test]
async fn streams() {
    let server = server();
    let mut stream = server.client.job_stream(&request()).await.expect("a stream");
    let row = stream.next().await.expect("an event");
    assert!(matches!(row, Some(JobEvent::Row(row)) if row.id.as_str() == "m1"));
    assert_eq!(stream.next().await.expect("an event"), Some(JobEvent::End));
    assert_eq!(stream.next().await.expect("no event"), None);

    let mut events = server.client.events(Some("brine/key/*"), Some(7)).await.expect("a stream");
    assert_eq!(events.next().await.expect("an event").expect("no gap").id, 8);
    let lost = events.next().await.expect_err("the server ended it");
    assert!(matches!(lost, ClientError::Unreachable { why: Unreachable::Lost, .. }), "{lost}");
}

#[tokio::test]
async fn refusals_and_nonsense() {
    let server = server();
    let client = &server.client;
    let query = JobsQuery { active: true, limit: Some(3), ..JobsQuery::default() };
    assert_eq!(client.jobs(&query).await.expect("jobs"), []);
    let error = client.clone().acting_as(Some("alice".to_owned())).keys().await.expect_err("refused");
    assert_eq!((error.to_string().as_str(), Exit::from(&error)), ("as Some(\"alice\")", Exit::Refused));
    let error = client.minion(&"web1".parse().expect("an id")).await.expect_err("refused");
    assert_eq!(Exit::from(&error), Exit::Usage);
    let error = client.minions().await.expect_err("no list");
    assert!(error.to_string().contains("/v1/minions: invalid type"), "{error}");
    let error = client.health().await.expect_err("no health");
    assert!(error.to_string().contains("HTTP status 502"), "{error}");
    assert_eq!(Exit::from(&error), Exit::Failed);
}

#[tokio::test]
async fn a_key_without_a_result_is_in_doubt() {
    use brine_protocol::control::{Act, ImportedKey, KeyName, KeyState};
    let server = server();
    let id: MinionId = "web1".parse().expect("an id");
    let name = KeyName { id: id.clone(), fingerprint: brine_protocol::Fingerprint([1; 32]), state: None };
    let act = KeyActRequest { act: Act::Delete, keys: vec![name], reason: None };
    let error = server.client.act(&act).await.expect_err("no result");
    assert!(error.leaves_doubt() && error.to_string().contains("0 results for 1 keys"), "{error}");
    let key = ImportedKey { id, public_key: String::new(), state: KeyState::Pending };
    let import = ImportRequest { keys: vec![key], reason: None };
    assert!(server.client.import(&import).await.expect_err("no result").leaves_doubt());
}

#[test]
fn what_leaves_doubt() {
    let unreachable = |why| ClientError::Unreachable { socket: "/x".into(), why };
    for (error, expected) in [
        (unreachable(Unreachable::Silent(Duration::from_secs(30))), true),
        (unreachable(Unreachable::Lost), true),
        (unreachable(Unreachable::NotRunning), false),
        (unreachable(Unreachable::NotListening), false),
        (unreachable(Unreachable::Forbidden), false),
        (unreachable(Unreachable::PathTooLong), false),
        (ClientError::Protocol("x".to_owned()), true),
        (ClientError::Refused(Problem::new(ProblemKind::Internal, "x")), true),
        (ClientError::Refused(Problem::new(ProblemKind::Busy, "the master is stopping")), true),
        (ClientError::Refused(Problem::new(ProblemKind::Forbidden, "x")), false),
    ] {
        assert_eq!(error.leaves_doubt(), expected, "{error}");
    }
}

#[tokio::test]
async fn no_master() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = Client::new(&folder.path().join("control.sock"));
    let error = missing.health().await.expect_err("nobody");
    assert!(
        error
            .to_string()
            .starts_with("brine-master is not running, or its socket is elsewhere: there is no /"),
        "{error}"
    );
    assert_eq!(Exit::from(&error), Exit::Unreachable);

    let dead = folder.path().join("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&dead).expect("a socket"));
    let error = Client::new(&dead).health().await.expect_err("nobody listens");
    assert!(error.to_string().contains("nobody listens"), "{error}");

    let long = folder.path().join("x".repeat(120));
    let error = Client::new(&long).health().await.expect_err("too long");
    assert!(error.to_string().contains("at most 107"), "{error}");

    // Takes the connection and hangs up.
    let rude = folder.path().join("rude.sock");
    let listener = tokio::net::UnixListener::bind(&rude).expect("a socket");
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            drop(connection);
        }
    });
    let error = Client::new(&rude).health().await.expect_err("hung up");
    assert!(matches!(error, ClientError::Unreachable { why: Unreachable::Lost, .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_master_that_says_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("control.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    let started = tokio::time::Instant::now();
    let error = Client::new(&socket).health().await.expect_err("silence");
    assert!(matches!(error, ClientError::Unreachable { why: Unreachable::Silent(_), .. }), "{error}");
    assert!(started.elapsed() >= Duration::from_secs(30));
}
