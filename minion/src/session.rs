//! One session: handshake, then sealed frames both ways, until anything goes wrong.
//!
//! It opens and seals, and hands messages to the driver; it decides nothing about jobs. Frames
//! are sealed at the moment the connection has room for them, in the order they were given.

mod opening;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use brine_local::clock;
use brine_pki::channel::{Channel, ChannelError};
use brine_pki::handshake::HandshakeError;
use brine_pki::handshake::minion::{Offered, Ticket};
use brine_pki::publish::{PublishError, Reader};
use brine_pki::ticket::Resumption;
use brine_protocol::frame::{Frame, FrameError};
use brine_protocol::message::{Config, Order, Standing, ToMaster, ToMinion, kind};
use brine_protocol::{Fingerprint, MinionId};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::backoff::Setback;
use crate::enrolment::Unpinned;
use crate::identity::Keyring;
use crate::link::{Control, Dial, Feed, LinkError};
use crate::relay::RelayError;
use crate::ticket::Pocket;
use crate::trust::Trust;
use opening::{Open, open};

/// The topic of broadcasts.
const TOPIC_ALL: &str = "brine/1/all";

/// How long a last message may take to leave.
const FLUSH: Duration = Duration::from_secs(1);

/// How long a session with the present key waits for a decision while there is a next key: a
/// rotation that was under way when the master judged the next key may have been done since.
const DOUBT: Duration = Duration::from_secs(10);

/// How often a session looks whether its master is trusted still.
const WATCH: Duration = Duration::from_secs(2);

/// Who opens sessions.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The minion's id.
    pub id: MinionId,
    /// Its keys.
    pub keys: Arc<Keyring>,
    /// The master it trusts.
    pub trust: Arc<Trust>,
    /// The ticket of its last session.
    pub ticket: Arc<Pocket>,
    /// Whether it has a token to tell, which only a pinned master may hear.
    pub has_token: bool,
    /// How long each step of the opening may take.
    pub patience: Duration,
}

/// What a session tells the driver.
#[derive(Debug)]
pub enum Event {
    /// The handshake is done.
    Opened {
        /// Where the key stands.
        standing: Standing,
        /// How often to beat.
        heartbeat: Duration,
        /// Largest message that the master takes, in bytes, if it says so.
        message_max: Option<usize>,
        /// The key of this minion that the verdict is about.
        key: Fingerprint,
        /// The master's trust key.
        master: Fingerprint,
        /// The trust key that is to follow it, if one is announced.
        successor: Option<Fingerprint>,
        /// Where it is.
        address: SocketAddr,
    },
    /// The master said this over the channel.
    Heard(ToMinion),
    /// The master broadcast this order.
    Broadcast(Box<Order>),
    /// It is stored now which trust key is to follow the master's.
    Learned(Option<Fingerprint>),
}

