//! The gate: the master's two ports, and everything a stranger can do to them.
//!
//! The return port is a ROUTER towards minions' DEALERs and carries handshakes and sealed frames;
//! the publish port is a PUB towards their SUBs and carries broadcasts. One task per connection
//! owns its socket; an idle connection owns no buffers. **Invariants:** nothing is allocated for a
//! length that a peer announces; a peer is named by its connection, never by what it claims; no
//! message is dropped in silence: a peer that cannot take its bytes in time is disconnected and
//! counted, and what was open for it is delivered again when it is back.

mod admission;
mod claim;
mod full;
mod outbox;
mod places;
mod router;
mod subscriber;
mod verifier;
mod wire;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use brine_pki::handshake::master::Agreement;
use brine_protocol::message::{Standing, ToMinion};
use bytes::{Bytes, BytesMut};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};

use crate::config::Config;
use crate::counters::Counters;
use crate::engine::Input;
use crate::tickets::Tickets;
use admission::{Admission, FULL, Ticket};
use outbox::Outbox;
pub use outbox::Outgoing;
use places::{Class, Places, Port};
use verifier::Verifier;

/// The topic of every broadcast.
pub const BROADCAST_TOPIC: &[u8] = b"brine/1/all";

/// What a subscription that shows a session's token begins with; 64 hex digits follow.
pub const TOKEN_TOPIC: &[u8] = b"brine/1/token/";

/// Names one connection of a minion's DEALER, and with it its session. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// Peers that are told at the same time that all places are taken. Their descriptors are of those that
/// are kept free (`descriptors_reserved`).
const TURNED_AWAY_MAX: usize = 16;

/// The gate's shared half: what its connections, and the driver, hold on to.
pub struct Gate {
    config: Arc<Config>,
    counters: Arc<Counters>,
    agreement: RwLock<Arc<Agreement>>,
    tickets: Arc<Tickets>,
    verifier: Verifier,
    inputs: mpsc::Sender<Input>,
    started: Instant,
    minions_max: usize,
    admission: Mutex<Admission>,
    next: Mutex<u64>,
    routers: Mutex<HashMap<ConnId, Arc<Outbox>>>,
    subscribers: Mutex<HashMap<ConnId, Arc<Outbox>>>,
    tokens: Mutex<HashMap<[u8; 32], ConnId>>,
}

/// The two ports, bound.
pub struct Ports {
    publish: TcpListener,
    ret: TcpListener,
}

impl Ports {
    /// Binds both ports.
    ///
    /// # Errors
    /// One of them cannot be bound; the error names it.
    pub async fn bind(config: &Config) -> io::Result<Self> {
        let bind = async |port: u16| {
            let address = SocketAddr::new(config.interface, port);
            let listen = || {
                let socket = match address {
                    SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
                    SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6()?,
                };
                socket.set_reuseaddr(true)?;
                socket.bind(address)?;
                // A whole fleet reconnects at once; the kernel caps this at net.core.somaxconn.
                socket.listen(8192)
            };
            listen()
                .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))
        };
        Ok(Self { publish: bind(config.publish_port).await?, ret: bind(config.ret_port).await? })
    }

    /// The ports as bound: publish, return.
    ///
    /// # Errors
    /// The system does not say.
    pub fn numbers(&self) -> io::Result<(u16, u16)> {
        Ok((self.publish.local_addr()?.port(), self.ret.local_addr()?.port()))
    }
}

impl Gate {
    /// A gate that offers this agreement, gives and takes these tickets, and reports to the engine.
    #[must_use]
    pub fn new(
        config: Arc<Config>,
        counters: Arc<Counters>,
        agreement: Arc<Agreement>,
        tickets: Arc<Tickets>,
        inputs: mpsc::Sender<Input>,
    ) -> Arc<Self> {
        let places = Places::carried(&config);
        let minions_max = places.minions_max();
        tracing::info!(minions_max, "so many minions may be connected at a time");
        Arc::new(Self {
            verifier: Verifier::start(&config),
            admission: Mutex::new(Admission::new(&config, places)),
            minions_max,
            config,
            counters,
            agreement: RwLock::new(agreement),
            tickets,
            inputs,
            started: Instant::now(),
            next: Mutex::new(1),
            routers: Mutex::default(),
            subscribers: Mutex::default(),
            tokens: Mutex::default(),
        })
    }

