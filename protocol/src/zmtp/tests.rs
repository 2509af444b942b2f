//! Golden bytes, hostile bytes, and properties over any bytes.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::*;

const LIMITS: WireLimits = WireLimits {
    message_max: 4096,
    frames_max: 4,
    ready_max: 128,
    subscriptions_max: 3,
    subscription_bytes_max: 80,
};

fn run(ours: SocketType, bytes: &[u8]) -> (Vec<Event>, Option<Refusal>) {
    run_in_steps(ours, bytes, bytes.len().max(1))
}

fn run_in_steps(ours: SocketType, bytes: &[u8], step: usize) -> (Vec<Event>, Option<Refusal>) {
    let mut decoder = Decoder::new(LIMITS, ours);
    let mut buf = BytesMut::new();
    let mut events = Vec::new();
    for chunk in bytes.chunks(step) {
        buf.extend_from_slice(chunk);
        loop {
            match decoder.decode(&mut buf) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(refusal) => {
                    assert_eq!(decoder.decode(&mut buf), Err(refusal), "a refusal is for good");
                    return (events, Some(refusal));
                }
            }
        }
    }
    (events, None)
}

fn opening(peer: SocketType) -> Vec<u8> {
    let mut bytes = greeting().to_vec();
    bytes.extend_from_slice(&ready(peer));
    bytes
}

fn frame(flags: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![flags, u8::try_from(body.len()).unwrap()];
    bytes.extend_from_slice(body);
    bytes
}

fn long(flags: u8, len: u64) -> Vec<u8> {
    let mut bytes = vec![flags | LONG];
    bytes.extend_from_slice(&len.to_be_bytes());
    bytes
}

fn with_greeting(rest: &[u8]) -> Vec<u8> {
    [&greeting()[..], rest].concat()
}

fn after_ready(peer: SocketType, rest: &[u8]) -> Vec<u8> {
    [&opening(peer)[..], rest].concat()
}

