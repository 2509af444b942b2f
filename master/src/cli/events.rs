//! `brine events`: what happens, one line each, until Ctrl-C or as many as were asked for.

use std::time::{Duration, Instant};

use brine_client::{Client, ClientError, EventStream, Exit};
use brine_local::output::{Format, Style, escape, render_value};
use brine_protocol::control::Event;
use brine_protocol::glob;
use serde_json::Value;

use super::failure::Failure;
use super::options::nouns::EventFilters;
use super::run::Interrupt;
use super::{document, print};

/// How long a master that went away is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often it is tried again meanwhile.
const RETRY: Duration = Duration::from_millis(500);

pub(super) async fn run(client: &Client, filters: &EventFilters, style: &Style) -> Result<Exit, Failure> {
    // The master knows one glob; what it leaves out need not come here.
    let tag = match filters.tags.as_slice() {
        [one] => Some(one.as_str()),
        _ => None,
    };
    let mut left = filters.count;
    let mut interrupt = Interrupt::new()?;
    let mut last_id = None;
    let mut stream = client.events(tag, last_id).await?;
    loop {
        let event = tokio::select! {
            () = interrupt.next() => return Ok(Exit::Interrupted),
            event = stream.next() => event,
        };
        match event {
            Ok(None) => eprintln!("some events were missed"),
            Ok(Some(event)) => {
                last_id = Some(event.id);
                if !is_wanted(&event, filters) {
                    continue;
                }
                print(&line(&event, style))?;
                left = left.map(|left| left - 1);
                if left == Some(0) {
                    return Ok(Exit::Ok);
                }
            }
            Err(error @ ClientError::Unreachable { .. }) => {
                eprintln!("{error}; trying again for {} s", PATIENCE.as_secs());
                stream = tokio::select! {
                    () = interrupt.next() => return Ok(Exit::Interrupted),
                    again = take_up(client, tag, last_id) => again?,
                };
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn is_wanted(event: &Event, filters: &EventFilters) -> bool {
    let EventFilters { tags, minion, jid, count: _ } = filters;
    let by_tag = tags.is_empty() || tags.iter().any(|tag| glob::matches(tag, &event.tag));
    by_tag
        && minion.as_ref().is_none_or(|id| is_of_minion(event, id.as_str()))
        && jid.is_none_or(|jid| is_of_job(&event.tag, &jid.to_string()))
}

/// By its tag, or by the minion that an event of a server record names.
fn is_of_minion(event: &Event, id: &str) -> bool {
    let words: Vec<&str> = event.tag.split('/').collect();
    match words.as_slice() {
        ["brine", "key" | "minion", of, _] | ["brine", "job", _, "ret", of] => *of == id,
        _ => event.data.get("minion").and_then(Value::as_str) == Some(id),
    }
}

fn is_of_job(tag: &str, jid: &str) -> bool {
    tag.strip_prefix("brine/job/").and_then(|rest| rest.split('/').next()) == Some(jid)
}

async fn take_up(
    client: &Client,
    tag: Option<&str>,
    last_id: Option<u64>,
) -> Result<EventStream, ClientError> {
    let end = Instant::now() + PATIENCE;
    loop {
        tokio::time::sleep(RETRY).await;
        match client.events(tag, last_id).await {
            Err(ClientError::Unreachable { .. }) if Instant::now() < end => {}
            settled => return settled,
        }
    }
}

/// Salt's form for people (tag, tab, data), one JSON document per line for programs.
fn line(event: &Event, style: &Style) -> String {
    match style.format {
        Format::Nested | Format::Txt | Format::Table | Format::NoReturn => {
            format!("{}\t{}\t{}\n", event.at, escape(&event.tag), escape(&event.data.to_string()))
        }
        Format::Json => {
            let one_line = Style { indent: style.indent.or(Some(-1)), ..*style };
            render_value(&document(event), &one_line)
        }
        Format::Yaml => "---\n".to_owned() + &render_value(&document(event), style),
        Format::Raw | Format::Pprint | Format::ValuesOnly | Format::Quiet => {
            render_value(&document(event), style)
        }
    }
}

#[cfg(test)]
mod tests {
    use brine_protocol::time::Timestamp;
    use serde_json::json;

    use super::*;

    #[test]
    fn filters() {
        let event =
            |tag: &str, data| Event { id: 1, tag: tag.to_owned(), at: Timestamp(0), data, zone: None };
        let all = EventFilters::default();
        let tags = EventFilters { tags: vec!["brine/key/*".into(), "brine/job/*/new".into()], ..all.clone() };
        let minion = EventFilters { minion: Some("web1".parse().expect("an id")), ..all.clone() };
        let jid = EventFilters { jid: Some("20261122060732123407".parse().expect("a jid")), ..all.clone() };
        for (tag, data, expected) in [
            ("brine/key/web1/accepted", json!({}), [true, true, true, false]),
            ("brine/key/web10/accepted", json!({}), [true, true, false, false]),
            ("brine/minion/web1/start", json!({}), [true, false, true, false]),
            ("brine/job/20261122060732123407/new", json!({"minions": 3}), [true, true, false, true]),
            ("brine/job/20261122060732123407/ret/web1", json!({}), [true, false, true, true]),
            ("brine/job/20261122060732123408/ret/db1", json!({}), [true, false, false, false]),
            ("brine/server/6f1d/linked", json!({"minion": "web1"}), [true, false, true, false]),
            ("brine/server/6f1d/linked", json!({"minion": null}), [true, false, false, false]),
        ] {
            let event = event(tag, data);
            let wanted = [&all, &tags, &minion, &jid].map(|filters| is_wanted(&event, filters));
            assert_eq!(wanted, expected, "{tag}");
        }
    }

    #[test]
    fn lines() {
        let event = Event {
            id: 7,
            tag: "brine/key/m1/accepted".into(),
            at: Timestamp(0),
            data: json!({"by": "root\u{9b}"}),
            zone: None,
        };
        let shown = |format| line(&event, &Style { format, ..Style::default() });
        assert_eq!(
            shown(Format::Nested),
            "1970-01-01T00:00:00.000000Z\tbrine/key/m1/accepted\t{\"by\":\"root\\u{9b}\"}\n"
        );
        assert_eq!(
            shown(Format::Json),
            "{\"id\": 7, \"tag\": \"brine/key/m1/accepted\", \"at\": \"1970-01-01T00:00:00.000000Z\", \
             \"data\": {\"by\": \"root\\u009b\"}}\n"
        );
    }
}
