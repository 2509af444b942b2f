//! Keys with all that is known of them: `--long`, candidates for one id, histories.

use brine_local::output::escape;
use brine_local::output::table::table;
use brine_protocol::Fingerprint;
use brine_protocol::control::{Decision, Key};
use brine_protocol::message::Knock;
use brine_protocol::time::Timestamp;
use serde_json::{Value, json};

use crate::select::in_lists;

/// Fingerprint pairs shown in a table: enough to tell keys apart at a glance, never to trust one.
const SHORT_PAIRS: usize = 6;

/// `-L --long` for people.
pub(crate) fn text(keys: &[&Key]) -> String {
    let rows: Vec<Vec<String>> = in_lists(keys)
        .into_iter()
        .map(|key| {
            vec![
                key.id.to_string(),
                state(key),
                short(key.fingerprint),
                key.address.clone().unwrap_or_else(|| "-".to_owned()),
                seen(key.first_seen),
                seen(key.last_seen),
                key.attempts.to_string(),
                if key.known_before { "another key" } else { "-" }.to_owned(),
                if key.connected { "yes" } else { "-" }.to_owned(),
                claims(&key.claims),
            ]
        })
        .collect();
    table(
        &[
            "ID",
            "STATE",
            "FINGERPRINT",
            "FROM",
            "FIRST SEEN",
            "LAST SEEN",
            "KNOCKS",
            "BEFORE",
            "CONNECTED",
            "SAYS IT IS",
        ],
        &rows,
    )
}

fn state(key: &Key) -> String {
    match &key.rule {
        Some(rule) => format!("{} by {rule}", key.state.name()),
        None => key.state.name().to_owned(),
    }
}

/// `-L --long` for programs: one object per (id, fingerprint).
pub(crate) fn objects(keys: &[&Key]) -> Value {
    in_lists(keys)
        .into_iter()
        .map(|key| {
            json!({
                "id": key.id,
                "state": key.state,
                "fingerprint": key.fingerprint,
                "address": key.address,
                "first_seen": key.first_seen,
                "last_seen": key.last_seen,
                "attempts": key.attempts,
                "claims": key.claims,
                "known_before": key.known_before,
                "connected": key.connected,
                "rule": key.rule,
            })
        })
        .collect()
}

/// Keys that claim one id, each with the flag that names it.
pub(crate) fn candidates(id: &str, act: &str, keys: &[&Key]) -> String {
    let mut text = format!(
        "{id} is claimed by {} keys and was left alone. Compare their fingerprints with the one that the \
         machine itself shows, then name it:",
        keys.len()
    );
    for key in keys {
        let mut facts = vec![state(key)];
        facts.extend(key.address.as_deref().map(|address| format!("from {}", escape(address))));
        facts.push(format!("first seen {}", seen(key.first_seen)));
        facts.push(format!("knocked {} times", key.attempts));
        let claims = claims(&key.claims);
        if !claims.is_empty() {
            facts.push(format!("says it is {}", escape(&claims)));
        }
        text.push_str(&format!("\n  {act} {id} --expect {}\n      {}", key.fingerprint, facts.join(", ")));
    }
    text
}

/// `history ID` for people.
pub(crate) fn history(decisions: &[Decision], now: &[&Key]) -> String {
    let mut text = String::new();
    for decision in decisions {
        text.push_str(&format!(
            "{}  {}  by {}\n    key     {}\n",
            seen(decision.at),
            escape(&decision.act),
            escape(&decision.by),
            decision.fingerprint
        ));
        if let Some(from) = decision.from {
            text.push_str(&format!("    before  {from}\n"));
        }
        if let Some(reason) = &decision.reason {
            text.push_str(&format!("    reason  {}\n", escape(reason)));
        }
    }
    for key in now {
        text.push_str(&format!("now {}\n    key     {}\n", state(key), key.fingerprint));
    }
    text
}

fn claims(claims: &Knock) -> String {
    let parts = [&claims.host, &claims.os].map(String::as_str);
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(", ")
}

