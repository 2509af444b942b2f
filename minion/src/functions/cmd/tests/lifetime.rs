//! How long processes live, and how much of what they say is kept.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;

use super::super::super::testing::{call, context, eventually, returned};
use super::super::super::{Context, Spawned, run, start_ticks};
use super::check;

#[tokio::test]
async fn a_timeout_kills_the_group_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let script = format!("sleep 1000 & echo $! > {}; wait", file.display());
    let started = Instant::now();
    check(
        "cmd.run",
        json!([script]),
        json!({"timeout": 0.5}),
        json!(format!("{script} : Timed out after 0.5 seconds")),
        1,
    )
    .await;
    assert!(started.elapsed() < Duration::from_secs(5));
    let pid: u32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    assert!(eventually(|| is_gone(pid)).await, "the grandchild lives");

    check(
        "cmd.run",
        json!(["sleep 5"]),
        json!({"timeout": 1}),
        json!("sleep 5 : Timed out after 1 seconds"),
        1,
    )
    .await;
    check(
        "cmd.run_stderr",
        json!(["sleep 5"]),
        json!({"timeout": "0.1"}),
        json!("sleep 5 : Timed out after 0.1 seconds"),
        1,
    )
    .await;
    check("cmd.retcode", json!(["sleep 5"]), json!({"timeout": 0.1}), json!(1), 1).await;
    check("cmd.run", json!(["echo quick"]), json!({"timeout": 0}), json!("quick"), 0).await;
    check("cmd.run", json!(["echo quick"]), json!({"timeout": 1e15}), json!("quick"), 0).await;
}

/// Gone, or dead and waiting for whoever is the first process here to notice.
fn is_gone(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| {
        stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'))
    })
}

#[tokio::test]
async fn dropping_kills_the_group_with_its_grandchildren() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pids");
    // A child, and a grandchild in a subshell that ignores everything but the last word.
    let script = format!(
        "trap '' TERM HUP INT; (trap '' TERM HUP INT; sleep 1000 & echo $! >> {0}; wait) & echo $! >> {0}; echo $$ >> {0}; wait",
        file.display()
    );
    let pids = || -> Vec<u32> {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    };
    let context = context();
    let calls = [call("cmd.run_all", json!([script]), json!({}))];
    let running = tokio::spawn(async move { run(&calls, &context).await });
    assert!(eventually(|| pids().len() == 3).await);
    assert!(pids().iter().all(|pid| !is_gone(*pid)));
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    for pid in pids() {
        assert!(eventually(|| is_gone(pid)).await, "{pid} lives");
    }
    // The leader is ours to reap.
    let leader = *pids().last().unwrap();
    assert!(eventually(|| start_ticks(leader).is_none()).await, "a zombie is left");
}

#[tokio::test]
async fn a_background_child_holds_up_nothing_and_lives_on() {
    let started = Instant::now();
    let result = returned(&[call("cmd.run", json!(["sleep 1000 & echo $!"]), json!({}))], &context()).await;
    let took = started.elapsed();
    assert!(took < Duration::from_secs(4), "{took:?}");
    let pid: u32 = result.value.as_str().unwrap().parse().unwrap();
    assert_eq!(result.retcode, 0);
    assert!(!is_gone(pid), "it was started to stay");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
}

#[tokio::test]
async fn output_is_cut_and_the_process_goes_on() {
    let context = Context { output_max: 1000, ..context() };
    let script = "yes | head -c 30000000; echo done >&2; exit 7";
    let result = returned(&[call("cmd.run_all", json!([script]), json!({}))], &context).await;
    assert_eq!((result.retcode, result.truncated), (7, true));
    assert_eq!(result.value["stderr"], "done");
    let stdout = result.value["stdout"].as_str().unwrap();
    let (kept, note) = stdout.rsplit_once('\n').unwrap();
    assert_eq!(note, "[brine: output cut at 1000 bytes]");
    assert_eq!(kept.len(), 999, "the last new line is white space at the end");

    let exact =
        returned(&[call("cmd.run", json!(["head -c 1000 /dev/zero | tr '\\0' x"]), json!({}))], &context)
            .await;
    assert_eq!((exact.value.as_str().unwrap().len(), exact.truncated), (1000, false));
}

/// The fastest writer there is, for as long as the timeout allows, in bounded memory.
#[tokio::test]
async fn an_endless_writer_is_drained_until_its_timeout() {
    let context = Context { output_max: 1000, ..context() };
    let calls = [call("cmd.run", json!(["yes"]), json!({"timeout": 0.5}))];
    let result = returned(&calls, &context).await;
    assert_eq!((result.value, result.truncated), (json!("yes : Timed out after 0.5 seconds"), false));
}

#[tokio::test]
async fn started_processes_are_reported_with_their_start() {
    let seen: Arc<Mutex<Vec<Spawned>>> = Arc::default();
    let keep = seen.clone();
    let context =
        Context { on_pid: Arc::new(move |spawned| keep.lock().unwrap().push(spawned)), ..context() };
    let result = returned(&[call("cmd.run_all", json!(["echo $$"]), json!({}))], &context).await;
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 1);
    assert_eq!(result.value["pid"], seen[0].pid);
    assert_eq!(result.value["stdout"], seen[0].pid.to_string());
    assert!(seen[0].start_ticks.is_some());
}
