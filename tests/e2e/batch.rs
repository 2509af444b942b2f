//! Batches and queues with real processes: how many run at a time, who runs after a failure, and
//! that each minion runs once, whatever happens to the master.

use std::fs;
use std::path::Path;

use brine_tests::fleet::{Fleet, job};
use brine_tests::minion::Minion;
use brine_tests::wait::stays;
use brine_tests::{eventually, within};
use serde_json::{Value, json};

/// A command that says when it begins and ends, and waits in between for a file of its own number
/// or for the one that lets all go.
fn turn(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "n=0; while ! mkdir {folder}/turn-$n 2>/dev/null; do n=$((n+1)); done; echo + >> {folder}/log; \
         i=0; while [ ! -e {folder}/go-$n ] && [ ! -e {folder}/go ] && [ $i -lt 2400 ]; do i=$((i+1)); sleep 0.05; done; \
         echo - >> {folder}/log; if [ -e {folder}/fail-$n ]; then exit 3; fi"
    )
}

struct Log<'a>(&'a Path);

impl Log<'_> {
    fn text(&self) -> String {
        fs::read_to_string(self.0.join("log")).unwrap_or_default()
    }

    fn begun(&self) -> usize {
        self.text().lines().filter(|line| *line == "+").count()
    }

    fn ended(&self) -> usize {
        self.text().lines().filter(|line| *line == "-").count()
    }

    /// The most that ran at the same time.
    fn most(&self) -> i32 {
        let mut running = 0;
        let runs = self
            .text()
            .lines()
            .map(|line| {
                running += if line == "+" { 1 } else { -1 };
                running
            })
            .max();
        runs.unwrap_or(0)
    }

    fn go(&self, name: &str) {
        fs::write(self.0.join(name), "").unwrap();
    }
}

fn fleet_of(count: usize) -> (Fleet, Vec<Minion>) {
    let mut fleet = Fleet::prepare_with_ports("");
    fleet.start_master();
    let minions = (1..=count).map(|n| fleet.minion(&format!("m{n}"))).collect();
    (fleet, minions)
}

fn submit(fleet: &Fleet, batch: Value) -> String {
    let mut request = job("*", "cmd.run", &[json!(turn(fleet.dir()))]);
    request["batch"] = batch;
    let made = fleet.api().post("/v1/jobs", &request).expect(201).json();
    assert_eq!(made["batch"], request["batch"], "the job says how it is handed out");
    made["jid"].as_str().unwrap().to_owned()
}

fn states(fleet: &Fleet, jid: &str) -> Vec<String> {
    let view = fleet.api().get(&format!("/v1/jobs/{jid}")).expect(200).json();
    let rows = view["rows"].as_array().unwrap();
    rows.iter().map(|row| row["ending"]["state"].as_str().unwrap_or("open").to_owned()).collect()
}

fn until_over(fleet: &Fleet, jid: &str) {
    eventually(20.0, "the batch is over", || !states(fleet, jid).contains(&"open".to_owned()));
}

#[test]
fn no_more_run_at_a_time_than_was_said_and_each_runs_once() {
    let (fleet, _minions) = fleet_of(4);
    let jid = submit(&fleet, json!({"size": "2"}));
    let log = Log(fleet.dir());
    eventually(10.0, "two run", || log.begun() == 2);
    stays(0.5, "nobody else runs", || log.begun() == 2);
    let waiting = (1..=4).filter(|n| fleet.row(&jid, &format!("m{n}"))["presence"]["is"] == "waiting");
    assert_eq!(waiting.count(), 2);
    log.go("go-0");
    eventually(10.0, "the third runs when one has ended", || log.begun() == 3 && log.ended() == 1);
    log.go("go");
    until_over(&fleet, &jid);
    assert_eq!(states(&fleet, &jid), ["returned"; 4]);
    assert_eq!((log.begun(), log.ended()), (4, 4));
    assert!(log.most() <= 2, "{}", log.text());
}