/// To the second: what people compare with their own memory.
pub(crate) fn seen(at: Timestamp) -> String {
    let text = at.to_string();
    text.split_once('.').map_or(text.clone(), |(seconds, _)| format!("{seconds}Z"))
}

fn short(fingerprint: Fingerprint) -> String {
    let text = fingerprint.to_string();
    format!("{}…", &text[..SHORT_PAIRS * 3 - 1])
}

#[cfg(test)]
mod tests {
    use brine_protocol::control::KeyState;

    use super::*;
    use crate::select::tests::key;

    fn stranger() -> Key {
        let mut key = key("web1", KeyState::Pending, 0xab);
        key.address = Some("192.0.2.7".to_owned());
        key.first_seen = Timestamp(1_700_000_000_123_456);
        key.last_seen = Timestamp(1_700_000_060_000_000);
        key.attempts = 7;
        key.known_before = true;
        key.claims =
            Knock { host: "web1\u{1b}[2J".to_owned(), os: "Debian 12".to_owned(), ..Knock::default() };
        key
    }

    #[test]
    fn a_table_says_who_asks() {
        let mut ruled = key("bad", KeyState::Rejected, 2);
        ruled.rule = Some("autoreject_file".to_owned());
        let shown = text(&[&ruled, &stranger()]);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[0].starts_with("ID    STATE"), "{shown}");
        assert!(lines[1].starts_with("web1  pending"), "waiting keys come before rejected ones: {shown}");
        for part in [
            "ab:ab:ab:ab:ab:ab…",
            "192.0.2.7",
            "2023-11-14T22:13:20Z",
            "2023-11-14T22:14:20Z",
            "another key",
            "web1\\u{1b}[2J, Debian 12",
        ] {
            assert!(lines[1].contains(part), "{part} in {shown}");
        }
        assert!(lines[2].contains("rejected by autoreject_file"), "{shown}");
    }

    #[test]
    fn an_object_has_everything_but_the_key_itself() {
        let objects = objects(&[&stranger()]);
        assert_eq!(
            objects,
            json!([{
                "id": "web1",
                "state": "pending",
                "fingerprint": Fingerprint([0xab; 32]),
                "address": "192.0.2.7",
                "first_seen": "2023-11-14T22:13:20.123456Z",
                "last_seen": "2023-11-14T22:14:20.000000Z",
                "attempts": 7,
                "claims": {"host": "web1\u{1b}[2J", "os": "Debian 12", "version": ""},
                "known_before": true,
                "connected": false,
                "rule": null,
            }])
        );
    }

    #[test]
    fn candidates_can_be_told_apart_and_named() {
        let shown = candidates("web1", "--accept", &[&stranger(), &key("web1", KeyState::Denied, 1)]);
        for part in [
            "claimed by 2 keys",
            "\n  --accept web1 --expect ab:ab:",
            "pending, from 192.0.2.7, first seen 2023-11-14T22:13:20Z, knocked 7 times, says it is web1\\u{1b}[2J",
            "\n  --accept web1 --expect 01:01:",
            "\n      denied, first seen",
        ] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
    }

    #[test]
    fn a_history_names_who_when_why_and_which() {
        let decision = Decision {
            seq: 3,
            at: Timestamp(0),
            by: "unix:0 (root) as alice".to_owned(),
            act: "rotate".to_owned(),
            fingerprint: Fingerprint([2; 32]),
            from: Some(Fingerprint([1; 32])),
            reason: Some("ticket 7\u{9b}".to_owned()),
        };
        let shown = history(&[decision], &[&key("web1", KeyState::Accepted, 2)]);
        assert!(
            shown.starts_with("1970-01-01T00:00:00Z  rotate  by unix:0 (root) as alice\n    key     02:02:")
        );
        assert!(shown.contains("\n    before  01:01:"), "{shown}");
        assert!(shown.contains("\n    reason  ticket 7\\u{9b}\nnow accepted\n    key     02:02:"), "{shown}");
    }
}