/// What the driver tells a session.
#[derive(Debug)]
pub enum Command {
    /// Send this.
    Send(ToMaster),
    /// Send what was given before, then end.
    Close,
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// A connection.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The handshake.
    #[error("{0}{hint}", hint = advice(.0))]
    Handshake(#[from] HandshakeError),
    /// A step of the handshake did not come.
    #[error("the master's {what} did not come within {within:?}")]
    Late {
        /// The message that was due.
        what: &'static str,
        /// The limit.
        within: Duration,
    },
    /// The sealed channel.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// A broadcast.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// A frame that opened and is not understood.
    #[error("the master's message is not understood: {0}")]
    Message(#[from] FrameError),
    /// A broadcast of something that is no order, or on another topic.
    #[error("the master broadcast something other than an order")]
    NoOrder,
    /// The pinned master cannot be read or written.
    #[error("{0:#}")]
    Trust(anyhow::Error),
    /// There is a token to tell, and any master would be trusted.
    #[error(transparent)]
    Unpinned(#[from] Unpinned),
    /// An administrator has named another master.
    #[error("the master with the key {0} is not trusted any more: another key was named")]
    Untrusted(Fingerprint),
    /// The driver asked for it.
    #[error("closed by this minion")]
    Closed,
}

fn advice(error: &HandshakeError) -> String {
    match error {
        HandshakeError::Pin { got, .. } => format!(
            "; nothing was sent to it. If the master's key was changed on purpose, compare the fingerprint with \
             `brine-key -F master` there, then run here: brine-minion trust-master {got}"
        ),
        HandshakeError::Version(_) => "; update the older of the two".to_owned(),
        _ => String::new(),
    }
}

impl SessionError {
    /// How soon to try again.
    #[must_use]
    pub fn setback(&self) -> Setback {
        let slow = Setback::Slow { at_least: Duration::ZERO };
        match self {
            SessionError::Handshake(HandshakeError::Busy { retry_after_ms }) => {
                Setback::Slow { at_least: Duration::from_millis(u64::from(*retry_after_ms)) }
            }
            SessionError::Handshake(_) | SessionError::Trust(_) | SessionError::Unpinned(_) => slow,
            SessionError::Link(LinkError::Relay(RelayError::Refused(_) | RelayError::Told(_))) => slow,
            SessionError::Link(_)
            | SessionError::Late { .. }
            | SessionError::Channel(_)
            | SessionError::Publish(_)
            | SessionError::Message(_)
            | SessionError::NoOrder
            | SessionError::Untrusted(_)
            | SessionError::Closed => Setback::Lost,
        }
    }
}

/// Runs one session to its end.
pub async fn run<D: Dial>(
    dial: &D,
    identity: &Identity,
    events: &mpsc::Sender<Event>,
    commands: &mut mpsc::UnboundedReceiver<Command>,
) -> SessionError {
    let opened = tokio::select! {
        opened = open(dial, identity) => opened,
        () = closed(commands) => return SessionError::Closed,
    };
    match opened {
        Ok(Open { control, channel, address, own, master, standing, heartbeat, resumption, event }) => {
            let token = match standing {
                Standing::Accepted { token } => Some(token),
                Standing::Pending | Standing::Rejected | Standing::Denied | Standing::Suspended => None,
            };
            if events.send(event).await.is_err() {
                return SessionError::Closed;
            }
            let is_in_doubt = token.is_none() && identity.keys.next().is_some();
            let session = Session {
                dial,
                trust: &identity.trust,
                ticket: &identity.ticket,
                events,
                address,
                own,
                opened_by: master,
                master,
                resumption,
                channel,
                reader: Reader::new(),
                heartbeat,
                started: Instant::now(),
            };
            match session.traffic(control, token, is_in_doubt, commands).await {
                Ok(()) => SessionError::Closed,
                Err(error) => error,
            }
        }
        Err(error) => error,
    }
}

/// Waits until the driver closes; what it wants to send before the session is open is dropped,
/// because the next one tells it anew.
async fn closed(commands: &mut mpsc::UnboundedReceiver<Command>) {
    while !matches!(commands.recv().await, Some(Command::Close) | None) {}
}

struct Session<'a, D: Dial> {
    dial: &'a D,
    trust: &'a Trust,
    ticket: &'a Pocket,
    events: &'a mpsc::Sender<Event>,
    address: SocketAddr,
    /// The key of this minion that it was opened with, and the trust key of the master that it was opened by:
    /// those of its tickets.
    own: Fingerprint,
    opened_by: Fingerprint,
    /// The trust key under which the master spoke last.
    master: Fingerprint,
    resumption: Resumption,
    channel: Channel,
    reader: Reader,
    heartbeat: Duration,
    started: Instant,
}

enum Next<F> {
    Received(Result<Bytes, LinkError>),
    Writable,
    Command(Option<Command>),
    Doubt,
    Missing,
    Watch,
    Subscribed(Result<F, LinkError>),
    Broadcast(Result<(Bytes, Bytes), LinkError>),
}

impl<D: Dial> Session<'_, D> {
    async fn traffic(
        mut self,
        mut control: D::Control,
        token: Option<[u8; 32]>,
        is_in_doubt: bool,
        commands: &mut mpsc::UnboundedReceiver<Command>,
    ) -> Result<(), SessionError> {
        let (dial, address) = (self.dial, self.address);
        let subscribe = |token: [u8; 32]| {
            let topics = topics(&token);
            Box::pin(async move { dial.feed(address, &topics).await })
        };
        let window = control.window();
        let mut subscribing = token.map(subscribe);
        let mut feed: Option<D::Feed> = None;
        let mut waiting: Option<ToMaster> = None;
        let mut watch = tokio::time::interval(WATCH);
        let mut missing = None;
        let mut doubt = is_in_doubt.then(|| Box::pin(tokio::time::sleep(DOUBT)));
        loop {
            // What the master has counted may only be slower than the count.
            let wait = || Box::pin(tokio::time::sleep(self.heartbeat));
            missing = if self.reader.is_behind() { missing.or_else(|| Some(wait())) } else { None };
            let next = tokio::select! {
                received = control.recv() => Next::Received(received),
                () = window.reserve(), if waiting.is_some() => Next::Writable,
                command = commands.recv(), if waiting.is_none() => Next::Command(command),
                () = optional(doubt.as_mut()) => Next::Doubt,
                () = optional(missing.as_mut()) => Next::Missing,
                _ = watch.tick() => Next::Watch,
                subscribed = optional(subscribing.as_mut()) => Next::Subscribed(subscribed),
                broadcast = next_broadcast(feed.as_mut()) => Next::Broadcast(broadcast),
            };
            match next {
                Next::Received(message) => {
                    let frame = self.channel.opener.open(message?)?;
                    let message = ToMinion::from_frame(&frame)?;
                    if frame.kind == kind::MASTER_BEAT {
                        self.take_ticket(&frame.body);
                    }
                    if let ToMinion::Standing(Standing::Accepted { token }) = &message {
                        doubt = None;
                        feed = None;
                        subscribing = Some(subscribe(*token));
                    }
                    let released = match &message {
                        ToMinion::Epoch(epoch) => self.reader.install(epoch)?,
                        _ => Vec::new(),
                    };
                    if let ToMinion::Counted(counted) = &message {
                        self.reader.count(counted);
                    }
                    let learned = match &message {
                        ToMinion::Config(config) => Some(self.learn(config)?),
                        _ => None,
                    };
                    self.tell(message).await?;
                    if let Some(successor) = learned {
                        self.event(Event::Learned(successor)).await?;
                    }
                    for frame in released {
                        self.tell_broadcast(&frame).await?;
                    }
                }
                Next::Writable => {
                    if let Some(mut message) = waiting.take() {
                        if let ToMaster::Beat(beat) = &mut message {
                            beat.clock = Some(clock::wall());
                        }
                        let sealed =
                            self.channel.sealer.seal(&message.to_frame(), self.started.elapsed().as_secs());
                        control.send(sealed).await?;
                    }
                }
                Next::Command(Some(Command::Send(message))) => waiting = Some(message),
                Next::Command(Some(Command::Close) | None) => {
                    // A master that takes nothing is not worth waiting for.
                    let _ = timeout(FLUSH, window.emptied()).await;
                    return Ok(());
                }
                Next::Doubt => return Ok(()),
                Next::Missing => return Err(PublishError::Missing.into()),
                Next::Watch => {
                    // Files that cannot be read now name nobody else.
                    if matches!(self.trust.admits(self.master), Ok(false)) {
                        return Err(SessionError::Untrusted(self.master));
                    }
                }
                Next::Subscribed(subscribed) => {
                    subscribing = None;
                    feed = Some(subscribed?);
                }
                Next::Broadcast(broadcast) => {
                    let (topic, body) = broadcast?;
                    if topic != TOPIC_ALL.as_bytes() {
                        return Err(SessionError::NoOrder);
                    }
                    // The feed moves: what is missing may be behind this one.
                    missing = None;
                    if let Some(frame) = self.reader.open(body)? {
                        self.tell_broadcast(&frame).await?;
                    }
                }
            }
        }
    }

    async fn tell_broadcast(&self, frame: &Frame) -> Result<(), SessionError> {
        match ToMinion::from_frame(frame)? {
            ToMinion::Order(order) => self.event(Event::Broadcast(order)).await,
            _ => Err(SessionError::NoOrder),
        }
    }

    async fn tell(&self, message: ToMinion) -> Result<(), SessionError> {
        self.event(Event::Heard(message)).await
    }

    async fn event(&self, event: Event) -> Result<(), SessionError> {
        self.events.send(event).await.map_err(|_| SessionError::Closed)
    }

    /// A beat may bring a newer ticket.
    fn take_ticket(&self, sealed: &[u8]) {
        self.ticket.put(Ticket::new(self.own, self.opened_by, sealed, self.resumption.clone()));
    }

    /// Stores what a new handshake would have told: judged like an Offer, by the pin.
    fn learn(&mut self, config: &Config) -> Result<Option<Fingerprint>, SessionError> {
        let pin = self.trust.pin().map_err(SessionError::Trust)?;
        let offered = Offered::read_text(&config.offer, &pin)?;
        let (key, serial, successor) = (offered.trust_key(), offered.serial(), offered.successor());
        self.trust.remember(key, serial, successor).map_err(SessionError::Trust)?;
        self.master = key.fingerprint();
        Ok(successor)
    }
}

fn topics(token: &[u8; 32]) -> [String; 2] {
    let hex: String = token.iter().map(|byte| format!("{byte:02x}")).collect();
    // The token first: it is what the master waits for.
    [format!("brine/1/token/{hex}"), TOPIC_ALL.to_owned()]
}

async fn optional<F: Future + Unpin>(future: Option<&mut F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

async fn next_broadcast(feed: Option<&mut impl Feed>) -> Result<(Bytes, Bytes), LinkError> {
    match feed {
        Some(feed) => feed.recv().await,
        None => std::future::pending().await,
    }
}
