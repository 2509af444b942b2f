//! The network's limit: plain framed TCP between two processes, laid out as a master and a swarm are.
//!
//! ```text
//! this process: many clients, one runtime  <── loopback ──>  `brine-bench --raw-server`, one runtime
//! ```
//! A frame is a length (u32, big-endian) and a body. The first byte of the body says what the server
//! does with it: [`ECHO`] comes back as it is; [`TELL`] goes to all other connections, which answer
//! with [`REPLY`]; the connection that told gets one back when all have.

mod client;
mod server;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use brine_tests::Process;
use brine_tests::fixtures::short_dir;
use brine_tests::swarm::usage;
use brine_tests::within;
use bytes::{Buf, Bytes, BytesMut};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::Echo;
use crate::numbers::median;

pub use server::serve;

const ECHO: u8 = b'e';
const TELL: u8 = b't';
const REPLY: u8 = b'r';

/// An order and a return as they are on the wire are about as long.
const BODY: usize = 300;

/// No frame of ours is longer.
const BODY_MAX: usize = 64 * 1024;

/// Nothing on the loopback takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long clients may take to be gone.
const ENDS: Duration = Duration::from_secs(10);

fn frame(kind: u8) -> Vec<u8> {
    let mut frame = u32::try_from(BODY).expect("a short frame").to_be_bytes().to_vec();
    frame.resize(4 + BODY, kind);
    frame
}

/// Takes a whole frame's body off the front.
fn take(buffer: &mut BytesMut) -> Option<Bytes> {
    let length = buffer.first_chunk().map(|length| u32::from_be_bytes(*length) as usize)?;
    assert!((1..=BODY_MAX).contains(&length), "a frame of the bench has {length} bytes");
    if buffer.len() < 4 + length {
        return None;
    }
    buffer.advance(4);
    Some(buffer.split_to(length).freeze())
}

/// A server process, and connections to it.
#[derive(Debug)]
pub struct Raw {
    server: Process,
    control: TcpStream,
    clients: Option<Runtime>,
    _folder: TempDir,
}

impl Raw {
    /// Starts a server and connects so many clients, besides the one that commands.
    ///
    /// # Panics
    /// The server does not start, or takes not so many.
    #[must_use]
    pub fn start(clients: usize) -> Self {
        let folder = short_dir();
        let mut command = Command::new(std::env::current_exe().expect("a running program knows its file"));
        command.arg("--raw-server");
        let server = Process::start(command, &folder.path().join("raw.log"));
        let port: u16 = within(10.0, "the raw server says its port", || {
            let log = server.log();
            log.split_once('\n')?.0.strip_prefix("port ")?.parse().ok()
        });
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let control = TcpStream::connect(address).expect("the raw server listens");
        control
            .set_nodelay(true)
            .and_then(|()| control.set_read_timeout(Some(PATIENCE)))
            .expect("a TCP socket");
        let clients = (clients > 0).then(|| client::connect(address, clients));
        Self { server, control, clients, _folder: folder }
    }

    /// Tells all clients something and waits for their replies; in seconds.
    ///
    /// # Panics
    /// The server is gone.
    pub fn tell_s(&mut self) -> f64 {
        assert!(self.clients.is_some(), "somebody to tell");
        self.ask(TELL)
    }

    fn ask(&mut self, kind: u8) -> f64 {
        let begun = Instant::now();
        self.control.write_all(&frame(kind)).expect("the raw server listens");
        let mut reply = [0; 4 + BODY];
        self.control.read_exact(&mut reply).expect("the raw server answers");
        begun.elapsed().as_secs_f64()
    }

    /// Memory of the server with its connections, in MB.
    #[must_use]
    pub fn memory_mb(&self) -> f64 {
        self.server.rss_kib() as f64 * 1024.0 / 1e6
    }

    /// One round trip after the other for about so many seconds.
    ///
    /// # Panics
    /// The server is gone.
    #[must_use]
    pub fn echo(mut self, seconds: f64) -> Echo {
        let idle_mb = self.memory_mb();
        let cpu = || usage::busy_of(self.server.pid()).expect("the raw server runs").as_secs_f64();
        let before = cpu();
        let begun = Instant::now();
        let mut trips = Vec::new();
        while trips.is_empty() || begun.elapsed().as_secs_f64() < seconds {
            trips.push(self.ask(ECHO));
        }
        let after = usage::busy_of(self.server.pid()).expect("the raw server runs").as_secs_f64();
        Echo { trip_s: median(&trips), cpu_s: (after - before) / trips.len() as f64, idle_mb }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(clients) = self.clients.take() {
            // Their descriptors are needed by whoever comes next.
            clients.shutdown_timeout(ENDS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_whole_and_one_at_a_time() {
        let mut buffer = BytesMut::from(&[frame(TELL), frame(ECHO)].concat()[..]);
        let tail = buffer.split_off(4 + BODY + 10);
        assert_eq!(take(&mut buffer).unwrap()[..], [TELL; BODY]);
        assert_eq!(take(&mut buffer), None);
        buffer.unsplit(tail);
        assert_eq!(take(&mut buffer).unwrap()[..], [ECHO; BODY]);
        assert!(buffer.is_empty());
    }
}
