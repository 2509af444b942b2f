//! More than a thousand bad peers at once: each of one kind, in a thread of its own, from one of a
//! hundred addresses, at the pace that its kind states.
//!
//! They share the processors with the master that they attack. So none of them works as hard as this
//! machine could: what is held is held, what is sent again comes after a pause, and what was sent is
//! counted and told, so that a reader knows what the master stood.

mod insiders;
mod strangers;

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use brine_protocol::MinionId;
use brine_tests::api::Api;
use brine_tests::fleet::Fleet;
use brine_tests::peer::{hello, offered, random};
use brine_tests::swarm::{self, Pool};
use brine_tests::zmtp::Wire;

/// What the ids of accepted attackers begin with.
const INSIDER: &str = "evil-";

/// What a bad peer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Connects and says nothing.
    Silent,
    /// A byte every 500 ms, of a greeting or of a message.
    Slow,
    /// Goes through greeting and READY, takes the Offer, says no Hello.
    Half,
    /// Subscribes without a token and never reads.
    Deaf,
    /// Knocks with a key that nobody has accepted, and beats or knocks again after 500 ms; never reads.
    Unknown,
    /// Sends random bytes.
    Garbage,
    /// Announces frames that no memory holds.
    Huge,
    /// Answers the Offer with a recorded Hello.
    Replay,
    /// Subscribes to more topics than are allowed.
    Topics,
    /// Connects and leaves at once, all from one address, half of them with a reset.
    Storm,
    /// Accepted: returns nobody asked for, [`insiders::BURST`] every 100 ms, each with another value.
    Flood,
    /// Accepted: returns as large as a message may be, then one that is larger.
    Oversized,
    /// Accepted: has orders of 32 KiB sent to it and reads neither these nor broadcasts.
    Unread,
}

impl Kind {
    /// Every kind, and how many there are of it. The first five hold their connections.
    pub const ALL: [(Self, usize); 13] = [
        (Self::Silent, 400),
        (Self::Slow, 200),
        (Self::Half, 400),
        (Self::Deaf, 270),
        (Self::Unknown, 40),
        (Self::Garbage, 60),
        (Self::Huge, 60),
        (Self::Replay, 30),
        (Self::Topics, 30),
        (Self::Storm, 60),
        (Self::Flood, INSIDERS[0]),
        (Self::Oversized, INSIDERS[1]),
        (Self::Unread, INSIDERS[2]),
    ];

    /// The pause between the end of one connection and the next.
    fn rest(self) -> Duration {
        Duration::from_millis(match self {
            Self::Silent | Self::Slow | Self::Half | Self::Deaf | Self::Unknown => 400,
            _ => 1000,
        })
    }
}

/// How many insiders there are of each kind, in their order.
const INSIDERS: [usize; 3] = [8, 4, 8];

/// The ids that have to be accepted before the mob comes, each with its key of the pool.
pub fn insiders() -> impl Iterator<Item = MinionId> {
    (0..INSIDERS.iter().sum()).map(|number| swarm::id(INSIDER, number))
}

/// What peers of one kind have done.
#[derive(Debug, Default)]
struct Tally {
    dials: AtomicU64,
    messages: AtomicU64,
    bytes: AtomicU64,
}

/// What all of them know.
struct Ground {
    publish_port: u16,
    ret_port: u16,
    message_max: usize,
    api: Api,
    pool: Pool,
    recorded: Vec<u8>,
    stop: AtomicBool,
    tallies: [Tally; Kind::ALL.len()],
}

/// One peer.
struct Bad<'a> {
    ground: &'a Ground,
    kind: Kind,
    tally: &'a Tally,
    /// Among its kind.
    number: usize,
    from: Ipv4Addr,
}

