//! The process that watches over a target's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::child::{self, CURRENT, FOUND};

/// How long each target is fed, in milliseconds, unless `FUZZ_SECONDS` says otherwise: about
/// twenty seconds for all of them on two cores.
const MILLIS: u64 = 1300;

/// How long one input may take until nothing else is waited for.
const HANG_MILLIS: u64 = 10_000;

/// A run of one target.
pub struct Hunt {
    name: String,
    seed: u64,
    millis: u64,
    hang_millis: u64,
    faults: PathBuf,
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

/// What all chance follows from.
pub fn seed() -> u64 {
    number("FUZZ_SEED").unwrap_or(1)
}

/// How long each target is fed.
pub fn millis() -> u64 {
    number("FUZZ_SECONDS").map_or(MILLIS, |seconds| seconds * 1000)
}

impl Hunt {
    /// As the environment says.
    pub fn of(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            seed: seed(),
            millis: millis(),
            hang_millis: HANG_MILLIS,
            faults: Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz"),
        }
    }

    /// For a fault that is known to be there.
    pub fn planted(name: &str, faults: &Path) -> Self {
        Self { seed: 1, millis: 20_000, hang_millis: 2000, faults: faults.to_owned(), ..Self::of(name) }
    }

    /// For a target that has none.
    pub fn brief(self, millis: u64) -> Self {
        Self { millis, ..self }
    }

    /// Feeds the target. Gives what it cost, or what was found and how to see it again.
    pub fn run(&self) -> Result<String, String> {
        let scratch = scratch();
        let done = self.start(&scratch, None);
        let told = self.told(&done, &scratch);
        match done.status.success() {
            true => Ok(told),
            false => Err(format!("FUZZ_SEED={}: {told}", self.seed)),
        }
    }

    /// Feeds it one file.
    pub fn replay(&self, input: &Path) -> Result<String, String> {
        let scratch = scratch();
        let done = self.start(&scratch, Some(input));
        let told = self.told(&done, &scratch);
        if done.status.success() { Ok(told) } else { Err(told) }
    }

    fn start(&self, scratch: &TempDir, input: Option<&Path>) -> Output {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command
            .env("FUZZ_CHILD", &self.name)
            .env("FUZZ_SEED", self.seed.to_string())
            .env("FUZZ_MILLIS", self.millis.to_string())
            .env("FUZZ_HANG_MILLIS", self.hang_millis.to_string())
            .env("FUZZ_SCRATCH", scratch.path())
            .env("FUZZ_FAULTS", &self.faults)
            .env_remove("FUZZ_INPUT")
            .stdin(Stdio::null());
        if let Some(input) = input {
            command.env("FUZZ_INPUT", std::path::absolute(input).expect("a path"));
        }
        command.output().expect("this program can be started")
    }

    /// What the process said; when it could not say all, its last input is kept for it.
    fn told(&self, done: &Output, scratch: &TempDir) -> String {
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if done.status.success() {
            return said(&done.stdout);
        }
        if done.status.code() == Some(FOUND.into()) {
            return said(&done.stderr);
        }
        let framed = fs::read(scratch.path().join(CURRENT)).unwrap_or_default();
        let Some((length, rest)) = framed.split_first_chunk::<8>() else {
            return format!("{}: {} before any input: {}", self.name, done.status, said(&done.stderr));
        };
        let length = usize::try_from(u64::from_be_bytes(*length)).expect("a length");
        let file = child::save(&self.faults, &self.name, &rest[..length]);
        format!(
            "{}: its process ends with {}: {}\n{}",
            self.name,
            done.status,
            said(&done.stderr),
            child::replay(&self.name, &file)
        )
    }
}

fn scratch() -> TempDir {
    let builder = || {
        let mut builder = tempfile::Builder::new();
        builder.prefix("br");
        builder
    };
    builder().tempdir_in("/dev/shm").or_else(|_| builder().tempdir()).expect("a temporary folder")
}
