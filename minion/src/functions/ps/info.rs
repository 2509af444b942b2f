//! What `/proc` tells about one process, in the words of Salt's `psutil`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use procfs::ProcError;
use procfs::process::{FDTarget, ProcState, Process, Stat};
use serde_json::{Map, Value, json};

use super::super::Fault;
use crate::grains::user_name;

/// Everything that can be asked for.
pub(super) const ATTRIBUTES: [&str; 25] = [
    "cmdline",
    "cpu_affinity",
    "cpu_num",
    "cpu_times",
    "create_time",
    "cwd",
    "environ",
    "exe",
    "gids",
    "io_counters",
    "memory_info",
    "memory_percent",
    "name",
    "nice",
    "num_ctx_switches",
    "num_fds",
    "num_threads",
    "open_files",
    "pid",
    "ppid",
    "status",
    "terminal",
    "threads",
    "uids",
    "username",
];

/// Names of users, from `/etc/passwd` alone: a directory service may not answer.
#[derive(Debug, Default)]
pub(in crate::functions) struct Users {
    passwd: String,
    known: BTreeMap<u32, String>,
}

impl Users {
    pub(in crate::functions) fn read() -> Self {
        let bytes = std::fs::read("/etc/passwd").unwrap_or_default();
        Self { passwd: String::from_utf8_lossy(&bytes).into_owned(), known: BTreeMap::new() }
    }

    /// The user's name; the number of one that is not listed.
    pub(in crate::functions) fn name(&mut self, uid: u32) -> String {
        self.known.entry(uid).or_insert_with(|| user_name(&self.passwd, uid)).clone()
    }
}

/// The asked attributes of a process.
pub(super) fn about(pid: i32, names: &[String]) -> Result<Value, Fault> {
    let gone = |error: ProcError| match error {
        ProcError::NotFound(_) => Fault::Execution(format!("no process has the number {pid}")),
        error => Fault::Execution(format!("process {pid} cannot be looked into: {error}")),
    };
    let process = Process::new(pid).map_err(gone)?;
    let stat = process.stat().map_err(gone)?;
    let mut users = Users::read();
    let shown = names.iter().map(|name| (name.clone(), attribute(&process, &stat, name, &mut users)));
    Ok(Value::Object(shown.collect()))
}

/// One attribute; null for what may not be known.
fn attribute(process: &Process, stat: &Stat, name: &str, users: &mut Users) -> Value {
    let path = |found: Result<PathBuf, ProcError>| found.ok().map(|path| path.display().to_string());
    let status = || process.status().ok();
    match name {
        "cmdline" => json!(process.cmdline().unwrap_or_default()),
        "cpu_affinity" => json!(status().and_then(|s| s.cpus_allowed_list).map(|ranges| {
            // As many as a kernel can have.
            ranges.iter().flat_map(|(first, last)| *first..=(*last).min(first + 8191)).collect::<Vec<u32>>()
        })),
        "cpu_num" => json!(stat.processor),
        "cpu_times" => Value::Array(cpu_times(stat).into_iter().map(|(_, seconds)| seconds).collect()),
        "create_time" => json!(create_time(stat)),
        "cwd" => json!(path(process.cwd())),
        "environ" => json!(process.environ().ok().map(|variables| {
            let text = |text: &std::ffi::OsString| text.to_string_lossy().into_owned();
            variables.iter().map(|(name, value)| (text(name), json!(text(value)))).collect::<Map<_, _>>()
        })),
        "exe" => json!(path(process.exe())),
        "gids" => json!(status().map(|s| [s.rgid, s.egid, s.sgid])),
        "io_counters" => json!(process.io().ok().map(|io| [
            io.syscr,
            io.syscw,
            io.read_bytes,
            io.write_bytes,
            io.rchar,
            io.wchar
        ])),
        "memory_info" => json!(memory(process).map(|fields| fields.map(|(_, bytes)| bytes))),
        "memory_percent" => json!(memory(process).zip(total_memory()).map(|(fields, total)| {
            let [(_, rss), ..] = fields;
            rss as f64 / total.max(1) as f64 * 100.0
        })),
        "name" => json!(stat.comm),
        "nice" => json!(stat.nice),
        "num_ctx_switches" => {
            json!(status().map(|s| [s.voluntary_ctxt_switches, s.nonvoluntary_ctxt_switches]))
        }
        "num_fds" => json!(process.fd_count().ok()),
        "num_threads" => json!(stat.num_threads),
        "open_files" => json!(open_files(process)),
        "pid" => json!(stat.pid),
        "ppid" => json!(stat.ppid),
        "status" => json!(state(stat)),
        "terminal" => json!(terminal(stat)),
        "threads" => json!(threads(process)),
        "uids" => json!(status().map(|s| [s.ruid, s.euid, s.suid])),
        "username" => json!(status().map(|s| users.name(s.ruid))),
        _ => Value::Null,
    }
}

