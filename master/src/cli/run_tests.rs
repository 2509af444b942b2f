//! Following jobs on a small control server.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use brine_local::output::{Format, Style};
use brine_protocol::control::{JobRow, Presence, Problem};
use brine_protocol::job::{Delivery, Ending, Job, Returned};
use brine_protocol::target::Target;
use brine_protocol::time::Timestamp;
use serde_json::json;
use tokio::sync::mpsc;

use super::super::show::Wishes;
use super::*;

/// What the server answers: a stream per submission or follow, a presence per probe.
#[derive(Default)]
struct Script {
    streams: Vec<mpsc::Receiver<String>>,
    probes: Vec<Presence>,
}

type Shared = Arc<Mutex<Script>>;

async fn answer(State(script): State<Shared>, request: Request) -> Response {
    let mut script = script.lock().expect("unpoisoned");
    if request.uri().path().ends_with("/probe") {
        let presence = script.probes.remove(0);
        let row = JobRow { id: id("m1"), ending: None, at: None, late: Vec::new(), presence: Some(presence) };
        return Json(Probed { rows: vec![row] }).into_response();
    }
    if script.streams.is_empty() {
        let problem = Problem::new(ProblemKind::NothingMatched, "nobody");
        return (StatusCode::UNPROCESSABLE_ENTITY, Json(problem)).into_response();
    }
    let portions = futures_util::stream::unfold(script.streams.remove(0), |mut portions| async move {
        let portion = portions.recv().await?;
        Some((Ok::<_, Infallible>(portion), portions))
    });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(portions)).into_response()
}

/// What was written, readable while the writer is in use.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("unpoisoned").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Page {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("unpoisoned").clone()).expect("UTF-8")
    }

    async fn wait_for(&self, expected: &str) {
        for _ in 0..500 {
            if self.text() == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("expected {expected:?}, found {:?}", self.text());
    }
}

struct Table {
    client: Client,
    script: Shared,
    out: Page,
    err: Page,
    _folder: tempfile::TempDir,
}

impl Table {
    fn set() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("control.sock");
        let listener = tokio::net::UnixListener::bind(&socket).expect("a socket");
        let script = Shared::default();
        let router = Router::new().fallback(answer).with_state(script.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            client: Client::new(&socket),
            script,
            out: Page::default(),
            err: Page::default(),
            _folder: folder,
        }
    }

    fn stream(&self) -> mpsc::Sender<String> {
        let (sender, receiver) = mpsc::channel(16);
        self.script.lock().expect("unpoisoned").streams.push(receiver);
        sender
    }

    async fn run(&self, timeout: Duration, wishes: Wishes) -> Result<Exit, Failure> {
        let request = JobRequest {
            target: Target::glob("*"),
            calls: Vec::new(),
            delivery: Delivery::Now,
            job_timeout_ms: None,
            batch: None,
            detach: false,
        };
        let show = Show::new(wishes, self.out.clone(), self.err.clone());
        run(&self.client, &request, timeout, String::new(), show).await
    }
}

fn id(text: &str) -> brine_protocol::MinionId {
    text.parse().expect("an id")
}

fn said(event: &JobEvent) -> String {
    format!("event: {}\ndata: {}\n\n", event.name(), json!(event))
}

fn job(ids: &[&str]) -> String {
    said(&JobEvent::Job(Box::new(Job {
        jid: "20261122060732123407".parse().expect("a jid"),
        calls: Vec::new(),
        target: Target::glob("*"),
        delivery: Delivery::Now,
        job_timeout_ms: None,
        batch: None,
        detach: false,
        principal: String::new(),
        submitted: Timestamp(0),
        number: 1,
        minions: ids.iter().map(|i| (id(i), 1)).collect(),
    })))
}

