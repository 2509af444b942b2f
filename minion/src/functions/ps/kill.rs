//! Signals to processes, and finding those that are meant.

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use procfs::process::{Process, all_processes};
use regex::{Regex, RegexBuilder};
use serde_json::{Value, json};

use super::super::bind::Bound;
use super::super::file::blocking;
use super::super::{Fault, Outcome};
use super::{Users, take_pid};

pub(super) async fn kill_pid(mut bound: Bound) -> Result<Outcome, Fault> {
    let (pid, signal) = (take_pid(&mut bound)?, take_signal(&mut bound)?);
    if pid <= 1 {
        return Err(Fault::Execution(format!(
            "process {pid} is never sent a signal: the machine rests on it"
        )));
    }
    if is_minion(pid) {
        let why = format!("process {pid} is the minion itself, which ends by its service manager only");
        return Err(Fault::Execution(why));
    }
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) => Ok(Outcome::from(true)),
        Err(Errno::ESRCH) => Ok(Outcome::from(false)),
        Err(error) => {
            Err(Fault::Execution(format!("process {pid} cannot be sent {signal}: {}", error.desc())))
        }
    }
}

pub(super) async fn pgrep(mut bound: Bound) -> Result<Outcome, Fault> {
    let is_regex = bound.flag("pattern_is_regex")?;
    let search = Search::read(&mut bound, is_regex)?;
    blocking(move |_| {
        let found = search.pids();
        Ok(Outcome::from(if found.is_empty() { Value::Null } else { json!(found) }))
    })
    .await
}

pub(super) async fn pkill(mut bound: Bound) -> Result<Outcome, Fault> {
    let signal = take_signal(&mut bound)?;
    let search = Search::read(&mut bound, false)?;
    blocking(move |_| {
        let mut killed = search.pids();
        killed.retain(|pid| *pid > 1 && !is_minion(*pid) && kill(Pid::from_raw(*pid), signal) == Ok(()));
        Ok(Outcome::from(if killed.is_empty() { Value::Null } else { json!({"killed": killed}) }))
    })
    .await
}

/// Whether this is the minion: a signal to any of its threads reaches the whole process.
fn is_minion(pid: i32) -> bool {
    let own = i32::try_from(std::process::id()).expect("the kernel counts processes in positive i32");
    pid == own
        || Process::new(pid).and_then(|process| process.status()).is_ok_and(|status| status.tgid == own)
}

fn take_signal(bound: &mut Bound) -> Result<Signal, Fault> {
    let written = bound.text("signal")?;
    parse_signal(&written).ok_or_else(|| {
        Fault::Invocation(format!(
            "'signal' needs the number or the name of a signal, as 15 or TERM, not {written:?}"
        ))
    })
}

/// A number, or a name with or without `SIG` in any case.
fn parse_signal(written: &str) -> Option<Signal> {
    if let Ok(number) = written.parse::<i32>() {
        return Signal::try_from(number).ok();
    }
    let name = written.to_ascii_uppercase();
    let name = if name.starts_with("SIG") { name } else { format!("SIG{name}") };
    name.parse().ok()
}

/// Which processes are meant.
struct Search {
    pattern: Pattern,
    user: Option<String>,
    is_full: bool,
}

enum Pattern {
    Text(String),
    Regex(Regex),
}

impl Search {
    fn read(bound: &mut Bound, is_regex: bool) -> Result<Self, Fault> {
        let written = bound.text("pattern")?;
        let pattern = if is_regex {
            let regex = RegexBuilder::new(&written).size_limit(1 << 20).build();
            Pattern::Regex(regex.map_err(|error| {
                let why = error.to_string();
                let last = why.lines().last().unwrap_or_default();
                Fault::Invocation(format!("'pattern' is no regular expression: {last}"))
            })?)
        } else {
            Pattern::Text(written)
        };
        Ok(Self { pattern, user: bound.maybe_text("user")?, is_full: bound.flag("full")? })
    }

    fn pids(&self) -> Vec<i32> {
        let mut users = Users::read();
        let mut found: Vec<i32> = all_processes()
            .into_iter()
            .flatten()
            .flatten()
            .filter(|process| self.means(process, &mut users).unwrap_or(false))
            .map(|process| process.pid)
            .collect();
        found.sort_unstable();
        found
    }

    /// None for a process that ended while we looked.
    fn means(&self, process: &Process, users: &mut Users) -> Option<bool> {
        if let Some(user) = &self.user
            && users.name(process.status().ok()?.ruid) != *user
        {
            return Some(false);
        }
        let name = if self.is_full { process.cmdline().ok()?.join(" ") } else { process.stat().ok()?.comm };
        Some(match &self.pattern {
            Pattern::Text(text) => name.contains(text.as_str()),
            Pattern::Regex(regex) => regex.is_match(&name),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_by_number_and_name() {
        for (written, expected) in [
            ("15", Some(Signal::SIGTERM)),
            ("TERM", Some(Signal::SIGTERM)),
            ("sigkill", Some(Signal::SIGKILL)),
            ("HUP", Some(Signal::SIGHUP)),
            ("0", None),
            ("99", None),
            ("-9", None),
            ("", None),
        ] {
            assert_eq!(parse_signal(written), expected, "{written}");
        }
    }

    #[test]
    fn the_minions_threads_are_the_minion() {
        let tid = nix::unistd::gettid().as_raw();
        assert!(is_minion(tid) && is_minion(std::process::id().cast_signed()));
        assert!(!is_minion(1) && !is_minion(i32::MAX));
    }
}
