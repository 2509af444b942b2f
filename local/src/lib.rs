//! What every Brine program does on its own machine: where its files are, how its options are
//! read, how a file survives a crash, where the log goes.
//!
//! **Invariant:** nothing here talks to another process or machine, but for the service manager
//! (`supervisor`), and every error names the file it is about.

pub mod arguments;
pub mod clock;
pub mod config;
pub mod file;
pub mod init;
pub mod log;
pub mod output;
pub mod paths;
pub mod supervisor;
pub mod text;
pub mod walk;

pub use paths::Paths;
