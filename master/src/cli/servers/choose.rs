//! Which of a minion's keys is meant to be a server's, and what pairing it would cost. Pure.

use brine_local::output::escape;
use brine_protocol::Fingerprint;
use brine_protocol::control::{Key, KeyState, Server};

use super::called;
use super::show::second;

/// What was found.
#[derive(Debug, PartialEq)]
pub(super) enum Choice<'a> {
    /// This key.
    One(&'a Key),
    /// The record has this minion already, with this key.
    Already(&'a Key),
    /// Any of these: the operator has to say which.
    Several(Vec<&'a Key>),
}

/// Among the keys of one id: the one with this fingerprint, else the only one that can be meant.
/// Rejected keys are meant only when they are named; a key that is some record's already, never.
pub(super) fn choose<'a>(
    keys: &'a [Key],
    server: &Server,
    id: &str,
    expect: Option<Fingerprint>,
) -> Result<Choice<'a>, String> {
    if keys.is_empty() {
        return Err(format!("there is no key of {id}; its minion has not knocked yet, see: brine-key -L"));
    }
    let is_meant = |key: &&Key| match expect {
        Some(fingerprint) => key.fingerprint == fingerprint,
        None => matches!(key.state, KeyState::Pending | KeyState::Denied | KeyState::Accepted),
    };
    let meant: Vec<&Key> = keys.iter().filter(is_meant).collect();
    let (taken, free): (Vec<&Key>, Vec<&Key>) =
        meant.into_iter().partition(|key| key.server.as_ref().is_some_and(|record| record.linked));
    match (free.as_slice(), taken.as_slice()) {
        ([key], _) => Ok(Choice::One(key)),
        ([_, _, ..], _) => Ok(Choice::Several(free)),
        ([], [key, ..]) => match &key.server {
            Some(record) if record.id != server.id => Err(format!(
                "{id} is linked to another server record, {} ({}); undo that first: brine server unpair {}",
                escape(&record.name),
                record.id,
                record.id
            )),
            _ => Ok(Choice::Already(key)),
        },
        ([], []) => Err(match expect {
            Some(expected) => format!(
                "no key of {id} has the fingerprint {expected}; there is {}",
                keys.iter()
                    .map(|key| format!("{} ({})", key.fingerprint, key.state.name()))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
            None => format!(
                "the keys of {id} are {}; name one with --expect to pair it all the same: {}",
                states(keys),
                keys.iter().map(|key| key.fingerprint.to_string()).collect::<Vec<_>>().join(", ")
            ),
        }),
    }
}

fn states(keys: &[Key]) -> String {
    let mut names: Vec<&str> = keys.iter().map(|key| key.state.name()).collect();
    names.sort_unstable();
    names.dedup();
    names.join(" and ")
}

/// What pairing a key costs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Price {
    /// What gives way, one sentence each.
    pub(super) sentences: Vec<String>,
    /// The key that gives way: the record's, else the one that holds the id. A master that would
    /// have to take both takes none.
    pub(super) gives_up: Option<Fingerprint>,
}

/// What gives way to this key; or why it cannot be paired without `--replace`.
pub(super) fn price(keys: &[Key], key: &Key, server: &Server, replace: bool) -> Result<Price, String> {
    let mut price = Price::default();
    if let Some(link) = &server.link {
        if !replace {
            return Err(format!(
                "{} has a minion already, {}; --replace rejects the key of that one",
                called(server),
                link.minion
            ));
        }
        price.gives_up = Some(link.fingerprint);
        price
            .sentences
            .push(format!("The key {} of its minion {} will be rejected.", link.fingerprint, link.minion));
    }
    let holder = keys.iter().find(|other| {
        matches!(other.state, KeyState::Accepted | KeyState::Suspended)
            && other.fingerprint != key.fingerprint
    });
    if let Some(holder) = holder {
        if !replace {
            return Err(format!(
                "another key holds the id {}, {} ({}); compare both, --replace rejects that one",
                key.id,
                holder.fingerprint,
                holder.state.name()
            ));
        }
        price.gives_up = price.gives_up.or(Some(holder.fingerprint));
        let is_named = server.link.as_ref().is_some_and(|link| link.fingerprint == holder.fingerprint);
        if !is_named {
            price.sentences.push(format!(
                "The key {} that holds the id {} will be rejected.",
                holder.fingerprint, key.id
            ));
        }
    }
    Ok(price)
}

/// What an operator has to hear before a key is paired.
pub(super) fn cautions(key: &Key, server: &Server) -> Vec<String> {
    let mut cautions = Vec::new();
    if key.known_before {
        cautions.push(format!("{0} had another key before; see: brine-key history {0}", key.id));
    }
    if let Some(other) = key.server.as_ref().filter(|other| other.id != server.id) {
        cautions.push(format!(
            "Until now this looked like the minion of another server record, {} ({}).",
            escape(&other.name),
            other.id
        ));
    }
    if let Some(claim) = key.claims.server.as_deref() {
        let record = &server.record;
        let is_this = claim == server.id.to_string()
            || claim == record.name
            || Some(claim) == record.external_id.as_deref();
        if !is_this {
            cautions.push(format!("The machine says that it is the server {}.", escape(claim)));
        }
    }
    cautions
}

/// A key on two lines: what it says and where it comes from, and the fingerprint to compare.
pub(super) fn facts(key: &Key) -> String {
    let mut facts = vec![key.state.name().to_owned()];
    facts.extend(key.address.as_deref().map(|address| format!("from {}", escape(address))));
    facts.push(format!("first seen {}", second(key.first_seen)));
    let claims = [&key.claims.host, &key.claims.os].map(String::as_str);
    let claims: Vec<&str> = claims.into_iter().filter(|claim| !claim.is_empty()).collect();
    if !claims.is_empty() {
        facts.push(format!("says it is {}", escape(&claims.join(", "))));
    }
    format!("  {}  {}\n      {}", key.id, facts.join(", "), key.fingerprint)
}