fn returned(name: &str) -> String {
    let returned = Returned { value: json!(true), retcode: 0, duration_ms: 1, truncated: false };
    let ending = Some(Ending::Returned(returned));
    said(&JobEvent::Row(Box::new(JobRow {
        id: id(name),
        ending,
        at: None,
        late: Vec::new(),
        presence: None,
    })))
}

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(80);

#[tokio::test]
async fn returns_show_as_they_arrive() {
    let table = Table::set();
    let stream = table.stream();
    let minions = async {
        stream.send(job(&["m1", "m2"]) + &returned("m2")).await.expect("a listener");
        table.out.wait_for("m2:\n    True\n").await;
        stream.send(returned("m1")).await.expect("a listener");
        table.out.wait_for("m2:\n    True\nm1:\n    True\n").await;
        stream.send(said(&JobEvent::End)).await.expect("a listener");
    };
    let (exit, ()) = tokio::join!(table.run(LONG, Wishes::default()), minions);
    assert_eq!(exit.ok(), Some(Exit::Ok));
    assert_eq!(table.err.text(), "");
}

#[tokio::test]
async fn quiet_minions_are_asked_about() {
    let table = Table::set();
    let stream = table.stream();
    let since = Timestamp(0);
    table.script.lock().expect("unpoisoned").probes =
        vec![Presence::Running, Presence::Running, Presence::Silent { since }];
    stream.send(job(&["m1"])).await.expect("a listener");
    let exit = table.run(SHORT, Wishes::default()).await;
    assert_eq!(exit.ok(), Some(Exit::NoReturn));
    assert_eq!(
        table.out.text(),
        "m1:\n    Minion did not return. [silent since 1970-01-01T00:00:00.000000Z]\n"
    );
    assert_eq!(table.err.text(), "still running after 0 s: m1; brine jobs show 20261122060732123407\n");
}

#[tokio::test]
async fn a_master_that_comes_back_is_followed_again() {
    let table = Table::set();
    let (first, second) = (table.stream(), table.stream());
    first.send(job(&["m1", "m2"]) + &returned("m1")).await.expect("a listener");
    drop(first);
    second
        .send(job(&["m1", "m2"]) + &returned("m1") + &returned("m2") + &said(&JobEvent::End))
        .await
        .expect("a listener");
    let style = Style { format: Format::Json, indent: Some(-1), colours: false };
    let wishes = Wishes { style, is_static: true, ..Wishes::default() };
    assert_eq!(table.run(LONG, wishes).await.ok(), Some(Exit::Ok));
    assert_eq!(table.out.text(), "{\"m1\": true, \"m2\": true}\n");
    assert!(table.err.text().contains("trying again for 60 s"), "{}", table.err.text());
}

#[tokio::test]
async fn a_target_without_minions() {
    let table = Table::set();
    assert_eq!(table.run(LONG, Wishes::default()).await.ok(), Some(Exit::Usage));
    assert_eq!(
        table.out.text(),
        "No minions matched the target. No command was sent, no jid was assigned.\n"
    );
}

#[tokio::test]
async fn no_master() {
    let table = Table::set();
    let nowhere = Client::new(&table.client.socket().with_file_name("nowhere.sock"));
    let table = Table { client: nowhere, ..table };
    let failure = table.run(LONG, Wishes::default()).await.expect_err("nobody there");
    assert_eq!(failure.exit(), Exit::Unreachable);
}

#[tokio::test]
async fn a_reader_that_went_away_ends_it() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let table = Table::set();
    table.stream().send(job(&["m1"]) + &returned("m1")).await.expect("a listener");
    let request = JobRequest {
        target: Target::glob("*"),
        calls: Vec::new(),
        delivery: Delivery::Now,
        job_timeout_ms: None,
        batch: None,
        detach: false,
    };
    let show = Show::new(Wishes::default(), Closed, io::sink());
    let failure = run(&table.client, &request, LONG, String::new(), show).await.expect_err("a closed pipe");
    assert!(failure.is_quiet() && failure.exit() == Exit::ClosedOutput);
}
