//! Hostile masters over real TCP: the program must neither die nor grow, and must say why.

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod fake;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use brine_minion::link::{Control, Dial, LinkError};
use brine_minion::net::{Dealer, Dialer};
use brine_minion::relay::{Bounds, RelayError};
use brine_protocol::limits::WireLimits;
use brine_protocol::zmtp::{self, Refusal, SocketType};
use fake::{Master, Minion, eventually};

const QUICK: Duration = Duration::from_millis(300);

fn dialer(port: u16) -> Dialer {
    let wire = WireLimits { message_max: 64 * 1024, ..WireLimits::default() };
    let bounds = Bounds { wire, connect: Duration::from_secs(2), handshake: QUICK, stall: QUICK };
    Dialer { host: "127.0.0.1".into(), publish_port: port, ret_port: port, bounds }
}

/// Connects to a master that does `act`, receives until the end, and gives the reason.
fn end_of(act: impl FnOnce(TcpStream) + Send + 'static) -> (usize, LinkError) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dialer = dialer(listener.local_addr().unwrap().port());
    let master = std::thread::spawn(move || act(listener.accept().unwrap().0));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let result = runtime.block_on(async {
        let mut received = 0;
        let mut dealer: Dealer = match dialer.control().await {
            Ok((dealer, _)) => dealer,
            Err(error) => return (received, error),
        };
        loop {
            match dealer.recv().await {
                Ok(_) => received += 1,
                Err(error) => return (received, error),
            }
        }
    });
    drop(runtime);
    master.join().unwrap();
    result
}

fn opening() -> Vec<u8> {
    [&zmtp::greeting()[..], &zmtp::ready(SocketType::Router)].concat()
}

/// Writes, then reads until the other side closes.
fn writes(bytes: Vec<u8>) -> impl FnOnce(TcpStream) + Send {
    move |mut stream| {
        // The other side may close before it has read all.
        let _ = stream.write_all(&bytes);
        let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
        let _ = stream.read_to_end(&mut Vec::new());
    }
}

fn long(flags: u8, len: u64) -> Vec<u8> {
    [&[flags | 2][..], &len.to_be_bytes()].concat()
}

#[test]
fn refused_bytes() {
    let after_greeting = |rest: &[u8]| [&zmtp::greeting()[..], rest].concat();
    let after_ready = |rest: &[u8]| [&opening()[..], rest].concat();
    let cases = [
        ("an HTTP server", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), Refusal::NotZmtp),
        ("2^60 before READY", after_greeting(&long(4, 1 << 60)), Refusal::ReadyTooLarge),
        ("2^60 message before READY", after_greeting(&long(0, 1 << 60)), Refusal::FirstNotReady),
        ("2^60 after READY", after_ready(&long(0, 1 << 60)), Refusal::FrameTooLarge),
        ("2^63 - 64 KiB after READY", after_ready(&long(0, (1 << 63) - 65536)), Refusal::FrameTooLarge),
        ("2^64 - 1 after READY", after_ready(&long(1, u64::MAX)), Refusal::FrameTooLarge),
        ("a byte too many", after_ready(&long(0, 64 * 1024 + 1)), Refusal::FrameTooLarge),
        ("endless MORE frames", after_ready(&[1, 0].repeat(100_000)), Refusal::TooManyFrames),
        ("malformed READY", after_greeting(b"\x04\x08\x05READY\xff\x00"), Refusal::ReadyMalformed),
        ("a publisher", after_greeting(&zmtp::ready(SocketType::Pub)), Refusal::SocketMismatch),
        ("unknown command", after_ready(b"\x04\x04\x03FOO"), Refusal::UnknownCommand),
        ("reserved flags", after_ready(&[0xf8, 0]), Refusal::BadFlags),
    ];
    for (what, bytes, refusal) in cases {
        let expected = LinkError::Relay(RelayError::Refused(refusal));
        assert_eq!(end_of(writes(bytes)), (0, expected), "{what}");
    }
}