#[test]
fn golden_bytes() {
    let hello = greeting();
    assert_eq!(&hello[..16], b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x00NULL");
    assert!(hello[16..].iter().all(|b| *b == 0));
    assert_eq!(&ready(SocketType::Pub)[..], b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03PUB");
    assert_eq!(
        &ready(SocketType::Router)[..],
        b"\x04\x29\x05READY\x0bSocket-Type\0\0\0\x06ROUTER\x08Identity\0\0\0\0"
    );
    assert_eq!(&pong(b"ctx")[..], b"\x04\x08\x04PONGctx");
    assert_eq!(&ping(300, b"x")[..], b"\x04\x08\x04PING\x01\x2cx");
    assert_eq!(&subscribe(b"t")[..], b"\x00\x02\x01t");
    let mut out = BytesMut::new();
    encode_message(&[b"a", b""], &mut out);
    assert_eq!(&out[..], b"\x01\x01a\x00\x00");
    out.clear();
    encode_frame(true, &[7; 256], &mut out);
    assert_eq!(&out[..9], b"\x03\0\0\0\0\0\0\x01\0");
    assert_eq!(out.len(), encoded_frame_len(256));
    out.clear();
    encode_frame(false, &[7; 255], &mut out);
    assert_eq!((&out[..2], out.len()), (&b"\x00\xff"[..], encoded_frame_len(255)));
}

#[test]
fn a_libzmq_peer_is_understood() {
    let mut hello = greeting();
    hello[11] = 1;
    let ready = b"\x04\x26\x05READY\x0bSocket-Type\0\0\0\x06DEALER\x08Identity\0\0\0\x01i";
    let mut bytes = [&hello[..], &[4, u8::try_from(ready.len() - 2).unwrap()], &ready[2..]].concat();
    bytes.extend_from_slice(&ping(10, b"abc"));
    bytes.extend_from_slice(&frame(MORE, b"one"));
    // libzmq may put a heartbeat between the frames of a message.
    bytes.extend_from_slice(&pong(b""));
    bytes.extend_from_slice(&frame(0, b"two"));
    let (events, refusal) = run(SocketType::Router, &bytes);
    assert_eq!(refusal, None);
    assert_eq!(
        events,
        [
            Event::Greeting,
            Event::Ready { socket: SocketType::Dealer, identity: Bytes::from_static(b"i") },
            Event::Ping { context: Bytes::from_static(b"abc") },
            Event::Pong,
            Event::Message(vec![Bytes::from_static(b"one"), Bytes::from_static(b"two")]),
        ]
    );
}

#[test]
fn subscriptions_old_and_new() {
    let rest = [
        &subscribe(b"a")[..],
        b"\x04\x0b\x09SUBSCRIBEb",
        &frame(0, b"\0a"),
        b"\x04\x08\x06CANCELb",
        &frame(0, b"\x01"),
    ]
    .concat();
    let (events, refusal) = run(SocketType::Pub, &after_ready(SocketType::Sub, &rest));
    assert_eq!(refusal, None);
    let (a, b) = (Bytes::from_static(b"a"), Bytes::from_static(b"b"));
    assert_eq!(
        events[2..],
        [
            Event::Subscribe(a.clone()),
            Event::Subscribe(b.clone()),
            Event::Unsubscribe(a),
            Event::Unsubscribe(b),
            Event::Subscribe(Bytes::new()),
        ]
    );
}

#[test]
fn unsubscribing_what_is_not_there_makes_no_room() {
    let mut rest = Vec::new();
    for _ in 0..=LIMITS.subscriptions_max {
        rest.extend_from_slice(&subscribe(b"a"));
        rest.extend_from_slice(&frame(0, b"\0never"));
    }
    let (_, refusal) = run(SocketType::Pub, &after_ready(SocketType::Sub, &rest));
    assert_eq!(refusal, Some(Refusal::TooManySubscriptions));
}

#[test]
fn error_command_is_told() {
    let (events, refusal) = run(SocketType::Dealer, &with_greeting(&frame(COMMAND, b"\x05ERROR\x04busy")));
    assert_eq!(refusal, None);
    assert_eq!(events[1], Event::Error { reason: Bytes::from_static(b"busy") });
}

#[test]
fn hostile_greetings() {
    let mut curve = greeting();
    curve[12..17].copy_from_slice(b"CURVE");
    let mut longer = greeting();
    longer[16] = b'X';
    let cases: [(&[u8], Refusal); 8] = [
        (b"GET / HTTP/1.1\r\n", Refusal::NotZmtp),
        (b"\x16\x03\x01", Refusal::NotZmtp),
        (b"\x01\x00", Refusal::NotZmtp),
        (b"\xff\0\0\0\0\0\0\0\x01\x7e", Refusal::NotZmtp),
        (b"\xff\0\0\0\0\0\0\0\x01\x7f\x01", Refusal::OldVersion),
        (b"\xff\0\0\0\0\0\0\0\x01\x7f\x00", Refusal::OldVersion),
        (&curve, Refusal::Mechanism),
        (&longer, Refusal::Mechanism),
    ];
    for (bytes, expected) in cases {
        assert_eq!(run(SocketType::Router, bytes).1, Some(expected), "{bytes:?}");
    }
    let mut newer = greeting();
    newer[10] = 4;
    assert_eq!(run(SocketType::Router, &newer), (vec![Event::Greeting], None));
}

#[test]
fn hostile_handshakes() {
    use Refusal::{BadFlags, FirstNotReady, ReadyMalformed, ReadyTooLarge, SocketMismatch};
    let ready = |metadata: &[u8]| frame(COMMAND, &[b"\x05READY", metadata].concat());
    let dealer: &[u8] = b"\x0bSocket-Type\0\0\0\x06DEALER";
    let cases: Vec<(&str, Vec<u8>, Refusal)> = vec![
        ("2^60 command", long(COMMAND, 1 << 60), ReadyTooLarge),
        ("2^63 command", long(COMMAND, 1 << 63), ReadyTooLarge),
        ("2^64 command", long(COMMAND, u64::MAX), ReadyTooLarge),
        ("2^60 message", long(0, 1 << 60), FirstNotReady),
        ("one above ready_max", frame(COMMAND, &[0; 129]), ReadyTooLarge),
        ("message first", frame(0, b"x"), FirstNotReady),
        ("endless more", frame(MORE, b""), FirstNotReady),
        ("ping first", ping(1, b"").to_vec(), FirstNotReady),
        ("empty command", frame(COMMAND, b""), FirstNotReady),
        ("nameless command", frame(COMMAND, b"\0"), FirstNotReady),
        ("name beyond the end", frame(COMMAND, b"\xffREADY"), FirstNotReady),
        ("lower-case ready", frame(COMMAND, b"\x05ready"), FirstNotReady),
        ("command with more", vec![COMMAND | MORE], BadFlags),
        ("reserved flag", vec![0x80], BadFlags),
        ("reserved flag 8", vec![0x0c], BadFlags),
        ("no metadata", ready(b""), ReadyMalformed),
        ("name length only", ready(b"\x0b"), ReadyMalformed),
        ("empty name", ready(b"\0\0\0\0\0"), ReadyMalformed),
        ("name cut", ready(b"\x0bSocket"), ReadyMalformed),
        ("bad name", ready(b"\x01 \0\0\0\0"), ReadyMalformed),
        ("no value length", ready(b"\x0bSocket-Type"), ReadyMalformed),
        ("value length cut", ready(b"\x0bSocket-Type\0\0"), ReadyMalformed),
        ("value cut", ready(b"\x0bSocket-Type\0\0\0\x07DEALER"), ReadyMalformed),
        ("value of 2^32", ready(b"\x0bSocket-Type\xff\xff\xff\xffDEALER"), ReadyMalformed),
        ("value of 2^31", ready(b"\x0bSocket-Type\x80\0\0\0DEALER"), ReadyMalformed),
        ("trailing byte", ready(&[dealer, b"\x05"].concat()), ReadyMalformed),
        ("type twice", ready(&[dealer, dealer].concat()), ReadyMalformed),
        (
            "identity twice",
            ready(&[dealer, b"\x08Identity\0\0\0\0\x08identity\0\0\0\0"].concat()),
            ReadyMalformed,
        ),
        ("no type", ready(b"\x08Identity\0\0\0\0"), ReadyMalformed),
        ("unknown type", ready(b"\x0bSocket-Type\0\0\0\x04JUNK"), SocketMismatch),
        ("empty type", ready(b"\x0bSocket-Type\0\0\0\0"), SocketMismatch),
        ("sub to router", super::ready(SocketType::Sub).to_vec(), SocketMismatch),
    ];
    for (what, bytes, expected) in cases {
        assert_eq!(run(SocketType::Router, &with_greeting(&bytes)).1, Some(expected), "{what}");
    }
}

#[test]
fn hostile_traffic() {
    use Refusal::{
        BadFlags, CommandMalformed, CommandTooLarge, FrameTooLarge, MessageTooLarge, NotASubscription,
        SecondReady, SubscriptionTooLong, TooManyFrames, TooManySubscriptions, UnknownCommand,
    };
    use SocketType::{Pub, Router};
    let cases: Vec<(&str, SocketType, Vec<u8>, Refusal)> = vec![
        ("2^60 message", Router, long(0, 1 << 60), FrameTooLarge),
        ("2^63 message", Router, long(0, 1 << 63), FrameTooLarge),
        ("2^63 - 64 KiB", Router, long(0, (1 << 63) - 65536), FrameTooLarge),
        ("2^64 - 1", Router, long(MORE, u64::MAX), FrameTooLarge),
        ("one above message_max", Router, long(0, 4097), FrameTooLarge),
        (
            "parts above message_max",
            Router,
            [frame(MORE, &[0; 200]), long(0, 3897)].concat(),
            MessageTooLarge,
        ),
        ("endless more", Router, frame(MORE, b"").repeat(5), TooManyFrames),
        ("2^60 command", Router, long(COMMAND, 1 << 60), CommandTooLarge),
        ("long command", Router, long(COMMAND, 263), CommandTooLarge),
        ("reserved flag", Router, vec![0x10], BadFlags),
        ("command with more", Router, vec![COMMAND | MORE], BadFlags),
        ("second ready", Router, ready(SocketType::Dealer).to_vec(), SecondReady),
        ("unknown command", Router, frame(COMMAND, b"\x03FOO"), UnknownCommand),
        ("subscribe to a router", Router, frame(COMMAND, b"\x09SUBSCRIBEa"), UnknownCommand),
        ("ping without ttl", Router, frame(COMMAND, b"\x04PING\0"), CommandMalformed),
        ("ping with 17 bytes", Router, ping(0, &[0; 17]).to_vec(), CommandMalformed),
        ("pong with 17 bytes", Router, pong(&[0; 17]).to_vec(), CommandMalformed),
        ("empty command", Router, frame(COMMAND, b""), CommandMalformed),
        ("error cut", Router, frame(COMMAND, b"\x05ERROR\x09x"), CommandMalformed),
        ("2^60 subscription", Pub, long(0, 1 << 60), SubscriptionTooLong),
        ("subscription too long", Pub, subscribe(&[b'x'; 81]).to_vec(), SubscriptionTooLong),
        (
            "new subscription too long",
            Pub,
            frame(COMMAND, &[b"\x09SUBSCRIBE", &[0; 81][..]].concat()),
            SubscriptionTooLong,
        ),
        ("too many", Pub, subscribe(b"x").repeat(4), TooManySubscriptions),
        ("other message", Pub, frame(0, b"\x02x"), NotASubscription),
        ("empty message", Pub, frame(0, b""), NotASubscription),
        ("multipart", Pub, vec![MORE], NotASubscription),
    ];
    for (what, ours, rest, expected) in cases {
        let peer = if ours == Pub { SocketType::Sub } else { SocketType::Dealer };
        assert_eq!(run(ours, &after_ready(peer, &rest)).1, Some(expected), "{what}");
    }
}

#[test]
fn limits_themselves_fit() {
    let mut bytes = BytesMut::new();
    encode_frame(false, &[1; 4096], &mut bytes);
    encode_message(&[b"", b"", b"", &[2; 4096]], &mut bytes);
    let (events, refusal) = run(SocketType::Router, &after_ready(SocketType::Dealer, &bytes));
    assert_eq!((events.len(), refusal), (4, None));
    let topics = [&subscribe(&[b'x'; 80])[..], &subscribe(b"")[..], &subscribe(b"")[..]].concat();
    assert_eq!(run(SocketType::XPub, &after_ready(SocketType::XSub, &topics)).1, None);
}

#[test]
fn mid_message_is_seen() {
    let mut decoder = Decoder::new(LIMITS, SocketType::Router);
    let mut buf = BytesMut::from(&after_ready(SocketType::Dealer, &frame(MORE, b"x"))[..]);
    while decoder.decode(&mut buf).unwrap().is_some() {}
    assert!(decoder.is_ready() && buf.is_empty() && decoder.is_mid_message(&buf));
    buf.extend_from_slice(&frame(0, b"y"));
    assert!(decoder.decode(&mut buf).unwrap().is_some());
    assert!(!decoder.is_mid_message(&buf));
}

#[test]
fn every_refusal_has_its_own_name() {
    let mut names = REFUSALS.to_vec();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), REFUSALS.len());
    assert_eq!(Refusal::NotZmtp.name(), REFUSALS[0]);
}

