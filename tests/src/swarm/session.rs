//! One session of a simulated minion: the opening, then sealed frames and broadcasts until
//! anything goes wrong. One task does all of it, on two connections.

use std::future::pending;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use brine_pki::channel::Channel;
use brine_pki::handshake::HandshakeError;
use brine_pki::handshake::minion::{Answer, Offered, Pin as Master, Welcomed};
use brine_protocol::Fingerprint;
use brine_protocol::message::{Beat, Knock, RUNNING_MAX, Standing, Start, ToMaster, ToMinion, kind};
use brine_protocol::zmtp::{Event, SocketType};
use bytes::Bytes;
use tokio::sync::{SemaphorePermit, watch};
use tokio::time::{Sleep, timeout};

use super::airwaves::{Ears, Heard};
use super::ended::Ended;
use super::executor::Taken;
use super::minion::Minion;
use super::opening::{Tickets, resume, sign};
use super::stats::{Counted, count};
use super::wire::{Wire, only};
use super::{Shared, grains, stopped};

/// The topic of broadcasts.
const TOPIC_ALL: &[u8] = b"brine/1/all";

/// Beats that may be missed before a session is given up.
const BEATS_MISSED_MAX: u32 = 3;

/// Most orders that wait for the session's first `Stored`.
const EARLY_MAX: usize = 256;

/// How long a last message may take to leave.
const FLUSH: Duration = Duration::from_secs(1);

/// A session that is sealed.
pub(super) struct Session {
    dealer: Wire,
    feed: Option<Wire>,
    channel: Channel,
    tickets: Tickets,
    ears: Ears,
    begun: Instant,
    standing: Standing,
    every: Duration,
    beat_at: Instant,
    silent_at: Instant,
    is_numbered: bool,
    early: Vec<Arc<Heard>>,
}

/// Whether the verdict lets the minion in.
fn is_accepted(standing: &Standing) -> bool {
    matches!(standing, Standing::Accepted { .. })
}

impl Session {
    /// Connects and goes through the handshake. Waits for its turn first: the signatures of a crowd
    /// are made by the few processors here, and who waits for one of them would be cut off. Once the
    /// Hello has left, only the master is waited for.
    pub(super) async fn open(shared: &Shared, minion: &mut Minion) -> Result<Self, Ended> {
        let turn = shared.turn().await?;
        let begun = Instant::now();
        let to = SocketAddr::new(shared.options.master.address, shared.options.master.ret_port);
        let mut dealer = Wire::dial(minion.from, to, SocketType::Dealer).await?;
        let offer = dealer.message("Offer").await?;
        let offered = Offered::read(&offer, &shared.pin(minion.serial))?;
        let (trust_key, serial, successor) =
            (offered.trust_key().fingerprint(), offered.serial(), offered.successor());
        let own = shared.keys.of(minion.number).public().fingerprint();
        let ticket = minion.ticket.take_if(|ticket| ticket.is_of(own) && ticket.is_from(trust_key));
        let answer = match ticket {
            Some(ticket) => {
                drop(turn);
                let answer = resume(&mut dealer, minion, offered, ticket).await?;
                count(&shared.stats.resumed, u64::from(matches!(answer, Answer::Welcome(_))));
                answer
            }
            None => sign(&mut dealer, shared, minion, offered, turn).await?,
        };
        let welcomed = match answer {
            Answer::Welcome(welcomed) => welcomed,
            Answer::Refused(offered) => {
                let turn = shared.turn().await?;
                match sign(&mut dealer, shared, minion, offered, turn).await? {
                    Answer::Welcome(welcomed) => welcomed,
                    Answer::Refused(_) => return Err(HandshakeError::Malformed("Welcome").into()),
                }
            }
        };
        let Welcomed { welcome, channel, ticket, resumption } = *welcomed;
        let tickets = Tickets { own, master: trust_key, resumption };
        if shared.options.resumes {
            tickets.put(minion, &ticket);
        }
        *shared.master.lock().expect("no holder panics") = Some((trust_key, successor));
        minion.serial = serial;
        count(&shared.stats.handshakes, 1);
        shared.stats.opened(begun.elapsed());
        let now = Instant::now();
        let every = Duration::from_millis(welcome.pace.heartbeat_ms.clamp(50, 10 * 60 * 1000));
        Ok(Self {
            dealer,
            feed: None,
            channel,
            tickets,
            ears: Ears::default(),
            begun: now,
            standing: welcome.standing,
            every,
            beat_at: now + every,
            silent_at: now + every * BEATS_MISSED_MAX,
            is_numbered: false,
            early: Vec::new(),
        })
    }

