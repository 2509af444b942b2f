//! What `brine-key` does beyond salt-key: histories, watching, moving, checking, rotating.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use brine_tests::fixtures::{fingerprint, key_file};
use brine_tests::fleet::Fleet;
use brine_tests::process::{Done, Process};
use brine_tests::{eventually, within};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// A listed administrator may act under alice's name.
const ALICE: &str = "roles:\n  alice: {role: operator}\n";

#[test]
fn a_history_has_every_decision_with_who_and_why() {
    let mut fleet = Fleet::start_with(ALICE);
    let m1 = fleet.stranger("m1");
    fleet.until_key(&m1, "pending");
    fleet.brine_key(&["-a", "m1", "-y", "--reason", "ticket 7"]).expect(0);
    fleet.until_up("m1");
    fleet.brine_key(&["suspend", "m1", "-y", "--reason", "stolen\u{1b}[2J", "--as", "alice"]).expect(0);
    fleet.until_key(&m1, "suspended");
    eventually(1.0, "m1 is cut off", || fleet.presence("m1").is_empty());
    fleet.brine_key(&["resume", "m1", "-y"]).expect(0);
    fleet.until_up("m1");
    fleet.brine_key(&["-d", "m1", "-y", "--expect", &m1.fingerprint()]).expect(0);

    let check = |done: Done| {
        let decisions = done.expect(0).json();
        let told: Vec<(&str, &str, bool)> = decisions
            .as_array()
            .unwrap()
            .iter()
            .map(|decision| {
                assert_eq!(decision["fingerprint"], m1.fingerprint().as_str());
                let by = decision["by"].as_str().unwrap();
                (
                    decision["act"].as_str().unwrap(),
                    decision["reason"].as_str().unwrap_or_default(),
                    by.contains("alice"),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                ("accept", "ticket 7", false),
                ("suspend", "stolen\u{1b}[2J", true),
                ("resume", "", false),
                ("delete", "", false)
            ]
        );
        decisions
    };
    let online = check(fleet.brine_key(&["history", "m1", "--out", "json"]));
    let text = fleet.brine_key(&["history", "m1"]).expect(0).stdout;
    assert!(text.contains("reason  ticket 7") && text.contains("as alice"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
    let nobody = fleet.brine_key(&["history", "nobody"]).expect(1);
    assert!(nobody.stderr.contains("nothing was ever decided"), "{nobody:?}");

    // The same from the ledger alone.
    fleet.master().stop();
    assert_eq!(check(fleet.brine_key(&["history", "m1", "--out", "json"])), online);
}

#[test]
fn watching_sees_a_decision_and_lives_through_a_restart() {
    let mut fleet = Fleet::prepare_with_ports("");
    fleet.start_master();
    let log = fleet.dir().join("watch.log");
    let mut watch = Process::start(fleet.command("brine-key", &["watch", "--out", "json"]), &log);
    eventually(10.0, "it watches", || watch.log().contains("watching"));
    let m1 = fleet.stranger("m1");
    fleet.until_key(&m1, "pending");
    fleet.brine_key(&["-a", "m1", "-y"]).expect(0);
    let event = |what: &str| {
        within(10.0, &format!("{what} is seen"), || {
            let seen: Vec<Value> =
                watch.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
            seen.into_iter().find(|event: &Value| event["tag"] == format!("brine/key/m1/{what}").as_str())
        })
    };
    assert_eq!(event("pending")["data"]["fingerprint"], m1.fingerprint().as_str());
    assert!(event("accepted")["data"]["by"].as_str().unwrap().starts_with("unix:"));

    fleet.kill_master();
    eventually(10.0, "it says that the master went away", || watch.log().contains("trying again"));
    fleet.start_master();
    fleet.brine_key(&["suspend", "m1", "-y"]).expect(0);
    event("suspended");
    watch.signal(Signal::SIGINT);
    let status = watch.wait(5.0);
    assert_eq!(status.code(), Some(130), "{status:?}");
}

/// A Salt master's folder with keys in every state, as Salt writes them.
fn salt_folder(parent: &Path) -> PathBuf {
    let root = parent.join("salt/pki/master");
    for (file, key) in [
        ("minions/web1", "m1"),
        ("minions_denied/web1", "m2"),
        ("minions/web2", "m2"),
        ("minions_pre/new1", "m3"),
        ("minions_rejected/bad1", "m4"),
    ] {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(key_file(&format!("{key}.pub")), &path).unwrap();
    }
    root
}

/// Every file below a folder with its text.
fn tree(root: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for state in ["minions", "minions_denied", "minions_pre", "minions_rejected"] {
        let entries = fs::read_dir(root.join(state)).unwrap().flatten();
        for path in entries.map(|entry| entry.path()) {
            let name = path.strip_prefix(root).unwrap().display().to_string();
            found.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
    found.sort();
    found
}

fn states(fleet: &Fleet) -> Value {
    fleet.brine_key(&["-L", "--out", "json"]).expect(0).json()
}

#[test]
fn a_fleet_moves_from_salt_and_back() {
    for is_running in [true, false] {
        let mut fleet = Fleet::start();
        if !is_running {
            fleet.master().stop();
        }
        let root = salt_folder(fleet.dir());
        let from = root.to_str().unwrap();
        let empty = states(&fleet);
        let dry = fleet.brine_key(&["import", "--from-salt", from, "--dry-run"]).expect(0).stdout;
        assert!(dry.contains(&fingerprint("m1")) && dry.contains("salt-call"), "both fingerprints: {dry}");
        assert_eq!(states(&fleet), empty, "a dry run changes nothing");
        let unanswered =
            Done::run_with_input(fleet.command("brine-key", &["import", "--from-salt", from]), "");
        unanswered.expect(1);
        Done::run_with_input(fleet.command("brine-key", &["import", "--from-salt", from]), "\n").expect(0);
        assert_eq!(states(&fleet), empty, "Enter is no");

        let done = fleet.brine_key(&["import", "--from-salt", from, "-y", "--out", "json"]).expect(0).json();
        assert_eq!(done["imported"].as_array().unwrap().len(), 5, "{done}");
        for key in done["imported"].as_array().unwrap() {
            let salt = key["salt_fingerprint"].as_str().unwrap();
            assert!(salt.len() == 95 && key["fingerprint"] != salt, "{key}");
        }
        assert_eq!(
            states(&fleet),
            json!({
                "minions_pre": ["new1"],
                "minions_rejected": ["bad1"],
                "minions": ["web1", "web2"],
                "minions_denied": ["web1"],
                "minions_suspended": [],
            })
        );
        let history = fleet.brine_key(&["history", "web1", "--out", "json"]).expect(0).json();
        assert!(history[0]["reason"].as_str().unwrap().contains("imported from"), "{history}");
        let again = fleet.brine_key(&["import", "--from-salt", from, "-y", "--out", "json"]).expect(0).json();
        assert_eq!(
            (again["imported"].clone(), again["here_already"].as_array().unwrap().len()),
            (json!([]), 5)
        );

        let to = fleet.dir().join("back");
        let to_text = to.to_str().unwrap();
        fleet.brine_key(&["export", "--to-salt", to_text]).expect(0);
        assert_eq!(tree(&to), tree(&root));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&to), mode(&to.join("minions/web1"))), (0o700, 0o600));

        // A key that is other than ours stays unless told otherwise, and a suspended one is named.
        fs::copy(key_file("m5.pub"), to.join("minions/web2")).unwrap();
        fleet.brine_key(&["suspend", "web1", "-y"]).expect(0);
        let kept = fleet.brine_key(&["export", "--to-salt", to_text]).expect(1);
        assert!(kept.stderr.contains("web1 (suspended") && kept.stderr.contains("--force"), "{kept:?}");
        let m5 = fs::read_to_string(key_file("m5.pub")).unwrap();
        assert_eq!(fs::read_to_string(to.join("minions/web2")).unwrap(), m5);
        fleet.brine_key(&["export", "--to-salt", to_text, "--force"]).expect(0);
        let m2 = fs::read_to_string(key_file("m2.pub")).unwrap();
        assert_eq!(fs::read_to_string(to.join("minions/web2")).unwrap(), m2);
    }
}

/// Salt denies the stranger because of a key that is too short to be taken in here.
#[test]
fn a_key_that_salt_denies_is_not_left_as_the_only_one() {
    let fleet = Fleet::start();
    let root = fleet.dir().join("pki");
    for (file, key) in [("minions/db1", "m1"), ("minions_denied/db1", "m3"), ("minions_denied/web1", "m2")] {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(key_file(&format!("{key}.pub")), &path).unwrap();
    }
    fs::write(root.join("minions/web1"), include_str!("../../pki/tests/keys/small.pub")).unwrap();
    let from = root.to_str().unwrap();
    let import = ["import", "--from-salt", from, "--out", "json"];
    let unanswered = Done::run_with_input(fleet.command("brine-key", &import), "").expect(1).json();
    assert_eq!((&unanswered["imported"], &unanswered["refused"]), (&json!([]), &json!([])));
    let no = Done::run_with_input(fleet.command("brine-key", &import), "n\n").expect(1).json();
    assert_eq!((&no["imported"], no["left_out"].as_array().unwrap().len()), (&json!([]), 2));

    let done = fleet.brine_key(&["import", "--from-salt", from, "-y"]).expect(1);
    assert!(done.stdout.contains("left out  minions_denied/web1: Salt denies it"), "{done:?}");
    assert!(done.stdout.contains("Imported: 1 accepted, 1 denied."), "{done:?}");
    fleet.brine_key(&["-A", "-y"]).expect(1);
    let now = states(&fleet);
    assert_eq!((&now["minions"], &now["minions_pre"]), (&json!(["db1"]), &json!([])));
}

/// What Salt says of a key that waits there may be otherwise here.
#[test]
fn an_import_tells_the_states_that_came_of_it() {
    let fleet = Fleet::start();
    let _web1 = fleet.minion_with("web1", "m1", "");
    let folder = fleet.dir().join("pki/minions_pre");
    fs::create_dir_all(&folder).unwrap();
    fs::copy(key_file("m2.pub"), folder.join("web1")).unwrap();
    let root = folder.parent().unwrap().to_str().unwrap();
    let done = fleet.brine_key(&["import", "--from-salt", root, "-y", "--out", "json"]).expect(0).json();
    assert_eq!(done["imported"][0]["state"], "denied");
}

#[test]
fn an_export_goes_on_behind_what_cannot_be_written() {
    let fleet = Fleet::start();
    let root = salt_folder(fleet.dir());
    fleet.brine_key(&["import", "--from-salt", root.to_str().unwrap(), "-y"]).expect(0);
    let to = fleet.dir().join("back");
    let export = ["export", "--to-salt", to.to_str().unwrap(), "--force"];
    fs::create_dir_all(to.join("minions/web1")).unwrap();
    let done = fleet.brine_key(&export).expect(1);
    assert!(done.stderr.contains("the key of web1 was not written"), "{done:?}");
    assert!(
        done.stdout.contains("Wrote 4 keys") && done.stdout.contains("1 could not be written"),
        "{done:?}"
    );
    let document = fleet.brine_key(&[&export[..], &["--out", "json"]].concat()).expect(1).json();
    assert_eq!((&document["failed"][0]["id"], &document["there_already"]), (&json!("web1"), &json!(4)));

    fs::remove_dir(to.join("minions/web1")).unwrap();
    let elsewhere = fleet.dir().join("elsewhere");
    fs::rename(to.join("minions"), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, to.join("minions")).unwrap();
    fleet.brine_key(&export).refused(4, &["minions", "symlink"]);
    assert!(!elsewhere.join("web1").exists());
}

#[test]
fn every_key_of_ids_with_several_is_rejected() {
    let fleet = Fleet::start();
    let keys = [("a1", "m1"), ("a1", "m2"), ("a1", "m3"), ("b1", "m4"), ("b1", "m5"), ("c1", "m6")];
    let strangers = keys.map(|(id, key)| fleet.stranger_with(id, key, ""));
    for minion in &strangers {
        fleet.until_key(minion, "pending");
    }
    let said = fleet.brine_key(&["-R", "-y", "--out", "json"]).expect(0).json();
    assert_eq!((said["rejected"].as_array().unwrap().len(), &said["refused"]), (6, &json!([])));
    let now = states(&fleet);
    assert_eq!((&now["minions_denied"], &now["minions_pre"]), (&json!([]), &json!([])));
    let named = fleet.brine_key(&["-d", "c1,nosuch", "-y"]).expect(1);
    assert!(
        named.stderr.contains("nosuch does not match any") && named.stdout.contains("c1 deleted"),
        "{named:?}"
    );
}

#[test]
fn limits_of_the_configuration_hold_without_a_master() {
    let mut fleet = Fleet::start_with("max_minions: 1\n");
    let strangers = [("m1", "m1"), ("m2", "m2")].map(|(id, key)| fleet.stranger_with(id, key, ""));
    for minion in &strangers {
        fleet.until_key(minion, "pending");
    }
    fleet.master().stop();
    let said = fleet.brine_key(&["-A", "-y"]).expect(4);
    assert!(said.stderr.contains("max_minions is 1") && said.stdout.contains("m1 accepted"), "{said:?}");
    assert_eq!(states(&fleet)["minions"], json!(["m1"]));
}

#[test]
fn an_imported_minion_is_in_at_once() {
    let fleet = Fleet::start();
    let folder = fleet.dir().join("pki/minions");
    fs::create_dir_all(&folder).unwrap();
    fs::copy(key_file("m1.pub"), folder.join("m1")).unwrap();
    fs::write(folder.join("broken"), "garbage").unwrap();
    let root = folder.parent().unwrap().to_str().unwrap();
    let done = fleet.brine_key(&["import", "--from-salt", root, "-y"]).expect(1);
    assert!(done.stdout.contains("left out  minions/broken: holds no public key"), "{done:?}");
    assert!(done.stdout.contains("Imported: 1 accepted."), "{done:?}");
    let mut m1 = fleet.prepare_minion("m1");
    m1.start();
    fleet.until_back(&m1);
    fleet.ping("m1");
}

#[test]
fn an_id_with_several_candidates_waits_for_its_fingerprint() {
    let fleet = Fleet::start();
    let (first, second) = (fleet.stranger_with("m1", "m1", ""), fleet.stranger_with("m1", "m2", ""));
    let other = fleet.stranger_with("db1", "m3", "");
    for minion in [&first, &second, &other] {
        fleet.until_key(minion, "pending");
    }
    let said = fleet.brine_key(&["-a", "m1", "-y"]).expect(4);
    for part in
        [&first.fingerprint(), &second.fingerprint(), "127.0.0.1", "first seen", "--accept m1 --expect"]
    {
        assert!(said.stderr.contains(part), "{part} in {said:?}");
    }
    assert_eq!(said.stdout, "");
    let all = fleet.brine_key(&["-A", "-y", "--out", "json"]).expect(4).json();
    assert_eq!(all["accepted"][0]["id"], "db1");
    let left: Vec<&Value> = all["refused"].as_array().unwrap().iter().map(|key| &key["id"]).collect();
    assert_eq!(left, ["m1", "m1"]);
    fleet.until_up("db1");

    fleet.brine_key(&["-a", "m1", "-y", "--expect", &second.fingerprint()]).expect(0);
    fleet.until_key(&first, "denied");
    fleet.brine_key(&["-a", "m1", "-y", "--expect", &fingerprint("m6")]).expect(1);
    let nothing = fleet.brine_key(&["-A", "-y"]).expect(1);
    assert!(nothing.stderr.contains("1 key is denied"), "{nothing:?}");
    let long = fleet.brine_key(&["-L", "--long", "--out", "json"]).expect(0).json();
    let of_m1: Vec<(&str, &str)> = long
        .as_array()
        .unwrap()
        .iter()
        .filter(|key| key["id"] == "m1")
        .map(|key| (key["state"].as_str().unwrap(), key["fingerprint"].as_str().unwrap()))
        .collect();
    assert_eq!(
        of_m1,
        [("accepted", second.fingerprint().as_str()), ("denied", first.fingerprint().as_str())]
    );
    let table = fleet.brine_key(&["-l", "den", "--long"]).expect(0).stdout;
    assert!(table.contains(&first.fingerprint()[..17]) && table.contains("127.0.0.1"), "{table}");
}

fn grades(done: &Done) -> Vec<(String, String)> {
    let checks = done.json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    checks.as_array().unwrap().iter().map(|check| (text(&check["about"]), text(&check["grade"]))).collect()
}

#[test]
fn the_doctor_finds_what_is_wrong() {
    let mut fleet = Fleet::start();
    let m1 = fleet.stranger("m1");
    fleet.until_key(&m1, "pending");
    fleet.brine_key(&["-a", "m1", "-y"]).expect(0);
    let well = fleet.brine_key(&["doctor", "--out", "json"]).expect(0);
    assert!(grades(&well).iter().all(|(about, grade)| grade == "ok" || about == "disk"), "{}", well.stdout);
    for about in ["master", "socket", "ledger", "waiting", "master key", "keys", "rotation"] {
        assert!(grades(&well).iter().any(|(found, _)| found == about), "{about} in {}", well.stdout);
    }
    let _impostor = fleet.stranger_with("m1", "m2", "");
    eventually(10.0, "the doctor names the denied key", || {
        let said = fleet.brine_key(&["doctor"]).expect(0).stdout;
        said.contains(&fingerprint("m2")) && said.contains(&m1.fingerprint())
    });

    fleet.master().stop();
    let state = fleet.root().join("var/lib/brine/master");
    let pki = fleet.root().join("etc/brine/pki/master");
    fs::set_permissions(pki.join("master.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::copy(key_file("m1.pub"), pki.join("master.pub")).unwrap();
    fs::write(state.join("waiting.json"), "{").unwrap();
    let ledger = fs::read_to_string(state.join("ledger.jsonl")).unwrap();
    // Not the last line: nothing follows that yet, so nothing holds it.
    fs::write(state.join("ledger.jsonl"), ledger.replacen("\"by\":\"", "\"by\":\"x", 1)).unwrap();
    let before = tree_of(&fleet.root());
    let ill = fleet.brine_key(&["doctor", "--out", "json"]).expect(1);
    for about in ["master", "ledger", "waiting", "master key"] {
        assert!(grades(&ill).contains(&(about.to_owned(), "fail".to_owned())), "{about} in {}", ill.stdout);
    }
    let failed = grades(&ill).into_iter().filter(|(about, grade)| about == "master key" && grade == "fail");
    assert_eq!(failed.count(), 2, "open to others, and not the key in master.pub: {}", ill.stdout);
    let text = fleet.brine_key(&["doctor"]).expect(1).stdout;
    assert!(
        text.contains("FAIL  ledger") && text.contains("-> ") && text.contains("ledger repair"),
        "{text}"
    );
    assert_eq!(tree_of(&fleet.root()), before, "a doctor only looks");
}

/// Names and sizes of all files below a folder.
fn tree_of(root: &Path) -> Vec<(PathBuf, u64)> {
    let (mut found, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let (path, kind) = (entry.path(), entry.metadata().unwrap());
            if kind.is_dir() {
                folders.push(path);
            } else {
                found.push((path, kind.len()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn the_masters_key_is_rotated_with_a_question() {
    let fleet = Fleet::start();
    let _m1 = fleet.minion("m1");
    let none = fleet.brine_key(&["rotate-master", "--status", "--out", "json"]).expect(0);
    assert_eq!(none.json(), Value::Null);
    fleet.brine_key(&["rotate-master", "--finish", "-y"]).expect(1);
    let asked =
        Done::run_with_input(fleet.command("brine-key", &["rotate-master", "--grace", "1d"]), "\n").expect(0);
    assert!(asked.stderr.contains("1 day") && asked.stderr.contains("[N/y]"), "{asked:?}");
    assert!(asked.stderr.contains(&fingerprint("master")), "{asked:?}");
    assert_eq!(
        fleet.brine_key(&["rotate-master", "--status", "--out", "json"]).expect(0).json(),
        Value::Null
    );

    let begun = fleet.brine_key(&["rotate-master", "--grace", "1d", "-y", "--out", "json"]).expect(0).json();
    assert_eq!(begun["from"], fingerprint("master"));
    let second = fleet.brine_key(&["rotate-master", "-y"]).expect(4);
    assert!(second.stderr.contains("under way"), "{second:?}");
    eventually(10.0, "the minion learned the new key", || {
        let status = fleet.brine_key(&["rotate-master", "--status", "--out", "json"]).expect(0).json();
        status["learned"] == 1 && status["missing"] == json!([])
    });
    let doctor = fleet.brine_key(&["doctor"]).expect(0).stdout;
    assert!(doctor.contains("warn  rotation"), "{doctor}");
    fleet.brine_key(&["rotate-master", "--finish", "-y"]).expect(0);
    eventually(10.0, "the new key has taken over", || {
        fleet.health()["fingerprint"] == begun["to"] && fleet.presence("m1") == "up"
    });
    fleet.ping("m1");
    let shown = fleet.brine_key(&["-f", "master"]).expect(0).stdout;
    assert!(shown.contains(begun["to"].as_str().unwrap()), "{shown}");
}

#[test]
fn output_can_go_to_a_file() {
    let fleet = Fleet::start();
    let path = fleet.dir().join("keys.json");
    let done = fleet.brine_key(&["-L", "--out", "json", "--out-file", path.to_str().unwrap()]).expect(0);
    assert_eq!(done.stdout, "");
    let document: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(document["minions"], json!([]));
    fleet.brine_key(&["-L", "--out-file", "/nowhere/x"]).refused(1, &["/nowhere/x"]);
}

#[test]
fn warnings_of_the_master_are_not_missed() {
    let fleet = Fleet::start_with("auto_accept: true\n");
    let listed = fleet.brine_key(&["-L", "--out", "json"]).expect(0);
    assert!(listed.stderr.contains("WARNING") && listed.stderr.contains("auto_accept"), "{listed:?}");
    assert_eq!(listed.json()["minions"], json!([]));
}
