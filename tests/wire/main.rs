//! Attacks on the messages themselves, by peers that know the protocol: each against a real
//! program.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod broadcasts;
mod master;
mod minion;
mod privacy;
