//! One connection's bytes: reading without standing buffers, writing without waiting on the peer.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use brine_protocol::zmtp::{self, Decoder, Event, Refusal, SocketType, WireLimits};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::net::TcpStream;

use super::outbox::Outbox;

/// Bytes read at once. A bigger message takes several reads; an idle connection keeps none of it.
const READ: usize = 16 * 1024;

/// Messages that may wait to be written while PINGs are still answered.
const PONGS_MAX: usize = 16;

/// What woke a connection's task.
pub(super) enum Woken {
    /// There may be something to read.
    Readable,
    /// Something was queued, written, or nothing happened until the deadline.
    Other,
}

/// Why a connection ends: the name of the counter that says so.
pub(super) type Ended = &'static str;

pub(super) struct Wire {
    stream: TcpStream,
    decoder: Decoder,
    input: BytesMut,
    output: VecDeque<Bytes>,
    message_begun: Option<Instant>,
    write_stuck: Option<Instant>,
    is_held: bool,
    message_timeout: Duration,
    write_stall: Duration,
}

impl Wire {
    /// Takes over an accepted connection, and queues our greeting and READY.
    pub(super) fn new(
        stream: TcpStream,
        ours: SocketType,
        limits: WireLimits,
        config: &crate::config::Config,
    ) -> Self {
        super::tune(&stream);
        let greeting = Bytes::copy_from_slice(&zmtp::greeting());
        Self {
            stream,
            decoder: Decoder::new(limits, ours),
            input: BytesMut::new(),
            output: VecDeque::from([greeting, zmtp::ready(ours)]),
            message_begun: None,
            write_stuck: None,
            is_held: false,
            message_timeout: Duration::from_millis(config.message_timeout_ms),
            write_stall: Duration::from_millis(config.write_stall_ms),
        }
    }

    pub(super) fn set_limits(&mut self, limits: WireLimits) {
        self.decoder.set_limits(limits);
    }

    /// Queues bytes that are ready for the wire.
    pub(super) fn write(&mut self, bytes: Bytes) {
        self.output.push_back(bytes);
    }

    /// Answers a PING. A peer that asks without reading the answers gets fewer of them.
    pub(super) fn pong(&mut self, context: &[u8]) {
        if self.output.len() < PONGS_MAX {
            self.output.push_back(zmtp::pong(context));
        }
    }

    /// Queues a message of one frame.
    pub(super) fn write_message(&mut self, body: &[u8]) {
        let mut message = BytesMut::with_capacity(body.len() + zmtp::FRAME_HEADER_MAX);
        zmtp::encode_frame(false, body, &mut message);
        self.output.push_back(message.freeze());
    }

    /// Leaves what the peer says where it is, or no longer; true while that is so and when it ends. A
    /// message that it has begun gets all its time again: it could not be completed meanwhile.
    pub(super) fn hold(&mut self, is_held: bool) -> bool {
        let was_held = std::mem::replace(&mut self.is_held, is_held);
        if was_held && self.message_begun.is_some() {
            self.message_begun = Some(Instant::now());
        }
        was_held || is_held
    }

    /// Whether everything queued has been handed to the system.
    pub(super) fn is_flushed(&self) -> bool {
        self.output.is_empty()
    }

    /// Waits until there is something to do, `until` at the latest.
    pub(super) async fn wait(&mut self, outbox: &Outbox, until: Instant) -> Result<Woken, Ended> {
        self.flush()?;
        let begun = self.message_begun.filter(|_| !self.is_held).map(|at| at + self.message_timeout);
        let stuck = self.write_stuck.map(|at| at + self.write_stall);
        let until = [begun, stuck].into_iter().flatten().fold(until, Instant::min);
        let woken = tokio::select! {
            result = self.stream.readable(), if !self.is_held => result.map(|()| Woken::Readable),
            result = self.stream.writable(), if !self.output.is_empty() => result.map(|()| Woken::Other),
            () = outbox.changed() => Ok(Woken::Other),
            () = tokio::time::sleep_until(until.into()) => Ok(Woken::Other),
        };
        let woken = woken.map_err(|_| "peer_gone")?;
        if let Some(why) = outbox.is_cut() {
            return Err(why);
        }
        self.flush()?;
        let now = Instant::now();
        let is_past = |since: Option<Instant>, limit| since.is_some_and(|at| now.duration_since(at) >= limit);
        if is_past(self.write_stuck, self.write_stall) {
            return Err("write_stalled");
        }
        if !self.is_held && is_past(self.message_begun, self.message_timeout) {
            return Err("message_timeout");
        }
        Ok(woken)
    }

