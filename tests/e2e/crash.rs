//! Crashes of either side at bad moments: an order runs at most once, a return is never lost.

use std::fs;
use std::path::Path;
use std::time::Instant;

use brine_tests::fleet::Fleet;
use brine_tests::process::exists;
use brine_tests::wait::stays;
use brine_tests::{eventually, within};
use serde_json::json;

/// A shell command that appends a line to `counter` and then waits for `release`.
fn held(counter: &Path, release: &Path, then: &str) -> String {
    format!(
        "echo ran >> {}; i=0; while [ ! -e {} ] && [ $i -lt 1200 ]; do i=$((i+1)); sleep 0.05; done; {then}",
        counter.display(),
        release.display()
    )
}

fn lines(file: &Path) -> usize {
    fs::read_to_string(file).map_or(0, |text| text.lines().count())
}

#[test]
fn a_killed_minion_is_back_within_five_seconds() {
    let fleet = Fleet::start();
    let mut m1 = fleet.minion("m1");
    m1.kill();
    eventually(5.0, "the loss is noticed", || fleet.presence("m1") == "offline");
    m1.start();
    let begun = Instant::now();
    fleet.until_back(&m1);
    fleet.ping("m1");
    assert!(begun.elapsed().as_secs_f64() < 5.0, "{:?}", begun.elapsed());
}

#[test]
fn after_a_master_crash_pings_answer_within_five_seconds() {
    let mut fleet = Fleet::prepare_with_ports("");
    fleet.start_master();
    let (mut m1, mut m2) = (fleet.minion("m1"), fleet.minion("m2"));
    let pids = (m1.process().pid(), m2.process().pid());
    for _ in 0..2 {
        fleet.kill_master();
        fleet.start_master();
        let begun = Instant::now();
        eventually(5.0, "both minions are back", || {
            fleet.presence("m1") == "up" && fleet.presence("m2") == "up"
        });
        let all = fleet.brine(&["*", "test.ping", "--out", "json", "--static"]).expect(0).json();
        assert_eq!(all, json!({"m1": true, "m2": true}));
        assert!(begun.elapsed().as_secs_f64() < 5.0, "{:?}", begun.elapsed());
    }
    assert!(m1.process().is_alive() && m2.process().is_alive());
    assert_eq!(pids, (m1.process().pid(), m2.process().pid()));
}

#[test]
fn a_return_in_the_masters_absence_is_delivered_later() {
    let mut fleet = Fleet::prepare_with_ports("");
    fleet.start_master();
    let _m1 = fleet.minion("m1");
    let (counter, release, ended) = (fleet.dir().join("c"), fleet.dir().join("r"), fleet.dir().join("e"));
    let jid = fleet.submit(
        "m1",
        "cmd.run",
        &[json!(held(&counter, &release, &format!("echo spooled; : > {}", ended.display())))],
    );
    eventually(10.0, "the command runs", || lines(&counter) == 1);
    fleet.kill_master();
    fs::write(&release, "").unwrap();
    eventually(10.0, "the command has ended", || ended.exists());
    fleet.start_master();
    let ending = fleet.ending(&jid, "m1", 10.0);
    assert_eq!((&ending["state"], &ending["value"]), (&json!("returned"), &json!("spooled")), "{ending}");
    assert_eq!(lines(&counter), 1);
    fleet.kill_master();
    fleet.start_master();
    assert_eq!(fleet.row(&jid, "m1")["ending"], ending, "it is on disk");
}

#[test]
fn a_spooled_return_survives_the_minion_too() {
    let mut fleet = Fleet::prepare_with_ports("");
    fleet.start_master();
    let mut m1 = fleet.minion("m1");
    let (counter, release, ended) = (fleet.dir().join("c"), fleet.dir().join("r"), fleet.dir().join("e"));
    let jid = fleet.submit(
        "m1",
        "cmd.run",
        &[json!(held(&counter, &release, &format!(": > {}; echo spooled", ended.display())))],
    );
    eventually(10.0, "the command runs", || lines(&counter) == 1);
    fleet.kill_master();
    fs::write(&release, "").unwrap();
    eventually(10.0, "the return is journaled", || {
        let journal = fs::read(m1.root().join("var/lib/brine/minion/journal")).unwrap_or_default();
        ended.exists() && journal.windows(7).any(|window| window == b"spooled")
    });
    m1.kill();
    m1.start();
    fleet.start_master();
    let ending = fleet.ending(&jid, "m1", 10.0);
    assert_eq!((&ending["state"], &ending["value"]), (&json!("returned"), &json!("spooled")), "{ending}");
    assert_eq!(lines(&counter), 1);
}

