//! Two hundred simulated minions on a real master: they are what later suites measure and torment
//! the master with, so first of all they have to be minions.

use std::fs::File;
use std::process::Command;

use brine_tests::binaries::program;
use brine_tests::process::Process;
use brine_tests::swarm::{Options, Pool, Swarm, provision, stats::Stats};
use brine_tests::wait::stays;
use brine_tests::{Fleet, eventually, within};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const MINIONS: usize = 200;

fn swarm_of(change: fn(&mut Options)) -> (Fleet, Swarm) {
    let mut fleet = Fleet::prepare_with_ports("heartbeat: 1\n");
    let mut options = Options::local(MINIONS, fleet.publish_port, fleet.ret_port);
    change(&mut options);
    let done = provision::accept(&fleet.root(), Swarm::ids(&options), &Pool::fixed()).unwrap();
    assert_eq!(done.accepted, MINIONS);
    fleet.start_master();
    let swarm = Swarm::start(options, Pool::fixed()).unwrap();
    until_in(swarm.stats(), MINIONS);
    (fleet, swarm)
}

fn until_in(stats: &Stats, count: usize) {
    eventually(30.0, &format!("{count} are in"), || stats.live() == count);
}

/// What a job answered, by minion.
fn answers(fleet: &Fleet, arguments: &[&str]) -> serde_json::Map<String, Value> {
    let arguments = [arguments, &["--out", "json", "--static"]].concat();
    fleet.brine(&arguments).expect(0).json().as_object().unwrap().clone()
}

#[test]
fn all_of_them_answer_and_so_does_half() {
    let (fleet, swarm) = swarm_of(|_| ());
    let all = answers(&fleet, &["*", "test.ping"]);
    assert_eq!(all.len(), MINIONS);
    assert!(all.values().all(|answer| *answer == json!(true)), "{all:?}");
    let checked = swarm.broadcasts_checked();
    assert!((1..MINIONS as u64).contains(&checked), "one broadcast is checked once: {checked}");

    let half = answers(&fleet, &["swarm-000*", "test.echo", "half"]);
    assert_eq!(half.len(), MINIONS / 2);
    assert!(half.iter().all(|(id, answer)| id.starts_with("swarm-000") && answer == "half"), "{half:?}");
    let web = answers(&fleet, &["-G", "roles:web", "swarm.reply", "3000"]);
    assert_eq!(web.len(), MINIONS / 4);
    assert!(web.values().all(|answer| answer.as_str().unwrap().len() == 3000));

    let sessions = || fleet.health()["sessions"].as_u64();
    assert_eq!(sessions(), Some(MINIONS as u64));
    assert_eq!(swarm.stats().handshakes(), MINIONS as u64, "nobody had to come back");
    swarm.stop();
    eventually(5.0, "their goodbyes are known at once", || sessions() == Some(0));
}

#[test]
fn a_killed_master_gets_all_of_them_back_and_nothing_runs_twice() {
    let (mut fleet, swarm) = swarm_of(|_| ());
    let sleeping = fleet.submit("*", "test.sleep", &[json!(2)]);
    let orders = |swarm: &Swarm| swarm.stats().to_json()["orders"].as_u64().unwrap();
    eventually(10.0, "all sleep", || orders(&swarm) == MINIONS as u64);
    fleet.kill_master();
    eventually(10.0, "it is noticed", || swarm.stats().live() == 0);
    fleet.start_master();
    until_in(swarm.stats(), MINIONS);
    let view = within(20.0, "all have slept", || {
        let view = fleet.api().get(&format!("/v1/jobs/{sleeping}")).expect(200).json();
        let rows = view["rows"].as_array().unwrap().clone();
        rows.iter().all(|row| !row["ending"].is_null()).then_some(rows)
    });
    assert!(view.iter().all(|row| row["ending"]["state"] == "returned"), "{view:?}");
    assert_eq!(orders(&swarm), MINIONS as u64, "none was taken for a new one");
    assert_eq!(answers(&fleet, &["*", "test.ping"]).len(), MINIONS);
}

