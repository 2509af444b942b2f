//! Our answers to the cases about targets, in the form of their expected fields.

use std::collections::BTreeSet;

use brine_protocol::MinionId;
use brine_protocol::target::{
    Expression, Known, Nodegroups, Target, TargetError, TargetKind, TermWord, spell_out,
};
use brine_protocol::{glob, target};
use serde_json::{Map, Value, json};

use crate::adapter::{Adapter, Deviation, as_is};

/// What stands for a target that is refused.
const REFUSED: &str = "error";

pub(crate) fn adapters() -> Vec<Adapter> {
    vec![
        Adapter {
            file: "match_minion_side.jsonl",
            fields: &["tgt_type", "tgt", "delimiter", "minion", "nodegroups", "expect"],
            run: |file, report| {
                let salts = |case: &Value| case["expect"].clone();
                file.compare_with(report, salts, match_minion_side, truth, unreadable);
            },
        },
        Adapter {
            file: "match_master_side.jsonl",
            fields: &["tgt_type", "tgt", "delimiter", "expect_minions", "expect_missing"],
            run: |file, report| {
                let salts = |case: &Value| json!({"minions": case["expect_minions"], "missing": case["expect_missing"]});
                let meant = |case: &Value, deviation: &Deviation| json!({"minions": deviation.recommended, "missing": case["expect_missing"]});
                file.compare(report, salts, |case| match_master_side(&file.header["fleet"], case), meant);
            },
        },
        Adapter {
            file: "nodegroup_expand.jsonl",
            fields: &["nodegroup", "nodegroups", "expect"],
            run: |file, report| file.compare(report, |case| case["expect"].clone(), nodegroup_expand, as_is),
        },
        Adapter {
            file: "target_word_parse.jsonl",
            fields: &["word", "expect"],
            run: |file, report| file.compare(report, |case| case["expect"].clone(), target_word_parse, as_is),
        },
    ]
}

/// The name of the rule of [`unreadable`].
pub(crate) const UNREADABLE: &str = "what cannot be read is refused";

/// Where Salt takes a target that nobody can read for one that means nobody, we say what is wrong.
fn unreadable(case: &Value) -> Option<(&'static str, Value)> {
    let is_one_sign = case["delimiter"].as_str().is_none_or(|delimiter| delimiter.chars().count() <= 1);
    let is_refused = is_one_sign && Asked::read(case, &groups(&case["nodegroups"])).is_err();
    (is_refused && case["expect"] == false).then(|| (UNREADABLE, REFUSED.into()))
}

/// A recommendation that is a truth value or an error; "treat as a glob on the id" is what we do with
/// words that Salt takes for Python.
fn truth(case: &Value, deviation: &Deviation) -> Value {
    match deviation.recommended.as_str() {
        Some("error") | None => deviation.recommended.clone(),
        Some(_) => match_minion_side(case),
    }
}

/// A case's target, read.
struct Asked {
    expression: Expression,
    /// Asked for somebody who may only ask for exact values of pillar.
    wants_exact: bool,
}

impl Asked {
    fn read(case: &Value, groups: &Nodegroups) -> Result<Self, TargetError> {
        let (kind, wants_exact) = match text(case, "tgt_type") {
            "glob" => (TargetKind::Glob, false),
            "pcre" => (TargetKind::Pcre, false),
            "list" => (TargetKind::List, false),
            "grain" => (TargetKind::Grain, false),
            "grain_pcre" => (TargetKind::GrainPcre, false),
            "pillar" => (TargetKind::Pillar, false),
            "pillar_exact" => (TargetKind::Pillar, true),
            "pillar_pcre" => (TargetKind::PillarPcre, false),
            "ipcidr" => (TargetKind::Ipcidr, false),
            "nodegroup" => (TargetKind::Nodegroup, false),
            "compound" => (TargetKind::Compound, false),
            "compound_pillar_exact" => (TargetKind::Compound, true),
            other => panic!("no kind of target: {other}"),
        };
        let mut delimiter = case["delimiter"].as_str().unwrap_or(":").chars();
        let delimiter = match (delimiter.next(), delimiter.next()) {
            (Some(':') | None, None) => None,
            (one, None) => one,
            _ => return Err(TargetError { column: 1, what: "a delimiter is one character".to_owned() }),
        };
        let target = Target { delimiter, ..Target::new(kind, &written(kind, &case["tgt"])) };
        Ok(Self { expression: Expression::parse(&target, groups)?, wants_exact })
    }

