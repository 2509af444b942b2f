//! Targets with real processes: every option, nodegroups, grains that change, and what is said of a
//! target that means nobody or cannot be read.

use std::fs;

use brine_tests::fleet::Fleet;
use brine_tests::minion::Minion;
use brine_tests::process::Done;
use brine_tests::within;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// The nodegroups of Salt's recorded runs.
const GROUPS: &str = "nodegroups:
  g1: L@m1,m2
  g2: G@role:web or m3
  g3: [N@g1, or, m4]
roles:
  zoe: {role: operator, zones: [Dijon]}
  olga: {role: operator}
";

/// m1 and m2 are web, m3 and m4 are db.
fn fleet() -> (Fleet, Vec<Minion>) {
    let fleet = Fleet::start_with(GROUPS);
    let minions = [("m1", "web"), ("m2", "web"), ("m3", "db"), ("m4", "db")].map(|(id, role)| {
        let options = format!("grains:\n  role: {role}\n  path: 'C:{id}'\n");
        fleet.minion_with(id, id, &options)
    });
    (fleet, minions.into())
}

/// Who answers.
#[track_caller]
fn answers(fleet: &Fleet, words: &[&str]) -> Vec<String> {
    let words = [words, &["test.ping", "--out", "json", "--static"]].concat();
    let done = fleet.brine(&words).expect(0);
    let mut ids: Vec<String> = done.json().as_object().expect("a map").keys().cloned().collect();
    ids.sort();
    ids
}

fn jobs(fleet: &Fleet) -> usize {
    fleet.api().get("/v1/jobs").expect(200).json().as_array().expect("a list").len()
}

#[test]
fn every_option_reaches_whom_it_means() {
    let (fleet, _minions) = fleet();
    for (words, expected) in [
        (&["m[12]"][..], &["m1", "m2"][..]),
        (&["-E", "m[13]$"], &["m1", "m3"]),
        (&["--pcre", "m1|m4"], &["m1", "m4"]),
        (&["-L", "m1, m3"], &["m1", "m3"]),
        (&["-G", "role:w*"], &["m1", "m2"]),
        (&["--grain", "role:db"], &["m3", "m4"]),
        (&["-G", "path|C:m4", "--delimiter", "|"], &["m4"]),
        (&["-P", "role:(web|x)$"], &["m1", "m2"]),
        (&["-S", "127.0.0.0/8"], &["m1", "m2", "m3", "m4"]),
        (&["-N", "g1"], &["m1", "m2"]),
        (&["-N", "g3"], &["m1", "m2", "m4"]),
        (&["-C", "G@role:web and not m1"], &["m2"]),
        (&["-C", "G|@path|C:m3 or ( E@m[12] and not L@m1 )"], &["m2", "m3"]),
        // In Salt this runs on m1: there the group is pasted in without its parentheses.
        (&["-C", "N@g2 and not m1"], &["m2", "m3"]),
    ] {
        assert_eq!(answers(&fleet, words), expected, "{words:?}");
    }
    // Pillar is empty here, so nobody has any.
    for words in [["-I", "role:web", "test.ping"], ["-J", "role:.*", "test.ping"]] {
        fleet.brine(&words).refused(2, &["no accepted minion matches"]);
    }
    fleet
        .brine(&["-G", "role:nosuch", "test.ping"])
        .refused(2, &["no accepted minion matches \"role:nosuch\"\n"]);
}

#[test]
fn options_that_make_no_sense_are_explained_before_anything_is_sent() {
    let (fleet, _minions) = (Fleet::start_with(GROUPS), ());
    for (words, said) in [
        (&["-E", "m1", "-G", "x:y", "test.ping"][..], "cannot be used with"),
        (&["-R", "%web", "test.ping"], "SECO range server"),
        (&["m1", "--delimiter", "|", "test.ping"], "--delimiter goes with -G"),
        (&["-Z", "Dijon", "test.ping"], "FIELD:GLOB"),
    ] {
        let done = fleet.brine(words);
        assert_eq!(done.code, 2, "{words:?}: {done:?}");
        assert!(done.stderr.contains(said) && done.stdout.is_empty(), "{words:?}: {done:?}");
    }
}

