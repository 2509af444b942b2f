//! A master that says what a test wants it to say, and goes away when told to.

use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use crate::samples::{health, whoami};
use brine_protocol::control::{Key, Problem, ProblemKind, Server};
use brine_protocol::permission::Role;

/// What is shared with its connections.
#[derive(Clone)]
struct Shared {
    keys: Arc<Mutex<Vec<Key>>>,
    servers: Arc<Mutex<Vec<Server>>>,
    asked: Arc<Mutex<Vec<String>>>,
    events: broadcast::Sender<String>,
}

/// The master. Dropped, it is gone with all its connections.
pub(super) struct Fake {
    shared: Shared,
    accepting: JoinHandle<()>,
}

impl Fake {
    pub(super) fn start(socket: &Path, keys: Vec<Key>) -> Self {
        let _ = std::fs::remove_file(socket);
        let listener = UnixListener::bind(socket).expect("a socket");
        let shared = Shared {
            keys: Arc::new(Mutex::new(keys)),
            servers: Arc::default(),
            asked: Arc::default(),
            events: broadcast::channel(4096).0,
        };
        let serving = shared.clone();
        let accepting = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, serving.clone()));
            }
        });
        Self { shared, accepting }
    }

    pub(super) fn set_keys(&self, keys: Vec<Key>) {
        *self.shared.keys.lock().unwrap() = keys;
    }

    pub(super) fn set_servers(&self, servers: Vec<Server>) {
        *self.shared.servers.lock().unwrap() = servers;
    }

    /// Sends an event to whoever follows.
    pub(super) fn event(&self, tag: &str, data: &Value) {
        let event = json!({"id": 1, "tag": tag, "at": "2026-11-22T00:00:00Z", "data": data});
        let _ = self.shared.events.send(format!("id: 1\nevent: {tag}\ndata: {event}\n\n"));
    }

    /// Tells that events were missed.
    pub(super) fn gap(&self) {
        let _ = self.shared.events.send("event: brine/gap\ndata: {}\n\n".to_owned());
    }

    /// The paths asked for since this was last called.
    pub(super) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.shared.asked.lock().unwrap())
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(mut stream: UnixStream, shared: Shared) {
    let Some(request) = read(&mut stream).await else { return };
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    shared.asked.lock().unwrap().push(path.clone());
    let mut status = 200;
    let body = match path.split('?').next().unwrap_or_default() {
        "/v1/events" => return follow(stream, shared).await,
        "/v1/whoami" => json!(whoami(Role::Admin)),
        "/v1/health" => json!(health()),
        "/v1/keys" => {
            let wanted = path.split_once("id=").map(|(_, id)| id.to_owned());
            let keys = shared.keys.lock().unwrap().clone();
            json!(
                keys.into_iter()
                    .filter(|key| wanted.as_deref().is_none_or(|id| key.id.as_str() == id))
                    .collect::<Vec<_>>()
            )
        }
        path if path.starts_with("/v1/servers") => match of_servers(path, &shared.servers.lock().unwrap()) {
            Some(body) => body,
            None => {
                let kind = ProblemKind::NotFound;
                status = kind.status();
                json!(Problem::new(kind, "there is no such record"))
            }
        },
        _ => json!([]),
    };
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all((head + &body).as_bytes()).await;
}

/// A whole request: a connection that is closed before its body was read is one that broke off.
async fn read(stream: &mut UnixStream) -> Option<String> {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.to_lowercase().lines().find_map(|line| {
                line.strip_prefix("content-length:").and_then(|length| length.trim().parse::<usize>().ok())
            });
            if body.len() >= length.unwrap_or(0) {
                return Some(text);
            }
        }
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return None;
        }
    }
}

/// The unlinked records, or the one that is asked for or paired.
fn of_servers(path: &str, servers: &[Server]) -> Option<Value> {
    match path.strip_prefix("/v1/servers/") {
        None => Some(json!(servers.iter().filter(|server| server.link.is_none()).collect::<Vec<_>>())),
        Some(rest) => {
            let id = rest.split('/').next()?;
            servers.iter().find(|server| server.id.to_string() == id).map(|server| json!(server))
        }
    }
}

async fn follow(mut stream: UnixStream, shared: Shared) {
    let mut events = shared.events.subscribe();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    if stream.write_all(head.as_bytes()).await.is_err() {
        return;
    }
    while let Ok(event) = events.recv().await {
        if stream.write_all(event.as_bytes()).await.is_err() {
            return;
        }
    }
}
