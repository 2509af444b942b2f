//! A file of cases, and who knows what to make of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

use crate::report::Report;
use crate::rules::{Rule, Rules};

/// Fields that say where a case is from and change nothing.
const ABOUT: [&str; 7] = ["n", "origin", "source", "salt_3008_5", "note", "why", "used_for"];

/// Who knows a file of cases.
pub(crate) struct Adapter {
    pub(crate) file: &'static str,
    /// The fields that its cases have, besides [`ABOUT`].
    pub(crate) fields: &'static [&'static str],
    /// Judges all cases.
    pub(crate) run: fn(&File, &mut Report),
}

/// Something that a better program than Salt should do otherwise, from `deviations.jsonl`.
#[derive(Debug, Clone)]
pub(crate) struct Deviation {
    pub(crate) recommended: Value,
    pub(crate) why: String,
}

/// A file of cases.
pub(crate) struct File {
    /// The line with number 0, which says something about all cases; null when there is none.
    pub(crate) header: Value,
    pub(crate) cases: Vec<Value>,
    pub(crate) deviations: BTreeMap<u64, Deviation>,
    rules: Vec<Rule>,
}

/// What is to come out of a case.
pub(crate) enum Expected<'a> {
    /// What Salt does.
    Same,
    /// What is recommended.
    Deviation(&'a Deviation),
    /// What a rule of ours says.
    Rule(&'a Rule),
}

pub(crate) fn number(case: &Value) -> u64 {
    case["n"].as_u64().expect("a case has a number")
}

impl File {
    /// Reads a file that an adapter knows.
    ///
    /// # Errors
    /// It cannot be read, or a case has a field that the adapter does not know.
    pub(crate) fn read(folder: &Path, adapter: &Adapter, rules: &Rules) -> Result<Self, String> {
        let lines = lines(&folder.join(adapter.file))?;
        let (headers, cases): (Vec<Value>, Vec<Value>) = lines.into_iter().partition(|line| line["n"] == 0);
        for case in &cases {
            let fields = case.as_object().ok_or("a case is no map")?;
            let is_known = |field: &str| ABOUT.contains(&field) || adapter.fields.contains(&field);
            if let Some(field) = fields.keys().find(|field| !is_known(field)) {
                return Err(format!(
                    "{}, n={}: nobody here knows the field {field:?}",
                    adapter.file, case["n"]
                ));
            }
        }
        let path = folder.join("deviations.jsonl");
        let deviations =
            if path.exists() { lines_of_deviations(&path, adapter.file)? } else { BTreeMap::new() };
        Ok(Self {
            header: headers.into_iter().next().unwrap_or_default(),
            cases,
            deviations,
            rules: rules.of(adapter.file),
        })
    }

    /// Who speaks for a case. A recommendation comes before our own rules, unless it is words that
    /// no program can compare.
    pub(crate) fn expected<'a>(&'a self, case: &Value) -> Expected<'a> {
        let rule = self.rules.iter().find(|rule| rule.applies(case));
        match (self.deviations.get(&number(case)), rule) {
            (Some(deviation), None) => Expected::Deviation(deviation),
            (_, Some(rule)) => Expected::Rule(rule),
            (None, None) => Expected::Same,
        }
    }

    /// Judges every case by one answer of ours: `salts` is what the case expects, `ours` what we
    /// give, `meant` what a recommendation means in that form.
    pub(crate) fn compare(
        &self,
        report: &mut Report,
        salts: impl Fn(&Value) -> Value,
        ours: impl Fn(&Value) -> Value,
        meant: impl Fn(&Value, &Deviation) -> Value,
    ) {
        self.compare_with(report, salts, ours, meant, |_| None);
    }

    /// As [`File::compare`], with rules of ours that are code: the name of the one that speaks for a
    /// case, and what we give then.
    pub(crate) fn compare_with(
        &self,
        report: &mut Report,
        salts: impl Fn(&Value) -> Value,
        ours: impl Fn(&Value) -> Value,
        meant: impl Fn(&Value, &Deviation) -> Value,
        code: impl Fn(&Value) -> Option<(&'static str, Value)>,
    ) {
        for case in &self.cases {
            let n = number(case).to_string();
            let (given, salt) = (ours(case), salts(case));
            let expected = self.expected(case);
            if let (Expected::Same, Some((rule, wanted))) = (&expected, code(case)) {
                let what = format!("{}\n  gives {given}\n  our rule {rule:?} says {wanted}", input(case));
                report.on_purpose(&n, rule, given == wanted, &what);
                continue;
            }
            match expected {
                Expected::Same if given == salt => report.pass(),
                Expected::Same => {
                    report.fail(&n, &format!("{}\n  gives {given}\n  Salt  {salt}", input(case)));
                }
                Expected::Deviation(deviation) => {
                    let wanted = meant(case, deviation);
                    let what = format!(
                        "{}\n  gives {given}\n  recommended {wanted}: {}",
                        input(case),
                        deviation.why
                    );
                    report.on_purpose(&n, "", given == wanted, &what);
                }
                Expected::Rule(rule) => {
                    let wanted = rule.gives.as_ref().unwrap_or(&Value::Null);
                    let what =
                        format!("{}\n  gives {given}\n  our rule {:?} says {wanted}", input(case), rule.name);
                    report.on_purpose(&n, &rule.name, given == *wanted, &what);
                }
            }
        }
    }
}

/// The recommendation itself, for files where it is a value of the expected form.
pub(crate) fn as_is(_: &Value, deviation: &Deviation) -> Value {
    deviation.recommended.clone()
}

/// What is asked, without what is known about it.
fn input(case: &Value) -> String {
    let fields = case.as_object().expect("a case is a map").iter();
    let asked: Map<String, Value> = fields
        .filter(|(name, _)| !ABOUT.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    Value::Object(asked).to_string()
}

fn lines(path: &Path) -> Result<Vec<Value>, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| {
            serde_json::from_str(line).map_err(|error| format!("{}: {error}: {line}", path.display()))
        })
        .collect()
}

fn lines_of_deviations(path: &Path, file: &str) -> Result<BTreeMap<u64, Deviation>, String> {
    let of_file = lines(path)?.into_iter().filter(|line| line["file"] == file);
    let read = |line: Value| {
        let why = line["why"].as_str().unwrap_or_default().to_owned();
        (number(&line), Deviation { recommended: line["recommended"].clone(), why })
    };
    Ok(of_file.map(read).collect())
}
