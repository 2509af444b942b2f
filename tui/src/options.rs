//! The command line of `brine-tui`.

use std::path::PathBuf;

use brine_local::completion::Shell;
use brine_local::manual::Pages;
use brine_local::{Paths, completion_examples};
use clap::{Parser, Subcommand};

const KEYS: &str = "\
Keys (? shows all of them):
  a  r  d  s  u    accept, reject, delete, suspend or resume, undo; then y or n, and Enter means no
  p                pair: choose a server record for a key that waits; accepted and linked in one
  Space  *         select one, or all that the filter shows
  /                filter by id, fingerprint or address, and with os: host: record: zone:; Esc clears
  Tab  1-6         the next state: pending, denied, accepted, rejected, suspended, all
  Enter            whole fingerprint, its picture, claims, history, and the key it competes with
  o  O             sort, and the other way round
  j k g G          move, as do arrows, Home, End, Page Up, Page Down and the mouse
  q                quit

For scripts there is brine-key. Without colours: NO_COLOR=1 or --no-color.

Exit codes:
  0 quit   1 the terminal failed   2 wrong usage, or no terminal   3 no master   4 refused
  101 a bug; please report it   128 and its number: a signal (143 for SIGTERM)";

/// Shows the keys of a master and decides about them, live.
#[derive(Debug, Parser)]
#[command(name = "brine-tui", version, about = "Approve minion keys in a terminal, live", after_help = KEYS)]
pub(crate) struct Options {
    /// Never colour.
    #[arg(long, alias = "no-colour")]
    pub(crate) no_color: bool,
    /// Read configuration from this folder.
    #[arg(short = 'c', long, value_name = "DIR")]
    config_dir: Option<PathBuf>,
    /// Look for everything under this folder instead of /.
    #[arg(long, value_name = "DIR")]
    root_dir: Option<PathBuf>,
    /// Act under another name, with that name's rights (administrators only).
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) act_as: Option<String>,
    /// What else it does; without it, keys are shown.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What else the program does.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Completion of this command line for a shell
    #[command(after_help = completion_examples!("brine-tui"))]
    Completion {
        #[command(subcommand)]
        shell: Shell,
    },
    /// Write manual pages
    #[command(hide = true)]
    Man(Pages),
}

impl Options {
    pub(crate) fn paths(&self) -> Paths {
        Paths::new(self.root_dir.as_deref(), self.config_dir.as_deref())
    }
}
