//! Cases that were recorded from Salt 3008.5, and what Brine makes of them. `BRINE_CASES` names
//! another folder of cases of the same form.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod expr_match;
mod key_cli;
mod key_state_machine;
mod rig;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The folder of the cases.
fn folder() -> PathBuf {
    std::env::var_os("BRINE_CASES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("data/cases"), PathBuf::from)
}

/// Whether the cases are those of this tree, so that it is known what is in them.
fn is_default_folder() -> bool {
    std::env::var_os("BRINE_CASES").is_none()
}

/// Every case of a file with its number. Number 0 is a note.
fn each(file: &str, mut check: impl FnMut(u64, &Value)) {
    let path = folder().join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let case: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        let n = case["n"].as_u64().expect("a case has a number");
        if n != 0 {
            check(n, &case);
        }
    }
}
