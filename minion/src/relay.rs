//! The checking relay between a master and one socket of the `zeromq` crate.
//!
//! ```text
//! master --TCP--> decoder, limits, deadlines --Unix socket--> crate
//! master <--TCP-- re-framed, PONGs between    <--Unix socket-- crate
//! ```
//! The crate aborts the process on a hostile length, knows no PING, and waits for ever for a
//! silent peer. So it is connected to a Unix socket in a 0700 folder that exists for a moment;
//! what comes from the master is decoded by [`brine_protocol::zmtp`] and written anew, and what
//! the crate says is framed anew too, so that an answer to a PING never lands inside a message.
//!
//! **Invariant:** no byte of the master's reaches the crate as it came.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use brine_protocol::limits::WireLimits;
use brine_protocol::zmtp::{self, Decoder, Event, Refusal, SocketType};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::unix::{ReadHalf as LocalReadHalf, WriteHalf as LocalWriteHalf};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};

use crate::link::Window;

/// Bytes asked of a socket at a time.
const CHUNK: usize = 16 * 1024;

/// Most messages handed to the crate and not yet written to the master.
const WINDOW: u32 = 16;

/// PINGs that wait to be answered; a master that sends more without reading gets fewer answers.
const PONGS_MAX: usize = 4;

/// How long the crate may take to read what came before the end.
pub const LINGER: Duration = Duration::from_secs(1);

/// Kernel probes of an idle connection: a dead master is noticed even where no beats flow.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// How long what was sent may go unacknowledged by the master's machine, as at the master's gate. Keepalive is
/// silent while something is under way, and on the connection for broadcasts no beats flow.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// Limits of a connection to the master.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// Sizes and counts.
    pub wire: WireLimits,
    /// For the TCP connection, per address.
    pub connect: Duration,
    /// For greeting and READY.
    pub handshake: Duration,
    /// Without a byte inside a message, and for the master to take what it is sent.
    pub stall: Duration,
}

/// Why a connection to the master could not be made or ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RelayError {
    /// No address of the master took the connection.
    #[error("cannot connect to {address}: {reason}")]
    Connect {
        /// The last address tried.
        address: SocketAddr,
        /// What the system said.
        reason: String,
    },
    /// The master closed it.
    #[error("the master closed the connection")]
    Closed,
    /// The master broke ZMTP or a limit of ours.
    #[error("the master's bytes are refused: {0}")]
    Refused(Refusal),
    /// The master gave up, in its own words, escaped.
    #[error("the master ended the connection: {0:?}")]
    Told(String),
    /// No complete greeting and READY in time.
    #[error("no ZMTP handshake within {0:?}: is this the master's port?")]
    Handshake(Duration),
    /// A message began and did not go on.
    #[error("the master stalled in the midst of a message for {0:?}")]
    Stalled(Duration),
    /// The master takes no bytes.
    #[error("the master took no bytes for {0:?}")]
    Unread(Duration),
    /// The system ended it.
    #[error("connection lost: {0}")]
    Lost(String),
    /// Something between the relay and the crate: a fault of this machine.
    #[error("the local end of the connection failed: {0}")]
    Local(String),
}

fn lost(error: impl std::fmt::Display) -> RelayError {
    RelayError::Lost(error.to_string())
}

fn local(error: impl std::fmt::Display) -> RelayError {
    RelayError::Local(error.to_string())
}

/// Connects to the first of `addresses` that answers.
///
/// # Errors
/// None did; the last one's reason.
pub async fn connect(addresses: &[SocketAddr], limit: Duration) -> Result<TcpStream, RelayError> {
    let mut last = local("the master's name has no address");
    for &address in addresses {
        let reason = match timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                tune(&stream).map_err(local)?;
                return Ok(stream);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {limit:?}"),
        };
        last = RelayError::Connect { address, reason };
    }
    Err(last)
}

fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // Not needed for correctness, so a system that does not know it is none the worse.
    let _ = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED));
    let keepalive =
        socket2::TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 3).with_retries(3);
    socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// A relay that runs as a task of the present runtime until either side ends.
