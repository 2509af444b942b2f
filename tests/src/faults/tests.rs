//! The proxy against plain sockets: a suite that trusts it has to be able to.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::*;
use crate::wait::eventually;

const SHORT: Duration = Duration::from_millis(150);

struct Pair {
    proxy: Faults,
    listener: TcpListener,
    client: TcpStream,
    server: TcpStream,
}

fn dial(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("the proxy listens");
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    stream
}

fn pair() -> Pair {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let proxy = Faults::before(listener.local_addr().expect("bound").port(), 7);
    let client = dial(proxy.port);
    let (server, _) = listener.accept().expect("passed on");
    server.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    let mut pair = Pair { proxy, listener, client, server };
    pair.says(b"hello");
    pair
}

impl Pair {
    /// What the client says arrives.
    fn says(&mut self, bytes: &[u8]) {
        self.client.write_all(bytes).expect("open");
        hears(&mut self.server, bytes);
    }
}

fn hears(stream: &mut TcpStream, bytes: &[u8]) {
    let mut heard = vec![0; bytes.len()];
    stream.read_exact(&mut heard).expect("open");
    assert_eq!(heard, bytes);
}

/// Nothing comes, not even an end.
fn hears_nothing(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(SHORT)).expect("a timeout");
    let heard = stream.read(&mut [0; 1]).map_err(|error| error.kind());
    assert!(matches!(heard, Err(ErrorKind::WouldBlock | ErrorKind::TimedOut)), "{heard:?}");
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
}

fn is_reset(stream: &mut TcpStream) {
    let heard = stream.read(&mut [0; 1]).map_err(|error| error.kind());
    assert_eq!(heard, Err(ErrorKind::ConnectionReset));
}

#[test]
fn what_is_stalled_comes_when_the_way_is_free() {
    let mut pair = pair();
    let one_way = Fault::Weather { to_server: Weather::Stall, to_client: Weather::Clear };
    pair.proxy.strike(one_way);
    pair.client.write_all(b"late").expect("open");
    hears_nothing(&mut pair.server);
    pair.server.write_all(b"down").expect("open");
    hears(&mut pair.client, b"down");
    pair.proxy.greet(Greeting::Taken(Fault::both(Weather::Stall)));
    let mut second = dial(pair.proxy.port);
    second.write_all(b"new").expect("open");
    eventually(5.0, "it is taken", || pair.proxy.taken() == 2);
    pair.proxy.heal();
    hears(&mut pair.server, b"late");
    hears(&mut pair.listener.accept().expect("passed on").0, b"new");
}

#[test]
fn a_black_connection_stays_black_and_a_new_one_works() {
    let mut pair = pair();
    pair.proxy.strike(Fault::both(Weather::Black));
    pair.client.write_all(b"gone").expect("open");
    hears_nothing(&mut pair.server);
    pair.proxy.greet(Greeting::Taken(Fault::both(Weather::Black)));
    let mut silent = dial(pair.proxy.port);
    eventually(5.0, "it is taken", || pair.proxy.taken() == 2);
    pair.proxy.heal();
    pair.client.write_all(b"gone too").expect("open");
    drop(pair.client);
    hears_nothing(&mut pair.server);
    hears_nothing(&mut silent);
    let mut third = dial(pair.proxy.port);
    third.write_all(b"here").expect("open");
    hears(&mut pair.listener.accept().expect("passed on").0, b"here");
}

#[test]
fn a_reset_reaches_both_and_a_lost_side_only_itself() {
    let mut both = pair();
    both.proxy.strike(Fault::Reset);
    is_reset(&mut both.client);
    is_reset(&mut both.server);
    let mut half = pair();
    half.proxy.strike(Fault::Gone(Side::Server));
    is_reset(&mut half.server);
    half.client.write_all(b"to nobody").expect("open");
    hears_nothing(&mut half.client);
    let mut half = pair();
    half.proxy.strike(Fault::Gone(Side::Client));
    is_reset(&mut half.client);
    hears_nothing(&mut half.server);
}

#[test]
fn who_is_refused_gets_no_connection_until_it_is_healed() {
    let mut pair = pair();
    pair.proxy.greet(Greeting::Refused);
    let refused = || {
        let dialled = TcpStream::connect(("127.0.0.1", pair.proxy.port));
        dialled.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    };
    eventually(5.0, "nobody listens", refused);
    pair.says(b"what stands still passes");
    pair.proxy.heal();
    eventually(5.0, "somebody listens", || TcpStream::connect(("127.0.0.1", pair.proxy.port)).is_ok());
}

#[test]
fn bytes_come_late_or_in_pieces_and_all_of_them_in_order() {
    let text: Vec<u8> = (0..=255).collect();
    for (weather, least, most) in [
        (Weather::Split, 0, 400),
        (Weather::Delay, 400, 2000),
        (Weather::SlowWriter, 1000, 5000),
        (Weather::SlowReader, 1000, 5000),
    ] {
        let mut pair = pair();
        pair.proxy.strike(Fault::both(weather));
        let begun = Instant::now();
        let length = if least == 1000 { 48 } else { text.len() };
        pair.says(&text[..length]);
        let took = begun.elapsed().as_millis();
        assert!((least..most).contains(&took), "{weather:?}: {took} ms");
    }
}

#[test]
fn who_writes_to_a_stalled_reader_finds_the_buffers_full() {
    let mut pair = pair();
    pair.proxy.strike(Fault::both(Weather::Stall));
    pair.client.set_write_timeout(Some(SHORT)).expect("a timeout");
    let written = (0..2000).map(|_| pair.client.write(&[0; 16 * 1024])).find(Result::is_err);
    assert!(written.is_some(), "32 MB went nowhere");
}
