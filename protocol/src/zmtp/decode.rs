//! Reading: a decoder that takes complete units off the front of a buffer.
//!
//! ```text
//! Greeting --64 bytes--> Handshake --READY--> Traffic          any --refusal--> Refused (for good)
//! ```

use bytes::{Buf, Bytes, BytesMut};

use super::{
    COMMAND, FRAME_HEADER_MAX, GREETING, LONG, MORE, PING_CONTEXT_MAX, Refusal, SocketType, metadata,
};
use crate::limits::WireLimits;

/// The largest command after READY: ERROR with a reason of 255 bytes, or a subscription.
const COMMAND_MAX: usize = 262;

/// Bodies up to this size are copied out, so that a small frame that is kept does not keep a
/// whole read buffer alive.
const COPY_MAX: usize = 2048;

/// What a peer said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A valid greeting.
    Greeting,
    /// The handshake is complete.
    Ready {
        /// The peer's socket type, which fits ours.
        socket: SocketType,
        /// The identity it claims, usually empty. A claim, never an authentication.
        identity: Bytes,
    },
    /// A whole message: at least one frame.
    Message(Vec<Bytes>),
    /// A subscriber wants topics that begin so.
    Subscribe(Bytes),
    /// A subscriber no longer wants them.
    Unsubscribe(Bytes),
    /// The peer wants a PONG with this context.
    Ping {
        /// To be sent back.
        context: Bytes,
    },
    /// The answer to a PING.
    Pong,
    /// The peer gave up and says why. It will close.
    Error {
        /// Its words, at most 255 bytes, shown escaped if at all.
        reason: Bytes,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Greeting,
    Handshake,
    Traffic,
    Refused(Refusal),
}

/// Turns a peer's bytes into [`Event`]s.
#[derive(Debug)]
pub struct Decoder {
    limits: WireLimits,
    ours: SocketType,
    state: State,
    parts: Vec<Bytes>,
    parts_bytes: usize,
    subscriptions: Vec<Bytes>,
}

struct Header {
    flags: u8,
    header: usize,
    body: usize,
}

impl Decoder {
    /// A decoder for the peer of a new connection, on which our side is a socket of type `ours`.
    #[must_use]
    pub fn new(limits: WireLimits, ours: SocketType) -> Self {
        Self {
            limits,
            ours,
            state: State::Greeting,
            parts: Vec::new(),
            parts_bytes: 0,
            subscriptions: Vec::new(),
        }
    }

    /// Judges what comes from now on by other limits: a stranger gets less room than a session.
    pub fn set_limits(&mut self, limits: WireLimits) {
        self.limits = limits;
    }

