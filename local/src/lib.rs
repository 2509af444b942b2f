//! What every Brine program does on its own machine: where its files are, how its options are
//! read, how a file survives a crash, where the log goes; with the feature `cli` also what command lines
//! share.
//!
//! **Invariant:** nothing here talks to another process or machine, but for the service manager
//! (`supervisor`) and what a Tab asks through its caller (`completion`), and every error names the file it is about.

pub mod arguments;
pub mod checkup;
pub mod clock;
#[cfg(feature = "cli")]
pub mod completion;
pub mod config;
pub mod file;
pub mod init;
pub mod log;
#[cfg(feature = "cli")]
pub mod manual;
pub mod output;
pub mod paths;
pub mod supervisor;
pub mod text;
pub mod walk;

pub use paths::Paths;
