//! A record is made and paired while the fleet works: nobody notices.

use std::fs;

use brine_tests::fleet::{Fleet, job};
use brine_tests::{eventually, within};
use nix::sys::stat::Mode;
use serde_json::{Value, json};

use super::{create, is_linked};

const MINIONS: [&str; 4] = ["m1", "m2", "m3", "m4"];
const JOBS: usize = 200;

#[test]
fn a_record_made_while_200_jobs_run_disturbs_none_of_them() {
    let fleet = Fleet::start();
    let mut events = fleet.api().events("GET", "/v1/events", None);
    let mut minions: Vec<_> =
        MINIONS.iter().map(|id| fleet.minion_with(id, id, "process_count_max: 64\n")).collect();
    let pids: Vec<i32> = minions.iter_mut().map(|minion| minion.process().pid()).collect();

    // Every job holds the reading end of a pipe that nobody writes to yet.
    let (gate, counter) = (fleet.dir().join("gate"), fleet.dir().join("counter"));
    nix::unistd::mkfifo(&gate, Mode::S_IRWXU).unwrap();
    let held = json!(format!("echo ran >> {}; : < {}; echo done", counter.display(), gate.display()));
    let jids: Vec<(String, &str)> = (0..JOBS)
        .map(|n| {
            let minion = MINIONS[n % MINIONS.len()];
            (fleet.submit(minion, "cmd.run", std::slice::from_ref(&held)), minion)
        })
        .collect();
    let ran = || fs::read_to_string(&counter).map_or(0, |text| text.lines().count());
    eventually(60.0, "all jobs run", || ran() == JOBS);

    let m5 = fleet.stranger("m5");
    fleet.until_key(&m5, "pending");
    let server = create(&fleet, &["--name", "web1", "--zone", "Dijon"]);
    fleet.brine(&["server", "pair", "web1", "m5", "--expect", &m5.fingerprint(), "-y"]).expect(0);
    fleet.until_up("m5");
    assert!(is_linked(&fleet, &server, "m5", &m5.fingerprint()));
    // An accepted one as well, which runs fifty jobs.
    create(&fleet, &["--name", "web2"]);
    fleet.brine(&["server", "pair", "web2", "m1", "-y"]).expect(0);
    fleet.ping("m5");
    for (jid, minion) in &jids {
        assert_eq!(fleet.row(jid, minion)["ending"], Value::Null, "{jid} ended before its gate was open");
    }

    // Whoever opens the gate late still passes: a writer stays until all have ended.
    let writer = fs::OpenOptions::new().read(true).write(true).open(&gate).unwrap();
    for (jid, minion) in &jids {
        let ending = fleet.ending(jid, minion, 60.0);
        assert_eq!((&ending["state"], &ending["value"]), (&json!("returned"), &json!("done")), "{ending}");
    }
    drop(writer);
    assert_eq!(ran(), JOBS, "each ran once");

    // Of all that was said from the beginning: whose session began or ended?
    let request = job("m5", "test.echo", &[json!("last")]);
    let last = fleet.api().post("/v1/jobs", &request).expect(201).json()["jid"].clone();
    let mut sessions = Vec::new();
    within(20.0, "the stream comes to its end", || {
        let event = events.next_within(10.0).expect("an event");
        if event.name.ends_with("/start") || event.name.ends_with("/stop") {
            sessions.push(event.name.clone());
        }
        event.name.contains(last.as_str().unwrap()).then_some(())
    });
    sessions.sort();
    assert_eq!(sessions, ["m1", "m2", "m3", "m4", "m5"].map(|id| format!("brine/minion/{id}/start")));
    assert!(minions.iter_mut().all(|minion| minion.process().is_alive()));
    assert_eq!(pids, minions.iter_mut().map(|minion| minion.process().pid()).collect::<Vec<_>>());
}
