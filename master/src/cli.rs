//! `brine`, the operator's command line: a client of the control API and nothing else.
//!
//! `brine '<target>' <module.function> …` runs functions ([`run`]); nouns look after jobs, minions,
//! server records and the master. **Invariant:** nothing here opens the master's files, its options apart.

mod caution;
mod complete;
mod doc;
mod doctor;
mod events;
mod failure;
mod jobs;
mod man;
mod minions;
mod options;
mod pillar;
mod progress;
mod run;
mod servers;
mod show;
mod target;
mod tokens;
mod watch;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::time::Duration;

use brine_client::{Client, Exit};
use brine_local::Paths;
use brine_local::arguments::{self, input::Inputs};
use brine_local::config::ConfigError;
use brine_local::file::FileError;
use brine_protocol::control::JobRequest;
use brine_protocol::target::Target;
use clap::Parser;
use clap::error::ErrorKind;
use serde::Serialize;
use serde_json::Value;

use crate::config::Config;
use caution::{Person, Settled};
pub use failure::Failure;
use options::brief;
use options::servers::ServerVerb;
use options::target::TargetVerb;
use options::{Common, Kind, Noun, NounLine, RunLine, Running};
use servers::Desk;
pub use servers::{Imported, imported_records};
use show::{Show, Wishes};

/// Runs a command line, the program's name first, and gives its exit code. What went wrong is said
/// on stderr.
#[must_use]
pub fn main(line: Vec<OsString>) -> Exit {
    if complete::serve(&line) {
        return Exit::Ok;
    }
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
    let mut inputs = Inputs::of_process();
    let kind = options::kind(line.get(1..).unwrap_or_default());
    let mut line = line;
    if options::output::goes_on_in_stdin(&line) && !matches!(kind, Kind::Other(..)) {
        line.extend(inputs.stdin_lines().map_err(arguments::ArgsError::from)?);
    }
    match kind {
        Kind::Other(program, words) => Err(hand_over(program, &words)),
        Kind::Noun => match NounLine::try_parse_from(line) {
            Ok(parsed) => in_runtime(noun(parsed, &mut inputs)),
            Err(error) => Ok(explain(&error)),
        },
        Kind::Run => match RunLine::try_parse_from(&line) {
            Ok(parsed) => run_line(&parsed, &mut inputs),
            Err(error) if error.kind() == ErrorKind::DisplayHelp && !brief::asks_for_all(&line) => {
                Ok(brief::print().map_or(Exit::ClosedOutput, |()| Exit::Ok))
            }
            Err(error) => Ok(explain(&error)),
        },
    }
}