    /// Who may not probe a pillar is refused whatever is not exact, and so reaches nobody.
    fn means(&self, minion: &Known<'_>) -> bool {
        (!self.wants_exact || self.expression.pillar_is_exact()) && self.expression.matches(minion)
    }
}

/// A target as somebody would type it: Salt's API also takes words that were split before, and
/// what is no text is typed as it reads.
fn written(kind: TargetKind, tgt: &Value) -> String {
    match tgt {
        Value::String(text) => text.clone(),
        Value::Array(words) if kind == TargetKind::Compound => {
            let typed = |word: &Value| match word.as_str().expect("a word") {
                operator @ ("and" | "or" | "not" | "(" | ")") => operator.to_owned(),
                term => format!("\"{}\"", term.replace('\\', r"\\").replace('"', "\\\"")),
            };
            words.iter().map(typed).collect::<Vec<_>>().join(" ")
        }
        Value::Array(ids) => ids.iter().map(|id| id.as_str().expect("an id")).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// Whether the minion of the case is meant, or that the target is refused.
pub(crate) fn match_minion_side(case: &Value) -> Value {
    let Ok(asked) = Asked::read(case, &groups(&case["nodegroups"])) else {
        return REFUSED.into();
    };
    let minion = &case["minion"];
    let Ok(id) = text(minion, "id").parse::<MinionId>() else {
        // No minion is called so here; how globs are read can still be compared.
        assert_eq!(text(case, "tgt_type"), "glob", "{minion} cannot be asked");
        return glob::matches(text(case, "tgt"), text(minion, "id")).into();
    };
    let (grains, pillar) = (minion["grains"].as_object(), minion["pillar"].as_object());
    asked.means(&Known { id: &id, grains, pillar, record: None }).into()
}

/// Who of the fleet has to answer, and who was named but is nobody's id. A target that is refused
/// reaches nobody, which is what is asked here.
pub(crate) fn match_master_side(fleet: &Value, case: &Value) -> Value {
    let accepted = fleet["accepted"].as_object().expect("minions");
    let Ok(asked) = Asked::read(case, &groups(&fleet["nodegroups"])) else {
        return json!({"minions": [], "missing": []});
    };
    let means = |(id, cache): &(&String, &Value)| {
        let id: MinionId = id.parse().expect("an id");
        let (grains, pillar) = (cache["grains_cache"].as_object(), cache["pillar_cache"].as_object());
        asked.means(&Known { id: &id, grains, pillar, record: None })
    };
    let minions: BTreeSet<&String> = accepted.iter().filter(means).map(|(id, _)| id).collect();
    let mut missing = asked.expression.named();
    missing.retain(|id| !accepted.contains_key(*id));
    json!({"minions": minions, "missing": missing})
}

/// The words of a nodegroup with others spelled out. One that is refused has none.
pub(crate) fn nodegroup_expand(case: &Value) -> Value {
    spell_out(text(case, "nodegroup"), &groups(&case["nodegroups"])).unwrap_or_default().into()
}

/// One word of a compound, taken apart.
pub(crate) fn target_word_parse(case: &Value) -> Value {
    let word = text(case, "word");
    if word.is_empty() {
        return Value::Null;
    }
    let TermWord { letter, delimiter, pattern } = TermWord::split(word);
    json!({"engine": letter, "delimiter": delimiter, "pattern": pattern})
}

fn groups(written: &Value) -> Nodegroups {
    let none = Map::new();
    let read = |(name, group): (&String, &Value)| {
        let group: target::Nodegroup = serde_json::from_value(group.clone()).expect("a nodegroup");
        (name.clone(), group)
    };
    written.as_object().unwrap_or(&none).iter().map(read).collect()
}

fn text<'c>(case: &'c Value, field: &str) -> &'c str {
    case[field].as_str().unwrap_or_else(|| panic!("{field} of {case} is no text"))
}
