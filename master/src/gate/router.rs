//! The return port: one minion's connection from greeting to end.
//!
//! ```text
//! Greeting -READY-> Offered -Hello--> Verifying -signed-> Judged -verdict-> Open
//!                    |   ^ -Resume----ticket-and-MAC-good----^ |
//!                    |   +-------------Refused-(once)----------+
//! ```
//! The engine hears of a connection when its Hello or its Resume is verified, and of a session when the first
//! sealed frame has opened: only then is possession of the key proved for this connection.

mod opening;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use brine_pki::channel::{Channel, ChannelError};
use brine_pki::handshake::master::Offer;
use brine_pki::handshake::{busy, kind};
use brine_pki::random;
use brine_protocol::Jid;
use brine_protocol::message::{Return, Standing, ToMaster, ToMinion};
use brine_protocol::zmtp::{Event, SocketType};
use bytes::Bytes;
use tokio::net::TcpStream;

use super::admission::{MINIONS, Ticket};
use super::claim::{Claim, Grants};
use super::full::RETRY_AFTER_MS;
use super::outbox::{Outbox, Outgoing};
use super::places::Class;
use super::wire::{Ended, Wire, Woken};
use super::{ConnId, Gate};
use crate::engine::{Input, Opened};
use crate::tickets::wall_s;

/// Missed beats after which a session is over.
pub(crate) const BEATS_MISSED: u32 = 3;

/// Frames sealed into the output before the socket is asked again: small enough that control
/// never waits long, large enough that a burst is one write.
const BATCH: usize = 64;

/// Returns of one session that may be on their way to the disk. A minion that floods waits for the disk
/// by itself: behind so many, behind as many bytes as its largest message has, and with a second return of
/// a job whose first is on its way, it is not read. Repeats cost the store a flush each.
const RETURNS_MAX: usize = 64;

enum Phase {
    /// Waiting for the peer's READY.
    Greeting,
    /// The Offer is out, a Hello is due; or a Resume, unless one was refused.
    Offered { offer: Offer, may_resume: bool },
    /// The engine has it, its verdict is due.
    Judged(Box<Claim>),
    /// Sealed from here on.
    Open(Box<Open>),
}

struct Open {
    channel: Channel,
    /// Who it is, until the first sealed frame has opened.
    unproven: Option<Opened>,
    grants: Grants,
}

struct Connection {
    gate: Arc<Gate>,
    conn: ConnId,
    outbox: Arc<Outbox>,
    wire: Wire,
    ticket: Ticket,
    phase: Phase,
    stage_since: Instant,
    last_heard: Instant,
    last_sent: Instant,
    heartbeat: Duration,
    closing: Option<Ended>,
    known_to_engine: bool,
    mark_due: bool,
    /// Returns that were not acknowledged yet, each with its size.
    returns: VecDeque<(Jid, usize)>,
    /// One that is passed on next, once nothing on its way is of the same job.
    due: Option<(Box<Return>, usize)>,
    /// Whether grains of this minion are on their way to the disk.
    has_grains: bool,
    /// Grains that are passed on next, once none are on their way.
    grains_due: Option<ToMaster>,
}

/// Serves one connection of the return port to its end.
pub(super) async fn serve(gate: Arc<Gate>, stream: TcpStream, ticket: Ticket) {
    let (conn, outbox) = gate.open_router();
    let wire = Wire::new(stream, SocketType::Router, gate.config.stranger_limits(), &gate.config);
    let now = Instant::now();
    let mut connection = Connection {
        heartbeat: Duration::from_secs_f64(gate.config.heartbeat),
        conn,
        outbox,
        wire,
        ticket,
        phase: Phase::Greeting,
        stage_since: now,
        last_heard: now,
        last_sent: now,
        closing: None,
        known_to_engine: false,
        mark_due: false,
        returns: VecDeque::new(),
        due: None,
        has_grains: false,
        grains_due: None,
        gate,
    };
    let ended = loop {
        if let Err(ended) = connection.step().await {
            break ended;
        }
    };
    let Connection { gate, ticket, known_to_engine, .. } = connection;
    gate.counters.count(ended);
    tracing::debug!(conn = conn.0, peer = %ticket.address, ended, "connection ended");
    gate.close_router(conn);
    if known_to_engine {
        // The engine is gone only when the program ends.
        let _ = gate.inputs.send(Input::Closed { conn, why: ended }).await;
    }
}

impl Connection {
    async fn step(&mut self) -> Result<(), Ended> {
        while self.wire.is_flushed() && self.closing.is_none() && self.take_outgoing()? {
            self.wire.flush()?;
        }
        if self.mark_due && self.wire.is_flushed() {
            self.mark_due = false;
            let began = Instant::now();
            self.gate.inputs.send(Input::Drained { conn: self.conn }).await.map_err(|_| "stopping")?;
            // Waiting for the engine is not the minion's silence.
            self.last_heard += began.elapsed();
        }
        if let Some(ended) = self.closing
            && self.wire.is_flushed()
        {
            return Err(ended);
        }
        self.take_events().await?;
        if self.wire.hold(self.is_held()) {
            // What we do not read is not the minion's silence.
            self.last_heard = Instant::now();
        }
        let until = self.deadline();
        let woken = self.wire.wait(&self.outbox, until).await?;
        if let Woken::Readable = woken {
            self.wire.read()?;
            self.take_events().await?;
        }
        self.on_time()
    }

