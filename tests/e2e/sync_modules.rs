//! Modules of the operator's own, from the master's folder to the minions.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use brine_protocol::message::{ToMaster, ToMinion};
use brine_protocol::modules::{MODULE_MAX, ModuleWanted, ModulesWanted};
use brine_tests::fleet::Fleet;
use brine_tests::peer::Peer;
use brine_tests::{Minion, eventually};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// A module with one function, `say`.
fn module(said: &str) -> String {
    format!(
        "#!/bin/sh\ncase $1 in describe) echo '{{\"functions\": {{\"say\": {{\"doc\": \"Says.\"}}}}}}' ;;\n\
         *) cat > /dev/null; echo '{{\"return\": \"{said}\"}}' ;; esac\n"
    )
}

fn folder(fleet: &Fleet) -> PathBuf {
    fleet.root().join("etc/brine/modules")
}

fn put(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    if !folder.exists() {
        fs::create_dir_all(folder).unwrap();
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
    }
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn here(minion: &Minion) -> PathBuf {
    minion.root().join("var/lib/brine/minion/modules")
}

fn names(folder: &Path) -> Vec<String> {
    let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
    let mut names: Vec<String> = fs::read_dir(folder).unwrap().flatten().map(name).collect();
    names.sort();
    names
}

/// Runs a function through `brine` and gives its value, whatever the retcode.
fn value(fleet: &Fleet, id: &str, arguments: &[&str]) -> Value {
    let mut all = vec!["--out", "json", "--static", id];
    all.extend_from_slice(arguments);
    fleet.brine(&all).json()[id].clone()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

#[test]
fn minions_get_what_the_master_has_and_lose_what_it_has_no_longer() {
    let mut fleet = Fleet::start();
    let (m1, m2) = (fleet.minion("m1"), fleet.minion("m2"));
    assert_eq!(value(&fleet, "m1", &["brine.sync_modules"]), json!([]), "the folder need not be there");
    put(&folder(&fleet), "foo.sh", module("one"));
    put(&folder(&fleet), "bar", module("two"));
    assert_eq!(value(&fleet, "m1", &["foo.say"]), json!("'foo.say' is not available."));
    let both = json!(["modules.bar", "modules.foo"]);
    assert_eq!(value(&fleet, "m1", &["brine.sync_modules"]), both);
    assert_eq!(value(&fleet, "m2", &["saltutil.sync_all", "refresh=True"]), json!({"modules": both}));
    assert_eq!(value(&fleet, "m1", &["brine.sync_modules"]), json!([]), "they are the same");
    for id in ["m1", "m2"] {
        assert_eq!(value(&fleet, id, &["foo.say"]), json!("one"));
        assert_eq!(value(&fleet, id, &["bar.say"]), json!("two"));
    }
    for minion in [&m1, &m2] {
        let mode = |name| fs::metadata(here(minion).join(name)).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(""), mode("foo.sh"), mode("bar")), (0o700, 0o700, 0o700));
    }

    // One is another now, one is gone, one was put there by hand, and so was one that the master gets as well.
    put(&folder(&fleet), "foo.sh", module("changed"));
    fs::remove_file(folder(&fleet).join("bar")).unwrap();
    put(&here(&m1), "own.sh", module("by hand"));
    put(&here(&m1), "both.sh", module("by hand"));
    assert_eq!(value(&fleet, "m1", &["brine.sync_modules"]), json!(["modules.foo"]));
    assert_eq!(value(&fleet, "m1", &["foo.say"]), json!("changed"));
    assert_eq!(value(&fleet, "m1", &["bar.say"]), json!("'bar.say' is not available."));
    put(&folder(&fleet), "both.sh", module("the master's"));
    let done = fleet.brine(&["--out", "json", "--static", "m1", "brine.sync_modules"]);
    assert_eq!(done.code, 11, "{done:?}");
    let said = done.json()["m1"].clone();
    assert!(text(&said).starts_with("ERROR: both.sh: another file of this name is here"), "{said}");
    assert_eq!(names(&here(&m1)), [".from-master", "both.sh", "foo.sh", "own.sh"]);
    assert_eq!(fs::read_to_string(here(&m1).join("both.sh")).unwrap(), module("by hand"));
    assert_eq!(value(&fleet, "m2", &["brine.sync_modules"]), json!(["modules.both", "modules.foo"]));
    assert_eq!(names(&here(&m2)), [".from-master", "both.sh", "foo.sh"]);

    // Another folder, without a restart.
    let other = fleet.dir().join("other");
    put(&other, "third.py", module("three"));
    fleet.set_options(&format!("modules_dir: {}\n", other.display()));
    fleet.master().signal(Signal::SIGHUP);
    eventually(5.0, "the other folder counts", || {
        value(&fleet, "m2", &["brine.sync_modules"]) == json!(["modules.third"])
    });
    assert_eq!(names(&here(&m2)), [".from-master", "third.py"]);
    fs::remove_dir_all(&other).unwrap();
    let said = value(&fleet, "m2", &["brine.sync_modules"]);
    assert!(text(&said).contains("hands out no modules, and those here stay"), "{said}");
    assert_eq!(names(&here(&m2)), [".from-master", "third.py"]);
}

