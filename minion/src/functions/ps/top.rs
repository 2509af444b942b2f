//! The processes that compute the most.

use std::collections::HashMap;
use std::time::Duration;

use procfs::process::{Process, Stat, all_processes};
use serde_json::{Map, Value, json};

use super::super::bind::Bound;
use super::super::file::blocking;
use super::super::fit::keep_first;
use super::super::{Context, Fault, Outcome};
use super::info::{Users, cpu_times, create_time, memory, state};

/// The longest look, in seconds: a job that looks for a day was meant otherwise.
const INTERVAL_MAX: Duration = Duration::from_secs(3600);

pub(super) async fn top(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let count = bound.value("num_processes").as_u64().and_then(|count| usize::try_from(count).ok());
    let count = count
        .ok_or_else(|| Fault::Invocation("'num_processes' needs a whole number, 0 or more".to_owned()))?;
    let interval = bound.seconds("interval")?.map(|(interval, _)| interval);
    let interval = interval
        .filter(|interval| *interval <= INTERVAL_MAX)
        .ok_or_else(|| Fault::Invocation("'interval' needs a number of seconds from 0 to 3600".to_owned()))?;
    let before: HashMap<(i32, u64), u64> =
        blocking(|_| Ok(all().map(|(_, stat)| (identity(&stat), ticks(&stat))).collect())).await?;
    tokio::time::sleep(interval).await;
    blocking(move |_| {
        // One that was started meanwhile has used all of its time meanwhile.
        let mut busy: Vec<(u64, Process, Stat)> = all()
            .map(|(process, stat)| {
                let used = ticks(&stat).saturating_sub(before.get(&identity(&stat)).copied().unwrap_or(0));
                (used, process, stat)
            })
            .collect();
        busy.sort_by_key(|(used, _, stat)| (std::cmp::Reverse(*used), stat.pid));
        let mut users = Users::read();
        let wanted = if count == 0 { busy.len() } else { count };
        let shown = busy.iter().filter_map(|(_, process, stat)| show(process, stat, &mut users)).take(wanted);
        let mut value = Value::from(shown.collect::<Vec<Value>>());
        let truncated = keep_first(&mut value, context.output_max);
        Ok(Outcome { truncated, ..Outcome::from(value) })
    })
    .await
}

fn all() -> impl Iterator<Item = (Process, Stat)> {
    // Those that end while we look are left out.
    all_processes().into_iter().flatten().flatten().filter_map(|process| {
        let stat = process.stat().ok()?;
        Some((process, stat))
    })
}

/// A number alone may be somebody else's by now.
fn identity(stat: &Stat) -> (i32, u64) {
    (stat.pid, stat.starttime)
}

fn ticks(stat: &Stat) -> u64 {
    stat.utime + stat.stime
}

/// None for one that ended while we looked.
fn show(process: &Process, stat: &Stat, users: &mut Users) -> Option<Value> {
    let user = users.name(process.status().ok()?.ruid);
    let words = process.cmdline().unwrap_or_default();
    let cmd = if words.is_empty() { json!(stat.comm) } else { json!(words) };
    let cpu: Map<String, Value> =
        cpu_times(stat).into_iter().map(|(name, seconds)| (name.to_owned(), seconds)).collect();
    let mem = memory(process)?.into_iter().map(|(name, bytes)| (name.to_owned(), json!(bytes)));
    Some(json!({
        "cmd": cmd,
        "user": user,
        "status": state(stat),
        "pid": stat.pid,
        "create_time": create_time(stat),
        "cpu": cpu,
        "mem": mem.collect::<Map<String, Value>>(),
    }))
}
