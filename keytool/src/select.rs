//! Which keys a command line means. Pure.

use std::collections::BTreeMap;

use brine_protocol::control::{Key, KeyState};
use brine_protocol::{Fingerprint, MinionId, glob};

use crate::failure::Failure;

/// Globs over ids, separated by commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    text: String,
    words: Vec<String>,
}

impl Pattern {
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let words: Vec<String> =
            text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect();
        if words.is_empty() {
            return Err(Failure::Usage(format!(
                "{text:?} names no key; give an id or a glob, such as 'web*'"
            )));
        }
        Ok(Self { text: text.to_owned(), words })
    }

    pub(crate) fn all() -> Self {
        Self { text: "*".to_owned(), words: vec!["*".to_owned()] }
    }

    /// As the operator wrote it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn matches(&self, id: &MinionId) -> bool {
        self.words.iter().any(|word| glob::matches(word, id.as_str()))
    }

    /// The words that are ids and no globs.
    fn ids(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(String::as_str).filter(|word| !word.contains(['*', '?', '[']))
    }

    /// Whether the id itself was written, not only a glob that matches it.
    fn names(&self, id: &MinionId) -> bool {
        self.words.iter().any(|word| word == id.as_str())
    }
}

/// Whom an act is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Whom {
    pub(crate) pattern: Pattern,
    /// `-A`, `-R`, `-D`.
    pub(crate) is_all: bool,
    pub(crate) states: Vec<KeyState>,
    pub(crate) expect: Option<Fingerprint>,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Selection<'a> {
    /// The keys to act on, by state in the order of salt-key's reports, then by id.
    pub(crate) chosen: Vec<&'a Key>,
    /// Ids that several matching keys claim: the operator has to say which one.
    pub(crate) ambiguous: BTreeMap<MinionId, Vec<&'a Key>>,
    /// Whether one of them was written out, so that leaving it alone is not what was asked for.
    pub(crate) is_named: bool,
    /// Ids that were written out and have no key of those that are meant.
    pub(crate) unmatched: Vec<&'a str>,
}

/// The order in which salt-key goes through the states.
pub(crate) const REPORT_ORDER: [KeyState; 5] =
    [KeyState::Pending, KeyState::Rejected, KeyState::Accepted, KeyState::Denied, KeyState::Suspended];

/// Keys as long lists have them: by state in the order of reports, so that those that wait come
/// first, then by id.
pub(crate) fn in_lists<'a>(keys: &[&'a Key]) -> Vec<&'a Key> {
    let mut sorted = keys.to_vec();
    let rank = |key: &Key| REPORT_ORDER.iter().position(|state| *state == key.state);
    sorted.sort_by(|a, b| {
        rank(a).cmp(&rank(b)).then_with(|| a.id.cmp(&b.id)).then_with(|| a.first_seen.cmp(&b.first_seen))
    });
    sorted
}

/// Chooses keys. `takes_any`: with "all", several keys of one id are no question (to reject or
/// delete every one is clear; to accept every one is not).
pub(crate) fn select<'a>(keys: &'a [Key], whom: &'a Whom, takes_any: bool) -> Selection<'a> {
    let mut by_id: BTreeMap<MinionId, Vec<&Key>> = BTreeMap::new();
    for key in keys {
        let is_meant = whom.pattern.matches(&key.id)
            && whom.states.contains(&key.state)
            && whom.expect.is_none_or(|fingerprint| key.fingerprint == fingerprint);
        if is_meant {
            by_id.entry(key.id.clone()).or_default().push(key);
        }
    }
    let is_unmatched = |id: &&str| !id.parse().is_ok_and(|id: MinionId| by_id.contains_key(&id));
    let mut selection =
        Selection { unmatched: whom.pattern.ids().filter(is_unmatched).collect(), ..Selection::default() };
    for (id, found) in by_id {
        if found.len() == 1 || (whom.is_all && takes_any) {
            selection.chosen.extend(found);
        } else {
            selection.is_named |= whom.pattern.names(&id);
            selection.ambiguous.insert(id, found);
        }
    }
    let rank = |key: &Key| REPORT_ORDER.iter().position(|state| *state == key.state);
    selection.chosen.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.id.cmp(&b.id)));
    selection
}

#[cfg(test)]
pub(crate) mod tests {
    use brine_protocol::message::Knock;
    use brine_protocol::time::Timestamp;

    use super::*;

    pub(crate) fn key(id: &str, state: KeyState, number: u8) -> Key {
        Key {
            id: id.parse().expect("an id"),
            state,
            fingerprint: Fingerprint([number; 32]),
            public_key: format!("-----BEGIN PUBLIC KEY-----\n{number}\n-----END PUBLIC KEY-----\n"),
            generation: 0,
            first_seen: Timestamp(0),
            last_seen: Timestamp(0),
            address: None,
            attempts: 1,
            claims: Knock::default(),
            known_before: false,
            connected: false,
            rule: None,
            server: None,
        }
    }

    fn check(pattern: &str, is_all: bool, takes_any: bool, expect: Option<u8>, expected: (&str, &str, bool)) {
        use KeyState::{Accepted, Denied, Pending};
        let keys = [
            key("web1", Pending, 1),
            key("web2", Pending, 2),
            key("web2", Pending, 3),
            key("acc", Accepted, 4),
            key("acc", Denied, 5),
            key("db1", Pending, 6),
        ];
        let whom = Whom {
            pattern: Pattern::parse(pattern).expect("a pattern"),
            is_all,
            states: vec![Pending, Accepted],
            expect: expect.map(|number| Fingerprint([number; 32])),
        };
        let selection = select(&keys, &whom, takes_any);
        let numbers: Vec<String> =
            selection.chosen.iter().map(|key| key.fingerprint.0[0].to_string()).collect();
        let ambiguous: Vec<&str> = selection.ambiguous.keys().map(MinionId::as_str).collect();
        assert_eq!(
            (numbers.join(" ").as_str(), ambiguous.join(" ").as_str(), selection.is_named),
            expected,
            "{pattern}"
        );
    }

    #[test]
    fn globs_lists_and_ids_with_several_keys() {
        check("web1", false, false, None, ("1", "", false));
        check("web*", false, false, None, ("1", "web2", false));
        check("db1,web2", false, false, None, ("6", "web2", true));
        check("web2", false, false, Some(3), ("3", "", false));
        check("web2", false, false, Some(9), ("", "", false));
        check("*", true, false, None, ("6 1 4", "web2", false));
        check("*", true, true, None, ("6 1 2 3 4", "", false));
        check("nosuch", false, false, None, ("", "", false));
    }

    #[test]
    fn ids_that_were_written_out_and_match_nothing_are_named() {
        use KeyState::{Accepted, Pending};
        let keys = [
            key("web1", Pending, 1),
            key("web2", Pending, 2),
            key("web2", Pending, 3),
            key("acc", Accepted, 4),
        ];
        for (pattern, expect, expected) in [
            ("web1,nosuch,x*,[y]", None, vec!["nosuch"]),
            ("web*,web2", None, vec![]),
            ("web1,acc", None, vec!["acc"]),
            ("web1,web2", Some(1), vec!["web2"]),
            ("../x,web1", None, vec!["../x"]),
        ] {
            let whom = Whom {
                pattern: Pattern::parse(pattern).expect("a pattern"),
                is_all: false,
                states: vec![Pending],
                expect: expect.map(|number| Fingerprint([number; 32])),
            };
            assert_eq!(select(&keys, &whom, false).unmatched, expected, "{pattern}");
        }
    }
}
