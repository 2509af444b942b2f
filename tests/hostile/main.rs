//! Hostile bytes against the real programs, while a healthy minion keeps answering.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bytes;
mod crowd;
mod flood;
mod masters;
mod siege;
mod subscribers;
