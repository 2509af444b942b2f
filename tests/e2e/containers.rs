//! The daemons as containers run them: configured by the environment or by a mounted folder,
//! reloaded by a signal, and the hook that tells other programs of new records.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use brine_tests::eventually;
use brine_tests::fleet::{Fleet, job};
use brine_tests::minion::Minion;
use brine_tests::process::{Done, Process};
use brine_tests::wait::stays;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// A fleet whose master has no configuration file yet.
fn bare() -> Fleet {
    let fleet = Fleet::prepare("");
    fs::remove_file(fleet.root().join("etc/brine/master.yaml")).unwrap();
    fleet
}

fn bare_minion(fleet: &Fleet) -> Minion {
    let minion = fleet.prepare_minion("m1");
    fs::remove_file(minion.root().join("etc/brine/minion.yaml")).unwrap();
    minion
}

fn with(mut command: Command, variables: &[(&str, &str)]) -> Command {
    command.envs(variables.iter().copied());
    command
}

const MASTER: [(&str, &str); 8] = [
    ("BRINE_INTERFACE", "127.0.0.1"),
    ("BRINE_PUBLISH_PORT", "0"),
    ("BRINE_RET_PORT", "0"),
    ("BRINE_KEYSIZE", "2048"),
    ("BRINE_AUTO_ACCEPT", "true"),
    ("BRINE_ROLES", "{vera: {role: viewer}}"),
    ("BRINE_MASTER_ADDRESS", "brine.example.org"),
    // What Kubernetes says of a service that is called brine.
    ("BRINE_PORT", "tcp://10.0.0.1:4505"),
];

#[test]
fn the_environment_is_configuration_enough() {
    let mut fleet = bare();
    fleet.start_master_by(with(fleet.command("brine-master", &[]), &MASTER));
    let mut minion = bare_minion(&fleet);
    let (publish, ret) = (fleet.publish_port.to_string(), fleet.ret_port.to_string());
    let variables = [
        ("BRINE_MASTER", "127.0.0.1"),
        ("BRINE_PUBLISH_PORT", publish.as_str()),
        ("BRINE_RET_PORT", ret.as_str()),
        // A service that is called brine-master.
        ("BRINE_MASTER_PORT", "tcp://10.0.0.1:4505"),
        ("BRINE_ID", "m1"),
        ("BRINE_KEYSIZE", "2048"),
        ("BRINE_GRAINS", "{role: [web, db]}"),
        ("BRINE_RETPORT", "1"),
    ];
    let log = fleet.dir().join("m1.log");
    minion.process = Some(Process::start(with(minion.command(&[]), &variables), &log));
    fleet.until_up("m1");
    fleet.ping("m1");
    let role = fleet.brine(&["m1", "grains.get", "role", "--out", "json", "--static"]).expect(0).json();
    assert_eq!(role["m1"], json!(["web", "db"]));
    let vera = fleet.api().act_as("vera").get("/v1/whoami").expect(200).json();
    assert_eq!(vera["role"], "viewer");

    // What the master alone was told, it tells those who need it.
    fleet.brine(&["server", "create", "--name", "hugo", "--model", "m"]).expect(0);
    let script = fleet.brine(&["server", "connect-script", "hugo"]).expect(0).stdout;
    assert!(script.contains("BRINE_CONNECT_MASTER='brine.example.org'"), "{script}");
    assert!(minion.log().contains("did you mean BRINE_RET_PORT?"), "{}", minion.log());
    assert!(minion.log().contains("BRINE_MASTER_PORT holds the address of a service"), "{}", minion.log());

    // The same options for what else the minion's program does, and not for the operator's.
    let call = with(minion.command(&["call", "grains.get", "role", "--out", "json"]), &variables);
    assert_eq!(Done::run(call).expect(0).json()["local"], json!(["web", "db"]));
    let shown = Done::run(with(minion.command(&["fingerprint"]), &variables)).expect(0);
    assert!(shown.stdout.contains("m1") && shown.stdout.contains(&minion.fingerprint()), "{shown:?}");
    let brine = with(fleet.command("brine", &["m1", "test.ping"]), &[("BRINE_TIMEOUT", "never")]);
    Done::run(brine).expect(0);
}

