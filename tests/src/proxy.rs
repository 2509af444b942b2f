//! A TCP proxy that records what passes, and can be told to stop passing it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// A listener in front of a port on loopback.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens.
    pub port: u16,
    towards_client: Arc<Mutex<Vec<u8>>>,
    towards_server: Arc<Mutex<Vec<u8>>>,
    clients: Arc<Mutex<Vec<TcpStream>>>,
    takes: Arc<AtomicBool>,
    open: Arc<AtomicBool>,
}

impl Proxy {
    /// Listens, and passes every connection on to `target`.
    ///
    /// # Panics
    /// No port is free.
    #[must_use]
    pub fn before(target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let proxy = Self {
            port: listener.local_addr().expect("bound").port(),
            towards_client: Arc::default(),
            towards_server: Arc::default(),
            clients: Arc::default(),
            takes: Arc::default(),
            open: Arc::new(AtomicBool::new(true)),
        };
        let (down, up) = (Arc::clone(&proxy.towards_client), Arc::clone(&proxy.towards_server));
        let (clients, open) = (Arc::clone(&proxy.clients), Arc::clone(&proxy.open));
        let (takes, never) = (Arc::clone(&proxy.takes), Arc::default());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if !open.load(Ordering::Relaxed) {
                    break;
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else {
                    continue;
                };
                clients.lock().expect("no panics").extend(client.try_clone());
                pass(&client, &server, &up, &never);
                pass(&server, &client, &down, &takes);
            }
        });
        proxy
    }

    /// All bytes that have gone to those who dialled.
    ///
    /// # Panics
    /// A recording thread panicked.
    #[must_use]
    pub fn to_client(&self) -> Vec<u8> {
        self.towards_client.lock().expect("no panics").clone()
    }

    /// Takes off the wire what goes to those who dialled, or lets it pass again. Whole messages go
    /// missing if it is switched between them. What is taken is recorded all the same.
    pub fn take(&self, takes: bool) {
        self.takes.store(takes, Ordering::Relaxed);
    }

    /// Says these bytes to everybody who is connected, as a man in the middle would between two
    /// frames.
    ///
    /// # Panics
    /// A recording thread panicked.
    pub fn inject(&self, bytes: &[u8]) {
        for client in self.clients.lock().expect("no panics").iter_mut() {
            let _ = client.write_all(bytes);
        }
    }

    /// All bytes that those who dialled have sent.
    ///
    /// # Panics
    /// A recording thread panicked.
    #[must_use]
    pub fn to_server(&self) -> Vec<u8> {
        self.towards_server.lock().expect("no panics").clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.open.store(false, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn pass(from: &TcpStream, to: &TcpStream, record: &Arc<Mutex<Vec<u8>>>, takes: &Arc<AtomicBool>) {
    let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else {
        return;
    };
    let (record, takes) = (Arc::clone(record), Arc::clone(takes));
    std::thread::spawn(move || {
        let mut buffer = [0; 8192];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            // Recorded last: whoever sees it there knows what became of it.
            let is_gone = !takes.load(Ordering::Relaxed) && to.write_all(&buffer[..read]).is_err();
            record.lock().expect("no panics").extend_from_slice(&buffer[..read]);
            if is_gone {
                break;
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Both);
        let _ = from.shutdown(std::net::Shutdown::Both);
    });
}

/// Whether `needle` occurs in `bytes`.
#[must_use]
pub fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::eventually;

    #[test]
    fn what_passes_is_recorded_more_can_be_said_and_some_be_taken() {
        let server = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let proxy = Proxy::before(server.local_addr().expect("bound").port());
        let mut client = TcpStream::connect(("127.0.0.1", proxy.port)).expect("the proxy listens");
        let (mut served, _) = server.accept().expect("passed on");
        client.write_all(b"up").expect("open");
        served.write_all(b"down").expect("open");
        eventually(5.0, "both are recorded", || proxy.to_server() == b"up" && proxy.to_client() == b"down");
        proxy.inject(b"!");
        let mut heard = [0; 5];
        client.read_exact(&mut heard).expect("open");
        assert_eq!(&heard, b"down!");
        proxy.take(true);
        served.write_all(b"lost").expect("open");
        eventually(5.0, "it is recorded", || proxy.to_client() == b"downlost");
        proxy.take(false);
        served.write_all(b"there").expect("open");
        client.read_exact(&mut heard).expect("open");
        assert_eq!(&heard, b"there");
    }
}
