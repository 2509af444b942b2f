//! A folder on a real disk.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use brine_protocol::modules::{MODULE_MAX, MODULES_MAX};
use serde_json::json;

use super::*;

fn source(folder: &Path) -> Source {
    Source { folder: folder.to_owned(), is_default: false, own_uid: nix::unistd::geteuid().as_raw() }
}

fn write(folder: &Path, name: &str, bytes: &[u8], mode: u32) {
    let path = folder.join(name);
    fs::write(&path, bytes).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
}

fn why(catalogue: &Catalogue, name: &str) -> String {
    let refused = catalogue.refused.iter().find(|file| file.name == name);
    refused.unwrap_or_else(|| panic!("{name} is not refused: {catalogue:?}")).why.clone()
}

fn files(catalogue: &Catalogue) -> Vec<&str> {
    catalogue.files.keys().map(FileName::as_str).collect()
}

#[test]
fn what_is_handed_out_and_what_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    write(at, "foo.py", b"one", 0o600);
    write(at, "bar", b"", 0o644);
    write(at, "largest", &vec![1; MODULE_MAX], 0o700);
    write(at, "larger", &vec![1; MODULE_MAX + 1], 0o700);
    write(at, "group.sh", b"x", 0o660);
    write(at, "others.sh", b"x", 0o606);
    write(at, "Upper.sh", b"x", 0o600);
    write(at, "twice.sh", b"x", 0o600);
    write(at, "twice.py", b"x", 0o600);
    write(at, "foo.py~", b"x", 0o600);
    write(at, ".hidden", b"x", 0o600);
    fs::create_dir(at.join("folder")).expect("a folder");
    symlink(at.join("nowhere"), at.join("dangling")).expect("a link");
    nix::unistd::mkfifo(&at.join("pipe"), nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    let catalogue = source(at).list();
    assert_eq!((files(&catalogue), &catalogue.problem), (vec!["bar", "foo.py", "largest"], &None));
    assert_eq!(why(&catalogue, "larger"), format!("it has {} bytes, more than {MODULE_MAX}", MODULE_MAX + 1));
    assert!(
        why(&catalogue, "group.sh").contains("(mode 0660)")
            && why(&catalogue, "group.sh").contains("chmod go-w")
    );
    assert!(why(&catalogue, "others.sh").contains("(mode 0606)"));
    assert!(why(&catalogue, "Upper.sh").contains("small letters"));
    assert!(why(&catalogue, "twice.sh").contains("several files are called twice"));
    assert!(why(&catalogue, "pipe").contains("not a regular file"));
    assert!(why(&catalogue, "dangling").contains("cannot be read"));
    assert_eq!(catalogue.refused.len(), 8, "{catalogue:?}");

    let listed = catalogue.files[&"foo.py".parse().expect("a name")];
    assert_eq!(listed.size, 3);
    let name: FileName = "foo.py".parse().expect("a name");
    assert_eq!(source(at).read(&name, listed.sha256), Ok(Bytes::from_static(b"one")));
    write(at, "foo.py", b"two", 0o600);
    assert!(source(at).read(&name, listed.sha256).expect_err("another").contains("has changed"));
    write(at, "foo.py", b"one", 0o602);
    assert!(source(at).read(&name, listed.sha256).expect_err("open").contains("mode 0602"));
    fs::remove_file(at.join("foo.py")).expect("a file");
    assert!(source(at).read(&name, listed.sha256).expect_err("gone").contains("cannot be read"));
}

#[test]
fn a_folder_that_others_may_write_hands_out_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "foo", b"one", 0o600);
    let listed = source(folder.path()).list().files[&"foo".parse().expect("a name")];
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o770)).expect("a mode");
    let catalogue = source(folder.path()).list();
    assert!(catalogue.files.is_empty());
    assert!(catalogue.problem.expect("a problem").contains("mode 0770"));
    let refused = source(folder.path()).read(&"foo".parse().expect("a name"), listed.sha256);
    assert!(refused.expect_err("open").contains("mode 0770"));
}

#[test]
fn only_a_folder_that_nobody_named_may_be_missing() {
    let folder = tempfile::tempdir().expect("a folder");
    let paths = Paths::new(Some(folder.path()), None);
    let missing = |options| {
        let config: Config = serde_json::from_value(options).expect("options");
        Source::new(&config, &paths).list()
    };
    assert_eq!(missing(json!({})), Catalogue::default());
    assert!(
        missing(json!({"modules_dir": "elsewhere"}))
            .problem
            .expect("a problem")
            .contains("etc/brine/elsewhere")
    );
}

#[test]
fn no_more_than_so_many() {
    let folder = tempfile::tempdir().expect("a folder");
    for number in 0..MODULES_MAX + 100 {
        write(folder.path(), &format!("m{number:04}"), b"x", 0o600);
    }
    let catalogue = source(folder.path()).list();
    assert_eq!((catalogue.files.len(), catalogue.refused.len()), (MODULES_MAX, 64));
    assert!(why(&catalogue, "m0256").contains("more than 256 modules"));
    assert_eq!(catalogue.refused[63].name, "37 more");
}
