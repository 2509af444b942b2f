//! The operator's command line: what it prints, when, and how it ends.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use brine_tests::eventually;
use brine_tests::fleet::Fleet;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

#[test]
fn returns_are_printed_as_they_arrive() {
    let fleet = Fleet::start();
    let (_m1, _m2) = (fleet.minion("m1"), fleet.minion("m2"));
    let (first, release) = (fleet.dir().join("first"), fleet.dir().join("release"));
    // Whoever comes first answers at once; the other one waits for the test.
    let script = format!(
        "mkdir {} 2>/dev/null && echo quick || {{ while [ ! -e {} ]; do sleep 0.05; done; echo slow; }}",
        first.display(),
        release.display()
    );
    let mut brine = fleet
        .command("brine", &["*", "cmd.run", &script])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(brine.stdout.take().unwrap()).lines();
    let quick = (lines.next().unwrap().unwrap(), lines.next().unwrap().unwrap());
    assert!(quick.0 == "m1:" || quick.0 == "m2:", "{quick:?}");
    assert_eq!(quick.1, "    quick");
    assert!(brine.try_wait().unwrap().is_none(), "the command waits for the slow minion");
    fs::write(release, "").unwrap();
    let slow = (lines.next().unwrap().unwrap(), lines.next().unwrap().unwrap());
    assert_ne!(slow.0, quick.0);
    assert_eq!(slow.1, "    slow");
    assert!(brine.wait().unwrap().success());
}

#[test]
fn static_json_is_one_object() {
    let fleet = Fleet::start();
    let (_m1, _m2) = (fleet.minion("m1"), fleet.minion("m2"));
    let all = fleet.brine(&["*", "test.ping", "--out", "json", "--static"]).expect(0).json();
    assert_eq!(all, json!({"m1": true, "m2": true}));
    let one = fleet.brine(&["--out=json", "--static", "m[2-9]", "test.echo", "héllo"]).expect(0).json();
    assert_eq!(one, json!({"m2": "héllo"}));
}

#[test]
fn each_output_form() {
    let fleet = Fleet::start();
    let _m1 = fleet.minion("m1");
    for (form, expected) in [
        ("nested", "m1:\n    True\n"),
        ("json", "{\n    \"m1\": true\n}\n"),
        ("yaml", "m1: true\n"),
        ("txt", "m1: True\n"),
        ("raw", "{'m1': True}\n"),
        ("quiet", ""),
    ] {
        let done = fleet.brine(&["m1", "test.ping", "--out", form]).expect(0);
        if form == "json" {
            assert_eq!(done.json(), json!({"m1": true}));
        } else {
            assert_eq!(done.stdout, expected, "{form}");
        }
    }
    assert_eq!(fleet.brine(&["m1", "test.ping"]).expect(0).stdout, "m1:\n    True\n");
    let refused = fleet.brine(&["m1", "test.ping", "--out", "xml"]);
    refused.refused(2, &["xml"]);
}

#[test]
fn verbose_and_summary() {
    let fleet = Fleet::start();
    let _m1 = fleet.minion("m1");
    let verbose = fleet.brine(&["-v", "m1", "test.ping"]).expect(0);
    let jid = newest_jid(&fleet);
    assert!(format!("{}{}", verbose.stdout, verbose.stderr).contains(&jid), "{verbose:?} without {jid}");
    let summary = fleet.brine(&["--summary", "m1", "test.ping"]).expect(0);
    let said = format!("{}{}", summary.stdout, summary.stderr);
    assert!(said.to_lowercase().contains("summary"), "{said}");
}

fn newest_jid(fleet: &Fleet) -> String {
    let jobs = fleet.api().get("/v1/jobs?limit=1").expect(200).json();
    jobs[0]["jid"].as_str().unwrap().to_owned()
}

