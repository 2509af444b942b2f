//! The control API's client, and what every program that uses it shows.
//!
//! [`Client`] speaks HTTP/1.1 over the master's Unix socket; [`output`] turns values into the
//! forms that Salt users know; [`Exit`] is the one table of exit codes. **Invariant:** nothing
//! else in the workspace opens that socket, and nothing a minion or a stranger wrote reaches a
//! terminal without passing [`output`]'s escaping.

mod api;
mod connection;
mod error;
mod exit;
pub mod output;
pub mod prompt;
pub mod sse;
mod stream;

pub use api::{Cancelled, Client, Probed};
pub use connection::check_socket_path;
pub use error::{ClientError, Unreachable};
pub use exit::Exit;
pub use stream::{EventStream, JobStream};
