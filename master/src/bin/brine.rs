//! `brine`: see [`brine_master::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    brine_master::cli::main(std::env::args_os().collect()).into()
}
