//! What minions can be asked to do.

use std::fs;

use brine_tests::fleet::Fleet;
use brine_tests::{Minion, eventually};
use serde_json::{Value, json};

/// Runs a function through `brine` and gives its value, whatever the retcode.
fn value(fleet: &Fleet, arguments: &[&str]) -> Value {
    let mut all = vec!["--out", "json", "--static", "m1"];
    all.extend_from_slice(arguments);
    fleet.brine(&all).json()["m1"].clone()
}

#[test]
fn the_cmd_family() {
    let fleet = Fleet::start();
    let _m1 = fleet.minion("m1");
    for (arguments, expected) in [
        (&["cmd.run", "echo out; echo err >&2"][..], json!("out\nerr")),
        (&["cmd.run_stdout", "echo out; echo err >&2"], json!("out")),
        (&["cmd.run_stderr", "echo out; echo err >&2"], json!("err")),
        (&["cmd.retcode", "exit 7"], json!(7)),
        (&["cmd.shell", "echo $((1+2))"], json!("3")),
        (&["cmd.run", "echo $HOME | cat", "python_shell=False"], json!("$HOME | cat")),
        (&["cmd.run", "pwd", "cwd=/"], json!("/")),
        (&["cmd.run", "echo $CANARY", "env={CANARY: sings}"], json!("sings")),
        (&["cmd.run", "cat", "stdin=fed"], json!("fed")),
        (&["cmd.run", "umask", "umask=077"], json!("0077")),
        (&["cmd.run", "printf 'é\\n'"], json!("é")),
        (&["cmd.run", ""], json!("")),
    ] {
        assert_eq!(value(&fleet, arguments), expected, "{arguments:?}");
    }
    let all = value(&fleet, &["cmd.run_all", "echo out; echo err >&2; exit 3"]);
    assert_eq!((&all["stdout"], &all["stderr"], &all["retcode"]), (&json!("out"), &json!("err"), &json!(3)));
    assert!(all["pid"].is_u64(), "{all}");
    let late = fleet.brine(&["m1", "cmd.run", "sleep 30", "timeout=1"]).expect(11);
    assert!(format!("{}{}", late.stdout, late.stderr).to_lowercase().contains("timed out"), "{late:?}");
    let retcode = fleet.brine(&["m1", "cmd.run_all", "exit 3"]).expect(11);
    assert!(retcode.stdout.contains('3'), "{}", retcode.stdout);
    fleet.brine(&["m1", "cmd.run", "true", "cwd=/no/such/folder"]).expect(11);
    fleet.brine(&["m1", "cmd.run", "true", "runas=no-such-user"]).expect(11);
}

#[test]
fn the_test_family() {
    let fleet = Fleet::start();
    let _m1 = fleet.minion("m1");
    for (arguments, expected) in [
        (&["test.ping"][..], json!(true)),
        (&["test.echo", "text with spaces"], json!("text with spaces")),
        (&["test.arg", "1", "two", "3.1", "a=b"], json!({"args": [1, "two", 3.1], "kwargs": {"a": "b"}})),
        (&["test.sleep", "0.1"], json!(true)),
        (&["test.version"], json!(env!("CARGO_PKG_VERSION"))),
    ] {
        assert_eq!(value(&fleet, arguments), expected, "{arguments:?}");
    }
    assert_eq!(value(&fleet, &["test.fib", "9"])[0], json!(34));
    assert_eq!(value(&fleet, &["test.rand_sleep", "1"]), json!(true));
}

#[test]
fn grains_tell_about_the_machine() {
    let fleet = Fleet::start();
    let m1 = fleet.minion("m1");
    let grains = value(&fleet, &["grains.items"]);
    let all = [
        "id",
        "os",
        "os_family",
        "osrelease",
        "osfullname",
        "oscodename",
        "kernel",
        "kernelrelease",
        "cpuarch",
        "num_cpus",
        "mem_total",
        "host",
        "fqdn",
        "domain",
        "ipv4",
        "ipv6",
        "ip4_interfaces",
        "virtual",
        "machine_id",
        "uid",
        "username",
        "pid",
        "brineversion",
    ];
    for name in all {
        assert!(grains.get(name).is_some(), "{name} in {grains}");
    }
    assert_eq!(grains["id"], "m1");
    assert_eq!(grains["kernel"], "Linux");
    assert_eq!(grains["pid"], m1.process.as_ref().unwrap().pid());
    assert_eq!(grains["brineversion"], env!("CARGO_PKG_VERSION"));
    assert_eq!(value(&fleet, &["grains.get", "kernel"]), json!("Linux"));
    assert_eq!(value(&fleet, &["grains.get", "no:such"]), json!(""));
    let names = value(&fleet, &["grains.ls"]);
    assert!(all.iter().all(|name| names.as_array().unwrap().contains(&json!(name))), "{names}");
}

