//! `brine events`: what happens, one line each, until Ctrl-C.

use std::time::{Duration, Instant};

use brine_client::{Client, ClientError, EventStream, Exit};
use brine_local::output::{Format, Style, escape, render_value};
use brine_protocol::control::Event;

use super::failure::Failure;
use super::run::Interrupt;
use super::{document, print};

/// How long a master that went away is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often it is tried again meanwhile.
const RETRY: Duration = Duration::from_millis(500);

pub(super) async fn run(client: &Client, tag: Option<&str>, style: &Style) -> Result<Exit, Failure> {
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
                print(&line(&event, style))?;
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
        Format::Nested | Format::Txt => {
            format!("{}\t{}\t{}\n", event.at, escape(&event.tag), escape(&event.data.to_string()))
        }
        Format::Json => {
            let one_line = Style { indent: style.indent.or(Some(-1)), ..*style };
            render_value(&document(event), &one_line)
        }
        Format::Yaml => "---\n".to_owned() + &render_value(&document(event), style),
        Format::Raw | Format::Quiet => render_value(&document(event), style),
    }
}

#[cfg(test)]
mod tests {
    use brine_protocol::time::Timestamp;
    use serde_json::json;

    use super::*;

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
