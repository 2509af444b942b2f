//! Single connections with bytes that no honest peer sends.

use brine_tests::zmtp::{Wire, frame, greeting, header, ready};

use crate::siege::Siege;

#[test]
fn announced_lengths_that_no_memory_holds() {
    let mut siege = Siege::lay("");
    for (port, socket) in siege.ports() {
        for length in [1 << 35, 1 << 60, (1 << 63) - 1, (1 << 63) - 65536, u64::MAX] {
            for flags in [0x00, 0x01, 0x04] {
                let mut before = Wire::dial(port);
                before.send(&greeting());
                before.send(&header(flags, length));
                assert!(before.is_closed_within(2.0), "{length} before READY on {socket}");
                let mut after = Wire::connect(port, socket, None);
                after.send(&header(flags, length));
                assert!(after.is_closed_within(2.0), "{length} after READY on {socket}");
            }
        }
        siege.holds(socket);
        siege.counted(socket, 30);
    }
    siege.reason("frame_too_large", 10);
}

#[test]
fn malformed_ready() {
    let mut siege = Siege::lay("");
    let property = |name: &[u8], length: u32, value: &[u8]| {
        [b"\x05READY", &[name.len() as u8][..], name, &length.to_be_bytes(), value].concat()
    };
    let bodies = [
        Vec::new(),
        b"\x05READ".to_vec(),
        b"\x06READY".to_vec(),
        b"\x05HELLO".to_vec(),
        b"\xff".to_vec(),
        b"\x05READY\x0bSocket-Type".to_vec(),
        property(b"Socket-Type", u32::MAX, b"DEALER"),
        property(b"Socket-Type", 6, b"NOISE!"),
        property(b"Socket-Type", 4, b"PULL"),
        property(b"Socket-Type", 200, b"DEALER"),
        property(b"Identity", 6, b"DEALER"),
        property(b"", 0, b""),
        [&property(b"Socket-Type", 6, b"DEALER")[..], &[0xff; 40]].concat(),
        property(b"Socket-Type", 100_000, &[b'x'; 100_000]),
    ];
    for (port, socket) in siege.ports() {
        for body in &bodies {
            let mut wire = Wire::dial(port);
            wire.send(&greeting());
            wire.send(&frame(0x04, body));
            let shown = &body[..body.len().min(24)];
            assert!(wire.is_closed_within(2.0), "{shown:?} on {socket}");
        }
        // A message where READY is due, and READY where a message is due.
        let mut wire = Wire::dial(port);
        wire.send(&greeting());
        wire.send(&frame(0, b"hello"));
        assert!(wire.is_closed_within(2.0), "a message first, on {socket}");
        let mut wire = Wire::connect(port, socket, None);
        wire.send(&ready(socket, None));
        assert!(wire.is_closed_within(2.0), "READY twice, on {socket}");
        siege.holds(socket);
        siege.counted(socket, bodies.len() as u64);
    }
}

#[test]
fn other_greetings() {
    let mut siege = Siege::lay("");
    let with = |at: usize, bytes: &[u8]| {
        let mut greeting = greeting();
        greeting[at..at + bytes.len()].copy_from_slice(bytes);
        greeting.to_vec()
    };
    for (port, socket) in siege.ports() {
        for bytes in [
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n0123456789012345678901234567890123456789".to_vec(),
            b"SSH-2.0-OpenSSH_9.2 and more than sixty-four bytes of what follows here".to_vec(),
            vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 0, 0, 0, 0, 0],
            with(10, &[1]),
            with(10, &[2]),
            with(12, b"PLAIN"),
            with(12, b"CURVE"),
            with(9, &[0]),
            vec![0; 64],
            vec![0xff; 64],
        ] {
            let mut wire = Wire::dial(port);
            wire.send(&bytes);
            let shown = String::from_utf8_lossy(&bytes[..16]).into_owned();
            assert!(wire.is_closed_within(6.0), "{shown:?} on {socket}");
        }
        siege.holds(socket);
        siege.counted(socket, 9);
    }
}

#[test]
fn endless_frames_of_one_message() {
    let mut siege = Siege::lay("");
    for (port, socket) in siege.ports() {
        for after_ready in [false, true] {
            let mut wire = if after_ready { Wire::connect(port, socket, None) } else { Wire::dial(port) };
            if !after_ready {
                wire.send(&greeting());
            }
            let flood = frame(0x01, b"").repeat(4096);
            let sent = (0..2048).take_while(|_| wire.send(&flood)).count();
            assert!(sent < 2048, "16 MiB of empty frames were taken, READY {after_ready}, on {socket}");
            siege.holds("endless MORE");
        }
        siege.counted(socket, 2);
    }
    siege.reason("too_many_frames", 1);
}

#[test]
fn a_stranger_message_that_is_too_large() {
    let mut siege = Siege::lay("");
    let mut wire = Wire::connect(siege.fleet.ret_port, "DEALER", None);
    let _offer = wire.receive().unwrap();
    let sent = (0..1024).take_while(|_| wire.send(&frame(0, &[7; 64 * 1024]))).count();
    assert!(sent < 1024, "a stranger's 64 MiB were taken");
    siege.holds("large messages");
    siege.counted("large messages", 1);
}

#[test]
fn commands_that_nobody_knows() {
    let mut siege = Siege::lay("");
    for (port, socket) in siege.ports() {
        for command in
            [&b"\x05ERROR\x00"[..], b"\x04PI", b"\x04PING", b"\x00", b"\x09SUBSCRIB\xff", b"\x06CANCEL"]
        {
            let mut wire = Wire::connect(port, socket, None);
            wire.send(&frame(0x04, command));
            wire.send(&frame(0x05, command));
            assert!(wire.is_closed_within(6.0), "{command:?} on {socket}");
        }
        siege.holds(socket);
        siege.counted(socket, 4);
    }
}

#[test]
fn a_frame_that_never_ends() {
    let mut siege = Siege::lay("message_timeout_ms: 1000\nhandshake_timeout_ms: 1500\n");
    let mut wire = Wire::connect(siege.fleet.ret_port, "DEALER", None);
    wire.send(&header(0, 8000));
    let mut closed = false;
    for _ in 0..60 {
        wire.send(b"x");
        closed = wire.is_closed_within(0.1);
        if closed {
            break;
        }
    }
    assert!(closed, "a byte now and then keeps a connection open");
    siege.holds("slow frame");
    siege.counted("slow frame", 1);
}