#[derive(Debug)]
pub struct Relay {
    /// Where the crate has to connect, once.
    pub endpoint: String,
    shared: Arc<Shared>,
    window: Window,
    end: watch::Receiver<Option<RelayError>>,
    task: tokio::task::JoinHandle<()>,
    // The endpoint names the folder through this descriptor.
    _folder: std::fs::File,
}

#[derive(Debug)]
struct Shared {
    window: Window,
    forwarded: AtomicU64,
}

impl Relay {
    /// Puts a relay in front of a socket of the crate that is of type `crates`.
    ///
    /// # Errors
    /// No folder or socket can be made.
    pub fn start(master: TcpStream, crates: SocketType, bounds: Bounds) -> Result<Self, RelayError> {
        let place = tempfile::Builder::new().prefix("brine-").tempdir().map_err(local)?;
        let folder = std::fs::File::open(place.path()).map_err(local)?;
        // Short whatever the folder's own path is: a socket's address has 107 bytes at most.
        let path = format!("/proc/self/fd/{}/s", folder.as_raw_fd());
        let listener = UnixListener::bind(&path).map_err(local)?;
        let window = Window::new(WINDOW);
        let shared = Arc::new(Shared { window: window.clone(), forwarded: AtomicU64::new(0) });
        let (tell, end) = watch::channel(None);
        let task = tokio::spawn({
            let shared = shared.clone();
            async move {
                let mut crate_side = match accept(listener, bounds.handshake).await {
                    Ok(crate_side) => crate_side,
                    Err(error) => {
                        let _ = tell.send(Some(error));
                        return;
                    }
                };
                drop(place);
                let error = pump(master, &mut crate_side, crates, &bounds, &shared).await;
                // Nobody listens any more when the session was dropped.
                let _ = tell.send(Some(error));
                let _ = timeout(LINGER, linger(crate_side)).await;
            }
        });
        Ok(Self { endpoint: format!("ipc://{path}"), shared, window, end, task, _folder: folder })
    }

    /// The room for messages to the master.
    #[must_use]
    pub fn window(&self) -> Window {
        self.window.clone()
    }

    /// How many messages of the master were handed to the crate.
    #[must_use]
    pub fn forwarded(&self) -> u64 {
        self.shared.forwarded.load(Ordering::Acquire)
    }

