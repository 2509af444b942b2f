//! Modules of the operator's own: executables that speak JSON, run by a real minion.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use brine_tests::api_docs::read;
use brine_tests::fleet::Fleet;
use brine_tests::process::Process;
use brine_tests::{Minion, eventually};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// Puts a module in place as docs/modules.md says: whole, by renaming it.
fn put(folder: &Path, file: &str, text: &str) {
    fs::create_dir_all(folder).unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
    let draft = folder.join(format!(".{file}"));
    fs::write(&draft, text).unwrap();
    fs::set_permissions(&draft, fs::Permissions::from_mode(0o700)).unwrap();
    fs::rename(draft, folder.join(file)).unwrap();
}

/// The one program in this language that docs/modules.md shows.
fn example(language: &str) -> String {
    let (page, begin) = (read("docs/modules.md"), format!("```{language}\n"));
    let mut found = page.split(&begin).skip(1);
    let program = found.next().and_then(|text| text.split("```\n").next()).expect("an example");
    assert!(found.next().is_none(), "one example in {language}");
    program.to_owned()
}

fn folder(minion: &Minion) -> std::path::PathBuf {
    minion.root().join("var/lib/brine/minion/modules")
}

/// Runs a function through `brine` and gives its value, whatever the retcode.
fn value(fleet: &Fleet, arguments: &[&str]) -> Value {
    let mut all = vec!["--out", "json", "--static", "m1"];
    all.extend_from_slice(arguments);
    fleet.brine(&all).json()["m1"].clone()
}

#[test]
fn the_examples_of_the_page_work() {
    let fleet = Fleet::start();
    let m1 = fleet.minion("m1");
    assert_eq!(value(&fleet, &["labels.text", "b1"]), json!("'labels.text' is not available."));
    put(&folder(&m1), "reboots.sh", &example("sh"));
    put(&folder(&m1), "labels.py", &example("python"));
    for (arguments, expected) in [
        (&["labels.text", "b1"][..], json!(["m1", "b1/1", "Linux"])),
        (&["labels.text", "room=b1", "height=7", "owner=ops"], json!(["m1", "b1/7", "Linux", "ops"])),
        (&["labels.text", "b1", "height=0"], json!("ERROR: the lowest unit of a rack is 1")),
        (
            &["labels.text", "b1", "width=2"],
            json!("ERROR executing 'labels.text': The following keyword arguments are not valid: width=2"),
        ),
        (&["reboots.needed"], json!(Path::new("/run/reboot-required").exists())),
        (
            &["sys.list_functions", "reboots", "labels"],
            json!(["labels.text", "reboots.needed", "reboots.uptime"]),
        ),
        (&["sys.list_modules", "l*", "reb*"], json!(["labels", "reboots"])),
        (
            &["sys.argspec", "labels"],
            json!({"labels.text": {
                "args": ["room", "height", "owner"], "defaults": [1, null], "varargs": null, "kwargs": null,
            }}),
        ),
    ] {
        assert_eq!(value(&fleet, arguments), expected, "{arguments:?}");
    }
    assert!(value(&fleet, &["reboots.uptime"]).as_f64().is_some_and(|seconds| seconds > 0.0));
    let too_few = value(&fleet, &["labels.text"]);
    assert!(too_few.as_str().unwrap().contains("text() missing 1 required positional argument: 'room'"));
    fleet.brine(&["m1", "labels.text", "b1"]).expect(0);
    fleet.brine(&["m1", "labels.text", "b1", "height=0"]).expect(11);
    let doc = fleet.brine(&["-d", "labels"]).expect(0).stdout;
    assert!(doc.starts_with("labels.text:\n\n    Returns what the label on this machine says."), "{doc}");
    assert!(doc.contains("height: how high in its rack (units)"), "{doc}");
    assert!(doc.contains("brine '*' labels.text ROOM"), "{doc}");
    // Without a master, too.
    let local = m1.run(&["call", "--out", "json", "labels.text", "b2"]).expect(0).json();
    assert_eq!(local["local"], json!(["m1", "b2/1", "Linux"]));
}

