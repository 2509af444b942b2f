//! One run of the hook: its own process group, bounded in time and in what is kept of its words.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use brine_local::text::escape;
use brine_protocol::control::Event;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::{Command, variables};

/// How long a hook may take: it is one at a time, and who waits are records.
const RUN_MAX: Duration = Duration::from_secs(60);

/// How long its words are awaited after its end: a process that it left in the background may
/// hold the pipe open.
const LINGER: Duration = Duration::from_secs(1);

/// Most bytes of its words that are logged: enough for the last line of a traceback.
const SAID_MAX: usize = 2048;

/// What a service manager tells the master and nobody else.
const NOT_INHERITED: [&str; 4] = ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "INVOCATION_ID"];

/// Runs the hook to its end or to its time. Gives what it complained about.
///
/// # Errors
/// It could not be run, failed, or was killed; one sentence with its words.
pub(super) async fn run(command: &Command, event: &Event) -> Result<String, String> {
    run_for(command, event, RUN_MAX).await
}

pub(super) async fn run_for(command: &Command, event: &Event, limit: Duration) -> Result<String, String> {
    let mut process = tokio::process::Command::new(command.program());
    process
        .args(command.arguments())
        .envs(variables(event))
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0);
    for name in NOT_INHERITED {
        process.env_remove(name);
    }
    let mut child = process.spawn().map_err(|error| format!("cannot run it: {error}"))?;
    let mut group = Group(child.id());
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let feed = async {
        if let Some(mut stdin) = stdin {
            let text = serde_json::to_vec(event).expect("an event is plain data");
            // A hook that does not want it is fine.
            let _ = stdin.write_all(&text).await;
        }
    };
    let mut said = Vec::new();
    let ended = {
        let streams = async { tokio::join!(feed, listen(stderr, &mut said)) };
        tokio::pin!(streams);
        let deadline = tokio::time::sleep(limit);
        tokio::pin!(deadline);
        let mut is_drained = false;
        let ended = loop {
            tokio::select! {
                ended = child.wait() => break Some(ended),
                _ = &mut streams, if !is_drained => is_drained = true,
                () = &mut deadline => break None,
            }
        };
        let is_reaped = match &ended {
            Some(Ok(_)) => true,
            Some(Err(_)) | None => {
                group.kill();
                matches!(timeout(LINGER, child.wait()).await, Ok(Ok(_)))
            }
        };
        if is_reaped {
            // From now on its number may be somebody else's.
            group.0 = None;
        }
        if !is_drained {
            let _ = timeout(LINGER, streams).await;
        }
        ended
    };
    let said = words(&said);
    match ended {
        Some(Ok(status)) if status.success() => Ok(said),
        Some(Ok(status)) => Err(with_words(&how(status), &said)),
        Some(Err(error)) => Err(with_words(&format!("cannot wait for it: {error}"), &said)),
        None => Err(with_words(&format!("it still ran after {limit:?} and was killed"), &said)),
    }
}

fn how(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it ended with exit code {code}"),
        (None, Some(signal)) => format!("signal {signal} ended it"),
        (None, None) => "it ended in an unknown way".to_owned(),
    }
}

fn with_words(what: &str, said: &str) -> String {
    if said.is_empty() { what.to_owned() } else { format!("{what}; it said: {said}") }
}

/// Reads to the end and keeps the last words, since the reason stands last.
async fn listen(stderr: Option<impl AsyncRead + Unpin>, said: &mut Vec<u8>) {
    let Some(mut stderr) = stderr else { return };
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
        said.extend_from_slice(&buffer[..count]);
        // Twice as much as is shown, to tell that something was cut.
        let surplus = said.len().saturating_sub(2 * SAID_MAX);
        said.drain(..surplus);
    }
}

fn words(said: &[u8]) -> String {
    let cut = said.len().saturating_sub(SAID_MAX);
    let text = String::from_utf8_lossy(&said[cut..]);
    let text = escape(text.trim());
    if cut > 0 { format!("[…] {text}") } else { text }
}

/// The hook's process group while its leader was not reaped, killed when dropped: a master that
/// stops leaves no hook behind.
struct Group(Option<u32>);

impl Group {
    fn kill(&self) {
        if let Some(pid) = self.0 {
            // It fails only when nobody is left to be killed.
            let _ = killpg(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}
