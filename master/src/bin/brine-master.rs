//! The master daemon. All of it is in the library; see `daemon`.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    if let Some(code) = brine_local::init::serve() {
        return code;
    }
    let arguments = brine_master::daemon::Arguments::parse();
    brine_master::memory::give_back_large_blocks();
    match brine_master::daemon::run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("brine-master: {error:#}");
            ExitCode::FAILURE
        }
    }
}
