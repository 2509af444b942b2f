//! Each route of the control API has a section in docs/api.md with a `curl` line, and no section is about another.
//! The lines themselves are run by tests/system/api_docs.rs, where there is a curl.

use std::collections::BTreeSet;

use brine_tests::api_docs::{read, sections};

/// `METHOD PATH` of every route in the router's source.
fn routes() -> BTreeSet<String> {
    let source = read("master/src/control.rs");
    let methods = ["get", "post", "put", "patch", "delete"];
    let mut found = BTreeSet::new();
    for part in source.split(".route(").skip(1) {
        let part = part.split(".fallback(").next().expect("the first part");
        let path = part.split('"').nth(1).expect("a route has a path");
        let words = part.split(|c: char| !(c.is_alphanumeric() || "_(:".contains(c)));
        let called: Vec<&str> = words
            .filter_map(|word| word.split_once('('))
            .map(|(word, _)| word)
            .filter(|word| methods.contains(word))
            .collect();
        assert!(!called.is_empty(), "no method of {path} was found");
        found.extend(called.iter().map(|method| format!("{} {path}", method.to_uppercase())));
    }
    assert!(found.len() > 35, "{found:#?}");
    found
}

#[test]
fn each_route_has_a_section_and_each_section_a_route_and_a_line() {
    let sections = sections();
    let documented: BTreeSet<String> = sections.iter().map(|section| section.heading.clone()).collect();
    assert_eq!(documented.len(), sections.len(), "a section is there twice");
    let routes = routes();
    let missing: Vec<_> = routes.difference(&documented).collect();
    let gone: Vec<_> = documented.difference(&routes).collect();
    assert!(missing.is_empty(), "docs/api.md has no section for {missing:?}");
    assert!(gone.is_empty(), "docs/api.md tells of {gone:?}, which the master does not serve");
    for section in &sections {
        assert!(section.lines().count() > 0, "{} has no curl line", section.heading);
        for line in section.lines() {
            let (method, path) = asked(line);
            let same = method == section.method && fits(&path, &section.path);
            assert!(same, "a line of {} asks for {method} {path}", section.heading);
        }
    }
}

/// Method and path that a line asks for.
fn asked(line: &str) -> (String, String) {
    let said = line.split(" -X ").nth(1).and_then(|rest| rest.split(' ').next());
    let method = said.unwrap_or(if line.contains(" -d ") { "POST" } else { "GET" });
    let url = line.split("http://brine").nth(1).unwrap_or_else(|| panic!("{line} has no URL"));
    (method.to_owned(), url.split([' ', '?', '\'']).next().expect("the first part").to_owned())
}

/// Whether a path is one of a route.
fn fits(path: &str, route: &str) -> bool {
    let (path, route): (Vec<&str>, Vec<&str>) = (path.split('/').collect(), route.split('/').collect());
    let is_same = |(part, of): (&&str, &&str)| part == of || of.starts_with('{') && !part.is_empty();
    path.len() == route.len() && path.iter().zip(&route).all(is_same)
}