    /// Runs to the end; also says whether the session was good.
    pub(super) async fn run(
        &mut self,
        shared: &Shared,
        minion: &mut Minion,
        stop: &mut watch::Receiver<bool>,
    ) -> Ended {
        let _connected = Counted::new(&shared.stats.connected);
        let mut live = None;
        let mut alarm = Box::pin(tokio::time::sleep(Duration::ZERO));
        minion.executor.begin_session();
        match self.traffic(shared, minion, stop, alarm.as_mut(), &mut live).await {
            Ok(()) => Ended::Stopped,
            // The master means it, whatever it said at last.
            Err(Ended::Lost(why))
                if !matches!(self.standing, Standing::Accepted { .. } | Standing::Pending) =>
            {
                Ended::Refused(why)
            }
            Err(ended) => ended,
        }
    }

    async fn traffic<'a>(
        &mut self,
        shared: &'a Shared,
        minion: &mut Minion,
        stop: &mut watch::Receiver<bool>,
        mut alarm: Pin<&mut Sleep>,
        live: &mut Option<Counted<'a>>,
    ) -> Result<(), Ended> {
        let standing = self.standing;
        self.on_standing(&standing, shared, minion).await?;
        loop {
            if live.is_none() && self.is_numbered && self.ears.can_hear() {
                *live = Some(Counted::new(&shared.stats.live));
            }
            if !is_accepted(&self.standing) {
                *live = None;
            }
            self.act(shared, minion)?;
            self.dealer.flush()?;
            let until = [Some(self.beat_at), Some(self.silent_at), minion.executor.next_due()];
            let until = until.into_iter().flatten().min().expect("beats are due");
            if alarm.deadline().into_std() != until {
                alarm.as_mut().reset(until.into());
            }
            tokio::select! {
                turned = self.dealer.turn() => turned?,
                turned = turn(self.feed.as_mut()) => turned?,
                () = alarm.as_mut() => {}
                () = stopped(stop) => {
                    self.say(&ToMaster::Bye);
                    let _ = timeout(FLUSH, self.leave()).await;
                    return Ok(());
                }
            }
            self.listen(shared, minion).await?;
        }
    }

    /// Takes what has come, on both connections.
    async fn listen(&mut self, shared: &Shared, minion: &mut Minion) -> Result<(), Ended> {
        while let Some(event) = self.dealer.next()? {
            if let Event::Message(parts) = event {
                self.on_sealed(only(parts)?, shared, minion).await?;
            }
        }
        while let Some(event) = self.feed.as_mut().map_or(Ok(None), Wire::next)? {
            let Event::Message(parts) = event else { continue };
            let Ok([topic, body]) = <[Bytes; 2]>::try_from(parts) else {
                return Err(Ended::Lost("a broadcast has two frames".into()));
            };
            if topic != TOPIC_ALL {
                return Err(Ended::Lost("a broadcast on another topic".into()));
            }
            self.heard_something();
            let heard = self.ears.hear(body, &shared.air).map_err(|why| Ended::Lost(why.into()))?;
            if let Some(heard) = heard {
                self.on_order(heard, shared, minion)?;
            }
        }
        Ok(())
    }

    fn heard_something(&mut self) {
        self.silent_at = Instant::now() + self.every * BEATS_MISSED_MAX;
    }

    async fn on_sealed(&mut self, sealed: Bytes, shared: &Shared, minion: &mut Minion) -> Result<(), Ended> {
        let lost = |error: String| Ended::Lost(error.into());
        let frame = self.channel.opener.open(sealed).map_err(|error| lost(error.to_string()))?;
        let message = ToMinion::from_frame(&frame).map_err(|error| lost(error.to_string()))?;
        if frame.kind == kind::MASTER_BEAT && shared.options.resumes {
            self.tickets.put(minion, &frame.body);
        }
        self.heard_something();
        match message {
            ToMinion::Standing(standing) => self.on_standing(&standing, shared, minion).await?,
            ToMinion::Probe => self.beat(minion),
            ToMinion::Epoch(epoch) => {
                for heard in self.ears.learn(*epoch, &shared.air).map_err(lost)? {
                    self.on_order(heard, shared, minion)?;
                }
            }
            ToMinion::Order(order) => self.on_order(Arc::new(Heard::new(*order)), shared, minion)?,
            ToMinion::Stored(stored) => {
                let acknowledged = minion.executor.on_stored(&stored);
                count(&shared.stats.stored, acknowledged as u64);
                self.is_numbered = true;
                for heard in std::mem::take(&mut self.early) {
                    self.on_order(heard, shared, minion)?;
                }
            }
            ToMinion::Cancel(cancel) => minion.executor.on_cancel(&cancel, Instant::now()),
            // Signs of life, and what a simulated minion has no use for.
            _ => {}
        }
        Ok(())
    }

    async fn on_standing(
        &mut self,
        standing: &Standing,
        shared: &Shared,
        minion: &mut Minion,
    ) -> Result<(), Ended> {
        self.standing = *standing;
        let Standing::Accepted { token } = standing else {
            minion.executor.cancel_all("the master: this minion's key is not accepted");
            self.feed = None;
            self.is_numbered = false;
            self.say(&ToMaster::Knock(Knock { host: minion.id.to_string(), ..Knock::default() }));
            return Ok(());
        };
        count(&shared.stats.authenticated, 1);
        self.say(&ToMaster::Start(Box::new(Start {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            journal: minion.journal.to_string(),
            store: minion.executor.store().map(str::to_owned),
            open: minion.executor.open_numbers(),
            message_max: None,
            successor: shared.successor(),
            grains: grains::of(&minion.id, minion.number),
        })));
        self.dealer.flush()?;
        let to = SocketAddr::new(shared.options.master.address, shared.options.master.publish_port);
        let mut feed = Box::pin(Wire::dial(minion.from, to, SocketType::Sub)).await?;
        let hex: String = token.iter().map(|byte| format!("{byte:02x}")).collect();
        // The token first: it is what the master waits for.
        feed.send(format!("\x01brine/1/token/{hex}").as_bytes());
        feed.send(&[b"\x01", TOPIC_ALL].concat());
        feed.flush()?;
        self.feed = Some(feed);
        Ok(())
    }

    fn on_order(&mut self, heard: Arc<Heard>, shared: &Shared, minion: &mut Minion) -> Result<(), Ended> {
        if !is_accepted(&self.standing) {
            return Ok(());
        }
        if !self.is_numbered {
            self.early.push(heard);
            let is_flood = self.early.len() > EARLY_MAX;
            return if is_flood { Err(Ended::Lost("orders before the store's name".into())) } else { Ok(()) };
        }
        let meant = heard.is_meant(&minion.id, || grains::of(&minion.id, minion.number));
        let manner = &shared.options.manner;
        let counter = match minion.executor.on_order(&heard.order, meant, manner, Instant::now()) {
            Taken::New => &shared.stats.orders,
            Taken::Again => &shared.stats.repeated,
            Taken::Refused => &shared.stats.refused,
        };
        count(counter, 1);
        Ok(())
    }

    /// What is due: ends of jobs, returns, beats.
    fn act(&mut self, shared: &Shared, minion: &mut Minion) -> Result<(), Ended> {
        let now = Instant::now();
        if now >= self.silent_at {
            return Err(Ended::Lost("the master has been silent for three beats".into()));
        }
        minion.executor.end_due(now);
        if is_accepted(&self.standing) && self.is_numbered {
            while let Some(returned) = minion.executor.next_return(&minion.id, &shared.options.manner) {
                self.say(&ToMaster::Return(Box::new(returned)));
                shared.stats.answered.fetch_add(1, Ordering::Relaxed);
            }
        }
        if now >= self.beat_at {
            self.beat_at = now + self.every;
            self.beat(minion);
        }
        Ok(())
    }

    fn beat(&mut self, minion: &Minion) {
        let mut running = minion.executor.running();
        running.truncate(RUNNING_MAX);
        self.say(&ToMaster::Beat(Beat { running, clock: None }));
    }

    fn say(&mut self, message: &ToMaster) {
        let sealed = self.channel.sealer.seal(&message.to_frame(), self.begun.elapsed().as_secs());
        self.dealer.send(&sealed);
    }

    async fn leave(&mut self) -> Result<(), Ended> {
        while !self.dealer.is_flushed() {
            self.dealer.turn().await?;
        }
        // The master closes behind a goodbye, so that it is not lost with the connection.
        loop {
            while self.dealer.next()?.is_some() {}
            self.dealer.turn().await?;
        }
    }
}

async fn turn(wire: Option<&mut Wire>) -> Result<(), Ended> {
    match wire {
        Some(wire) => wire.turn().await,
        None => pending().await,
    }
}

impl Shared {
    /// A turn to connect and sign.
    async fn turn(&self) -> Result<SemaphorePermit<'_>, Ended> {
        self.turns.acquire().await.map_err(|_| Ended::Stopped)
    }

    /// The master that the swarm met, with what this minion knows of it.
    fn pin(&self, serial: u64) -> Master {
        match *self.master.lock().expect("no holder panics") {
            None => Master::FirstUse,
            Some((trust_key, successor)) => Master::Known { trust_key, serial, successor },
        }
    }

    fn successor(&self) -> Option<Fingerprint> {
        self.master.lock().expect("no holder panics").and_then(|(_, successor)| successor)
    }
}