fn run_line(line: &RunLine, inputs: &mut Inputs) -> Result<Exit, Failure> {
    line.elsewhere.check()?;
    if line.preview_target {
        return in_runtime(preview(line));
    }
    if line.doc {
        return in_runtime(doc::run(line));
    }
    let request = request(line, inputs)?;
    in_runtime(order(&line.common, &line.running, request))
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

async fn noun(line: NounLine, inputs: &mut Inputs) -> Result<Exit, Failure> {
    let client = line.common.client();
    let style = line.common.style();
    let (mut input, mut out, mut err) = (io::stdin().lock(), io::stdout(), io::stderr());
    let is_exposed = servers::is_exposed(out.as_fd());
    let desk = Desk { client: &client, style, input: &mut input, out: &mut out, err: &mut err, is_exposed };
    match line.noun {
        Noun::Jobs { verb } => jobs::run(&client, verb, &style).await,
        Noun::Minions { verb } => minions::run(&client, verb, &style).await,
        Noun::Target { verb: TargetVerb::Get { flags, expression } } => {
            target::get(&client, flags.target(&expression)?, &style).await
        }
        Noun::Server { verb: Some(ServerVerb::Run(what)) } => {
            // `order` takes the standard input itself.
            drop(input);
            let target = servers::minion_of(&client, &what.server).await?;
            let request = job(target, &what.function, &what.words, &what.running, inputs)?;
            order(&line.common, &what.running, request).await
        }
        Noun::Server { verb } => servers::run(desk, verb).await,
        Noun::Token { verb } => tokens::run(desk, verb).await,
        Noun::Pillar { verb } => pillar::run(&client, verb, &style).await,
        Noun::Events { filters } => events::run(&client, &filters, &style).await,
        Noun::Completion { shell } => complete::script(shell),
        Noun::Man(pages) => man::write(&pages),
        Noun::Doctor { minion } => doctor::run(&client, &line.common.paths(), minion.as_ref(), &style).await,
    }
}

/// Names whom the target of a line means.
async fn preview(line: &RunLine) -> Result<Exit, Failure> {
    let Some(written) = line.words.first() else {
        return Err(Failure::Usage("--preview-target needs a target".to_owned()));
    };
    target::preview(&line.common.client(), line.whom.target(written)?, &line.common.style()).await
}

/// Has functions run, and shows what comes of it.
async fn order(common: &Common, running: &Running, request: JobRequest) -> Result<Exit, Failure> {
    let written = request.target.expression.clone();
    let done = try_order(common, running, request).await;
    done.map_err(|failure| target::read_failure(failure, &written))
}

async fn try_order(common: &Common, running: &Running, request: JobRequest) -> Result<Exit, Failure> {
    let client = common.client();
    let wishes = Wishes {
        style: running.place.style(common),
        is_static: running.is_static,
        verbose: running.verbose,
        show_jid: running.show_jid,
        summary: running.summary,
        hide_missing: running.hide_timeout,
        progress: columns(running),
    };
    let mut show = Show::new(wishes, running.place.open()?, io::stderr());
    let mut input = io::stdin().lock();
    let is_there = input.is_terminal() && io::stderr().is_terminal();
    let person = Person { input: &mut input, err: &mut io::stderr(), is_there };
    let request = match caution::settle(&client, &running.orders, request, person).await? {
        Settled::Go(request) => request,
        Settled::NobodyThere(sentence) => {
            show.nobody_there(&sentence)?;
            return Ok(Exit::NoReturn);
        }
    };
    if running.is_async {
        return submit(&client, &request, show).await;
    }
    let timeout = timeout_of(common, running)?;
    run::run(&client, &request, timeout, common.hint_options(), show).await
}

fn request(line: &RunLine, inputs: &mut Inputs) -> Result<JobRequest, Failure> {
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
    if options::is_noun(target) && !line.whom.has_kind() && !function.contains('.') {
        return Err(Failure::Usage(format!(
            "{function:?} is neither a function nor a verb of brine {target}; see: brine {target} --help"
        )));
    }
    job(line.whom.target(target)?, function, words, &line.running, inputs)
}

fn job(
    target: Target,
    function: &str,
    words: &[String],
    running: &Running,
    inputs: &mut Inputs,
) -> Result<JobRequest, Failure> {
    let limit = running.job_timeout.map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
    Ok(JobRequest {
        target,
        calls: arguments::calls(function, words, &running.words.reading(), inputs)?,
        delivery: running.orders.delivery(),
        job_timeout_ms: limit,
        batch: running.orders.batch(),
        detach: running.detach,
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

/// `master.yaml`. An operator who may not read that file gets the defaults.
fn configured(paths: &Paths) -> Result<Config, Failure> {
    match brine_local::config::load_for::<Config>(paths, "master") {
        Err(ConfigError::File(FileError::System { reason, .. }))
            if reason.kind() == io::ErrorKind::PermissionDenied =>
        {
            Ok(Config::default())
        }
        loaded => Ok(loaded?),
    }
}

/// How wide the line of progress may be; none when nobody asked, or nobody would see it.
fn columns(running: &Running) -> Option<usize> {
    if !running.progress || running.is_async || !io::stderr().is_terminal() {
        return None;
    }
    let size = terminal_size::terminal_size_of(io::stderr());
    Some(size.map_or(80, |(width, _)| usize::from(width.0)))
}

fn timeout_of(common: &Common, running: &Running) -> Result<Duration, Failure> {
    if let Some(timeout) = running.timeout {
        return Ok(timeout);
    }
    let timeout = configured(&common.paths())?.timeout;
    Duration::try_from_secs_f64(timeout).ok().filter(|timeout| !timeout.is_zero()).ok_or_else(|| {
        Failure::Usage(format!("option \"timeout\" of master.yaml is no time to wait: {timeout}"))
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
    use brine_protocol::target::TargetKind;

    use super::*;

    #[test]
    fn a_noun_without_its_verb_is_explained() {
        let line = RunLine::try_parse_from(["brine", "jobs", "lst"]).expect("a line of words");
        assert_eq!(
            request(&line, &mut Inputs::of_process()).expect_err("no function").to_string(),
            "\"lst\" is neither a function nor a verb of brine jobs; see: brine jobs --help"
        );
    }

    #[test]
    fn a_target_may_be_a_term_over_records() {
        let parse = |words: [&str; 4]| {
            request(&RunLine::try_parse_from(words).expect("a line of words"), &mut Inputs::of_process())
        };
        let target = parse(["brine", "-Z", "label.role:files", "test.ping"]).expect("a job").target;
        assert_eq!((target.kind, target.expression.as_str()), (TargetKind::Record, "label.role:files"));
        assert_eq!(
            parse(["brine", "--record", "Dijon", "test.ping"]).expect_err("no term").to_string(),
            "\"Dijon\" names no server records: write FIELD:GLOB, such as zone:Dijon or name:web*"
        );
        // With -Z a noun is no noun, and no term either.
        assert!(
            parse(["brine", "-Z", "server", "list"]).expect_err("no term").to_string().contains("FIELD:GLOB")
        );
    }
}