/// A module in sh with one function.
fn small(function: &str, call: &str) -> String {
    let description = json!({"functions": {function: {"doc": "Does it."}}});
    format!("#!/bin/sh\n[ \"$1\" = describe ] && exec echo '{description}'\n{call}\n")
}

#[test]
fn what_is_in_the_folder_counts_while_the_minion_runs() {
    let fleet = Fleet::start();
    let mut m1 = fleet.minion("m1");
    let first = folder(&m1);
    put(&first, "mod.sh", &small("old", "echo '{\"return\": 1}'"));
    assert_eq!(value(&fleet, &["mod.old"]), json!(1));
    put(&first, "mod.sh", &small("new", "echo '{\"return\": 2, \"retcode\": 3}'"));
    assert_eq!(value(&fleet, &["mod.new"]), json!(2));
    fleet.brine(&["m1", "mod.new"]).expect(11);
    let gone = value(&fleet, &["mod.old"]);
    assert_eq!(gone, json!("'mod.old' is not available: the custom module mod has no function \"old\"."));

    // Not used, and the reason is where people look.
    put(&first, "test.sh", &small("own", "echo '{\"return\": 3}'"));
    put(&first, "open.sh", &small("f", "echo '{\"return\": 4}'"));
    fs::set_permissions(first.join("open.sh"), fs::Permissions::from_mode(0o722)).unwrap();
    assert_eq!(value(&fleet, &["sys.reload_modules"]), json!(true));
    for reason in ["has a module test of its own", "(mode 0722); mend it with: chmod go-w"] {
        assert!(m1.log().contains(reason), "{}", m1.log());
    }
    assert!(value(&fleet, &["open.f"]).as_str().unwrap().contains("mend it with: chmod go-w"));
    assert_eq!(value(&fleet, &["test.ping"]), json!(true));
    assert_eq!(value(&fleet, &["sys.list_functions", "*.own", "open"]), json!([]));

    // Another folder, by SIGHUP.
    let second = m1.root().join("etc/brine/own");
    put(&second, "other.sh", &small("f", "echo '{\"return\": 5}'"));
    let config = m1.root().join("etc/brine/minion.yaml");
    let options = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{options}modules_dir: own\n")).unwrap();
    m1.process().signal(Signal::SIGHUP);
    eventually(10.0, "the configuration is reloaded", || m1.log().contains("was reloaded"));
    assert_eq!(value(&fleet, &["other.f"]), json!(5));
    assert_eq!(value(&fleet, &["mod.new"]), json!("'mod.new' is not available."));
}

#[test]
fn one_that_hangs_goes_with_its_job() {
    let fleet = Fleet::start();
    let m1 = fleet.minion("m1");
    let told = m1.root().join("told");
    let call = format!("sleep 300 & echo $! $$ > {0}.new; mv {0}.new {0}; wait", told.display());
    put(&folder(&m1), "slow.sh", &small("f", &call));
    let done = fleet.brine(&["--job-timeout", "4", "m1", "slow.f"]).expect(11);
    assert!(format!("{}{}", done.stdout, done.stderr).to_lowercase().contains("timed out"), "{done:?}");
    for pid in fs::read_to_string(&told).unwrap().split_whitespace() {
        let pid: i32 = pid.parse().unwrap();
        eventually(5.0, "what the module started is gone", || !brine_tests::process::exists(pid));
    }
    assert_eq!(value(&fleet, &["test.ping"]), json!(true));
}

#[test]
fn a_root_folder_may_be_named_from_where_one_stands() {
    let fleet = Fleet::start();
    let m1 = fleet.prepare_minion("m1");
    put(&folder(&m1), "labels.py", &example("python"));
    let root = m1.root();
    let mut command = Command::new(m1.command(&[]).get_program());
    command.current_dir(root.parent().unwrap()).arg("--root-dir").arg(root.file_name().unwrap());
    let _process = Process::start(command, &root.join("relative.log"));
    fleet.until_key(&m1, "pending");
    fleet.act("accept", "m1", &m1.fingerprint());
    fleet.until_up("m1");
    assert_eq!(value(&fleet, &["labels.text", "b1"]), json!(["m1", "b1/1", "Linux"]));
    assert_eq!(value(&fleet, &["--detach", "cmd.run", "echo done"]), json!("done"));
}
