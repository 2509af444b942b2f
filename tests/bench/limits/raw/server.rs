//! The process that answers.

use std::cell::RefCell;
use std::io::{self, ErrorKind, Write};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use tokio::net::{TcpListener, TcpStream};

use super::{ECHO, REPLY, TELL, frame, take};

/// Bytes asked of a socket at a time.
const CHUNK: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; CHUNK]);
}

#[derive(Default)]
struct Hub {
    peers: Mutex<Vec<Arc<TcpStream>>>,
    /// Who told something, while not all have replied.
    teller: Mutex<Option<Arc<TcpStream>>>,
    unanswered: AtomicUsize,
}

/// Listens, says `port N`, and serves until it is ended.
///
/// # Errors
/// It cannot listen or start threads.
pub fn serve() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        println!("port {}", listener.local_addr()?.port());
        io::stdout().flush()?;
        let hub = Arc::new(Hub::default());
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let stream = Arc::new(stream);
            hub.peers.lock().expect("no holder panics").push(Arc::clone(&stream));
            tokio::spawn(peer(Arc::clone(&hub), stream));
        }
    })
}

async fn peer(hub: Arc<Hub>, stream: Arc<TcpStream>) {
    let mut unread = BytesMut::new();
    while read(&stream, &mut unread).await.is_ok() {
        while let Some(body) = take(&mut unread) {
            let done = match body[0] {
                ECHO => write(&stream, &frame(ECHO)).await,
                TELL => tell(&hub, &stream).await,
                REPLY => replied(&hub).await,
                other => panic!("a frame of kind {other}"),
            };
            if done.is_err() {
                return;
            }
        }
        if unread.is_empty() {
            // An idle connection keeps no buffer, as in the gate.
            unread = BytesMut::new();
        }
    }
}

async fn tell(hub: &Hub, teller: &Arc<TcpStream>) -> io::Result<()> {
    let others: Vec<Arc<TcpStream>> = {
        let peers = hub.peers.lock().expect("no holder panics");
        peers.iter().filter(|peer| !Arc::ptr_eq(peer, teller)).cloned().collect()
    };
    hub.unanswered.store(others.len(), Ordering::SeqCst);
    *hub.teller.lock().expect("no holder panics") = Some(Arc::clone(teller));
    let told = frame(TELL);
    for other in others {
        write(&other, &told).await?;
    }
    Ok(())
}

async fn replied(hub: &Hub) -> io::Result<()> {
    if hub.unanswered.fetch_sub(1, Ordering::SeqCst) > 1 {
        return Ok(());
    }
    let teller = hub.teller.lock().expect("no holder panics").take();
    match teller {
        Some(teller) => write(&teller, &frame(REPLY)).await,
        None => Ok(()),
    }
}

/// Waits for bytes and appends them.
pub(super) async fn read(stream: &TcpStream, unread: &mut BytesMut) -> io::Result<()> {
    loop {
        stream.readable().await?;
        let read = SCRATCH.with_borrow_mut(|scratch| {
            let read = stream.try_read(scratch)?;
            unread.extend_from_slice(&scratch[..read]);
            Ok::<_, io::Error>(read)
        });
        match read {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Writes all of it.
pub(super) async fn write(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => stream.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
