//! Detached jobs outlive their minion, and end once.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use brine_tests::binaries::program;
use brine_tests::fleet::{Fleet, job};
use brine_tests::minion::Minion;
use brine_tests::process::{Process, exists};
use brine_tests::wait::stays;
use brine_tests::{eventually, within};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

/// A command that counts its runs, tells its process and a stray one, waits for a file, and ends
/// with 3.
struct Work {
    folder: PathBuf,
}

impl Work {
    fn new(fleet: &Fleet, name: &str) -> Self {
        let folder = fleet.dir().join(name);
        fs::create_dir(&folder).unwrap();
        Self { folder }
    }

    fn script(&self) -> String {
        format!(
            "cd {}; echo ran >> runs; setsid sh -c 'echo $$ >> pids; exec sleep 1000' > /dev/null 2>&1 & \
             echo $$ >> pids; while [ ! -e release ]; do sleep 0.02; done; kill -9 $!; echo done; exit 3",
            self.folder.display()
        )
    }

    fn submit(&self, fleet: &Fleet, timeout_ms: Option<u64>) -> String {
        let mut request = job("m1", "cmd.run_all", &[json!(self.script())]);
        request["detach"] = json!(true);
        if let Some(limit) = timeout_ms {
            request["job_timeout_ms"] = json!(limit);
        }
        fleet.api().post("/v1/jobs", &request).expect(201).json()["jid"].as_str().unwrap().to_owned()
    }

    /// Its two processes, once they run.
    fn pids(&self) -> Vec<i32> {
        within(10.0, "the command tells its processes", || {
            let text = fs::read_to_string(self.folder.join("pids")).ok()?;
            let pids: Vec<i32> = text.lines().filter_map(|line| line.parse().ok()).collect();
            (pids.len() == 2).then_some(pids)
        })
    }

    fn release(&self) {
        fs::write(self.folder.join("release"), "").unwrap();
    }

    fn runs(&self) -> usize {
        fs::read_to_string(self.folder.join("runs")).map_or(0, |text| text.lines().count())
    }
}

fn folder(m1: &Minion, jid: &str) -> PathBuf {
    m1.root().join("var/lib/brine/minion/detached").join(jid)
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none())
}

/// The process that watches over a job: the one that was started for its folder.
fn supervisor(m1: &Minion, jid: &str) -> i32 {
    let folder = folder(m1, jid).display().to_string();
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let mut pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.find(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.trim_end() == format!("brine-minion supervise {folder}")
    })
    .expect("a supervisor")
}

#[track_caller]
fn assert_done(ending: &Value) {
    assert_eq!(ending["state"], "returned", "{ending}");
    assert_eq!((&ending["retcode"], &ending["value"]["stdout"]), (&json!(3), &json!("done")), "{ending}");
}

