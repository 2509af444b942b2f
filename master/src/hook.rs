//! A program of the administrator's that runs for each server record that is created
//! (`server_created_hook`).
//!
//! It follows the desk's events on tasks of its own, so a hook that hangs holds up no decision.
//! **Invariants:** one runs at a time; at most [`QUEUE_MAX`] wait; an event is handed to the hook
//! at most once; the program is run only if nobody else could have changed it. Whoever must not
//! miss a record follows `/v1/events` with `Last-Event-ID` instead.

mod run;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use brine_local::text::escape;
use brine_local::walk::{VetError, vet};
use brine_protocol::control::Event;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{broadcast, mpsc, watch};

use crate::counters::Counters;
use crate::driver::Desk;

/// Records that may wait for the hook: a large import is hooked whole at a second each within a
/// quarter of an hour, and their events take less than a megabyte.
const QUEUE_MAX: usize = 1000;

/// A program and its arguments: a text is the program alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written")]
pub struct Command(Vec<String>);

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a path, or a list of a path and arguments")]
enum Written {
    Program(String),
    Words(Vec<String>),
}

impl From<Written> for Command {
    fn from(written: Written) -> Self {
        Self(match written {
            Written::Program(program) => vec![program],
            Written::Words(words) => words,
        })
    }
}

impl Command {
    /// The program.
    #[must_use]
    pub fn program(&self) -> PathBuf {
        self.0.first().map(PathBuf::from).unwrap_or_default()
    }

    /// What it gets.
    #[must_use]
    pub fn arguments(&self) -> &[String] {
        self.0.get(1..).unwrap_or_default()
    }

    /// Checks what can be checked without looking at the disk.
    ///
    /// # Errors
    /// One sentence naming the option.
    pub fn check(&self) -> Result<(), String> {
        let option = "option \"server_created_hook\"";
        if !self.program().is_absolute() {
            return Err(format!("{option} takes the absolute path of a program, and after it its arguments"));
        }
        if self.0.iter().any(|word| word.contains('\0')) {
            return Err(format!("{option} has a NUL in it"));
        }
        Ok(())
    }

    /// Looks whether the program is there and nobody else could have put it there.
    ///
    /// # Errors
    /// It cannot be run, or is not to be; in one sentence.
    pub fn vet(&self, own_uid: u32) -> Result<(), String> {
        let program = self.program();
        let shown = || format!("{} (option \"server_created_hook\")", escape(&program.to_string_lossy()));
        let real = vet(&program, own_uid).map_err(|error| match error {
            VetError::Read(reason) => format!("cannot find {}: {reason}", shown()),
            VetError::Open { path, why, mend } => format!(
                "{} could be changed by others than root and this master ({}: {why}), who would run it; run: {mend}",
                shown(),
                escape(&path.to_string_lossy())
            ),
        })?;
        let found =
            std::fs::metadata(&real).map_err(|reason| format!("cannot find {}: {reason}", shown()))?;
        if !found.is_file() || found.permissions().mode() & 0o111 == 0 {
            return Err(format!("{} is no program; run: chmod +x {}", shown(), program.display()));
        }
        Ok(())
    }
}

/// The record that an event says was created.
fn created(event: &Event) -> Option<&str> {
    event.tag.strip_prefix("brine/server/")?.strip_suffix("/created")
}

/// What the hook has in its environment about the record, so that the simplest one needs no JSON.
fn variables(event: &Event) -> [(&'static str, String); 4] {
    let field = |name: &str| event.data.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    [
        ("BRINE_SERVER_ID", created(event).unwrap_or_default().to_owned()),
        ("BRINE_SERVER_NAME", field("name")),
        ("BRINE_SERVER_ZONE", field("zone")),
        ("BRINE_SERVER_MODEL", field("model")),
    ]
}

/// Starts to follow the events behind `last`, and to run what `command` says for those of created
/// records. Ends with the runtime; a hook that runs then is killed.
pub fn start(
    desk: Arc<Desk>,
    last: u64,
    counters: Arc<Counters>,
    command: watch::Receiver<Option<Command>>,
    own_uid: u32,
) {
    let (queue, queued) = mpsc::channel(QUEUE_MAX);
    // Here and not on the task: what happens from now on is followed.
    let live = desk.events_since(None).1;
    let queue = Queue { queue, command: command.clone(), counters: Arc::clone(&counters) };
    tokio::spawn(follow(desk, last, live, queue));
    tokio::spawn(work(queued, command, counters, own_uid));
}

/// Where events wait for the hook.
struct Queue {
    queue: mpsc::Sender<Arc<Event>>,
    command: watch::Receiver<Option<Command>>,
    counters: Arc<Counters>,
}

impl Queue {
    fn offer(&self, event: &Arc<Event>) {
        let Some(server) = created(event) else { return };
        if self.command.borrow().is_none() {
            return;
        }
        if let Err(TrySendError::Full(_)) = self.queue.try_send(Arc::clone(event)) {
            self.counters.count("hook_dropped");
            tracing::error!(
                server,
                "{QUEUE_MAX} new records wait for server_created_hook already; it is not run for this one"
            );
        }
    }
}

async fn follow(desk: Arc<Desk>, mut last: u64, mut live: broadcast::Receiver<Arc<Event>>, queue: Queue) {
    loop {
        match live.recv().await {
            Ok(event) => {
                last = event.id;
                queue.offer(&event);
            }
            // The desk remembers more than the channel.
            Err(RecvError::Lagged(_)) => {
                let (behind, anew, is_gap) = desk.events_since(Some(last));
                live = anew;
                if is_gap {
                    queue.counters.count("hook_gap");
                    tracing::error!(
                        "events came faster than they are kept; server_created_hook may have missed records"
                    );
                }
                for event in behind {
                    last = event.id;
                    queue.offer(&event);
                }
            }
            Err(RecvError::Closed) => return,
        }
    }
}

async fn work(
    mut queued: mpsc::Receiver<Arc<Event>>,
    command: watch::Receiver<Option<Command>>,
    counters: Arc<Counters>,
    own_uid: u32,
) {
    while let Some(event) = queued.recv().await {
        // The hook as it is now: the one that an administrator took away must not run again.
        let Some(command) = command.borrow().clone() else { continue };
        let server = created(&event).unwrap_or_default().to_owned();
        let vetted = {
            let command = command.clone();
            // A disk on the network may not answer.
            tokio::task::spawn_blocking(move || command.vet(own_uid)).await
        };
        let ran = match vetted {
            Ok(Ok(())) => run::run(&command, &event).await,
            Ok(Err(why)) => Err(why),
            Err(error) => Err(error.to_string()),
        };
        counters.count("hook_runs");
        match ran {
            Ok(said) if said.is_empty() => tracing::info!(server, "server_created_hook has run"),
            Ok(said) => tracing::warn!(server, said, "server_created_hook has run, and complained"),
            Err(why) => {
                counters.count("hook_failed");
                tracing::error!(server, "server_created_hook has failed: {why}");
            }
        }
    }
}

#[cfg(test)]
mod tests;
