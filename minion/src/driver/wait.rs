//! What the loop waits for.

use std::time::Instant;

use anyhow::{Context, Result};
use brine_local::init;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Link;
use crate::session::Event;

/// What the session says next.
pub(super) async fn next_event(link: Option<&mut Link>) -> Option<Event> {
    match link {
        Some(link) if !link.ended => link.events.recv().await,
        _ => std::future::pending().await,
    }
}

/// Ready at this moment, if there is one.
pub(super) async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// What comes from outside to the process itself.
///
/// To be listened to before anything else is done: the first process of a container gets no signal
/// that it does not listen to, and one that comes during the start then counts after it.
pub struct Signals {
    pub(super) stop: Stop,
    pub(super) hangup: Signal,
}

impl Signals {
    /// Listens, and lets SIGHUP in, which was held back until now. To be called before any other thread
    /// is made, that of a runtime too.
    ///
    /// # Errors
    /// The system does not allow it.
    pub fn listen() -> Result<Self> {
        // The handlers are the process's, and outlive the runtime that they are made in.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let _within = runtime.enter();
        let listen = |kind| signal(kind).context("cannot listen to signals");
        let stop = Stop { term: listen(SignalKind::terminate())?, int: listen(SignalKind::interrupt())? };
        let signals = Self { stop, hangup: listen(SignalKind::hangup())? };
        init::hear_hangups();
        Ok(signals)
    }
}

/// What asks the minion to stop.
pub(super) struct Stop {
    term: Signal,
    int: Signal,
}

impl Stop {
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
        }
    }
}
