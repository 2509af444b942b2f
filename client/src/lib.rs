//! The control API's client, and what the programs that use it share.
//!
//! [`Client`] speaks HTTP/1.1 over the master's Unix socket; [`prompt`] asks as salt-key asks;
//! [`Exit`] is the one table of exit codes. **Invariant:** nothing else in the workspace opens
//! that socket.

mod api;
mod connection;
mod error;
mod exit;
pub mod prompt;
pub mod sse;
mod stream;

pub use api::{Cancelled, Client, JobsPage, KEYS_AT_ONCE, Probed};
pub use connection::check_socket_path;
pub use error::{ClientError, Unreachable};
pub use exit::Exit;
pub use stream::{EventStream, JobStream};
