//! One connection to the master: ZMTP on a TCP stream, by the protocol crate's codec.
//!
//! It keeps no buffer while nothing is under way: bytes are read into one buffer per thread, and
//! what is complete is taken off at once.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use brine_protocol::zmtp::{self, Decoder, Event, SocketType, WireLimits};
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::Interest;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::ended::Ended;

/// For the TCP connection; as the real minion.
const CONNECT: Duration = Duration::from_secs(5);

/// For each step of the opening; as the real minion.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes asked of a socket at a time.
const CHUNK: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; CHUNK]);
}

#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    decoder: Decoder,
    unread: BytesMut,
    unsent: BytesMut,
    is_closed: bool,
}

fn lost(error: impl std::fmt::Display) -> Ended {
    Ended::Lost(error.to_string().into())
}

impl Wire {
    /// Connects, from this address if one is given, and exchanges greeting and READY.
    pub(super) async fn dial(from: Option<IpAddr>, to: SocketAddr, ours: SocketType) -> Result<Self, Ended> {
        let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.map_err(lost)?;
        if let Some(from) = from {
            socket.bind(SocketAddr::new(from, 0)).map_err(lost)?;
        }
        let connected = timeout(CONNECT, socket.connect(to)).await;
        let stream = connected.map_err(|_| Ended::Lost("no TCP connection in time".into()))?.map_err(lost)?;
        stream.set_nodelay(true).map_err(lost)?;
        let mut wire = Self {
            stream,
            decoder: Decoder::new(WireLimits::default(), ours),
            unread: BytesMut::new(),
            unsent: BytesMut::from(&zmtp::greeting()[..]),
            is_closed: false,
        };
        let ready = timeout(PATIENCE, wire.greet(ours)).await;
        ready.map_err(|_| Ended::Lost("no greeting and READY in time".into()))??;
        Ok(wire)
    }

    async fn greet(&mut self, ours: SocketType) -> Result<(), Ended> {
        while !self.decoder.is_ready() {
            match self.next()? {
                Some(Event::Greeting) => self.unsent.extend_from_slice(&zmtp::ready(ours)),
                Some(_) => {}
                None => self.turn().await?,
            }
        }
        Ok(())
    }

    /// The next message of one frame, waited for; for the opening.
    pub(super) async fn message(&mut self, what: &'static str) -> Result<Bytes, Ended> {
        let message = timeout(PATIENCE, async {
            loop {
                match self.next()? {
                    Some(Event::Message(parts)) => return only(parts),
                    Some(_) => {}
                    None => self.turn().await?,
                }
            }
        });
        message.await.map_err(|_| Ended::Lost(format!("the master's {what} did not come in time").into()))?
    }

    /// What the peer said, if all of it has come.
    pub(super) fn next(&mut self) -> Result<Option<Event>, Ended> {
        let refused = |refusal| Ended::Refused(format!("the master's bytes are refused: {refusal}").into());
        let event = self.decoder.decode(&mut self.unread).map_err(refused)?;
        match &event {
            Some(Event::Ping { context }) => self.unsent.extend_from_slice(&zmtp::pong(context)),
            Some(Event::Error { .. }) => return Err(Ended::Refused("the master gave up".into())),
            None if self.unread.is_empty() && self.unread.capacity() > 0 => self.unread = BytesMut::new(),
            Some(_) | None => {}
        }
        Ok(event)
    }

    /// Appends a message of one frame to what is to be sent.
    pub(super) fn send(&mut self, message: &[u8]) {
        zmtp::encode_message(&[message], &mut self.unsent);
    }

    /// Waits until bytes have come or can go, and moves both. Nothing is lost when it is dropped.
    pub(super) async fn turn(&mut self) -> Result<(), Ended> {
        if self.is_closed {
            return Err(Ended::Lost("the master closed the connection".into()));
        }
        self.flush()?;
        let is_idle = self.unsent.is_empty();
        let interest = if is_idle { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
        let ready = self.stream.ready(interest).await.map_err(lost)?;
        if ready.is_writable() {
            self.flush()?;
        }
        if ready.is_readable() || ready.is_read_closed() {
            self.read()?;
        }
        Ok(())
    }

    fn read(&mut self) -> Result<(), Ended> {
        SCRATCH.with_borrow_mut(|scratch| match self.stream.try_read(scratch) {
            Ok(0) => {
                // What was said before it closed counts.
                self.is_closed = true;
                Ok(())
            }
            Ok(count) => {
                self.unread.extend_from_slice(&scratch[..count]);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(lost(error)),
        })
    }

    /// Writes what the connection has room for.
    pub(super) fn flush(&mut self) -> Result<(), Ended> {
        while !self.unsent.is_empty() {
            match self.stream.try_write(&self.unsent) {
                Ok(count) => self.unsent.advance(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(lost(error)),
            }
        }
        if self.unsent.capacity() > 0 {
            self.unsent = BytesMut::new();
        }
        Ok(())
    }

    /// Whether everything has left.
    pub(super) fn is_flushed(&self) -> bool {
        self.unsent.is_empty()
    }
}

/// The one frame of a message on the return port.
pub(super) fn only(mut parts: Vec<Bytes>) -> Result<Bytes, Ended> {
    match (parts.pop(), parts.len()) {
        (Some(only), 0) => Ok(only),
        (_, more) => Err(Ended::Lost(format!("a message of {} frames where one is due", more + 1).into())),
    }
}
