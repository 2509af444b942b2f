//! What needs more than Rust and a C linker: curl, openssl, python3 with pyzmq, tmux, a second user.
//! `make test-system` checks that they are there before it runs this.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod accounts;
mod api_docs;
mod clocks;
mod connect;
mod debian;
mod disks;
mod first;
mod machine;
mod openssl;
mod packages;
mod pairing;
mod pyzmq;
mod tables;
mod tmux;
mod tui;
mod units;
mod users;
mod zones;

use std::process::Command;

use brine_tests::process::Done;

/// A command line, split at spaces by the caller.
fn command(words: &[&str]) -> Command {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command
}

fn run(words: &[&str]) -> Done {
    Done::run(command(words))
}
