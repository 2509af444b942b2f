//! `brine-key` against recorded runs of salt-key 3008.5.
//!
//! Every case is run for real: a root with the keys that the case says, the program on it, its exit
//! code, stdout and the keys afterwards compared. Where Brine does otherwise a [`rules::Rule`] says
//! so; `deviations.jsonl` beside the cases names what Salt should not have done.

mod case;
mod meant;
mod rules;
mod shown;
mod world;

use std::collections::BTreeMap;
use std::path::Path;

use brine_tests::fleet::Fleet;
use brine_tests::process::Done;

use case::Case;
use rules::{Expected, RULES};
use world::World;

use crate::adapter::{Adapter, Deviation, File};
use crate::report::Report;

/// Cases of our own in the same form, for habits that the recorded ones do not show. What Salt
/// does in them is taken from its manual and code.
const OWN: &str = include_str!("key_cli/own.jsonl");

pub(crate) fn adapter() -> Adapter {
    Adapter {
        file: "key_cli.jsonl",
        fields: &[
            "args",
            "stdin",
            "before",
            "rc",
            "stdout",
            "stderr",
            "after",
            "aes_rotation_requested",
            "files_created_in_cwd",
        ],
        run,
    }
}

/// The names of the rules, which are in `our-deviations.toml` with their reasons.
pub(crate) fn names() -> Vec<&'static str> {
    RULES.iter().map(|rule| rule.name).collect()
}

fn run(file: &File, report: &mut Report) {
    for value in &file.cases {
        let case = Case::new(value);
        let deviation = file.deviations.get(&case.n);
        let (rules, mut found) = judge(&case, deviation);
        if let Some(Deviation { recommended, why }) = deviation
            && recommended.is_string()
            && rules.is_empty()
        {
            found.push(format!("no rule speaks for the deviation {recommended}: {why}"));
        }
        tell(report, &case.n.to_string(), &rules, deviation.is_some(), &found);
    }
    // Cases of our own are no part of the recorded ones: they only fail, or need a rule.
    for case in case::parse(OWN) {
        let (rules, found) = judge(&case, None);
        for rule in rules {
            report.use_rule(rule);
        }
        if !found.is_empty() {
            report.fail(&format!("own {}", case.n), &found.join("\n  "));
        }
    }
}

fn tell(report: &mut Report, n: &str, rules: &[&str], is_deviation: bool, found: &[String]) {
    match (rules, found) {
        ([], []) if !is_deviation => report.pass(),
        ([], []) => report.on_purpose(n, "", true, ""),
        ([first, rest @ ..], []) => {
            report.on_purpose(n, first, true, "");
            rest.iter().for_each(|rule| report.use_rule(rule));
        }
        (rules, found) => {
            rules.iter().for_each(|rule| report.use_rule(rule));
            report.fail(n, &found.join("\n  "));
        }
    }
}

/// Runs a case: the rules that speak for it, and what went otherwise than expected.
fn judge(case: &Case, deviation: Option<&Deviation>) -> (Vec<&'static str>, Vec<String>) {
    let (expected, rules) = rules::expected(case, deviation);
    let world = World::new(case);
    let done = Done::run_with_input(command(case, world.root(), &world), &case.stdin);
    let told = |difference: String| {
        format!("{:?} stdin {:?}\n  {difference}\n  stderr {:?}", case.args, case.stdin, done.stderr)
    };
    (rules, differences(case, &expected, &done, &world).into_iter().map(told).collect())
}

/// What went otherwise than expected, a line each.
fn differences(case: &Case, expected: &Expected, done: &Done, world: &World) -> Vec<String> {
    let mut found = Vec::new();
    if !expected.code.is(done.code) {
        found.push(format!("exit code {}, expected {:?}", done.code, expected.code));
    }
    found.extend(expected.stdout.differs(
        case,
        &shown::without_scaffold(case, world, &world.mask(&done.stdout)),
        world,
    ));
    if expected.says_why && done.stderr.trim().is_empty() && !done.stdout.contains("does not match") {
        found.push("Salt has an error here and stderr is empty".to_owned());
    }
    if done.stderr.contains("panicked") {
        found.push("it panicked".to_owned());
    }
    let after = world.keys();
    if after != expected.after {
        found.push(format!("keys afterwards\n    {after:?}\n  expected\n    {:?}", expected.after));
    }
    found.extend(
        expected
            .files
            .iter()
            .filter(|file| !world.cwd().join(file).is_file())
            .map(|file| format!("{file} was not made")),
    );
    found
}

fn command(case: &Case, root: &Path, world: &World) -> std::process::Command {
    let mut command = std::process::Command::new(brine_tests::binaries::program("brine-key"));
    command.env_remove("RUST_LOG").env_remove("NO_COLOR").current_dir(world.cwd());
    command.arg("--root-dir").arg(root).args(&case.args);
    command
}

/// A running master and the files of a stopped one give the same answers.
pub(crate) fn a_master_makes_no_difference(file: &File) {
    let fleet = Fleet::start();
    let mut seen: BTreeMap<String, i32> = BTreeMap::new();
    let cases: Vec<Case> = file.cases.iter().map(Case::new).collect();
    let wanted = cases.iter().filter(|case| case.is_about_keys()).take(40);
    for case in wanted {
        let world = World::new(case);
        let offline = Done::run_with_input(command(case, world.root(), &world), &case.stdin);
        world.fill(&fleet);
        let online = Done::run_with_input(command(case, &fleet.root(), &world), &case.stdin);
        let without_local = shown::without_local(&online.stdout);
        assert_eq!(
            (online.code, &without_local),
            (offline.code, &offline.stdout),
            "{}: {:?}",
            case.n,
            case.args
        );
        assert_eq!(world::keys_of_master(&fleet, &world), world.keys(), "{}: {:?}", case.n, case.args);
        *seen.entry(case.action().to_string()).or_default() += 1;
        world::clear(&fleet);
    }
    assert!(!seen.is_empty(), "some cases were run");
}
