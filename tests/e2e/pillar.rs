//! Pillar: each minion its own, from files that change, and nothing of it left lying about.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use brine_protocol::message::{ToMaster, ToMinion};
use brine_protocol::pillar::RefreshPillar;
use brine_tests::eventually;
use brine_tests::fleet::Fleet;
use brine_tests::peer::Peer;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const FILES: &[(&str, &str)] = &[
    ("top.yaml", "base:\n  '*': [common]\n  'm1': [web.tls]\n  'm2': [db]\n"),
    ("common.sls", "site: none\nusers: {bob: {uid: 1001}}\n"),
    ("web/tls.yaml", "role: web\nsite: Dijon\nusers: {alice: {uid: 1000}}\npassword: canary-of-m1\n"),
    ("db.yaml", "role: db\npassword: canary-of-m2\n"),
];

fn write(fleet: &Fleet, name: &str, text: &str) {
    let path = fleet.root().join("etc/brine/pillar").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn started(files: &[(&str, &str)]) -> Fleet {
    let mut fleet = Fleet::prepare("");
    for (name, text) in files {
        write(&fleet, name, text);
    }
    fleet.start_master();
    fleet
}

/// Runs a function on a minion and gives its value, whatever the retcode.
fn value(fleet: &Fleet, id: &str, arguments: &[&str]) -> Value {
    let mut all = vec!["--out", "json", "--static", id];
    all.extend_from_slice(arguments);
    fleet.brine(&all).json()[id].clone()
}

/// Who answers to a target.
fn answers(fleet: &Fleet, words: &[&str]) -> Vec<String> {
    let mut all = vec!["--out", "json", "--static"];
    all.extend_from_slice(words);
    all.push("test.ping");
    let done = fleet.brine(&all);
    let mut ids: Vec<String> = match done.code {
        0 => done.json().as_object().unwrap().keys().cloned().collect(),
        _ => Vec::new(),
    };
    ids.sort();
    ids
}

#[test]
fn each_minion_has_its_own_and_targets_find_it() {
    let fleet = started(FILES);
    let (_m1, _m2) = (fleet.minion("m1"), fleet.minion("m2"));
    let all = json!({
        "site": "Dijon", "users": {"bob": {"uid": 1001}, "alice": {"uid": 1000}},
        "role": "web", "password": "canary-of-m1",
    });
    assert_eq!(value(&fleet, "m1", &["pillar.items"]), all);
    assert_eq!(value(&fleet, "m1", &["pillar.get", "users:alice:uid"]), json!(1000));
    assert_eq!(value(&fleet, "m2", &["pillar.get", "users:alice:uid", "default=7"]), json!(7));
    assert_eq!(value(&fleet, "m2", &["pillar.item", "site", "role"]), json!({"site": "none", "role": "db"}));
    assert_eq!(value(&fleet, "m1", &["pillar.get", "no:such"]), json!(""));
    assert_eq!(value(&fleet, "m2", &["pillar.ls"]), json!(["password", "role", "site", "users"]));
    assert_eq!(fleet.brine(&["m1", "pillar.keys", "no:such"]).code, 11);
    assert_eq!(answers(&fleet, &["-I", "role:web"]), ["m1"]);
    assert_eq!(answers(&fleet, &["-I", "users:*:uid:1001"]), ["m1", "m2"]);
    assert_eq!(answers(&fleet, &["-J", "role:^(web|db)$"]), ["m1", "m2"]);
    assert_eq!(answers(&fleet, &["-C", "I@users:bob and not J@site:^Di"]), ["m2"]);
    assert!(answers(&fleet, &["-I", "role:nosuch"]).is_empty());

    let shown = fleet.brine(&["pillar", "show", "m2", "--out", "json"]).expect(0).json();
    assert_eq!(shown["pillar"]["password"], "canary-of-m2");
    assert!(shown["files"]["role"][0].as_str().unwrap().ends_with("etc/brine/pillar/db.yaml"), "{shown}");
    assert!(fleet.brine(&["pillar", "check"]).expect(0).stdout.contains("3 targets, 3 files"));
    fleet.api().get("/v1/minions/m3/pillar").is_problem(404, "not_found");
}

#[test]
fn a_change_arrives_by_refresh_and_by_sighup() {
    let mut fleet = started(FILES);
    let (_m1, _m2) = (fleet.minion("m1"), fleet.minion("m2"));
    write(&fleet, "db.yaml", "role: cache\n");
    assert_eq!(value(&fleet, "m2", &["pillar.get", "role"]), json!("db"), "nobody was told");
    assert_eq!(value(&fleet, "m2", &["brine.refresh_pillar"]), json!(true));
    assert_eq!(value(&fleet, "m2", &["pillar.get", "role"]), json!("cache"));
    assert_eq!(answers(&fleet, &["-I", "role:cache"]), ["m2"]);
    // Whoever asked right after somebody else gets files that were read after it asked.
    for n in 0..3 {
        write(&fleet, "common.sls", &format!("round: {n}\n"));
        assert_eq!(value(&fleet, "m1", &["brine.refresh_pillar"]), json!(true));
        assert_eq!(value(&fleet, "m1", &["pillar.get", "round"]), json!(n));
    }
    write(&fleet, "top.yaml", "'m*': [db]\n");
    fleet.master().signal(Signal::SIGHUP);
    eventually(5.0, "the new pillar is there", || {
        value(&fleet, "m1", &["pillar.items"]) == json!({"role": "cache"})
    });
    // A minion that starts later has it as well, and one that is restarted.
    let mut m3 = fleet.minion("m3");
    assert_eq!(value(&fleet, "m3", &["pillar.items"]), json!({"role": "cache"}));
    m3.kill();
    m3.start();
    fleet.until_back(&m3);
    assert_eq!(value(&fleet, "m3", &["pillar.items"]), json!({"role": "cache"}));
    // Other folders are an option that changes in place.
    let other = fleet.dir().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("top.sls"), "base:\n  'm1': [own]\n").unwrap();
    fs::write(other.join("own.yaml"), "mine: true\n").unwrap();
    for name in ["", "top.sls", "own.yaml"] {
        fs::set_permissions(other.join(name), fs::Permissions::from_mode(0o700)).unwrap();
    }
    fleet.set_options(&format!("pillar_roots:\n  base:\n    - {}\n", other.display()));
    fleet.master().signal(Signal::SIGHUP);
    eventually(5.0, "the new pillar is there", || {
        value(&fleet, "m1", &["pillar.items"]) == json!({"mine": true})
    });
    assert_eq!(value(&fleet, "m2", &["pillar.items"]), json!({}));
}

