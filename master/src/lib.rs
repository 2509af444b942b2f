//! brine-master, the daemon, and what `brine`, its operator's command line, is made of.
//!
//! An `engine` decides (pure: inputs and time in, ordered outputs out), a `driver` performs what
//! it decided, the `gate` faces the network, the `store` keeps jobs and returns, and `control`
//! serves operators over a Unix socket.

pub mod bundles;
pub mod cli;
pub mod config;
pub mod control;
pub mod counters;
pub mod daemon;
pub mod driver;
pub mod engine;
pub mod gate;
pub mod hook;
pub mod master_key;
pub mod memory;
pub mod modules;
pub mod pillar;
pub mod reload;
pub mod roles;
pub mod rule_files;
pub mod store;
pub mod tickets;
