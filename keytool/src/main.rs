//! `brine-key`: minion keys on the command line, with salt-key's habits.
//!
//! A client of the control API. Only while no master runs does it work on the ledger itself, under
//! the ledger's lock. **Invariant:** every act names its keys by id, fingerprint and state, so
//! that what was shown is what is done.

mod act;
mod failure;
mod generate;
mod ledger;
mod listing;
mod options;
mod select;
mod source;
mod wait;

use std::io::{self, Write};
use std::process::ExitCode;

use brine_client::Exit;
use brine_local::output::{Style, wants_colours};
use clap::Parser;

use failure::Failure;
use options::{Action, Line};
use source::Source;

fn main() -> ExitCode {
    let line = match Line::try_parse() {
        Ok(line) => line,
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
    match run(&line) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            let exit = failure.exit();
            if exit != Exit::ClosedOutput {
                eprintln!("brine-key: {failure}");
            }
            exit.into()
        }
    }
}

fn run(line: &Line) -> Result<Exit, Failure> {
    let action = line.action()?;
    match &action {
        Action::Generate { name, folder, bits } => return generate::run(name, folder, *bits, &style(line)),
        Action::LedgerVerify => return ledger::verify(&line.paths()),
        Action::LedgerRepair => return ledger::repair(&line.paths()),
        Action::List(_) | Action::Print(_) | Action::Finger { .. } | Action::Act { .. } => {}
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(online(line, &action))
}

async fn online(line: &Line, action: &Action) -> Result<Exit, Failure> {
    let mut source = match line.wait_for {
        Some(wanted) => wait::until_pending(line, wanted).await?,
        None => Source::open(&line.paths(), line.act_as.clone()).await?,
    };
    let style = style(line);
    match action {
        Action::List(states) => {
            let keys = source.keys().await?;
            listing::print_list(&keys, states, line.out, &style)?;
            Ok(Exit::Ok)
        }
        Action::Print(pattern) => {
            let keys = source.keys().await?;
            listing::print_keys(&keys, pattern, line.out, &style)
        }
        Action::Finger { pattern, with_local } => {
            let keys = source.keys().await?;
            let local = if *with_local { source.master_fingerprint().await? } else { None };
            listing::print_fingerprints(&keys, pattern, local, line.out, &style)
        }
        Action::Act { act, whom } => {
            let manners = act::Manners {
                yes: line.yes,
                quiet: line.quiet,
                out: line.out,
                style,
                reason: line.reason.clone(),
            };
            act::run(
                &mut source,
                *act,
                whom,
                &manners,
                &mut io::stdin().lock(),
                &mut io::stdout(),
                &mut io::stderr(),
            )
            .await
        }
        Action::Generate { .. } | Action::LedgerVerify | Action::LedgerRepair => {
            unreachable!("done before a source of keys was looked for")
        }
    }
}

fn style(line: &Line) -> Style {
    Style {
        format: line.out.unwrap_or_default(),
        indent: line.out_indent,
        colours: wants_colours(line.no_color, line.force_color),
    }
}

fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