#[test]
fn exit_code_0_2_11_12() {
    let fleet = Fleet::start();
    let (_m1, mut m2) = (fleet.minion("m1"), fleet.minion("m2"));
    fleet.brine(&["*", "test.ping"]).expect(0);
    fleet.brine(&["nobody*", "test.ping"]).refused(2, &["nobody*"]);
    fleet.brine(&["--no-such-flag", "*", "test.ping"]).refused(2, &["--no-such-flag"]);
    fleet.brine(&["*"]).refused(2, &["function"]);
    fleet.brine(&["m1", "cmd.run", "exit 3"]).expect(11);
    fleet.brine(&["m1", "no.such_function"]).expect(11);
    m2.kill();
    eventually(5.0, "m2 is offline", || fleet.presence("m2") == "offline");
    let missing = fleet.brine(&["*", "test.ping"]).expect(12);
    let said = format!("{}{}", missing.stdout, missing.stderr);
    assert!(said.contains("m1:\n    True\n"), "{said}");
    assert!(
        said.contains("m2") && said.contains("offline since"),
        "a reason for each missing minion: {said}"
    );
}

#[test]
fn exit_code_3_without_a_master() {
    let mut fleet = Fleet::prepare("");
    fleet.brine(&["*", "test.ping"]).refused(3, &["master"]);
    fleet.start_master();
    fleet.kill_master();
    fleet.brine(&["*", "test.ping"]).refused(3, &["master"]);
    fleet.brine(&["jobs", "list"]).refused(3, &["master"]);
}

#[test]
fn exit_code_4_when_refused() {
    let fleet = Fleet::start_with("roles:\n  vera: {role: viewer}\n");
    let _m1 = fleet.minion("m1");
    fleet.brine(&["--as", "vera", "m1", "test.ping"]).refused(4, &["vera"]);
    fleet.brine(&["--as", "eve", "m1", "test.ping"]).refused(4, &["eve"]);
    assert_eq!(fleet.api().get("/v1/jobs").expect(200).json(), json!([]), "nothing was run");
}

