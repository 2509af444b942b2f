//! What a Tab is offered behind `brine`: everything that may be typed, and minions and jobs of the moment.

use std::ffi::{OsStr, OsString};

use brine_client::{Client, Exit};
use brine_local::completion::{self, ArgValueCompleter, CompletionCandidate, Place, Shell};
use brine_protocol::control::JobsQuery;
use clap::builder::StyledStr;
use clap::{Arg, ArgAction, Command, CommandFactory};

use super::failure::Failure;
use super::options::{NounLine, RunLine};
use super::print;

/// How many jobs a Tab offers.
const JOBS: usize = 30;

/// Answers a shell, if it is one that asks.
pub(super) fn serve(line: &[OsString]) -> bool {
    completion::serve("brine", line, command)
}

/// Prints what the shell has to read once.
pub(super) fn script(shell: Shell) -> Result<Exit, Failure> {
    print(&completion::script("brine", shell)?)?;
    Ok(Exit::Ok)
}

/// Everything that may be typed: a target and a function, or a noun.
fn command() -> Command {
    let other = |name, about| Command::new(name).about(about).disable_help_flag(true);
    described()
        .subcommand(other("key", "The same as brine-key"))
        .subcommand(other("tui", "Approve keys on a screen: the same as brine-tui"))
}

/// The same without what other programs do.
pub(super) fn described() -> Command {
    let target = |words: Arg| {
        let target = words.hide(false).value_name("TARGET").num_args(1).action(ArgAction::Set);
        target.help("Whom").add(ArgValueCompleter::new(targets))
    };
    RunLine::command()
        .mut_arg("words", target)
        .arg(Arg::new("function").value_name("FUNCTION").help("What, as test.ping"))
        .arg(Arg::new("arguments").value_name("ARGUMENT").help("With what").num_args(0..))
        .subcommands(NounLine::command().get_subcommands().cloned())
}

/// Ids, and behind the commas of a list further ones.
fn targets(current: &OsStr) -> Vec<CompletionCandidate> {
    completion::in_list(current, minion_ids)
}

/// Accepted minions whose id begins so.
pub(super) fn minion_ids(current: &OsStr) -> Vec<CompletionCandidate> {
    let minions = completion::ask(async |place| client(place).minions().await).unwrap_or_default();
    completion::begun(current, minions.iter().map(|minion| minion.id.as_str()))
}

/// The newest jobs whose id begins so.
pub(super) fn jids(current: &OsStr) -> Vec<CompletionCandidate> {
    let query = JobsQuery { limit: Some(JOBS), ..JobsQuery::default() };
    let jobs = completion::ask(async |place| client(place).jobs(&query).await).unwrap_or_default();
    let offered = jobs.iter().map(|job| {
        let what = brine_local::output::escape(&format!("{} {}", job.target, job.functions));
        CompletionCandidate::new(job.jid.to_string()).help(Some(StyledStr::from(what)))
    });
    let Some(current) = current.to_str() else { return Vec::new() };
    offered.filter(|job| job.get_value().to_str().is_some_and(|jid| jid.starts_with(current))).collect()
}

fn client(place: Place) -> Client {
    Client::new(&place.paths().control_socket()).acting_as(place.act_as)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_sound() {
        command().debug_assert();
    }
}
