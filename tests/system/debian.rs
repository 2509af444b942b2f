//! A machine with a fresh Debian on it: a copy of a root that `debootstrap` made, with namespaces of
//! processes and mounts of its own, and this machine's network.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use brine_tests::{Done, Process, within};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::first::children;
use crate::run;

const SUITE: &str = "bookworm";

/// What is there beside the least that there can be, with commas between.
const PACKAGES: &str = "cron";

/// What a login of root has.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

static COPIES: AtomicUsize = AtomicUsize::new(0);

/// Where the roots are: with what was built, and gone with it.
fn folder() -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    exe.ancestors().nth(3).expect("tests lie in <target>/<profile>/deps").join("debian")
}

/// A command in namespaces of its own, which end with it, and it with the test: no process and no
/// mount of it is left behind, however it ends.
fn apart(words: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child"]);
    command.args(words);
    command
}

/// The root that all copies are made of. It has its name only once it is complete.
fn base() -> PathBuf {
    let folder = folder();
    fs::create_dir_all(&folder).unwrap();
    let lock = fs::File::create(folder.join("lock")).unwrap();
    let _held = Flock::lock(lock, FlockArg::LockExclusive).unwrap();
    remove_orphans(&folder);
    let version = run(&["debootstrap", "--version"]).expect(0).stdout.trim().replace(' ', "-");
    let base = folder.join(format!("{SUITE}-{version}-{PACKAGES}"));
    if base.exists() {
        return base;
    }
    let half = folder.join("half-made");
    if half.exists() {
        fs::remove_dir_all(&half).unwrap();
    }
    let root = half.to_str().unwrap();
    // What is run as root here is what Debian has signed.
    let include = format!("--include={PACKAGES}");
    let command = apart(&["debootstrap", "--force-check-gpg", "--variant=minbase", &include, SUITE, root]);
    let mut process = Process::start(command, &folder.join("debootstrap.log"));
    let ended = process.wait(900.0);
    assert!(ended.success(), "debootstrap failed, {ended}:\n{}", process.log());
    for cache in ["var/cache/apt", "var/lib/apt/lists"] {
        fs::remove_dir_all(half.join(cache)).unwrap();
    }
    fs::rename(&half, &base).unwrap();
    base
}

/// Removes the copies of test runs that were killed.
fn remove_orphans(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        let pid = name.strip_prefix("copy-").and_then(|rest| rest.split('-').next());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            fs::remove_dir_all(entry.path()).unwrap();
        }
    }
}

/// What tells whether somebody touched a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    is_folder: bool,
    file: (u64, u64),
    modified: (i64, i64),
}

/// A running machine, as little as there is of it.
pub(crate) struct Debian {
    root: PathBuf,
    init: Process,
}

impl Debian {
    pub(crate) fn boot() -> Self {
        let base = base();
        let number = COPIES.fetch_add(1, Ordering::Relaxed);
        let root = folder().join(format!("copy-{}-{number}", std::process::id()));
        run(&["cp", "-a", base.to_str().unwrap(), root.to_str().unwrap()]).expect(0);
        let command =
            apart(&["--mount-proc", "--wd=/", "--root", root.to_str().unwrap(), "tail", "-f", "/dev/null"]);
        let init = Process::start(command, &folder().join("init.log"));
        Self { root, init }
    }

    /// The first process of the machine, by its number here.
    fn first(&self) -> i32 {
        let is_tail =
            |pid: &i32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "tail\n");
        within(10.0, "the machine is up", || children(self.init.pid()).into_iter().find(is_tail))
    }

    /// A command line in the machine, as root has it after a login.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let first = self.first().to_string();
        let mut command = Command::new("nsenter");
        command.args([
            "--target",
            &first,
            "--mount",
            "--pid",
            "--root",
            "--wd",
            "env",
            "-i",
            "HOME=/root",
            PATH,
        ]);
        command.args(words);
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Done {
        Done::run(self.command(words))
    }

    /// Starts a daemon in the machine.
    pub(crate) fn start(&self, words: &[&str], log: &Path) -> Process {
        Process::start(self.command(words), log)
    }

    /// A file of the machine, seen from here.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    pub(crate) fn text(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_default()
    }

    /// Carries a file to the machine. Another process writes it: one that this process has open is busy,
    /// and not to be run, as long as another test's child has not got rid of what it inherited.
    pub(crate) fn carry(&self, file: &Path, path: &str, mode: u32) {
        let (mode, to) = (format!("{mode:o}"), self.path(path));
        run(&["install", "-m", &mode, file.to_str().unwrap(), to.to_str().unwrap()]).expect(0);
    }

    /// Writes a file in the machine.
    pub(crate) fn write(&self, path: &str, text: &str, mode: u32) {
        fs::write(self.path(path), text).unwrap();
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Every file of the machine.
    pub(crate) fn tree(&self) -> BTreeMap<String, Found> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                let path = entry.path();
                let meta = fs::symlink_metadata(&path).unwrap();
                if meta.is_dir() {
                    folders.push(path.clone());
                }
                let name = path.strip_prefix(&self.root).unwrap().to_str().unwrap().to_owned();
                let seen = Found {
                    mode: meta.mode() & 0o7777,
                    owner: (meta.uid(), meta.gid()),
                    is_folder: meta.is_dir(),
                    file: (meta.ino(), meta.len()),
                    modified: (meta.mtime(), meta.mtime_nsec()),
                };
                found.insert(name, seen);
            }
        }
        found
    }

    /// What is mounted in the copy as far as others see it: nothing.
    pub(crate) fn leaks(&self) -> Vec<String> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let root = self.root.to_str().unwrap();
        mounts.lines().filter(|line| line.contains(root)).map(str::to_owned).collect()
    }
}

impl Drop for Debian {
    fn drop(&mut self) {
        // With its first process the kernel ends all others, and `unshare` ends after them.
        for pid in children(self.init.pid()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.init.wait(10.0)));
        let removed = fs::remove_dir_all(&self.root);
        if !std::thread::panicking() {
            assert!(ended.is_ok() && removed.is_ok(), "the machine does not go: {removed:?}");
        }
    }
}

/// What is not as it was, by its path. A folder counts when it came, went, or has other rights: its
/// time changes whenever something in it was there for a while.
pub(crate) fn changed(before: &BTreeMap<String, Found>, now: &BTreeMap<String, Found>) -> Vec<String> {
    let is_same = |a: &Found, b: &Found| {
        (a.mode, a.owner, a.is_folder) == (b.mode, b.owner, b.is_folder) && (a.is_folder || a == b)
    };
    let came_or_changed =
        now.iter().filter(|(path, found)| !before.get(*path).is_some_and(|was| is_same(was, found)));
    let went = before.iter().filter(|(path, _)| !now.contains_key(*path));
    came_or_changed.chain(went).map(|(path, _)| path.clone()).collect()
}
