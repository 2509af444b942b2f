//! The publish port: one subscriber's connection from greeting to end.
//!
//! It belongs to a session: it shows that session's one-time token as a subscription, and until
//! then it gets nothing. It ends with its session, and its session with it, because a minion that
//! missed a broadcast has to start over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use brine_protocol::zmtp::{Event, SocketType};
use tokio::net::TcpStream;

use super::admission::Ticket;
use super::outbox::{Outbox, Outgoing};
use super::places::Class;
use super::wire::{Ended, Wire, Woken};
use super::{BROADCAST_TOPIC, ConnId, Gate, TOKEN_TOPIC};
use crate::engine::Input;

/// A subscriber without deadlines of its own looks up this often.
const IDLE: Duration = Duration::from_secs(3600);

/// Broadcasts handed to the socket before it is asked again.
const BATCH: usize = 64;

/// How long a session outlives its subscriber. A minion that stops closes both, and what it said last must
/// not be lost for the order in which two connections end.
const LAST_WORDS: Duration = Duration::from_secs(2);

struct Connection {
    gate: Arc<Gate>,
    wire: Wire,
    ticket: Ticket,
    outbox: Arc<Outbox>,
    wants_broadcasts: bool,
    session: Option<ConnId>,
    is_bound: bool,
    token_due: Instant,
}

/// Serves one connection of the publish port to its end.
pub(super) async fn serve(gate: Arc<Gate>, stream: TcpStream, ticket: Ticket) {
    let wire = Wire::new(stream, SocketType::Pub, gate.config.stranger_limits(), &gate.config);
    let mut connection = Connection {
        outbox: Arc::new(Outbox::new(gate.config.send_queue_max)),
        token_due: Instant::now() + Duration::from_millis(gate.config.subscriber_token_ms),
        gate,
        wire,
        ticket,
        wants_broadcasts: false,
        session: None,
        is_bound: false,
    };
    let ended = loop {
        if let Err(ended) = connection.step().await {
            break ended;
        }
    };
    let Connection { gate, session, ticket, wire, .. } = connection;
    gate.counters.count(ended);
    tracing::debug!(peer = %ticket.address, ended, "subscriber ended");
    drop((wire, ticket));
    if let Some(session) = session {
        gate.subscribers.lock().expect("no holder panics").remove(&session);
        tokio::time::sleep(LAST_WORDS).await;
        gate.cut(session, "subscriber_ended");
    }
}

impl Connection {
    async fn step(&mut self) -> Result<(), Ended> {
        while self.wire.is_flushed() && self.take_outgoing()? {
            self.wire.flush()?;
        }
        let until = if self.is_bound { Instant::now() + IDLE } else { self.token_due };
        let woken = self.wire.wait(&self.outbox, until).await?;
        if let Woken::Readable = woken {
            self.wire.read()?;
            while let Some(event) = self.wire.next()? {
                self.on_event(event).await?;
            }
        }
        if !self.is_bound && Instant::now() >= self.token_due {
            return Err("subscriber_without_token");
        }
        Ok(())
    }

    /// Hands on what is queued; whether there was anything.
    fn take_outgoing(&mut self) -> Result<bool, Ended> {
        for n in 0..BATCH {
            match self.outbox.pop()? {
                Some(Outgoing::Shared(bytes)) => self.wire.write(bytes),
                Some(Outgoing::Close(why)) => return Err(why),
                Some(Outgoing::Welcome(..) | Outgoing::Grant(_) | Outgoing::Frame(_) | Outgoing::Mark) => {
                    return Err("engine_spoke_too_early");
                }
                None => return Ok(n > 0),
            }
        }
        Ok(true)
    }

    async fn on_event(&mut self, event: Event) -> Result<(), Ended> {
        match event {
            Event::Greeting | Event::Ready { .. } | Event::Pong => Ok(()),
            Event::Ping { context } => {
                self.wire.pong(&context);
                Ok(())
            }
            Event::Subscribe(topic) => self.on_subscribe(&topic).await,
            Event::Unsubscribe(topic) if BROADCAST_TOPIC.starts_with(&topic) => Err("subscriber_left"),
            Event::Unsubscribe(_) => Ok(()),
            Event::Message(_) => Err("message_on_publish_port"),
            Event::Error { .. } => Err("peer_error"),
        }
    }

    async fn on_subscribe(&mut self, topic: &[u8]) -> Result<(), Ended> {
        if BROADCAST_TOPIC.starts_with(topic) {
            self.wants_broadcasts = true;
        } else if let Some(token) = topic.strip_prefix(TOKEN_TOPIC) {
            if self.session.is_some() {
                return Err("subscriber_token_twice");
            }
            let token = read_token(token).ok_or("subscriber_token_unknown")?;
            let session = self.gate.tokens.lock().expect("no holder panics").remove(&token);
            self.session = Some(session.ok_or("subscriber_token_unknown")?);
        }
        match self.session {
            Some(session) if self.wants_broadcasts && !self.is_bound => self.bind(session).await,
            _ => Ok(()),
        }
    }

    async fn bind(&mut self, session: ConnId) -> Result<(), Ended> {
        {
            // Under the lock of the routers, so that a session that ends now ends this as well.
            let routers = self.gate.routers.lock().expect("no holder panics");
            if !routers.contains_key(&session) {
                return Err("session_ended");
            }
            let mut subscribers = self.gate.subscribers.lock().expect("no holder panics");
            subscribers.insert(session, Arc::clone(&self.outbox));
        }
        self.is_bound = true;
        let gate = Arc::clone(&self.gate);
        gate.reclassify(&mut self.ticket, Class::Live, session)?;
        let input = Input::Subscribed { conn: session };
        self.gate.inputs.send(input).await.map_err(|_| "stopping")
    }
}

fn read_token(hex: &[u8]) -> Option<[u8; 32]> {
    let hex = std::str::from_utf8(hex).ok().filter(|hex| hex.len() == 64 && hex.is_ascii())?;
    let mut token = [0; 32];
    for (i, byte) in token.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_64_hex_digits() {
        assert_eq!(read_token(&[b'0'; 64]), Some([0; 32]));
        assert_eq!(read_token("ab".repeat(32).as_bytes()), Some([0xab; 32]));
        for bad in ["", "ab", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(read_token(bad.as_bytes()), None, "{bad}");
        }
    }
}