    async fn take_events(&mut self) -> Result<(), Ended> {
        while !self.is_held() {
            if let Some((report, size)) = self.due.take() {
                self.pass_return(report, size).await?;
            } else if let Some(grains) = self.grains_due.take() {
                self.has_grains = true;
                self.pass(grains).await?;
            } else if let Some(event) = self.wire.next()? {
                self.on_event(event).await?;
            } else {
                break;
            }
        }
        Ok(())
    }

    /// Whether what the minion says has to wait for the disk.
    fn is_held(&self) -> bool {
        let is_on_its_way = |report: &Return| self.returns.iter().any(|(jid, _)| *jid == report.jid);
        self.returns.len() >= RETURNS_MAX
            || self.returns.iter().map(|(_, size)| size).sum::<usize>() >= self.gate.config.message_max
            || self.due.as_ref().is_some_and(|(report, _)| is_on_its_way(report))
            || (self.has_grains && self.grains_due.is_some())
    }

    async fn pass_return(&mut self, report: Box<Return>, size: usize) -> Result<(), Ended> {
        self.returns.push_back((report.jid, size));
        self.pass(ToMaster::Return(report)).await
    }

    async fn pass(&mut self, message: ToMaster) -> Result<(), Ended> {
        let input = Input::Frame { conn: self.conn, message };
        self.gate.inputs.send(input).await.map_err(|_| "stopping")?;
        // Behind the send: waiting for a busy engine is not the peer's silence.
        self.last_heard = Instant::now();
        Ok(())
    }

    /// The next moment at which [`Connection::on_time`] has something to do.
    fn deadline(&self) -> Instant {
        match &self.phase {
            Phase::Open(open) if open.unproven.is_none() => {
                let silence = self.last_heard + self.heartbeat * BEATS_MISSED;
                silence.min(self.last_sent + self.heartbeat)
            }
            _ => self.stage_since + Duration::from_millis(self.gate.config.handshake_timeout_ms),
        }
    }

    fn on_time(&mut self) -> Result<(), Ended> {
        let now = Instant::now();
        if now < self.deadline() {
            return Ok(());
        }
        match &self.phase {
            Phase::Open(open) if open.unproven.is_none() => {
                if now >= self.last_heard + self.heartbeat * BEATS_MISSED {
                    return Err("silent");
                }
                let is_due = open.grants.is_due(wall_s());
                self.beat(is_due);
                Ok(())
            }
            _ => Err("handshake_timeout"),
        }
    }

    /// Hands on what is queued; whether there was anything.
    fn take_outgoing(&mut self) -> Result<bool, Ended> {
        for n in 0..BATCH {
            match self.outbox.pop()? {
                Some(Outgoing::Welcome(standing, generation)) => self.on_verdict(standing, generation)?,
                Some(Outgoing::Frame(frame)) => {
                    let Phase::Open(open) = &mut self.phase else {
                        return Err("engine_spoke_too_early");
                    };
                    let sealed = open.channel.sealer.seal(&frame, self.gate.now_s());
                    self.wire.write_message(&sealed);
                    self.last_sent = Instant::now();
                    match frame.kind {
                        brine_protocol::message::kind::STANDING => self.reclassify(&frame)?,
                        brine_protocol::message::kind::STORED => self.acknowledged(&frame),
                        _ => {}
                    }
                }
                Some(Outgoing::Grant(generation)) => {
                    if let Phase::Open(open) = &mut self.phase {
                        open.grants.accept(generation);
                        self.beat(true);
                    }
                }
                Some(Outgoing::Shared(bytes)) => self.wire.write(bytes),
                Some(Outgoing::Mark) => {
                    self.mark_due = true;
                    // The engine puts one behind grains as well.
                    self.has_grains = false;
                    return Ok(true);
                }
                Some(Outgoing::Close(why)) => {
                    self.closing = Some(why);
                    return Ok(true);
                }
                None => return Ok(n > 0),
            }
        }
        Ok(true)
    }

    /// Gives a sign of life, with a ticket in it if one is due.
    fn beat(&mut self, with_ticket: bool) {
        let mut frame = ToMinion::Beat.to_frame();
        if let Phase::Open(open) = &mut self.phase
            && with_ticket
        {
            frame.body = open.grants.next(&self.gate.tickets, wall_s()).into();
        }
        self.outbox.push(Outgoing::Frame(frame));
        self.last_sent = Instant::now();
    }

