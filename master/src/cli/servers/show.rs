//! Server records for people. Pure.

use std::collections::BTreeSet;

use brine_local::output::escape;
use brine_local::output::table::table;
use brine_protocol::control::{Link, Server, ServerDecision, Way};
use brine_protocol::server::ServerRecord;
use brine_protocol::time::Timestamp;

/// A record in a sentence: its name, and the id that makes it the only one.
pub(in crate::cli) fn called(server: &Server) -> String {
    format!("the server record {} ({})", escape(&server.record.name), server.id)
}

pub(super) fn list(servers: &[Server]) -> String {
    let row = |server: &Server| {
        let minion = match (&server.link, &server.record.minion_id) {
            (Some(link), _) => link.minion.to_string(),
            (None, Some(id)) => format!("({id})"),
            (None, None) => "-".to_owned(),
        };
        vec![
            server.id.to_string(),
            server.record.name.clone(),
            server.record.model.clone(),
            server.record.zone.clone().unwrap_or_else(|| "-".to_owned()),
            minion,
            server.link.as_ref().map_or("-".to_owned(), standing),
        ]
    };
    let rows: Vec<Vec<String>> = servers.iter().map(row).collect();
    table(&["ID", "NAME", "MODEL", "ZONE", "MINION", "LINK"], &rows)
}

/// How it stands with a minion that is linked.
fn standing(link: &Link) -> String {
    match (link.connected, link.preseed) {
        (true, _) => "connected".to_owned(),
        (false, None) => "not connected".to_owned(),
        (false, Some(preseed)) if preseed.is_fetched => {
            format!("has to come until {}", second(preseed.until))
        }
        (false, Some(preseed)) => format!("bundle to fetch until {}", second(preseed.until)),
    }
}

fn way(way: Way) -> &'static str {
    match way {
        Way::Paired => "paired",
        Way::Preseeded => "preseeded",
        Way::Enrolled => "enrolled",
    }
}

/// One record with all that is known of it.
pub(super) fn page(server: &Server) -> String {
    let mut lines = vec![("id".to_owned(), server.id.to_string())];
    lines.extend(facts(&server.record));
    lines.push(("created".to_owned(), format!("{} by {}", second(server.created), server.created_by)));
    match &server.link {
        None => lines.push(("minion".to_owned(), "none".to_owned())),
        Some(link) => {
            lines.push(("minion".to_owned(), format!("{}, {}", link.minion, standing(link))));
            lines.push(("key".to_owned(), link.fingerprint.to_string()));
            lines.push((
                "linked".to_owned(),
                format!("{} by {}, {}", second(link.since), link.by, way(link.way)),
            ));
        }
    }
    columns("", &lines)
}

fn columns(margin: &str, lines: &[(String, String)]) -> String {
    let name = |name: &str| format!("{}:", escape(name));
    let width = lines.iter().map(|(of, _)| name(of).chars().count()).max().unwrap_or(0);
    lines.iter().map(|(of, value)| format!("{margin}{:<width$} {}\n", name(of), escape(value))).collect()
}

/// What a record says, by field, as far as it says something.
fn facts(record: &ServerRecord) -> Vec<(String, String)> {
    fields(record)
        .into_iter()
        .filter_map(|field| Some((title(&field), record.field(&field)?.to_owned())))
        .collect()
}

/// A field as people call it.
fn title(field: &str) -> String {
    match field.strip_prefix("label.") {
        Some(label) => format!("label {label}"),
        None => field.replace('_', " "),
    }
}

/// Every field that a record has, as targets name it.
fn fields(record: &ServerRecord) -> Vec<String> {
    let known = ["name", "model", "zone", "site", "minion_id", "external_id"].map(str::to_owned);
    known.into_iter().chain(record.labels.keys().map(|label| format!("label.{label}"))).collect()
}

/// Every decision, oldest first; of a change what it changed.
pub(super) fn history(decisions: &[ServerDecision]) -> String {
    let mut text = String::new();
    let mut before: Option<&ServerRecord> = None;
    for decision in decisions {
        text.push_str(&format!(
            "{}  {}  by {}\n",
            second(decision.at),
            escape(&decision.act),
            escape(&decision.by)
        ));
        let mut lines = Vec::new();
        if let Some(record) = &decision.record {
            lines.extend(before.map_or_else(|| facts(record), |before| changes(before, record)));
            before = Some(record);
        }
        lines.extend(decision.minion.as_ref().map(|id| ("minion".to_owned(), id.to_string())));
        lines.extend(decision.fingerprint.map(|fingerprint| ("key".to_owned(), fingerprint.to_string())));
        lines.extend(decision.reason.as_ref().map(|reason| ("reason".to_owned(), reason.clone())));
        text.push_str(&columns("    ", &lines));
    }
    text
}

