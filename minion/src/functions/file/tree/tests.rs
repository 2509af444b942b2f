use std::os::unix::fs::MetadataExt;

use super::super::super::testing::{assert_shape, call, context, returned};
use super::*;

async fn run(function: &str, args: Value, keywords: Value) -> (Value, i32) {
    let result = returned(&[call(function, args, keywords)], &context()).await;
    if result.retcode == 0 {
        assert_shape(function, &result.value);
    }
    (result.value, result.retcode)
}

fn yes() -> (Value, i32) {
    (json!(true), 0)
}

#[tokio::test]
async fn folders_are_made() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let keywords = json!({"mode": "0750"});
    assert_eq!(run("file.mkdir", json!([at("a b/-c/./d")]), keywords.clone()).await, yes());
    for made in ["a b", "a b/-c", "a b/-c/d"] {
        assert_eq!(fs::metadata(at(made)).unwrap().mode() & 0o7777, 0o750);
    }
    assert_eq!(run("file.mkdir", json!([at("a b")]), json!({"mode": "0700"})).await, yes());
    assert_eq!(fs::metadata(at("a b")).unwrap().mode() & 0o7777, 0o750, "left as it is");
    fs::write(at("file"), "").unwrap();
    let (why, retcode) = run("file.mkdir", json!([at("file")]), json!({})).await;
    assert!(retcode == 1 && why.as_str().unwrap().starts_with("ERROR: [Errno 17] File exists"), "{why}");
    let (why, _) = run("file.mkdir", json!([at("x")]), json!({"user": "no-such-user"})).await;
    assert_eq!((why, at("x").exists()), (json!("ERROR: User does not exist"), false));

    let above = at("m/n/");
    assert_eq!(run("file.makedirs", json!([at("m/n/file")]), json!({})).await, (Value::Null, 0));
    assert!(above.is_dir() && !at("m/n/file").exists());
    let there = format!("Directory '{}' already exists", at("m/n").display());
    assert_eq!(run("file.makedirs", json!([above]), json!({})).await, (json!(there), 0));
}

#[tokio::test]
async fn what_is_removed_and_what_never() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("tree/in/ner")).unwrap();
    fs::write(at("tree/in/-rf"), "").unwrap();
    fs::write(at("kept"), "").unwrap();
    point(at("kept"), at("tree/link")).unwrap();
    point(folder.path(), at("tree/in/loop")).unwrap();
    point(folder.path(), at("to-folder")).unwrap();
    assert_eq!(run("file.remove", json!([at("to-folder")]), json!({})).await, yes());
    assert_eq!(run("file.remove", json!([at("tree")]), json!({})).await, yes());
    assert!(at("kept").exists() && !at("tree").exists());
    assert_eq!(run("file.remove", json!([at("kept")]), json!({})).await, yes());
    assert_eq!(run("file.remove", json!([at("kept")]), json!({})).await, (json!(false), 0));
    let refused =
        "ERROR executing 'file.remove': Could not remove '/': the root of the file system is not removed";
    for root in ["/", "//", "/.", "/no/../..", "/proc/self/root/."] {
        assert_eq!(run("file.remove", json!([root]), json!({})).await, (json!(refused), 1), "{root}");
    }
    let relative = "ERROR executing 'file.remove': File path must be absolute: kept";
    assert_eq!(run("file.remove", json!(["kept"]), json!({})).await, (json!(relative), 1));
    assert_eq!(run("file.remove", json!([""]), json!({})).await.1, 1);
    let (why, retcode) = run("file.remove", json!(["/proc/version"]), json!({})).await;
    assert!(
        retcode == 1 && why.as_str().unwrap().starts_with("ERROR: Could not remove '/proc/version': [Errno")
    );
}

#[tokio::test]
async fn a_cancelled_removal_stops() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let stopped = {
        let work = super::super::blocking::blocking(|stop| Ok(stop.clone()));
        work.await.unwrap()
    };
    assert!(take_away(folder.path(), &stopped).unwrap().is_err());
    assert!(folder.path().join("file").exists());
}