#[test]
fn failhard_stops_behind_the_first_failure() {
    let (fleet, _minions) = fleet_of(4);
    let jid = submit(&fleet, json!({"size": "25%", "failhard": true}));
    let log = Log(fleet.dir());
    log.go("fail-1");
    log.go("go");
    until_over(&fleet, &jid);
    assert_eq!(states(&fleet, &jid), ["returned", "returned", "cancelled", "cancelled"]);
    assert_eq!(log.begun(), 2);
    assert_eq!(fleet.row(&jid, "m2")["ending"]["retcode"], 3);
    assert_eq!(fleet.row(&jid, "m4")["ending"]["by"], "failhard: m2 ended with retcode 3");
    let failed = fleet.api().get("/v1/jobs?state=failed").expect(200).json();
    assert_eq!((&failed[0]["jid"], &failed[0]["failed"]), (&json!(jid), &json!(3)));
}

#[test]
fn a_master_killed_in_the_middle_goes_on_and_nobody_runs_twice() {
    let (mut fleet, minions) = fleet_of(5);
    let jid = submit(&fleet, json!({"size": "2"}));
    let dir = fleet.dir().to_owned();
    let log = Log(&dir);
    eventually(10.0, "two run", || log.begun() == 2);
    log.go("go-0");
    eventually(10.0, "the third runs", || log.begun() == 3);
    fleet.kill_master();
    log.go("go-1");
    eventually(10.0, "one ends while there is no master", || log.ended() == 2);
    fleet.start_master();
    eventually(10.0, "the fourth runs", || log.begun() == 4);
    stays(0.5, "and nobody else", || log.begun() == 4);
    fleet.kill_master();
    fleet.start_master();
    log.go("go");
    until_over(&fleet, &jid);
    assert_eq!(states(&fleet, &jid), ["returned"; 5]);
    assert_eq!((log.begun(), log.ended()), (5, 5), "{}", log.text());
    assert!(log.most() <= 2, "{}", log.text());
    drop(minions);
}

#[test]
fn who_is_away_ends_offline_and_who_goes_away_before_its_turn_too() {
    let (fleet, mut minions) = fleet_of(4);
    minions[1].kill();
    eventually(5.0, "m2 is offline", || fleet.presence("m2") == "offline");
    let jid = submit(&fleet, json!({"size": "1"}));
    assert_eq!(fleet.ending(&jid, "m2", 5.0)["state"], "offline");
    let log = Log(fleet.dir());
    eventually(10.0, "one runs", || log.begun() == 1);
    minions[2].kill();
    assert_eq!(fleet.ending(&jid, "m3", 5.0)["state"], "offline");
    log.go("go");
    until_over(&fleet, &jid);
    assert_eq!(states(&fleet, &jid), ["returned", "offline", "offline", "returned"]);
}

#[test]
fn a_killed_batch_hands_out_nothing_more() {
    let (fleet, _minions) = fleet_of(3);
    let jid = submit(&fleet, json!({"size": "1", "wait_ms": 10}));
    let log = Log(fleet.dir());
    eventually(10.0, "one runs", || log.begun() == 1);
    fleet.api().post(&format!("/v1/jobs/{jid}/kill"), &json!({})).expect(200);
    until_over(&fleet, &jid);
    assert_eq!(states(&fleet, &jid), ["cancelled"; 3]);
    log.go("go");
    stays(0.5, "nobody else runs", || log.begun() == 1);
}

#[test]
fn the_pause_between_two_is_kept() {
    let (fleet, _minions) = fleet_of(2);
    let log = Log(fleet.dir());
    log.go("go");
    let jid = submit(&fleet, json!({"size": "1", "wait_ms": 1500}));
    eventually(10.0, "the first has ended", || states(&fleet, &jid).contains(&"returned".to_owned()));
    stays(1.0, "the second waits", || log.begun() == 1);
    until_over(&fleet, &jid);
    assert_eq!(log.begun(), 2);
}

