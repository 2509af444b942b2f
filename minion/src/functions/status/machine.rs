//! The machine as a whole: since when it is up, what time it has, how much room.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use brine_protocol::glob;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde_json::{Map, Value, json};

use super::super::bind::Bound;
use super::super::disk::{all_mounts, ask};
use super::super::fit::keep_first;
use super::super::tool::Tool;
use super::super::{Context, Fault, Outcome, text_of};

pub(super) async fn uptime(context: Context) -> Result<Outcome, Fault> {
    let text = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds = text.split('.').next().and_then(|whole| whole.parse::<u64>().ok());
    let seconds = seconds.ok_or_else(|| {
        Fault::Execution("/proc/uptime does not tell since when the machine is up".to_owned())
    })?;
    // Where `who` is not installed, nobody can tell.
    let listed = Tool::new("who", ["-s"]).timeout(Duration::from_secs(10)).output(&context).await.ok();
    let users = listed.map(|lines| lines.lines().filter(|line| !line.is_empty()).count());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Ok(Outcome::from(show_uptime(seconds, now, users)))
}

fn show_uptime(seconds: u64, now: u64, users: Option<usize>) -> Value {
    let since = now.saturating_sub(seconds);
    let iso = i64::try_from(since).ok().and_then(|since| Timestamp::from_second(since).ok());
    let mut shown = json!({
        "seconds": seconds,
        "since_iso": iso.map_or_else(String::new, |at| at.strftime("%Y-%m-%dT%H:%M:%S").to_string()),
        "since_t": since,
        "days": seconds / 86_400,
        "time": format!("{}:{}", seconds / 3600 % 24, seconds / 60 % 60),
    });
    if let Some(users) = users {
        shown["users"] = json!(users);
    }
    shown
}

pub(super) async fn diskusage(context: Context, wanted: Vec<Value>) -> Result<Outcome, Fault> {
    let wanted: Vec<String> = wanted.iter().map(text_of).collect();
    let mut paths: Vec<(String, bool)> =
        wanted.iter().filter(|word| word.starts_with('/')).map(|path| (path.clone(), false)).collect();
    let kinds: Vec<&String> = wanted.iter().filter(|word| !word.starts_with('/')).collect();
    for mount in all_mounts()? {
        let is_wanted = wanted.is_empty() || kinds.iter().any(|kind| glob::matches(kind, &mount.kind));
        if is_wanted && !paths.iter().any(|(path, _)| *path == mount.point) {
            paths.push((mount.point.clone(), mount.is_remote));
        }
    }
    let order: Vec<String> = paths.iter().map(|(path, _)| path.clone()).collect();
    let answers = ask(paths).await;
    let mut shown = Map::new();
    for path in order {
        let (total, available) = match answers.get(&path) {
            Some(Ok(room)) => {
                let bytes = |blocks: u64| Some(blocks.saturating_mul(room.unit));
                (bytes(room.blocks), bytes(room.available))
            }
            Some(Err(error)) if wanted.contains(&path) => {
                return Err(Fault::Execution(format!(
                    "{path} cannot be asked for its room: {}",
                    error.desc()
                )));
            }
            Some(Err(_)) => continue,
            None => (None, None),
        };
        shown.insert(path, json!({"total": total, "available": available}));
    }
    let mut value = Value::Object(shown);
    let truncated = keep_first(&mut value, context.output_max);
    Ok(Outcome { truncated, ..Outcome::from(value) })
}

pub(super) async fn nproc() -> Result<Outcome, Fault> {
    let count = std::thread::available_parallelism()
        .map_err(|error| Fault::Execution(format!("the processors cannot be counted: {error}")))?;
    Ok(Outcome::from(count.get()))
}

pub(super) async fn time(mut bound: Bound) -> Result<Outcome, Fault> {
    let format = bound.text("format")?;
    let now = Zoned::now().with_time_zone(TimeZone::system());
    let text = jiff::fmt::strtime::format(&format, &now)
        .map_err(|error| Fault::Invocation(format!("'format' cannot be used: {error}")))?;
    Ok(Outcome::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_when() {
        let shown = show_uptime(2 * 86_400 + 3 * 3600 + 7 * 60 + 5, 1_700_000_000, Some(2));
        let expected = json!({
            "seconds": 184_025, "since_iso": "2023-11-12T19:06:15", "since_t": 1_699_815_975, "days": 2,
            "time": "3:7", "users": 2,
        });
        assert_eq!(shown, expected);
        assert!(show_uptime(10, 5, None).get("users").is_none());
    }
}
