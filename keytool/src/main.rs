//! `brine-key`: minion keys on the command line, with salt-key's habits.
//!
//! A client of the control API. Only while no master runs does it work on the ledger itself, under
//! the ledger's lock. **Invariant:** every act names its keys by id, fingerprint and state, so
//! that what was shown is what is done.

mod act;
mod complete;
mod doctor;
mod failure;
mod generate;
mod history;
mod ledger;
mod listing;
mod long;
mod options;
mod rotate;
mod salt;
mod select;
mod source;
mod wait;
mod watch;

use std::io;
use std::process::ExitCode;

use brine_client::Exit;
use brine_local::completion;
use brine_local::output::screen::Screen;
use brine_protocol::control::KeysQuery;
use clap::CommandFactory;

use failure::Failure;
use options::{Action, Line, Word};
use source::Source;

fn main() -> ExitCode {
    if complete::serve() {
        return ExitCode::SUCCESS;
    }
    let line = match Line::read() {
        Ok(line) => line,
        Err(exit) => return exit.into(),
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
    let notes = line.notes()?;
    let action = line.action()?;
    for note in notes {
        eprintln!("brine-key: {note}");
    }
    let mut screen = Screen::open(line.common.out_file.as_deref(), line.common.out_file_append)?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(perform(
        line,
        &action,
        &mut screen,
    ))
}

async fn perform(line: &Line, action: &Action, screen: &mut Screen) -> Result<Exit, Failure> {
    let common = &line.common;
    let (out, style) = (common.out, common.style());
    match action {
        Action::Generate { name, folder, bits } => generate::run(name, folder, *bits, &style, screen),
        Action::Word(word) => perform_word(line, word, screen).await,
        Action::List { states, is_long } => {
            let mut source = open(line).await?;
            let keys = source.keys().await?;
            for warning in source.warnings() {
                eprintln!("brine-key: WARNING: {}", brine_local::text::escape(&warning));
            }
            let list = if *is_long { listing::long_list } else { listing::list };
            screen.print(&list(&keys, states, out, &style))?;
            Ok(Exit::Ok)
        }
        Action::Print(pattern) => {
            let keys = open(line).await?.find(&KeysQuery::default()).await?;
            screen.print(&listing::public_keys(&keys, pattern, out, &style)?)?;
            Ok(Exit::Ok)
        }
        Action::Finger { pattern, with_local } => {
            let mut source = open(line).await?;
            let local = if *with_local { source.master_fingerprint()? } else { None };
            let keys = source.keys().await?;
            screen.print(&listing::fingerprints(&keys, pattern, local, out, &style)?)?;
            Ok(Exit::Ok)
        }
        Action::Act { act, whom } => {
            let mut source = open(line).await?;
            let manners = act::Manners {
                yes: common.yes,
                quiet: common.quiet,
                out,
                style,
                reason: common.reason.clone(),
            };
            let is_document = common.is_for_programs();
            let (mut document, mut talk) = (screen, io::stdout());
            let mut out: &mut dyn io::Write = if is_document { &mut document } else { &mut talk };
            act::run(&mut source, *act, whom, &manners, &mut io::stdin().lock(), &mut out, &mut io::stderr())
                .await
        }
    }
}

async fn perform_word(line: &Line, word: &Word, screen: &mut Screen) -> Result<Exit, Failure> {
    let common = &line.common;
    match word {
        Word::History { id } => history::run(&mut open(line).await?, id, common, screen).await,
        Word::Watch { seen } => watch::run(open(line).await?.master("watch")?, *seen, common, screen).await,
        Word::Import { from_salt, dry_run } => {
            salt::import::run(&mut open(line).await?, from_salt, *dry_run, common, screen).await
        }
        Word::Export { to_salt, force } => {
            salt::export::run(&mut open(line).await?, to_salt, *force, common, screen).await
        }
        Word::RotateMaster(rotation) => {
            let source = open(line).await?;
            rotate::run(source.master("rotate-master")?, rotation, common, screen).await
        }
        Word::Doctor => doctor::run(common, screen).await,
        Word::Ledger { verb } => ledger::run(*verb, &common.paths(), screen),
        Word::Completion { shell } => {
            screen.print(&completion::script("brine-key", *shell)?)?;
            Ok(Exit::Ok)
        }
        Word::Man(pages) => {
            let said = pages.write([Line::command()]).map_err(|error| Failure::Nothing(error.to_string()))?;
            screen.print(&said)?;
            Ok(Exit::Ok)
        }
        Word::Suspend { .. } | Word::Resume { .. } | Word::Master | Word::Other(_) => {
            unreachable!("the command line made acts or refusals of these")
        }
    }
}

async fn open(line: &Line) -> Result<Source, Failure> {
    match line.common.wait_for {
        Some(wanted) => wait::until_pending(&line.common, wanted).await,
        None => Source::open(&line.common.paths(), line.common.act_as.clone()).await,
    }
}
