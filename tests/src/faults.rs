//! A TCP proxy that does to connections what bad networks do: keeps bytes back, swallows them, cuts them up,
//! brings them late, resets, forgets one side, or takes connections and says nothing.
//!
//! What happens to the connections that stand and to those who dial from now on is told apart, so that a NAT
//! that forgot its mappings (the old ones are black, new ones work) is one call of each. **Invariant:** order is
//! kept and no byte is made up; a connection of which a byte was swallowed stays black for ever, because what
//! came after the gap would be nonsense.

mod pass;
mod weather;

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use nix::fcntl::Flock;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::fixtures::reserve_port;
pub use weather::{Dice, Weather};

/// What the kernel may hold for a proxy that reads slowly: little, so that whoever writes feels it.
const KERNEL_BUFFER: usize = 16 * 1024;

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one that dialled.
    Client,
    /// The one that listens behind the proxy.
    Server,
}

/// What is done to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Its bytes have this weather on their ways.
    Weather {
        /// From the client to the server.
        to_server: Weather,
        /// From the server to the client.
        to_client: Weather,
    },
    /// Both sides get a RST.
    Reset,
    /// This side gets a RST; the other is never told, and whatever it sends is swallowed.
    Gone(Side),
}

impl Fault {
    /// Everything passes.
    pub const NONE: Self = Self::both(Weather::Clear);

    /// The same weather on both ways.
    #[must_use]
    pub const fn both(weather: Weather) -> Self {
        Self::Weather { to_server: weather, to_client: weather }
    }
}

/// What meets those who dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Greeting {
    /// Nobody listens.
    Refused,
    /// The connection is taken and gets this. One whose bytes are stalled or swallowed on both ways is not
    /// passed on to the server: no SYN would have come through either.
    Taken(Fault),
}

/// A listener in front of a port on loopback.
#[derive(Debug)]
pub struct Faults {
    /// Where it listens.
    pub port: u16,
    greeting: watch::Sender<Greeting>,
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
    _port: Flock<std::fs::File>,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    seed: u64,
    taken: AtomicUsize,
    connections: Mutex<Vec<watch::Sender<Fault>>>,
}

impl Faults {
    /// Listens, and passes every connection on to `target` until it is told otherwise. All chance follows from
    /// the seed.
    ///
    /// # Panics
    /// No port is free.
    #[must_use]
    pub fn before(target: u16, seed: u64) -> Self {
        let (port, lock) = reserve_port();
        let (greeting, told) = watch::channel(Greeting::Taken(Fault::NONE));
        let shared = Arc::new(Shared {
            target: SocketAddr::from((Ipv4Addr::LOCALHOST, target)),
            seed,
            taken: AtomicUsize::new(0),
            connections: Mutex::default(),
        });
        let (ready, is_ready) = std::sync::mpsc::channel();
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(serve(port, told, of_thread, ready));
        });
        is_ready.recv().expect("its own port");
        Self { port, greeting, shared, thread: Some(thread), _port: lock }
    }

    /// Does this to all connections that stand.
    ///
    /// # Panics
    /// A thread of the proxy panicked.
    pub fn strike(&self, fault: Fault) {
        for connection in &*self.shared.connections.lock().expect("no holder panics") {
            // One that was reset, or lost a side, has nothing left that could be changed.
            connection.send_if_modified(|now| {
                let is_other = matches!(now, Fault::Weather { .. }) && *now != fault;
                if is_other {
                    *now = fault;
                }
                is_other
            });
        }
    }

    /// Greets those who dial from now on like this.
    pub fn greet(&self, greeting: Greeting) {
        self.greeting.send_replace(greeting);
    }

    /// Everything passes again: what is new at once, and of what stands all that lost no byte.
    pub fn heal(&self) {
        self.greet(Greeting::Taken(Fault::NONE));
        self.strike(Fault::NONE);
    }

    /// How many connections were taken so far.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.shared.taken.load(Ordering::SeqCst)
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        // The thread ends when nobody can greet any more, and all connections with its runtime.
        let (other, _) = watch::channel(Greeting::Refused);
        drop(std::mem::replace(&mut self.greeting, other));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(
    port: u16,
    mut greeting: watch::Receiver<Greeting>,
    shared: Arc<Shared>,
    ready: std::sync::mpsc::Sender<()>,
) {
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.expect("the port is reserved");
        let _ = ready.send(());
        loop {
            tokio::select! {
                changed = greeting.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    if *greeting.borrow_and_update() == Greeting::Refused {
                        break;
                    }
                }
                Ok((client, _)) = listener.accept() => {
                    let now = *greeting.borrow();
                    if let Greeting::Taken(fault) = now {
                        shared.take(client, fault);
                    }
                }
            }
        }
        drop(listener);
        if greeting.wait_for(|greeting| *greeting != Greeting::Refused).await.is_err() {
            return;
        }
    }
}

impl Shared {
    fn take(self: &Arc<Self>, client: TcpStream, fault: Fault) {
        let (tell, told) = watch::channel(fault);
        let number = self.taken.fetch_add(1, Ordering::SeqCst);
        let mut connections = self.connections.lock().expect("no holder panics");
        connections.retain(|connection| !connection.is_closed());
        connections.push(tell);
        let (target, seed) = (self.target, self.seed ^ (number as u64).rotate_left(32));
        tokio::spawn(async move {
            tune(&client);
            pass::connection(client, target, told, seed).await;
        });
    }
}

fn tune(stream: &TcpStream) {
    // Cuts and delays are ours to make, not the kernel's.
    stream.set_nodelay(true).expect("a socket of ours");
    setsockopt(&stream.as_fd(), sockopt::RcvBuf, &KERNEL_BUFFER).expect("a socket of ours");
}

#[cfg(test)]
mod tests;
