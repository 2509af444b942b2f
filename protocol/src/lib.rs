//! The words masters, minions and operators share.
//!
//! Plain data and pure functions: ids, jobs, messages and their framing, the ZMTP codec, the
//! control API's types. **Invariant:** nothing here opens a socket or a file, reads a clock or
//! draws a random number; bytes from a stranger give an error, never a panic, and never make
//! memory grow past a limit that the caller stated.

pub mod batch;
pub mod control;
pub mod fingerprint;
pub mod frame;
pub mod glob;
mod hex;
pub mod id;
pub mod jid;
pub mod job;
pub mod limits;
pub mod message;
pub mod modules;
pub mod permission;
pub mod pillar;
pub mod secret;
pub mod server;
pub mod signal;
pub mod target;
pub mod time;
pub mod version;
pub mod zmtp;

pub use fingerprint::Fingerprint;
pub use id::MinionId;
pub use jid::Jid;
pub use secret::Secret;
pub use server::{ServerId, TokenId};
