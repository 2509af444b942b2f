use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use super::super::testing::fakes::Fakes;
use super::super::testing::{assert_shape, call, context, returned};
use super::*;

async fn ask(function: &str, args: Value) -> Value {
    let result = returned(&[call(function, args.clone(), json!({}))], &context()).await;
    assert_eq!(result.retcode, 0, "{function} {args}: {}", result.value);
    assert_shape(function, &result.value);
    result.value
}

/// What `/proc/mounts` says of each place that is seen.
fn of_the_kernel() -> Map<String, Value> {
    let text = fs::read("/proc/self/mounts").unwrap();
    let mut found = Map::new();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let fields: Vec<String> = line.split(|byte| *byte == b' ').map(table::decode).collect();
        let options: Vec<&str> = fields[3].split(',').collect();
        found.insert(fields[1].clone(), json!({"device": fields[0], "fstype": fields[2], "opts": options}));
    }
    found
}

#[tokio::test]
async fn mounts_of_this_machine() {
    // Others may mount something meanwhile.
    let (kernel, active) = loop {
        let (before, active) = (of_the_kernel(), ask("mount.active", json!([])).await);
        if of_the_kernel() == before {
            break (before, active);
        }
    };
    let mut active = active.as_object().unwrap().clone();
    for (place, entry) in &mut active {
        let entry = entry.as_object_mut().unwrap();
        let other = entry.remove("alt_device").unwrap();
        assert!(other == entry["device"] || other.as_str().unwrap().starts_with("/dev/"), "{place}: {other}");
    }
    assert_eq!(active, kernel);
    assert_eq!(active["/proc"]["fstype"], "proc");

    let extended = ask("mount.active", json!([true])).await;
    let proc = &extended["/proc"];
    assert_eq!(
        (&proc["root"], &proc["major"], &proc["device_uuid"]),
        (&json!("/"), &json!("0"), &json!(null))
    );
    assert!(proc["superopts"].as_array().unwrap().contains(&json!("rw")), "{proc}");
    for (place, expected) in
        [("/proc", true), ("/proc/", true), ("/", true), ("/proc/self", false), ("proc", false), ("", false)]
    {
        assert_eq!(ask("mount.is_mounted", json!([place])).await, expected, "{place:?}");
    }
}

#[tokio::test]
async fn a_list_has_a_bound() {
    let context = Context { output_max: 100, ..context() };
    let cut = returned(&[call("mount.active", json!([]), json!({}))], &context).await;
    assert!(cut.truncated, "{}", cut.value);
}

#[tokio::test]
async fn entries_of_fstab() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fstab");
    fs::write(&file, "LABEL=x /srv/a\\040b ext4 rw,noatime 0 2\n").unwrap();
    let expected =
        json!({"device": "LABEL=x", "fstype": "ext4", "opts": ["rw", "noatime"], "dump": "0", "pass": "2"});
    assert_eq!(ask("mount.fstab", json!([file])).await, json!({"/srv/a b": expected}));
    for nothing in ["/no/such/file", "/dev/zero", "/"] {
        assert_eq!(ask("mount.fstab", json!([nothing])).await, json!({}));
    }
    ask("mount.fstab", json!([])).await;
}

