//! What was printed: salt-key's lists by their headings, documents by their values.

use serde_json::Value;

use super::case::{Action, Case};
use super::world::World;

/// salt-key's headings and the folders under them.
const HEADINGS: [(&str, &str); 4] = [
    ("Accepted Keys:", "minions"),
    ("Denied Keys:", "minions_denied"),
    ("Unaccepted Keys:", "minions_pre"),
    ("Rejected Keys:", "minions_rejected"),
];

/// What stdout has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stdout {
    /// This, byte for byte.
    Text(String),
    /// A document with these values, whatever its form.
    Document(String),
    /// One document that says these ids were acted on.
    Acted(Vec<String>),
    /// The sentence that nothing matched; which states were searched may be said in other words.
    NoMatch(String),
    /// This, whatever its colours.
    Plain(String),
    /// Anything with these parts.
    Parts(Vec<String>),
}

impl Stdout {
    pub(super) fn differs(&self, case: &Case, shown: &str, world: &World) -> Option<String> {
        let is_met = match self {
            Stdout::Text(expected) => tidy(case, expected) == tidy(case, &world.mask(shown)),
            Stdout::Document(expected) => {
                let ours = value(shown).map(|ours| without_scaffold_value(case, world, masked(&ours, world)));
                ours.is_some() && ours == value(expected)
            }
            Stdout::Acted(ids) => value(shown).is_some_and(|document| {
                let is_ours = |id: &String| ids.contains(id) || !world.scaffold().contains(id);
                acted(&document).into_iter().filter(is_ours).collect::<Vec<_>>() == *ids
            }),
            Stdout::Plain(expected) => plain(expected) == plain(shown),
            Stdout::NoMatch(pattern) => {
                shown.starts_with(&format!("The key glob '{pattern}' does not match any unaccepted"))
            }
            Stdout::Parts(parts) => parts.iter().all(|part| shown.contains(part.as_str())),
        };
        (!is_met).then(|| format!("stdout {:?}\n  expected {self:?}", world.mask(shown)))
    }
}

/// Public keys end in a line feed of their own: how many of them end the whole is no matter.
fn tidy(case: &Case, text: &str) -> String {
    if case.action() == Action::Print { text.trim_end().to_owned() } else { text.to_owned() }
}

/// JSON, YAML and Salt's nested, txt, raw and pprint forms of such values are all YAML.
pub(super) fn value(text: &str) -> Option<Value> {
    serde_saphyr::from_str(text).ok()
}

/// Without colours.
fn plain(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |out, part| out + part.split_once('m').map_or(part, |(_, rest)| rest))
}

fn masked(value: &Value, world: &World) -> Value {
    match value {
        Value::String(text) => Value::String(world.mask(text)),
        Value::Array(values) => values.iter().map(|value| masked(value, world)).collect(),
        Value::Object(map) => map.iter().map(|(name, value)| (name.clone(), masked(value, world))).collect(),
        other => other.clone(),
    }
}

fn acted(document: &Value) -> Vec<String> {
    let done = document.as_object().into_iter().flatten().find(|(name, _)| *name != "refused");
    let done = done.and_then(|(_, keys)| keys.as_array()).into_iter().flatten();
    done.filter_map(|key| key["id"].as_str().map(str::to_owned)).collect()
}

/// Takes the lines about some keys out of a list under headings: `gone(folder, id)`. A heading
/// with nothing left under it goes as well, unless the whole is a list of everything.
pub(super) fn strike(case: &Case, text: &str, gone: impl Fn(&str, &str) -> bool) -> String {
    let mut out: Vec<String> = Vec::new();
    let mut folder = "";
    let mut heading_at = None;
    let mut skips_blank = false;
    let drop_empty = |out: &mut Vec<String>, heading_at: Option<usize>| {
        if case.action() != Action::List && heading_at.is_some_and(|at| at + 1 == out.len()) {
            out.pop();
        }
    };
    for line in text.split('\n') {
        let shown = plain(line);
        let shown = shown.as_str();
        if let Some((_, of_heading)) = HEADINGS.iter().find(|(heading, _)| *heading == shown) {
            drop_empty(&mut out, heading_at);
            (folder, heading_at) = (of_heading, Some(out.len()));
        } else {
            let id = shown.split(":  ").next().unwrap_or(shown).split("  (").next().unwrap_or(shown);
            let ends = shown.starts_with("Proceed?") || shown.starts_with("Key for minion ");
            if ends {
                drop_empty(&mut out, heading_at);
                (folder, heading_at) = ("", None);
            }
            if !folder.is_empty() && !line.is_empty() && gone(folder, id) {
                skips_blank = case.action() == Action::Print;
                continue;
            }
            if std::mem::take(&mut skips_blank) && line.is_empty() {
                continue;
            }
        }
        out.push(line.to_owned());
    }
    if out.last().is_some_and(String::is_empty) {
        out.pop();
        drop_empty(&mut out, heading_at);
        out.push(String::new());
    }
    out.join("\n")
}

/// Takes out the lines that say an act was done to one of these ids.
pub(super) fn strike_results(text: &str, gone: impl Fn(&str) -> bool) -> String {
    let is_gone = |line: &str| {
        let behind = line.split("Key for minion ").nth(1);
        behind.and_then(|rest| rest.split(' ').next()).is_some_and(&gone)
    };
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        if !is_gone(line) {
            out.push_str(line);
        } else if let Some(at) = line.find("Key for minion ") {
            // The prompt stands on the line of the first result.
            out.push_str(&line[..at]);
        }
    }
    out
}

/// The ids that a text says were acted on, in order.
pub(super) fn results(text: &str) -> Vec<String> {
    let behind = text.split("Key for minion ").skip(1);
    behind.filter_map(|rest| rest.split(' ').next()).map(str::to_owned).collect()
}

/// Takes the keys that the case does not have out of what was printed.
pub(super) fn without_scaffold(case: &Case, world: &World, text: &str) -> String {
    if case.is_document() || world.scaffold().is_empty() {
        return text.to_owned();
    }
    let is_scaffold = |id: &str| world.scaffold().contains(id);
    let mut text = strike(case, text, |folder, id| folder == "minions_rejected" && is_scaffold(id));
    let by_salt = results(&case.stdout);
    text = strike_results(&text, |id| is_scaffold(id) && !by_salt.iter().any(|done| done == id));
    for id in world.scaffold() {
        let line = format!("Key for minion {id} ");
        if text.matches(&line).count() > 1 {
            let (before, rest) = text.split_once(&line).expect("it was counted");
            let rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
            text = format!("{before}{rest}");
        }
    }
    text
}

fn without_scaffold_value(case: &Case, world: &World, mut document: Value) -> Value {
    if case.action().is_act() {
        return document;
    }
    let is_scaffold = |id: &str| world.scaffold().contains(id);
    match document.get_mut("minions_rejected") {
        Some(Value::Array(ids)) => ids.retain(|id| !id.as_str().is_some_and(is_scaffold)),
        Some(Value::Object(keys)) => keys.retain(|id, _| !is_scaffold(id)),
        _ => {}
    }
    document
}

/// Without what a running master adds to `-F`: its own fingerprint.
pub(super) fn without_local(text: &str) -> String {
    let mut lines = text.split_inclusive('\n').peekable();
    if lines.peek() == Some(&"Local Keys:\n") {
        return lines.skip(2).collect();
    }
    text.to_owned()
}
