//! Pages about functions name those that there are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use brine_minion::functions::table;

use crate::root;

/// The names in the first column of the tables below each `## MODULE` of docs/modules.md. Within its section a
/// function may be called without its module; what stands behind a name are its parameters.
fn documented() -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("docs/modules.md")).expect("the page is there");
    let mut found = BTreeSet::new();
    for section in text.split("\n## ").skip(1) {
        let module = section.lines().next().expect("a section has a heading").trim();
        let cells =
            section.lines().filter(|line| line.starts_with("| `")).filter_map(|row| row.split('|').nth(1));
        for code in cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)) {
            let name = code.split_whitespace().next().expect("a name");
            let name = name.strip_prefix(&format!("{module}.")).unwrap_or(name);
            assert!(found.insert(format!("{module}.{name}")), "docs/modules.md names {module}.{name} twice");
        }
    }
    found
}

#[test]
fn the_page_of_modules_names_every_function_and_no_other() {
    let there: BTreeSet<String> = table().iter().map(|function| function.name.to_owned()).collect();
    let documented = documented();
    let missing: Vec<_> = there.difference(&documented).collect();
    let gone: Vec<_> = documented.difference(&there).collect();
    assert!(missing.is_empty(), "docs/modules.md has no row for {missing:?}");
    assert!(gone.is_empty(), "docs/modules.md has rows for {gone:?}, which are no functions");
}

#[test]
fn the_page_for_salt_users_names_every_function() {
    let text = fs::read_to_string(root().join("docs/coming-from-salt.md")).expect("the page is there");
    let mut modules: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (module, name) in table().iter().filter_map(|function| function.name.split_once('.')) {
        modules.entry(module).or_default().push(name);
    }
    for (module, names) in modules {
        let begin = format!("| `{module}.` | ");
        let row = text.lines().find(|line| line.starts_with(&begin));
        let row =
            row.unwrap_or_else(|| panic!("docs/coming-from-salt.md has no row that begins with {begin:?}"));
        let told = row.split('|').nth(2).expect("a second column");
        let told: BTreeSet<&str> =
            told.split('`').skip(1).step_by(2).flat_map(str::split_whitespace).collect();
        let names: BTreeSet<&str> = names.into_iter().collect();
        assert_eq!(told, names, "the row of {module} in docs/coming-from-salt.md");
    }
}