/// How long a process has computed, in seconds.
pub(super) fn cpu_times(stat: &Stat) -> [(&'static str, Value); 5] {
    let seconds = |ticks: i64| json!(ticks as f64 / procfs::ticks_per_second() as f64);
    let own = |ticks: u64| seconds(i64::try_from(ticks).unwrap_or(i64::MAX));
    [
        ("user", own(stat.utime)),
        ("system", own(stat.stime)),
        ("children_user", seconds(stat.cutime)),
        ("children_system", seconds(stat.cstime)),
        ("iowait", own(stat.delayacct_blkio_ticks.unwrap_or(0))),
    ]
}

/// What memory a process has, in bytes.
pub(super) fn memory(process: &Process) -> Option<[(&'static str, u64); 7]> {
    let pages = process.statm().ok()?;
    let bytes = |pages: u64| pages.saturating_mul(procfs::page_size());
    Some([
        ("rss", bytes(pages.resident)),
        ("vms", bytes(pages.size)),
        ("shared", bytes(pages.shared)),
        ("text", bytes(pages.text)),
        ("lib", bytes(pages.lib)),
        ("data", bytes(pages.data)),
        ("dirty", bytes(pages.dt)),
    ])
}

/// When a process was started, in seconds since 1970.
pub(super) fn create_time(stat: &Stat) -> Option<f64> {
    let boot = procfs::boot_time_secs().ok()?;
    Some(boot as f64 + stat.starttime as f64 / procfs::ticks_per_second() as f64)
}

/// The memory of the machine, in bytes.
pub(super) fn total_memory() -> Option<u64> {
    procfs::Current::current().ok().map(|memory: procfs::Meminfo| memory.mem_total)
}

pub(super) fn state(stat: &Stat) -> &'static str {
    match stat.state() {
        Ok(ProcState::Running) => "running",
        Ok(ProcState::Sleeping) => "sleeping",
        Ok(ProcState::Waiting) => "disk-sleep",
        Ok(ProcState::Zombie) => "zombie",
        Ok(ProcState::Stopped) => "stopped",
        Ok(ProcState::Tracing) => "tracing-stop",
        Ok(ProcState::Dead) => "dead",
        Ok(ProcState::Wakekill) => "wake-kill",
        Ok(ProcState::Waking) => "waking",
        Ok(ProcState::Parked) => "parked",
        Ok(ProcState::Idle) => "idle",
        Err(_) => "unknown",
    }
}

fn terminal(stat: &Stat) -> Option<String> {
    match stat.tty_nr() {
        (136..=143, number) => Some(format!("/dev/pts/{number}")),
        (4, number @ 64..) => Some(format!("/dev/ttyS{}", number - 64)),
        (4, number) => Some(format!("/dev/tty{number}")),
        _ => None,
    }
}

/// Files and folders that are open: path, descriptor.
fn open_files(process: &Process) -> Option<Vec<Value>> {
    let files = process.fd().ok()?.flatten().filter_map(|file| match file.target {
        FDTarget::Path(path) if path.is_absolute() && !path.starts_with("/dev") => {
            Some(json!([path.display().to_string(), file.fd]))
        }
        _ => None,
    });
    Some(files.collect())
}

/// Threads: number, seconds in user mode, seconds in the kernel.
fn threads(process: &Process) -> Option<Vec<Value>> {
    let tasks = process.tasks().ok()?.flatten().filter_map(|task| {
        let stat = task.stat().ok()?;
        let [(_, user), (_, system), ..] = cpu_times(&stat);
        Some(json!([task.tid, user, system]))
    });
    Some(tasks.collect())
}