#[test]
fn control_c_ends_with_130_and_leaves_the_job_alone() {
    let fleet = Fleet::start();
    let _m1 = fleet.minion("m1");
    let mut brine = fleet
        .command("brine", &["--show-jid", "m1", "test.sleep", "60"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(brine.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let jid = first.trim().strip_prefix("jid: ").unwrap_or_else(|| panic!("{first:?}")).to_owned();
    kill(Pid::from_raw(i32::try_from(brine.id()).unwrap()), Signal::SIGINT).unwrap();
    let mut said = String::new();
    brine.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(brine.wait().unwrap().code(), Some(130), "{said}");
    assert!(said.contains(&jid), "it says where to look for the rest: {said}");
    assert_eq!(fleet.row(&jid, "m1")["ending"], Value::Null, "the job goes on");
    fleet.brine(&["jobs", "kill", &jid]).expect(0);
    assert_eq!(fleet.ending(&jid, "m1", 5.0)["state"], "cancelled");
}

#[test]
fn still_running_is_said_and_changes_nothing() {
    let fleet = Fleet::start();
    let _m1 = fleet.minion("m1");
    let jid = fleet.submit("m1", "test.sleep", &[json!(30)]);
    eventually(10.0, "the minion says that it runs the job", || {
        let probed = fleet.api().post(&format!("/v1/jobs/{jid}/probe"), &json!({})).expect(200).json();
        probed["rows"][0]["presence"]["is"] == "running"
    });
    let shown = fleet.brine(&["jobs", "show", &jid]);
    assert!(shown.stdout.contains("running"), "{}", shown.stdout);
    assert_eq!(fleet.row(&jid, "m1")["ending"], Value::Null);
    fleet.brine(&["jobs", "kill", &jid]).expect(0);
}

#[test]
fn a_silent_minion_is_named_and_not_waited_for() {
    let fleet = Fleet::start_with("heartbeat: 1\n");
    let mut m1 = fleet.minion("m1");
    m1.process().signal(Signal::SIGSTOP);
    let begun = std::time::Instant::now();
    let done = fleet.brine(&["-t", "1", "m1", "test.ping"]).expect(12);
    assert!(begun.elapsed().as_secs_f64() < 8.0, "{:?}", begun.elapsed());
    let said = format!("{}{}", done.stdout, done.stderr);
    assert!(
        said.contains("m1") && (said.contains("silent since") || said.contains("offline since")),
        "{said}"
    );
    m1.process().signal(Signal::SIGCONT);
    fleet.until_up("m1");
    fleet.ping("m1");
}

#[test]
fn jobs_list_show_active_kill() {
    let fleet = Fleet::start();
    let _m1 = fleet.minion("m1");
    let quick = fleet.brine(&["--async", "m1", "test.echo", "canary"]).expect(0);
    let quick = quick
        .stdout
        .split(|c: char| !c.is_ascii_digit())
        .find(|word| word.len() == 20)
        .expect("a jid")
        .to_owned();
    assert_eq!(fleet.ending(&quick, "m1", 5.0)["value"], "canary");
    let slow = fleet.submit("m1", "test.sleep", &[json!(60)]);
    let list = fleet.brine(&["jobs", "list"]).expect(0).stdout;
    assert!(list.contains(&quick) && list.contains(&slow) && list.contains("test.echo"), "{list}");
    let active = fleet.brine(&["jobs", "active"]).expect(0).stdout;
    assert!(active.contains(&slow) && !active.contains(&quick), "{active}");
    let show = fleet.brine(&["jobs", "show", &quick]).expect(0).stdout;
    assert!(show.contains("m1") && show.contains("canary") && show.contains("test.echo"), "{show}");
    fleet.brine(&["jobs", "kill", &slow]).expect(0);
    assert_eq!(fleet.ending(&slow, "m1", 5.0)["state"], "cancelled");
    assert!(!fleet.brine(&["jobs", "active"]).expect(0).stdout.contains(&slow));
    fleet.brine(&["jobs", "show", "20010101000000000000"]).refused(2, &["20010101000000000000"]);
    fleet.brine(&["jobs", "show", "yesterday"]).refused(2, &["yesterday"]);
}

#[test]
fn the_job_timeout_kills_and_says_so() {
    let fleet = Fleet::start();
    let _m1 = fleet.minion("m1");
    let done = fleet.brine(&["--job-timeout", "1", "m1", "cmd.run", "sleep 60"]).expect(11);
    let said = format!("{}{}", done.stdout, done.stderr);
    assert!(said.contains("timed out"), "{said}");
    let jobs = fleet.api().get("/v1/jobs?limit=1").json();
    let jid = jobs[0]["jid"].as_str().unwrap();
    assert_eq!(fleet.ending(jid, "m1", 1.0)["state"], "timed_out");
}

#[test]
fn a_word_is_a_noun_only_with_a_verb() {
    let fleet = Fleet::start();
    let _jobs = fleet.minion_with("jobs", "m1", "");
    assert_eq!(fleet.brine(&["jobs", "test.ping"]).expect(0).stdout, "jobs:\n    True\n");
}

#[test]
fn a_function_that_does_not_exist_is_said_per_minion() {
    let fleet = Fleet::start();
    let _m1 = fleet.minion("m1");
    let done = fleet.brine(&["m1", "test.pong"]).expect(11);
    let said = format!("{}{}", done.stdout, done.stderr);
    assert!(said.contains("m1") && said.contains("test.pong"), "{said}");
}

#[test]
fn following_events_goes_on_over_a_restart_of_the_master() {
    let mut fleet = Fleet::prepare_with_ports("");
    fleet.start_master();
    let m1 = fleet.minion("m1");
    let mut brine = fleet
        .command("brine", &["events", "--tag", "brine/key/m1/*"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(brine.stdout.take().unwrap()).lines();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(tell.send(line))));
    let fingerprint = m1.fingerprint();
    let until_told = |fleet: &Fleet| {
        let mut act = ["suspend", "resume"].iter().cycle();
        eventually(20.0, "an event is printed", || {
            fleet.act(act.next().unwrap(), "m1", &fingerprint);
            told.try_recv().is_ok()
        });
    };
    until_told(&fleet);
    fleet.kill_master();
    fleet.start_master();
    while told.try_recv().is_ok() {}
    if fleet.key_state("m1", &fingerprint).as_deref() == Some("suspended") {
        fleet.act("resume", "m1", &fingerprint);
    }
    until_told(&fleet);
    assert!(brine.try_wait().unwrap().is_none(), "it goes on");
    brine.kill().unwrap();
    brine.wait().unwrap();
}
