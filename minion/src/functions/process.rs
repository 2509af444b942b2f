//! Running one process and everything it starts: its own group and mark, bounded output, a way to
//! end it.
//!
//! The leader of the group is reaped last. Until then its number, which is the group's, cannot
//! belong to anybody else, so the group can be killed at any moment without hitting a stranger.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::OnPid;
use crate::processes::{self, Spawned, Wanted, start_ticks};

/// The variable that marks all that one launch starts.
pub(crate) const MARK: &str = "BRINE_RUN";

/// How long the output of a process is awaited after its end: a child in the background that
/// holds the pipe open must not hold up the answer.
const LINGER: Duration = Duration::from_secs(1);

/// How long a killed process may take to be gone before the call answers without it: one that
/// hangs in the kernel goes when the kernel lets it.
const KILL_WAIT: Duration = Duration::from_secs(2);

/// How often and how long a program is waited for that is open for writing.
const BUSY_TRIES: u32 = 50;
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// A process to be run.
pub(super) struct Launch {
    pub(super) argv: Vec<String>,
    pub(super) cwd: PathBuf,
    /// Put on top of the minion's own environment.
    pub(super) env: Vec<(String, String)>,
    /// Taken out of the minion's own environment.
    pub(super) env_remove: Vec<String>,
    pub(super) stdin: Option<String>,
    /// Whether both outputs share one pipe, which keeps their order.
    pub(super) is_merged: bool,
    pub(super) timeout: Option<Duration>,
    /// Cap of each output, in bytes.
    pub(super) output_max: usize,
}

/// What a process left behind.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) pid: u32,
    /// None when the timeout ended it.
    pub(super) retcode: Option<i32>,
    /// Both outputs when they were merged.
    pub(super) stdout: Output,
    pub(super) stderr: Output,
}

/// The kept part of an output.
#[derive(Debug, Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
    pub(super) is_cut: bool,
}

impl Output {
    /// Reads to the end, keeping at most `max` bytes: the process must neither block nor die
    /// because it says more.
    async fn fill(&mut self, pipe: Option<pipe::Receiver>, max: usize) {
        let Some(mut pipe) = pipe else { return };
        let mut buffer = vec![0; 64 * 1024];
        // An error on a pipe is its end.
        while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
            let kept = count.min(max - self.bytes.len());
            self.bytes.extend_from_slice(&buffer[..kept]);
            self.is_cut |= kept < count;
        }
    }

    /// The kept part as it came.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The output as text without white space at its end; where it was cut, the last line says so.
    pub(super) fn text(&self) -> String {
        // The cut may have gone through a character.
        let end = match std::str::from_utf8(&self.bytes) {
            Err(error) if self.is_cut && error.error_len().is_none() => error.valid_up_to(),
            _ => self.bytes.len(),
        };
        let mut text = String::from_utf8_lossy(&self.bytes[..end]).into_owned();
        text.truncate(text.trim_end().len());
        if self.is_cut {
            text.push('\n');
            text.push_str(&super::fit::note(self.bytes.len()));
        }
        text
    }
}

/// Runs a process to its end or to its timeout. Dropping the future kills all that it started, also
/// what left its group.
/// Children it left in the background live on when it ended by itself, as services do that were
/// started so.
pub(super) async fn launch(launch: Launch, on_pid: &OnPid) -> io::Result<Finished> {
    let Launch { output_max, timeout: limit, stdin, .. } = &launch;
    let mark = mark();
    let (mut child, out, err) = spawn_free(&launch, &mark).await?;
    let Some(pid) = child.id() else {
        return Err(io::Error::other("the process was gone before it could be watched"));
    };
    let group = Group::of(pid, mark);
    on_pid(Spawned { pid, start_ticks: start_ticks(pid) });
    let mut exited = watch_exit(group.pid)?;

    let (mut stdout, mut stderr) = (Output::default(), Output::default());
    let mut is_timed_out = false;
    {
        let streams = async {
            let feed = feed(child.stdin.take(), stdin.as_deref());
            tokio::join!(stdout.fill(out, *output_max), stderr.fill(err, *output_max), feed);
        };
        tokio::pin!(streams);
        let mut is_drained = false;
        // A duration beyond the clock's end is no limit.
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let mut ends = Deadline(deadline);
        loop {
            tokio::select! {
                _ = &mut exited => break,
                () = &mut streams, if !is_drained => is_drained = true,
                () = ends.reached() => {
                    if is_timed_out {
                        break;
                    }
                    is_timed_out = true;
                    group.kill();
                    ends = Deadline(Instant::now().checked_add(KILL_WAIT));
                }
            }
        }
        if !is_drained {
            let _ = timeout(LINGER, streams).await;
        }
    }
    if is_timed_out {
        let wanted = group.wanted();
        // What has started others meanwhile is looked for until nothing is left.
        let _ = tokio::task::spawn_blocking(move || processes::end(&wanted, KILL_WAIT)).await;
    }
    let retcode = match child.try_wait()? {
        Some(status) => {
            group.forget();
            Some(retcode(status))
        }
        // Only a process that could not be killed yet.
        None => None,
    };
    Ok(Finished { pid, retcode: retcode.filter(|_| !is_timed_out), stdout, stderr })
}

