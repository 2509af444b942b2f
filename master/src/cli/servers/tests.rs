//! Commands against a small control server, and records to show.

use std::io::Write;
use std::sync::{Arc, Mutex};

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use brine_client::{Client, Exit};
use brine_protocol::Fingerprint;
use brine_protocol::control::{Link, Problem, Server, Way};
use brine_protocol::server::{ServerId, ServerRecord};
use brine_protocol::time::Timestamp;
use clap::Parser;
use serde_json::{Value, json};

use super::Desk;
use crate::cli::failure::Failure;
use crate::cli::options::{Noun, NounLine};

/// A record without a minion.
pub(in crate::cli) fn server(number: u8, name: &str) -> Server {
    Server {
        id: ServerId::from_random([number; 16]),
        record: ServerRecord {
            name: name.to_owned(),
            model: "scribe".to_owned(),
            zone: Some("Dijon".to_owned()),
            site: None,
            labels: Default::default(),
            minion_id: None,
            external_id: None,
        },
        created: Timestamp(0),
        created_by: "root".to_owned(),
        link: None,
    }
}

/// The same with one, which is connected.
pub(in crate::cli) fn linked(mut server: Server, minion: &str, key: u8) -> Server {
    server.link = Some(Link {
        minion: minion.parse().expect("an id"),
        fingerprint: Fingerprint([key; 32]),
        since: Timestamp(0),
        by: "alice".to_owned(),
        way: Way::Paired,
        preseed: None,
        connected: true,
    });
    server
}

/// Makes the fake refuse with this.
pub(in crate::cli) fn refusal(problem: &Problem) -> Value {
    json!({"refuse": problem})
}

type Answers = Arc<dyn Fn(&str, Value) -> Value + Send + Sync>;

/// A control server that answers `METHOD /path?query` and a body with a document.
pub(in crate::cli) struct Fake {
    client: Client,
    asked: Arc<Mutex<Vec<String>>>,
    /// The socket is in it.
    _folder: tempfile::TempDir,
}

impl Fake {
    /// Within a runtime.
    pub(in crate::cli) fn new(answers: impl Fn(&str, Value) -> Value + Send + Sync + 'static) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("control.sock");
        let listener = tokio::net::UnixListener::bind(&socket).expect("a socket");
        let asked = Arc::default();
        let state = (Arc::new(answers) as Answers, Arc::clone(&asked));
        let app = Router::new().fallback(answer).with_state(state);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { client: Client::new(&socket), asked, _folder: folder }
    }

    /// How many requests there were that begin so.
    pub(in crate::cli) fn asked(&self, begin: &str) -> usize {
        self.asked.lock().expect("unpoisoned").iter().filter(|line| line.starts_with(begin)).count()
    }

    pub(in crate::cli) fn forget(&self) {
        self.asked.lock().expect("unpoisoned").clear();
    }

    /// Runs a command line without the program's name.
    pub(in crate::cli) async fn run(&self, line: &str, input: &str) -> Ran {
        let mut out = Vec::new();
        let ran = self.run_to(line, input, &mut out, false).await;
        Ran { out: String::from_utf8(out).expect("UTF-8"), ..ran }
    }

    /// The same, with its output to a file that others may read or not.
    pub(in crate::cli) async fn run_to(
        &self,
        line: &str,
        input: &str,
        out: &mut dyn Write,
        is_exposed: bool,
    ) -> Ran {
        let words = std::iter::once("brine").chain(line.split(' '));
        let line = NounLine::try_parse_from(words).unwrap_or_else(|error| panic!("{error}"));
        let mut err = Vec::new();
        let desk = Desk {
            client: &self.client,
            style: line.common.style(),
            input: &mut input.as_bytes(),
            out,
            err: &mut err,
            is_exposed,
        };
        let result = match line.noun {
            Noun::Server { verb } => super::run(desk, verb).await,
            Noun::Token { verb } => crate::cli::tokens::run(desk, verb).await,
            other => panic!("not run here: {other:?}"),
        };
        Ran { result, out: String::new(), err: String::from_utf8(err).expect("UTF-8") }
    }
}

/// What became of a command.
pub(in crate::cli) struct Ran {
    result: Result<Exit, Failure>,
    pub(in crate::cli) out: String,
    pub(in crate::cli) err: String,
}

impl Ran {
    #[track_caller]
    pub(in crate::cli) fn exit(&self) -> Exit {
        *self.result.as_ref().unwrap_or_else(|failure| panic!("{failure}; {}", self.err))
    }

    #[track_caller]
    pub(in crate::cli) fn failure(self) -> (Exit, String) {
        let failure = self.result.expect_err("a failure");
        (failure.exit(), failure.to_string())
    }
}

async fn answer(
    State((answers, asked)): State<(Answers, Arc<Mutex<Vec<String>>>)>,
    request: Request,
) -> Response {
    let line = format!("{} {}", request.method(), request.uri());
    asked.lock().expect("unpoisoned").push(line.clone());
    let body = axum::body::to_bytes(request.into_body(), 1 << 24).await.expect("a body");
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).expect("JSON") };
    let said = answers(&line, body);
    match said.get("refuse") {
        Some(problem) => {
            let status =
                problem["status"].as_u64().and_then(|status| StatusCode::from_u16(status as u16).ok());
            (status.expect("a status"), Json(problem)).into_response()
        }
        None => Json(said).into_response(),
    }
}
