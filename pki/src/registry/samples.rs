//! Keys and entries for tests.

use std::net::IpAddr;

use brine_protocol::control::{Act, KeyName};
use brine_protocol::message::Knock;
use brine_protocol::server::ServerRecord;
use brine_protocol::time::Timestamp;
use brine_protocol::{Fingerprint, MinionId, ServerId};
use sha2::{Digest, Sha256};

use crate::ledger::{Deed, Draft, keeps_key};
use crate::waiting::Knocker;

/// Not a key, but opaque bytes are all that the registry sees of one.
pub(crate) fn der(name: &str) -> Vec<u8> {
    format!("the public key {name}").into_bytes()
}

pub(crate) fn fingerprint(name: &str) -> Fingerprint {
    Fingerprint(Sha256::digest(der(name)).into())
}

pub(crate) fn id(text: &str) -> MinionId {
    text.parse().unwrap()
}

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp(1_795_327_652_000_000 + second * 1_000_000)
}

pub(crate) fn name(of: &str, key: &str) -> KeyName {
    KeyName { id: id(of), fingerprint: fingerprint(key), state: None }
}

pub(crate) fn draft(act: Act, of: &str, key: &str) -> Draft {
    Draft {
        by: "unix:0 (root)".into(),
        reason: None,
        deed: Deed::Key {
            act,
            id: id(of),
            fingerprint: fingerprint(key),
            key: keeps_key(act).then(|| der(key)),
        },
    }
}

pub(crate) fn knocker(of: &str, key: &str, address: &str) -> Knocker {
    Knocker {
        id: id(of),
        fingerprint: fingerprint(key),
        key: der(key),
        address: address.parse::<IpAddr>().unwrap(),
        claims: Knock {
            host: of.to_owned(),
            os: "Debian 13".into(),
            version: "0.1.0".into(),
            ..Knock::default()
        },
    }
}

pub(crate) fn server(n: u8) -> ServerId {
    ServerId::from_random([n; 16])
}

pub(crate) fn record(name: &str) -> ServerRecord {
    ServerRecord {
        name: name.to_owned(),
        model: "scribe-2.9".to_owned(),
        zone: None,
        site: None,
        labels: std::collections::BTreeMap::new(),
        minion_id: None,
        external_id: None,
    }
}
