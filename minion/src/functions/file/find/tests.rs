use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::json;

use super::super::super::testing::{assert_shape, call, context, returned};
use super::*;

fn scratch() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("d/e")).unwrap();
    fs::write(at("a.txt"), "hello\n").unwrap();
    fs::write(at("B.TXT"), vec![b'x'; 2048]).unwrap();
    fs::write(at("d/-x y"), "").unwrap();
    fs::write(at("d/e/two\nlines"), "needle").unwrap();
    symlink("..", at("d/e/loop")).unwrap();
    symlink("nowhere", at("dangling")).unwrap();
    mkfifo(&at("pipe"), Mode::S_IRWXU).unwrap();
    folder
}

async fn run(context: &Context, path: &Path, rest: Value, keywords: Value) -> (Value, i32, bool) {
    let mut args = vec![json!(path)];
    args.extend(rest.as_array().unwrap().iter().cloned());
    let result = returned(&[call("file.find", Value::Array(args), keywords)], context).await;
    if result.retcode == 0 {
        assert_shape("file.find", &result.value);
    }
    (result.value, result.retcode, result.truncated)
}

#[tokio::test]
async fn what_is_found() {
    let (folder, context) = (scratch(), context());
    for (keywords, expected) in [
        (json!({"name": "*.txt"}), json!(["a.txt"])),
        (json!({"iname": "?.txt"}), json!(["B.TXT", "a.txt"])),
        (json!({"regex": "^[ab]\\."}), json!(["a.txt"])),
        (json!({"iregex": "[ab]\\."}), json!(["B.TXT", "a.txt"])),
        (json!({"type": "f", "size": "-10"}), json!(["a.txt", "d/-x y", "d/e/two\nlines"])),
        (json!({"type": "f", "size": "2k"}), json!(["B.TXT"])),
        (json!({"type": "l"}), json!(["d/e/loop", "dangling"])),
        (json!({"type": "p"}), json!(["pipe"])),
        (json!({"type": "f", "maxdepth": 1}), json!(["B.TXT", "a.txt"])),
        (json!({"type": "f", "mindepth": 2, "maxdepth": 2}), json!(["d/-x y"])),
        (json!({"grep": "^need"}), json!(["d/e/two\nlines"])),
        (json!({"mtime": "-1d", "name": "a*"}), json!(["a.txt"])),
        (json!({"mtime": "1d"}), json!([])),
        (json!({"user": nix::unistd::geteuid().as_raw(), "name": "a*"}), json!(["a.txt"])),
        (json!({"name": "a*", "print": "name"}), json!(["a.txt"])),
    ] {
        let (value, retcode, _) = run(&context, folder.path(), json!([]), keywords.clone()).await;
        let prefix = format!("{}/", folder.path().display());
        let names: Vec<&str> = value.as_array().unwrap().iter().map(|path| path.as_str().unwrap()).collect();
        let names: Vec<&str> = names.iter().map(|name| name.strip_prefix(&prefix).unwrap_or(name)).collect();
        assert_eq!((json!(names), retcode), (expected, 0), "{keywords}");
    }
    let all = json!({"type": "f", "print": ["size", "type", "name", "mode", "md5"], "name": "a*"});
    let digest = Value::from(super::super::super::hashutil::Algorithm::Md5.of(b"hello\n"));
    let mode = fs::metadata(folder.path().join("a.txt")).unwrap();
    let mode = std::os::unix::fs::MetadataExt::mode(&mode) & 0o777;
    let expected = json!([[6, "f", "a.txt", mode, digest]]);
    assert_eq!(run(&context, folder.path(), json!([]), all).await, (expected, 0, false));
    let several = folder.path().join("*.[tT]*");
    assert_eq!(run(&context, &several, json!(["print"]), json!({})).await.0.as_array().unwrap().len(), 2);
    assert_eq!(run(&context, Path::new("/no/such"), json!([]), json!({})).await, (json!([]), 0, false));
}

#[tokio::test]
async fn names_that_are_no_text() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(OsStr::from_bytes(b"a\xff")), "").unwrap();
    let (value, _, _) =
        run(&context(), folder.path(), json!([]), json!({"type": "f", "print": "name"})).await;
    assert_eq!(value, json!(["a\u{fffd}"]));
    let deleted = run(&context(), folder.path(), json!(["delete"]), json!({})).await.0;
    assert!(deleted.as_array().unwrap().len() == 1 && fs::read_dir(folder.path()).unwrap().count() == 0);
}

#[tokio::test]
async fn deleting() {
    let (folder, context) = (scratch(), context());
    let keywords = json!({"name": "a.txt", "test": true});
    let (value, _, _) = run(&context, folder.path(), json!(["delete"]), keywords).await;
    assert_eq!((value.as_array().unwrap().len(), folder.path().join("a.txt").exists()), (1, true));
    let (value, _, _) = run(&context, folder.path(), json!([]), json!({"delete": "f,p"})).await;
    assert_eq!(value.as_array().unwrap().len(), 5);
    assert!(folder.path().join("dangling").is_symlink() && !folder.path().join("pipe").exists());
    run(&context, folder.path(), json!([]), json!({"delete": "a", "mindepth": 1})).await;
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn results_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    for n in 0..100 {
        fs::write(folder.path().join(format!("{n:03}")), "").unwrap();
    }
    let small = Context { output_max: 100, ..context() };
    let (value, _, is_cut) =
        run(&small, folder.path(), json!([]), json!({"print": "name", "type": "f"})).await;
    assert!(is_cut && value.as_array().unwrap().len() == 100 / "\"000\",".len(), "{value}");
}

#[tokio::test]
async fn wrong_options_are_named() {
    let (folder, context) = (scratch(), context());
    for (rest, keywords, expected) in [
        (json!([]), json!({"colour": "red"}), "error: invalid option \"colour\""),
        (json!(["erase"]), json!({}), "error: invalid option \"erase\""),
        (json!([]), json!({"name": ""}), "error: missing value for \"name\" option"),
        (json!([]), json!({"type": "q"}), "error: invalid file type \"q\""),
        (json!([]), json!({"regex": "("}), "error: invalid regular expression: \"(\""),
        (json!([]), json!({"size": "big"}), "error: invalid size: \"big\""),
        (json!([]), json!({"mtime": 3}), "error: invalid time interval: '3'"),
        (json!([]), json!({"user": "no-such-user"}), "error: no such user \"no-such-user\""),
        (
            json!([]),
            json!({"exec": "rm {}"}),
            "error: \"exec\" is not supported; run cmd.run on what is found",
        ),
    ] {
        assert_eq!(run(&context, folder.path(), rest, keywords).await, (json!(expected), 1, false));
    }
}
