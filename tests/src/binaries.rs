//! Where the programs under test are.
//!
//! A test crate gets no `CARGO_BIN_EXE_…` of other packages. The programs lie two folders above
//! the running test, and are built (or brought up to date) once per run, so that a plain
//! `cargo test` on a fresh clone works and never tests yesterday's binaries. `BRINE_BIN_DIR`
//! names a folder of ready programs instead; `make test` sets it after its own build.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use nix::fcntl::{Flock, FlockArg};

static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// The path of one program: `brine-master`, `brine-minion`, `brine`, `brine-key`.
///
/// # Panics
/// It is not there and cannot be built.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let path = FOLDER.get_or_init(folder).join(name);
    assert!(
        path.is_file(),
        "{} is missing; run `make build PROFILE=…` or unset BRINE_BIN_DIR",
        path.display()
    );
    path
}

fn folder() -> PathBuf {
    if let Some(folder) = std::env::var_os("BRINE_BIN_DIR") {
        return folder.into();
    }
    let exe = std::env::current_exe().expect("a running test knows its file");
    let folder = exe.ancestors().nth(2).expect("tests lie in <target>/<profile>/deps").to_owned();
    build_once(&folder);
    folder
}

/// Builds under a lock, once per nextest run (each test is a process there) or test process.
fn build_once(folder: &Path) {
    let lock = File::create(folder.join(".brine-tests.lock")).expect("the build folder is writable");
    let _held = Flock::lock(lock, FlockArg::LockExclusive).expect("locks work in the build folder");
    let run = std::env::var("NEXTEST_RUN_ID").ok();
    let stamp = folder.join(".brine-tests.built");
    if run.is_some() && fs::read_to_string(&stamp).ok() == run {
        return;
    }
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    // The same selection as the tests' own build, so that features unify alike and only the
    // programs are linked.
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--workspace", "--bins", "--tests", "--profile", profile])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .env("CARGO_TARGET_DIR", folder.parent().expect("profiles lie in a target folder"))
        .status()
        .expect("cargo runs");
    assert!(status.success(), "the programs do not build; run `cargo build --workspace` to see why");
    if let Some(run) = run {
        fs::write(stamp, run).expect("the build folder is writable");
    }
}
