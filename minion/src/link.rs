//! What a session needs of its connections, whoever makes them.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::relay::RelayError;

/// Why a connection could not be made or went away.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The master's name is not known.
    #[error("cannot find the master {host}: {why}")]
    Name {
        /// The name.
        host: String,
        /// What the resolver said.
        why: String,
    },
    /// The connection.
    #[error(transparent)]
    Relay(#[from] RelayError),
    /// A message of another number of frames.
    #[error("the master sent a message of {got} frames where {expected} are due")]
    Parts {
        /// Frames it had.
        got: usize,
        /// Frames that are due.
        expected: usize,
    },
}

/// Room for messages that were handed over and have not left yet: a connection whose other end
/// does not read holds few of them.
#[derive(Debug, Clone)]
pub struct Window {
    room: Arc<Semaphore>,
    size: u32,
}

impl Window {
    /// Room for `size` messages.
    #[must_use]
    pub fn new(size: u32) -> Self {
        Self { room: Arc::new(Semaphore::new(size as usize)), size }
    }

    /// Waits for room for one message, and takes it.
    pub async fn reserve(&self) {
        if let Ok(permit) = self.room.acquire().await {
            permit.forget();
        }
    }

    /// So many messages have left.
    pub fn release(&self, count: usize) {
        self.room.add_permits(count);
    }

    /// Waits until everything has left.
    pub async fn emptied(&self) {
        // The permits come back at once: only the moment counts.
        let _ = self.room.acquire_many(self.size).await;
    }
}

/// The connection that the minion's own messages take.
#[allow(async_fn_in_trait, reason = "a session stays on its own thread")]
pub trait Control {
    /// The room for messages. Reserve before each [`Control::send`].
    fn window(&self) -> Window;
    /// Hands a message over.
    async fn send(&mut self, message: Bytes) -> Result<(), LinkError>;
    /// Takes the next message. Nothing is lost when the future is dropped.
    async fn recv(&mut self) -> Result<Bytes, LinkError>;
}

/// The connection that broadcasts come on.
#[allow(async_fn_in_trait, reason = "a session stays on its own thread")]
pub trait Feed {
    /// Takes the next topic and body. Nothing is lost when the future is dropped.
    async fn recv(&mut self) -> Result<(Bytes, Bytes), LinkError>;
}

/// Makes connections to one master.
#[allow(async_fn_in_trait, reason = "a session stays on its own thread")]
pub trait Dial {
    /// The connection of the minion's own messages.
    type Control: Control;
    /// The connection of broadcasts.
    type Feed: Feed;
    /// Connects for messages of our own, to any address of the master.
    async fn control(&self) -> Result<(Self::Control, SocketAddr), LinkError>;
    /// Connects for broadcasts to the master at this address, with these subscriptions.
    async fn feed(&self, master: SocketAddr, topics: &[String]) -> Result<Self::Feed, LinkError>;
}
