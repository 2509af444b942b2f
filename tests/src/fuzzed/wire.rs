//! What comes off a socket: ZMTP, frames, messages.

use brine_protocol::frame::Frame;
use brine_protocol::limits::WireLimits;
use brine_protocol::message::{ToMaster, ToMinion, Welcome, is_meant};
use brine_protocol::zmtp::{self, Decoder, Event, Refusal, SocketType};
use bytes::{Bytes, BytesMut};

use super::words::Sample;

/// What a peer has for a stranger: little room, so that each limit is near.
const NARROW: WireLimits = WireLimits {
    message_max: 64,
    frames_max: 2,
    ready_max: 64,
    subscriptions_max: 2,
    subscription_bytes_max: 16,
};

/// The master's two sockets. The first byte says which, with how much room, and how the rest is cut.
pub(super) fn zmtp_master(bytes: &[u8]) {
    zmtp(bytes, [(SocketType::Router, SocketType::Dealer), (SocketType::Pub, SocketType::Sub)]);
}

/// The minion's two.
pub(super) fn zmtp_minion(bytes: &[u8]) {
    zmtp(bytes, [(SocketType::Dealer, SocketType::Router), (SocketType::Sub, SocketType::Pub)]);
}

fn zmtp(bytes: &[u8], sides: [(SocketType, SocketType); 2]) {
    let Some((how, stream)) = bytes.split_first() else { return };
    let (ours, theirs) = sides[usize::from(how & 1)];
    let limits = if how & 2 == 0 { WireLimits::default() } else { NARROW };
    // So that a long stream is not cut into all its bytes, which takes its time and shows no more.
    let step = (usize::from(how >> 2) + 1).max(stream.len() / 8192);
    let whole = Heard::of(stream, stream.len().max(1), limits, ours);
    let pieces = Heard::of(stream, step, limits, ours);
    assert_eq!(whole, pieces, "what a peer said depends on how its bytes were cut");
    for event in &whole.events {
        if let Event::Message(parts) = event {
            let mut written = BytesMut::from(&zmtp::greeting()[..]);
            written.extend_from_slice(&zmtp::ready(theirs));
            let parts: Vec<&[u8]> = parts.iter().map(|part| &part[..]).collect();
            zmtp::encode_message(&parts, &mut written);
            let again = Heard::of(&written, written.len(), limits, ours);
            assert_eq!(again.events.last(), Some(event), "a message is not what was written of it");
        }
    }
}

#[derive(Debug, PartialEq)]
struct Heard {
    events: Vec<Event>,
    refusal: Option<Refusal>,
    subscriptions: Vec<Bytes>,
}

impl Heard {
    fn of(stream: &[u8], step: usize, limits: WireLimits, ours: SocketType) -> Self {
        let (mut decoder, mut buf) = (Decoder::new(limits, ours), BytesMut::new());
        let (mut events, mut refusal) = (Vec::new(), None);
        for piece in stream.chunks(step) {
            if refusal.is_some() {
                break;
            }
            buf.extend_from_slice(piece);
            loop {
                match decoder.decode(&mut buf) {
                    Ok(Some(event)) => events.push(event),
                    Ok(None) => break,
                    Err(why) => {
                        assert_eq!(decoder.decode(&mut buf), Err(why), "a refusal is for good");
                        assert_eq!(decoder.held().0, 0, "nothing is held of whom was refused");
                        refusal = Some(why);
                        break;
                    }
                }
            }
            let (frames, held) = decoder.held();
            assert!(
                frames <= limits.frames_max && held <= limits.message_max,
                "{frames} frames, {held} bytes"
            );
            assert!(decoder.subscriptions().len() <= limits.subscriptions_max);
        }
        Self { events, refusal, subscriptions: decoder.subscriptions().to_vec() }
    }
}

/// A frame that was opened, and what it says.
pub(super) fn frame(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    if let Ok(frame) = Frame::decode(&bytes) {
        let mut again = BytesMut::new();
        frame.encode(&mut again);
        assert_eq!(again, bytes, "a frame is not what was written of it");
        said(&frame);
    }
}

/// A kind and its JSON; what is behind a zero is the binary part.
pub(super) fn message(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let (json, body) = match rest.iter().position(|byte| *byte == 0) {
        Some(at) => (&rest[..at], &rest[at + 1..]),
        None => (rest, &rest[..0]),
    };
    said(&Frame { body: Bytes::copy_from_slice(body), ..Frame::control(*kind, json.to_vec()) });
}

fn said(frame: &Frame) {
    if let Ok(message) = ToMaster::from_frame(frame) {
        assert_eq!(ToMaster::from_frame(&message.to_frame()), Ok(message));
    }
    if let Ok(message) = ToMinion::from_frame(frame) {
        if let ToMinion::Order(order) = &message {
            let _ = is_meant(order, &Sample::all()[0].known());
        }
        assert_eq!(ToMinion::from_frame(&message.to_frame()), Ok(message));
    }
    if let Ok(welcome) = Welcome::from_frame(frame) {
        assert_eq!(Welcome::from_frame(&welcome.to_frame()), Ok(welcome));
    }
}