    /// Waits for the end and says why.
    pub async fn ended(&mut self) -> RelayError {
        match self.end.wait_for(Option::is_some).await {
            Ok(end) => end.clone().unwrap_or(RelayError::Closed),
            Err(_) => local("the relay stopped"),
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: UnixListener, limit: Duration) -> Result<UnixStream, RelayError> {
    let accepted = timeout(limit, listener.accept()).await.map_err(local)?;
    let (stream, _) = accepted.map_err(local)?;
    // The folder lets nobody else in; this makes sure of it.
    let pid = stream.peer_cred().map_err(local)?.pid();
    if pid != Some(std::process::id().cast_signed()) {
        return Err(local("another process connected"));
    }
    Ok(stream)
}

/// Lets the crate read what is there: it gives up on a connection it cannot write to, even when
/// what a master said before it closed is still unread.
async fn linger(mut crate_side: UnixStream) {
    let mut sink = [0; 1024];
    if crate_side.shutdown().await.is_ok() {
        while let Ok(1..) = crate_side.read(&mut sink).await {}
    }
}

async fn pump(
    mut master: TcpStream,
    crate_side: &mut UnixStream,
    crates: SocketType,
    bounds: &Bounds,
    shared: &Shared,
) -> RelayError {
    let (from_master, to_master) = master.split();
    let (from_crate, to_crate) = crate_side.split();
    let (pong, pongs) = mpsc::channel(PONGS_MAX);
    tokio::select! {
        Err(error) = inbound(from_master, to_crate, crates, bounds, shared, &pong) => error,
        Err(error) = outbound(from_crate, to_master, crates, bounds, shared, pongs) => error,
        else => RelayError::Closed,
    }
}

async fn inbound(
    mut from: ReadHalf<'_>,
    mut to: LocalWriteHalf<'_>,
    crates: SocketType,
    bounds: &Bounds,
    shared: &Shared,
    pong: &mpsc::Sender<Bytes>,
) -> Result<(), RelayError> {
    let mut decoder = Decoder::new(bounds.wire, crates);
    let (mut buf, mut out) = (BytesMut::new(), BytesMut::new());
    let ready_by = Instant::now() + bounds.handshake;
    loop {
        let mut messages = 0;
        while let Some(event) = decoder.decode(&mut buf).map_err(RelayError::Refused)? {
            match event {
                Event::Greeting => out.extend_from_slice(&zmtp::greeting()),
                Event::Ready { socket, .. } => out.extend_from_slice(&zmtp::ready(socket)),
                Event::Message(parts) => {
                    let parts: Vec<&[u8]> = parts.iter().map(|part| &part[..]).collect();
                    zmtp::encode_message(&parts, &mut out);
                    messages += 1;
                }
                Event::Ping { context } => drop(pong.try_send(context)),
                Event::Error { reason } => {
                    let reason = String::from_utf8_lossy(&reason);
                    return Err(RelayError::Told(brine_local::text::escape(&reason)));
                }
                Event::Pong | Event::Subscribe(_) | Event::Unsubscribe(_) => {}
            }
        }
        if !out.is_empty() {
            to.write_all(&out).await.map_err(local)?;
            shared.forwarded.fetch_add(messages, Ordering::Release);
            out = BytesMut::new();
        }
        buf.reserve(CHUNK);
        let is_mid_message = decoder.is_mid_message(&buf);
        let read = from.read_buf(&mut buf);
        let count = if !decoder.is_ready() {
            timeout_at(ready_by, read).await.map_err(|_| RelayError::Handshake(bounds.handshake))?
        } else if is_mid_message {
            timeout(bounds.stall, read).await.map_err(|_| RelayError::Stalled(bounds.stall))?
        } else {
            read.await
        };
        if count.map_err(lost)? == 0 {
            return Err(RelayError::Closed);
        }
    }
}

async fn outbound(
    mut from: LocalReadHalf<'_>,
    mut to: WriteHalf<'_>,
    crates: SocketType,
    bounds: &Bounds,
    shared: &Shared,
    mut pongs: mpsc::Receiver<Bytes>,
) -> Result<(), RelayError> {
    // Seen from here the crate is the peer, so this side is what the master is.
    let ours = if crates == SocketType::Sub { SocketType::Pub } else { SocketType::Router };
    let mut decoder = Decoder::new(bounds.wire, ours);
    let (mut buf, mut out) = (BytesMut::new(), BytesMut::new());
    loop {
        buf.reserve(CHUNK);
        tokio::select! {
            count = from.read_buf(&mut buf) => {
                if count.map_err(local)? == 0 {
                    return Err(local("the socket was closed"));
                }
            }
            Some(context) = pongs.recv(), if decoder.is_ready() => out.extend_from_slice(&zmtp::pong(&context)),
        }
        let mut messages = 0;
        while let Some(event) = decoder.decode(&mut buf).map_err(local)? {
            match event {
                Event::Greeting => out.extend_from_slice(&zmtp::greeting()),
                Event::Ready { socket, .. } => out.extend_from_slice(&zmtp::ready(socket)),
                Event::Message(parts) => {
                    let parts: Vec<&[u8]> = parts.iter().map(|part| &part[..]).collect();
                    zmtp::encode_message(&parts, &mut out);
                    messages += 1;
                }
                Event::Subscribe(topic) => out.extend_from_slice(&zmtp::subscribe(&topic)),
                Event::Unsubscribe(_) | Event::Ping { .. } | Event::Pong | Event::Error { .. } => {}
            }
        }
        if !out.is_empty() {
            let written = timeout(bounds.stall, to.write_all(&out)).await;
            written.map_err(|_| RelayError::Unread(bounds.stall))?.map_err(lost)?;
            shared.window.release(messages);
            out = BytesMut::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_black_hole_is_not_written_into_for_long() {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let stream = connect(&[address], Duration::from_secs(5)).await.expect("a connection");
        let set = socket2::SockRef::from(&stream).tcp_user_timeout();
        assert_eq!(set.expect("the system tells"), Some(UNACKNOWLEDGED));
    }
}
