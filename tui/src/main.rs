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

use std::process::ExitCode;

use brine_client::Exit;
use clap::Parser;

use options::Options;

fn main() -> ExitCode {
    let options = match Options::try_parse() {
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
    // A second thread decodes long lists while the first goes on drawing.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let ended = runtime.map_err(run::Failure::System).and_then(|runtime| {
        let ended = runtime.block_on(run::run(&options));
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