#[test]
fn a_wrong_variable_stops_the_start_and_is_named() {
    let fleet = bare();
    let master = |variables: &[(&str, &str)]| {
        Done::run(with(with(fleet.command("brine-master", &[]), &MASTER), variables))
    };
    master(&[("BRINE_RET_PORT", "seven")]).refused(1, &["BRINE_RET_PORT", "whole number", "seven"]);
    master(&[("BRINE_ROLES", "{vera: {role: king}}")]).refused(1, &["BRINE_ROLES", "king"]);
    master(&[("BRINE_NODE", "100")]).refused(1, &["BRINE_NODE", "between 0 and 99"]);
    let minion = bare_minion(&fleet);
    let refused = Done::run(with(minion.command(&[]), &[("BRINE_ID", "a b")]));
    refused.refused(1, &["BRINE_ID", "option \"id\""]);
    let both = [("BRINE_RETURN_MAX", "1")];
    Done::run(with(minion.command(&[]), &both))
        .refused(1, &["minion.yaml", "BRINE_RETURN_MAX", "at least 4096"]);
}

/// A folder as a container gets it mounted: nothing in it can be changed.
fn mount(folder: &Path, name: &str, text: &str) {
    let inner = folder.join(name);
    fs::create_dir_all(&inner).unwrap();
    fs::write(inner.join("50-site.yaml"), text).unwrap();
    fs::set_permissions(inner.join("50-site.yaml"), fs::Permissions::from_mode(0o444)).unwrap();
    fs::set_permissions(&inner, fs::Permissions::from_mode(0o555)).unwrap();
}

#[test]
fn a_mounted_folder_is_configuration_enough() {
    let mut fleet = bare();
    let mounted = fleet.dir().join("config");
    mount(
        &mounted,
        "master.d",
        "interface: 127.0.0.1\npublish_port: 0\nret_port: 0\nkeysize: 2048\nauto_accept: true\n",
    );
    let given = ["--config-dir", mounted.to_str().unwrap()];
    fleet.start_master_by(fleet.command("brine-master", &given));
    let mut minion = bare_minion(&fleet);
    let ports = format!("publish_port: {}\nret_port: {}\n", fleet.publish_port, fleet.ret_port);
    mount(&mounted, "minion.d", &format!("master: 127.0.0.1\nid: file\nkeysize: 2048\n{ports}"));
    let command = with(minion.command(&given), &[("BRINE_ID", "m1")]);
    minion.process = Some(Process::start(command, &fleet.dir().join("m1.log")));
    fleet.until_up("m1");
    fleet.ping("m1");
}

fn starts(fleet: &Fleet, id: &str) -> usize {
    let name = format!("brine/minion/{id}/start");
    let mut events =
        fleet.api().with("Last-Event-ID", "0").events("GET", &format!("/v1/events?tag={name}"), None);
    std::iter::from_fn(|| events.next_within(0.3)).count()
}

/// Sends SIGHUP and waits for the line that says what came of it.
#[track_caller]
fn reload(process: &mut Process, expected: &str) {
    let before = process.log().matches(expected).count();
    process.signal(Signal::SIGHUP);
    eventually(10.0, &format!("the log says {expected:?}"), || {
        assert!(process.is_alive(), "{}", process.log());
        process.log().matches(expected).count() > before
    });
}

/// The same command with a SIGHUP that came before it began.
fn hung_up(command: &Command) -> Command {
    let mut early = Command::new("env");
    early.args(["--block-signal=HUP", "sh", "-c", "kill -HUP $$ && exec \"$@\"", "sh"]);
    early.arg(command.get_program()).args(command.get_args()).env_remove("RUST_LOG");
    early
}

/// Whether no thread holds a signal back: its jobs and hooks would be born so.
fn hears_all(pid: i32) -> bool {
    let mut threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    threads.all(|thread| {
        let status = fs::read_to_string(thread.unwrap().path().join("status")).unwrap_or_default();
        status
            .lines()
            .all(|line| line.strip_prefix("SigBlk:").is_none_or(|mask| mask.trim() == "0000000000000000"))
    })
}

