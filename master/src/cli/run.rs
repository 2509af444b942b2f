//! Submits a job and follows it: the sockets, clocks and signals around [`Watch`].

use std::future::pending;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use brine_client::{Client, ClientError, Exit, JobStream, Probed};
use brine_protocol::Jid;
use brine_protocol::control::{JobEvent, JobRequest, ProblemKind};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::failure::Failure;
use super::show::Show;
use super::watch::{Input, Output, Watch};

/// How long a master that went away is waited for at least.
const RETURN_OF_MASTER: Duration = Duration::from_secs(10);

/// How often it is tried again meanwhile.
const RETRY: Duration = Duration::from_millis(200);

/// Runs a job to its end and shows what comes. `options` go into hints, see [`Watch::new`].
pub(super) async fn run<O: Write, E: Write>(
    client: &Client,
    request: &JobRequest,
    timeout: Duration,
    options: String,
    mut show: Show<O, E>,
) -> Result<Exit, Failure> {
    let start = Instant::now();
    let mut interrupt = Interrupt::new()?;
    let mut watch = Watch::new(options);
    let opened = tokio::select! {
        () = interrupt.next() => return match perform(&mut show, watch.handle(Input::Interrupt))? {
            Next::Done(exit) => Ok(exit),
            Next::GoOn | Next::Probe => Ok(Exit::Interrupted),
        },
        opened = client.job_stream(request) => opened,
    };
    let mut stream = match opened {
        Err(ClientError::Refused(problem)) if problem.kind == ProblemKind::NothingMatched => {
            show.nothing_matched(&problem.detail)?;
            return Ok(Exit::Usage);
        }
        opened => opened?,
    };
    let mut deadline = Instant::now() + timeout;
    let mut probing: Option<Jid> = None;
    let mut probe = Box::pin(ask(client, None));
    loop {
        let input = tokio::select! {
            biased;
            () = interrupt.next() => Input::Interrupt,
            event = stream.next() => match event {
                Ok(Some(event)) => {
                    if matches!(event, JobEvent::Row(_)) {
                        deadline = Instant::now() + timeout;
                    }
                    Input::Event(event)
                }
                // Behind `end` there is nothing to wait for, and `end` has finished the watch.
                Ok(None) => Input::Lost,
                Err(error @ ClientError::Unreachable { .. }) => {
                    let Some(jid) = watch.job().map(|job| job.jid) else { return Err(error.into()) };
                    let patience = timeout.max(RETURN_OF_MASTER);
                    show.note(&format!("{error}; trying again for {} s", patience.as_secs()))?;
                    let again = tokio::select! {
                        () = interrupt.next() => Err(Input::Interrupt),
                        again = take_up(client, jid, patience) => again.ok_or(Input::Lost),
                    };
                    match again {
                        Ok(again) => {
                            stream = again;
                            deadline = Instant::now() + timeout;
                            continue;
                        }
                        Err(input) => input,
                    }
                }
                Err(error) => return Err(error.into()),
            },
            answer = &mut probe => {
                probing = None;
                probe = Box::pin(ask(client, None));
                deadline = Instant::now() + timeout;
                match answer {
                    Ok(Probed { rows }) => Input::Probed { rows, after: start.elapsed() },
                    // A broken connection shows in the stream as well, and a refusal is not news.
                    Err(_) => continue,
                }
            }
            () = tokio::time::sleep_until(deadline.into()), if probing.is_none() => Input::Quiet,
        };
        match perform(&mut show, watch.handle(input))? {
            Next::GoOn => {}
            Next::Probe => {
                probing = watch.job().map(|job| job.jid);
                probe = Box::pin(ask(client, probing));
            }
            Next::Done(exit) => return Ok(exit),
        }
    }
}

/// What the watch leaves to the loop.
enum Next {
    GoOn,
    Probe,
    Done(Exit),
}

/// Does what the watch says, in its order.
fn perform<O: Write, E: Write>(show: &mut Show<O, E>, outputs: Vec<Output>) -> Result<Next, Failure> {
    let mut next = Next::GoOn;
    for output in outputs {
        match output {
            Output::Begin(job) => show.begin(&job)?,
            Output::Return(id, returned) => show.returned(id.as_str(), returned)?,
            Output::Missing(id, why) => show.missing(&id, &why)?,
            Output::Ended(id, why) => show.ended(&id, &why)?,
            Output::Note(text) => show.note(&text)?,
            Output::Probe => next = Next::Probe,
            Output::Finish(exit, summary) => {
                show.finish(summary)?;
                return Ok(Next::Done(exit));
            }
        }
    }
    Ok(next)
}

async fn ask(client: &Client, jid: Option<Jid>) -> Result<Probed, ClientError> {
    match jid {
        Some(jid) => client.probe(jid).await,
        None => pending().await,
    }
}

/// Follows a job again on a master that has come back.
async fn take_up(client: &Client, jid: Jid, patience: Duration) -> Option<JobStream> {
    let end = Instant::now() + patience;
    while Instant::now() < end {
        tokio::time::sleep(RETRY).await;
        if let Ok(stream) = client.follow(jid).await {
            return Some(stream);
        }
    }
    None
}

/// Ctrl-C, or a polite request to stop. The second one ends the program at once, even while it
/// cannot write what the first one made it say.
pub(super) struct Interrupt {
    int: Signal,
    term: Signal,
}

impl Interrupt {
    pub(super) fn new() -> std::io::Result<Self> {
        let is_second = Arc::new(AtomicBool::new(false));
        for number in [SIGINT, SIGTERM] {
            // In this order: the first signal finds the flag down.
            flag::register_conditional_shutdown(number, Exit::Interrupted.code().into(), is_second.clone())?;
            flag::register(number, is_second.clone())?;
        }
        Ok(Self { int: signal(SignalKind::interrupt())?, term: signal(SignalKind::terminate())? })
    }

    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.int.recv() => {}
            _ = self.term.recv() => {}
        }
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