#[test]
fn broken_files_keep_what_was_good_and_the_master_says_so() {
    let mut fleet = started(FILES);
    let _m1 = fleet.minion("m1");
    write(&fleet, "web/tls.yaml", "role: web\npassword: {{ canary }}\n");
    let check = fleet.brine(&["pillar", "check"]);
    assert_eq!(check.code, 1, "{check:?}");
    assert!(check.stdout.contains("web/tls.yaml:2: Jinja"), "{}", check.stdout);
    assert_eq!(fleet.health()["status"], "ok", "checking changes nothing");
    let refused = value(&fleet, "m1", &["brine.refresh_pillar"]);
    assert!(
        refused.as_str().unwrap().starts_with("ERROR: the master's pillar files cannot be used"),
        "{refused}"
    );
    assert_eq!(value(&fleet, "m1", &["pillar.get", "site"]), json!("Dijon"));
    assert_eq!(answers(&fleet, &["-I", "site:Dijon"]), ["m1"]);
    let health = fleet.health();
    let problem = health["problems"][0].as_str().unwrap();
    assert!(health["status"] == "degraded" && problem.contains("web/tls.yaml:2: "), "{health}");
    assert!(fleet.log().contains("web/tls.yaml:2: ") && !fleet.log().contains("canary"), "{}", fleet.log());
    // A master that starts with them works, and minions that have a pillar keep it.
    let folder = fleet.root();
    fleet.master().stop();
    fleet.start_master();
    assert_eq!(fleet.root(), folder);
    assert!(fleet.health()["problems"][0].as_str().unwrap().contains("no minion gets a pillar"));
    write(&fleet, "web/tls.yaml", "site: Lyon\n");
    fleet.master().signal(Signal::SIGHUP);
    eventually(5.0, "the master is well again", || fleet.health()["status"] == "ok");
}

