//! A man in the middle who passes the handshake on, keeps what comes after it to himself, and
//! records everything.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// A listener in front of a port on loopback that lets so many frames of each client pass.
#[derive(Debug)]
pub struct Middle {
    /// Where it listens.
    pub port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    open: Arc<AtomicBool>,
}

/// What one client has said, greeting included, and what was said to it.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// What was passed on.
    pub passed: Vec<u8>,
    /// What was kept: whole frames.
    pub kept: Vec<Vec<u8>>,
    /// What the other side has said.
    pub answered: Vec<u8>,
}

impl Seen {
    /// Everything that the client has said.
    #[must_use]
    pub fn said(&self) -> Vec<u8> {
        [self.passed.clone(), self.kept.concat()].concat()
    }
}

impl Middle {
    /// Listens, and of what a client says passes the greeting and `frames` frames on to `target`.
    ///
    /// # Panics
    /// No port is free.
    #[must_use]
    pub fn before(target: u16, frames: usize) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let (seen, open) = (Arc::<Mutex<Vec<Seen>>>::default(), Arc::new(AtomicBool::new(true)));
        let (all, is_open) = (Arc::clone(&seen), Arc::clone(&open));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if !is_open.load(Ordering::Relaxed) {
                    break;
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else { continue };
                let number = {
                    let mut all = all.lock().expect("no panics");
                    all.push(Seen::default());
                    all.len() - 1
                };
                let note = Note { all: Arc::clone(&all), number };
                relay(client, server, frames, &note);
            }
        });
        Self { port, seen, open }
    }

    /// What was seen, a client each.
    ///
    /// # Panics
    /// A recording thread panicked.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no panics").clone()
    }
}

impl Drop for Middle {
    fn drop(&mut self) {
        self.open.store(false, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// Where the words of one client are written down.
#[derive(Debug, Clone)]
struct Note {
    all: Arc<Mutex<Vec<Seen>>>,
    number: usize,
}

impl Note {
    fn write(&self, what: impl FnOnce(&mut Seen)) {
        what(&mut self.all.lock().expect("no panics")[self.number]);
    }
}

fn relay(client: TcpStream, server: TcpStream, frames: usize, note: &Note) {
    let (Ok(mut to_client), Ok(mut from_server)) = (client.try_clone(), server.try_clone()) else { return };
    let answers = note.clone();
    std::thread::spawn(move || {
        let mut buffer = [0; 8192];
        while let Ok(read @ 1..) = from_server.read(&mut buffer) {
            answers.write(|seen| seen.answered.extend_from_slice(&buffer[..read]));
            if to_client.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = to_client.shutdown(Shutdown::Both);
    });
    let (mut from_client, mut to_server, note) = (client, server, note.clone());
    std::thread::spawn(move || {
        let mut greeting = vec![0; 64];
        if from_client.read_exact(&mut greeting).is_ok() && to_server.write_all(&greeting).is_ok() {
            note.write(|seen| seen.passed = greeting);
            let mut number = 0;
            while let Ok(frame) = frame(&mut from_client) {
                if number < frames && to_server.write_all(&frame).is_ok() {
                    note.write(|seen| seen.passed.extend(frame));
                } else {
                    note.write(|seen| seen.kept.push(frame));
                }
                number += 1;
            }
        }
        let _ = to_server.shutdown(Shutdown::Both);
    });
}

/// One frame as it stands on the wire.
fn frame(from: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0];
    from.read_exact(&mut bytes)?;
    let digits = if bytes[0] & 0x02 == 0 { 1 } else { 8 };
    let mut length = [0; 8];
    from.read_exact(&mut length[8 - digits..])?;
    bytes.extend_from_slice(&length[8 - digits..]);
    let (head, length) = (bytes.len(), u64::from_be_bytes(length));
    if length > 16 * 1024 * 1024 {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    bytes.resize(head + usize::try_from(length).expect("checked"), 0);
    from.read_exact(&mut bytes[head..])?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::within;
    use crate::zmtp;

    #[test]
    fn what_comes_after_so_many_frames_is_kept() {
        let server = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let middle = Middle::before(server.local_addr().expect("bound").port(), 1);
        let mut client = TcpStream::connect(("127.0.0.1", middle.port)).expect("it listens");
        let (mut served, _) = server.accept().expect("passed on");
        let long = zmtp::frame(0, &[7; 300]);
        client.write_all(&[&zmtp::greeting()[..], &zmtp::frame(4, b"READY"), &long].concat()).expect("open");
        served.write_all(b"hello").expect("open");
        let seen = within(5.0, "everything is seen", || {
            let seen = middle.seen().first()?.clone();
            (seen.kept.len() == 1 && seen.answered == b"hello").then_some(seen)
        });
        let mut passed = vec![0; 71];
        served.read_exact(&mut passed).expect("greeting and READY");
        assert_eq!((&seen.passed, &seen.kept[0]), (&passed, &long));
        client.shutdown(Shutdown::Both).expect("open");
        assert_eq!(served.read(&mut [0; 1]).expect("closed"), 0, "nothing more was passed on");
    }
}