#[test]
fn nonsense_is_refused_in_one_sentence() {
    let (fleet, _minions) = fleet_of(1);
    let mut request = job("*", "test.ping", &[]);
    for bad in [json!({"size": "0"}), json!({"size": "x"}), json!({}), json!({"size": "1", "fail": true})] {
        request["batch"] = bad;
        fleet.api().post("/v1/jobs", &request).is_problem(400, "bad_request");
    }
    request["batch"] = json!({"size": "1"});
    request["delivery"] = json!({"queue": {"ttl_ms": 1000}});
    let refused = fleet.api().post("/v1/jobs", &request).json();
    assert!(refused["detail"].as_str().unwrap().contains("do not go together"), "{refused}");
}

#[test]
fn a_queued_order_outlives_two_masters_runs_once_and_only_in_its_time() {
    let (mut fleet, mut minions) = fleet_of(2);
    for minion in &mut minions {
        minion.kill();
    }
    eventually(5.0, "both are offline", || {
        fleet.presence("m1") == "offline" && fleet.presence("m2") == "offline"
    });
    let counter = fleet.dir().join("c");
    let mut request = job("m1", "cmd.run", &[json!(format!("echo ran >> {}", counter.display()))]);
    request["delivery"] = json!({"queue": {"ttl_ms": 86_400_000}});
    let send = |fleet: &Fleet, request: &Value| {
        let made = fleet.api().post("/v1/jobs", request).expect(201).json();
        made["jid"].as_str().unwrap().to_owned()
    };
    let kept = send(&fleet, &request);
    request["target"] = json!({"expression": "m2"});
    request["delivery"] = json!({"queue": {"ttl_ms": 1500}});
    let short = send(&fleet, &request);
    assert_eq!(fleet.row(&kept, "m1")["ending"], Value::Null, "it waits");
    fleet.kill_master();
    fleet.start_master();
    assert_eq!(fleet.ending(&short, "m2", 10.0)["state"], "expired", "also without its minion");
    minions[0].start();
    assert_eq!(fleet.ending(&kept, "m1", 10.0)["state"], "returned");
    fleet.kill_master();
    fleet.start_master();
    minions[0].kill();
    minions[0].start();
    minions[1].start();
    fleet.until_back(&minions[0]);
    fleet.until_back(&minions[1]);
    stays(0.5, "it has run once", || fs::read_to_string(&counter).unwrap().lines().count() == 1);
    assert_eq!(fleet.row(&short, "m2")["ending"]["state"], "expired");
}

#[test]
fn a_queued_order_is_for_those_that_are_there_at_once() {
    let (fleet, mut minions) = fleet_of(2);
    minions[1].kill();
    eventually(5.0, "m2 is offline", || fleet.presence("m2") == "offline");
    let mut request = job("*", "test.echo", &[json!("queued")]);
    request["delivery"] = json!({"queue": {"ttl_ms": 60_000}});
    let jid = fleet.api().post("/v1/jobs", &request).expect(201).json()["jid"].as_str().unwrap().to_owned();
    assert_eq!(fleet.ending(&jid, "m1", 5.0)["value"], "queued");
    assert_eq!(fleet.row(&jid, "m2")["ending"], Value::Null);
    let killed = fleet.api().post(&format!("/v1/jobs/{jid}/kill"), &json!({})).expect(200).json();
    assert_eq!(killed["cancelled"], json!(["m2"]));
    assert_eq!(fleet.ending(&jid, "m2", 5.0)["state"], "cancelled");
    minions[1].start();
    fleet.until_back(&minions[1]);
    assert_eq!(fleet.row(&jid, "m2")["late"], Value::Null, "what was killed while it waited never runs");
}

