//! Files on a real disk: what is found, what is refused, and what becomes of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use brine_protocol::MinionId;
use brine_protocol::target::Known;
use serde_json::{Map, Value, json};

use super::*;

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        write(folder.path(), name, text);
    }
    folder
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("in a folder")).expect("a folder");
    fs::write(&path, text).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
    path
}

fn of(tree: &Tree, id: &str, grains: &Value) -> Value {
    let id: MinionId = id.parse().expect("an id");
    let grains = grains.as_object().cloned().unwrap_or_default();
    let known = Known { id: &id, grains: Some(&grains), pillar: None, record: None };
    let compiled = tree.compile(&tree.select(&known));
    assert_eq!(compiled.bytes, Value::Object(compiled.pillar.clone()).to_string().len());
    Value::Object(compiled.pillar)
}

fn tree(roots: &[&Path]) -> Arc<Tree> {
    Source::of(roots).read().tree.unwrap_or_else(|fault| panic!("{fault}"))
}

#[track_caller]
fn fault(folder: &Path) -> String {
    let read = Source::of(&[folder]).read();
    let fault = read.tree.expect_err("refused").to_string();
    assert!(!fault.contains("canary") && !fault.contains('\n'), "{fault}");
    fault.replace(&format!("{}/", folder.display()), "")
}

#[test]
fn a_minion_gets_what_its_targets_name_the_later_over_the_earlier() {
    let folder = folder(&[
        ("top.yaml", "base:\n  '*': [common]\n  'G@role:web': [web.tls, site]\n  'web1': [own]\n"),
        ("common.sls", "site: none\nusers: {bob: {uid: 1}, alice: {uid: 2}}\nports: [22]\n"),
        ("web/tls/init.yaml", "users: {alice: {shell: sh}}\nports: [443]\n"),
        ("site.yaml", "site: Dijon\n"),
        ("site.sls", "site: not this one\n"),
        ("own.yaml", ""),
        ("unnamed.yaml", "{% not read at all"),
    ]);
    let tree = tree(&[folder.path()]);
    let web = json!({"site": "Dijon", "users": {"bob": {"uid": 1}, "alice": {"uid": 2, "shell": "sh"}}, "ports": [443]});
    assert_eq!(of(&tree, "web1", &json!({"role": "web"})), web);
    let db = json!({"site": "none", "users": {"bob": {"uid": 1}, "alice": {"uid": 2}}, "ports": [22]});
    assert_eq!(of(&tree, "db1", &json!({})), db);
    let id: MinionId = "web1".parse().expect("an id");
    let known = Known { id: &id, grains: Some(&Map::new()), pillar: None, record: None };
    let origins = tree.origins(&tree.select(&known));
    assert_eq!(origins["site"], [folder.path().join("common.sls").display().to_string()]);
    assert_eq!((tree.targets(), tree.files(), tree.uses_records()), (3, 4, false));
}

#[test]
fn what_a_file_includes_is_under_it_and_counts_once() {
    let folder = folder(&[
        ("top.yaml", "'*': [a, b]"),
        ("a.yaml", "include: [common]\nwho: a\nfrom_a: 1\n"),
        ("b.yaml", "include:\n  - common\n  - deep.er\nfrom_b: 1\n"),
        ("common.yaml", "who: common\nfrom_common: 1\n"),
        ("deep/er.yaml", "include: [common]\nfrom_er: 1\n"),
    ]);
    let expected = json!({"who": "a", "from_common": 1, "from_a": 1, "from_er": 1, "from_b": 1});
    assert_eq!(of(&tree(&[folder.path()]), "m1", &json!({})), expected);
}

#[test]
fn the_first_folder_that_has_a_file_has_it() {
    let first = folder(&[("a.yaml", "from: first\n")]);
    let second = folder(&[("top.sls", "'*': [a, b]"), ("a.yaml", "from: second\n"), ("b.yaml", "b: 1\n")]);
    let both = [first.path(), second.path()];
    assert_eq!(of(&tree(&both), "m1", &json!({})), json!({"from": "first", "b": 1}));
    write(first.path(), "top.yaml", "'*': [a]");
    assert_eq!(of(&tree(&both), "m1", &json!({})), json!({"from": "first"}));
}

#[test]
fn nothing_is_there() {
    let empty = tempfile::tempdir().expect("a folder");
    assert_eq!(tree(&[empty.path()]).targets(), 0);
    let missing = empty.path().join("missing");
    let named = Source::of(&[&missing]);
    assert!(named.read().tree.expect_err("named").to_string().contains("missing: it cannot be read"));
    let default = Source { is_default: true, ..named };
    assert_eq!(default.read().tree.expect("nobody named it").targets(), 0);
}

