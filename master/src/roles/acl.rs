//! Salt's `publisher_acl`.

use serde_json::Value;

use super::Rule;

/// Salt's `[fun, …, {target: [fun, …]}, …]`. Functions are anchored globs here: Salt matches
/// unanchored regular expressions, by which `test.ping` also allows `test.pingX`.
pub(super) fn read(entry: &Value) -> Option<Vec<Rule>> {
    let words = |value: &Value| match value {
        Value::String(one) => Some(vec![one.clone()]),
        Value::Array(many) => many.iter().map(|v| v.as_str().map(str::to_owned)).collect(),
        _ => None,
    };
    let mut everywhere = Vec::new();
    let mut rules = Vec::new();
    for item in entry.as_array()? {
        match item {
            Value::String(function) => everywhere.push(function.clone()),
            Value::Object(targets) => {
                for (target, functions) in targets {
                    rules.push(Rule { targets: vec![target.clone()], functions: words(functions)? });
                }
            }
            _ => return None,
        }
    }
    if !everywhere.is_empty() {
        let functions =
            everywhere.iter().map(|f| f.strip_suffix(".*").map_or(f.clone(), |m| format!("{m}.*"))).collect();
        rules.push(Rule { targets: vec!["*".to_owned()], functions });
    }
    Some(rules)
}