#[test]
fn a_signal_reaches_what_a_job_started() {
    let (fleet, _minions) = fleet_of(2);
    let ready = fleet.dir().join("r");
    let script =
        format!("trap 'echo caught; exit 5' USR1; : > {}; while :; do sleep 0.05; done", ready.display());
    let jid = fleet.submit("m1", "cmd.run", &[json!(script)]);
    eventually(10.0, "the command runs", || ready.exists());
    let path = format!("/v1/jobs/{jid}/signal");
    fleet.api().post(&path, &json!({"signal": "LOUD"})).is_problem(400, "bad_request");
    let answer = fleet.api().post(&path, &json!({"signal": "USR1"})).expect(200).json();
    assert_eq!(answer, json!({"signalled": ["m1"]}));
    let ending = fleet.ending(&jid, "m1", 5.0);
    assert_eq!((&ending["state"], &ending["retcode"]), (&json!("returned"), &json!(5)), "{ending}");
    assert_eq!(fleet.api().post(&path, &json!({"signal": 15})).expect(200).json(), json!({"signalled": []}));

    let held = fleet.submit("m2", "test.sleep", &[json!(300)]);
    let told = within(10.0, "it runs", || {
        let running = fleet.submit("m2", "saltutil.is_running", &[json!("test.*")]);
        Some(fleet.ending(&running, "m2", 5.0)["value"].clone()).filter(|jobs| jobs[0]["jid"] == json!(held))
    });
    assert_eq!(told[0]["fun"], "test.sleep");
    let ended = fleet.submit("m2", "saltutil.term_all_jobs", &[]);
    assert_eq!(fleet.ending(&ended, "m2", 5.0)["value"], json!([format!("Signal 15 sent to job {held}")]));
    assert_eq!(fleet.ending(&held, "m2", 5.0)["state"], "cancelled");
}

#[test]
fn jobs_are_found_by_what_is_known_of_them_and_minions_by_whether_they_are_up() {
    let (fleet, mut minions) = fleet_of(2);
    let first = fleet.submit("*", "test.ping", &[]);
    let second = fleet.submit("m1", "test.echo", &[json!(1)]);
    let third = fleet.submit("m2", "no.such", &[]);
    let _ = (fleet.ending(&first, "m1", 5.0), fleet.ending(&first, "m2", 5.0));
    let _ = (fleet.ending(&second, "m1", 5.0), fleet.ending(&third, "m2", 5.0));
    let list = |query: &str| {
        let jobs = fleet.api().get(&format!("/v1/jobs?{query}")).expect(200).json();
        jobs.as_array().unwrap().iter().map(|job| job["jid"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(list("limit=1"), [third.as_str()]);
    assert_eq!(list("function=test.*"), [second.as_str(), first.as_str()]);
    assert_eq!(list("minion=m2&state=failed"), [third.as_str()]);
    assert_eq!(list(&format!("before={third}&limit=1")), [second]);
    assert_eq!(list("target=%5B*%5D&user=unix:&since=2020-01-01T00:00:00Z"), [first]);
    assert_eq!(list("active=true"), Vec::<String>::new());
    fleet.api().get("/v1/jobs?since=yesterday").is_problem(400, "bad_request");
    fleet.api().get("/v1/jobs?state=odd").is_problem(400, "bad_request");
    minions[1].kill();
    eventually(5.0, "m2 is offline", || fleet.presence("m2") == "offline");
    let ids = |query: &str| {
        let minions = fleet.api().get(&format!("/v1/minions{query}")).expect(200).json();
        minions.as_array().unwrap().iter().map(|minion| minion["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!((ids("?up=true"), ids("?up=false")), (vec![json!("m1")], vec![json!("m2")]));
    let m1 = fleet.api().get("/v1/minions/m1").expect(200).json();
    assert!(m1["since"].is_string() && m1["last_job"].is_string(), "{m1}");
    let whoami = fleet.api().get("/v1/whoami").expect(200).json();
    let caution = json!({"confirm_above": 0, "batch_safe_limit": 0, "batch_safe_size": "8"});
    assert_eq!(whoami["caution"], caution);
}
