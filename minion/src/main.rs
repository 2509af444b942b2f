//! brine-minion: see the library.

use std::process::ExitCode;

use brine_local::completion;
use brine_minion::cli::Cli;
use clap::{CommandFactory, Parser};

fn main() -> ExitCode {
    if let Some(code) = brine_local::init::serve() {
        return code;
    }
    let line: Vec<_> = std::env::args_os().collect();
    if completion::serve("brine-minion", &line, Cli::command) {
        return ExitCode::SUCCESS;
    }
    match brine_minion::daemon::main(Cli::parse()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("brine-minion: {error:#}");
            ExitCode::from(1)
        }
    }
}
