//! `brine` against recorded runs of salt 3008.5 on four minions, m1 to m4.
//!
//! Every case is run for real, with the same grains and nodegroups. The order in which minions
//! answer is nobody's; a jid is a jid; what only the machine decides (its load, its users, its
//! version) is compared by its shape.

mod rules;

use std::collections::BTreeMap;

use brine_tests::fleet::Fleet;
use brine_tests::minion::Minion;
use brine_tests::process::Done;
use regex::Regex;
use serde_json::Value;

use crate::adapter::{Adapter, File};
use crate::report::Report;
use rules::{Expected, RULES};

/// The options of the recorded master.
const MASTER: &str = "nodegroups: {g1: 'L@m1,m2', g2: 'G@role:web or m3'}\n";

/// Functions whose values are the machine's.
const OF_THE_MACHINE: [&str; 7] = [
    "test.version",
    "status.loadavg",
    "status.uptime",
    "user.info",
    "cmd.which",
    "status.meminfo",
    "grains.items",
];

/// One recorded run.
pub(crate) struct Case {
    pub(crate) n: u64,
    pub(crate) args: Vec<String>,
    pub(crate) code: i64,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Case {
    fn new(value: &Value) -> Self {
        let text = |name: &str| value[name].as_str().expect("a text").to_owned();
        Self {
            n: value["n"].as_u64().expect("a number"),
            args: serde_json::from_value(value["args"].clone()).expect("words"),
            code: value["rc"].as_i64().expect("an exit code"),
            stdout: text("stdout"),
            stderr: text("stderr"),
        }
    }

    pub(crate) fn has(&self, word: &str) -> bool {
        self.args
            .iter()
            .any(|arg| arg == word || arg.strip_prefix(word).is_some_and(|rest| rest.starts_with('=')))
    }

    /// The value behind an option.
    pub(crate) fn value(&self, option: &str) -> Option<&str> {
        let at = self.args.iter().position(|arg| arg == option)?;
        self.args.get(at + 1).map(String::as_str)
    }

    pub(crate) fn function(&self) -> &str {
        let is_function = |arg: &&String| arg.contains('.') && !arg.starts_with('-') && !arg.contains(' ');
        self.args.iter().find(is_function).map_or("", String::as_str)
    }

    pub(crate) fn is_json(&self) -> bool {
        self.value("--out") == Some("json")
    }
}

pub(crate) fn adapter() -> Adapter {
    Adapter { file: "salt_cli.jsonl", fields: &["args", "rc", "stdout", "stderr"], run }
}

/// The names of the rules, which are in `our-deviations.toml` with their reasons.
pub(crate) fn names() -> Vec<&'static str> {
    RULES.iter().map(|rule| rule.name).collect()
}

fn run(file: &File, report: &mut Report) {
    let fleet = Fleet::start_with(MASTER);
    let _minions: Vec<Minion> = [("m1", "web"), ("m2", "web"), ("m3", "db"), ("m4", "db")]
        .into_iter()
        .zip(1..)
        .map(|((id, role), idx)| {
            fleet.minion_with(id, id, &format!("grains: {{role: {role}, idx: {idx}}}\n"))
        })
        .collect();
    for case in file.cases.iter().map(Case::new) {
        let deviation = file.deviations.get(&case.n);
        let (expected, rules) = rules::expected(&case, deviation);
        let args: Vec<&str> = case.args.iter().map(String::as_str).collect();
        let done = fleet.brine(&args);
        let found = differences(&case, &expected, &done);
        let n = case.n.to_string();
        if !found.is_empty() {
            let (args, out, err) = (&case.args, &done.stdout, &done.stderr);
            report.fail(
                &n,
                &format!(
                    "{args:?} ({rules:?})\n  {}\n  stdout {out:?}\n  stderr {err:?}",
                    found.join("\n  ")
                ),
            );
        } else if rules.is_empty() && deviation.is_none() {
            report.pass();
        } else {
            report.on_purpose(&n, rules.first().copied().unwrap_or_default(), true, "");
            rules.iter().skip(1).for_each(|rule| report.use_rule(rule));
        }
    }
}

fn differences(case: &Case, expected: &Expected, done: &Done) -> Vec<String> {
    let mut found = Vec::new();
    if done.stderr.contains("panicked") {
        found.push("it panicked".to_owned());
    }
    if !expected.codes.contains(&done.code) {
        found.push(format!("exit code {}, expected one of {:?}", done.code, expected.codes));
    }
    let Some(wanted) = &expected.stdout else { return found };
    let (wanted, given) = (mask(wanted), mask(&done.stdout));
    let is_same = match (documents(&wanted), documents(&given)) {
        (Some(wanted), Some(given)) if case.is_json() => {
            let by_shape = OF_THE_MACHINE.contains(&case.function());
            if by_shape { shapes(&wanted) == shapes(&given) } else { wanted == given }
        }
        _ => lines(&wanted) == lines(&given),
    };
    if !is_same {
        found.push(format!("stdout, expected {wanted:?}"));
    }
    found
}

/// Jids and process ids are nobody's choice.
fn mask(text: &str) -> String {
    let jid = Regex::new(r"\b\d{20}\b").expect("a pattern");
    jid.replace_all(text, "<JID>").into_owned()
}

/// Lines in no order: minions answer in any.
fn lines(text: &str) -> BTreeMap<&str, usize> {
    let mut lines = BTreeMap::new();
    for line in text.trim_end().lines().map(str::trim_end) {
        *lines.entry(line).or_default() += 1;
    }
    lines
}

/// All JSON documents of a text, as one map where they are maps.
fn documents(text: &str) -> Option<Value> {
    let all: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(text).into_iter().collect();
    let all = all.ok().filter(|all| !all.is_empty())?;
    if all.len() == 1 || !all.iter().all(Value::is_object) {
        return Some(sorted(all.into_iter().next()?));
    }
    let maps = all.into_iter().filter_map(|value| value.as_object().cloned());
    Some(sorted(Value::Object(maps.flatten().collect())))
}

/// Maps by key: the order of keys is nobody's.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let map: BTreeMap<String, Value> =
                map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            serde_json::to_value(map).expect("JSON")
        }
        Value::Array(list) => Value::Array(list.into_iter().map(sorted).collect()),
        scalar => scalar,
    }
}

/// Types in the place of values.
fn shapes(value: &Value) -> Value {
    match value {
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), shapes(value))).collect(),
        Value::Array(list) => list.first().map(shapes).into_iter().collect(),
        Value::String(_) => "text".into(),
        Value::Number(_) => "number".into(),
        Value::Bool(_) => "boolean".into(),
        Value::Null => Value::Null,
    }
}
