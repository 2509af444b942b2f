//! What became different, and how it is told when something went wrong on the way.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::super::Fault;

/// How much of a package manager's complaint is told, in bytes; its last words say what failed.
const COMPLAINT_MAX: usize = 4096;

/// Packages with their versions, of which a few have several at a time: kernels.
pub(super) type Versions = BTreeMap<String, Vec<String>>;

/// Versions as Salt shows them: several are joined by commas.
pub(super) fn shown(versions: &[String]) -> String {
    versions.join(",")
}

/// `{name: {old, new}}` of all that differ; what is not there has an empty version.
pub(super) fn between(before: &Versions, after: &Versions) -> Map<String, Value> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let versions = |of: &Versions, name: &String| of.get(name).map(|all| shown(all)).unwrap_or_default();
    let change = |name: &String| {
        let (old, new) = (versions(before, name), versions(after, name));
        (old != new).then(|| (name.clone(), json!({"old": old, "new": new})))
    };
    names.into_iter().filter_map(change).collect()
}

/// The error of a run that failed: what it changed all the same, what it said, and what it left
/// half done.
pub(super) fn problem(
    doing: &str,
    changes: &Map<String, Value>,
    complaint: &str,
    unfinished: &[String],
) -> Fault {
    let mut text = format!("Problem encountered {doing}. Additional info follows:\n\nchanges:");
    let version = |change: &Value, key: &str| match change[key].as_str() {
        Some("") | None => "(none)".to_owned(),
        Some(version) => version.to_owned(),
    };
    for (name, change) in changes {
        text += &format!("\n    {name}: {} -> {}", version(change, "old"), version(change, "new"));
    }
    if changes.is_empty() {
        text += "\n    none";
    }
    text += "\nerrors:";
    for line in last_words(complaint).lines().filter(|line| !line.trim().is_empty()) {
        text += &format!("\n    {line}");
    }
    if !unfinished.is_empty() {
        text += "\nunfinished:";
    }
    for package in unfinished {
        text += &format!("\n    {package}");
    }
    Fault::Execution(text)
}

/// The whole lines at the end that fit.
fn last_words(complaint: &str) -> &str {
    if complaint.len() <= COMPLAINT_MAX {
        return complaint;
    }
    let at = complaint.len() - COMPLAINT_MAX;
    let start = (at..).find(|at| complaint.is_char_boundary(*at)).unwrap_or_default();
    let tail = &complaint[start..];
    tail.split_once('\n').map_or(tail, |(_, lines)| lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(all: &[(&str, &[&str])]) -> Versions {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        all.iter().map(|(name, list)| ((*name).to_owned(), owned(list))).collect()
    }

    #[test]
    fn what_differs() {
        let before = versions(&[("gone", &["1"]), ("kernel", &["5"]), ("same", &["1"]), ("up", &["1"])]);
        let after = versions(&[("kernel", &["5", "6"]), ("new", &["1"]), ("same", &["1"]), ("up", &["2"])]);
        let expected = json!({
            "gone": {"old": "1", "new": ""},
            "kernel": {"old": "5", "new": "5,6"},
            "new": {"old": "", "new": "1"},
            "up": {"old": "1", "new": "2"},
        });
        assert_eq!(Value::Object(between(&before, &after)), expected);
        assert!(between(&before, &before).is_empty());
    }

    #[test]
    fn a_problem_tells_all() {
        let changes = between(&versions(&[("a", &["1"])]), &versions(&[("a", &["2"]), ("b", &["1"])]));
        let Fault::Execution(text) = problem(
            "installing package(s)",
            &changes,
            "E: one\n\nE: two",
            &["c 1 (half-configured)".to_owned()],
        ) else {
            panic!()
        };
        assert_eq!(
            text,
            "Problem encountered installing package(s). Additional info follows:\n\nchanges:\n    a: 1 -> 2\n    \
             b: (none) -> 1\nerrors:\n    E: one\n    E: two\nunfinished:\n    c 1 (half-configured)"
        );
        let Fault::Execution(text) = problem("x", &Map::new(), "E: one", &[]) else { panic!() };
        assert!(text.ends_with("changes:\n    none\nerrors:\n    E: one"), "{text}");
    }

    #[test]
    fn last_words_are_whole_lines() {
        let long = format!("{}\n{}", "é".repeat(3000), "end\n".repeat(10));
        assert_eq!(last_words(&long), "end\n".repeat(10));
        assert_eq!(last_words("short"), "short");
    }
}