#[tokio::test]
async fn names_and_links() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("one"), "1").unwrap();
    assert_eq!(run("file.rename", json!([at("one"), at("t w\no")]), json!({})).await, yes());
    assert_eq!(run("file.link", json!([at("t w\no"), at("second")]), json!({})).await, yes());
    assert_eq!(fs::metadata(at("second")).unwrap().nlink(), 2);
    let (why, _) = run("file.rename", json!([at("none"), at("x")]), json!({})).await;
    assert!(why.as_str().unwrap().starts_with("ERROR: Could not rename '"), "{why}");
    assert_eq!(run("file.rename", json!(["x", "/y"]), json!({})).await.1, 1);
    assert_eq!(run("file.link", json!([at("none"), at("y")]), json!({})).await.1, 1);

    for _ in 0..2 {
        assert_eq!(run("file.symlink", json!(["second", at("link")]), json!({})).await, yes());
    }
    let other = json!(["other", at("link")]);
    let found = format!("ERROR: Found existing symlink: {}", at("link").display());
    assert_eq!(run("file.symlink", other.clone(), json!({})).await, (json!(found), 1));
    assert_eq!(run("file.symlink", other, json!({"force": true})).await, yes());
    assert_eq!(fs::read_link(at("link")).unwrap(), Path::new("other"));
    let taken = json!(["other", at("second")]);
    let there = format!("ERROR: Existing path is not a symlink: {}", at("second").display());
    assert_eq!(run("file.symlink", taken.clone(), json!({})).await, (json!(there), 1));
    assert_eq!(run("file.symlink", taken, json!({"atomic": true})).await, yes());
    assert!(at("second").is_symlink());
    assert_eq!(run("file.symlink", json!(["x", "relative"]), json!({})).await.1, 1);
    let (why, _) = run("file.symlink", json!(["x", "/no/such/link"]), json!({})).await;
    assert!(why.as_str().unwrap().starts_with("ERROR: Could not create '/no/such/link': [Errno 2]"), "{why}");
}

#[tokio::test]
async fn copies_and_moves() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("a"), "1").unwrap();
    fs::set_permissions(at("a"), Permissions::from_mode(0o640)).unwrap();
    assert_eq!(run("file.copy", json!([at("a"), at("-b")]), json!({})).await, yes());
    let copied = fs::metadata(at("-b")).unwrap();
    assert_eq!((copied.mode() & 0o7777, copied.uid()), (0o640, fs::metadata(at("a")).unwrap().uid()));
    fs::create_dir_all(at("tree/in")).unwrap();
    fs::write(at("tree/in/f"), "x").unwrap();
    point("f", at("tree/in/link")).unwrap();
    let (why, _) = run("file.copy", json!([at("tree"), at("to")]), json!({})).await;
    assert!(why.as_str().unwrap().ends_with("without recurse flag set to true!"), "{why}");
    let tree = json!([at("tree"), at("to")]);
    assert_eq!(run("file.copy", tree.clone(), json!({"recurse": true})).await, yes());
    assert_eq!(fs::read(at("to/in/f")).unwrap(), b"x");
    assert!(at("to/in/link").is_symlink());
    fs::write(at("to/extra"), "").unwrap();
    assert_eq!(run("file.copy", tree.clone(), json!({"recurse": true})).await, yes());
    assert!(at("to/extra").exists());
    assert_eq!(run("file.copy", tree, json!({"recurse": true, "remove_existing": true})).await, yes());
    assert!(!at("to/extra").exists());
    for (args, keywords) in [
        (json!([at("tree"), at("tree/in/side")]), json!({"recurse": true})),
        (json!([at("tree/in"), at("tree")]), json!({"recurse": true, "remove_existing": true})),
        (json!([at("a"), at("a")]), json!({})),
        (json!([at("none"), at("x")]), json!({})),
        (json!(["/dev/zero", at("x")]), json!({})),
        (json!([at("a"), at("tree")]), json!({"recurse": true})),
    ] {
        assert_eq!(run("file.copy", args.clone(), keywords).await.1, 1, "{args}");
    }
    assert_eq!((fs::read(at("a")).unwrap(), at("x").exists()), (b"1".to_vec(), false));

    let moved = format!("'{}' moved to '{}'", at("a").display(), at("tree").display());
    let value = json!({"result": true, "comment": moved});
    assert_eq!(run("file.move", json!([at("a"), at("tree")]), json!({})).await, (value, 0));
    assert_eq!(fs::read(at("tree/a")).unwrap(), b"1");
    fs::write(at("a"), "2").unwrap();
    let (why, _) = run("file.move", json!([at("a"), at("tree")]), json!({})).await;
    assert!(why.as_str().unwrap().ends_with("already exists"), "{why}");
    assert_eq!(run("file.move", json!([at("none"), at("y")]), json!({})).await.1, 1);
    let renamed =
        run("file.move", json!([at("a"), at("z")]), json!({"disallow_copy_and_unlink": true})).await;
    assert_eq!(renamed, yes());
}