    /// Writes what the system takes now.
    pub(super) fn flush(&mut self) -> Result<(), Ended> {
        while let Some(front) = self.output.front_mut() {
            match self.stream.try_write(front) {
                Ok(0) => return Err("peer_gone"),
                Ok(written) => {
                    self.write_stuck = None;
                    front.advance(written);
                    if front.is_empty() {
                        self.output.pop_front();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.write_stuck.get_or_insert_with(Instant::now);
                    return Ok(());
                }
                Err(_) => return Err("peer_gone"),
            }
        }
        self.write_stuck = None;
        self.output = VecDeque::new();
        Ok(())
    }

    /// Reads once. Call [`Wire::next`] until it gives nothing before reading again.
    pub(super) fn read(&mut self) -> Result<(), Ended> {
        self.input.reserve(READ);
        let mut limited = (&mut self.input).limit(READ);
        match self.stream.try_read_buf(&mut limited) {
            Ok(0) => Err("peer_gone"),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if self.input.is_empty() {
                    self.input = BytesMut::new();
                }
                Ok(())
            }
            Err(_) => Err("peer_gone"),
        }
    }

    /// The next thing the peer said, of what was read.
    pub(super) fn next(&mut self) -> Result<Option<Event>, Ended> {
        let event = self.decoder.decode(&mut self.input).map_err(|refusal: Refusal| refusal.name())?;
        if event.is_some() {
            self.message_begun = None;
        } else if self.decoder.is_mid_message(&self.input) {
            self.message_begun.get_or_insert_with(Instant::now);
        } else {
            self.message_begun = None;
            self.input = BytesMut::new();
        }
        Ok(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_peer_that_asks_and_does_not_read_gets_few_answers() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("bound");
        let (ours, _theirs) = tokio::join!(listener.accept(), TcpStream::connect(address));
        let config = crate::config::Config::default();
        let (stream, _) = ours.expect("accepts");
        let mut wire = Wire::new(stream, SocketType::Router, config.stranger_limits(), &config);
        for _ in 0..10_000 {
            wire.pong(b"are you there?");
        }
        assert!(wire.output.len() <= PONGS_MAX, "{}", wire.output.len());
    }

    #[tokio::test]
    async fn what_is_held_is_read_later_and_is_not_late_then() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("bound");
        let (ours, theirs) = tokio::join!(listener.accept(), TcpStream::connect(address));
        let config = crate::config::Config { message_timeout_ms: 20, ..Default::default() };
        let (stream, _) = ours.expect("accepts");
        let mut wire = Wire::new(stream, SocketType::Router, config.stranger_limits(), &config);
        let outbox = Outbox::new(1);
        let theirs = theirs.expect("connects");
        let soon = || Instant::now() + Duration::from_millis(60);
        theirs.writable().await.expect("open");
        // The beginning of a greeting is a message that has begun.
        theirs.try_write(&zmtp::greeting()[..9]).expect("room");
        assert!(matches!(wire.wait(&outbox, soon()).await, Ok(Woken::Readable)));
        wire.read().expect("open");
        assert!(wire.next().expect("nothing wrong so far").is_none());
        assert!(wire.message_begun.is_some());
        theirs.try_write(&zmtp::greeting()[9..]).expect("room");
        // For longer than a message may take.
        assert!(wire.hold(true));
        assert!(matches!(wire.wait(&outbox, soon()).await, Ok(Woken::Other)));
        assert!(wire.hold(false), "it was held until now");
        assert!(!wire.hold(false));
        assert!(matches!(wire.wait(&outbox, soon()).await, Ok(Woken::Readable)));
        wire.read().expect("open");
        assert!(wire.next().expect("a greeting").is_some());
    }
}