/// Every file below a folder that has one of these words in it.
fn leaks(folder: &Path, words: &[&str], found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            leaks(&path, words, found);
        } else if kind.is_file() {
            let bytes = fs::read(&path).unwrap_or_default();
            let has = |word: &&str| bytes.windows(word.len()).any(|window| window == word.as_bytes());
            if words.iter().any(has) {
                found.push(path);
            }
        }
    }
}

#[test]
fn nothing_of_a_pillar_is_left_anywhere_and_nobody_gets_anothers() {
    let mut fleet = started(FILES);
    let mut events = fleet.api().events("GET", "/v1/events", None);
    let (mut m1, _m2) = (fleet.minion("m1"), fleet.minion("m2"));
    // A minion of ill will: it asks, and gets its own.
    let (mut eve, _) = Peer::live(&fleet, "m3", "m3");
    for ask in 0..3 {
        assert!(eve.send(&ToMaster::RefreshPillar(RefreshPillar { ask })));
    }
    let heard = eve.receive_for(3.0);
    let pillars: Vec<_> = heard
        .iter()
        .filter_map(|message| match message {
            ToMinion::Pillar(pillar) => Some(pillar),
            _ => None,
        })
        .collect();
    assert!(pillars.iter().any(|pillar| pillar.ask == Some(2)), "{heard:?}");
    for pillar in &pillars {
        let own = pillar.pillar.as_ref().is_none_or(|pillar| !pillar.contains_key("password"));
        assert!(own, "its own, which has no password");
    }
    assert!(pillars.iter().any(|pillar| pillar.pillar.is_some()));

    for id in ["m1", "m2"] {
        assert_eq!(value(&fleet, id, &["brine.refresh_pillar"]), json!(true));
    }
    // Values are compared with, and none is in the target.
    assert_eq!(answers(&fleet, &["-J", "password:.*-m[12]"]), ["m1", "m2"]);
    assert_eq!(value(&fleet, "m1", &["pillar.get", "password"]), json!("canary-of-m1"));
    write(&fleet, "db.yaml", "password: canary-of-m2\nbroken: {{ x }}\n");
    fleet.brine(&["m2", "brine.refresh_pillar"]).expect(11);
    m1.kill();
    m1.start();
    fleet.until_back(&m1);
    while let Some(event) = events.next_within(0.5) {
        let shown = format!("{} {}", event.name, event.data);
        // What an operator asks for is in the return that it is answered with.
        assert!(!shown.contains("canary-of") || shown.contains("/ret/"), "{shown}");
    }
    fleet.master().stop();
    let mut found = Vec::new();
    leaks(fleet.dir(), &["canary-of-m2"], &mut found);
    assert_eq!(found, [fleet.root().join("etc/brine/pillar/db.yaml")]);
    // What was asked for is with the job's return in the master's store, and on no minion's disk.
    let mut found = Vec::new();
    leaks(fleet.dir(), &["canary-of-m1"], &mut found);
    let store = fleet.root().join("var/lib/brine/master/store");
    assert!(found.iter().any(|path| path.starts_with(&store)), "{found:?}");
    assert!(!found.iter().any(|path| path.starts_with(m1.root())), "{found:?}");
}

#[test]
fn only_administrators_see_pillar() {
    let mut fleet = Fleet::prepare("roles: {ann: {role: operator}, vic: {role: viewer}}\n");
    for (name, text) in FILES {
        write(&fleet, name, text);
    }
    fleet.start_master();
    let _m1 = fleet.minion("m1");
    for name in ["ann", "vic"] {
        for path in ["/v1/minions/m1/pillar", "/v1/pillar/check"] {
            fleet.api().act_as(name).get(path).is_problem(403, "forbidden");
        }
    }
    let done = fleet.brine(&["--as", "ann", "-I", "password:canary*", "test.ping"]);
    assert_eq!(done.code, 4, "{done:?}");
}

#[test]
fn a_local_call_has_none() {
    let fleet = Fleet::prepare("");
    let minion = fleet.prepare_minion("m1");
    assert_eq!(minion.run(&["call", "--out", "json", "pillar.items"]).expect(0).json(), json!({"local": {}}));
    let done = minion.run(&["call", "brine.refresh_pillar"]);
    assert!(done.code != 0 && done.stdout.contains("no master to ask"), "{done:?}");
}
