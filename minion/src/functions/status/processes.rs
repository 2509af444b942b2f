//! All processes with their command lines.

use procfs::process::{Process, all_processes};
use regex::RegexBuilder;
use serde_json::{Map, Value, json};

use super::super::bind::Bound;
use super::super::file::blocking;
use super::super::fit::keep_first;
use super::super::ps::Users;
use super::super::{Context, Fault, Outcome};

pub(super) async fn procs(context: Context) -> Result<Outcome, Fault> {
    blocking(move |_| {
        let mut users = Users::read();
        let entry = |(process, command): (Process, String)| {
            let user = users.name(process.status().ok()?.ruid);
            Some((process.pid.to_string(), json!({"cmd": command, "user": user})))
        };
        let mut value = Value::Object(all().filter_map(entry).collect::<Map<_, _>>());
        let truncated = keep_first(&mut value, context.output_max);
        Ok(Outcome { truncated, ..Outcome::from(value) })
    })
    .await
}

pub(super) async fn pid(mut bound: Bound) -> Result<Outcome, Fault> {
    let written = bound.text("sig")?;
    let regex = RegexBuilder::new(&written).size_limit(1 << 20).build().map_err(|error| {
        let why = error.to_string();
        Fault::Invocation(format!(
            "'sig' is no regular expression: {}",
            why.lines().last().unwrap_or_default()
        ))
    })?;
    blocking(move |_| {
        let found = all().filter(|(_, command)| regex.is_match(command));
        let pids: Vec<String> = found.map(|(process, _)| process.pid.to_string()).collect();
        Ok(Outcome::from(pids.join("\n")))
    })
    .await
}

/// Processes and their command lines; a name in brackets for those that have none, as `ps` has it.
fn all() -> impl Iterator<Item = (Process, String)> {
    // Those that end while we look are left out.
    all_processes().into_iter().flatten().flatten().filter_map(|process| {
        let words = process.cmdline().ok()?;
        let command =
            if words.is_empty() { format!("[{}]", process.stat().ok()?.comm) } else { words.join(" ") };
        Some((process, command))
    })
}