impl Bad<'_> {
    fn is_over(&self) -> bool {
        self.ground.stop.load(Ordering::Relaxed)
    }

    /// Its pace: false when it is all over.
    fn pause(&self, span: Duration) -> bool {
        let until = Instant::now() + span;
        while !self.is_over() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::park_timeout(left);
        }
        false
    }

    fn dial(&self, port: u16) -> Option<Wire> {
        self.tally.dials.fetch_add(1, Ordering::Relaxed);
        Wire::dial_from(self.from, port).ok()
    }

    /// Connects and goes through greeting and READY.
    fn shaken(&self, port: u16, socket: &str) -> Option<Wire> {
        let mut wire = self.dial(port)?;
        wire.shake(socket, None).ok()?;
        Some(wire)
    }

    /// Sends bytes; false once the master has hung up.
    fn send(&self, wire: &mut Wire, bytes: &[u8]) -> bool {
        let is_sent = wire.send(bytes);
        if is_sent {
            self.tally.messages.fetch_add(1, Ordering::Relaxed);
            self.tally.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        is_sent
    }

    /// Stays until the master hangs up.
    fn stay(&self, wire: &mut Wire) {
        while !self.is_over() && !wire.is_closed_within(1.0) {}
    }

    fn live(&self) {
        // Not all in the same moment: a second's worth of beginnings.
        let mut goes_on = self.pause(Duration::from_millis(self.number as u64 * 37 % 1000));
        while goes_on {
            if INSIDERS_KINDS.contains(&self.kind) {
                self.visit_inside();
            } else {
                self.visit();
            }
            goes_on = self.pause(self.kind.rest());
        }
    }
}

const INSIDERS_KINDS: [Kind; 3] = [Kind::Flood, Kind::Oversized, Kind::Unread];

/// All of them, at work.
pub struct Mob {
    ground: Arc<Ground>,
    begun: Instant,
    threads: Vec<JoinHandle<()>>,
}

impl Mob {
    /// Lets them loose on a master whose largest message is this.
    pub fn start(fleet: &Fleet, message_max: usize) -> Self {
        let (_, offer) = offered(fleet.ret_port);
        let ground = Arc::new(Ground {
            publish_port: fleet.publish_port,
            ret_port: fleet.ret_port,
            message_max,
            api: fleet.api(),
            pool: Pool::fixed(),
            recorded: hello(&offer, "replayed", "m2", random()).0,
            stop: AtomicBool::new(false),
            tallies: Default::default(),
        });
        let mut threads = Vec::new();
        for (place, (kind, count)) in Kind::ALL.into_iter().enumerate() {
            for number in 0..count {
                let ground = Arc::clone(&ground);
                let last = if kind == Kind::Storm { 0 } else { 1 + threads.len() % 100 };
                let from = Ipv4Addr::new(127, 0, 1, u8::try_from(last).unwrap());
                let live = move || {
                    Bad { ground: &ground, kind, tally: &ground.tallies[place], number, from }.live();
                };
                // What one of them does needs little; a thousand of the usual size are 2 GiB.
                let builder = std::thread::Builder::new().name(format!("{kind:?}")).stack_size(512 * 1024);
                threads.push(builder.spawn(live).unwrap());
            }
        }
        Self { ground, begun: Instant::now(), threads }
    }

    /// Ends them all, and says what they have done.
    pub fn stop(self) -> String {
        let seconds = self.begun.elapsed().as_secs_f64();
        self.ground.stop.store(true, Ordering::Relaxed);
        for thread in &self.threads {
            thread.thread().unpark();
        }
        for thread in self.threads {
            thread.join().expect("no peer of the mob panics");
        }
        let mut told = String::new();
        let mut sum = [0.0; 3];
        for ((kind, count), tally) in Kind::ALL.iter().zip(&self.ground.tallies) {
            let rates = [&tally.dials, &tally.messages, &tally.bytes]
                .map(|counter| counter.load(Ordering::Relaxed) as f64 / seconds);
            (0..3).for_each(|i| sum[i] += rates[i]);
            line(&mut told, &format!("{kind:?}"), *count, rates);
        }
        line(&mut told, "all", Kind::ALL.iter().map(|(_, count)| count).sum(), sum);
        told
    }
}

fn line(told: &mut String, name: &str, count: usize, [dials, messages, bytes]: [f64; 3]) {
    let kib = bytes / 1024.0;
    writeln!(
        told,
        "  {name:<10} {count:>5} peers {dials:>8.1} dials/s {messages:>8.1} messages/s {kib:>9.1} KiB/s"
    )
    .unwrap();
}