#[test]
fn a_fault_names_file_and_line_and_no_value() {
    for (files, expected) in [
        (
            &[("top.yaml", "'*':\n  - a\n  - b.c"), ("a.yaml", "")][..],
            "top.yaml:3: there is no pillar file \"b.c\"",
        ),
        (&[("top.yaml", "'*': [a]"), ("a.yaml", "x: 1\ny: canary: 2")], "a.yaml:2: "),
        (
            &[("top.yaml", "'*': [a]"), ("a.yaml", "x: 1\npassword: {{ canary }}")],
            "a.yaml:2: Jinja ({{): pillar files are plain YAML here",
        ),
        (&[("top.yaml", "'*': [a]"), ("a.yaml", "#!py\n")], "a.yaml:1: another renderer"),
        (&[("top.yaml", "'*': [a]"), ("a.yaml", "- canary")], "a.yaml:1: expected keys and values"),
        (&[("top.yaml", "'*': [a]"), ("a.yaml", "canary")], "a.yaml:1: expected keys and values"),
        (&[("top.yaml", "'*': [a]"), ("a.yaml", "x: !secret canary")], "a.yaml:1: a tag, or a text"),
        (&[("top.yaml", "'*': [a]"), ("a.yaml", "include: [a]")], "a.yaml:1: \"a\" includes itself"),
        (
            &[("top.yaml", "'*': [a]"), ("a.yaml", "include: [b]"), ("b.yaml", "x: 1\ninclude: [a]")],
            "b.yaml:2: \"a\" includes itself",
        ),
        (&[("top.yaml", "'*': [a]"), ("a.yaml/b", "")], "a.yaml: it cannot be read: it is not a file"),
        (&[("top.yaml", "'( m1': [a]")], "top.yaml:1: target"),
        (&[("top.yaml", "'*':\n  - ../../etc/passwd")], "top.yaml:2: \"../../etc/passwd\" is no name"),
    ] {
        let folder = folder(files);
        let fault = fault(folder.path());
        assert!(fault.starts_with(expected), "{fault}");
    }
}

#[test]
fn deep_includes_and_large_files_are_refused() {
    let mut files: Vec<(String, String)> =
        (0..20).map(|n| (format!("f{n}.yaml"), format!("include: [f{}]", n + 1))).collect();
    files.push(("top.yaml".to_owned(), "'*': [f0]".to_owned()));
    let folder = folder(&files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect::<Vec<_>>());
    assert!(fault(folder.path()).contains("more than 16 deep"));
    write(folder.path(), "f0.yaml", &format!("x: canary{}", "x".repeat(1024 * 1024)));
    assert!(fault(folder.path()).starts_with("f0.yaml: it is larger than 1048576 bytes"));
    let nested = format!("x: {}canary{}", "[".repeat(100), "]".repeat(100));
    write(folder.path(), "f0.yaml", &nested);
    assert!(fault(folder.path()).starts_with("f0.yaml:1: "));
}

#[test]
fn what_others_may_write_is_not_used() {
    let folder = folder(&[("top.yaml", "'*': [a]"), ("a.yaml", "x: canary")]);
    let path = folder.path().join("a.yaml");
    for (what, mode) in [(path.clone(), 0o606), (path, 0o660), (folder.path().to_owned(), 0o777)] {
        let before = fs::metadata(&what).expect("it is there").permissions();
        fs::set_permissions(&what, fs::Permissions::from_mode(mode)).expect("a mode");
        let fault = Source::of(&[folder.path()]).read().tree.expect_err("open").to_string();
        let mend = format!("run: chmod go-w {}", what.display());
        assert!(fault.contains(&mend) && fault.contains("could be written by others"), "{fault}");
        fs::set_permissions(&what, before).expect("a mode");
    }
    assert!(Source::of(&[folder.path()]).read().tree.is_ok());
}

#[test]
fn a_link_is_followed_when_nobody_else_could_have_made_it() {
    let folder = folder(&[("top.yaml", "'*': [a]"), ("real", "x: 1")]);
    std::os::unix::fs::symlink("real", folder.path().join("a.yaml")).expect("a link");
    assert_eq!(of(&tree(&[folder.path()]), "m1", &json!({})), json!({"x": 1}));
    fs::remove_file(folder.path().join("real")).expect("gone");
    assert!(fault(folder.path()).starts_with("a.yaml: it cannot be read"));
}

#[test]
fn nothing_of_the_files_shows() {
    let folder = folder(&[("top.yaml", "'*': [a]"), ("a.yaml", "password: canary")]);
    let read = Source::of(&[folder.path()]).read();
    let tree = read.tree.as_ref().expect("a tree");
    let compiled = tree.compile(&[0]);
    assert_eq!(compiled.pillar["password"], "canary");
    let shown = format!("{read:?} {tree:?} {compiled:?}");
    assert!(!shown.contains("canary") && !shown.contains("password"), "{shown}");
}
