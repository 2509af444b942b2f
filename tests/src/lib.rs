//! The harness of the suites that run Brine's real programs.
//!
//! A [`Fleet`] is a master and its minions in one temporary directory, on ports the system chose,
//! without root. Nothing here sleeps and hopes: whatever has to become true is awaited with
//! [`eventually`]. Peers that misbehave speak through [`zmtp::Wire`], which writes bytes by hand
//! and shares no code with the codec under test, or through [`peer::Peer`], which knows the
//! handshake as well. When a test panics, the logs of its processes are printed.

pub mod api;
pub mod api_docs;
pub mod binaries;
pub mod checker;
pub mod disk;
pub mod fake;
pub mod faults;
pub mod fixtures;
pub mod fleet;
pub mod fuzzed;
pub mod hunt;
pub mod impostor;
pub mod middle;
pub mod minion;
pub mod peer;
pub mod process;
pub mod proxy;
pub mod swarm;
pub mod terminal;
pub mod wait;
pub mod zmtp;

pub use fleet::Fleet;
pub use minion::Minion;
pub use process::{Done, Process};
pub use wait::{eventually, within};
