//! `brine doctor`: is the master there, and is it well?

use brine_client::{Client, Exit};
use brine_local::output::{Format, Style, escape, render_value};
use brine_protocol::control::Health;
use serde_json::{Map, Value};

use super::failure::Failure;
use super::{document, print};

/// Prints the master's health. A master that is degraded is not all well: exit code 1.
pub(super) async fn run(client: &Client, style: &Style) -> Result<Exit, Failure> {
    let health = client.health().await?;
    match style.format {
        Format::Nested | Format::Txt => print(&page(&health))?,
        _ => print(&render_value(&document(&health), style))?,
    }
    Ok(if health.status == "ok" { Exit::Ok } else { Exit::Failed })
}

fn page(health: &Health) -> String {
    let mut page = format!("master is {}\n", escape(&health.status));
    for problem in &health.problems {
        page.push_str(&format!("  problem: {}\n", escape(problem)));
    }
    for (name, value) in [
        ("version", health.version.clone()),
        ("fingerprint", health.fingerprint.to_string()),
        ("ports", format!("{} (broadcasts), {} (returns)", health.publish_port, health.ret_port)),
        ("since", health.since.to_string()),
        ("sessions", health.sessions.to_string()),
        ("keys", counts(&health.keys, false)),
        ("counted", counts(&health.counters, true)),
    ] {
        page.push_str(&format!("  {:<12} {}\n", format!("{name}:"), escape(&value)));
    }
    page
}

/// `name 1, name 2`; what never happened is left out where there is much to count.
fn counts(map: &Map<String, Value>, without_zeros: bool) -> String {
    let counts: Vec<String> = map
        .iter()
        .filter(|(_, value)| !(without_zeros && value.as_u64() == Some(0)))
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    if counts.is_empty() { "nothing yet".to_owned() } else { counts.join(", ") }
}