/// Bytes that get past the door often enough to be interesting behind it.
fn near_traffic() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..24),
        (0u8..8, proptest::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(flags, body)| frame(flags & !LONG, &body)),
        (0u8..8, any::<u64>()).prop_map(|(flags, len)| long(flags, len)),
        (0u8..2, 0u64..5000).prop_map(|(flags, len)| {
            let mut bytes = long(flags, len);
            bytes.extend(std::iter::repeat_n(b'z', usize::try_from(len).unwrap()));
            bytes
        }),
        Just(subscribe(b"topic").to_vec()),
        Just(ping(1, b"c").to_vec()),
    ];
    (any::<bool>(), any::<bool>(), proptest::collection::vec(piece, 0..12)).prop_map(
        |(greet, sub, pieces)| {
            let peer = if sub { SocketType::Sub } else { SocketType::Dealer };
            let mut bytes = if greet { opening(peer) } else { Vec::new() };
            bytes.extend(pieces.concat());
            bytes
        },
    )
}

proptest! {
    #[test]
    fn pieces_do_not_matter(bytes in near_traffic(), step in 1usize..7, publisher in any::<bool>()) {
        let ours = if publisher { SocketType::Pub } else { SocketType::Router };
        let whole = run(ours, &bytes);
        prop_assert_eq!(&run_in_steps(ours, &bytes, step), &whole);
        prop_assert_eq!(&run_in_steps(ours, &bytes, 1), &whole);
    }

    #[test]
    fn never_holds_more_than_the_limits(bytes in near_traffic(), publisher in any::<bool>()) {
        let ours = if publisher { SocketType::Pub } else { SocketType::Router };
        let mut decoder = Decoder::new(LIMITS, ours);
        let mut buf = BytesMut::new();
        'all: for byte in bytes {
            buf.extend_from_slice(&[byte]);
            loop {
                match decoder.decode(&mut buf) {
                    Ok(Some(Event::Message(parts))) => {
                        prop_assert!(!parts.is_empty() && parts.len() <= LIMITS.frames_max);
                        prop_assert!(parts.iter().map(Bytes::len).sum::<usize>() <= LIMITS.message_max);
                    }
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_) => break 'all,
                }
            }
            prop_assert!(buf.len() < LIMITS.message_max + FRAME_HEADER_MAX);
            let (frames, bytes) = decoder.held();
            prop_assert!(frames <= LIMITS.frames_max && bytes <= LIMITS.message_max);
            prop_assert!(decoder.subscriptions().len() <= LIMITS.subscriptions_max);
        }
    }

    #[test]
    fn messages_come_back(parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..900), 1..=4)) {
        let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let mut out = BytesMut::new();
        encode_message(&slices, &mut out);
        let (events, refusal) = run(SocketType::Dealer, &after_ready(SocketType::Router, &out));
        prop_assert_eq!(refusal, None);
        let expected: Vec<Bytes> = parts.iter().map(|p| Bytes::copy_from_slice(p)).collect();
        prop_assert_eq!(&events[2..], &[Event::Message(expected)]);
    }
}
