//! `publisher_acl` and its blacklist: who may publish what to whom.

use std::collections::BTreeMap;

use brine_master::roles::{Blacklist, Roles};
use brine_protocol::MinionId;
use brine_protocol::job::Call;
use brine_protocol::target::{Expression, Known, Nodegroups, Target, TargetKind};
use serde_json::{Map, Value, json};

use crate::adapter::{Adapter, as_is};

pub(crate) fn adapter() -> Adapter {
    Adapter {
        file: "acl.jsonl",
        fields: &["kind", "rule", "subject", "expect"],
        run: |file, report| file.compare(report, |case| case["expect"].clone(), ours, as_is),
    }
}

fn ours(case: &Value) -> Value {
    let (rule, subject) = (&case["rule"], &case["subject"]);
    match case["kind"].as_str().expect("a kind") {
        "user_blacklisted" => {
            let blacklist = Blacklist { users: texts(rule), ..Blacklist::default() };
            json!(blacklist.has_user(subject.as_str().expect("a user")).expect("readable"))
        }
        "cmd_blacklisted" => {
            let blacklist = Blacklist { modules: texts(rule), ..Blacklist::default() };
            // Whoever may do everything but what is on the list.
            let may = |name: &String| {
                may_run(&json!([".*"]), &blacklist, &calls(std::slice::from_ref(name)), &[id("m1")])
            };
            json!(texts(subject).iter().any(|name| may(name) == Ok(false)))
        }
        "auth_check" => published(rule, subject),
        // Runners, wheels and lists of what alone is allowed.
        "spec_check" | "user_whitelisted" | "cmd_whitelisted" => json!("absent"),
        other => panic!("{other}: nobody here knows this kind"),
    }
}

fn published(rule: &Value, subject: &Value) -> Value {
    let kind: TargetKind = serde_json::from_value(subject["tgt_type"].clone()).expect("a kind of target");
    let target = Target::new(kind, subject["tgt"].as_str().expect("a target"));
    let expression = Expression::parse(&target, &Nodegroups::new()).expect("readable");
    let is_meant =
        |id: &MinionId| expression.matches(&Known { id, grains: None, pillar: None, record: None });
    let accepted = texts(&subject["accepted_minions"]);
    let minions: Vec<MinionId> = accepted.iter().map(|name| id(name)).filter(is_meant).collect();
    // A master takes no order for nobody.
    if minions.is_empty() {
        return json!(false);
    }
    may_run(rule, &Blacklist::default(), &calls(&texts(&subject["fun"])), &minions)
        .map_or(json!("error"), Value::Bool)
}

fn may_run(
    rule: &Value,
    blacklist: &Blacklist,
    calls: &[Call],
    minions: &[MinionId],
) -> Result<bool, String> {
    let acl: BTreeMap<String, Value> = [("u".to_owned(), rule.clone())].into();
    let roles = Roles::read(&BTreeMap::new(), &acl, blacklist, false)?;
    let user = roles.principal(1000, Some("u"), 0).map_err(|problem| problem.detail)?;
    Ok(user.may_run(calls, minions).is_ok())
}

fn calls(names: &[String]) -> Vec<Call> {
    let call = |name: &String| Call { function: name.clone(), arguments: Vec::new(), keywords: Map::new() };
    names.iter().map(call).collect()
}

fn id(name: &str) -> MinionId {
    name.parse().expect("an id")
}

/// One text or several.
fn texts(value: &Value) -> Vec<String> {
    let one = |value: &Value| value.as_str().expect("a text").to_owned();
    value.as_array().map_or_else(|| vec![one(value)], |many| many.iter().map(one).collect())
}