#[test]
fn a_minion_killed_while_running_reports_interrupted_and_leaves_nothing_behind() {
    let mut fleet = Fleet::prepare_with_ports("");
    fleet.start_master();
    let mut m1 = fleet.minion("m1");
    let (counter, pids) = (fleet.dir().join("c"), fleet.dir().join("p"));
    let script =
        format!("echo ran >> {}; sleep 300 & echo $$ $! > {}; wait", counter.display(), pids.display());
    let jid = fleet.submit("m1", "cmd.run", &[json!(script)]);
    let pids: Vec<i32> = within(10.0, "the command tells its processes", || {
        let text = fs::read_to_string(&pids).ok()?;
        let pids: Vec<i32> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        (pids.len() == 2).then_some(pids)
    });
    assert!(pids.iter().all(|pid| exists(*pid)));
    m1.kill();
    m1.start();
    let ending = fleet.ending(&jid, "m1", 10.0);
    assert_eq!(ending["state"], "interrupted", "{ending}");
    for pid in pids {
        assert!(!exists(pid), "process {pid} of the interrupted job still runs");
    }
    fleet.until_up("m1");
    fleet.ping("m1");
    fleet.kill_master();
    fleet.start_master();
    fleet.until_up("m1");
    fleet.ping("m1");
    assert_eq!(fleet.row(&jid, "m1")["ending"], ending);
    assert_eq!(lines(&counter), 1, "an order runs at most once");
}

#[test]
fn a_lost_journal_interrupts_what_was_handed_over_and_runs_nothing_twice() {
    let fleet = Fleet::start();
    let mut m1 = fleet.minion("m1");
    let (counter, release) = (fleet.dir().join("c"), fleet.dir().join("r"));
    let jid = fleet.submit("m1", "cmd.run", &[json!(held(&counter, &release, "echo done"))]);
    eventually(10.0, "the command runs", || lines(&counter) == 1);
    m1.kill();
    fs::remove_dir_all(m1.root().join("var/lib/brine/minion")).unwrap();
    fs::write(&release, "").unwrap();
    m1.start();
    let ending = fleet.ending(&jid, "m1", 10.0);
    assert_eq!(ending["state"], "interrupted", "{ending}");
    assert!(ending["why"].as_str().unwrap().contains("journal"), "{ending}");
    fleet.ping("m1");
    assert_eq!(lines(&counter), 1);
}

#[test]
fn a_cancelled_job_takes_its_processes_along() {
    let fleet = Fleet::start();
    let _m1 = fleet.minion("m1");
    let pids = fleet.dir().join("p");
    let jid =
        fleet.submit("m1", "cmd.run", &[json!(format!("sleep 300 & echo $$ $! > {}; wait", pids.display()))]);
    let pids: Vec<i32> = within(10.0, "the command tells its processes", || {
        let text = fs::read_to_string(&pids).ok()?;
        let pids: Vec<i32> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        (pids.len() == 2).then_some(pids)
    });
    let cancelled = fleet.api().post(&format!("/v1/jobs/{jid}/kill"), &json!({})).expect(200).json();
    assert_eq!(cancelled["cancelled"], json!(["m1"]));
    assert_eq!(fleet.ending(&jid, "m1", 5.0)["state"], "cancelled");
    eventually(5.0, "the whole process group is gone", || !pids.iter().any(|pid| exists(*pid)));
}

