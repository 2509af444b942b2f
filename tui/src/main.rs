//! `brine-tui`: key approval in a terminal, live.
//!
//! A client of the control API and of nothing else. [`app`] is the state and how it changes,
//! [`view`] draws it, [`link`] is the master, [`terminal`] the terminal, and [`run`] the loop
//! between them. **Invariant:** app and view are pure; only link, terminal and run touch the
//! world.

mod app;
mod link;
mod options;
mod run;
#[cfg(test)]
mod samples;
mod sixteen;
mod terminal;
mod text;
mod view;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use brine_client::Exit;
use brine_local::completion;
use clap::{CommandFactory, Parser};

use options::{Command, Options};

fn main() -> ExitCode {
    let line: Vec<OsString> = std::env::args_os().collect();
    if completion::serve("brine-tui", &line, Options::command) {
        return ExitCode::SUCCESS;
    }
    let options = match Options::try_parse_from(line) {
        Ok(options) => options,
        Err(error) => {
            let printed = error.print().is_ok();
            return if error.exit_code() != 0 {
                Exit::Usage.into()
            } else if printed {
                Exit::Ok.into()
            } else {
                Exit::ClosedOutput.into()
            };
        }
    };
    match &options.command {
        None => show(&options),
        Some(Command::Completion { shell }) => say(completion::script("brine-tui", *shell)),
        Some(Command::Man(pages)) => say(pages.write([Options::command()])),
    }
}

/// Prints a text, or says on stderr why there is none.
fn say<E: Display>(text: Result<String, E>) -> ExitCode {
    let text = match text {
        Ok(text) => text,
        Err(error) => {
            eprintln!("brine-tui: {error}");
            return ExitCode::FAILURE;
        }
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => Exit::Ok.into(),
        Err(_) => Exit::ClosedOutput.into(),
    }
}

fn show(options: &Options) -> ExitCode {
    // A second thread decodes long lists while the first goes on drawing.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let ended = runtime.map_err(run::Failure::System).and_then(|runtime| {
        let ended = runtime.block_on(run::run(options));
        // A request that is under way is not waited for.
        runtime.shutdown_background();
        ended
    });
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            eprintln!("brine-tui: {failure}");
            failure.exit().into()
        }
    }
}
