//! Signals to jobs, one or all, and which of them run a function.

use brine_protocol::Jid;
use brine_protocol::glob;
use brine_protocol::job::canonical;
use brine_protocol::signal::SignalName;
use serde_json::Value;

use super::super::bind::Bound;
use super::super::{Context, Fault, Function, Outcome, Parameter, Signalled, required, text_of};
use super::{JID, jid, others, show};

const JID_AND_SIGNAL: &[Parameter] = &[
    required("jid", "the job's id, twenty digits (text)"),
    required("sig", "the signal, as 15, TERM or SIGTERM (number or text)"),
];

const FUN: &[Parameter] =
    &[required("fun", "a function's name, or a glob over the names of the functions of jobs (text)")];

/// Who ends a job that has no process to be signalled.
const BY: &str = "a signal sent on the minion";

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new(
            "brine.signal_job",
            |context, bound| Box::pin(signal_job(context, bound)),
            "Sends a signal to the processes of a job that runs on the minion.\n\n\
             A job without a process of its own is ended by HUP, INT, QUIT, KILL and TERM; other signals mean \
             nothing to it.",
        )
        .takes(JID_AND_SIGNAL)
        .returns("a sentence; an empty text when it does not run, or has no process that could be signalled")
        .example("brine.signal_job 20260101120000000000 USR1"),
        Function::new(
            "brine.term_job",
            |context, bound| Box::pin(term_job(context, bound)),
            "Asks the processes of a job that runs on the minion to end (signal 15).",
        )
        .takes(JID)
        .returns("a sentence; an empty text when it does not run")
        .example("brine.term_job 20260101120000000000"),
        Function::new(
            "brine.term_all_jobs",
            |context, _| Box::pin(all(context, SignalName::TERM)),
            "Asks the processes of all jobs on the minion to end (signal 15), but for the job that asks.",
        )
        .returns("[a sentence…], one per job; empty when none runs"),
        Function::new(
            "brine.kill_all_jobs",
            |context, _| Box::pin(all(context, SignalName::KILL)),
            "Kills all jobs on the minion with everything they started, but for the job that asks.",
        )
        .returns("[a sentence…], one per job; empty when none runs"),
        Function::new(
            "brine.is_running",
            |context, bound| Box::pin(is_running(context, bound)),
            "Returns the jobs that run a function on the minion, without the one that asks.",
        )
        .takes(FUN)
        .returns("[{jid, fun, pid, user, started}…], oldest first; empty when none runs it")
        .example("brine.is_running 'cmd.*'"),
    ]
}

async fn signal_job(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let jid = jid(&mut bound)?;
    let signal = text_of(&bound.value("sig"));
    let signal: SignalName = signal.parse().map_err(|why| Fault::Invocation(format!("{why}")))?;
    Ok(Outcome::from(send(&context, jid, signal)))
}

async fn term_job(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let jid = jid(&mut bound)?;
    Ok(Outcome::from(send(&context, jid, SignalName::TERM)))
}

async fn all(context: Context, signal: SignalName) -> Result<Outcome, Fault> {
    let jids = others(&context).into_iter().map(|job| job.jid);
    let said = jids.map(|jid| send(&context, jid, signal));
    Ok(Outcome::from(said.filter(|said| !said.is_empty()).map(Value::from).collect::<Vec<_>>()))
}

/// Signals another job than the one that asks, and says so in Salt's words.
fn send(context: &Context, jid: Jid, signal: SignalName) -> String {
    if context.job == Some(jid) {
        return String::new();
    }
    let number = signal.number();
    if signal == SignalName::KILL {
        return super::kill(context, jid);
    }
    match context.jobs.signal(jid, signal, BY) {
        Signalled::Sent(pid) => format!("Signal {number} sent to job {jid} at pid {pid}"),
        Signalled::Ended => format!("Signal {number} sent to job {jid}"),
        Signalled::Nothing => String::new(),
    }
}

async fn is_running(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let pattern = bound.text("fun")?;
    let pattern = canonical(&pattern);
    let runs = |functions: &str| functions.split(',').any(|name| glob::matches(&pattern, name));
    let found = others(&context).into_iter().filter(|job| runs(&job.functions));
    Ok(Outcome::from(found.map(|job| show(&job)).collect::<Vec<_>>()))
}