#[test]
fn a_target_that_cannot_be_read_is_drawn_with_its_place() {
    let (fleet, _minions) = (Fleet::start_with(GROUPS), ());
    for (words, column) in [
        (&["-C", "m1 and N@nosuch"][..], 8),
        (&["-C", "m1 and ( m2"], 12),
        (&["-E", "m("], 0),
        (&["-N", "nosuch"], 1),
    ] {
        for verb in [&["test.ping"][..], &["--preview-target"]] {
            let done = fleet.brine(&[words, verb].concat()).expect(2);
            let lines: Vec<&str> = done.stderr.lines().collect();
            let [said, shown, caret] = lines[..] else { panic!("{done:?}") };
            assert!(said.starts_with("brine: "), "{done:?}");
            assert_eq!(shown, format!("  {}", words[1]));
            let at = caret.find('^').expect("a caret") - 1;
            assert_eq!(caret.trim(), "^");
            assert!(column == 0 || at == column, "{words:?}: {done:?}");
        }
    }
    let reply =
        fleet.api().post("/v1/targets", &json!({"target": {"kind": "compound", "expression": "m1 and"}}));
    assert!(reply.json()["column"].is_u64(), "{}", reply.body);
    reply.is_problem(400, "bad_request");
    assert_eq!(jobs(&fleet), 0);
}

#[test]
fn whom_a_target_means_is_told_and_nothing_runs() {
    let (fleet, mut minions) = fleet();
    assert!(minions[2].process().stop().success());
    within(5.0, "m3 is gone", || (fleet.presence("m3") == "offline").then_some(()));
    let get = |words: &[&str]| fleet.brine(&[&["target", "get"], words].concat()).expect(0);

    let table = get(&["-C", "N@g2 and not m1"]);
    let lines: Vec<&str> = table.stdout.lines().collect();
    assert!(lines[0].starts_with("ID  PRESENCE") && lines[0].ends_with("WHY"), "{}", table.stdout);
    assert!(lines[1].starts_with("m2  up") && lines[1].ends_with("  N@g2 yes, m1 no"), "{}", table.stdout);
    assert!(lines[2].starts_with("m3  offline since") && lines[2].contains("m1 no"), "{}", table.stdout);
    assert_eq!(lines.len(), 3);
    assert_eq!(table.stderr, "2 of 4 accepted minions match, 1 of them offline\n");
    let preview = fleet.brine(&["--preview-target", "-C", "N@g2 and not m1"]).expect(0);
    assert_eq!(preview.stdout, "- m2\n- m3\n");

    let document = get(&["-G", "role:db", "--out", "json"]).json();
    assert_eq!(
        (&document["matched"], &document["offline"], &document["accepted"]),
        (&json!(2), &json!(1), &json!(4))
    );
    let ids: Vec<&Value> =
        document["minions"].as_array().expect("a list").iter().map(|one| &one["id"]).collect();
    assert_eq!(ids, ["m3", "m4"]);
    assert_eq!(document["minions"][1]["presence"], json!({"is": "up"}));
    assert_eq!(document["minions"][1]["why"][0][1], true);
    assert!(get(&["m1", "--out", "yaml"]).stdout.contains("matched: 1\n"));
    fleet.brine(&["target", "get", "x*"]).refused(2, &["no accepted minion matches \"x*\""]);
    // A target may be called as the noun.
    fleet.brine(&["-L", "target", "get", "test.ping"]).refused(2, &["not a function"]);
    assert_eq!(jobs(&fleet), 0);
}

#[test]
fn nobody_is_told_from_offline_and_from_unknown() {
    let (fleet, mut minions) = fleet();
    for minion in &mut minions[2..] {
        assert!(minion.process().stop().success());
    }
    for id in ["m3", "m4"] {
        within(5.0, "it is gone", || (fleet.presence(id) == "offline").then_some(()));
    }
    let done = fleet.brine(&["-G", "role:db", "test.ping"]).expect(12);
    let said = "matched but offline: none of the 2 minions that match is connected; nothing was run\n";
    assert!(done.stderr.ends_with(said), "{done:?}");
    assert_eq!(done.stdout.matches("Minion did not return. [offline since").count(), 2, "{done:?}");
    // Somebody was there.
    assert!(!fleet.brine(&["*", "test.ping"]).expect(12).stderr.contains("matched but offline"));

    // Accepted, and never there: nothing is known of it.
    let mut m5 = fleet.stranger("m5");
    fleet.until_key(&m5, "pending");
    m5.kill();
    fleet.act("accept", "m5", &m5.fingerprint());
    let done = fleet.brine(&["-G", "role:mail", "test.ping"]);
    done.refused(2, &["no accepted minion matches \"role:mail\"; 1 of 5 could not be judged"]);
    let done = fleet.brine(&["-L", "m1,m9", "test.ping", "--out", "txt"]).expect(12);
    assert_eq!(done.stdout, "m9: Minion did not return. [no accepted key has this id]\nm1: True\n");
    let done = fleet.brine(&["-C", "L@m2,m8 or m1", "test.ping", "--out", "txt"]).expect(12);
    assert!(
        done.stdout.starts_with("m8: Minion did not return. [no accepted key has this id]\n"),
        "{done:?}"
    );
}

