//! What ARCHITECTURE.md says is absent, is absent; what the pages name is there.

mod docs;
mod options;
mod units;

use std::fs;
use std::path::{Path, PathBuf};

/// A file is read in one sitting.
const LINES_MAX: usize = 500;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Every Rust source under a folder of the workspace, with its text.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push((path.clone(), fs::read_to_string(path).expect("a text")));
            }
        }
    }
    assert!(!found.is_empty(), "{folder} has sources");
    found
}

/// The code of a file: without comments, and without the tests at its end.
fn code(text: &str) -> String {
    let end = text.find("#[cfg(test)]").unwrap_or(text.len());
    text[..end].lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn nowhere(folders: &[&str], words: &[&str], except: &[&str]) {
    for (path, text) in folders.iter().flat_map(|folder| sources(folder)) {
        let is_excepted = except.iter().any(|part| path.to_string_lossy().contains(part));
        let is_test = path.to_string_lossy().contains("tests");
        if is_excepted || is_test {
            continue;
        }
        for word in words {
            assert!(!code(&text).contains(word), "{} names {word}", path.display());
        }
    }
}

#[test]
fn words_and_decisions_touch_nothing() {
    let effects = ["std::fs", "std::net", "tokio", "Instant::now", "SystemTime", "getrandom", "std::thread"];
    nowhere(&["protocol/src"], &effects, &["limits.rs"]);
    nowhere(&["pki/src/handshake", "pki/src/registry"], &effects, &["trust.rs"]);
    nowhere(&["master/src/engine", "minion/src/engine"], &effects, &[]);
    nowhere(&["tui/src/app", "tui/src/view"], &effects, &[]);
}

#[test]
fn sharp_crates_are_named_in_one_place() {
    nowhere(&["minion/src"], &["zeromq::"], &["net.rs"]);
    nowhere(&["master/src", "client/src", "keytool/src", "pki/src", "protocol/src"], &["zeromq::"], &[]);
    nowhere(&["master/src"], &["sled::"], &["store"]);
    nowhere(&["minion/src", "client/src", "keytool/src", "pki/src", "protocol/src"], &["sled::"], &[]);
    nowhere(&["master/src", "minion/src", "keytool/src", "client/src", "protocol/src"], &["rsa::"], &[]);
    nowhere(&["minion/src", "keytool/src", "pki/src", "local/src"], &["UnixStream::connect"], &["relay.rs"]);
}

#[test]
fn files_are_read_in_one_sitting() {
    for folder in ["protocol", "local", "pki", "client", "master", "minion", "keytool", "tui", "tests"] {
        for (path, text) in sources(folder) {
            let lines = text.lines().count();
            assert!(lines <= LINES_MAX, "{} has {lines} lines; split it by noun", path.display());
        }
    }
}

#[test]
fn the_map_names_what_is_there() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let is_path = |word: &&str| word.contains('/') && (word.ends_with(".rs") || word.ends_with(".md"));
    let named: Vec<&str> =
        map.split(|c: char| c.is_whitespace() || "`(),;*".contains(c)).filter(is_path).collect();
    assert!(named.len() > 5, "{named:?}");
    for name in named {
        let crates = ["", "master/src/", "minion/src/", "pki/src/", "protocol/src/"];
        assert!(crates.iter().any(|folder| root().join(folder).join(name).exists()), "{name} is not there");
    }
}
