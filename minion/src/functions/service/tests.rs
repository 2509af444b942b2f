use serde_json::{Value, json};

use super::super::testing::fakes::Fakes;
use super::super::testing::{assert_shape, call, context, returned};

const ASKS: &str = "systemctl --no-pager --no-ask-password";
const FRESH: &str = "LoadState=loaded\nNeedDaemonReload=no\n";
const SHOW: &str = "show --property=LoadState --property=NeedDaemonReload --";

/// What the function gives with its retcode, and how systemctl was called for it.
async fn run(fakes: &Fakes, function: &str, arguments: Value, keywords: Value) -> (Value, i32, Vec<String>) {
    let context = fakes.context(context());
    let result = returned(&[call(function, arguments, keywords)], &context).await;
    if result.retcode == 0 {
        assert_shape(function, &result.value);
    }
    let strip = |call: String| call.strip_prefix(ASKS).unwrap_or(&call).trim().to_owned();
    (result.value, result.retcode, fakes.calls().into_iter().map(strip).collect())
}

fn shown(unit: &str) -> String {
    format!("{SHOW} {unit}")
}

#[tokio::test]
async fn verbs_and_their_arguments() {
    for (function, keywords, expected) in [
        ("service.start", json!({}), &["start -- nginx.service"][..]),
        ("service.start", json!({"no_block": true}), &["--no-block start -- nginx.service"]),
        ("service.stop", json!({}), &["stop -- nginx.service"]),
        ("service.restart", json!({}), &["restart -- nginx.service"]),
        ("service.restart", json!({"no_block": true}), &["--no-block restart -- nginx.service"]),
        ("service.reload", json!({}), &["reload -- nginx.service"]),
        ("service.enable", json!({}), &["enable -- nginx.service"]),
        ("service.disable", json!({}), &["disable -- nginx.service"]),
        ("service.mask", json!({}), &["mask -- nginx.service"]),
        ("service.mask", json!({"runtime": true}), &["mask --runtime -- nginx.service"]),
        ("service.unmask", json!({}), &["unmask -- nginx.service"]),
        (
            "service.start",
            json!({"unmask": true, "unmask_runtime": true}),
            &["unmask -- nginx.service", "unmask --runtime -- nginx.service", "start -- nginx.service"],
        ),
    ] {
        let mut fakes = Fakes::new();
        fakes.answer("systemctl", "show", &[(0, FRESH, "")]).answer("systemctl", "", &[(0, "", "")]);
        let (value, retcode, calls) = run(&fakes, function, json!(["nginx"]), keywords).await;
        assert_eq!((value, retcode), (json!(true), 0), "{function}");
        assert_eq!(calls[0], shown("nginx.service"));
        assert_eq!(calls[1..], *expected, "{function}");
    }
}

#[tokio::test]
async fn the_minion_itself_is_not_waited_for() {
    let mut fakes = Fakes::new();
    fakes.answer("systemctl", "show", &[(0, FRESH, "")]).answer("systemctl", "", &[(0, "", "")]);
    for (function, keywords, expected) in [
        ("service.restart", json!({}), "--no-block restart -- brine-minion.service"),
        ("service.stop", json!({}), "--no-block stop -- brine-minion.service"),
        ("service.stop", json!({"no_block": false}), "stop -- brine-minion.service"),
    ] {
        let (.., calls) = run(&fakes, function, json!(["brine-minion"]), keywords).await;
        assert_eq!(calls[1], expected);
    }
}

#[tokio::test]
async fn changed_files_are_read_first() {
    let mut fakes = Fakes::new();
    fakes
        .answer("systemctl", "show", &[(0, "LoadState=loaded\nNeedDaemonReload=yes\n", "")])
        .answer("systemctl", "daemon-reload", &[(0, "", ""), (1, "", "Failed to reload daemon: busy")])
        .answer("systemctl", "restart", &[(0, "", "")]);
    let (value, _, calls) = run(&fakes, "service.restart", json!(["nginx"]), json!({})).await;
    assert_eq!(value, true);
    assert_eq!(calls, [&shown("nginx.service"), "daemon-reload", "restart -- nginx.service"]);
    let (value, retcode, calls) = run(&fakes, "service.restart", json!(["nginx"]), json!({})).await;
    let why = "ERROR: Problem performing systemctl daemon-reload: Failed to reload daemon: busy";
    assert_eq!((value, retcode, calls.len()), (json!(why), 1, 2));
}

#[tokio::test]
async fn what_fails_is_said_or_false() {
    let said = "Failed to start nosuch.service: Unit nosuch.service not found.";
    let mut fakes = Fakes::new();
    fakes
        .answer("systemctl", "show", &[(0, "LoadState=not-found\nNeedDaemonReload=no\n", "")])
        .answer("systemctl", "unmask", &[(1, "", "Unit nosuch.service does not exist, proceeding anyway.")])
        .answer("systemctl", "mask", &[(1, "", "File '/etc/systemd/system/nosuch.service' already exists.")])
        .answer("systemctl", "", &[(5, "", said)]);
    for function in ["service.start", "service.restart", "service.reload", "service.enable"] {
        let (value, retcode, _) = run(&fakes, function, json!(["nosuch"]), json!({})).await;
        assert_eq!((value, retcode), (json!(format!("ERROR: {said}")), 1), "{function}");
    }
    for function in ["service.stop", "service.disable"] {
        let (value, retcode, _) = run(&fakes, function, json!(["nosuch"]), json!({})).await;
        assert_eq!((value, retcode), (json!(false), 5), "{function}");
    }
    let (value, retcode, _) = run(&fakes, "service.unmask", json!(["nosuch"]), json!({})).await;
    assert_eq!((value, retcode), (json!(true), 0));
    let (value, retcode, _) = run(&fakes, "service.mask", json!(["nosuch"]), json!({})).await;
    let why = "ERROR: Failed to mask service 'nosuch.service': File '/etc/systemd/system/nosuch.service' already \
               exists.";
    assert_eq!((value, retcode), (json!(why), 1));
}