#[tokio::test]
async fn tools_are_called_with_vectors() {
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("a/b");
    let made = made.to_str().unwrap();
    let mut fakes = Fakes::new();
    fakes.answer("mount", "", &[(0, "", "")]);
    fakes.answer("umount", "", &[(0, "", "")]);
    let context = fakes.context(context());
    for (function, args, expected) in [
        ("mount.mount", json!(["/srv"]), "mount -- /srv".to_owned()),
        ("mount.mount", json!(["/srv", null, false, "", "ro"]), "mount -o ro -- /srv".to_owned()),
        ("mount.mount", json!(["/srv", "/dev/x"]), "mount -o defaults -- /dev/x /srv".to_owned()),
        (
            "mount.mount",
            json!(["/srv", "--bind", false, "ext4", ["ro", "--x"]]),
            "mount -o ro,--x -t ext4 -- --bind /srv".to_owned(),
        ),
        ("mount.mount", json!([made, "tmpfs", true, "tmpfs", []]), format!("mount -t tmpfs -- tmpfs {made}")),
        ("mount.umount", json!(["/proc"]), "umount -- /proc".to_owned()),
        ("mount.umount", json!(["/proc", "-a"]), "umount -- -a".to_owned()),
    ] {
        let result = returned(&[call(function, args.clone(), json!({}))], &context).await;
        assert_eq!((&result.value, result.retcode), (&json!(true), 0), "{function} {args}");
        assert_shape(function, &result.value);
        assert_eq!(fakes.calls(), [expected]);
    }
    assert!(Path::new(made).is_dir());

    let invocation = |function: &str, why: &str| format!("ERROR executing '{function}': {why}");
    for (function, args, keywords, expected) in [
        (
            "mount.umount",
            json!(["/nosuch"]),
            json!({}),
            "ERROR: /nosuch does not have anything mounted".to_owned(),
        ),
        ("mount.umount", json!(["-a"]), json!({}), "ERROR: -a does not have anything mounted".to_owned()),
        (
            "mount.mount",
            json!(["srv", "/dev/x"]),
            json!({}),
            invocation("mount.mount", "'name' needs an absolute path"),
        ),
        (
            "mount.mount",
            json!(["/srv", "x"]),
            json!({"fstype": "../../tmp/x"}),
            invocation("mount.mount", "'../../tmp/x' is not a type of file systems; write it as ext4 or nfs"),
        ),
        (
            "mount.mount",
            json!(["/srv", "x"]),
            json!({"opts": "ro\n"}),
            invocation("mount.mount", "'opts' cannot hold line ends and NUL bytes"),
        ),
        (
            "mount.umount",
            json!(["/proc"]),
            json!({"timeout": null}),
            invocation("mount.umount", "'timeout' needs a number of seconds"),
        ),
    ] {
        let result = returned(&[call(function, args.clone(), keywords)], &context).await;
        assert_eq!((result.value, result.retcode), (json!(expected), 1), "{function} {args}");
    }
    assert_eq!(fakes.calls(), Vec::<String>::new(), "nothing was run");
}

#[tokio::test]
async fn what_a_tool_says_is_told() {
    let mut fakes = Fakes::new();
    fakes.answer("mount", "/srv", &[(32, "", "mount: /srv: special device x does not exist.")]);
    fakes.answer("umount", "", &[(32, "", "")]);
    let context = fakes.context(context());
    let failed = returned(&[call("mount.mount", json!(["/srv", "x"]), json!({}))], &context).await;
    assert_eq!(
        (failed.value, failed.retcode),
        (json!("ERROR: mount: /srv: special device x does not exist."), 1)
    );
    let failed = returned(&[call("mount.umount", json!(["/proc"]), json!({}))], &context).await;
    assert_eq!(failed.value, "ERROR: umount ended with 32 and said nothing");
}

#[tokio::test]
async fn a_tool_that_hangs_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("umount");
    // Another process writes it: one that is open for writing here cannot be run.
    let script = "#!/bin/sh\nexec /bin/sleep 600\n";
    let write = format!("printf '%s' '{script}' >'{}'", program.display());
    assert!(std::process::Command::new("sh").args(["-c", &write]).status().unwrap().success());
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let context = Context { path: folder.path().display().to_string(), ..context() };
    let begun = Instant::now();
    let hung = returned(&[call("mount.umount", json!(["/proc"]), json!({"timeout": 0.1}))], &context).await;
    let why = "ERROR: umount was killed after 0.1 seconds: the kernel or a server does not answer about /proc; \
               mount.is_mounted tells what came of it";
    assert_eq!((hung.value, hung.retcode), (json!(why), 1));
    assert!(begun.elapsed() < Duration::from_secs(60));
}