    /// Whether greeting and READY have come.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.state == State::Traffic
    }

    /// Whether a unit or a message has begun and is not complete: a peer that stays there stalls.
    #[must_use]
    pub fn is_mid_message(&self, buf: &BytesMut) -> bool {
        !buf.is_empty() || !self.parts.is_empty()
    }

    /// Frames and bytes of the message that has begun, which are held here.
    #[must_use]
    pub fn held(&self) -> (usize, usize) {
        (self.parts.len(), self.parts_bytes)
    }

    /// The prefixes a subscriber has now; one that it made twice is there twice.
    #[must_use]
    pub fn subscriptions(&self) -> &[Bytes] {
        &self.subscriptions
    }

    /// Takes the next complete unit off the front of `buf`; `None` means that more bytes are
    /// needed. Bytes of an incomplete message that were taken are held here.
    ///
    /// # Errors
    /// The peer broke the protocol or a limit. Every later call gives the same refusal.
    pub fn decode(&mut self, buf: &mut BytesMut) -> Result<Option<Event>, Refusal> {
        let result = match self.state {
            State::Refused(refusal) => return Err(refusal),
            State::Greeting => self.greeting(buf),
            State::Handshake | State::Traffic => self.frames(buf),
        };
        if let Err(refusal) = result {
            self.state = State::Refused(refusal);
            self.parts = Vec::new();
            buf.clear();
        }
        result
    }

    /// Judges as much of the greeting as is there, so that a stranger is refused at its first
    /// wrong byte.
    fn greeting(&mut self, buf: &mut BytesMut) -> Result<Option<Event>, Refusal> {
        let wrong = |at: usize, fits: fn(u8) -> bool| buf.get(at).is_some_and(|b| !fits(*b));
        if wrong(0, |b| b == 0xff) || wrong(9, |b| b == 0x7f) {
            return Err(Refusal::NotZmtp);
        }
        if wrong(10, |major| major >= 3) {
            return Err(Refusal::OldVersion);
        }
        if buf.len() < GREETING {
            return Ok(None);
        }
        let mut mechanism = [0; 20];
        mechanism[..4].copy_from_slice(b"NULL");
        if buf[12..32] != mechanism {
            return Err(Refusal::Mechanism);
        }
        buf.advance(GREETING);
        self.state = State::Handshake;
        Ok(Some(Event::Greeting))
    }

    fn frames(&mut self, buf: &mut BytesMut) -> Result<Option<Event>, Refusal> {
        loop {
            let Some(head) = self.header(buf)? else {
                return Ok(None);
            };
            if buf.len() - head.header < head.body {
                return Ok(None);
            }
            buf.advance(head.header);
            let body = if head.body <= COPY_MAX {
                let copy = Bytes::copy_from_slice(&buf[..head.body]);
                buf.advance(head.body);
                copy
            } else {
                buf.split_to(head.body).freeze()
            };
            if head.flags & COMMAND != 0 {
                return self.command(&body).map(Some);
            }
            if self.ours.is_publisher() {
                return self.subscription(&body).map(Some);
            }
            self.parts_bytes += body.len();
            self.parts.push(body);
            if head.flags & MORE == 0 {
                self.parts_bytes = 0;
                return Ok(Some(Event::Message(std::mem::take(&mut self.parts))));
            }
        }
    }

    /// Reads the header at the front and checks all that it announces against the limits.
    fn header(&self, buf: &BytesMut) -> Result<Option<Header>, Refusal> {
        let Some(&flags) = buf.first() else {
            return Ok(None);
        };
        let is_command = flags & COMMAND != 0;
        if flags & !(MORE | LONG | COMMAND) != 0 || (is_command && flags & MORE != 0) {
            return Err(Refusal::BadFlags);
        }
        if !self.is_ready() && !is_command {
            return Err(Refusal::FirstNotReady);
        }
        if !is_command && self.ours.is_publisher() && flags & MORE != 0 {
            return Err(Refusal::NotASubscription);
        }
        if !is_command && self.parts.len() >= self.limits.frames_max {
            return Err(Refusal::TooManyFrames);
        }
        let (header, announced) = if flags & LONG == 0 {
            match buf.get(1) {
                Some(len) => (2, u64::from(*len)),
                None => return Ok(None),
            }
        } else {
            match buf.get(1..FRAME_HEADER_MAX) {
                Some(len) => (FRAME_HEADER_MAX, u64::from_be_bytes(len.try_into().expect("eight bytes"))),
                None => return Ok(None),
            }
        };
        let (max, refusal) = self.body_max(is_command);
        let body = usize::try_from(announced).ok().filter(|body| *body <= max).ok_or(refusal)?;
        // Both are at most message_max here, so the sum cannot overflow.
        if !is_command && self.parts_bytes + body > self.limits.message_max {
            return Err(Refusal::MessageTooLarge);
        }
        Ok(Some(Header { flags, header, body }))
    }

    fn body_max(&self, is_command: bool) -> (usize, Refusal) {
        let subscription = self.limits.subscription_bytes_max;
        if is_command && !self.is_ready() {
            (self.limits.ready_max, Refusal::ReadyTooLarge)
        } else if is_command && self.ours.is_publisher() {
            (COMMAND_MAX.max(subscription.saturating_add(10)), Refusal::CommandTooLarge)
        } else if is_command {
            (COMMAND_MAX, Refusal::CommandTooLarge)
        } else if self.ours.is_publisher() {
            (subscription.saturating_add(1), Refusal::SubscriptionTooLong)
        } else {
            (self.limits.message_max, Refusal::FrameTooLarge)
        }
    }

    fn command(&mut self, body: &Bytes) -> Result<Event, Refusal> {
        let malformed = if self.is_ready() { Refusal::CommandMalformed } else { Refusal::FirstNotReady };
        let name_len = usize::from(*body.first().ok_or(malformed)?);
        let name = body.get(1..=name_len).filter(|name| !name.is_empty()).ok_or(malformed)?;
        let data = body.slice(1 + name_len..);
        match (self.is_ready(), name) {
            (false, b"READY") => {
                let (socket, identity) = metadata::read(&data)?;
                if !self.ours.compatible(socket) {
                    return Err(Refusal::SocketMismatch);
                }
                self.state = State::Traffic;
                Ok(Event::Ready { socket, identity })
            }
            (_, b"ERROR") => match data.split_first() {
                Some((len, reason)) if reason.len() == usize::from(*len) => {
                    Ok(Event::Error { reason: data.slice(1..) })
                }
                _ => Err(malformed),
            },
            (false, _) => Err(Refusal::FirstNotReady),
            (true, b"READY") => Err(Refusal::SecondReady),
            (true, b"PING") if (2..=2 + PING_CONTEXT_MAX).contains(&data.len()) => {
                Ok(Event::Ping { context: data.slice(2..) })
            }
            (true, b"PONG") if data.len() <= PING_CONTEXT_MAX => Ok(Event::Pong),
            (true, b"PING" | b"PONG") => Err(Refusal::CommandMalformed),
            (true, b"SUBSCRIBE") if self.ours.is_publisher() => self.subscribe(data),
            (true, b"CANCEL") if self.ours.is_publisher() => self.unsubscribe(data),
            (true, _) => Err(Refusal::UnknownCommand),
        }
    }

    fn subscription(&mut self, body: &Bytes) -> Result<Event, Refusal> {
        match body.first() {
            Some(1) => self.subscribe(body.slice(1..)),
            Some(0) => self.unsubscribe(body.slice(1..)),
            Some(_) | None => Err(Refusal::NotASubscription),
        }
    }

    fn subscribe(&mut self, topic: Bytes) -> Result<Event, Refusal> {
        if topic.len() > self.limits.subscription_bytes_max {
            return Err(Refusal::SubscriptionTooLong);
        }
        if self.subscriptions.len() >= self.limits.subscriptions_max {
            return Err(Refusal::TooManySubscriptions);
        }
        self.subscriptions.push(topic.clone());
        Ok(Event::Subscribe(topic))
    }

    /// Ends one subscription. Ending one that is not there changes nothing, above all not the
    /// count: otherwise a peer could make room by ending what it never had.
    fn unsubscribe(&mut self, topic: Bytes) -> Result<Event, Refusal> {
        if topic.len() > self.limits.subscription_bytes_max {
            return Err(Refusal::SubscriptionTooLong);
        }
        if let Some(at) = self.subscriptions.iter().position(|held| *held == topic) {
            self.subscriptions.swap_remove(at);
        }
        Ok(Event::Unsubscribe(topic))
    }
}
