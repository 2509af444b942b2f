use std::collections::VecDeque;
use std::fs::{self, Permissions};
use std::path::Path;
use std::time::{Duration, Instant};

use brine_protocol::time::Timestamp;
use serde_json::json;

use super::*;

const ID: &str = "0197d0b0-0000-7000-8000-000000000001";

fn event(n: u64, data: Value) -> Arc<Event> {
    let tag = format!("brine/server/{ID}/created");
    Arc::new(Event { id: n, tag, at: Timestamp(0), data, zone: None })
}

/// The ids of a desk's own run begin at 101.
fn record(n: u64) -> Arc<Event> {
    event(100 + n, json!({"name": format!("Mairie {n}"), "zone": "Dijon", "model": "scribe"}))
}

/// A hook in a folder that only this user may write.
fn script(folder: &Path, text: &str) -> Command {
    let path = folder.join("hook");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    Command(vec![path.to_str().unwrap().to_owned(), "first".to_owned()])
}

fn own_uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}

async fn run_once(text: &str, event: &Event) -> (tempfile::TempDir, Result<String, String>) {
    let folder = tempfile::tempdir().unwrap();
    let command = script(folder.path(), text);
    let ran = run::run_for(&command, event, Duration::from_millis(700)).await;
    (folder, ran)
}

#[test]
fn written_as_a_text_or_as_a_list() {
    for (written, words) in [(json!("/bin/a"), &["/bin/a"][..]), (json!(["/bin/a", "b"]), &["/bin/a", "b"])] {
        let command: Command = serde_json::from_value(written).unwrap();
        assert_eq!(command.0, words);
        assert_eq!(command.check(), Ok(()));
        let again = serde_json::to_value(&command).unwrap();
        assert_eq!(serde_json::from_value::<Command>(again).unwrap(), command);
    }
    assert!(
        serde_json::from_value::<Command>(json!(7)).unwrap_err().to_string().contains("a list of a path")
    );
    for words in [vec![], vec!["relative".to_owned()], vec!["/a".to_owned(), "b\0".to_owned()]] {
        assert!(Command(words).check().unwrap_err().contains("server_created_hook"));
    }
}

#[test]
fn only_what_nobody_else_could_change_is_run() {
    let folder = tempfile::tempdir().unwrap();
    let command = script(folder.path(), "true");
    assert_eq!(command.vet(own_uid()), Ok(()));
    let mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    mode(&command.program(), 0o775);
    assert!(command.vet(own_uid()).unwrap_err().contains("chmod go-w"));
    mode(&command.program(), 0o644);
    assert!(command.vet(own_uid()).unwrap_err().contains("chmod +x"));
    mode(&command.program(), 0o755);
    mode(folder.path(), 0o777);
    assert!(command.vet(own_uid()).unwrap_err().contains("chmod go-w"));
    mode(folder.path(), 0o755);
    fs::remove_file(command.program()).unwrap();
    assert!(command.vet(own_uid()).unwrap_err().contains("cannot find"));
}

#[tokio::test]
async fn it_gets_the_event_and_the_record() {
    let strange = json!({"name": "É $(id) `x`\n'", "zone": null, "model": "amon"});
    let text = "cat > \"${0%/*}/event\"; env | grep ^BRINE_SERVER | sort > \"${0%/*}/env\"\n\
                printf %s \"$1:$BRINE_SERVER_NAME:$PWD\" > \"${0%/*}/name\"";
    let event = event(7, strange);
    let (folder, ran) = run_once(text, &event).await;
    assert_eq!(ran, Ok(String::new()));
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(serde_json::from_str::<Event>(&read("event")).unwrap(), *event);
    assert_eq!(read("name"), "first:É $(id) `x`\n':/");
    let env = read("env");
    assert!(env.contains(&format!("BRINE_SERVER_ID={ID}\n")), "{env}");
    assert!(env.contains("BRINE_SERVER_MODEL=amon\n") && env.contains("BRINE_SERVER_ZONE=\n"), "{env}");
}

#[tokio::test]
async fn failures_are_told_with_the_last_words() {
    let (_, ran) = run_once("echo 'no such\x1b[31m zone' >&2; exit 3", &record(1)).await;
    assert_eq!(ran, Err("it ended with exit code 3; it said: no such\\u{1b}[31m zone".to_owned()));
    let (_, ran) = run_once("echo careful >&2", &record(1)).await;
    assert_eq!(ran, Ok("careful".to_owned()));
    let (_, ran) = run_once("kill -9 $$", &record(1)).await;
    assert_eq!(ran, Err("signal 9 ended it".to_owned()));
    let (_, ran) = run_once("head -c 300000 /dev/zero | tr '\\0' x >&2; echo end >&2", &record(1)).await;
    let said = ran.unwrap();
    assert!(said.len() < 3000 && said.starts_with("[…] x") && said.ends_with("xend"), "{said}");
    let gone = Command(vec!["/no/such/hook".to_owned()]);
    assert!(run::run(&gone, &record(1)).await.unwrap_err().starts_with("cannot run it"));
}

