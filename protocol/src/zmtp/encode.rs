//! Writing: greeting, commands, frames.

use bytes::{BufMut, Bytes, BytesMut};

use super::{COMMAND, FRAME_HEADER_MAX, GREETING, LONG, MORE, SocketType};

/// Our greeting: version 3.0, NULL, not as server.
#[must_use]
pub fn greeting() -> [u8; GREETING] {
    let mut bytes = [0; GREETING];
    bytes[0] = 0xff;
    // The eight bytes between are a frame length to a ZMTP 1.0 peer; libzmq writes one there.
    bytes[8] = 1;
    bytes[9] = 0x7f;
    bytes[10] = 3;
    bytes[12..16].copy_from_slice(b"NULL");
    bytes
}

/// Our READY command, as a frame, with no identity: both our roles let the other side name itself.
#[must_use]
pub fn ready(socket: SocketType) -> Bytes {
    let name = socket.name().as_bytes();
    let mut data = BytesMut::with_capacity(64);
    data.put_u8(11);
    data.put_slice(b"Socket-Type");
    data.put_u32(u32::try_from(name.len()).expect("socket names have at most six bytes"));
    data.put_slice(name);
    if matches!(socket, SocketType::Dealer | SocketType::Router | SocketType::Req) {
        data.put_u8(8);
        data.put_slice(b"Identity");
        data.put_u32(0);
    }
    command(b"READY", &data)
}

/// The answer to a PING, as a frame.
#[must_use]
pub fn pong(context: &[u8]) -> Bytes {
    command(b"PONG", context)
}

/// A PING with a time to live in tenths of a second, as a frame. We answer them; only tests ask.
#[must_use]
pub fn ping(ttl_tenths: u16, context: &[u8]) -> Bytes {
    let mut data = BytesMut::with_capacity(2 + context.len());
    data.put_u16(ttl_tenths);
    data.put_slice(context);
    command(b"PING", &data)
}

/// A subscription as ZMTP 3.0 writes it: a message of one frame.
#[must_use]
pub fn subscribe(topic: &[u8]) -> Bytes {
    let mut body = BytesMut::with_capacity(1 + topic.len());
    body.put_u8(1);
    body.put_slice(topic);
    let mut out = BytesMut::new();
    encode_frame(false, &body, &mut out);
    out.freeze()
}

fn command(name: &[u8], data: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(FRAME_HEADER_MAX + 1 + name.len() + data.len());
    put_header(COMMAND, 1 + name.len() + data.len(), &mut out);
    out.put_u8(u8::try_from(name.len()).expect("our command names are short"));
    out.put_slice(name);
    out.put_slice(data);
    out.freeze()
}

fn put_header(flags: u8, len: usize, out: &mut BytesMut) {
    match u8::try_from(len) {
        Ok(short) => {
            out.put_u8(flags);
            out.put_u8(short);
        }
        Err(_) => {
            out.put_u8(flags | LONG);
            out.put_u64(len as u64);
        }
    }
}

/// How many bytes [`encode_frame`] appends for a body of `len` bytes.
#[must_use]
pub fn encoded_frame_len(len: usize) -> usize {
    len + if len <= usize::from(u8::MAX) { 2 } else { FRAME_HEADER_MAX }
}

/// Appends one frame of a message, with the short header where it fits.
pub fn encode_frame(more: bool, body: &[u8], out: &mut BytesMut) {
    out.reserve(encoded_frame_len(body.len()));
    put_header(if more { MORE } else { 0 }, body.len(), out);
    out.put_slice(body);
}

/// Appends a whole message. A message has at least one frame; nothing is written for none.
pub fn encode_message(parts: &[&[u8]], out: &mut BytesMut) {
    for (i, part) in parts.iter().enumerate() {
        encode_frame(i + 1 < parts.len(), part, out);
    }
}