#[test]
fn a_detached_job_outlives_stop_crash_and_upgrade_and_ends_once() {
    let fleet = Fleet::start();
    let mut m1 = fleet.minion("m1");
    let work = Work::new(&fleet, "w");
    let jid = work.submit(&fleet, None);
    let pids = work.pids();

    let running = || fleet.brine(&["m1", "brine.running", "--out", "json", "--static"]).expect(0).json();
    let shown = running()["m1"][0].clone();
    assert_eq!((&shown["jid"], &shown["detached"]), (&json!(jid), &json!(true)), "{shown}");
    assert!(pids.contains(&i32::try_from(shown["pid"].as_i64().unwrap()).unwrap()), "{shown}");

    assert!(m1.process().stop().success());
    assert!(pids.iter().all(|pid| exists(*pid)));
    m1.start();
    fleet.until_back(&m1);
    let after = running()["m1"][0].clone();
    for field in ["jid", "fun", "pid", "user", "started", "detached"] {
        assert_eq!(after[field], shown[field], "{field}");
    }
    m1.kill();
    m1.start();
    fleet.until_back(&m1);
    m1.kill();
    let upgraded = fleet.dir().join("brine-minion-2");
    fs::copy(program("brine-minion"), &upgraded).unwrap();
    fs::set_permissions(&upgraded, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(&upgraded);
    command.env_remove("RUST_LOG").arg("--root-dir").arg(m1.root());
    m1.process = Some(Process::start(command, &fleet.dir().join("m1.log")));
    fleet.until_up("m1");
    assert!(pids.iter().all(|pid| exists(*pid)));
    assert_eq!(fleet.row(&jid, "m1")["ending"], Value::Null);

    // Replaced once more while it runs: what it starts is still itself.
    fs::remove_file(&upgraded).unwrap();
    let other = Work::new(&fleet, "o");
    let other_jid = other.submit(&fleet, None);
    other.pids();

    work.release();
    let ending = fleet.ending(&jid, "m1", 10.0);
    assert_done(&ending);
    other.release();
    assert_done(&fleet.ending(&other_jid, "m1", 10.0));
    eventually(5.0, "its files are removed", || is_empty(folder(&m1, &jid).parent().unwrap()));
    m1.kill();
    m1.start();
    fleet.until_back(&m1);
    let row = fleet.row(&jid, "m1");
    assert_eq!((&row["ending"], row["late"].as_array().map_or(0, Vec::len)), (&ending, 0));
    assert_eq!(work.runs(), 1);
}

#[test]
fn what_ended_while_no_minion_ran_is_told_by_the_next() {
    let fleet = Fleet::start();
    let mut m1 = fleet.minion("m1");
    let (work, limited) = (Work::new(&fleet, "w"), Work::new(&fleet, "l"));
    let jid = work.submit(&fleet, None);
    let limited_jid = limited.submit(&fleet, Some(2000));
    let (pids, limited_pids) = (work.pids(), limited.pids());
    m1.kill();
    work.release();
    eventually(10.0, "both have ended", || !pids.iter().chain(&limited_pids).any(|pid| exists(*pid)));
    for jid in [&jid, &limited_jid] {
        eventually(10.0, "its end is written down", || folder(&m1, jid).join("ending").exists());
    }
    m1.start();
    assert_done(&fleet.ending(&jid, "m1", 10.0));
    let ending = fleet.ending(&limited_jid, "m1", 10.0);
    assert_eq!(ending, json!({"state": "timed_out", "after_ms": 2000}));
    assert_eq!((work.runs(), limited.runs()), (1, 1));
}

#[test]
fn its_command_hears_signals_from_a_minion_that_did_not_start_it() {
    let fleet = Fleet::start();
    let mut m1 = fleet.minion("m1");
    let work = Work::new(&fleet, "w");
    let jid = work.submit(&fleet, None);
    let pids = work.pids();
    m1.kill();
    m1.start();
    fleet.until_back(&m1);
    fleet.brine(&["m1", "brine.signal_job", &jid, "15"]).expect(0);
    let ending = fleet.ending(&jid, "m1", 10.0);
    assert_eq!(
        (&ending["state"], &ending["value"]["retcode"]),
        (&json!("returned"), &json!(-15)),
        "{ending}"
    );
    // It ended by itself, and what it left behind is nobody's.
    for pid in pids.into_iter().filter(|pid| exists(*pid)) {
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }
}

#[test]
fn it_is_cancelled_by_a_minion_that_did_not_start_it() {
    let fleet = Fleet::start();
    let mut m1 = fleet.minion("m1");
    let work = Work::new(&fleet, "w");
    let jid = work.submit(&fleet, None);
    let pids = work.pids();
    m1.kill();
    m1.start();
    fleet.until_back(&m1);
    fleet.api().post(&format!("/v1/jobs/{jid}/kill"), &json!({})).expect(200);
    assert_eq!(fleet.ending(&jid, "m1", 10.0)["state"], "cancelled");
    assert!(!pids.iter().any(|pid| exists(*pid)), "{pids:?}");
}

#[test]
fn who_cancelled_it_is_known_though_the_minion_that_was_told_dies() {
    let fleet = Fleet::start();
    let mut m1 = fleet.minion("m1");
    let work = Work::new(&fleet, "w");
    let jid = work.submit(&fleet, None);
    let pids = work.pids();
    let supervisor = Pid::from_raw(supervisor(&m1, &jid));
    kill(supervisor, Signal::SIGSTOP).unwrap();
    fleet.api().post(&format!("/v1/jobs/{jid}/kill"), &json!({})).expect(200);
    eventually(10.0, "the supervisor is told to stop", || {
        let status = fs::read_to_string(format!("/proc/{supervisor}/status")).unwrap();
        let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:")).unwrap().trim();
        u64::from_str_radix(pending, 16).unwrap() & 1 << (Signal::SIGTERM as u64 - 1) != 0
    });
    m1.kill();
    kill(supervisor, Signal::SIGCONT).unwrap();
    m1.start();
    assert_eq!(fleet.ending(&jid, "m1", 10.0)["state"], "cancelled");
    assert!(!pids.iter().any(|pid| exists(*pid)), "{pids:?}");
}

#[test]
fn a_killed_supervisor_and_a_lost_journal_interrupt_it() {
    let fleet = Fleet::start();
    let mut m1 = fleet.minion("m1");
    let (seen, missed, lost) = (Work::new(&fleet, "s"), Work::new(&fleet, "m"), Work::new(&fleet, "l"));

    let jid = seen.submit(&fleet, None);
    let pids = seen.pids();
    kill(Pid::from_raw(supervisor(&m1, &jid)), Signal::SIGKILL).unwrap();
    let ending = fleet.ending(&jid, "m1", 10.0);
    assert_eq!(ending["state"], "interrupted", "{ending}");
    assert!(ending["why"].as_str().unwrap().contains("was killed"), "{ending}");
    assert!(!pids.iter().any(|pid| exists(*pid)), "{pids:?}");

    let jid = missed.submit(&fleet, None);
    let pids = missed.pids();
    let supervisor = supervisor(&m1, &jid);
    m1.kill();
    kill(Pid::from_raw(supervisor), Signal::SIGKILL).unwrap();
    m1.start();
    assert_eq!(fleet.ending(&jid, "m1", 10.0)["state"], "interrupted");
    assert!(!pids.iter().any(|pid| exists(*pid)), "{pids:?}");
    fleet.until_back(&m1);

    let jid = lost.submit(&fleet, None);
    let pids = lost.pids();
    m1.kill();
    fs::remove_file(m1.root().join("var/lib/brine/minion/journal")).unwrap();
    m1.start();
    assert_eq!(fleet.ending(&jid, "m1", 10.0)["state"], "interrupted");
    assert!(!pids.iter().any(|pid| exists(*pid)), "nobody would hear of it any more: {pids:?}");
    assert_eq!((seen.runs(), missed.runs(), lost.runs()), (1, 1, 1));
}

/// What starts a minion need not be a service manager: an init script that a detached job runs.
#[test]
fn a_minion_that_a_detached_job_starts_is_no_part_of_it() {
    let fleet = Fleet::start();
    let mut m1 = fleet.minion("m1");
    let pid = fleet.dir().join("pid");
    let script = format!(
        "kill -TERM {old}; while kill -0 {old} 2> /dev/null; do sleep 0.02; done; \
         (setsid {program} --root-dir {root} > {pid}.log 2>&1 & echo $! > {pid}); sleep 1000",
        old = m1.process().pid(),
        program = program("brine-minion").display(),
        root = m1.root().display(),
        pid = pid.display(),
    );
    let mut request = job("m1", "cmd.run", &[json!(script)]);
    request["detach"] = json!(true);
    let jid = fleet.api().post("/v1/jobs", &request).expect(201).json()["jid"].as_str().unwrap().to_owned();
    // The old one stays a zombie until somebody waits for it.
    assert!(m1.process().wait(10.0).success());
    let new: i32 =
        within(10.0, "the job starts another minion", || fs::read_to_string(&pid).ok()?.trim().parse().ok());
    eventually(10.0, "the new minion has the job", || {
        let running = fleet.brine(&["m1", "brine.running", "--out", "json", "--static"]);
        exists(new) && running.stdout.contains(&jid)
    });
    fleet.api().post(&format!("/v1/jobs/{jid}/kill"), &json!({})).expect(200);
    assert_eq!(fleet.ending(&jid, "m1", 10.0)["state"], "cancelled");
    fleet.ping("m1");
    assert!(exists(new));
    kill(Pid::from_raw(new), Signal::SIGTERM).unwrap();
    eventually(10.0, "it stops", || !exists(new));
}

#[test]
fn a_reboot_interrupts_it() {
    let fleet = Fleet::start();
    let mut m1 = fleet.prepare_minion("m1");
    // In place of the kernel's.
    let boot = m1.root().join("proc/sys/kernel/random/boot_id");
    fs::create_dir_all(boot.parent().unwrap()).unwrap();
    fs::write(&boot, "boot-1\n").unwrap();
    m1.start();
    fleet.until_key(&m1, "pending");
    fleet.act("accept", "m1", &m1.fingerprint());
    fleet.until_back(&m1);
    let work = Work::new(&fleet, "w");
    let jid = work.submit(&fleet, None);
    let pids = work.pids();
    m1.kill();
    fs::write(&boot, "boot-2\n").unwrap();
    m1.start();
    let why = "the machine rebooted while the detached job ran";
    assert_eq!(fleet.ending(&jid, "m1", 10.0), json!({"state": "interrupted", "why": why}));
    assert!(!pids.iter().any(|pid| exists(*pid)), "{pids:?}");
}

#[test]
fn modules_of_ones_own_are_detached_as_well() {
    let fleet = Fleet::start();
    let mut m1 = fleet.minion("m1");
    let (release, begun) = (fleet.dir().join("release"), fleet.dir().join("begun"));
    let module = m1.root().join("var/lib/brine/minion/modules/slow");
    let program = format!(
        "#!/bin/sh\nif [ $1 = describe ]; then echo '{{\"functions\": {{\"id\": {{\"doc\": \"Waits.\"}}}}}}'; exit; fi\n\
         input=$(cat); : > {}; while [ ! -e {} ]; do sleep 0.02; done\n\
         echo \"{{\\\"return\\\": $input}}\"\n",
        begun.display(),
        release.display()
    );
    fs::create_dir_all(module.parent().unwrap()).unwrap();
    fs::set_permissions(module.parent().unwrap(), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(&module, program).unwrap();
    fs::set_permissions(&module, fs::Permissions::from_mode(0o700)).unwrap();
    let mut request = job("m1", "slow.id", &[]);
    request["detach"] = json!(true);
    let jid = fleet.api().post("/v1/jobs", &request).expect(201).json()["jid"].as_str().unwrap().to_owned();
    eventually(10.0, "it has begun", || begun.exists());
    m1.kill();
    m1.start();
    fleet.until_back(&m1);
    fs::write(&release, "").unwrap();
    let ending = fleet.ending(&jid, "m1", 10.0);
    assert_eq!(ending["value"]["id"], "m1", "{ending}");
    assert!(ending["value"]["grains"]["os"].is_string(), "{ending}");
}

#[test]
fn brine_detaches_and_refuses_what_cannot_be() {
    let fleet = Fleet::start();
    let mut m1 = fleet.minion("m1");
    let work = Work::new(&fleet, "w");
    let line = ["--detach", "--async", "m1", "cmd.run", &work.script()];
    let said = fleet.brine(&line).expect(0).stdout;
    let jid = said.trim_end().rsplit(' ').next().unwrap().to_owned();
    work.pids();
    assert!(fleet.brine(&["jobs", "show", &jid]).expect(0).stdout.contains("detached:"));
    assert!(m1.process().stop().success());
    work.release();
    stays(0.2, "nobody tells its end", || fleet.row(&jid, "m1")["ending"] == Value::Null);
    m1.start();
    let ending = fleet.ending(&jid, "m1", 10.0);
    assert_eq!((&ending["retcode"], &ending["value"]), (&json!(3), &json!("done")), "{ending}");

    let refused = fleet.brine(&["--detach", "m1", "test.ping"]);
    assert!(refused.stdout.contains("test.ping cannot be detached: only cmd.*"), "{refused:?}");
}