#[test]
fn a_reload_that_comes_before_anything_else_waits() {
    let mut fleet = Fleet::prepare_with_ports("auto_accept: true\n");
    fleet.start_master_by(hung_up(&fleet.command("brine-master", &[])));
    eventually(10.0, "the master reloads", || fleet.log().contains("the configuration was reloaded"));
    assert!(fleet.master().is_alive() && hears_all(fleet.master().pid()));
    let mut minion = fleet.prepare_minion("m1");
    let log = fleet.dir().join("m1.log");
    minion.process = Some(Process::start(hung_up(&minion.command(&[])), &log));
    eventually(10.0, "the minion reloads", || minion.log().contains("the configuration was reloaded"));
    fleet.until_up("m1");
    assert!(minion.process().is_alive() && hears_all(minion.process().pid()));
    let mask = fleet.brine(&["m1", "cmd.run", "grep SigBlk /proc/self/status", "--out", "json", "--static"]);
    assert!(mask.json()["m1"].as_str().unwrap().ends_with("\t0000000000000000"), "{mask:?}");
}

#[test]
fn a_configuration_that_is_gone_lifts_no_limit() {
    let mut fleet = Fleet::start_with("max_minions: 1\n");
    let _m1 = fleet.minion("m1");
    let file = fleet.root().join("etc/brine/master.yaml");
    let text = fs::read_to_string(&file).unwrap();
    fs::remove_file(&file).unwrap();
    reload(fleet.master(), "the configuration was not reloaded");
    assert!(fleet.log().contains("master.yaml was read before and is gone"), "{}", fleet.log());
    fs::write(&file, text.replace("max_minions: 1", "max_minions: 2")).unwrap();
    reload(fleet.master(), "the configuration was reloaded");
    assert!(fleet.log().contains("max_minions"), "{}", fleet.log());
}

/// How an order of this user is answered.
fn order(fleet: &Fleet, name: &str) -> u16 {
    fleet.api().act_as(name).post("/v1/jobs", &job("m1", "test.ping", &[])).status
}

#[test]
fn a_reload_changes_roles_and_rules_and_no_session_notices() {
    let mut fleet = Fleet::start_with("roles:\n  vera: {role: viewer}\n  otto: {role: viewer}\n");
    let _m1 = fleet.minion("m1");
    let m2 = fleet.stranger("m2");
    fleet.until_key(&m2, "pending");
    assert_eq!((order(&fleet, "vera"), order(&fleet, "otto")), (403, 403));
    let stream = |name: &str| fleet.api().act_as(name).events("GET", "/v1/events", None);
    let (mut of_vera, mut of_otto) = (stream("vera"), stream("otto"));

    fleet.set_options(
        "roles:\n  vera: {role: operator}\n  otto: {role: viewer}\nauto_accept: true\nmax_minions: 7\n\
         log_level: debug\nnode: 5\n",
    );
    reload(fleet.master(), "the configuration was reloaded");
    let log = fleet.log();
    assert!(log.contains("log_level, roles, auto_accept, max_minions"), "{log}");
    assert!(log.contains("take effect when the master is started again") && log.contains("node"), "{log}");
    fleet.until_up("m2");
    assert_eq!((order(&fleet, "vera"), order(&fleet, "otto")), (201, 403));
    eventually(5.0, "the log has more in it", || fleet.log().contains("DEBUG"));
    // Whose rights have changed is judged anew, and nobody else notices.
    let mut ended = 0;
    while of_vera.next_within(10.0).is_some() {
        ended += 1;
        assert!(ended < 100, "a stream with the rights from before goes on");
    }
    of_otto.find(10.0, "of m2", |event| event.name == "brine/minion/m2/start");
    fleet.ping("m1");
    assert_eq!((starts(&fleet, "m1"), starts(&fleet, "m2")), (1, 1));

    fleet.set_options("roles:\n  vera: {role: king}\n  otto: {role: operator}\nmax_minions: 1\n");
    reload(fleet.master(), "the configuration was not reloaded");
    let log = fleet.log();
    let line = log.lines().find(|line| line.contains("was not reloaded")).unwrap();
    assert!(line.contains("ERROR") && line.contains("master.yaml:6: option \"roles.vera.role\""), "{line}");
    assert_eq!((order(&fleet, "vera"), order(&fleet, "otto")), (201, 403));
    // What names a file that cannot be used changes nothing either.
    fleet.set_options("auto_accept: true\nautoreject_file: gone.conf\n");
    reload(fleet.master(), "the configuration was not reloaded");
    assert!(fleet.log().contains("gone.conf"), "{}", fleet.log());
    assert_eq!(fleet.health()["status"], "ok");
    assert_eq!((order(&fleet, "vera"), order(&fleet, "otto")), (201, 403));

    // Taken away again: rules and roles go at once.
    fleet.set_options("");
    reload(fleet.master(), "the configuration was reloaded");
    assert_eq!(order(&fleet, "vera"), 403);
    let m3 = fleet.stranger("m3");
    fleet.until_key(&m3, "pending");
    assert_eq!((starts(&fleet, "m1"), starts(&fleet, "m2")), (1, 1));
}

