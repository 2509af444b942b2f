//! `brine-key` against recorded runs of salt-key 3008.5.
//!
//! Every case is run for real: a root with the keys that the case says, the program on it, its exit
//! code, stdout and the keys afterwards compared. Where Brine does otherwise a [`rules::Rule`] says
//! so and why; `deviations.jsonl` beside the cases names what Salt should not have done. Run with
//! `--nocapture` to read which rule speaks for which case. `BRINE_CASES` names another folder of
//! cases of the same form.

mod case;
mod meant;
mod rules;
mod shown;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use brine_tests::fleet::Fleet;
use brine_tests::process::Done;

use case::{Case, Deviation};
use rules::{Expected, RULES};
use world::World;

use crate::{each, folder, is_default_folder};

/// Cases of our own in the same form, for habits that the recorded ones do not show. What Salt
/// does in them is taken from its manual and code.
const OWN: &str = include_str!("key_cli/own.jsonl");

fn recorded() -> Vec<Case> {
    let mut cases = Vec::new();
    each("key_cli.jsonl", |_, value| cases.push(Case::new(value)));
    cases
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

#[test]
fn what_salt_key_does() {
    let is_default = is_default_folder();
    let deviations = case::deviations(&folder(), "key_cli.jsonl");
    let own = case::parse(OWN);
    let cases = recorded();
    assert!(!cases.is_empty(), "there are cases");
    let (mut used, mut failures) = (BTreeSet::new(), Vec::new());
    let own_count = if is_default { own.len() } else { 0 };
    for (is_own, case) in
        cases.iter().map(|case| (false, case)).chain(own.iter().take(own_count).map(|case| (true, case)))
    {
        let deviation = deviations.get(&case.n).filter(|_| !is_own);
        let (expected, rules) = rules::expected(case, deviation);
        let world = World::new(case);
        let done = Done::run_with_input(command(case, world.root(), &world), &case.stdin);
        let name = if is_own { format!("own {}", case.n) } else { case.n.to_string() };
        if !rules.is_empty() {
            println!("{name}: {:?}: {}", case.args, rules.join("; "));
        }
        used.extend(rules.iter().copied());
        let mut found = differences(case, &expected, &done, &world);
        if let Some(Deviation { recommended, why }) = deviation
            && recommended.is_string()
            && rules.is_empty()
        {
            found.push(format!("no rule speaks for the deviation {recommended}: {why}"));
        }
        for difference in found {
            failures.push(format!(
                "{name}: {:?} stdin {:?}\n  {difference}\n  stderr {:?}",
                case.args, case.stdin, done.stderr
            ));
        }
    }
    println!("{} recorded cases and {own_count} of our own", cases.len());
    if is_default {
        let dead: Vec<&str> =
            RULES.iter().map(|rule| rule.name).filter(|name| !used.contains(name)).collect();
        assert_eq!(dead, Vec::<&str>::new(), "rules that no case needs");
    }
    for rule in RULES.iter().filter(|rule| used.contains(rule.name)) {
        println!("rule {:?}: {}", rule.name, rule.why);
    }
    assert!(failures.is_empty(), "{} differences:\n{}", failures.len(), failures.join("\n"));
}

/// A running master and the files of a stopped one give the same answers.
#[test]
fn a_master_makes_no_difference() {
    let fleet = Fleet::start();
    let mut seen: BTreeMap<String, i32> = BTreeMap::new();
    let cases = recorded();
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
