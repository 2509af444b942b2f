//! The kept inputs, and that they and the targets belong together.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use brine_tests::fuzzed::TARGETS;
use libtest_mimic::Trial;

/// It is read in every checkout: small.
const BYTES_MAX: u64 = 1024 * 1024;
const FILES_MAX: usize = 200;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/data/corpus"))
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name")).collect()
}

fn files(target: &str) -> Vec<PathBuf> {
    let folder = root().join(target);
    names(&folder).into_iter().map(|name| folder.join(name)).collect()
}

/// The inputs of a target, in the order of their names.
pub fn of(target: &str) -> Vec<Vec<u8>> {
    files(target).iter().map(|file| fs::read(file).expect("a file")).collect()
}

/// What is checked about all of it.
pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("each_target_has_a_corpus_that_is_small", || {
            each_has_a_corpus();
            Ok(())
        }),
        Trial::test("each_target_is_one_of_cargo_fuzz_as_well", || {
            each_is_one_of_cargo_fuzz();
            Ok(())
        }),
    ]
}

fn own() -> BTreeSet<String> {
    TARGETS.iter().map(|target| target.name.to_owned()).collect()
}

fn each_has_a_corpus() {
    assert_eq!(names(root()), own());
    let files: Vec<PathBuf> = TARGETS.iter().flat_map(|target| files(target.name)).collect();
    let bytes: u64 = files.iter().map(|file| file.metadata().expect("a file").len()).sum();
    assert!(bytes <= BYTES_MAX && files.len() <= FILES_MAX, "{bytes} bytes in {} files", files.len());
    for target in TARGETS {
        assert!(of(target.name).len() >= 2, "{} has too few", target.name);
    }
}

fn each_is_one_of_cargo_fuzz() {
    let fuzz = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz"));
    let files = names(&fuzz.join("fuzz_targets"));
    assert_eq!(files, own().iter().map(|name| format!("{name}.rs")).collect());
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).expect("a manifest");
    for name in own() {
        let text = fs::read_to_string(fuzz.join(format!("fuzz_targets/{name}.rs"))).expect("a file");
        assert!(text.contains(&format!("fuzzed::run(\"{name}\", bytes)")), "{name}: {text}");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is no program of fuzz/Cargo.toml");
    }
}
