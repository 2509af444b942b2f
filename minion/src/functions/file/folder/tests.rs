//! Somebody who may write in a folder swaps names while the minion works there.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{RenameFlags, renameat2};
use serde_json::{Value, json};

use super::super::super::testing::{call, context, returned};
use super::*;

const TRIES: usize = 60;
/// Fewer, where each takes many flushes to disk.
const COPIES: usize = 5;
const FILES: usize = 40;

/// Runs `function` while `swap` is repeated on another thread.
fn raced(function: &str, args: &Value, keywords: &Value, swap: impl Fn() + Sync) -> Value {
    struct Done<'a>(&'a AtomicBool);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                swap();
            }
        });
        let _done = Done(&is_done);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            returned(&[call(function, args.clone(), keywords.clone())], &context()).await.value
        })
    })
}

fn exchange(a: &Path, b: &Path) {
    let _ = renameat2(AT_FDCWD, a, AT_FDCWD, b, RenameFlags::RENAME_EXCHANGE);
}

fn fill(folder: &Path, text: &str) {
    fs::create_dir_all(folder).unwrap();
    for n in 0..FILES {
        fs::write(folder.join(format!("{n}")), text).unwrap();
    }
}

fn count(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

/// Puts a link to `victim` in the place of all that `wanted` names in `folder`.
fn take_names(folder: &Path, victim: &Path, wanted: &str) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with(wanted) && entry.file_type().is_ok_and(|kind| !kind.is_symlink()) {
            let trap = folder.join("trap");
            let _ = symlink(victim, &trap);
            exchange(&entry.path(), &trap);
        }
    }
}

#[test]
fn a_copy_dresses_what_it_made_and_nothing_else() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    fs::write(at("src"), vec![b'x'; 4 << 20]).unwrap();
    fs::set_permissions(at("src"), Permissions::from_mode(0o777)).unwrap();
    fs::write(at("victim"), "secret").unwrap();
    fs::set_permissions(at("victim"), Permissions::from_mode(0o600)).unwrap();
    for _ in 0..COPIES {
        fs::create_dir(at("dst")).unwrap();
        raced("file.copy", &json!([at("src"), at("dst/file")]), &json!({}), || {
            take_names(&at("dst"), &at("victim"), ".brine-");
        });
        assert_eq!(mode(&at("victim")), 0o600);
        fs::remove_dir_all(at("dst")).unwrap();
    }
}

#[test]
fn a_tree_is_copied_into_the_folders_it_made() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    fill(&at("src/in"), "x");
    fs::set_permissions(at("src/in"), Permissions::from_mode(0o777)).unwrap();
    fs::create_dir(at("victim")).unwrap();
    fs::set_permissions(at("victim"), Permissions::from_mode(0o700)).unwrap();
    for _ in 0..COPIES {
        fs::create_dir(at("dst")).unwrap();
        raced("file.copy", &json!([at("src"), at("dst")]), &json!({"recurse": true}), || {
            take_names(&at("dst"), &at("victim"), "in");
        });
        assert_eq!((count(&at("victim")), mode(&at("victim"))), (0, 0o700));
        fs::remove_dir_all(at("dst")).unwrap();
    }
}

#[test]
fn a_tree_is_copied_from_the_folders_it_has() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    fill(&at("src/in"), "x");
    fill(&at("victim"), "secret");
    symlink(at("victim"), at("src/trap")).unwrap();
    for _ in 0..COPIES {
        raced("file.copy", &json!([at("src"), at("dst")]), &json!({"recurse": true}), || {
            exchange(&at("src/in"), &at("src/trap"));
        });
        for name in ["in", "trap"] {
            let copied = at("dst").join(name);
            if copied.symlink_metadata().is_ok_and(|found| found.is_dir()) {
                for entry in fs::read_dir(copied).unwrap() {
                    assert_ne!(fs::read(entry.unwrap().path()).unwrap(), b"secret");
                }
            }
        }
        let _ = fs::remove_dir_all(at("dst"));
    }
}

#[test]
fn a_removal_stays_in_its_folder() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    fill(&at("victim"), "");
    for _ in 0..TRIES {
        fill(&at("top"), "");
        symlink(at("victim"), at("trap")).unwrap();
        raced("file.remove", &json!([at("top")]), &json!({}), || exchange(&at("top"), &at("trap")));
        assert_eq!(count(&at("victim")), FILES);
        for name in ["top", "trap"] {
            let _ = fs::remove_file(at(name)).or_else(|_| fs::remove_dir_all(at(name)));
        }
    }
}

#[test]
fn a_search_reads_in_its_folder_only() {
    search(&json!({"grep": "secret", "type": "f"}));
}

#[test]
fn a_search_deletes_in_its_folder_only() {
    search(&json!({"type": "f", "delete": "f"}));
    search(&json!({"type": "d", "name": "in", "delete": "d"}));
}

fn search(keywords: &Value) {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    fill(&at("victim"), "secret");
    fs::create_dir(at("top")).unwrap();
    symlink(at("victim"), at("trap")).unwrap();
    for _ in 0..TRIES {
        fill(&at("top/in"), "x");
        let found =
            raced("file.find", &json!([at("top")]), keywords, || exchange(&at("top/in"), &at("trap")));
        if keywords.get("grep").is_some() {
            assert_eq!(found, json!([]));
        }
        assert_eq!(count(&at("victim")), FILES);
        if at("top/in").is_symlink() {
            exchange(&at("top/in"), &at("trap"));
        }
    }
}

#[test]
fn a_folder_that_is_made_is_dressed_and_nothing_else() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    fs::create_dir(at("victim")).unwrap();
    fs::set_permissions(at("victim"), Permissions::from_mode(0o700)).unwrap();
    fs::create_dir(at("top")).unwrap();
    // As one folder alone is too quick to be caught at times.
    for _ in 0..TRIES * 20 {
        symlink(at("victim"), at("trap")).unwrap();
        raced("file.mkdir", &json!([at("top/in")]), &json!({"mode": "0777"}), || {
            exchange(&at("top/in"), &at("trap"));
        });
        assert_eq!(mode(&at("victim")), 0o700);
        for name in ["top/in", "trap"] {
            let _ = fs::remove_file(at(name)).or_else(|_| fs::remove_dir(at(name)));
        }
    }
}

#[test]
fn names_that_changed_are_left_alone() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    for name in ["file", "other"] {
        fs::write(at(name), name).unwrap();
    }
    fs::create_dir(at("folder")).unwrap();
    symlink("other", at("link")).unwrap();
    let folder = Folder::open(scratch.path()).unwrap();
    let looked = |name: &str| folder.look(OsStr::new(name)).unwrap();
    for (name, found) in [("file", looked("other")), ("folder", looked("file")), ("link", looked("other"))] {
        assert!(folder.contents(OsStr::new(name), &found).is_err(), "{name}");
        assert!(folder.remove(OsStr::new(name), &found, &Stop::default()).is_err(), "{name}");
    }
    assert!(folder.folder(OsStr::new("link")).is_err());
    assert!(folder.remove(OsStr::new("."), &looked("."), &Stop::default()).is_err());
    assert_eq!(count(scratch.path()), 4);
    drop(folder.new_file().unwrap());
    assert_eq!(count(scratch.path()), 4, "what is not kept is gone");
    folder.new_file().unwrap().keep(OsStr::new("link")).unwrap();
    assert!(!at("link").is_symlink() && fs::read(at("other")).unwrap() == b"other");
}
