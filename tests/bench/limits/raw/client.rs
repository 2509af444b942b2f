//! The many that are told and reply: tasks of one runtime, as simulated minions are.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use brine_tests::swarm::options::Sources;
use bytes::BytesMut;
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, mpsc};

use super::server::{read, write};
use super::{ECHO, PATIENCE, REPLY, TELL, frame, take};

/// Connections that are opened at the same time: the server's queue of them is bounded.
const AT_ONCE: usize = 128;

/// Connects so many clients, each of which the server has answered once when this returns.
///
/// # Panics
/// Threads cannot be started, or not all are answered.
pub fn connect(to: SocketAddr, clients: usize) -> Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let (joined, mut count) = mpsc::unbounded_channel();
    for number in 0..clients {
        let (turns, joined) = (Arc::clone(&turns), joined.clone());
        runtime.spawn(async move {
            let turn = turns.acquire().await.expect("nobody closes it");
            let stream = open(to, number).await;
            drop(turn);
            let _ = joined.send(());
            drop(joined);
            live(stream).await;
        });
    }
    let begun = Instant::now();
    for connected in 0..clients {
        let left = PATIENCE.saturating_sub(begun.elapsed());
        let next = runtime.block_on(async { tokio::time::timeout(left, count.recv()).await });
        assert!(matches!(next, Ok(Some(()))), "only {connected} of {clients} raw clients are connected");
    }
    runtime
}

async fn open(to: SocketAddr, number: usize) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("descriptors are left");
    socket.bind(SocketAddr::new(Sources::LOOPBACK.address(number), 0)).expect("a port is left");
    let stream = socket.connect(to).await.expect("the raw server listens");
    stream.set_nodelay(true).expect("a TCP socket");
    write(&stream, &frame(ECHO)).await.expect("the raw server listens");
    let mut unread = BytesMut::new();
    while take(&mut unread).is_none() {
        read(&stream, &mut unread).await.expect("the raw server answers");
    }
    stream
}

async fn live(stream: TcpStream) {
    let mut unread = BytesMut::new();
    while read(&stream, &mut unread).await.is_ok() {
        while let Some(body) = take(&mut unread) {
            if body[0] == TELL && write(&stream, &frame(REPLY)).await.is_err() {
                return;
            }
        }
        if unread.is_empty() {
            unread = BytesMut::new();
        }
    }
}