#[test]
fn what_is_not_handed_out_is_named_with_its_reason() {
    let fleet = Fleet::start();
    let m1 = fleet.minion("m1");
    put(&folder(&fleet), "good.sh", module("good"));
    put(&folder(&fleet), "large.sh", module("small yet"));
    assert_eq!(value(&fleet, "m1", &["brine.sync_modules"]), json!(["modules.good", "modules.large"]));

    let large = put(&folder(&fleet), "large.sh", vec![b'#'; MODULE_MAX + 1]);
    put(&folder(&fleet), "almost.sh", vec![b'#'; MODULE_MAX]);
    let open = put(&folder(&fleet), "open.sh", module("open"));
    fs::set_permissions(&open, fs::Permissions::from_mode(0o620)).unwrap();
    put(&folder(&fleet), "Upper.sh", module("upper"));
    put(&folder(&fleet), "test.sh", module("not the minion's"));
    put(&folder(&fleet), "good.sh", module("better"));
    let said = value(&fleet, "m1", &["brine.sync_modules"]);
    for part in [
        "large.sh: not handed out by the master: it has 1048577 bytes, more than 1048576",
        "almost.sh: not handed out by the master: it has 1048576 bytes, and a message to this minion holds",
        "open.sh: not handed out by the master: ",
        "(mode 0620)",
        "Upper.sh: not handed out by the master: a module's file is called",
        "test.sh: the minion has a module test of its own",
        "; changed: modules.good",
    ] {
        assert!(text(&said).contains(part), "{part} is not in {said}");
    }
    assert_eq!(value(&fleet, "m1", &["good.say"]), json!("better"), "the others are done");
    assert_eq!(value(&fleet, "m1", &["large.say"]), json!("small yet"), "what is refused stays as it was");
    assert_eq!(names(&here(&m1)), [".from-master", "good.sh", "large.sh"]);
    let notice = "the module large.sh is not handed out: it has 1048577 bytes";
    assert_eq!(fleet.log().matches(notice).count(), 1, "{}", fleet.log());

    // Now others could put there what they like.
    fs::write(large, module("theirs")).unwrap();
    fs::set_permissions(folder(&fleet), fs::Permissions::from_mode(0o777)).unwrap();
    let said = value(&fleet, "m1", &["brine.sync_modules"]);
    assert!(text(&said).contains("(mode 0777)") && text(&said).contains("those here stay"), "{said}");
    assert_eq!(value(&fleet, "m1", &["large.say"]), json!("small yet"));
}

#[test]
fn a_session_with_small_messages_gets_small_modules() {
    let fleet = Fleet::start();
    let options = "message_max: 131072\nreturn_max: 65536\noutput_max: 8192\n";
    let _m1 = fleet.minion_with("m1", "m1", options);
    put(&folder(&fleet), "fits.sh", vec![b'#'; 131_072 - 4096]);
    put(&folder(&fleet), "over.sh", vec![b'#'; 131_072 - 4095]);
    let said = value(&fleet, "m1", &["brine.sync_modules"]);
    assert!(text(&said).contains("over.sh: not handed out by the master: it has 126977 bytes"), "{said}");
    assert!(
        text(&said).contains("(message_max)") && text(&said).ends_with("; changed: modules.fits"),
        "{said}"
    );
}

