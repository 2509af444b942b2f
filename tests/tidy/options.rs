//! Options are documented on one page, each once, with the default that it has.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Map, Value};

use crate::root;

/// The page.
const PAGE: &str = "docs/options.md";

/// The rows of all tables below a heading: the option, and its default as it is written.
fn documented(file: &str) -> BTreeMap<String, String> {
    let text = fs::read_to_string(root().join(PAGE)).expect("the page is there");
    let heading = format!("\n## `{file}`\n");
    let section = text.split_once(&heading).unwrap_or_else(|| panic!("{PAGE} has no heading {file:?}")).1;
    let section = section.split("\n## ").next().expect("a text");
    let mut found = BTreeMap::new();
    for row in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [option, default, meaning] = cells[..] else { panic!("{PAGE}: {row:?} has not three cells") };
        assert!(meaning.len() > 5, "{PAGE}: {row:?} says nothing");
        let option = option.trim_matches('`').to_owned();
        assert!(
            found.insert(option.clone(), default.trim_matches('`').to_owned()).is_none(),
            "{PAGE}: {option} twice"
        );
    }
    found
}

/// A default as the page writes it.
fn written(value: &Value) -> String {
    let is_nothing = |value: &Value| match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.values().all(|value| value.as_array().is_some_and(Vec::is_empty)),
        _ => false,
    };
    match value {
        value if is_nothing(value) => "none".to_owned(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

#[track_caller]
fn check(file: &str, options: &Map<String, Value>) {
    let documented = documented(file);
    for (option, value) in options {
        let default = documented.get(option);
        let default = default.unwrap_or_else(|| panic!("{PAGE} has no row for {option} of {file}"));
        assert_eq!(*default, written(value), "{PAGE}: the default of {option} of {file}");
    }
    let gone: Vec<&String> = documented.keys().filter(|option| !options.contains_key(*option)).collect();
    assert!(gone.is_empty(), "{PAGE} has rows for {gone:?}, which {file} does not know");
}

fn options(defaults: impl serde::Serialize) -> Map<String, Value> {
    match serde_json::to_value(defaults).expect("plain data") {
        Value::Object(options) => options,
        other => panic!("{other}"),
    }
}

#[test]
fn the_page_has_every_option_of_the_master() {
    check("master.yaml", &options(brine_master::config::Config::default()));
}

#[test]
fn the_page_has_every_option_of_the_minion() {
    check("minion.yaml", &options(brine_minion::config::Options::default()));
}

#[test]
fn no_other_page_has_a_table_of_options() {
    let docs = fs::read_dir(root().join("docs")).expect("a folder");
    let mut pages: Vec<_> = docs.map(|entry| entry.expect("an entry").path()).collect();
    pages.push(root().join("README.md"));
    for path in pages.iter().filter(|path| !path.ends_with(PAGE)) {
        let text = fs::read_to_string(path).expect("a text");
        let table = text.lines().find(|line| line.starts_with("| Option |"));
        assert_eq!(table, None, "{} has a table that belongs into {PAGE}", path.display());
    }
}