#[test]
fn silence_and_stalls_end() {
    let (_, error) = end_of(writes(Vec::new()));
    assert_eq!(error, LinkError::Relay(RelayError::Handshake(QUICK)));
    let (_, error) = end_of(writes(zmtp::greeting()[..40].to_vec()));
    assert_eq!(error, LinkError::Relay(RelayError::Handshake(QUICK)));
    let (_, error) = end_of(writes([opening(), long(0, 100)].concat()));
    assert_eq!(error, LinkError::Relay(RelayError::Stalled(QUICK)));
}

#[test]
fn what_came_before_the_end_is_received() {
    let bytes = [opening(), [&[0, 3][..], b"bye"].concat().repeat(500)].concat();
    let (received, error) = end_of(move |mut stream| {
        stream.write_all(&bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    assert_eq!((received, error), (500, LinkError::Relay(RelayError::Closed)));
}

#[test]
fn an_error_command_is_told() {
    let (_, error) = end_of(writes([&zmtp::greeting()[..], b"\x04\x0b\x05ERROR\x04bu\x1bs"].concat()));
    assert_eq!(error, LinkError::Relay(RelayError::Told("bu\\u{1b}s".into())));
}

#[test]
fn nobody_there() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(dialer(port).control()).err();
    assert!(matches!(error, Some(LinkError::Relay(RelayError::Connect { .. }))), "{error:?}");
    let nowhere = Dialer { host: "no.such.host.invalid".into(), ..dialer(port) };
    let error = runtime.block_on(nowhere.control()).err();
    assert!(matches!(error, Some(LinkError::Name { .. })), "{error:?}");
}

#[test]
fn a_master_that_does_not_read_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dialer = dialer(listener.local_addr().unwrap().port());
    let (done, is_done) = std::sync::mpsc::channel::<()>();
    let master = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(&opening()).unwrap();
        let _ = is_done.recv();
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (sent, error) = runtime.block_on(async {
        let (mut dealer, _) = dialer.control().await.unwrap();
        let window = dealer.window();
        let mut sent = 0;
        loop {
            tokio::select! {
                () = window.reserve() => {
                    dealer.send(vec![0; 60_000].into()).await.unwrap();
                    sent += 1;
                }
                Err(error) = dealer.recv() => return (sent, error),
            }
        }
    });
    drop(done);
    master.join().unwrap();
    assert_eq!(error, LinkError::Relay(RelayError::Unread(QUICK)));
    // What the kernel buffered, plus the window; never what the minion would like to send.
    assert!(sent < 400, "{sent}");
}

/// The real program: it stays, its memory stays, and it comes back to an honest master.
#[test]
fn the_program_outlives_a_hostile_master() {
    let master = Master::new("m2", 1);
    let mut minion = Minion::start(&master, "handshake_timeout: 0.5\n");
    let after_ready = |rest: &[u8]| [&opening()[..], rest].concat();
    let attacks = [
        [&zmtp::greeting()[..], &long(4, 1 << 60)].concat(),
        after_ready(&long(0, 1 << 60)),
        after_ready(&[1, 0].repeat(1_000_000)),
        after_ready(&[&[0, 200][..], &[7; 200]].concat()),
    ];
    for bytes in attacks {
        // Half a greeting between them is only a lost connection, which keeps the pauses short.
        for bytes in [bytes, zmtp::greeting()[..10].to_vec()] {
            let (stream, _) = master.ret.accept().unwrap();
            writes(bytes)(stream);
            assert!(minion.is_running());
        }
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", minion.child.id())).unwrap();
    let peak: u64 =
        status.split("VmHWM:").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap();
    assert!(peak < 100_000, "peak of {peak} kB");
    drop(master.live(&[]));
    eventually("it says why", || minion.log().contains("larger than message_max"));
}