fn changes(before: &ServerRecord, after: &ServerRecord) -> Vec<(String, String)> {
    let known = fields(before).into_iter().chain(fields(after));
    let mut seen = BTreeSet::new();
    let mut changes = Vec::new();
    for field in known.filter(|field| seen.insert(field.clone())) {
        let said = |record: &ServerRecord| record.field(&field).unwrap_or("(nothing)").to_owned();
        if before.field(&field) != after.field(&field) {
            changes.push((title(&field), format!("{} -> {}", said(before), said(after))));
        }
    }
    changes
}

/// To the second: what people compare with their own memory.
pub(in crate::cli) fn second(at: Timestamp) -> String {
    crate::cli::jobs::seconds(&at.to_string())
}

#[cfg(test)]
mod tests {
    use brine_protocol::Fingerprint;
    use brine_protocol::control::Preseed;

    use super::super::tests::{linked, server};
    use super::*;

    #[test]
    fn a_list_says_who_is_there() {
        let mut expecting = server(2, "Collège\u{1b}");
        expecting.record.minion_id = Some("eluard".parse().expect("an id"));
        expecting.record.zone = None;
        let mut preseeded = linked(server(3, "web3"), "web3", 3);
        let link = preseeded.link.as_mut().expect("a link");
        link.connected = false;
        link.preseed = Some(Preseed { until: Timestamp(0), is_fetched: false });
        let shown = list(&[linked(server(1, "web1"), "web1", 1), expecting, preseeded]);
        assert_eq!(
            shown,
            "ID                                    NAME           MODEL   ZONE   MINION    LINK\n\
             01010101-0101-4101-8101-010101010101  web1           scribe  Dijon  web1      connected\n\
             02020202-0202-4202-8202-020202020202  Collège\\u{1b}  scribe  -      (eluard)  -\n\
             03030303-0303-4303-8303-030303030303  web3           scribe  Dijon  web3      bundle to fetch until 1970-01-01T00:00:00Z\n"
        );
    }

    #[test]
    fn a_page_has_everything() {
        let mut server = linked(server(1, "web1"), "web1", 0xab);
        server.record.labels = [("role".to_owned(), "files\u{9b}".to_owned())].into();
        assert_eq!(
            page(&server),
            format!(
                "id:         01010101-0101-4101-8101-010101010101\n\
                 name:       web1\n\
                 model:      scribe\n\
                 zone:       Dijon\n\
                 label role: files\\u{{9b}}\n\
                 created:    1970-01-01T00:00:00Z by root\n\
                 minion:     web1, connected\n\
                 key:        {}\n\
                 linked:     1970-01-01T00:00:00Z by alice, paired\n",
                Fingerprint([0xab; 32])
            )
        );
    }

    #[test]
    fn a_history_tells_what_changed() {
        let decision = |act: &str, record: Option<ServerRecord>| ServerDecision {
            seq: 1,
            at: Timestamp(0),
            by: "root".to_owned(),
            act: act.to_owned(),
            minion: None,
            fingerprint: None,
            record,
            reason: None,
        };
        let first = server(1, "web1").record;
        let mut second = first.clone();
        second.zone = None;
        second.labels = [("role".to_owned(), "files".to_owned())].into();
        let mut pair = decision("pair", None);
        pair.minion = Some("web1".parse().expect("an id"));
        pair.fingerprint = Some(Fingerprint([7; 32]));
        pair.reason = Some("ticket\u{1b}".to_owned());
        let shown = history(&[decision("create", Some(first)), decision("update", Some(second)), pair]);
        assert_eq!(
            shown,
            format!(
                "1970-01-01T00:00:00Z  create  by root\n    name:  web1\n    model: scribe\n    zone:  Dijon\n\
                 1970-01-01T00:00:00Z  update  by root\n    zone:       Dijon -> (nothing)\n    \
                 label role: (nothing) -> files\n\
                 1970-01-01T00:00:00Z  pair  by root\n    minion: web1\n    key:    {}\n    \
                 reason: ticket\\u{{1b}}\n",
                Fingerprint([7; 32])
            )
        );
    }
}