#[test]
fn a_suspended_one_is_cut_and_does_not_answer() {
    let (fleet, swarm) = swarm_of(|options| options.check_each = true);
    let id = "swarm-00007";
    let fingerprint = Pool::fixed().of(7).public().fingerprint().to_string();
    fleet.act("suspend", id, &fingerprint);
    until_in(swarm.stats(), MINIONS - 1);
    let all = answers(&fleet, &["*", "test.ping"]);
    assert_eq!(all.len(), MINIONS - 1);
    assert!(!all.contains_key(id));
    stays(1.0, "it stays out", || swarm.stats().live() == MINIONS - 1);
    fleet.act("resume", id, &fingerprint);
    until_in(swarm.stats(), MINIONS);
    assert_eq!(answers(&fleet, &[id, "test.ping"])[id], true);
}

#[test]
fn failures_come_at_the_rate_that_was_asked_for() {
    let (fleet, swarm) = swarm_of(|options| options.manner.fail_rate = 0.5);
    let jid = fleet.submit("*", "test.ping", &[]);
    let rows = within(10.0, "all have ended", || {
        let rows = fleet.api().get(&format!("/v1/jobs/{jid}")).expect(200).json()["rows"].clone();
        let rows = rows.as_array().unwrap().clone();
        rows.iter().all(|row| !row["ending"].is_null()).then_some(rows)
    });
    let failed = rows.iter().filter(|row| row["ending"]["retcode"] == 1).count();
    assert!((60..140).contains(&failed), "{failed}");
    swarm.stop();
}

/// The program: lets its ids in, reports, fits itself to the descriptors, ends well.
#[test]
fn the_program_provisions_reports_and_stops_at_a_signal() {
    let mut fleet = Fleet::prepare_with_ports("");
    let report = fleet.dir().join("swarm.jsonl");
    let command = |descriptors: &str, more: &[&str]| {
        let mut command = Command::new("/bin/sh");
        command
            .arg("-c")
            .arg(format!("ulimit -n {descriptors}; exec \"$@\""))
            .arg("sh")
            .arg(program("brine-swarm"));
        command.args(["--minions", "40", "--key-bits", "2048", "--keys", "1", "--key-dir"]);
        command.arg(fleet.dir().join("keys")).args(more);
        command
    };
    let root = fleet.root();
    let provisioned =
        brine_tests::Done::run(command("500", &["--provision", root.to_str().unwrap()])).expect(0);
    assert!(provisioned.stdout.starts_with("accepted 40 ids"), "{}", provisioned.stdout);
    let master = format!("127.0.0.1:{},{}", fleet.publish_port, fleet.ret_port);
    let run = command("100", &["--master", &master, "--report", report.to_str().unwrap()]);
    fleet.start_master();
    let mut swarm = Process::start(run, &fleet.dir().join("swarm.log"));
    // A hundred descriptors, less those that are kept, for two each.
    eventually(20.0, "as many as fit are in", || fleet.health()["sessions"] == 18);
    assert_eq!(
        fleet.brine(&["*", "test.ping", "--out", "json", "--static"]).stdout.matches("true").count(),
        18
    );
    swarm.signal(Signal::SIGTERM);
    assert!(swarm.wait(5.0).success());
    let lines = std::io::read_to_string(File::open(report).unwrap()).unwrap();
    let end: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&end["end"], &end["asked"], &end["minions"], &end["live"], &end["key_pairs"], &end["answered"]),
        (&json!(true), &json!(40), &json!(18), &json!(18), &json!(1), &json!(18)),
        "{end}"
    );
    assert!(
        end["kib_per_minion"].as_f64().unwrap() > 0.0 && end["signing_cpu_s"].as_f64().unwrap() > 0.0,
        "{end}"
    );
    assert!(swarm.log().contains("100 descriptors carry 18 minions, 40 were asked for"), "{}", swarm.log());
}
