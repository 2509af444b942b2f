//! Lists of keys, public keys and fingerprints, in salt-key's shapes.

use brine_local::output::{Colour, Format, Style, escape, render, render_value};
use brine_protocol::Fingerprint;
use brine_protocol::control::{KEY_STATES, Key, KeyState};
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::long;
use crate::select::{Pattern, REPORT_ORDER};

/// `-L`, `-l STATE`.
pub(crate) fn list(keys: &[Key], states: &[KeyState], out: Option<Format>, style: &Style) -> String {
    let keys: Vec<&Key> = keys.iter().collect();
    match out {
        None => text_list(&keys, states, true, style.colours),
        Some(_) => render(&id_map(&keys, states), style, 0),
    }
}

/// `-L --long`, `-l STATE --long`.
pub(crate) fn long_list(keys: &[Key], states: &[KeyState], out: Option<Format>, style: &Style) -> String {
    let keys: Vec<&Key> = keys.iter().filter(|key| states.contains(&key.state)).collect();
    match out {
        None => long::text(&keys),
        Some(_) => render_value(&long::objects(&keys), style),
    }
}

/// `-p`, `-P`.
pub(crate) fn public_keys(
    keys: &[Key],
    pattern: &Pattern,
    out: Option<Format>,
    style: &Style,
) -> Result<String, Failure> {
    values(keys, pattern, None, |key| key.public_key.clone(), out, style)
}

/// `-f`, `-F`.
pub(crate) fn fingerprints(
    keys: &[Key],
    pattern: &Pattern,
    local: Option<Fingerprint>,
    out: Option<Format>,
    style: &Style,
) -> Result<String, Failure> {
    values(keys, pattern, local, |key| key.fingerprint.to_string(), out, style)
}

fn values(
    keys: &[Key],
    pattern: &Pattern,
    local: Option<Fingerprint>,
    value: impl Fn(&Key) -> String,
    out: Option<Format>,
    style: &Style,
) -> Result<String, Failure> {
    let found: Vec<&Key> = keys.iter().filter(|key| pattern.matches(&key.id)).collect();
    if found.is_empty() && local.is_none() && *pattern != Pattern::all() {
        return Err(Failure::Nothing(format!(
            "the key glob '{}' does not match any keys",
            escape(pattern.text())
        )));
    }
    Ok(match out {
        None => text_values(&found, local, value, style.colours),
        Some(_) => render(&value_map(&found, local, value), style, 0),
    })
}

fn colour(state: KeyState) -> Colour {
    match state {
        KeyState::Accepted => Colour::Green,
        KeyState::Denied => Colour::Magenta,
        KeyState::Pending => Colour::Red,
        KeyState::Rejected => Colour::Blue,
        KeyState::Suspended => Colour::Yellow,
    }
}

/// Keys in a state, sorted by id.
fn in_state<'a>(keys: &[&'a Key], state: KeyState) -> Vec<&'a Key> {
    let mut found: Vec<&Key> = keys.iter().copied().filter(|key| key.state == state).collect();
    found.sort_by(|a, b| a.id.cmp(&b.id));
    found
}

/// Headings with ids under them. Salt's four headings stand even over nothing when `with_empty`.
pub(crate) fn text_list(keys: &[&Key], states: &[KeyState], with_empty: bool, colours: bool) -> String {
    let mut text = String::new();
    for state in KEY_STATES.into_iter().filter(|state| states.contains(state)) {
        let found = in_state(keys, state);
        let is_asked_for = with_empty && (state != KeyState::Suspended || states.len() == 1);
        if found.is_empty() && !is_asked_for {
            continue;
        }
        let paint = |line: &str| colour(state).paint(line, colours) + "\n";
        text.push_str(&paint(state.heading()));
        for same in found.chunk_by(|a, b| a.id == b.id) {
            let id = same[0].id.as_str();
            text.push_str(&match same.len() {
                1 => paint(id),
                many => paint(&format!("{id}  ({many} keys; compare them: brine-key -f {id})")),
            });
        }
    }
    text
}

/// `{"minions_pre": [ids], …}`.
pub(crate) fn id_map(keys: &[&Key], states: &[KeyState]) -> Map<String, Value> {
    let mut map = Map::new();
    for state in REPORT_ORDER.into_iter().filter(|state| states.contains(state)) {
        let mut ids: Vec<&str> = in_state(keys, state).into_iter().map(|key| key.id.as_str()).collect();
        ids.dedup();
        map.insert(state.salt_name().to_owned(), json!(ids));
    }
    map
}

fn text_values(
    found: &[&Key],
    local: Option<Fingerprint>,
    value: impl Fn(&Key) -> String,
    colours: bool,
) -> String {
    let mut lines = Vec::new();
    if let Some(local) = local {
        lines.push(Colour::Yellow.paint("Local Keys:", colours));
        lines.push(Colour::Yellow.paint(&format!("master.pub:  {local}"), colours));
    }
    for state in KEY_STATES {
        let keys = in_state(found, state);
        if keys.is_empty() {
            continue;
        }
        lines.push(colour(state).paint(state.heading(), colours));
        for key in keys {
            lines.push(colour(state).paint(&format!("{}:  {}", key.id, value(key)), colours));
        }
    }
    let text = lines.join("\n");
    if text.is_empty() { text } else { text.trim_end().to_owned() + "\n" }
}

