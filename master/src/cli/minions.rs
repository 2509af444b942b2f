//! `brine minions`: who is accepted, and who is there.

use brine_client::{Client, Exit};
use brine_local::output::{Format, Style, render_value, table};
use brine_protocol::control::{Minion, MinionsQuery, Presence};
use serde_json::{Value, json};

use super::failure::Failure;
use super::jobs::seconds;
use super::options::nouns::MinionsVerb;
use super::{document, print};

pub(super) async fn run(client: &Client, verb: Option<MinionsVerb>, style: &Style) -> Result<Exit, Failure> {
    let up = match verb.unwrap_or(MinionsVerb::List) {
        MinionsVerb::List => None,
        MinionsVerb::Up => Some(true),
        MinionsVerb::Down => Some(false),
        MinionsVerb::Status => {
            let minions = client.minions().await?;
            let shown = match style.format {
                Format::Nested | Format::Txt => status_page(&minions),
                _ => render_value(&status(&minions), style),
            };
            print(&shown)?;
            return Ok(Exit::Ok);
        }
        MinionsVerb::Show { id } => {
            print(&render_value(&document(&client.minion(&id).await?), style))?;
            return Ok(Exit::Ok);
        }
    };
    let minions = client.minions_of(&MinionsQuery { up }).await?;
    match style.format {
        Format::Nested | Format::Txt => print(&list(&minions))?,
        _ => print(&render_value(&document(&minions), style))?,
    }
    Ok(Exit::Ok)
}

fn list(minions: &[Minion]) -> String {
    let row = |minion: &Minion| {
        let since = match &minion.presence {
            Presence::Silent { since } | Presence::Offline { since: Some(since) } => Some(*since),
            _ => minion.since,
        };
        vec![
            minion.id.to_string(),
            presence_word(&minion.presence).to_owned(),
            since.map(|since| seconds(&since.to_string())).unwrap_or_default(),
            minion.address.clone().unwrap_or_default(),
            minion.version.clone().unwrap_or_default(),
            minion.last_job.map(|jid| jid.to_string()).unwrap_or_default(),
        ]
    };
    let rows: Vec<Vec<String>> = minions.iter().map(row).collect();
    table::table(&["ID", "PRESENCE", "SINCE", "ADDRESS", "VERSION", "LAST JOB"], &rows)
}

fn is_up(minion: &Minion) -> bool {
    match minion.presence {
        Presence::Up | Presence::Running | Presence::Waiting => true,
        Presence::Silent { .. } | Presence::Offline { .. } => false,
    }
}

/// The two lists that Salt's `manage.status` gives.
fn status(minions: &[Minion]) -> Value {
    let (up, down): (Vec<&Minion>, Vec<&Minion>) = minions.iter().partition(|minion| is_up(minion));
    let ids = |minions: &[&Minion]| minions.iter().map(|minion| minion.id.to_string()).collect::<Vec<_>>();
    json!({"up": ids(&up), "down": ids(&down)})
}

/// The same for people, with the reason why somebody is down.
fn status_page(minions: &[Minion]) -> String {
    let (up, down): (Vec<&Minion>, Vec<&Minion>) = minions.iter().partition(|minion| is_up(minion));
    let mut page = format!("up: {}\n", up.len());
    for minion in up {
        page.push_str(&format!("    {}\n", minion.id));
    }
    page.push_str(&format!("down: {}\n", down.len()));
    for minion in down {
        let why = match &minion.presence {
            Presence::Offline { since: None } => "never connected since its key was accepted".to_owned(),
            presence => presence_text(presence),
        };
        page.push_str(&format!("    {}: {why}\n", minion.id));
    }
    page
}

fn presence_word(presence: &Presence) -> &'static str {
    match presence {
        Presence::Up | Presence::Running | Presence::Waiting => "up",
        Presence::Silent { .. } => "silent",
        Presence::Offline { .. } => "offline",
    }
}

/// Presence in words.
pub(super) fn presence_text(presence: &Presence) -> String {
    match presence {
        Presence::Up => "up".to_owned(),
        Presence::Running => "up, running".to_owned(),
        Presence::Waiting => "up, waiting for its turn".to_owned(),
        Presence::Silent { since } => format!("silent since {}", seconds(&since.to_string())),
        Presence::Offline { since: Some(since) } => format!("offline since {}", seconds(&since.to_string())),
        Presence::Offline { since: None } => "offline".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use brine_protocol::time::Timestamp;

    use super::*;

    fn fleet() -> Vec<Minion> {
        let minion = |id: &str, presence, address: Option<&str>| Minion {
            id: id.parse().expect("an id"),
            presence,
            address: address.map(str::to_owned),
            version: None,
            since: address.map(|_| Timestamp(1_000_000)),
            last_job: address.map(|_| "20261122060732123407".parse().expect("a jid")),
            grains: None,
        };
        vec![
            minion("db1", Presence::Offline { since: Some(Timestamp(0)) }, None),
            minion("new", Presence::Offline { since: None }, None),
            minion("web1", Presence::Up, Some("10.0.0.1:4242")),
            minion("web2", Presence::Silent { since: Timestamp(2_000_000) }, Some("10.0.0.2:4242")),
        ]
    }

    #[test]
    fn a_list() {
        assert_eq!(
            list(&fleet()),
            "ID    PRESENCE  SINCE                 ADDRESS        VERSION  LAST JOB\n\
             db1   offline   1970-01-01T00:00:00Z\n\
             new   offline\n\
             web1  up        1970-01-01T00:00:01Z  10.0.0.1:4242           20261122060732123407\n\
             web2  silent    1970-01-01T00:00:02Z  10.0.0.2:4242           20261122060732123407\n"
        );
    }

    #[test]
    fn up_and_down() {
        assert_eq!(status(&fleet()), json!({"up": ["web1"], "down": ["db1", "new", "web2"]}));
        assert_eq!(
            status_page(&fleet()),
            "up: 1\n    web1\ndown: 3\n    db1: offline since 1970-01-01T00:00:00Z\n    \
             new: never connected since its key was accepted\n    web2: silent since 1970-01-01T00:00:02Z\n"
        );
    }
}
