//! A sans-IO codec for ZMTP 3.0 (RFC 23) with the NULL mechanism.
//!
//! Bytes in, events out; the caller owns sockets, clocks and deadlines. Both doors use it: the
//! master's gate for what strangers send, and the minion's relay for what a master sends.
//!
//! **Invariant:** a length is compared with its limit as soon as the header has arrived, and
//! nothing is reserved for bytes that have not come. A peer can therefore make a connection hold
//! at most one message of [`WireLimits::message_max`] bytes and [`WireLimits::frames_max`] frames.
//!
//! ```text
//! greeting, 64 bytes: FF <8 any> 7F | major minor | mechanism 20 | as-server | 31 filler
//! frame: flags (1 MORE, 2 LONG, 4 COMMAND) | length 1 byte, or 8 big-endian | body
//! ```
//!
//! Peers of ZMTP 3.1 (libzmq 4.2 and later) see our 3.0 and speak it; the two commands that some
//! of them send anyway, SUBSCRIBE/CANCEL and PING, are understood.

mod decode;
mod encode;
mod metadata;
mod refusal;
mod socket;

pub use crate::limits::WireLimits;
pub use decode::{Decoder, Event};
pub use encode::{encode_frame, encode_message, encoded_frame_len, greeting, ping, pong, ready, subscribe};
pub use refusal::{REFUSALS, Refusal};
pub use socket::SocketType;

/// Bytes of a greeting.
pub const GREETING: usize = 64;

/// Most bytes of a frame's header.
pub const FRAME_HEADER_MAX: usize = 9;

/// More frames of the same message follow.
const MORE: u8 = 1;
/// The length has eight bytes.
const LONG: u8 = 2;
/// The frame is a command.
const COMMAND: u8 = 4;

/// The longest context of a PING (RFC 37).
pub const PING_CONTEXT_MAX: usize = 16;

#[cfg(test)]
mod tests;
