//! `brine` running functions: in portions, on some, for who is away, with a question before and a
//! line of progress beside it, and Ctrl-C.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::process::Stdio;

use brine_tests::terminal::Terminal;
use brine_tests::wait::stays;
use brine_tests::{Fleet, Minion, eventually, within};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

fn fleet_of(count: usize, options: &str) -> (Fleet, Vec<Minion>) {
    let fleet = Fleet::start_with(options);
    let minions = (1..=count).map(|n| fleet.minion(&format!("m{n}"))).collect();
    (fleet, minions)
}

fn leave(fleet: &Fleet, minion: &mut Minion, id: &str) {
    minion.kill();
    eventually(20.0, "it is known to be gone", || fleet.presence(id) == "offline");
}

/// The newest job of the fleet.
fn newest(fleet: &Fleet) -> Value {
    fleet.api().get("/v1/jobs?limit=1").expect(200).json()[0].clone()
}

fn jid(fleet: &Fleet) -> String {
    newest(fleet)["jid"].as_str().unwrap().to_owned()
}

fn ids(document: &Value) -> BTreeSet<&str> {
    document.as_object().unwrap().keys().map(String::as_str).collect()
}

fn interrupt(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGINT).unwrap();
}

#[test]
fn a_batch_looks_like_any_job_and_failhard_ends_it() {
    let (fleet, _minions) = fleet_of(3, "");
    let done = fleet.brine(&["*", "test.ping", "-b", "2", "--out", "json", "--static"]).expect(0);
    assert_eq!(done.json(), json!({"m1": true, "m2": true, "m3": true}));
    assert_eq!(newest(&fleet)["batch"], json!({"size": "2"}));
    let line = ["*", "cmd.run", "exit 3", "-b", "1", "--failhard", "--batch-wait", "0.2", "--out", "txt"];
    let done = fleet.brine(&line).expect(11);
    assert_eq!(newest(&fleet)["batch"], json!({"size": "1", "wait_ms": 200, "failhard": true}));
    assert_eq!(done.stdout.matches("failhard: m").count(), 2, "{}", done.stdout);
    fleet.brine(&["*", "test.ping", "--failhard"]).refused(2, &["--failhard goes with a batch"]);
    fleet.brine(&["*", "test.ping", "-b", "0"]).refused(2, &["batch"]);
}

#[test]
fn many_minions_are_confirmed_and_made_a_batch_of() {
    let options = "confirm_above: 2\nbatch_safe_limit: 3\nbatch_safe_size: 50%\n";
    let (fleet, _minions) = fleet_of(3, options);
    let none = || fleet.api().get("/v1/jobs").expect(200).json() == json!([]);
    fleet.brine(&["*", "test.ping"]).refused(4, &["3 minions (m1, m2, m3)", "confirm_above", "-y"]);
    let mut terminal = Terminal::start(fleet.command("brine", &["*", "test.ping"]));
    terminal.until("The target means 3 minions: m1, m2, m3.");
    terminal.until("Proceed? [N/y] ");
    terminal.type_text("\n");
    assert_eq!(terminal.code(), 1);
    assert!(none(), "nothing was run");
    let mut terminal = Terminal::start(fleet.command("brine", &["*", "test.ping", "--out", "txt"]));
    terminal.until("Proceed? [N/y] ");
    terminal.type_text("y\n");
    assert_eq!(terminal.code(), 0);
    terminal.until("m3: True");
    terminal
        .until("NOTICE: Too many minions targeted, switching to batch execution: 3 minions, 50% at a time.");
    assert_eq!(newest(&fleet)["batch"], json!({"size": "50%"}));
    // Few are asked about by nobody, and are no batch.
    let done = fleet.brine(&["-L", "m1,m2", "test.ping"]).expect(0);
    assert_eq!((done.stderr.as_str(), &newest(&fleet)["batch"]), ("", &Value::Null));
    // The command line has the last word.
    let done = fleet.brine(&["*", "test.ping", "-y", "--batch-safe-limit", "0"]).expect(0);
    assert_eq!((done.stderr.as_str(), &newest(&fleet)["batch"]), ("", &Value::Null));
    fleet.brine(&["*", "test.ping", "-y", "--batch-safe-size", "1", "--failhard"]).expect(0);
    assert_eq!(newest(&fleet)["batch"], json!({"size": "1", "failhard": true}));
    fleet.brine(&["*", "test.ping", "--subset", "1"]).expect(0);
}

#[test]
fn a_subset_is_of_minions_that_are_there() {
    let (fleet, mut minions) = fleet_of(3, "");
    leave(&fleet, &mut minions[2], "m3");
    let line = ["*", "test.ping", "--subset", "1", "--out", "json", "--static"];
    let done = fleet.brine(&line).expect(0);
    let answers = done.json();
    let [one] = ids(&answers).into_iter().collect::<Vec<_>>()[..] else { panic!("{answers}") };
    assert_eq!(done.stderr, format!("1 of 3 that match: {one}\n"));
    let done = fleet.brine(&["*", "test.ping", "--subset", "9", "--out", "json", "--static"]).expect(0);
    assert_eq!(ids(&done.json()), BTreeSet::from(["m1", "m2"]));
    let before = jid(&fleet);
    let done = fleet.brine(&["m3", "test.ping", "--subset", "1", "--out", "json", "--static"]).expect(12);
    assert!(done.stderr.contains("none of the 1 minions that match is connected"), "{}", done.stderr);
    assert_eq!((done.json(), jid(&fleet)), (json!({}), before));
    fleet.brine(&["nosuch", "test.ping", "--subset", "1"]).expect(2);
}

