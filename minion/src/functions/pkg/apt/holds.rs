//! Packages that are not to be upgraded: the selection `hold` of dpkg.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::super::tool::Tool;
use super::super::super::{Context, Fault};
use super::super::wanted::Wanted;
use super::super::{CHANGE_MAX, whole};
use super::{read, run};

/// Has dpkg select the packages for `state`, all or none.
pub(super) async fn select(
    context: &Context,
    names: &[&str],
    state: &str,
    patience: Duration,
) -> Result<(), Fault> {
    if names.is_empty() {
        return Ok(());
    }
    let lines: String = names.iter().map(|name| format!("{name} {state}\n")).collect();
    let tool = Tool::new("dpkg", ["--set-selections"]).stdin(lines);
    let done = run(context, tool, patience, CHANGE_MAX).await?;
    if !done.is_ok() {
        let (all, why) = (names.join(", "), done.complaint());
        return Err(Fault::Execution(format!("dpkg does not select {all} for {state}: {why}")));
    }
    Ok(())
}

pub(in super::super) async fn hold(
    context: &Context,
    wanted: &[Wanted],
    patience: Duration,
) -> Result<Vec<(String, Value)>, Fault> {
    change(context, wanted, "hold", patience).await
}

pub(in super::super) async fn unhold(
    context: &Context,
    wanted: &[Wanted],
    patience: Duration,
) -> Result<Vec<(String, Value)>, Fault> {
    change(context, wanted, "install", patience).await
}

async fn change(
    context: &Context,
    wanted: &[Wanted],
    new: &str,
    patience: Duration,
) -> Result<Vec<(String, Value)>, Fault> {
    let selections = read::selections(&whole("dpkg", ["--get-selections"], context).await?);
    let mut answers = Vec::new();
    for Wanted { name, .. } in wanted {
        // A package of which there may be several architectures is listed with its own.
        let state = selections.get(name).or_else(|| {
            selections
                .iter()
                .find(|(listed, _)| listed.split(':').next() == Some(name))
                .map(|(_, state)| state)
        });
        let is_held = new == "hold";
        let (result, changes, comment) = match state.map(String::as_str) {
            None => (false, json!({}), format!("Package {name} does not have a state.")),
            Some(old) if (old == "hold") == is_held => {
                let not = if is_held { "" } else { "not " };
                (true, json!({}), format!("Package {name} is already set {not}to be held."))
            }
            Some(old) => {
                select(context, &[name], new, patience).await?;
                let now = if is_held { "is now being held" } else { "is no longer being held" };
                (true, json!({"old": old, "new": new}), format!("Package {name} {now}."))
            }
        };
        let answer = json!({"name": name, "changes": changes, "result": result, "comment": comment});
        answers.push((name.clone(), answer));
    }
    Ok(answers)
}