#[test]
fn rule_files_may_be_named_while_the_master_runs() {
    let mut fleet = Fleet::start();
    let folder = fleet.root().join("etc/brine");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    let (m1, m2) = (fleet.stranger("m1"), fleet.stranger("m2"));
    fleet.until_key(&m1, "pending");
    fleet.until_key(&m2, "pending");
    let write = |text: &str| {
        fs::write(folder.join("sign.conf"), text).unwrap();
        fs::set_permissions(folder.join("sign.conf"), fs::Permissions::from_mode(0o644)).unwrap();
    };
    write("m1\n");
    fleet.set_options("autosign_file: sign.conf\n");
    reload(fleet.master(), "the configuration was reloaded");
    fleet.until_up("m1");
    // From now on the file is looked at.
    write("m1\nm2\n");
    fleet.until_up("m2");
}

#[test]
fn a_minion_takes_over_what_it_can_and_its_jobs_go_on() {
    let fleet = Fleet::start();
    let mut m1 = fleet.minion_with("m1", "m1", "grains: {role: web}\n");
    let options = fs::read_to_string(m1.root().join("etc/brine/minion.yaml")).unwrap();
    let write = |root: &Path, more: &str| {
        let text = options.replace("grains: {role: web}\n", more);
        fs::write(root.join("etc/brine/minion.yaml"), text).unwrap();
    };
    let role = || fleet.api().get("/v1/minions/m1").expect(200).json()["grains"]["role"].clone();
    assert_eq!((role(), starts(&fleet, "m1")), (json!("web"), 1));
    let go = fleet.dir().join("go");
    let wait = format!("while [ ! -e {} ]; do sleep 0.02; done; echo done", go.display());
    let jid = fleet.submit("m1", "cmd.run", &[json!(wait)]);
    eventually(5.0, "the job runs", || m1.log().contains("job starts"));

    write(&m1.root(), "grains: {role: db}\nprocess_count_max: 3\nspool_max: 99000000\n");
    reload(m1.process(), "the configuration was reloaded");
    assert!(m1.log().contains("grains, process_count_max"), "{}", m1.log());
    assert!(m1.log().contains("take effect when the minion is started again"), "{}", m1.log());
    eventually(5.0, "the master knows the grains", || role() == "db");
    assert_eq!(starts(&fleet, "m1"), 1, "no session was needed for that");

    write(&m1.root(), "grains: {role: none}\nhandshake_timeout: never\n");
    reload(m1.process(), "the configuration was not reloaded");
    assert!(m1.log().contains("minion.yaml:7: option \"handshake_timeout\""), "{}", m1.log());
    stays(0.3, "the grains stay", || role() == "db");

    write(&m1.root(), "grains: {role: db}\nhandshake_timeout: 9\n");
    reload(m1.process(), "the configuration was reloaded");
    eventually(5.0, "a session with the new options", || starts(&fleet, "m1") == 2);
    fleet.until_up("m1");
    assert_eq!(fleet.row(&jid, "m1")["ending"], Value::Null, "its job runs still");
    fs::write(go, "").unwrap();
    assert_eq!(fleet.ending(&jid, "m1", 10.0)["value"], "done");
    assert_eq!(starts(&fleet, "m1"), 2);
    assert!(m1.process().is_alive());
}