const FILES: &str = "cron.service enabled enabled\ngetty@.service enabled enabled\nssh.service disabled enabled\n\
                     dbus.socket static -\nslow.service static -\nuser.slice static -\n";
const UNITS: &str = "cron.service loaded active running Cron\ndbus.socket loaded active running D-Bus\n\
                     slow.service loaded activating start Slow\ngetty@tty1.service loaded active running Getty\n";

#[tokio::test]
async fn status_of_one_and_of_many() {
    let mut fakes = Fakes::new();
    let settled = UNITS.replace("activating start", "active exited");
    fakes
        .answer("systemctl", "is-active -- cron.service", &[(0, "active\n", "")])
        .answer("systemctl", "is-active -- ssh.service", &[(3, "inactive\n", "")])
        .answer("systemctl", "is-active -- slow.service", &[(3, "activating\n", ""), (0, "active\n", "")])
        .answer("systemctl", "is-active -- stuck.service", &[(3, "deactivating\n", "")])
        .answer("systemctl", "list-unit-files", &[(0, FILES, "")])
        .answer("systemctl", "list-units", &[(0, UNITS, ""), (0, &settled, "")]);
    for (name, keywords, expected, count) in [
        ("cron", json!({}), json!(true), 1),
        ("ssh.service", json!({}), json!(false), 1),
        ("slow", json!({}), json!(true), 2),
        ("stuck", json!({"wait": 0}), json!(false), 1),
        ("*s*", json!({}), json!({"dbus.socket": true, "slow": true, "ssh": false}), 4),
        ("nothing*", json!({}), json!({}), 2),
    ] {
        let (value, retcode, calls) = run(&fakes, "service.status", json!([name]), keywords).await;
        assert_eq!((value, retcode, calls.len()), (expected, 0, count), "{name}: {calls:?}");
    }
}

#[tokio::test]
async fn lists_are_sorted_and_short() {
    let mut fakes = Fakes::new();
    fakes.answer("systemctl", "list-unit-files --full --no-legend", &[(0, FILES, "")]).answer(
        "systemctl",
        "list-units --all --full --plain --no-legend",
        &[(0, UNITS, "")],
    );
    for (function, expected) in [
        ("service.get_all", json!(["cron", "dbus.socket", "getty@", "slow", "ssh"])),
        ("service.get_enabled", json!(["cron", "getty@"])),
        ("service.get_running", json!(["cron", "dbus.socket", "getty@tty1"])),
    ] {
        let (value, retcode, _) = run(&fakes, function, json!([]), json!({})).await;
        assert_eq!((value, retcode), (expected, 0), "{function}");
    }
}

#[tokio::test]
async fn what_there_is_and_what_starts_at_boot() {
    let mut fakes = Fakes::new();
    fakes
        .answer("systemctl", "is-enabled -- cron.service", &[(0, "enabled\n", "")])
        .answer("systemctl", "is-enabled", &[(1, "disabled\n", "")])
        .answer("systemctl", "list-unit-files", &[(0, FILES, "")])
        .answer("systemctl", "show --property=LoadState -- cron.service", &[(0, "LoadState=loaded\n", "")])
        .answer(
            "systemctl",
            "show --property=LoadState -- odd.service",
            &[(1, "", "Failed to get properties")],
        )
        .answer("systemctl", "show", &[(0, "LoadState=not-found\n", "")]);
    for (function, opposite, name, expected) in [
        ("service.enabled", "service.disabled", "cron", true),
        ("service.enabled", "service.disabled", "nosuch", false),
        ("service.available", "service.missing", "cron", true),
        ("service.available", "service.missing", "nosuch", false),
        ("service.available", "service.missing", "getty@", true),
        ("service.available", "service.missing", "nosuch@", false),
    ] {
        let (value, retcode, _) = run(&fakes, function, json!([name]), json!({})).await;
        assert_eq!((value, retcode), (json!(expected), 0), "{function} {name}");
        let (value, ..) = run(&fakes, opposite, json!([name]), json!({})).await;
        assert_eq!(value, !expected, "{opposite} {name}");
    }
    let (value, retcode, _) = run(&fakes, "service.available", json!(["odd"]), json!({})).await;
    let why = "ERROR: Failed to get information on unit 'odd.service': Failed to get properties";
    assert_eq!((value, retcode), (json!(why), 1));
}

#[tokio::test]
async fn without_systemd_there_is_one_sentence() {
    let said = "System has not been booted with systemd as init system (PID 1). Can't operate.\n\
                Failed to connect to bus: Host is down";
    let mut fakes = Fakes::new();
    fakes.answer("systemctl", "", &[(1, "", said)]);
    for function in
        "start stop restart reload enable disable mask unmask status available missing get_all get_running"
            .split(' ')
    {
        let name = if function.starts_with("get") { json!([]) } else { json!(["cron"]) };
        let (value, retcode, _) = run(&fakes, &format!("service.{function}"), name, json!({})).await;
        let sentence = "ERROR: systemd does not run on this machine, so there are no services to ask or to change: \
                        System has not been booted with systemd as init system (PID 1). Can't operate.";
        assert_eq!((value, retcode), (json!(sentence), 1), "{function}");
    }
    let (value, retcode, _) = run(&Fakes::new(), "service.start", json!(["cron"]), json!({})).await;
    let missing = "ERROR: this needs the program \"systemctl\", which is not installed";
    assert_eq!((value, retcode), (json!(missing), 1));
}
