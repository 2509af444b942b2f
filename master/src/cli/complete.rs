//! Shell completion: `brine completion SHELL` prints a few lines for the shell, which ask this
//! program again for each Tab, so that minions and jobs of the moment can be offered.
//!
//! **Invariant:** a Tab never waits for longer than [`PATIENCE`], never changes anything, and never
//! says what went wrong: without a master there are just no ids.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use brine_client::{Client, ClientError, Exit};
use brine_local::Paths;
use brine_protocol::control::JobsQuery;
use clap::builder::StyledStr;
use clap::{Arg, ArgAction, Command, CommandFactory};
use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::Shells;

use super::failure::Failure;
use super::options::nouns::Shell;
use super::options::{NounLine, RunLine};
use super::print;

/// What the shell sets when it asks: its own name.
const VARIABLE: &str = "BRINE_COMPLETE";

/// How long a Tab may wait for the master.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many jobs a Tab offers.
const JOBS: usize = 30;

/// Answers a shell, if it is one that asks.
pub(super) fn serve(line: &[OsString]) -> bool {
    if std::env::var_os(VARIABLE).is_none_or(|shell| shell.is_empty()) {
        return false;
    }
    let folder = std::env::current_dir().ok();
    // An error message would land in the middle of a line that somebody types.
    let _ = CompleteEnv::with_factory(command)
        .var(VARIABLE)
        .bin("brine")
        .try_complete(line.iter().cloned(), folder.as_deref());
    true
}

/// Prints what the shell has to read once.
pub(super) fn script(shell: Shell) -> Result<Exit, Failure> {
    let name = match shell {
        Shell::Bash => "bash",
        Shell::Zsh => "zsh",
        Shell::Fish => "fish",
    };
    let shells = Shells::builtins();
    let writer = shells.completer(name).expect("the three shells are built in");
    let mut text = Vec::new();
    writer.write_registration(VARIABLE, "brine", "brine", "brine", &mut text)?;
    print(&String::from_utf8_lossy(&text))?;
    Ok(Exit::Ok)
}

/// Everything that may be typed: a target and a function, or a noun.
pub(super) fn command() -> Command {
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
    let Some(text) = current.to_str() else { return Vec::new() };
    let begun = text.rfind(',').map_or(0, |comma| comma + 1);
    let (before, last) = text.split_at(begun);
    minion_ids(OsStr::new(last)).into_iter().map(|id| id.add_prefix(before)).collect()
}

/// Accepted minions whose id begins so.
pub(super) fn minion_ids(current: &OsStr) -> Vec<CompletionCandidate> {
    let minions = ask(async |client| client.minions().await).unwrap_or_default();
    let ids = minions.iter().map(|minion| minion.id.as_str());
    ids.filter(|id| begins(id, current)).map(CompletionCandidate::new).collect()
}

/// The newest jobs whose id begins so.
pub(super) fn jids(current: &OsStr) -> Vec<CompletionCandidate> {
    let query = JobsQuery { limit: Some(JOBS), ..JobsQuery::default() };
    let jobs = ask(async |client| client.jobs(&query).await).unwrap_or_default();
    let offered = jobs.iter().map(|job| {
        let what = brine_local::output::escape(&format!("{} {}", job.target, job.functions));
        CompletionCandidate::new(job.jid.to_string()).help(Some(StyledStr::from(what)))
    });
    offered.filter(|job| job.get_value().to_str().is_some_and(|jid| begins(jid, current))).collect()
}

fn begins(word: &str, current: &OsStr) -> bool {
    current.to_str().is_some_and(|current| word.starts_with(current))
}

fn ask<T>(question: impl AsyncFnOnce(Client) -> Result<T, ClientError>) -> Option<T> {
    let typed: Vec<OsString> = std::env::args_os().skip_while(|word| word != "--").skip(1).collect();
    let place = Place::typed(&typed);
    let paths = Paths::new(place.root_dir.as_deref(), place.config_dir.as_deref());
    let client = Client::new(&paths.control_socket()).acting_as(place.act_as);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    runtime.block_on(async { tokio::time::timeout(PATIENCE, question(client)).await.ok()?.ok() })
}

/// Which master the half-typed line means.
#[derive(Debug, Default, PartialEq, Eq)]
struct Place {
    root_dir: Option<PathBuf>,
    config_dir: Option<PathBuf>,
    act_as: Option<String>,
}

impl Place {
    fn typed(words: &[OsString]) -> Self {
        let value = |option: &str| {
            let mut words = words.iter().filter_map(|word| word.to_str());
            while let Some(word) = words.next() {
                if word == option {
                    return words.next().map(str::to_owned);
                }
                let rest = word.strip_prefix(option);
                let rest = if option.starts_with("--") {
                    rest.and_then(|rest| rest.strip_prefix('='))
                } else {
                    rest
                };
                if let Some(rest) = rest {
                    return Some(rest.to_owned());
                }
            }
            None
        };
        let folder = |option| value(option).map(|folder| Path::new(&folder).to_owned());
        Self {
            root_dir: folder("--root-dir"),
            config_dir: folder("--config-dir").or_else(|| folder("-c")),
            act_as: value("--as"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn the_master_that_is_meant() {
        let place = |line: &str| Place::typed(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        let (root_dir, config_dir) = (Some(PathBuf::from("/r")), Some(PathBuf::from("/c")));
        for line in ["brine --root-dir /r -c /c --as ana we", "brine we -c/c --as=ana --root-dir=/r"] {
            let expected = Place {
                root_dir: root_dir.clone(),
                config_dir: config_dir.clone(),
                act_as: Some("ana".to_owned()),
            };
            assert_eq!(place(line), expected, "{line}");
        }
        assert_eq!(place("brine --root-dirx /r --root-dir"), Place::default());
    }
}
