//! Stops in order, and configurations read again: what runs and waits is told, and who is there is right at once.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use brine_tests::fleet::Fleet;
use brine_tests::process::{Process, exists};
use brine_tests::wait::stays;
use brine_tests::{Minion, eventually, within};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// Within this everybody knows that a program has stopped, however long its heartbeat.
const AT_ONCE: f64 = 1.0;

/// So that nothing here is noticed by a beat that did not come.
const SLOW: &str = "heartbeat: 60\n";

/// A command that counts, tells its process and waits for a file.
fn held(folder: &Path) -> String {
    format!(
        "cd {}; echo $$ $BRINE_JID > pid; echo ran >> runs; while [ ! -e release ]; do sleep 0.02; done; echo done",
        folder.display()
    )
}

fn folder(fleet: &Fleet, name: &str) -> std::path::PathBuf {
    let folder = fleet.dir().join(name);
    fs::create_dir(&folder).unwrap();
    folder
}

fn runs(folder: &Path) -> usize {
    fs::read_to_string(folder.join("runs")).map_or(0, |text| text.lines().count())
}

/// Its process and its job.
fn told(folder: &Path) -> (i32, String) {
    within(10.0, "the command tells its process and its job", || {
        let text = fs::read_to_string(folder.join("pid")).ok()?;
        let (pid, jid) = text.strip_suffix('\n')?.split_once(' ')?;
        Some((pid.parse().ok()?, jid.to_owned()))
    })
}

fn pid(folder: &Path) -> i32 {
    told(folder).0
}

/// Sends a signal, and gives how long it took until this held.
fn until(process: &Process, signal: Signal, what: &str, holds: impl FnMut() -> bool) -> f64 {
    let begun = Instant::now();
    process.signal(signal);
    eventually(10.0, what, holds);
    begun.elapsed().as_secs_f64()
}

#[test]
fn a_minion_that_is_stopped_is_offline_at_once_and_says_what_it_has_killed() {
    let fleet = Fleet::start_with(SLOW);
    let mut m1 = fleet.minion_with("m1", "m1", "process_count_max: 1\n");
    let (begun, waiting) = (folder(&fleet, "b"), folder(&fleet, "w"));
    let ended = fleet.submit("m1", "cmd.run", &[json!("echo ended")]);
    assert_eq!(fleet.ending(&ended, "m1", 10.0)["value"], "ended");
    let script = held(&begun);
    let (jid, next, waits) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| fleet.brine(&["m1", "cmd.run", &script]));
        let (command, jid) = told(&begun);
        let next = fleet.submit("m1", "cmd.run", &[json!(held(&waiting))]);
        // It is taken before this is answered: both come over one connection.
        fleet.ping("m1");
        let took =
            until(m1.process(), Signal::SIGTERM, "m1 is offline", || fleet.presence("m1") == "offline");
        println!("stops: a stopped minion is offline after {took:.3} s");
        assert!(took < AT_ONCE, "it took {took} s");
        assert!(!exists(command), "what it ran is gone");
        (jid, next, watcher.join().expect("no panic"))
    });
    assert!(m1.process().wait(5.0).success());
    // Without the next run of the minion: there may be none.
    let why = |jid: &str| fleet.ending(jid, "m1", 5.0);
    let killed = json!({"state": "interrupted", "why": "the minion was stopped while the job ran"});
    assert_eq!(why(&jid), killed);
    assert_eq!(
        why(&next),
        json!({"state": "interrupted", "why": "the minion was stopped before the job began"})
    );
    // Who waits for the answer is told so, or that the minion left, if that is known before the disk has the end.
    let said = waits.stdout + &waits.stderr;
    assert!(waits.code != 0 && (said.contains("was stopped") || said.contains("offline")), "{said}");
    m1.start();
    fleet.until_back(&m1);
    fleet.ping("m1");
    let row = fleet.row(&jid, "m1");
    assert_eq!((&row["ending"], row["late"].as_array().map_or(0, Vec::len)), (&killed, 0), "{row}");
    assert_eq!((runs(&begun), runs(&waiting)), (1, 0));
}

#[test]
fn a_minion_stops_though_its_disk_takes_nothing_and_the_next_run_tells() {
    let fleet = Fleet::start_with(SLOW);
    let mut m1 = fleet.prepare_minion("m1");
    // A file that may not grow gives an error then, as a full disk does, and no signal.
    let mut command = Command::new("sh");
    let plain = m1.command(&[]);
    command.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]).arg(plain.get_program()).args(plain.get_args());
    command.env_remove("RUST_LOG");
    m1.process = Some(Process::start(command, &fleet.dir().join("m1.log")));
    fleet.until_key(&m1, "pending");
    fleet.act("accept", "m1", &m1.fingerprint());
    fleet.until_up("m1");
    let work = folder(&fleet, "w");
    let jid = fleet.submit("m1", "cmd.run", &[json!(held(&work))]);
    let command = pid(&work);
    let limited =
        Command::new("prlimit").args(["--fsize=1", "--pid", &m1.process().pid().to_string()]).status();
    assert!(limited.expect("prlimit is a part of util-linux").success());
    m1.process().signal(Signal::SIGTERM);
    assert!(m1.process().wait(5.0).success());
    assert!(!exists(command));
    eventually(AT_ONCE, "it has said goodbye", || fleet.presence("m1") == "offline");
    assert_eq!(fleet.row(&jid, "m1")["ending"], Value::Null, "what is not on disk is not told");
    m1.start();
    assert_eq!(fleet.ending(&jid, "m1", 10.0)["state"], "interrupted");
    assert_eq!(runs(&work), 1);
}