#[test]
fn a_minion_moves_to_another_master_by_a_reload() {
    let (first, second) = (Fleet::start(), Fleet::start_with("auto_accept: true\n"));
    let mut m1 = first.minion("m1");
    // Both test masters have the same key, as a master that was moved to another machine has.
    m1.dial(second.publish_port, second.ret_port);
    reload(m1.process(), "the configuration was reloaded");
    second.until_up("m1");
    second.ping("m1");
    eventually(5.0, "the first has lost it", || first.presence("m1") == "offline");
}

/// A hook that writes one line for each record.
fn hook(fleet: &Fleet) -> String {
    let path = fleet.dir().join("hook.sh");
    let text = "#!/bin/sh\nprintf '%s %s %s %s ' \"$BRINE_SERVER_ID\" \"$BRINE_SERVER_NAME\" \
                \"$BRINE_SERVER_ZONE\" \"$BRINE_SERVER_MODEL\" >> \"$1\"\ncat >> \"$1\"\necho >> \"$1\"\n";
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_hook_runs_once_for_each_record() {
    let mut fleet = Fleet::prepare("");
    let (hook, told) = (hook(&fleet), fleet.dir().join("told"));
    fleet.set_options(&format!("server_created_hook: [{hook}, {}]\n", told.display()));
    fleet.start_master();
    let lines = || {
        let text = fs::read_to_string(&told).unwrap_or_default();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let create = |name: &str, external: &str| {
        let wanted = json!({"name": name, "model": "scribe", "zone": "Dijon", "external_id": external});
        fleet.api().post("/v1/servers", &wanted)
    };
    let made = create("lycee", "1").expect(201).json();
    eventually(10.0, "the hook has run", || fleet.counter("hook_runs") == 1);
    let id = made["id"].as_str().unwrap();
    let line = lines().concat();
    let start = format!("{id} lycee Dijon scribe ");
    let event: Value = serde_json::from_str(line.strip_prefix(&start).unwrap()).unwrap();
    assert_eq!(event["tag"], format!("brine/server/{id}/created"));
    assert_eq!(event["data"]["name"], "lycee");

    // The same message again makes no record, and another one makes one.
    create("lycee", "1").expect(200);
    create("college", "2").expect(201);
    eventually(10.0, "the hook has run", || fleet.counter("hook_runs") == 2);
    assert!(lines()[1].contains(" college Dijon scribe "), "{:?}", lines());

    // Whoever could change the program could be the master.
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o777)).unwrap();
    create("ecole", "3").expect(201);
    eventually(10.0, "it is refused", || fleet.counter("hook_failed") == 1);
    assert!(fleet.log().contains("chmod go-w"), "{}", fleet.log());
    assert_eq!(lines().len(), 2);
    let refused = {
        fleet.master().stop();
        Done::run(fleet.command("brine-master", &[]))
    };
    refused.refused(1, &["server_created_hook", "chmod go-w"]);

    // A restart does not hook what is remembered, and a reload takes the hook away.
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    fleet.start_master();
    fleet.set_options("");
    reload(fleet.master(), "the configuration was reloaded");
    fleet.api().post("/v1/servers", &json!({"name": "mairie", "model": "amon"})).expect(201);
    fleet.set_options(&format!("server_created_hook: [{hook}, {}]\n", told.display()));
    reload(fleet.master(), "the configuration was reloaded");
    fleet.api().post("/v1/servers", &json!({"name": "musee", "model": "amon"})).expect(201);
    eventually(10.0, "the hook has run", || fleet.counter("hook_runs") == 1);
    assert!(lines().len() == 3 && lines()[2].contains(" musee  amon "), "{:?}", lines());
}