/// As [`spawn`], and waits a moment for a program that is being put in place: until a process that
/// another thread starts has got to its own program, it holds open what this one was writing.
async fn spawn_free(launch: &Launch, mark: &str) -> io::Result<Started> {
    for _ in 0..BUSY_TRIES {
        match spawn(launch, mark) {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => sleep(BUSY_PAUSE).await,
            started => return started,
        }
    }
    spawn(launch, mark)
}

/// A child and the ends of its outputs that are read here.
type Started = (Child, Option<pipe::Receiver>, Option<pipe::Receiver>);

fn spawn(launch: &Launch, mark: &str) -> io::Result<Started> {
    let (out, out_writer) = io::pipe()?;
    let (err, err_writer) = if launch.is_merged {
        (None, out_writer.try_clone()?)
    } else {
        let (reader, writer) = io::pipe()?;
        (Some(reader), writer)
    };
    let (program, arguments) = launch
        .argv
        .split_first()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no command was given"))?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(&launch.cwd)
        .stdin(if launch.stdin.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(out_writer)
        .stderr(err_writer)
        .process_group(0);
    for name in &launch.env_remove {
        command.env_remove(name);
    }
    command.envs(launch.env.iter().map(|(name, value)| (name, value))).env(MARK, mark);
    let child = command.spawn()?;
    // The command holds the writing ends; with them open here the pipes would never end.
    drop(command);
    let receiver = |reader: io::PipeReader| pipe::Receiver::from_owned_fd(OwnedFd::from(reader));
    Ok((child, Some(receiver(out)?), err.map(receiver).transpose()?))
}

/// Writes the input and closes it. A process that does not want it is not an error.
async fn feed(pipe: Option<ChildStdin>, input: Option<&str>) {
    if let (Some(mut pipe), Some(input)) = (pipe, input) {
        let _ = pipe.write_all(input.as_bytes()).await;
    }
}

/// Says when a child has ended, without reaping it. A thread, since the system's way to be told
/// so without one (pidfd) is younger than the systems we run on.
fn watch_exit(pid: Pid) -> io::Result<oneshot::Receiver<()>> {
    let (tell, told) = oneshot::channel();
    std::thread::Builder::new().name("brine-wait".to_owned()).stack_size(64 * 1024).spawn(move || {
        while waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(Errno::EINTR) {}
        // Nobody listens any more when the call was dropped.
        let _ = tell.send(());
    })?;
    Ok(told)
}

/// Python's `returncode`: the exit code, or the negative number of the signal that ended it.
fn retcode(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| -signal)).unwrap_or(1)
}

/// A point in time that may never come.
struct Deadline(Option<Instant>);

impl Deadline {
    async fn reached(&self) {
        match self.0 {
            Some(at) => sleep_until(at).await,
            None => std::future::pending().await,
        }
    }
}

/// A mark that no other launch has until the next boot.
fn mark() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let pid = std::process::id();
    let start = start_ticks(pid).unwrap_or_default();
    format!("{pid}-{start}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The process group of a child that was not reaped yet, and all that has left it; killed when it
/// is dropped.
struct Group {
    pid: Pid,
    mark: String,
    is_ours: bool,
}

impl Group {
    fn of(pid: u32, mark: String) -> Self {
        let pid = i32::try_from(pid).expect("the kernel counts processes in positive i32");
        Self { pid: Pid::from_raw(pid), mark, is_ours: true }
    }

    fn wanted(&self) -> Wanted {
        let pid = self.pid.as_raw().cast_unsigned();
        Wanted {
            known: vec![Spawned { pid, start_ticks: start_ticks(pid) }],
            marks: vec![vec![format!("{MARK}={}", self.mark)]],
        }
    }

    fn kill(&self) {
        // First of all, while it can be seen who descends from whom.
        processes::end_once(&self.wanted());
        // It fails only when nobody is left to be killed.
        let _ = killpg(self.pid, Signal::SIGKILL);
    }

    /// The leader was reaped: from now on the number may become somebody else's.
    fn forget(mut self) {
        self.is_ours = false;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.is_ours {
            self.kill();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_output() {
        let output = |bytes: &[u8], is_cut| Output { bytes: bytes.to_vec(), is_cut }.text();
        assert_eq!(output(b"a\nb\n\n", false), "a\nb");
        assert_eq!(output(b"  a", false), "  a");
        assert_eq!(output(b"\xff\xfe!", false), "\u{fffd}\u{fffd}!");
        assert_eq!(output("aé".as_bytes(), true), "aé\n[brine: output cut at 3 bytes]");
        assert_eq!(output(&"aé".as_bytes()[..2], true), "a\n[brine: output cut at 2 bytes]");
        assert_eq!(output(&"aé".as_bytes()[..2], false), "a\u{fffd}");
    }

    #[test]
    fn retcodes_are_those_of_python() {
        assert_eq!(retcode(ExitStatus::from_raw(3 << 8)), 3);
        assert_eq!(retcode(ExitStatus::from_raw(9)), -9);
    }
}
