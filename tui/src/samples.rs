//! Keys and masters for tests.

use brine_protocol::control::{Decision, Health, Key, KeyServer, KeyState, Link, Server, Way, Whoami};
use brine_protocol::message::Knock;
use brine_protocol::permission::{Role, VERBS, allows};
use brine_protocol::server::{ServerId, ServerRecord};
use brine_protocol::time::Timestamp;
use brine_protocol::{Fingerprint, MinionId};
use ratatui::layout::Size;

use crate::app::keys::{Keys, Name, Row};
use crate::app::{App, Contact};

/// 2026-11-22 06:07:32 UTC.
pub(crate) const NOW: Timestamp = Timestamp(1_795_327_652_000_000);

pub(crate) fn seconds_ago(seconds: i64) -> Timestamp {
    NOW.plus_micros(-seconds * 1_000_000)
}

pub(crate) fn id(text: &str) -> MinionId {
    text.parse().expect("a minion id")
}

/// Another fingerprint for each number, that looks like one.
pub(crate) fn fingerprint(n: u8) -> Fingerprint {
    let mut state = u32::from(n).wrapping_mul(2_654_435_761).wrapping_add(99_991);
    Fingerprint(std::array::from_fn(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    }))
}

pub(crate) fn name(id_text: &str, n: u8) -> Name {
    Name { id: id(id_text), fingerprint: fingerprint(n) }
}

pub(crate) fn key(id_text: &str, n: u8, state: KeyState) -> Key {
    Key {
        id: id(id_text),
        state,
        fingerprint: fingerprint(n),
        public_key: String::new(),
        generation: u64::from(state == KeyState::Accepted),
        first_seen: seconds_ago(3600 + i64::from(n) * 60),
        last_seen: seconds_ago(i64::from(n) * 7),
        address: Some(format!("10.0.0.{n}")),
        attempts: u64::from(n),
        claims: Knock {
            host: format!("{id_text}.example"),
            os: "Debian 13".to_owned(),
            version: "0.1.0".to_owned(),
            ..Knock::default()
        },
        known_before: false,
        connected: state == KeyState::Accepted,
        rule: None,
        server: None,
    }
}

pub(crate) fn rows(keys: impl IntoIterator<Item = Key>) -> Vec<Row> {
    keys.into_iter().map(Row::new).collect()
}

pub(crate) fn keys(keys: impl IntoIterator<Item = Key>) -> Keys {
    let mut all = Keys::default();
    all.replace(rows(keys));
    all
}

pub(crate) fn whoami(role: Role) -> Whoami {
    let principal = match role {
        Role::Admin => "unix:0 (root)",
        Role::Operator => "unix:1000 (olga)",
        Role::Viewer => "unix:1001 (victor)",
    };
    let verbs = VERBS.into_iter().filter(|verb| allows(role, *verb)).collect();
    Whoami { principal: principal.to_owned(), role, verbs, zones: None, caution: Default::default() }
}

pub(crate) fn health() -> Health {
    Health {
        status: "ok".to_owned(),
        problems: Vec::new(),
        notices: Vec::new(),
        version: "0.1.0".to_owned(),
        fingerprint: fingerprint(200),
        publish_port: 4505,
        ret_port: 4506,
        master_address: None,
        since: seconds_ago(9000),
        sessions: 2,
        keys: serde_json::Map::new(),
        counters: serde_json::Map::new(),
    }
}

pub(crate) fn contact(role: Role, all: impl IntoIterator<Item = Key>) -> Contact {
    Contact { whoami: whoami(role), health: health(), rows: rows(all) }
}

/// A screen of an administrator.
pub(crate) fn app(all: impl IntoIterator<Item = Key>) -> App {
    App::new(contact(Role::Admin, all), "salt.example".to_owned(), Size::new(80, 24), NOW)
}

/// A small fleet with one of everything.
pub(crate) fn fleet() -> Vec<Key> {
    let mut known = key("db1", 3, KeyState::Pending);
    known.known_before = true;
    let mut stranger = key("web1", 9, KeyState::Denied);
    (stranger.known_before, stranger.connected) = (true, true);
    let mut ruled = key("test-7", 8, KeyState::Rejected);
    ruled.rule = Some("autoreject_file: test-*".to_owned());
    vec![
        key("web1", 1, KeyState::Accepted),
        stranger,
        key("web2", 2, KeyState::Accepted),
        known,
        key("new-machine", 4, KeyState::Pending),
        key("twin", 5, KeyState::Pending),
        key("twin", 6, KeyState::Pending),
        key("old", 7, KeyState::Suspended),
        ruled,
    ]
}

pub(crate) fn server_id(n: u8) -> ServerId {
    ServerId::from_random([n; 16])
}

/// A record that no minion has.
pub(crate) fn server(n: u8, name: &str) -> Server {
    let record = ServerRecord {
        name: name.to_owned(),
        model: "scribe-2.9".to_owned(),
        zone: Some("Dijon".to_owned()),
        site: None,
        labels: std::collections::BTreeMap::new(),
        minion_id: None,
        external_id: None,
    };
    Server {
        id: server_id(n),
        record,
        created: seconds_ago(100_000),
        created_by: "unix:0 (root)".to_owned(),
        link: None,
    }
}

/// The record with the minion that has this id and the key of this number.
pub(crate) fn linked(mut server: Server, id_text: &str, n: u8) -> Server {
    server.link = Some(Link {
        minion: id(id_text),
        fingerprint: fingerprint(n),
        since: seconds_ago(50_000),
        by: "unix:0 (root)".to_owned(),
        way: Way::Paired,
        preseed: None,
        connected: true,
    });
    server
}

/// What the master puts beside a key that belongs to a record, or could.
pub(crate) fn beside(server: &Server, linked: bool) -> KeyServer {
    let record = &server.record;
    KeyServer { id: server.id, name: record.name.clone(), zone: record.zone.clone(), linked }
}

/// A screen of an operator who is limited to these zones.
pub(crate) fn limited(zones: &[&str], all: impl IntoIterator<Item = Key>) -> App {
    let mut contact = contact(Role::Operator, all);
    contact.whoami.zones = Some(zones.iter().map(|zone| (*zone).to_owned()).collect());
    App::new(contact, "salt.example".to_owned(), Size::new(80, 24), NOW)
}

pub(crate) fn decision(seq: u64, act: &str, n: u8, reason: Option<&str>) -> Decision {
    Decision {
        seq,
        at: seconds_ago(100_000 - seq as i64 * 1000),
        by: "unix:0 (root)".to_owned(),
        act: act.to_owned(),
        fingerprint: fingerprint(n),
        from: None,
        reason: reason.map(str::to_owned),
    }
}
