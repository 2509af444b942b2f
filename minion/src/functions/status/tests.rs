use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::super::Context;
use super::super::testing::{assert_shape, call, context, returned};

async fn value(function: &str, arguments: Value) -> Value {
    let result = returned(&[call(function, arguments, json!({}))], &context()).await;
    assert_eq!((result.retcode, result.truncated), (0, false), "{function}: {}", result.value);
    assert_shape(function, &result.value);
    result.value
}

fn proc(file: &str) -> String {
    std::fs::read_to_string(format!("/proc/{file}")).unwrap()
}

#[tokio::test]
async fn files_of_proc() {
    for name in ["loadavg", "meminfo", "cpuinfo", "cpustats", "vmstats", "netstats", "netdev", "diskstats"] {
        let value = value(&format!("status.{name}"), json!([])).await;
        assert!(value.is_object(), "{name}: {value}");
    }
    let total = &value("status.meminfo", json!([])).await["MemTotal"];
    assert_eq!(total["unit"], "kB");
    assert!(proc("meminfo").contains(&format!("{} kB", total["value"].as_str().unwrap())));
    assert_eq!(value("status.version", json!([])).await, proc("version").trim_end());
    assert!(value("status.netdev", json!([])).await["lo"]["rx_bytes"].is_u64());
    let loads = value("status.loadavg", json!([])).await;
    assert_eq!(loads.as_object().unwrap().keys().collect::<Vec<_>>(), ["1-min", "5-min", "15-min"]);
}

#[tokio::test]
async fn up_since() {
    let before: f64 = proc("uptime").split(' ').next().unwrap().parse().unwrap();
    let shown = value("status.uptime", json!([])).await;
    let after: f64 = proc("uptime").split(' ').next().unwrap().parse().unwrap();
    let seconds = shown["seconds"].as_f64().unwrap();
    assert!(before.floor() <= seconds && seconds <= after, "{before} {shown} {after}");
    let bare = Context { path: "/nowhere".to_owned(), ..context() };
    let without = returned(&[call("status.uptime", json!([]), json!({}))], &bare).await.value;
    assert_shape("status.uptime", &without);
    assert!(without.get("users").is_none());
}

#[tokio::test]
async fn room_of_paths_and_kinds() {
    let all = value("status.diskusage", json!([])).await;
    let root = nix::sys::statvfs::statvfs("/").unwrap();
    assert_eq!(all["/"]["total"], root.blocks() * root.fragment_size());
    let some = value("status.diskusage", json!(["/tmp", "pro?"])).await;
    let keys: Vec<&String> = some.as_object().unwrap().keys().collect();
    assert!(keys.iter().any(|key| *key == "/tmp") && keys.iter().any(|key| *key == "/proc"), "{some}");
    assert!(!some.as_object().unwrap().contains_key("/"), "{some}");
    let none = returned(&[call("status.diskusage", json!(["/nowhere"]), json!({}))], &context()).await;
    assert!(none.value.as_str().unwrap().starts_with("ERROR: /nowhere cannot be asked for its room: "));
}

#[tokio::test]
async fn time_and_processors() {
    assert!(value("status.nproc", json!([])).await.as_u64().unwrap() >= 1);
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let before = now();
    let told: u64 = value("status.time", json!(["%s"])).await.as_str().unwrap().parse().unwrap();
    assert!((before..=now()).contains(&told), "{told}");
    let words = value("status.time", json!([])).await;
    assert!(words.as_str().unwrap().ends_with('M'), "{words}");
    let bad = returned(&[call("status.time", json!(["%!"]), json!({}))], &context()).await;
    assert!(bad.value.as_str().unwrap().contains("'format' cannot be used"), "{}", bad.value);
}

#[tokio::test]
async fn processes() {
    let own = std::process::id();
    let all = value("status.procs", json!([])).await;
    let entry = &all[own.to_string()];
    assert!(entry["cmd"].as_str().unwrap().contains("brine_minion"), "{entry}");
    let uid = nix::unistd::geteuid().as_raw();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    assert_eq!(entry["user"], crate::grains::user_name(&passwd, uid));
    let found = value("status.pid", json!(["brine_minion-[0-9a-f]+"])).await;
    assert!(found.as_str().unwrap().lines().any(|pid| pid == own.to_string()), "{found}");
    let bad = returned(&[call("status.pid", json!(["("]), json!({}))], &context()).await;
    assert!(bad.value.as_str().unwrap().contains("'sig' is no regular expression"), "{}", bad.value);
    let small = Context { output_max: 200, ..context() };
    let cut = returned(&[call("status.procs", json!([]), json!({}))], &small).await;
    let size = serde_json::to_vec(&cut.value).unwrap().len();
    assert!(cut.truncated && cut.value.is_object() && size <= 200, "{}", cut.value);
}

#[tokio::test]
async fn everything_at_once() {
    let all = value("status.all_status", json!([])).await;
    assert!(all["cpustats"]["cpu"]["idle"].is_u64() && all["diskusage"]["/"]["total"].is_u64());
    if super::super::tool::find("w", &context().path).is_some() {
        value("status.w", json!([])).await;
        assert!(all["w"].is_array(), "{}", all["w"]);
    }
    let bare = Context { path: "/nowhere".to_owned(), ..context() };
    let without = returned(&[call("status.all_status", json!([]), json!({}))], &bare).await;
    assert_shape("status.all_status", &without.value);
    assert_eq!(without.value["w"], "this needs the program \"w\", which is not installed");
}
