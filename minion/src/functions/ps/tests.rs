use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::super::testing::{assert_shape, call, context, returned};

async fn value(function: &str, arguments: Value, keywords: Value) -> Value {
    let result = returned(&[call(function, arguments, keywords)], &context()).await;
    assert_eq!(result.retcode, 0, "{function}: {}", result.value);
    assert_shape(function, &result.value);
    result.value
}

async fn error(function: &str, arguments: Value) -> String {
    let result = returned(&[call(function, arguments, json!({}))], &context()).await;
    assert_eq!(result.retcode, 1, "{}", result.value);
    result.value.as_str().unwrap().to_owned()
}

/// A process of ours that ends with the test.
struct Sleeper(Child);

impl Sleeper {
    fn start(name: &str) -> Self {
        let sleeper = Self(Command::new("sleep").arg0(name).arg("600").spawn().unwrap());
        let file = format!("/proc/{}/cmdline", sleeper.pid());
        let end = Instant::now() + Duration::from_secs(10);
        // Name and arguments are the new program's a moment after it was started.
        while !std::fs::read_to_string(&file).unwrap().starts_with(name) {
            assert!(Instant::now() < end, "{name} does not run");
            std::thread::yield_now();
        }
        sleeper
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn signal(mut self) -> Option<i32> {
        std::os::unix::process::ExitStatusExt::signal(&self.0.wait().unwrap())
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_busy_process_is_on_top() {
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let busy = std::sync::Arc::clone(&stop);
    let work = std::thread::spawn(move || {
        while !busy.load(std::sync::atomic::Ordering::Relaxed) {
            std::hint::spin_loop();
        }
    });
    let idle = Sleeper::start("brine-test-idle");
    let all = value("ps.top", json!([0, 1]), json!({})).await;
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    work.join().unwrap();
    let all = all.as_array().unwrap();
    let place = |pid: u32| all.iter().position(|entry| entry["pid"] == pid).unwrap();
    // Whatever else is busy here may be before it.
    assert!(place(std::process::id()) < place(idle.pid()));
    let ours = &all[place(std::process::id())];
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    // The kernel tells the second of its boot only.
    assert!((-2.0..3600.0).contains(&(now - ours["create_time"].as_f64().unwrap())), "{now} {ours}");
    assert!(ours["cpu"]["user"].as_f64().unwrap() > 0.0 && ours["mem"]["rss"].as_u64().unwrap() > 1 << 20);
    assert!(ours["cmd"][0].as_str().unwrap().contains("brine_minion"), "{ours}");
    assert_eq!(
        value("ps.top", json!([]), json!({"num_processes": 2, "interval": 0}))
            .await
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert!(error("ps.top", json!([-1])).await.contains("'num_processes' needs a whole number"));
    assert!(error("ps.top", json!([1, 4000])).await.contains("'interval' needs a number of seconds"));
}

#[tokio::test]
async fn what_there_is_to_know_about_a_process() {
    let sleeper = Sleeper::start("brine-test-info");
    let pid = sleeper.pid();
    let all = value("ps.proc_info", json!([pid]), json!({})).await;
    assert_eq!(all["name"], "sleep");
    assert_eq!(all["cmdline"], json!(["brine-test-info", "600"]));
    assert_eq!((&all["pid"], &all["ppid"]), (&json!(pid), &json!(std::process::id())));
    let uid = nix::unistd::geteuid().as_raw();
    assert_eq!(all["uids"], json!([uid, uid, uid]));
    assert_eq!(all["threads"].as_array().unwrap().len(), 1);
    assert!(all.get("environ").is_none(), "secrets only for who asks for them");
    let some = value("ps.proc_info", json!([pid]), json!({"attrs": ["name", "environ", "exe"]})).await;
    assert_eq!(some.as_object().unwrap().keys().collect::<Vec<_>>(), ["name", "environ", "exe"]);
    assert!(some["environ"]["PATH"].is_string() && some["exe"].as_str().unwrap().starts_with('/'), "{some}");
    let wrong = error("ps.proc_info", json!([pid, ["nme"]])).await;
    assert!(wrong.contains("no attribute is called \"nme\"; there are cmdline, "), "{wrong}");
    let gone = error("ps.proc_info", json!([i32::MAX])).await;
    assert_eq!(gone, format!("ERROR: no process has the number {}", i32::MAX));
    assert!(error("ps.proc_info", json!(["x"])).await.contains("'pid' needs the number of a process"));
}

#[tokio::test]
async fn processes_are_listed_and_found() {
    let sleeper = Sleeper::start("brine-test-find-me");
    let pids = value("ps.get_pid_list", json!([]), json!({})).await;
    let pids = pids.as_array().unwrap();
    assert!([1, std::process::id(), sleeper.pid()].iter().all(|pid| pids.contains(&json!(pid))));
    let full = json!({"full": true});
    let found = value("ps.pgrep", json!(["brine-test-find-me"]), full).await;
    assert_eq!(found, json!([sleeper.pid()]));
    let own = json!({"full": true, "pattern_is_regex": true, "user": "nobody-of-that-name"});
    assert_eq!(value("ps.pgrep", json!(["brine-test-find-.e"]), own).await, Value::Null);
    let regex = json!({"full": true, "pattern_is_regex": true});
    assert_eq!(value("ps.pgrep", json!(["^brine-test-find-.e 6"]), regex).await, json!([sleeper.pid()]));
    let bad =
        returned(&[call("ps.pgrep", json!(["("]), json!({"pattern_is_regex": true}))], &context()).await;
    assert!(bad.value.as_str().unwrap().contains("'pattern' is no regular expression"), "{}", bad.value);
}

#[tokio::test]
async fn signals_reach_processes_but_never_the_minion() {
    let sleeper = Sleeper::start("brine-test-kill");
    assert_eq!(value("ps.kill_pid", json!([sleeper.pid()]), json!({})).await, true);
    assert_eq!(sleeper.signal(), Some(15));
    let sleeper = Sleeper::start("brine-test-kill");
    assert_eq!(value("ps.kill_pid", json!([sleeper.pid(), "KILL"]), json!({})).await, true);
    assert_eq!(sleeper.signal(), Some(9));
    assert_eq!(value("ps.kill_pid", json!([i32::MAX]), json!({})).await, false);

    for pid in [0, 1] {
        let why = format!("ERROR: process {pid} is never sent a signal: the machine rests on it");
        assert_eq!(error("ps.kill_pid", json!([pid])).await, why);
    }
    let own = std::process::id();
    let why = format!("ERROR: process {own} is the minion itself, which ends by its service manager only");
    assert_eq!(error("ps.kill_pid", json!([own])).await, why);
    assert!(error("ps.kill_pid", json!([-5])).await.contains("'pid' needs the number of a process"));
    assert!(error("ps.kill_pid", json!([2, "NOPE"])).await.contains("'signal' needs the number or the name"));
}

#[tokio::test]
async fn all_of_a_name_are_signalled() {
    let sleepers = [Sleeper::start("brine-test-pkill"), Sleeper::start("brine-test-pkill")];
    let pids = sleepers.each_ref().map(Sleeper::pid);
    let full = json!({"full": true, "signal": 9});
    let killed = value("ps.pkill", json!(["brine-test-pkill"]), full.clone()).await;
    let mut sorted = pids;
    sorted.sort_unstable();
    assert_eq!(killed, json!({"killed": sorted}));
    assert_eq!(sleepers.map(Sleeper::signal), [Some(9), Some(9)]);
    assert_eq!(value("ps.pkill", json!(["brine-test-no-such"]), full).await, Value::Null);
}

#[tokio::test]
async fn facts_of_the_machine() {
    let memory = value("ps.total_physical_memory", json!([]), json!({})).await.as_u64().unwrap();
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap();
    let kib: u64 = meminfo.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert_eq!(memory, kib * 1024);
    let stat = std::fs::read_to_string("/proc/stat").unwrap();
    let cpus = stat.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu ")).count();
    assert_eq!(value("ps.num_cpus", json!([]), json!({})).await, cpus);
    let boot = value("ps.boot_time", json!([]), json!({})).await;
    assert!(stat.lines().any(|line| line == format!("btime {boot}")));
    let year = value("ps.boot_time", json!(["%Y"]), json!({})).await;
    assert!((1970..3000).contains(&year.as_str().unwrap().parse::<i32>().unwrap()));
    assert!(error("ps.boot_time", json!(["%!"])).await.contains("'time_format' cannot be used"));
}