#[test]
fn who_is_away_gets_a_queued_job_once() {
    let (fleet, mut minions) = fleet_of(2, "");
    leave(&fleet, &mut minions[1], "m2");
    let log = fleet.dir().join("log");
    let command = format!("echo ran >> {}", log.display());
    let line = ["*", "cmd.run", command.as_str(), "--queue", "--ttl", "2h", "-t", "0.5"];
    let done = fleet.brine(&line).expect(12);
    let jid = jid(&fleet);
    assert!(done.stdout.contains("; queued until "), "{}", done.stdout);
    assert!(done.stderr.contains(&format!("for m2; brine jobs show {jid}")), "{}", done.stderr);
    let view = fleet.api().get(&format!("/v1/jobs/{jid}")).expect(200).json();
    assert_eq!(view["delivery"], json!({"queue": {"ttl_ms": 7_200_000}}));
    assert_eq!(fs::read_to_string(&log).unwrap(), "ran\n");
    minions[1].start();
    assert_eq!(fleet.ending(&jid, "m2", 20.0)["state"], "returned");
    minions[1].kill();
    minions[1].start();
    fleet.until_back(&minions[1]);
    fleet.ping("m2");
    assert_eq!(fs::read_to_string(&log).unwrap(), "ran\nran\n");
}

#[test]
fn missing_minions_can_be_hidden_and_still_count() {
    let (fleet, mut minions) = fleet_of(2, "");
    leave(&fleet, &mut minions[1], "m2");
    let line = ["*", "test.ping", "--out", "txt"];
    let shown = fleet.brine(&line).expect(12).stdout;
    assert!(shown.contains("m2: Minion did not return."), "{shown}");
    let hidden = fleet.brine(&[&line[..], &["--hide-timeout"]].concat()).expect(12);
    assert_eq!((hidden.stdout.as_str(), hidden.stderr.as_str()), ("m1: True\n", ""));
    let again = fleet.brine(&[&line[..], &["--hide-timeout", "--show-timeout"]].concat()).expect(12);
    assert!(again.stdout.contains("m2: Minion did not return."), "{}", again.stdout);
}

#[test]
fn progress_is_for_terminals_and_leaves_nothing_behind() {
    let (fleet, _minions) = fleet_of(2, "");
    let line = ["*", "test.ping", "-p", "--out", "txt"];
    let mut terminal = Terminal::start(fleet.command("brine", &line));
    assert_eq!(terminal.code(), 0);
    terminal.until("] 2 of 2");
    terminal.until("m2: True");
    eventually(5.0, "the line is taken away", || {
        let mut screen = vt100::Parser::new(24, 80, 0);
        screen.process(terminal.written().as_bytes());
        let rows: BTreeSet<String> = screen.screen().rows(0, 80).filter(|row| !row.is_empty()).collect();
        rows == BTreeSet::from(["m1: True".to_owned(), "m2: True".to_owned()])
    });
    let piped = fleet.brine(&line).expect(0);
    assert_eq!(piped.stderr, "");
}

#[test]
fn a_batch_goes_on_without_its_terminal() {
    let (fleet, _minions) = fleet_of(2, "");
    let go = fleet.dir().join("go");
    let command = format!("while [ ! -e {} ]; do sleep 0.05; done", go.display());
    let line = ["*", "cmd.run", &command, "-b", "1", "--show-jid"];
    let mut terminal = Terminal::start(fleet.command("brine", &line));
    terminal.until("jid: ");
    let jid = jid(&fleet);
    interrupt(terminal.pid());
    assert_eq!(terminal.code(), 130);
    terminal.until(&format!("interrupted; job {jid} goes on, 1 at a time"));
    terminal.until(&format!("brine jobs kill {jid}"));
    fs::write(&go, "").unwrap();
    for id in ["m1", "m2"] {
        assert_eq!(fleet.ending(&jid, id, 20.0)["state"], "returned");
    }
}

#[test]
fn a_second_interrupt_ends_it_though_nobody_takes_its_output() {
    let (fleet, _minions) = fleet_of(1, "");
    let words = ["m1", "cmd.run", "head -c 400000 /dev/zero | tr '\\0' x", "--out", "txt"];
    let mut command = fleet.command("brine", &words);
    let mut brine =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let pid = i32::try_from(brine.id()).unwrap();
    let mut out = brine.stdout.take().unwrap();
    // From here on it is in the middle of a write that a pipe has no room for.
    out.read_exact(&mut [0]).unwrap();
    interrupt(pid);
    stays(0.5, "it waits for its reader", || brine.try_wait().unwrap().is_none());
    interrupt(pid);
    let code = within(10.0, "it ends", || brine.try_wait().unwrap()).code();
    assert_eq!(code, Some(130));
}
