//! What Brine makes of the cases that were recorded from Salt 3008.5: one test per file of cases,
//! and one line of output each.
//!
//! ```sh
//! cargo test -p brine-tests --test conformance              # all of them
//! BRINE_CASES=DIR cargo test -p brine-tests --test conformance key_cli
//! ```
//!
//! `BRINE_CASES` names another folder of the same form; the default is `tests/data/cases`. A case
//! *differs on purpose* when `deviations.jsonl` of that folder recommends something else, or when a
//! rule of `tests/data/our-deviations.toml` speaks for it ([`rules`]); what we give then is checked
//! all the same. A file, or a field of a case, that nobody here knows is a failure.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod acl;
mod adapter;
mod arguments;
mod batch;
mod expressions;
mod ids;
mod jids;
mod key_cli;
mod key_state_machine;
mod report;
mod rig;
mod rules;
mod salt_cli;
mod tags;
mod targets;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};

use adapter::{Adapter, File};
use report::Report;
use rules::Rules;

/// The folder of the cases, and whether it is the one of this tree, of which it is known what is in
/// it.
fn folder() -> (PathBuf, bool) {
    match std::env::var_os("BRINE_CASES") {
        Some(folder) => (folder.into(), false),
        None => (Path::new(env!("CARGO_MANIFEST_DIR")).join("data/cases"), true),
    }
}

/// Everything that can be made of files of cases.
fn adapters() -> Vec<Adapter> {
    let mut all = vec![salt_cli::adapter(), key_cli::adapter(), key_state_machine::adapter()];
    all.extend(targets::adapters());
    all.extend(arguments::adapters());
    all.extend(ids::adapters());
    all.extend([jids::adapter(), tags::adapter(), batch::adapter(), expressions::adapter(), acl::adapter()]);
    all
}

/// The names of the folder's files of cases.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".jsonl") && name != "deviations.jsonl").collect()
}

fn check(folder: &Path, is_default: bool, adapter: &Adapter, rules: &Rules) -> Result<(), Failed> {
    let file = File::read(folder, adapter, rules).map_err(Failed::from)?;
    let mut report = Report::default();
    (adapter.run)(&file, &mut report);
    println!("{}: {}", adapter.file, report.line());
    if is_default {
        let dead = rules.dead(adapter.file, &report);
        if !dead.is_empty() {
            report.fail("rules", &format!("no case needs: {}", dead.join("; ")));
        }
        if let Some(excess) = rules.excess(adapter.file, &report, file.cases.len()) {
            report.fail("rules", &excess);
        }
    }
    report.result().map_err(Failed::from)
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let (folder, is_default) = folder();
    let rules = Arc::new(Rules::read());
    let mut unread = names(&folder);
    let mut trials = Vec::new();
    for adapter in adapters() {
        if !unread.remove(adapter.file) && !is_default {
            continue;
        }
        let (folder, rules) = (folder.clone(), Arc::clone(&rules));
        let name = adapter.file.trim_end_matches(".jsonl").to_owned();
        trials.push(Trial::test(name, move || check(&folder, is_default, &adapter, &rules)));
    }
    for name in unread {
        trials.push(Trial::test(name.clone(), move || {
            Err(format!("{name}: nobody here knows this file").into())
        }));
    }
    let of_code = Arc::clone(&rules);
    trials.push(Trial::test("rules", move || {
        of_code.check_code("match_minion_side.jsonl", &[targets::UNREADABLE])?;
        of_code.check_code("salt_cli.jsonl", &salt_cli::names())?;
        of_code.check_code("key_cli.jsonl", &key_cli::names())?;
        of_code.check_code("key_state_machine.jsonl", &key_state_machine::names())?;
        Ok(())
    }));
    if folder.join("key_cli.jsonl").exists() {
        trials.push(Trial::test("key_cli_with_a_master", move || {
            key_cli::a_master_makes_no_difference(&File::read(&folder, &key_cli::adapter(), &rules)?);
            Ok(())
        }));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