#[cfg(test)]
pub(super) mod tests {
    use brine_protocol::control::KeyServer;
    use brine_protocol::message::Knock;
    use brine_protocol::time::Timestamp;

    use super::super::tests::{linked, server};
    use super::*;

    pub(in super::super) fn key(state: KeyState, number: u8) -> Key {
        Key {
            id: "m1".parse().expect("an id"),
            state,
            fingerprint: Fingerprint([number; 32]),
            public_key: String::new(),
            generation: 0,
            first_seen: Timestamp(0),
            last_seen: Timestamp(0),
            address: Some("192.0.2.7".to_owned()),
            attempts: 1,
            claims: Knock { host: "m1\u{1b}".to_owned(), os: "Debian 13".to_owned(), ..Knock::default() },
            known_before: false,
            connected: false,
            rule: None,
            server: None,
        }
    }

    fn of(mut key: Key, number: u8, linked: bool) -> Key {
        key.server =
            Some(KeyServer { id: server(number, "").id, name: format!("s{number}"), zone: None, linked });
        key
    }

    #[test]
    fn which_key() {
        use KeyState::{Accepted, Denied, Pending, Rejected, Suspended};
        let this = server(1, "web1");
        let picked = |keys: &[Key], expect: Option<u8>| match choose(
            keys,
            &this,
            "m1",
            expect.map(|number| Fingerprint([number; 32])),
        ) {
            Ok(Choice::One(key)) => format!("one {:?}", key.state),
            Ok(Choice::Already(_)) => "already".to_owned(),
            Ok(Choice::Several(keys)) => format!("{} keys", keys.len()),
            Err(why) => why,
        };
        for (keys, expect, expected) in [
            (vec![key(Pending, 1)], None, "one Pending"),
            (vec![key(Accepted, 1)], None, "one Accepted"),
            (vec![key(Pending, 1), key(Rejected, 2)], None, "one Pending"),
            (vec![key(Pending, 1), key(Pending, 2)], None, "2 keys"),
            (vec![key(Pending, 1), key(Pending, 2)], Some(2), "one Pending"),
            (vec![key(Accepted, 1), key(Denied, 2)], None, "2 keys"),
            // The machine of this record was installed anew: the key that it has is not meant.
            (vec![of(key(Accepted, 1), 1, true), key(Denied, 2)], None, "one Denied"),
            (vec![of(key(Accepted, 1), 1, true)], None, "already"),
            (vec![of(key(Suspended, 1), 1, true)], Some(1), "already"),
            (vec![of(key(Pending, 1), 2, false)], None, "one Pending"),
            (vec![key(Rejected, 2)], Some(2), "one Rejected"),
            (vec![], None, "there is no key of m1; its minion has not knocked yet, see: brine-key -L"),
            (
                vec![of(key(Accepted, 1), 2, true)],
                None,
                "m1 is linked to another server record, s2 (02020202-0202-4202-8202-020202020202); undo that \
                 first: brine server unpair 02020202-0202-4202-8202-020202020202",
            ),
        ] {
            assert_eq!(picked(&keys, expect), expected);
        }
        let why = picked(&[key(Pending, 1)], Some(9));
        assert!(why.contains("no key of m1 has the fingerprint 09:09") && why.contains("(pending)"), "{why}");
        let why = picked(&[key(Rejected, 1)], None);
        assert!(why.starts_with("the keys of m1 are rejected; name one with --expect"), "{why}");
    }

    #[test]
    fn what_gives_way_is_said() {
        let (new, old) = (key(KeyState::Denied, 2), key(KeyState::Accepted, 1));
        let keys = [new.clone(), old];
        let free = server(1, "web1");
        assert_eq!(price(&keys[..1], &new, &free, true), Ok(Price::default()), "nothing gives way");
        let cost = |server: &Server| {
            price(&keys, &new, server, true).map(|price| (price.sentences.len(), price.gives_up))
        };
        let why = price(&keys, &new, &free, false).expect_err("it is held");
        assert!(why.starts_with("another key holds the id m1, 01:01"), "{why}");
        assert_eq!(cost(&free), Ok((1, Some(Fingerprint([1; 32])))));
        let reinstalled = linked(server(1, "web1"), "m1", 1);
        let why = price(&keys, &new, &reinstalled, false).expect_err("it has a minion");
        assert!(why.contains("has a minion already, m1"), "{why}");
        assert_eq!(cost(&reinstalled), Ok((1, Some(Fingerprint([1; 32])))), "one key, said once");
        let moved = linked(server(1, "web1"), "m0", 9);
        assert_eq!(cost(&moved), Ok((2, Some(Fingerprint([9; 32])))), "the record's");
    }

    #[test]
    fn what_looks_wrong_is_said() {
        let this = server(1, "web1");
        let mut odd = of(key(KeyState::Pending, 1), 2, false);
        odd.known_before = true;
        odd.claims.server = Some("web2\u{9b}".to_owned());
        let said = cautions(&odd, &this);
        assert_eq!(said.len(), 3);
        assert!(said[1].contains("s2") && said[2].ends_with("the server web2\\u{9b}."), "{said:?}");
        odd = key(KeyState::Pending, 1);
        odd.claims.server = Some(this.id.to_string());
        assert!(cautions(&odd, &this).is_empty());
        assert_eq!(
            facts(&odd),
            format!(
                "  m1  pending, from 192.0.2.7, first seen 1970-01-01T00:00:00Z, says it is m1\\u{{1b}}, \
                 Debian 13\n      {}",
                Fingerprint([1; 32])
            )
        );
    }
}