#[test]
fn a_grain_that_is_set_stays_and_reaches_the_master() {
    let fleet = Fleet::start();
    let mut m1 = fleet.minion("m1");
    fleet.brine(&["m1", "grains.setval", "site", "Dijon"]).expect(0);
    assert_eq!(value(&fleet, &["grains.get", "site"]), json!("Dijon"));
    eventually(5.0, "the master has the grain", || site_at_master(&fleet) == "Dijon");
    let text = fs::read_to_string(m1.root().join("etc/brine/grains")).unwrap();
    assert!(text.contains("Dijon"), "{text}");
    m1.kill();
    m1.start();
    fleet.until_back(&m1);
    assert_eq!(value(&fleet, &["grains.get", "site"]), json!("Dijon"));
}

fn site_at_master(fleet: &Fleet) -> String {
    let minion = fleet.api().get("/v1/minions/m1").expect(200).json();
    minion["grains"]["site"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_minion_tells_what_it_can_do_and_what_it_does() {
    let fleet = Fleet::start();
    let _m1 = fleet.minion("m1");
    let functions = value(&fleet, &["sys.list_functions"]);
    for name in ["test.ping", "cmd.run", "grains.items", "sys.doc", "brine.running"] {
        assert!(functions.as_array().unwrap().contains(&json!(name)), "{functions}");
    }
    let modules = value(&fleet, &["sys.list_modules"]);
    for name in ["brine", "cmd", "file", "grains", "pkg", "service", "sys", "test", "user"] {
        assert!(modules.as_array().unwrap().contains(&json!(name)), "{modules}");
    }
    let doc = value(&fleet, &["sys.doc", "test.ping"]);
    assert!(doc["test.ping"].as_str().is_some_and(|text| !text.is_empty()), "{doc}");
    let jid = fleet.submit("m1", "test.sleep", &[json!(60)]);
    eventually(5.0, "the job runs", || value(&fleet, &["brine.running"]).to_string().contains(&jid));
    assert!(value(&fleet, &["brine.find_job", &jid]).to_string().contains("test.sleep"));
    fleet.brine(&["m1", "brine.kill_job", &jid]).expect(0);
    let ending = fleet.ending(&jid, "m1", 5.0);
    assert_eq!(ending["state"], "cancelled", "{ending}");
    assert!(!value(&fleet, &["brine.running"]).to_string().contains(&jid));
}

#[test]
fn functions_run_locally_without_a_master() {
    let fleet = Fleet::prepare("");
    let minion: Minion = fleet.prepare_minion("m1");
    let called = minion.run(&["call", "test.ping"]).expect(0);
    assert!(called.stdout.contains("True"), "{}", called.stdout);
    let called = minion.run(&["call", "cmd.run", "echo here"]).expect(0);
    assert!(called.stdout.contains("here"), "{}", called.stdout);
    assert_ne!(minion.run(&["call", "cmd.run", "exit 4"]).code, 0);
    assert_ne!(minion.run(&["call", "no.such"]).code, 0);
}

#[test]
fn large_output_is_cut_and_said_so() {
    let fleet = Fleet::start();
    let _m1 = fleet.minion("m1");
    let jid = fleet.submit("m1", "cmd.run", &[json!("head -c 3000000 /dev/zero | tr '\\0' x")]);
    let ending = fleet.ending(&jid, "m1", 10.0);
    assert_eq!(ending["truncated"], true, "{}", &ending.to_string()[..200]);
    let kept = ending["value"].as_str().unwrap().len();
    assert!((1000..3_000_000).contains(&kept), "{kept}");
}