#[tokio::test]
async fn a_hook_that_hangs_is_killed_with_all_it_started() {
    let begun = Instant::now();
    let (folder, ran) = run_once("sleep 600 & echo $! > \"${0%/*}/pid\"; wait", &record(1)).await;
    assert!(ran.unwrap_err().contains("was killed"));
    assert!(begun.elapsed() < Duration::from_secs(10));
    let pid = fs::read_to_string(folder.path().join("pid")).unwrap();
    let is_dead = || match fs::read_to_string(format!("/proc/{}/stat", pid.trim())) {
        Ok(stat) => stat.contains(") Z"),
        Err(_) => true,
    };
    while !is_dead() {
        assert!(begun.elapsed() < Duration::from_secs(10), "its child lives on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

struct Rig {
    desk: Arc<Desk>,
    counters: Arc<Counters>,
    command: watch::Sender<Option<Command>>,
    folder: tempfile::TempDir,
}

impl Rig {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let command = watch::Sender::new(Some(script(folder.path(), text)));
        // One of an earlier run is remembered and not hooked again.
        let desk = Arc::new(Desk::new(100_000, VecDeque::from([record(0)]), 101));
        let counters = Arc::<Counters>::default();
        start(Arc::clone(&desk), 100, Arc::clone(&counters), command.subscribe(), own_uid());
        Self { desk, counters, command, folder }
    }

    fn count(&self, name: &str) -> u64 {
        self.counters.snapshot().get(name).and_then(Value::as_u64).unwrap_or_default()
    }

    async fn until(&self, name: &str, count: u64) {
        let begun = Instant::now();
        while self.count(name) < count {
            assert!(begun.elapsed() < Duration::from_secs(20), "{name} is {}", self.count(name));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn ran(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path().join("ran")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

const NOTE: &str = "echo \"$BRINE_SERVER_NAME\" >> \"${0%/*}/ran\"";

#[tokio::test]
async fn once_for_each_created_record_in_order() {
    let rig = Rig::new(NOTE);
    for n in 1..=5 {
        rig.desk.publish(record(n));
        let mut other = (*record(n)).clone();
        other.tag = format!("brine/server/{ID}/updated");
        rig.desk.publish(Arc::new(other));
    }
    rig.until("hook_runs", 5).await;
    assert_eq!(rig.ran(), ["Mairie 1", "Mairie 2", "Mairie 3", "Mairie 4", "Mairie 5"]);
    assert_eq!(rig.count("hook_failed"), 0);
}

#[test]
fn only_created_records_are_queued_and_only_while_there_is_a_hook() {
    let command = watch::Sender::new(None);
    let (queue, mut queued) = mpsc::channel(2);
    let counters = Arc::<Counters>::default();
    let queue = Queue { queue, command: command.subscribe(), counters: Arc::clone(&counters) };
    queue.offer(&record(1));
    command.send_replace(Some(Command(vec!["/bin/true".to_owned()])));
    for tag in ["brine/server/x/updated", "brine/key/m1/created", "brine/server/created"] {
        queue.offer(&Arc::new(Event { tag: tag.to_owned(), ..(*record(2)).clone() }));
    }
    for n in 3..=5 {
        queue.offer(&record(n));
    }
    let ids: Vec<u64> = std::iter::from_fn(|| queued.try_recv().ok()).map(|event| event.id).collect();
    assert_eq!(ids, [103, 104]);
    assert_eq!(counters.snapshot()["hook_dropped"], 1);
}

#[tokio::test]
async fn a_crowd_is_hooked_as_far_as_the_queue_goes() {
    // The follower gets no turn before all are there, so it has to catch up from what is kept.
    let rig = Rig::new(&format!("{NOTE}; while [ ! -e \"${{0%/*}}/go\" ]; do sleep 0.01; done"));
    rig.desk.publish(record(1));
    rig.until_ran(1).await;
    let crowd = 6000;
    for n in 2..=crowd {
        rig.desk.publish(record(n));
    }
    let dropped = crowd - 1 - QUEUE_MAX as u64;
    rig.until("hook_dropped", dropped).await;
    rig.command.send_replace(None);
    fs::write(rig.folder.path().join("go"), "").unwrap();
    rig.until("hook_runs", 1).await;
    assert_eq!((rig.count("hook_dropped"), rig.count("hook_gap"), rig.ran().len()), (dropped, 0, 1));
}

impl Rig {
    async fn until_ran(&self, count: usize) {
        let begun = Instant::now();
        while self.ran().len() < count {
            assert!(begun.elapsed() < Duration::from_secs(20), "the hook did not start");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
