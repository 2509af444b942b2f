//! Keys as operators see them.

use base64ct::{Base64, Encoding};
use brine_protocol::MinionId;
use brine_protocol::control::{Key, KeyState, KeysQuery};

use super::Trust;
use crate::ledger::Log;
use crate::registry::{Decided, Verdict};
use crate::waiting::WaitingKey;

impl<L: Log> Trust<L> {
    /// Every key, by id: decided ones, then those that wait. Nobody is connected as far as trust
    /// knows; a master fills that in.
    #[must_use]
    pub fn list(&self) -> Vec<Key> {
        self.find(&KeysQuery::default())
    }

    /// The keys that a query asks for, in the order of [`Trust::list`].
    #[must_use]
    pub fn find(&self, query: &KeysQuery) -> Vec<Key> {
        let public_key = |der: &[u8]| if query.public_key { pem(der) } else { String::new() };
        let decided = |id: &MinionId, key: &Decided| self.decided_key(id, key, public_key(&key.key));
        let waiting = |key: &WaitingKey| self.waiting_key(key, public_key(&key.key));
        if let Some(id) = &query.id {
            let decided = self.registry.keys_of(id).map(|key| decided(id, key));
            return decided.chain(self.waiting.of(id).map(waiting)).collect();
        }
        let decided = self.registry.keys().map(|(id, key)| decided(id, key));
        let mut keys: Vec<_> = decided.chain(self.waiting.iter().map(waiting)).collect();
        // Stable, so that decided keys of an id stay before waiting ones.
        keys.sort_by(|a, b| a.id.cmp(&b.id));
        keys
    }

    fn decided_key(&self, id: &MinionId, key: &Decided, public_key: String) -> Key {
        let seen = self.sightings.get(&(id.clone(), key.fingerprint));
        let address = seen.and_then(|seen| seen.address).filter(|address| !address.is_unspecified());
        Key {
            id: id.clone(),
            state: key.state,
            fingerprint: key.fingerprint,
            public_key,
            generation: key.generation,
            first_seen: seen.map_or(key.since, |seen| seen.first_seen),
            last_seen: seen.map_or(key.since, |seen| seen.last_seen),
            address: address.map(|address| address.to_string()),
            attempts: seen.map_or(0, |seen| seen.attempts),
            claims: seen.map(|seen| seen.claims.clone()).unwrap_or_default(),
            known_before: self.registry.known_before(id, key.fingerprint),
            connected: false,
            rule: None,
            server: self.registry.servers().key_server(id, key.fingerprint, None),
        }
    }

    fn waiting_key(&self, key: &WaitingKey, public_key: String) -> Key {
        let standing = self.standing(&key.id, key.fingerprint);
        let line = self.ruled_out(&key.id).filter(|_| standing == Verdict::Rejected);
        Key {
            id: key.id.clone(),
            state: standing.state(),
            fingerprint: key.fingerprint,
            public_key,
            generation: 0,
            first_seen: key.first_seen,
            last_seen: key.last_seen,
            address: (!key.address.is_unspecified()).then(|| key.address.to_string()),
            attempts: key.attempts,
            claims: key.claims.clone(),
            known_before: self.registry.known_before(&key.id, key.fingerprint),
            connected: false,
            rule: line.map(|line| format!("autoreject_file: {line}")),
            server: self.registry.servers().key_server(
                &key.id,
                key.fingerprint,
                key.claims.server.as_deref(),
            ),
        }
    }

    /// How many keys are in a state.
    #[must_use]
    pub fn count(&self, state: KeyState) -> usize {
        let decided = self.registry.keys().filter(|(_, key)| key.state == state).count();
        let waits = |key: &&WaitingKey| self.standing(&key.id, key.fingerprint).state() == state;
        decided + self.waiting.iter().filter(waits).count()
    }
}

/// DER SubjectPublicKeyInfo as PEM (RFC 7468).
fn pem(der: &[u8]) -> String {
    let base64 = Base64::encode_string(der);
    let mut pem = "-----BEGIN PUBLIC KEY-----\n".to_owned();
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, next) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = next;
    }
    pem.push_str("-----END PUBLIC KEY-----\n");
    pem
}