#[test]
fn jobs_at_the_same_time_take_turns() {
    let fleet = Fleet::start();
    let m1 = fleet.minion("m1");
    for number in 0..20 {
        put(&folder(&fleet), &format!("m{number}.sh"), module(&number.to_string()));
    }
    let jobs: Vec<String> = (0..5).map(|_| fleet.submit("m1", "brine.sync_modules", &[])).collect();
    let mut changed = Vec::new();
    for jid in jobs {
        let ending = fleet.ending(&jid, "m1", 30.0);
        changed.extend(ending["value"].as_array().unwrap_or_else(|| panic!("{ending}")).clone());
    }
    assert_eq!(changed.len(), 20, "each by one of them");
    assert_eq!(names(&here(&m1)).len(), 21);
    assert_eq!(value(&fleet, "m1", &["m7.say"]), json!("7"));
}

#[test]
fn a_minion_that_is_killed_has_whole_files_and_goes_on() {
    let fleet = Fleet::start();
    let mut m1 = fleet.minion("m1");
    let text = |version: usize, number: usize| {
        format!("#!/bin/sh\n# {}\n", format!("{version}-{number} ").repeat(50_000))
    };
    let versions = 4;
    for number in 0..8 {
        put(&folder(&fleet), &format!("m{number}.sh"), text(0, number));
    }
    assert_eq!(value(&fleet, "m1", &["brine.sync_modules"]).as_array().unwrap().len(), 8);
    for version in 1..versions {
        for number in 0..8 {
            put(&folder(&fleet), &format!("m{number}.sh"), text(version, number));
        }
        let jid = fleet.submit("m1", "brine.sync_modules", &[]);
        let watched = here(&m1).join(format!("m{}.sh", 2 * version));
        eventually(20.0, "it is in the midst of it", || {
            fs::read_to_string(&watched).is_ok_and(|found| found == text(version, 2 * version))
        });
        m1.kill();
        for number in 0..8 {
            let found = fs::read_to_string(here(&m1).join(format!("m{number}.sh"))).unwrap();
            assert!(
                found == text(version, number) || found == text(version - 1, number),
                "m{number} is half done"
            );
        }
        m1.start();
        // Nothing of what a killed job did stands in the way of the next one.
        let _ = fleet.ending(&jid, "m1", 20.0);
        eventually(20.0, "it goes on", || value(&fleet, "m1", &["brine.sync_modules"]).is_array());
        for number in 0..8 {
            let found = fs::read_to_string(here(&m1).join(format!("m{number}.sh"))).unwrap();
            assert_eq!(found, text(version, number));
        }
        assert_eq!(names(&here(&m1)).len(), 9, "nothing unfinished is left");
    }
}

#[test]
fn a_minion_of_ill_will_gets_one_at_a_time_and_nothing_else() {
    let fleet = Fleet::start();
    put(&folder(&fleet), "foo.sh", module("one"));
    fs::write(fleet.root().join("etc/brine/secret"), "canary").unwrap();
    let (mut eve, _) = Peer::live(&fleet, "m1", "m1");
    let answer = |eve: &mut Peer| loop {
        if let message @ (ToMinion::Modules(_) | ToMinion::Module(_)) = eve.receive() {
            break message;
        }
    };
    assert!(eve.send(&ToMaster::ModulesWanted(ModulesWanted { ask: 1 })));
    let ToMinion::Modules(listed) = answer(&mut eve) else { panic!("no list") };
    let (name, listed) = listed.files.into_iter().next().unwrap();
    let wanted = |ask, name, sha256| ToMaster::ModuleWanted(Box::new(ModuleWanted { ask, name, sha256 }));
    assert!(eve.send(&wanted(2, "secret".parse().unwrap(), listed.sha256)));
    let ToMinion::Module(refused) = answer(&mut eve) else { panic!("no answer") };
    assert!(refused.body.is_empty() && refused.refused.is_some(), "{refused:?}");
    for ask in 3..200 {
        assert!(eve.send(&wanted(ask, name.clone(), listed.sha256)));
    }
    let mut last = 0;
    while last < 199 {
        let ToMinion::Module(module) = answer(&mut eve) else { panic!("no module") };
        assert!(module.ask > last && module.body == module_bytes(), "{module:?}");
        last = module.ask;
    }
    assert_eq!(fleet.health()["status"], "ok");
}

fn module_bytes() -> Vec<u8> {
    module("one").into_bytes()
}

#[test]
fn a_local_call_has_no_master_to_ask() {
    let fleet = Fleet::prepare("");
    let minion = fleet.prepare_minion("m1");
    let done = minion.run(&["call", "brine.sync_modules"]);
    assert!(done.code != 0 && done.stdout.contains("no master to ask"), "{done:?}");
}