/// `{"minions": {id: value}}`; several keys of one id in one state make a list.
fn value_map(
    found: &[&Key],
    local: Option<Fingerprint>,
    value: impl Fn(&Key) -> String,
) -> Map<String, Value> {
    let mut map = Map::new();
    if let Some(local) = local {
        map.insert("local".to_owned(), json!({"master.pub": local}));
    }
    for state in REPORT_ORDER {
        let keys = in_state(found, state);
        if keys.is_empty() {
            continue;
        }
        let mut values = Map::new();
        for same in keys.chunk_by(|a, b| a.id == b.id) {
            let all: Vec<String> = same.iter().map(|key| value(key)).collect();
            let shown = if let [one] = all.as_slice() { json!(one) } else { json!(all) };
            values.insert(same[0].id.to_string(), shown);
        }
        map.insert(state.salt_name().to_owned(), Value::Object(values));
    }
    map
}

#[cfg(test)]
mod tests {
    use KeyState::{Accepted, Denied, Pending, Rejected, Suspended};

    use super::*;
    use crate::select::tests::key;

    fn keys() -> Vec<Key> {
        vec![
            key("acc2", Accepted, 2),
            key("acc1", Accepted, 1),
            key("pre1", Pending, 3),
            key("pre2", Pending, 4),
            key("rej1", Rejected, 5),
            key("den1", Denied, 6),
        ]
    }

    /// Cases 1, 4, 6 and 97 of the recorded runs of salt-key 3008.5.
    #[test]
    fn lists_are_salts() {
        let text = |keys: &[Key], states: &[KeyState]| {
            text_list(&keys.iter().collect::<Vec<_>>(), states, true, false)
        };
        assert_eq!(
            text(&keys(), &KEY_STATES),
            "Accepted Keys:\nacc1\nacc2\nDenied Keys:\nden1\nUnaccepted Keys:\npre1\npre2\nRejected Keys:\nrej1\n"
        );
        assert_eq!(text(&keys(), &[Accepted]), "Accepted Keys:\nacc1\nacc2\n");
        assert_eq!(text(&keys(), &[Pending]), "Unaccepted Keys:\npre1\npre2\n");
        assert_eq!(
            text(&[], &KEY_STATES),
            "Accepted Keys:\nDenied Keys:\nUnaccepted Keys:\nRejected Keys:\n"
        );
        assert_eq!(text(&[], &[Suspended]), "Suspended Keys:\n");
        assert!(
            text(&[key("s", Suspended, 9)], &KEY_STATES).ends_with("Rejected Keys:\nSuspended Keys:\ns\n")
        );
    }

    #[test]
    fn two_keys_of_one_id_show() {
        let keys = [key("web1", Pending, 1), key("web1", Pending, 2)];
        let found: Vec<&Key> = keys.iter().collect();
        assert_eq!(
            text_list(&found, &[Pending], true, false),
            "Unaccepted Keys:\nweb1  (2 keys; compare them: brine-key -f web1)\n"
        );
        assert_eq!(json!(id_map(&found, &[Pending])), json!({"minions_pre": ["web1"]}));
        let fingerprint = |key: &Key| key.fingerprint.0[0].to_string();
        assert_eq!(json!(value_map(&found, None, fingerprint)), json!({"minions_pre": {"web1": ["1", "2"]}}));
        assert_eq!(text_values(&found, None, fingerprint, false), "Unaccepted Keys:\nweb1:  1\nweb1:  2\n");
    }

    /// Cases 15, 16, 18 and 24, with one state more.
    #[test]
    fn documents_are_salts() {
        let show = |format, indent| {
            render(
                &id_map(&keys().iter().collect::<Vec<_>>(), &KEY_STATES),
                &Style { format, indent, ..Style::default() },
                0,
            )
        };
        assert_eq!(
            show(Format::Json, Some(-1)),
            "{\"minions_pre\": [\"pre1\", \"pre2\"], \"minions_rejected\": [\"rej1\"], \"minions\": [\"acc1\", \"acc2\"], \
             \"minions_denied\": [\"den1\"], \"minions_suspended\": []}\n"
        );
        assert_eq!(
            show(Format::Txt, None),
            "minions_pre: ['pre1', 'pre2']\nminions_rejected: ['rej1']\nminions: ['acc1', 'acc2']\nminions_denied: ['den1']\nminions_suspended: []\n"
        );
        assert_eq!(
            show(Format::Yaml, None),
            "minions:\n- acc1\n- acc2\nminions_denied:\n- den1\nminions_pre:\n- pre1\n- pre2\nminions_rejected:\n- rej1\nminions_suspended: []\n"
        );
        assert_eq!(
            show(Format::Nested, None),
            "minions:\n    - acc1\n    - acc2\nminions_denied:\n    - den1\nminions_pre:\n    - pre1\n    - pre2\n\
             minions_rejected:\n    - rej1\nminions_suspended:\n"
        );
    }

    /// Cases 81, 82 and 84.
    #[test]
    fn values_are_salts() {
        let keys = [key("dup", Accepted, 1), key("dup", Denied, 2)];
        let found: Vec<&Key> = keys.iter().collect();
        assert_eq!(
            text_values(&found, None, |key| format!("KEY{}\n", key.fingerprint.0[0]), false),
            "Accepted Keys:\ndup:  KEY1\n\nDenied Keys:\ndup:  KEY2\n"
        );
        let fingerprint = |key: &Key| key.fingerprint.0[0].to_string();
        let local = Some(Fingerprint([0xab; 32]));
        let text = text_values(&found[..1], local, fingerprint, false);
        assert!(text.starts_with("Local Keys:\nmaster.pub:  ab:ab:"), "{text}");
        assert!(text.ends_with("\nAccepted Keys:\ndup:  1\n"), "{text}");
    }

    #[test]
    fn headings_have_salts_colours() {
        assert_eq!(
            text_list(&[&key("m", Pending, 1)], &[Pending], true, true),
            "\u{1b}[0;31mUnaccepted Keys:\u{1b}[0;0m\n\u{1b}[0;31mm\u{1b}[0;0m\n"
        );
    }
}
