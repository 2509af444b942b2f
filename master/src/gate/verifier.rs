//! RSA verifications: the one costly thing that a stranger can ask for.
//!
//! A fixed number of threads takes one handshake of each source address in turn, so that a flood
//! from one address only delays that address. Queues are bounded, and a handshake that waited too
//! long is told to come back instead of being served when nobody waits for it any more.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use brine_pki::handshake::HandshakeError;
use brine_pki::handshake::master::{Unverified, Verified};
use tokio::sync::oneshot;

use super::admission::group;
use crate::config::Config;

struct Task {
    hello: Unverified,
    until: Instant,
    reply: oneshot::Sender<Result<Verified, Refused>>,
}

/// Why a handshake was not verified.
#[derive(Debug)]
pub(super) enum Refused {
    /// The queue was full, or it waited too long.
    Busy {
        /// When to come back, in milliseconds; spread, so that a crowd does not come back as one.
        retry_after_ms: u32,
    },
    /// Its signature is not good.
    Handshake(HandshakeError),
}

#[derive(Default)]
struct Queues {
    turns: VecDeque<IpAddr>,
    tasks: HashMap<IpAddr, VecDeque<Task>>,
    len: usize,
}

struct Shared {
    queues: Mutex<Queues>,
    changed: Condvar,
    queue_max: usize,
    per_address: usize,
    deadline: Duration,
}

pub(super) struct Verifier(Arc<Shared>);

impl Verifier {
    /// Starts one thread per core.
    pub(super) fn start(config: &Config) -> Self {
        let shared = Arc::new(Shared {
            queues: Mutex::default(),
            changed: Condvar::new(),
            queue_max: config.verify_queue_max,
            per_address: config.verify_queue_per_address,
            deadline: Duration::from_millis(config.verify_deadline_ms),
        });
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        for n in 0..workers {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name(format!("verify-{n}"))
                .spawn(move || shared.work())
                .expect("a thread can be started at start-up");
        }
        Self(shared)
    }

    /// Verifies a Hello when it is its address's turn.
    pub(super) async fn verify(&self, address: IpAddr, hello: Unverified) -> Result<Verified, Refused> {
        let (reply, answer) = oneshot::channel();
        let task = Task { hello, until: Instant::now() + self.0.deadline, reply };
        if let Err(len) = self.0.push(group(address), task) {
            return Err(come_back(len));
        }
        // A worker that panicked takes its one task with it; the peer may come back.
        answer.await.unwrap_or_else(|_| Err(come_back(0)))
    }
}

impl Shared {
    fn push(&self, address: IpAddr, task: Task) -> Result<(), usize> {
        let mut queues = self.queues.lock().expect("no holder panics");
        let waiting = queues.tasks.get(&address).map_or(0, VecDeque::len);
        if queues.len >= self.queue_max || waiting >= self.per_address {
            return Err(queues.len);
        }
        if waiting == 0 {
            queues.turns.push_back(address);
        }
        queues.tasks.entry(address).or_default().push_back(task);
        queues.len += 1;
        drop(queues);
        self.changed.notify_one();
        Ok(())
    }

    fn work(&self) {
        loop {
            let (task, len) = self.next();
            let answer = if Instant::now() > task.until {
                Err(come_back(len))
            } else {
                task.hello.verify().map_err(Refused::Handshake)
            };
            // Nobody listens when the connection has ended meanwhile.
            let _ = task.reply.send(answer);
        }
    }

    fn next(&self) -> (Task, usize) {
        let mut queues = self.queues.lock().expect("no holder panics");
        loop {
            if let Some(address) = queues.turns.pop_front() {
                let tasks = queues.tasks.get_mut(&address).expect("an address has a turn while it has tasks");
                let task = tasks.pop_front().expect("an address has a turn while it has tasks");
                if tasks.is_empty() {
                    queues.tasks.remove(&address);
                } else {
                    queues.turns.push_back(address);
                }
                queues.len -= 1;
                return (task, queues.len);
            }
            queues = self.changed.wait(queues).expect("no holder panics");
        }
    }
}

/// A time to come back that grows with the queue: about 4,000 verifications a second and core.
fn come_back(queued: usize) -> Refused {
    let spread = 1000 + (queued / 2).min(25_000) as u32;
    let random = u32::from_be_bytes(brine_pki::random::bytes());
    Refused::Busy { retry_after_ms: 200 + random % spread }
}
