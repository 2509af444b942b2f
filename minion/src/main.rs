//! brine-minion: see the library.

use std::process::ExitCode;

use brine_minion::cli::Cli;
use clap::Parser;

fn main() -> ExitCode {
    if let Some(code) = brine_local::init::serve() {
        return code;
    }
    match brine_minion::daemon::main(Cli::parse()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("brine-minion: {error:#}");
            ExitCode::from(1)
        }
    }
}