#[test]
fn what_a_stopped_minion_could_not_send_is_sent_by_the_next_run() {
    let mut fleet = Fleet::start_with(SLOW);
    let mut m1 = fleet.minion("m1");
    let (first, second) = (folder(&fleet, "f"), folder(&fleet, "s"));
    let returned = fleet.submit("m1", "cmd.run", &[json!(held(&first))]);
    let killed = fleet.submit("m1", "cmd.run", &[json!(held(&second))]);
    let pids = (pid(&first), pid(&second));
    // A master that takes nothing and says nothing.
    fleet.master().signal(Signal::SIGSTOP);
    fs::write(first.join("release"), "").unwrap();
    eventually(10.0, "the first job has ended", || {
        !exists(pids.0) && m1.log().contains(&format!("job ended jid={returned}"))
    });
    let begun = Instant::now();
    m1.process().signal(Signal::SIGTERM);
    assert!(m1.process().wait(5.0).success());
    println!("stops: a minion of a silent master stops within {:?}", begun.elapsed());
    assert!(!exists(pids.1));
    fleet.kill_master();
    fleet.start_master();
    m1.dial(fleet.publish_port, fleet.ret_port);
    m1.start();
    let ending = fleet.ending(&returned, "m1", 10.0);
    assert_eq!((&ending["state"], &ending["value"]), (&json!("returned"), &json!("done")), "{ending}");
    assert_eq!(fleet.ending(&killed, "m1", 10.0)["state"], "interrupted");
    assert_eq!((runs(&first), runs(&second)), (1, 1));
}

#[test]
fn minions_of_a_stopped_master_dial_again_at_once_and_nothing_is_lost() {
    let mut fleet = Fleet::prepare_with_ports(SLOW);
    fleet.start_master();
    let minions: Vec<Minion> = ["m1", "m2"].map(|id| fleet.minion(id)).into();
    let work = folder(&fleet, "w");
    let jid = fleet.submit("m1", "cmd.run", &[json!(held(&work))]);
    let command = pid(&work);
    let begun = Instant::now();
    fleet.master().signal(Signal::SIGTERM);
    assert!(fleet.master().wait(5.0).success());
    println!("stops: a master stops within {:?}", begun.elapsed());
    // In its place, to see who comes.
    let listener = TcpListener::bind(("127.0.0.1", fleet.ret_port)).unwrap();
    let begun = Instant::now();
    let dialled: Vec<_> = (0..minions.len()).map(|_| listener.accept().unwrap()).collect();
    let took = begun.elapsed().as_secs_f64();
    println!("stops: {} connections after {took:.3} s", dialled.len());
    assert!(took < AT_ONCE, "it took {took} s");
    drop((dialled, listener));
    fs::write(work.join("release"), "").unwrap();
    eventually(10.0, "the command ends without a master", || !exists(command));
    fleet.start_master();
    assert_eq!(fleet.ending(&jid, "m1", 10.0)["value"], "done");
    for minion in &minions {
        fleet.until_up(&minion.id);
        fleet.ping(&minion.id);
    }
    assert_eq!(runs(&work), 1);
}

#[test]
fn a_master_reads_its_configuration_again_without_dropping_a_connection() {
    let mut fleet = Fleet::prepare_with_ports(SLOW);
    fleet.start_master();
    let mut minions = ["m1", "m2"].map(|id| fleet.minion(id));
    let work = folder(&fleet, "w");
    let jid = fleet.submit("m1", "cmd.run", &[json!(held(&work))]);
    pid(&work);
    let sessions = |fleet: &Fleet| -> Vec<Value> {
        let minions = fleet.api().get("/v1/minions").expect(200).json();
        minions.as_array().unwrap().iter().map(|minion| minion["since"].clone()).collect()
    };
    let before = sessions(&fleet);
    assert!(before.len() == 2 && before.iter().all(Value::is_string), "{before:?}");
    let hellos = fleet.counter("hello_");
    let mut events = fleet.api().events("GET", "/v1/events", None);
    assert_ne!(fleet.brine(&["-N", "pair", "test.ping"]).code, 0, "the group is not there yet");
    let mut options = SLOW.to_owned();
    for round in 0..5 {
        options += if round == 0 { "nodegroups:\n  pair: 'm1,m2'\n" } else { "" };
        fleet.set_options(&format!("{options}max_minions: {}\n", 10 + round));
        let said = |fleet: &Fleet| fleet.log().matches("the configuration was reloaded").count();
        let told = said(&fleet);
        fleet.master().signal(Signal::SIGHUP);
        eventually(10.0, "the configuration is read again", || said(&fleet) > told);
    }
    let grouped = fleet.brine(&["-N", "pair", "test.ping", "--out", "json", "--static"]).expect(0).json();
    assert_eq!(grouped, json!({"m1": true, "m2": true}));
    // A configuration with a fault changes nothing, and drops nobody either.
    fleet.set_options(&format!("{options}no_such_option: 1\n"));
    fleet.master().signal(Signal::SIGHUP);
    eventually(10.0, "the fault is named", || fleet.log().contains("no_such_option"));
    fs::write(work.join("release"), "").unwrap();
    assert_eq!(fleet.ending(&jid, "m1", 10.0)["value"], "done");
    events.find(10.0, "on the stream from before", |event| event.data.to_string().contains(&jid));
    assert_eq!((sessions(&fleet), fleet.counter("hello_")), (before.clone(), hellos));
    stays(0.3, "nobody comes or goes", || sessions(&fleet) == before);
    // A minion does the same.
    fleet.set_options(&options);
    let m1 = &mut minions[0];
    m1.process().signal(Signal::SIGHUP);
    eventually(10.0, "m1 reads its configuration again", || {
        m1.log().contains("the configuration was reloaded")
    });
    fleet.ping("m1");
    assert_eq!((sessions(&fleet), fleet.counter("hello_")), (before, hellos));
}