    /// A decision told over a waiting session changes how much room the connection has.
    fn reclassify(&mut self, frame: &brine_protocol::frame::Frame) -> Result<(), Ended> {
        match ToMinion::from_frame(frame) {
            Ok(ToMinion::Standing(standing)) => self.take_place(standing),
            _ => Ok(()),
        }
    }

    /// Each return is acknowledged, once it is on disk, in the order in which they came.
    fn acknowledged(&mut self, frame: &brine_protocol::frame::Frame) {
        if let Ok(ToMinion::Stored(stored)) = ToMinion::from_frame(frame) {
            self.returns.drain(..stored.numbers.len().min(self.returns.len()));
        }
    }

    fn take_place(&mut self, standing: Standing) -> Result<(), Ended> {
        let class = match standing {
            Standing::Accepted { .. } => Class::Live,
            Standing::Pending | Standing::Rejected | Standing::Denied | Standing::Suspended => Class::Waiting,
        };
        let gate = Arc::clone(&self.gate);
        if let Err(refused) = gate.reclassify(&mut self.ticket, class, self.conn) {
            // In a session that is open already it would not be sealed: its next one is told.
            if !matches!(self.phase, Phase::Open(_)) {
                self.wire.write_message(&busy(if refused == MINIONS { RETRY_AFTER_MS } else { 30_000 }));
            }
            self.closing = Some(refused);
            return Ok(());
        }
        if class == Class::Live {
            self.wire.set_limits(self.gate.config.session_limits());
        }
        Ok(())
    }

    async fn on_event(&mut self, event: Event) -> Result<(), Ended> {
        match event {
            Event::Greeting | Event::Pong => Ok(()),
            Event::Ready { .. } => {
                let agreement = Arc::clone(&self.gate.agreement.read().expect("no holder panics"));
                let offer = agreement.offer(random::bytes());
                self.wire.write_message(offer.message());
                self.phase = Phase::Offered { offer, may_resume: true };
                self.stage_since = Instant::now();
                Ok(())
            }
            Event::Ping { context } => {
                self.wire.pong(&context);
                Ok(())
            }
            Event::Message(mut parts) => {
                let message = parts.pop().ok_or("message_empty")?;
                if !parts.is_empty() {
                    return Err("message_of_many_frames");
                }
                self.on_message(message).await
            }
            Event::Error { .. } => Err("peer_error"),
            Event::Subscribe(_) | Event::Unsubscribe(_) => Err("subscription_on_return_port"),
        }
    }

    async fn on_message(&mut self, message: Bytes) -> Result<(), Ended> {
        match std::mem::replace(&mut self.phase, Phase::Greeting) {
            Phase::Offered { offer, may_resume: true } if message.get(1) == Some(&kind::RESUME) => {
                self.on_resume(offer, &message).await
            }
            Phase::Offered { offer, .. } => self.on_hello(offer, &message).await,
            Phase::Open(mut open) => {
                let size = message.len();
                let result = open.channel.opener.open(message);
                let unproven = open.unproven.take();
                self.phase = Phase::Open(open);
                self.on_sealed(result, size, unproven).await
            }
            Phase::Greeting | Phase::Judged(_) => Err("message_out_of_turn"),
        }
    }

    async fn on_sealed(
        &mut self,
        result: Result<brine_protocol::frame::Frame, ChannelError>,
        size: usize,
        unproven: Option<Opened>,
    ) -> Result<(), Ended> {
        let frame = result.map_err(|error| match error {
            ChannelError::NotSealed => "not_sealed",
            ChannelError::Forged => "sealed_forged",
            ChannelError::KeyWornOut => "sealed_key_worn_out",
            ChannelError::Frame(_) => "frame_malformed",
        })?;
        let message = ToMaster::from_frame(&frame).map_err(|_| "frame_malformed")?;
        let message = match message {
            ToMaster::Return(report) if unproven.is_none() && self.ticket.class() == Class::Live => {
                // Passed on at once, unless it has to wait.
                self.due = Some((report, size));
                return Ok(());
            }
            message @ ToMaster::Grains(_) if unproven.is_none() && self.ticket.class() == Class::Live => {
                self.grains_due = Some(message);
                return Ok(());
            }
            other => other,
        };
        let input = match unproven {
            Some(opened) => Input::Opened { opened: Box::new(opened), first: message },
            None if self.ticket.class() == Class::Live || is_allowed_while_waiting(&message) => {
                Input::Frame { conn: self.conn, message }
            }
            None => return Err("not_accepted"),
        };
        self.gate.inputs.send(input).await.map_err(|_| "stopping")?;
        // Behind the send: waiting for a busy engine is not the peer's silence.
        self.last_heard = Instant::now();
        Ok(())
    }
}

fn is_allowed_while_waiting(message: &ToMaster) -> bool {
    matches!(message, ToMaster::Knock(_) | ToMaster::Beat(_) | ToMaster::Bye | ToMaster::Learned(_))
}
