//! `brine`, the operator's command line: a client of the control API and nothing else.
//!
//! `brine '<target>' <module.function> …` runs functions ([`run`]); nouns look after jobs, minions
//! and the master. **Invariant:** nothing here opens the master's files, its options apart.

mod doctor;
mod events;
mod failure;
mod jobs;
mod minions;
mod options;
mod run;
mod show;
mod watch;

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::time::Duration;

use brine_client::{Client, Exit};
use brine_local::Paths;
use brine_local::config::ConfigError;
use brine_local::file::FileError;
use brine_protocol::control::JobRequest;
use brine_protocol::job::{Delivery, Target, TargetKind};
use clap::Parser;
use serde::Serialize;
use serde_json::Value;

use crate::config::Config;
pub use failure::Failure;
use options::{Kind, Noun, NounLine, RunLine};
use show::{Show, Wishes};

/// Runs a command line, the program's name first, and gives its exit code. What went wrong is said
/// on stderr.
#[must_use]
pub fn main(line: Vec<OsString>) -> Exit {
    match try_main(line) {
        Ok(exit) => exit,
        Err(failure) => {
            if !failure.is_quiet() {
                eprintln!("brine: {failure}");
            }
            failure.exit()
        }
    }
}

fn try_main(line: Vec<OsString>) -> Result<Exit, Failure> {
    let line: Vec<String> = line
        .into_iter()
        .map(|word| {
            word.into_string().map_err(|word| Failure::Usage(format!("the argument {word:?} is not UTF-8")))
        })
        .collect::<Result<_, _>>()?;
    match options::kind(line.get(1..).unwrap_or_default()) {
        Kind::Other(program, words) => Err(hand_over(program, &words)),
        Kind::Noun => match NounLine::try_parse_from(line) {
            Ok(parsed) => in_runtime(noun(parsed)),
            Err(error) => Ok(explain(&error)),
        },
        Kind::Run => match RunLine::try_parse_from(line) {
            Ok(parsed) => target(&parsed),
            Err(error) => Ok(explain(&error)),
        },
    }
}

/// Help, the version, or what is wrong with the line.
fn explain(error: &clap::Error) -> Exit {
    let printed = error.print();
    match (error.exit_code(), printed) {
        (0, Ok(())) => Exit::Ok,
        (0, Err(_)) => Exit::ClosedOutput,
        _ => Exit::Usage,
    }
}

fn in_runtime(work: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    // One thread: a command waits for one socket, and threads cost more than they bring.
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

async fn noun(line: NounLine) -> Result<Exit, Failure> {
    let client = Client::new(&line.common.paths().control_socket()).acting_as(line.common.act_as.clone());
    let style = line.common.style();
    match line.noun {
        Noun::Jobs { verb } => jobs::run(&client, verb, &style).await,
        Noun::Minions { verb } => minions::run(&client, verb, &style).await,
        Noun::Events { tag } => events::run(&client, tag.as_deref(), &style).await,
        Noun::Doctor => doctor::run(&client, &style).await,
    }
}

fn target(line: &RunLine) -> Result<Exit, Failure> {
    let request = request(line)?;
    let paths = line.common.paths();
    let client = Client::new(&paths.control_socket()).acting_as(line.common.act_as.clone());
    let wishes = Wishes {
        style: line.common.style(),
        is_static: line.is_static,
        verbose: line.verbose,
        show_jid: line.show_jid,
        summary: line.summary,
    };
    let show = Show::new(wishes, io::stdout(), io::stderr());
    if line.is_async {
        return in_runtime(submit(&client, &request, show));
    }
    let timeout = match line.timeout {
        Some(timeout) => timeout,
        None => configured_timeout(&paths)?,
    };
    in_runtime(run::run(&client, &request, timeout, line.common.hint_options(), show))
}

fn request(line: &RunLine) -> Result<JobRequest, Failure> {
    let (target, function, words) = match line.words.as_slice() {
        [] => {
            return Err(Failure::Usage(
                "cannot execute a command without a target; try: brine '*' test.ping, or brine --help"
                    .to_owned(),
            ));
        }
        [target] => {
            return Err(Failure::Usage(format!(
                "what shall run on {target:?}? Name a function behind it, such as test.ping; or see brine --help"
            )));
        }
        [target, function, words @ ..] => (target, function, words),
    };
    if options::is_noun(target) && !line.list && !function.contains('.') {
        return Err(Failure::Usage(format!(
            "{function:?} is neither a function nor a verb of brine {target}; see: brine {target} --help"
        )));
    }
    let target = if line.list {
        // Salt takes a list with spaces as well.
        let ids: Vec<&str> = target.split([',', ' ']).filter(|id| !id.is_empty()).collect();
        Target { kind: TargetKind::List, expression: ids.join(",") }
    } else {
        Target::glob(target)
    };
    Ok(JobRequest {
        target,
        calls: brine_local::arguments::calls(function, words, &line.no_parse)?,
        delivery: Delivery::Now,
        job_timeout_ms: line.job_timeout.map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)),
    })
}

async fn submit<O: Write, E: Write>(
    client: &Client,
    request: &JobRequest,
    mut show: Show<O, E>,
) -> Result<Exit, Failure> {
    use brine_client::ClientError;
    use brine_protocol::control::ProblemKind;
    match client.submit(request).await {
        Ok(job) => {
            print(&format!("Executed command with job ID: {}\n", job.jid))?;
            Ok(Exit::Ok)
        }
        Err(ClientError::Refused(problem)) if problem.kind == ProblemKind::NothingMatched => {
            show.nothing_matched(&problem.detail)?;
            Ok(Exit::Usage)
        }
        Err(error) => Err(error.into()),
    }
}

/// `timeout` of `master.yaml`. An operator who may not read that file gets the default.
fn configured_timeout(paths: &Paths) -> Result<Duration, Failure> {
    let config = match brine_local::config::load_for::<Config>(paths, "master") {
        Ok(config) => config,
        Err(ConfigError::File(FileError::System { reason, .. }))
            if reason.kind() == io::ErrorKind::PermissionDenied =>
        {
            Config::default()
        }
        Err(error) => return Err(error.into()),
    };
    Duration::try_from_secs_f64(config.timeout).ok().filter(|timeout| !timeout.is_zero()).ok_or_else(|| {
        Failure::Usage(format!("option \"timeout\" of master.yaml is no time to wait: {}", config.timeout))
    })
}

/// Becomes another program of ours: the one beside this one, else the one in `PATH`.
fn hand_over(program: &str, words: &[String]) -> Failure {
    let beside = std::env::current_exe()
        .ok()
        .and_then(|own| own.parent().map(|folder| folder.join(program)))
        .filter(|path| path.is_file());
    let path = beside.unwrap_or_else(|| PathBuf::from(program));
    let reason = std::process::Command::new(path).args(words).exec();
    Failure::Exec { program: program.to_owned(), reason }
}

/// A thing of the API as a document, in the API's own words.
fn document(thing: &impl Serialize) -> Value {
    serde_json::to_value(thing).expect("what came as JSON can go as JSON")
}

fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_noun_without_its_verb_is_explained() {
        let line = RunLine::try_parse_from(["brine", "jobs", "lst"]).expect("a line of words");
        assert_eq!(
            request(&line).expect_err("no function").to_string(),
            "\"lst\" is neither a function nor a verb of brine jobs; see: brine jobs --help"
        );
    }
}
