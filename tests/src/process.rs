//! Child processes: started with their log in a file, ended by their id, never left behind.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait::within;

/// A running program whose stderr goes to a file.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
    log_from: u64,
}

impl Process {
    /// Starts `command` with stdin closed and stdout and stderr appended to `log`.
    ///
    /// # Panics
    /// The program cannot be started.
    #[must_use]
    pub fn start(mut command: Command, log: &Path) -> Self {
        let file =
            File::options().create(true).append(true).open(log).expect("the fleet's folder is writable");
        let log_from = file.metadata().map_or(0, |m| m.len());
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("descriptors are left"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, log: log.to_owned(), log_from }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("process ids are small")
    }

    /// What this process has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        let mut text = Vec::new();
        if let Ok(mut file) = File::open(&self.log) {
            let _ = file.seek(SeekFrom::Start(self.log_from));
            let _ = file.read_to_end(&mut text);
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let _ = kill(Pid::from_raw(self.pid()), signal);
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Resident memory in KiB, from `/proc`.
    #[must_use]
    pub fn rss_kib(&self) -> u64 {
        rss_kib(self.pid())
    }

    /// Ends it as a crash would, and reaps it.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end (SIGTERM) and returns how it ended.
    ///
    /// # Panics
    /// It still runs after five seconds.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait(5.0)
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// It still runs after `seconds`.
    pub fn wait(&mut self, seconds: f64) -> ExitStatus {
        let what = format!("process {} ends", self.pid());
        within(seconds, &what, || self.child.try_wait().ok().flatten())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- {} ----\n{}", self.log.display(), self.log());
        }
        if self.is_alive() {
            // A stopped process cannot react; it must be able to end its own children first.
            self.signal(Signal::SIGCONT);
            self.signal(Signal::SIGTERM);
            let deadline = Instant::now() + Duration::from_secs(2);
            while self.is_alive() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        self.kill();
    }
}

/// Resident memory of a process in KiB; 0 when it is gone.
#[must_use]
pub fn rss_kib(pid: i32) -> u64 {
    fs::read_to_string(format!("/proc/{pid}/status"))
        .ok()
        .and_then(|status| {
            let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
            line.split_whitespace().nth(1)?.parse().ok()
        })
        .unwrap_or(0)
}

/// Whether a process with this id exists and is no zombie.
#[must_use]
pub fn exists(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')))
}

/// A program that has ended.
#[derive(Debug, Clone)]
pub struct Done {
    /// Its exit code; 128 + n when signal n ended it.
    pub code: i32,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Done {
    /// Runs a command to its end with stdin closed.
    ///
    /// # Panics
    /// It cannot be started, or still runs after 60 seconds.
    #[must_use]
    pub fn run(command: Command) -> Self {
        Self::run_with_input(command, "")
    }

    /// Runs a command to its end with this text on stdin.
    ///
    /// # Panics
    /// It cannot be started, or still runs after 60 seconds.
    #[must_use]
    pub fn run_with_input(mut command: Command, input: &str) -> Self {
        use std::io::Write;
        use std::os::unix::process::ExitStatusExt;
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        // A program that refuses its flags closes stdin unread; that is its right.
        let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
        let stdout = drain(child.stdout.take().expect("piped"));
        let stderr = drain(child.stderr.take().expect("piped"));
        let deadline = Instant::now() + Duration::from_secs(60);
        let status = loop {
            if let Some(status) = child.try_wait().expect("our own child") {
                break status;
            }
            if Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                panic!("{command:?} still runs after 60 s");
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        Self {
            code: status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
            stdout: stdout.join().expect("reading does not panic"),
            stderr: stderr.join().expect("reading does not panic"),
        }
    }

    /// The same, once the exit code is checked.
    ///
    /// # Panics
    /// The program ended with another code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "exit code; stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Stdout as JSON.
    ///
    /// # Panics
    /// It is none.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| {
            panic!("stdout is no JSON ({error}):\n{}\nstderr:\n{}", self.stdout, self.stderr)
        })
    }

    /// Checks that the program refused: a code other than 0, one or two lines on stderr that
    /// contain every given text, no panic, and nothing on stdout.
    ///
    /// # Panics
    /// It did something else.
    #[track_caller]
    pub fn refused(&self, code: i32, texts: &[&str]) {
        let said = &self.stderr;
        assert_eq!(self.code, code, "exit code; stderr:\n{said}");
        for text in texts {
            assert!(said.to_lowercase().contains(&text.to_lowercase()), "{text:?} is not in:\n{said}");
        }
        assert!(!said.contains("panicked") && !said.contains("RUST_BACKTRACE"), "{said}");
        // Salt says on stdout that nothing matched; nothing else of a refusal belongs there.
        assert!(
            self.stdout.is_empty() || self.stdout.starts_with("No minions matched the target."),
            "stdout of a refusal:\n{}",
            self.stdout
        );
    }
}

fn drain(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
