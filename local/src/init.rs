//! Being the first process of a container.
//!
//! The kernel gives the first process duties that no daemon expects: every orphan becomes its
//! child and stays a zombie until it is waited for, and waiting for just any child would take
//! away the ends of those that the daemon itself waits for. So the first process does nothing
//! but that, and the daemon is its child: signals are passed on, orphans are buried, and when the
//! daemon ends the first process ends the same way, and with it all that is left.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// What is passed on.
const PASSED: [Signal; 6] =
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2];

/// Serves as first process, if this is one, and gives the daemon's exit code when that has ended.
/// None for any other process, which goes on as if nothing had been asked, but hears no SIGHUP
/// before [`hear_hangups`]. To be called before anything else: there must be no other thread.
#[must_use]
pub fn serve() -> Option<ExitCode> {
    let mut signals = signals();
    if nix::unistd::getpid() != Pid::from_raw(1) {
        // The first process has blocked them, and its child is born so. Nothing else that blocks
        // them is meant for a daemon.
        signals.remove(Signal::SIGHUP);
        let _ = signals.thread_unblock();
        // Reloads what is not loaded yet: no reason to die, as it would where nobody listens.
        let _ = SigSet::from(Signal::SIGHUP).thread_block();
        return None;
    }
    match start(&signals) {
        Ok(child) => Some(ExitCode::from(attend(child, &signals))),
        Err(error) => {
            // It can serve all the same; only orphans would stay.
            eprintln!("cannot start a second process, zombies of orphans will stay: {error}");
            None
        }
    }
}

/// Lets SIGHUP in, one that has come since the start as well. To be called once it is listened to,
/// or by a program that does not, and before any other thread is made: threads and processes are
/// born with what their maker blocks.
pub fn hear_hangups() {
    let _ = SigSet::from(Signal::SIGHUP).thread_unblock();
}

fn signals() -> SigSet {
    PASSED.into_iter().chain([Signal::SIGCHLD]).collect()
}

/// Starts this very program once more, with what was given to it.
fn start(signals: &SigSet) -> io::Result<Pid> {
    let mut arguments = std::env::args_os();
    let mut command = Command::new(std::env::current_exe()?);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    // Blocked signals wait for us, even those that a first process never gets otherwise.
    signals.thread_block()?;
    match command.args(arguments).spawn() {
        Ok(child) => Ok(Pid::from_raw(child.id().cast_signed())),
        Err(error) => {
            signals.thread_unblock()?;
            Err(error)
        }
    }
}

/// Passes on and buries until the child has ended. Gives its exit code as a shell would.
fn attend(child: Pid, signals: &SigSet) -> u8 {
    loop {
        match signals.wait() {
            Ok(Signal::SIGCHLD) => {
                if let Some(code) = bury(child) {
                    return code;
                }
            }
            Ok(signal) => {
                // It fails only when the child has just ended, which is told next.
                let _ = kill(child, signal);
            }
            Err(_) => {}
        }
    }
}

/// Waits for all that have ended; one signal may stand for many of them.
fn bury(child: Pid) -> Option<u8> {
    let mut code = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, status)) if pid == child => {
                code = Some(u8::try_from(status & 0xff).expect("masked to a byte"));
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => {
                code = Some(128_u8.saturating_add(u8::try_from(signal as i32).unwrap_or(127)));
            }
            Ok(WaitStatus::StillAlive) => return code,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return code,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_other_process_goes_on_and_hears_hangups_later() {
        let blocked = || SigSet::thread_get_mask().unwrap();
        signals().thread_block().unwrap();
        assert!(serve().is_none());
        assert_eq!(blocked().iter().collect::<Vec<_>>(), [Signal::SIGHUP]);
        hear_hangups();
        assert_eq!(blocked(), SigSet::empty());
    }
}
