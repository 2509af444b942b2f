//! Which files count.

use std::os::unix::fs::{chown, symlink};

use super::*;
use brine_protocol::modules::MODULE_MAX;

const CALL: &str = "echo '{\"return\": 1}'";

#[tokio::test]
async fn names() {
    let rig = Rig::new();
    for file in
        ["plain", "with_9.py", ".hidden.sh", "Upper.sh", "9th.sh", "a-b.sh", "two.tar.sh", "left.sh~", "x."]
    {
        rig.module(file, &one("f"), CALL);
    }
    fs::create_dir(rig.path("folder")).unwrap();
    rig.module(&format!("{}.sh", "l".repeat(64)), &one("f"), CALL);
    rig.module(&"t".repeat(65), &one("f"), CALL);
    let listed = rig.call("sys.list_functions", json!(["*.f"]), json!({})).await.0;
    assert_eq!(listed, json!([format!("{}.f", "l".repeat(64)), "plain.f", "with_9.f"]));
    let unknown = rig.call("two.f", json!([]), json!({})).await;
    assert_eq!(unknown, (json!("'two.f' is not available."), UNAVAILABLE));
    // What an editor leaves beside a module does not stand in its way.
    rig.module("left.sh", &one("f"), CALL);
    assert_eq!(rig.call("left.f", json!([]), json!({})).await, (json!(1), 0));
    rig.module("left.py", &one("f"), CALL);
    let twice = "several files of its folder are called left; leave one of them there";
    assert_eq!(rig.refusal("left.f").await, twice);
    fs::remove_file(rig.path("left.sh")).unwrap();
    assert_eq!(rig.call("left.f", json!([]), json!({})).await, (json!(1), 0));
}

#[tokio::test]
async fn the_minions_own_modules_stay_its_own() {
    let rig = Rig::new();
    for module in ["test", "brine", "saltutil"] {
        rig.module(
            &format!("{module}.sh"),
            &json!({"functions": {"ping": {"doc": ""}, "own": {"doc": ""}}}),
            CALL,
        );
    }
    assert_eq!(rig.call("test.ping", json!([]), json!({})).await, (json!(true), 0));
    let own = "the minion has a module test of its own; give the file another name";
    assert_eq!(rig.refusal("test.own").await, own);
    assert!(rig.refusal("saltutil.own").await.contains("of its own"));
    let listed = rig.call("sys.list_functions", json!(["*.own"]), json!({})).await.0;
    assert_eq!(listed, json!([]));
}

#[tokio::test]
async fn only_what_nobody_else_can_change_is_run() {
    let rig = Rig::new();
    let set =
        |path: &std::path::Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    rig.module("m.sh", &one("f"), CALL);
    let (file, folder) = (rig.path("m.sh"), rig.folder.path());
    for (mode, shown) in [(0o720, "0720"), (0o702, "0702"), (0o777, "0777")] {
        set(&file, mode);
        let path = file.display();
        let expected = format!("others could change {path} (mode {shown}); mend it with: chmod go-w {path}");
        assert_eq!(rig.refusal("m.f").await, expected);
    }
    set(&file, 0o755);
    assert_eq!(rig.call("m.f", json!([]), json!({})).await, (json!(1), 0));
    // A folder in which others may only add files is one in which they may add modules.
    for (mode, shown) in [(0o770, "0770"), (0o1777, "1777")] {
        set(folder, mode);
        let path = folder.display();
        let expected = format!("others could change {path} (mode {shown}); mend it with: chmod go-w {path}");
        assert_eq!(rig.refusal("m.f").await, expected);
    }
    set(folder, 0o700);
    assert_eq!(rig.call("m.f", json!([]), json!({})).await, (json!(1), 0));
    set(&file, 0o600);
    let expected = format!("it cannot be run; mend it with: chmod u+x {}", file.display());
    assert_eq!(rig.refusal("m.f").await, expected);
    set(&file, 0o700);
    if nix::unistd::geteuid().is_root() {
        chown(&file, Some(4321), None).unwrap();
        assert!(rig.refusal("m.f").await.contains("it belongs to user 4321"));
    }
}

#[tokio::test]
async fn only_regular_files_of_some_size() {
    let rig = Rig::new();
    rig.module(".real", &one("f"), CALL);
    symlink(rig.path(".real"), rig.path("linked")).unwrap();
    nix::unistd::mkfifo(&rig.path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for module in ["linked", "pipe"] {
        let expected = "it is not a regular file; put the program itself there";
        assert_eq!(rig.refusal(&format!("{module}.f")).await, expected);
    }
    let text = |size: usize| format!("#!/bin/sh\necho '{}'; exit 0\n#{}", one("f"), "x".repeat(size));
    let rest = MODULE_MAX - text(0).len();
    rig.put("large", &text(rest), 0o700);
    assert_eq!(rig.call("sys.list_functions", json!(["large"]), json!({})).await.0, json!(["large.f"]));
    rig.put("large", &text(rest + 1), 0o700);
    assert_eq!(rig.refusal("large.f").await, "it has 1048577 bytes, more than 1048576");
}

#[tokio::test]
async fn at_most_so_many() {
    let rig = Rig::new();
    for n in 0..257 {
        rig.put(&format!("m{n:03}"), &format!("#!/bin/sh\necho '{}'\n", one("f")), 0o700);
    }
    let listed = rig.call("sys.list_modules", json!(["m[0-9]*"]), json!({})).await.0;
    assert_eq!(listed.as_array().unwrap().len(), 256);
    assert_eq!(rig.refusal("m256.f").await, "there are more than 256 files in its folder; take some away");
}

#[tokio::test]
async fn no_folder_is_no_module() {
    let context = Context { modules: Modules::of("/no/such/folder".into()), ..context() };
    for context in [context, super::context()] {
        let done = returned(&[call("m.f", json!([]), json!({}))], &context).await;
        assert_eq!((done.value, done.retcode), (json!("'m.f' is not available."), UNAVAILABLE));
        let done = returned(&[call("sys.reload_modules", json!([]), json!({}))], &context).await;
        assert_eq!((done.value, done.retcode), (json!(true), 0));
    }
}
