//! What a peer is told that finds all places taken: when to come back, in place of an Offer.
//!
//! It costs a task and a descriptor for as long as a step of a handshake may take, and no cryptography.

use std::sync::Arc;
use std::time::{Duration, Instant};

use brine_pki::handshake::busy;
use brine_protocol::zmtp::{Event, SocketType};
use tokio::net::TcpStream;

use super::Gate;
use super::outbox::Outbox;
use super::wire::{Ended, Wire, Woken};

/// When to come back, in milliseconds. The minion spreads it, and waits longer each time.
pub(super) const RETRY_AFTER_MS: u32 = 5000;

/// Most bytes that wait to be sent; nothing is queued here.
const QUEUE_MAX: usize = 1024;

/// Goes with a peer as far as it takes to say that the master is full.
pub(super) async fn turn_away(gate: &Arc<Gate>, stream: TcpStream) {
    let mut wire = Wire::new(stream, SocketType::Router, gate.config.stranger_limits(), &gate.config);
    let until = Instant::now() + Duration::from_millis(gate.config.handshake_timeout_ms);
    let counter = tell(&mut wire, until).await.err().unwrap_or("turned_away");
    gate.counters.count(counter);
}

async fn tell(wire: &mut Wire, until: Instant) -> Result<(), Ended> {
    let outbox = Outbox::new(QUEUE_MAX);
    let mut is_told = false;
    while !(is_told && wire.is_flushed()) {
        if Instant::now() >= until {
            return Err("handshake_timeout");
        }
        if let Woken::Readable = wire.wait(&outbox, until).await? {
            wire.read()?;
        }
        while let Some(event) = wire.next()? {
            if matches!(event, Event::Ready { .. }) {
                wire.write_message(&busy(RETRY_AFTER_MS));
                wire.flush()?;
                is_told = true;
            }
        }
    }
    Ok(())
}