#[test]
fn at_most_once_through_kills_of_either_side() {
    let mut fleet = Fleet::prepare_with_ports("");
    fleet.start_master();
    let mut m1 = fleet.minion("m1");
    let counter = fleet.dir().join("c");
    let mut jids = Vec::new();
    for round in 0..4 {
        for i in 0..3 {
            let line = format!("{round}-{i}");
            let script = json!(format!("echo {line} >> {}", counter.display()));
            jids.push((fleet.submit("m1", "cmd.run", &[script]), line));
        }
        if round % 2 == 0 {
            fleet.kill_master();
            fleet.start_master();
        } else {
            m1.kill();
            m1.start();
        }
        fleet.until_back(&m1);
    }
    for (jid, line) in jids {
        let ending = fleet.ending(&jid, "m1", 15.0);
        let text = fs::read_to_string(&counter).unwrap_or_default();
        let ran = text.lines().filter(|found| **found == line).count();
        match ending["state"].as_str().unwrap() {
            "returned" => assert_eq!(ran, 1, "{line}: {ending}"),
            "interrupted" | "lost" => assert!(ran <= 1, "{line} ran {ran} times: {ending}"),
            "offline" => assert_eq!(ran, 0, "{line}: {ending}"),
            other => panic!("{line} ended {other}"),
        }
    }
}

#[test]
fn a_queued_order_waits_for_its_minion_and_runs_once() {
    let mut fleet = Fleet::prepare_with_ports("");
    fleet.start_master();
    let mut m1 = fleet.minion("m1");
    m1.kill();
    eventually(5.0, "m1 is offline", || fleet.presence("m1") == "offline");
    let counter = fleet.dir().join("c");
    let mut request = brine_tests::fleet::job(
        "m1",
        "cmd.run",
        &[json!(format!("echo ran >> {}; echo queued", counter.display()))],
    );
    request["delivery"] = json!({"queue": {"ttl_ms": 60_000}});
    let jid = fleet.api().post("/v1/jobs", &request).expect(201).json()["jid"].as_str().unwrap().to_owned();
    request["delivery"] = json!({"queue": {"ttl_ms": 1}});
    let expiring =
        fleet.api().post("/v1/jobs", &request).expect(201).json()["jid"].as_str().unwrap().to_owned();
    fleet.kill_master();
    fleet.start_master();
    m1.start();
    assert_eq!(fleet.ending(&jid, "m1", 10.0)["value"], "queued");
    assert_eq!(fleet.ending(&expiring, "m1", 10.0)["state"], "expired");
    assert_eq!(lines(&counter), 1);
}

#[test]
fn jids_do_not_repeat_through_a_crash() {
    let mut fleet = Fleet::prepare_with_ports("");
    fleet.start_master();
    let _m1 = fleet.minion("m1");
    let mut jids: Vec<String> = Vec::new();
    for _ in 0..3 {
        for _ in 0..5 {
            jids.push(fleet.submit("m1", "test.ping", &[]));
        }
        fleet.kill_master();
        // As a clock set back would leave it: what was reserved lies ahead of now.
        let ceiling = fleet.root().join("var/lib/brine/master/jid.ceiling");
        assert!(ceiling.exists(), "the ceiling is kept outside the store");
        fleet.start_master();
        fleet.until_up("m1");
    }
    jids.push(fleet.submit("m1", "test.ping", &[]));
    assert!(jids.windows(2).all(|pair| pair[0] < pair[1]), "ascending: {jids:?}");
    assert!(jids.iter().all(|jid| jid.len() == 20 && jid.bytes().all(|b| b.is_ascii_digit())), "{jids:?}");
}

#[test]
fn a_minion_with_a_damaged_journal_tail_goes_on() {
    let fleet = Fleet::start();
    let mut m1 = fleet.minion("m1");
    let counter = fleet.dir().join("c");
    let jid = fleet.submit("m1", "cmd.run", &[json!(format!("echo ran >> {}", counter.display()))]);
    let _ = fleet.ending(&jid, "m1", 10.0);
    m1.kill();
    let journal = m1.root().join("var/lib/brine/minion/journal");
    let mut bytes = fs::read(&journal).unwrap();
    bytes.extend_from_slice(b"\x00\x00\x01\x00torn");
    fs::write(&journal, bytes).unwrap();
    m1.start();
    fleet.until_back(&m1);
    fleet.ping("m1");
    stays(0.3, "nothing runs again", || lines(&counter) == 1);
}