    /// Accepts on both ports for as long as the program runs.
    pub async fn run(self: Arc<Self>, ports: Ports) {
        let turning = Arc::new(Semaphore::new(TURNED_AWAY_MAX));
        let turn_away = move |gate: &Arc<Self>, stream| {
            // Beyond so many nobody is told anything.
            if let Ok(place) = Arc::clone(&turning).try_acquire_owned() {
                let gate = Arc::clone(gate);
                tokio::spawn(async move {
                    full::turn_away(&gate, stream).await;
                    drop(place);
                });
            }
        };
        let serve = async |gate: Arc<Self>, stream, ticket| router::serve(gate, stream, ticket).await;
        let routers = Arc::clone(&self).accept(ports.ret, Port::Return, serve, turn_away);
        let serve = async |gate: Arc<Self>, stream, ticket| subscriber::serve(gate, stream, ticket).await;
        // A subscriber has a session, which is told.
        let subscribers = self.accept(ports.publish, Port::Publish, serve, |_, _| {});
        tokio::join!(routers, subscribers);
    }

    async fn accept<S, F>(
        self: Arc<Self>,
        listener: TcpListener,
        port: Port,
        serve: S,
        turn_away: impl Fn(&Arc<Self>, TcpStream),
    ) where
        S: Fn(Arc<Self>, TcpStream, Ticket) -> F + Copy + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let mut pause = Duration::from_millis(10);
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    pause = Duration::from_millis(10);
                    let now = Instant::now();
                    let admitted =
                        self.admission.lock().expect("no holder panics").admit(port, peer.ip(), now);
                    match admitted {
                        Ok(()) => {
                            let ticket = Ticket::new(Arc::clone(&self), port, peer.ip());
                            tokio::spawn(serve(Arc::clone(&self), stream, ticket));
                        }
                        Err(reason) => {
                            self.counters.count(reason);
                            if reason == FULL {
                                turn_away(&self, stream);
                            }
                        }
                    }
                }
                Err(error) => {
                    // Out of descriptors, or the peer was quicker: never spin.
                    self.counters.count("accept_failed");
                    tracing::warn!(%error, "cannot accept a connection, pausing");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(1));
                }
            }
        }
    }

    /// Queues a message for a session. A session that is gone or full is being closed already.
    pub fn send(&self, conn: ConnId, message: &ToMinion) {
        if let ToMinion::Standing(Standing::Accepted { token }) = message {
            self.expect_subscriber(conn, *token);
        }
        self.push(conn, Outgoing::Frame(message.to_frame()));
    }

    /// Answers a Hello or a Resume. `generation` is that of the decision that accepted the key.
    pub fn welcome(&self, conn: ConnId, standing: Standing, generation: Option<u64>) {
        if let Standing::Accepted { token } = standing {
            self.expect_subscriber(conn, token);
        }
        self.push(conn, Outgoing::Welcome(standing, generation));
    }

    /// Gives a ticket to a session that has waited, under the decision that has let it in.
    pub fn grant(&self, conn: ConnId, generation: u64) {
        self.push(conn, Outgoing::Grant(generation));
    }

    /// Has [`Input::Drained`] sent when all that is queued for a session has left.
    pub fn mark(&self, conn: ConnId) {
        self.push(conn, Outgoing::Mark);
    }

    /// Ends a session, after what is queued for it.
    pub fn close(&self, conn: ConnId, why: &'static str) {
        self.push(conn, Outgoing::Close(why));
    }

    /// Ends a session at once, whatever is queued for it.
    pub fn cut(&self, conn: ConnId, why: &'static str) {
        let outbox = self.routers.lock().expect("no holder panics").get(&conn).cloned();
        if let Some(outbox) = outbox {
            outbox.cut(why);
        }
    }

    /// Queues a broadcast for every subscriber of a live session.
    pub fn broadcast(&self, body: &Bytes) {
        let mut message = BytesMut::with_capacity(body.len() + 64);
        brine_protocol::zmtp::encode_message(&[BROADCAST_TOPIC, body], &mut message);
        let message = message.freeze();
        let subscribers = self.subscribers.lock().expect("no holder panics");
        for outbox in subscribers.values() {
            outbox.push(Outgoing::Shared(message.clone()));
        }
        self.counters.add("broadcast_copies", subscribers.len() as u64);
    }

    /// Offers another agreement from now on; the old one's secret is wiped when the last
    /// handshake that uses it is done.
    pub fn rotate(&self, agreement: Arc<Agreement>) {
        *self.agreement.write().expect("no holder panics") = agreement;
    }

    /// What is offered now, as an Offer in base64.
    #[must_use]
    pub fn offer_text(&self) -> String {
        let agreement = Arc::clone(&self.agreement.read().expect("no holder panics"));
        agreement.offer(brine_pki::random::bytes()).to_text()
    }

    fn push(&self, conn: ConnId, item: Outgoing) {
        let outbox = self.routers.lock().expect("no holder panics").get(&conn).cloned();
        if let Some(outbox) = outbox {
            outbox.push(item);
        }
    }

    fn expect_subscriber(&self, conn: ConnId, token: [u8; 32]) {
        // Under the lock of the routers: a connection that has ended takes its token with it.
        let routers = self.routers.lock().expect("no holder panics");
        if routers.contains_key(&conn) {
            self.tokens.lock().expect("no holder panics").insert(token, conn);
        }
    }

    /// Makes a connection what it has turned out to be; the name of what refuses.
    fn reclassify(&self, ticket: &mut Ticket, class: Class, conn: ConnId) -> Result<(), &'static str> {
        let done = self.admission.lock().expect("no holder panics").reclassify(ticket, class, conn);
        if let Some(waiting) = done? {
            self.cut(waiting, "gave_way_to_a_minion");
        }
        Ok(())
    }

    fn open_router(&self) -> (ConnId, Arc<Outbox>) {
        let conn = {
            let mut next = self.next.lock().expect("no holder panics");
            *next += 1;
            ConnId(*next)
        };
        let outbox = Arc::new(Outbox::new(self.config.send_queue_max));
        self.routers.lock().expect("no holder panics").insert(conn, Arc::clone(&outbox));
        (conn, outbox)
    }

    /// Forgets a session's connection and ends its subscriber.
    fn close_router(&self, conn: ConnId) {
        self.routers.lock().expect("no holder panics").remove(&conn);
        self.tokens.lock().expect("no holder panics").retain(|_, owner| *owner != conn);
        let subscriber = self.subscribers.lock().expect("no holder panics").remove(&conn);
        if let Some(outbox) = subscriber {
            outbox.cut("session_ended");
        }
    }

    /// How many minions may be connected at a time.
    #[must_use]
    pub fn minions_max(&self) -> usize {
        self.minions_max
    }

    /// A clock in seconds that does not go back.
    fn now_s(&self) -> u64 {
        self.started.elapsed().as_secs()
    }
}

/// How long what was sent may go unacknowledged by the peer's machine. Keepalive is silent while something
/// is under way, and a subscriber sends no beats: a broadcast into a black hole would be waited for as long
/// as the system's own patience lasts, a quarter of an hour.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// Keeps a dead peer from looking alive for long, and small messages from waiting for company.
fn tune(stream: &TcpStream) {
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(10));
    let socket = socket2::SockRef::from(stream);
    // None of these is needed for correctness: the beats and deadlines above them are.
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_keepalive(&keepalive);
    let _ = socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_black_hole_is_not_written_into_for_long() {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let stream = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("a connection");
        tune(&stream);
        let set = socket2::SockRef::from(&stream).tcp_user_timeout();
        assert_eq!(set.expect("the system tells"), Some(UNACKNOWLEDGED));
    }
}
