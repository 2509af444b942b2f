//! `brine minions`: who is accepted, and who is there.

use brine_client::{Client, Exit};
use brine_local::output::{Format, Style, render_value, table};
use brine_protocol::MinionId;
use brine_protocol::control::{Minion, Presence};

use super::failure::Failure;
use super::jobs::seconds;
use super::options::MinionsVerb;
use super::{document, print};

pub(super) async fn run(client: &Client, verb: Option<MinionsVerb>, style: &Style) -> Result<Exit, Failure> {
    match verb.unwrap_or(MinionsVerb::List) {
        MinionsVerb::List => {
            let minions = client.minions().await?;
            match style.format {
                Format::Nested | Format::Txt => print(&list(&minions))?,
                _ => print(&render_value(&document(&minions), style))?,
            }
        }
        MinionsVerb::Show { id } => {
            let id: MinionId =
                id.parse().map_err(|error: brine_protocol::id::IdError| Failure::Usage(error.to_string()))?;
            let minion = client.minion(&id).await?;
            print(&render_value(&document(&minion), style))?;
        }
    }
    Ok(Exit::Ok)
}

fn list(minions: &[Minion]) -> String {
    let row = |minion: &Minion| {
        vec![
            minion.id.to_string(),
            presence_text(&minion.presence),
            minion.address.clone().unwrap_or_default(),
            minion.version.clone().unwrap_or_default(),
        ]
    };
    let rows: Vec<Vec<String>> = minions.iter().map(row).collect();
    table::table(&["ID", "PRESENCE", "ADDRESS", "VERSION"], &rows)
}

/// Presence in words.
pub(super) fn presence_text(presence: &Presence) -> String {
    match presence {
        Presence::Up => "up".to_owned(),
        Presence::Running => "up, running".to_owned(),
        Presence::Silent { since } => format!("silent since {}", seconds(&since.to_string())),
        Presence::Offline { since: Some(since) } => format!("offline since {}", seconds(&since.to_string())),
        Presence::Offline { since: None } => "offline".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use brine_protocol::time::Timestamp;

    use super::*;

    #[test]
    fn a_list() {
        let minion = |id: &str, presence, address: Option<&str>| Minion {
            id: id.parse().expect("an id"),
            presence,
            address: address.map(str::to_owned),
            version: None,
            grains: None,
        };
        let minions = [
            minion("web1", Presence::Up, Some("10.0.0.1:4242")),
            minion("db1", Presence::Offline { since: Some(Timestamp(0)) }, None),
        ];
        assert_eq!(
            list(&minions),
            "ID    PRESENCE                            ADDRESS        VERSION\n\
             web1  up                                  10.0.0.1:4242\n\
             db1   offline since 1970-01-01T00:00:00Z\n"
        );
    }
}
