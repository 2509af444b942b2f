//! Where we do otherwise than Salt on purpose: `tests/data/our-deviations.toml`.

use std::collections::BTreeMap;
use std::path::Path;

use regex::Regex;
use serde::Deserialize;
use serde_json::Value;

use crate::report::Report;

/// How many of a hundred cases of a file our own rules may speak for.
const SHARE_MAX: f64 = 3.0;

/// One way in which we differ.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    pub(crate) file: String,
    pub(crate) name: String,
    pub(crate) reason: String,
    /// What a case's input has to be: fields by dotted path, each a value, or a regular expression
    /// over its text or JSON behind `re:`.
    #[serde(default)]
    when: BTreeMap<String, Value>,
    /// What we give then.
    pub(crate) gives: Option<Value>,
    /// The predicate and what we give are code of this suite, under the same name: what comes out
    /// depends on the case.
    #[serde(default)]
    pub(crate) code: bool,
    /// What is asked for does not exist here, and nothing is judged otherwise for it.
    #[serde(default)]
    absent: bool,
}

/// A file in which our rules speak for more cases than the rest may have.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Allowance {
    file: String,
    percent: f64,
    reason: String,
}

/// All rules.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rules {
    rule: Vec<Rule>,
    #[serde(default)]
    allow: Vec<Allowance>,
}

impl Rule {
    /// Whether it speaks for a case. One that is code says so itself.
    pub(crate) fn applies(&self, case: &Value) -> bool {
        !self.code && self.when.iter().all(|(path, wanted)| is(field(case, path), wanted))
    }
}

fn field<'a>(case: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(case, |value, name| match name.parse::<usize>() {
        Ok(at) if value.is_array() => &value[at],
        _ => &value[name],
    })
}

fn is(value: &Value, wanted: &Value) -> bool {
    let Some(pattern) = wanted.as_str().and_then(|text| text.strip_prefix("re:")) else {
        return value == wanted;
    };
    let regex = Regex::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
    match value {
        Value::Null => false,
        Value::String(text) => regex.is_match(text),
        other => regex.is_match(&other.to_string()),
    }
}

impl Rules {
    pub(crate) fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/our-deviations.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let rules: Self = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for rule in &rules.rule {
            let named = format!("{}: {:?}", rule.file, rule.name);
            assert!(!rule.reason.is_empty(), "{named} has no reason");
            assert_ne!(rule.code, rule.gives.is_some(), "{named}: either what it gives, or code");
            assert_ne!(rule.code, !rule.when.is_empty(), "{named}: either when, or code");
        }
        for allowance in &rules.allow {
            assert!(!allowance.reason.is_empty(), "{}: an allowance without a reason", allowance.file);
        }
        rules
    }

    pub(crate) fn of(&self, file: &str) -> Vec<Rule> {
        self.rule.iter().filter(|rule| rule.file == file).cloned().collect()
    }

    /// What is wrong with the rules of a file that are code: each has its reason here, and here is no
    /// other.
    pub(crate) fn check_code(&self, file: &str, names: &[&str]) -> Result<(), String> {
        let here: Vec<&str> = self
            .rule
            .iter()
            .filter(|rule| rule.file == file && rule.code)
            .map(|rule| rule.name.as_str())
            .collect();
        if here == names { Ok(()) } else { Err(format!("{file}: rules {here:?}, code {names:?}")) }
    }

    /// Rules of a file that no case needs.
    pub(crate) fn dead(&self, file: &str, report: &Report) -> Vec<String> {
        let dead = self.rule.iter().filter(|rule| rule.file == file && report.used(&rule.name) == 0);
        dead.map(|rule| rule.name.clone()).collect()
    }

    /// What is wrong with how many cases our rules speak for.
    pub(crate) fn excess(&self, file: &str, report: &Report, cases: usize) -> Option<String> {
        let judged = self.rule.iter().filter(|rule| rule.file == file && !rule.absent);
        let spoken_for: usize = judged.map(|rule| report.ruled(&rule.name)).sum();
        let share = 100.0 * spoken_for as f64 / cases.max(1) as f64;
        let max = self.allow.iter().find(|allow| allow.file == file).map_or(SHARE_MAX, |allow| allow.percent);
        // One case of a short file is more than a share of it.
        (share > max && spoken_for > 1).then(|| {
            format!("our rules speak for {spoken_for} of {cases} cases, {share:.1} %: at most {max} % may be")
        })
    }
}
