//! `brine-key watch`: what happens to keys, one line each, until Ctrl-C.

use std::time::{Duration, Instant};

use brine_client::{Client, ClientError, EventStream, Exit};
use brine_local::output::screen::Screen;
use brine_local::output::{Format, Style, escape, render_value};
use brine_protocol::control::Event;
use brine_protocol::time::Timestamp;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::Failure;
use crate::long::seen;
use crate::options::Common;

/// Tags about minions' keys and about the master's own. A tag of a minion's own making can match
/// as well, so what comes is looked at again.
const TAGS: &str = "brine/*key/*";

/// How long a master that went away is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is tried again meanwhile.
const RETRY: Duration = Duration::from_millis(250);

pub(crate) async fn run(
    client: &Client,
    with_seen: bool,
    common: &Common,
    screen: &mut Screen,
) -> Result<Exit, Failure> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut last_id = None;
    let mut stream = client.events(Some(TAGS), last_id).await?;
    eprintln!("brine-key: watching; Ctrl-C ends it");
    loop {
        let event = tokio::select! {
            _ = interrupt.recv() => return Ok(Exit::Interrupted),
            event = stream.next() => event,
        };
        match event {
            Ok(None) => screen.print(&gap(common.out, &common.style()))?,
            Ok(Some(event)) => {
                last_id = Some(event.id);
                if is_shown(&event, with_seen) {
                    screen.print(&line(&event, common.out, &common.style()))?;
                }
            }
            Err(error @ ClientError::Unreachable { .. }) => {
                eprintln!("brine-key: {error}; trying again for {} s", PATIENCE.as_secs());
                stream = tokio::select! {
                    _ = interrupt.recv() => return Ok(Exit::Interrupted),
                    again = take_up(client, last_id) => again?,
                };
                eprintln!("brine-key: watching again");
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn take_up(client: &Client, last_id: Option<u64>) -> Result<EventStream, ClientError> {
    let end = Instant::now() + PATIENCE;
    loop {
        tokio::time::sleep(RETRY).await;
        match client.events(Some(TAGS), last_id).await {
            Err(ClientError::Unreachable { .. }) if Instant::now() < end => {}
            settled => return settled,
        }
    }
}

/// What a tag is about, and what happened to it: `web1`, `accepted`.
fn subject(tag: &str) -> Option<(&str, &str)> {
    let rest = tag.strip_prefix("brine/")?;
    match rest.strip_prefix("key/") {
        Some(key) => key.split_once('/'),
        None => rest.strip_prefix("master/key/").map(|what| ("master", what)),
    }
}

fn is_shown(event: &Event, with_seen: bool) -> bool {
    subject(&event.tag).is_some_and(|(_, what)| with_seen || what != "seen")
}

/// `2026-11-22T06:07:32Z  web1  accepted  aa:bb:…  by unix:0 (root)  was pending`.
fn line(event: &Event, out: Option<Format>, style: &Style) -> String {
    let document = json!(event);
    if !matches!(out, None | Some(Format::Nested | Format::Txt)) {
        return one(&document, out, style);
    }
    let (id, what) = subject(&event.tag).unwrap_or((&event.tag, ""));
    let mut line = format!("{}  {}  {}", seen(event.at), escape(id), escape(what));
    for (name, word) in [
        ("fingerprint", ""),
        ("from", "from "),
        ("to", "to "),
        ("until", "until "),
        ("address", "from "),
        ("by", "by "),
        ("was", "was "),
        ("reason", "because: "),
    ] {
        if let Some(text) = event.data.get(name).and_then(Value::as_str) {
            line.push_str(&format!("  {word}{}", escape(text)));
        }
    }
    if let Some(missing) = event.data.get("missing").and_then(Value::as_array).filter(|all| !all.is_empty()) {
        line.push_str(&format!("  {} minions have not learned it", missing.len()));
    }
    line + "\n"
}

/// Where events were missed: what was shown before may no longer be true.
fn gap(out: Option<Format>, style: &Style) -> String {
    if matches!(out, None | Some(Format::Nested | Format::Txt)) {
        return format!("{}  gap  some events were missed; look with: brine-key -L\n", now());
    }
    one(&json!({"gap": true}), out, style)
}

fn now() -> String {
    let Timestamp(micros) = brine_local::clock::wall();
    seen(Timestamp(micros))
}

/// One document per line of a stream.
fn one(document: &Value, out: Option<Format>, style: &Style) -> String {
    match out {
        Some(Format::Json) => render_value(document, &Style { indent: style.indent.or(Some(-1)), ..*style }),
        Some(Format::Yaml) => "---\n".to_owned() + &render_value(document, style),
        _ => render_value(document, style),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(tag: &str, data: Value) -> Event {
        Event { id: 7, tag: tag.to_owned(), at: Timestamp(0), data, zone: None }
    }

    #[test]
    fn which_events_are_about_keys() {
        for (tag, expected) in [
            ("brine/key/web1/accepted", Some(("web1", "accepted"))),
            ("brine/key/web1.example/seen", Some(("web1.example", "seen"))),
            ("brine/master/key/announced", Some(("master", "announced"))),
            ("brine/minion/web1/key/accepted", None),
            ("brine/job/1/key/x", None),
            ("other/key/x/y", None),
        ] {
            assert_eq!(subject(tag), expected, "{tag}");
        }
        assert!(!is_shown(&event("brine/key/web1/seen", json!({})), false));
        assert!(is_shown(&event("brine/key/web1/seen", json!({})), true));
        assert!(is_shown(&event("brine/key/web1/pending", json!({})), false));
    }

    #[test]
    fn a_line_says_what_happened_to_whom_and_by_whom() {
        let accepted = event(
            "brine/key/web1/accepted",
            json!({"fingerprint": "aa:bb", "by": "unix:0 (root)\u{1b}", "was": "pending"}),
        );
        assert_eq!(
            line(&accepted, None, &Style::default()),
            "1970-01-01T00:00:00Z  web1  accepted  aa:bb  by unix:0 (root)\\u{1b}  was pending\n"
        );
        let json = Style { format: Format::Json, ..Style::default() };
        let shown = line(&accepted, Some(Format::Json), &json);
        assert_eq!(shown.lines().count(), 1, "{shown}");
        assert_eq!(serde_json::from_str::<Value>(&shown).unwrap()["tag"], "brine/key/web1/accepted");
        let announced = event("brine/master/key/announced", json!({"to": "cc", "missing": ["a", "b"]}));
        assert_eq!(
            line(&announced, None, &Style::default()),
            "1970-01-01T00:00:00Z  master  announced  to cc  2 minions have not learned it\n"
        );
        assert!(gap(None, &Style::default()).contains("  gap  "));
        assert_eq!(gap(Some(Format::Json), &json), "{\"gap\": true}\n");
    }
}
