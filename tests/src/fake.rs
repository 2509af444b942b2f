//! A master that is none: listeners on both ports that treat whoever dials as they like.

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use crate::zmtp::Wire;

type Treat = Arc<dyn Fn(Wire) + Send + Sync>;

/// Two listeners on loopback.
#[derive(Debug)]
pub struct FakeMaster {
    /// The port of broadcasts.
    pub publish_port: u16,
    /// The port of returns.
    pub ret_port: u16,
    visits: Arc<AtomicUsize>,
    open: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl FakeMaster {
    /// Listens on free ports; `treat` gets each connection in a thread of its own.
    ///
    /// # Panics
    /// No port is free.
    #[must_use]
    pub fn start(treat: impl Fn(Wire) + Send + Sync + 'static) -> Self {
        let treat: Treat = Arc::new(treat);
        Self::listen([Arc::clone(&treat), treat])
    }

    /// The same with one treatment for each port: of broadcasts, and of returns.
    #[must_use]
    pub fn start_apart(
        publish: impl Fn(Wire) + Send + Sync + 'static,
        ret: impl Fn(Wire) + Send + Sync + 'static,
    ) -> Self {
        Self::listen([Arc::new(publish), Arc::new(ret)])
    }

    /// The same on given ports, where a real master may follow once this one is dropped.
    ///
    /// # Panics
    /// A port is taken.
    #[must_use]
    pub fn start_on(publish_port: u16, ret_port: u16, treat: impl Fn(Wire) + Send + Sync + 'static) -> Self {
        let treat: Treat = Arc::new(treat);
        Self::listen_on([publish_port, ret_port], [Arc::clone(&treat), treat])
    }

    fn listen(treatments: [Treat; 2]) -> Self {
        Self::listen_on([0, 0], treatments)
    }

    fn listen_on(ports: [u16; 2], treatments: [Treat; 2]) -> Self {
        let listeners = ports.map(|port| TcpListener::bind(("127.0.0.1", port)).expect("a free port"));
        let ports = [0, 1].map(|i: usize| listeners[i].local_addr().expect("bound").port());
        let mut fake = Self {
            publish_port: ports[0],
            ret_port: ports[1],
            visits: Arc::default(),
            open: Arc::new(AtomicBool::new(true)),
            threads: Vec::new(),
        };
        for (listener, treat) in listeners.into_iter().zip(treatments) {
            let (visits, open) = (Arc::clone(&fake.visits), Arc::clone(&fake.open));
            fake.threads.push(std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    if !open.load(Ordering::Relaxed) {
                        break;
                    }
                    visits.fetch_add(1, Ordering::Relaxed);
                    let treat = Arc::clone(&treat);
                    std::thread::spawn(move || treat(Wire::on(stream)));
                }
            }));
        }
        fake
    }

    /// How many connections came.
    #[must_use]
    pub fn visits(&self) -> usize {
        self.visits.load(Ordering::Relaxed)
    }
}

impl Drop for FakeMaster {
    fn drop(&mut self) {
        self.open.store(false, Ordering::Relaxed);
        for port in [self.publish_port, self.ret_port] {
            let _ = TcpStream::connect(("127.0.0.1", port));
        }
        // The listeners are closed when their threads are done: the ports are free then.
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