#[test]
fn grains_that_a_job_sets_are_targets_when_it_has_returned() {
    let (fleet, _minions) = fleet();
    for round in 0..20 {
        let (set, target) = (format!("round{round}"), format!("mark:round{round}"));
        fleet.brine(&["m[14]", "grains.setval", "mark", &set]).expect(0);
        assert_eq!(answers(&fleet, &["-G", &target]), ["m1", "m4"]);
    }
}

#[test]
fn what_is_no_longer_meant_says_why() {
    let (fleet, mut minions) = fleet();
    fleet.brine(&["m1", "grains.setval", "stage", "test"]).expect(0);
    let m1 = &mut minions[0];
    assert!(m1.process().stop().success());
    within(5.0, "m1 is gone", || (fleet.presence("m1") == "offline").then_some(()));
    let request = json!({
        "target": {"kind": "compound", "expression": "N@g1 and G@stage:test"},
        "calls": [{"function": "cmd.run", "arguments": ["true"]}],
        "delivery": {"queue": {"ttl_ms": 60_000}},
    });
    let job = fleet.api().post("/v1/jobs", &request).expect(201).json();
    let jid = job["jid"].as_str().expect("a jid");
    fs::write(m1.root().join("etc/brine/grains"), "stage: live\n").expect("the grains file");
    m1.start();
    let ending = fleet.ending(jid, "m1", 10.0);
    assert_eq!(ending["state"], "refused", "{ending}");
    let why = ending["why"].as_str().expect("a reason");
    assert!(why.starts_with("no longer matches: m1 is not in the target"), "{why}");
    assert!(why.contains("does not hold: ") && why.ends_with("G@stage:test"), "{why}");
    assert!(!why.contains("g1"), "a minion hears no names of groups: {why}");
}

#[test]
fn an_operator_of_a_zone_means_its_own_and_probes_no_pillar() {
    let (fleet, _minions) = fleet();
    for (name, zone, id) in [("eluard", "Dijon", "m1"), ("hugo", "Lyon", "m2")] {
        fleet.brine(&["server", "create", "--name", name, "--model", "scribe", "--zone", zone]).expect(0);
        fleet.brine(&["server", "pair", name, id, "-y"]).expect(0);
    }
    for words in [&["-G", "role:web"][..], &["-N", "g2"], &["-C", "Z@zone:* and G@role:*"], &["*"]] {
        assert_eq!(answers(&fleet, &[&["--as", "zoe"], words].concat()), ["m1"], "{words:?}");
        let matched =
            fleet.brine(&[&["--as", "zoe", "target", "get", "--out", "json"], words].concat()).expect(0);
        assert_eq!(
            (&matched.json()["matched"], &matched.json()["accepted"]),
            (&json!(1), &json!(1)),
            "{words:?}"
        );
    }
    fleet.brine(&["--as", "zoe", "-N", "g2", "test.ping", "--async"]).expect(0);
    assert_eq!(answers(&fleet, &["-C", "Z@zone:Lyon or G@role:db"]), ["m2", "m3", "m4"]);
    fleet.brine(&["--as", "olga", "-I", "password:a*", "test.ping"]).refused(4, &["only administrators"]);
    fleet.brine(&["--as", "olga", "target", "get", "-J", "password:a"]).refused(4, &["only administrators"]);
    fleet.brine(&["--as", "olga", "-I", "password:abc", "test.ping"]).refused(2, &["no accepted minion"]);
}

#[test]
fn groups_are_checked_at_the_start_and_read_again_on_a_signal() {
    let faulty = [
        ("nodegroups:\n  a: N@b\n  b: m1 or N@a\n", "nodegroup"),
        ("nodegroups:\n  web: m1 and N@nosuch\n", "nosuch"),
        ("nodegroups:\n  web: 'm1 and ('\n", "web"),
    ];
    for (options, named) in faulty {
        let fleet = Fleet::prepare(options);
        let done = Done::run(fleet.command("brine-master", &[]));
        assert_eq!(done.code, 1, "{done:?}");
        for text in ["option \"nodegroups\": nodegroup", "column", named] {
            assert!(done.stderr.contains(text), "{text:?} is not in {}", done.stderr);
        }
    }
    let mut fleet = Fleet::start_with(GROUPS);
    let _m1 = fleet.minion("m1");
    let until = |fleet: &mut Fleet, expected: &str| {
        fleet.master().signal(Signal::SIGHUP);
        within(10.0, expected, || fleet.log().contains(expected).then_some(()));
    };
    fleet.set_options("nodegroups:\n  new: [m1, m2]\n");
    until(&mut fleet, "the configuration was reloaded");
    assert_eq!(answers(&fleet, &["-N", "new"]), ["m1"]);
    fleet.brine(&["-N", "g1", "test.ping"]).refused(2, &["g1"]);
    fleet.set_options("nodegroups:\n  new: N@new\n");
    until(&mut fleet, "everything stays as it was");
    assert_eq!(answers(&fleet, &["-N", "new"]), ["m1"]);
}
