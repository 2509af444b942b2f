//! Keys that wait for a decision: bounded, and written to a file that is replaced as a whole.
//!
//! A knock is not a decision, so none of this is in the ledger, and losing it costs nothing but
//! another knock. Strangers fill it, so **every limit is enforced before a key is filed**, and the
//! limits are fair: who is pushed out is always the longest unheard key of the address that has
//! the most waiting (of all, or of the id that is full), so that a flood from one address pushes
//! out itself. IPv6 addresses count by their /64, which is what one customer gets.

mod order;
mod saved;

pub use saved::{Damage, LoadError};

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use brine_protocol::control::KeyName;
use brine_protocol::message::{CLAIM_MAX, CLAIMED_GRAINS_MAX, Knock};
use brine_protocol::time::Timestamp;
use brine_protocol::{Fingerprint, MinionId};
use serde::{Deserialize, Serialize};

use order::{Group, Order};

/// How many keys may wait, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WaitingLimits {
    /// Most keys, all together. A whole fleet may be waiting on its first day.
    pub pending_max: usize,
    /// Most keys of one id. More than a few mean that somebody squats the name.
    pub pending_per_id: usize,
    /// How long a key waits that is not heard of any more, in seconds.
    pub pending_age_s: u64,
}

impl Default for WaitingLimits {
    fn default() -> Self {
        Self { pending_max: 10_000, pending_per_id: 8, pending_age_s: 7 * 24 * 3600 }
    }
}

/// Somebody whose key is not decided about, and who proved to have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Knocker {
    /// The id it claims.
    pub id: MinionId,
    /// SHA-256 of its public key.
    pub fingerprint: Fingerprint,
    /// DER of its public key; the caller has checked its size and form.
    pub key: Vec<u8>,
    /// Where it comes from.
    pub address: IpAddr,
    /// What it says about itself.
    pub claims: Knock,
}

/// A key that waits for a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingKey {
    /// The id it claims.
    pub id: MinionId,
    /// SHA-256 of the key.
    pub fingerprint: Fingerprint,
    /// DER of the public key.
    pub key: Vec<u8>,
    /// When it knocked first.
    pub first_seen: Timestamp,
    /// When it was last heard of.
    pub last_seen: Timestamp,
    /// Where it last came from.
    pub address: IpAddr,
    /// How often it has knocked.
    pub attempts: u64,
    /// What it says about itself, cut to size.
    pub claims: Knock,
}

impl WaitingKey {
    /// A key that was brought here and has not knocked: it comes from no address.
    #[must_use]
    pub fn imported(id: MinionId, fingerprint: Fingerprint, key: Vec<u8>, now: Timestamp) -> Self {
        Self {
            id,
            fingerprint,
            key,
            first_seen: now,
            last_seen: now,
            address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            attempts: 0,
            claims: Knock::default(),
        }
    }

    /// The key, without the state in which it was seen.
    #[must_use]
    pub fn name(&self) -> KeyName {
        KeyName { id: self.id.clone(), fingerprint: self.fingerprint, state: None }
    }
}

/// A waiting key and its place in the order.
#[derive(Debug)]
struct Slot {
    key: WaitingKey,
    tick: u64,
}

/// The keys that wait.
#[derive(Debug)]
pub struct Waiting {
    limits: WaitingLimits,
    /// By id; each list is short.
    ids: BTreeMap<MinionId, Vec<Slot>>,
    order: Order,
    is_changed: bool,
}

impl Waiting {
    /// Nobody waits.
    #[must_use]
    pub fn new(limits: WaitingLimits) -> Self {
        Self { limits, ids: BTreeMap::new(), order: Order::default(), is_changed: false }
    }

    /// Files a key, or notes that it knocked again. Returns the keys that had to make room, or
    /// that had waited too long.
    pub fn knock(&mut self, knocker: Knocker, now: Timestamp) -> Vec<WaitingKey> {
        let mut gone = self.expire(now);
        let claims = cut(&knocker.claims);
        let (first_seen, attempts) = match self.remove(&knocker.id, knocker.fingerprint) {
            Some(known) => (known.first_seen, known.attempts.saturating_add(1)),
            None => {
                gone.extend(self.make_room(&knocker.id, knocker.address));
                (now, 1)
            }
        };
        self.file(WaitingKey {
            id: knocker.id,
            fingerprint: knocker.fingerprint,
            key: knocker.key,
            first_seen,
            last_seen: now,
            address: knocker.address,
            attempts,
            claims,
        });
        gone
    }

    /// Files a key that nobody pushes in by knocking. False if there is no room: nobody is pushed
    /// out for it.
    pub fn add(&mut self, key: WaitingKey) -> bool {
        let has_room = self.count(&key.id) < self.limits.pending_per_id.max(1)
            && self.len() < self.limits.pending_max.max(1);
        if has_room {
            self.file(key);
        }
        has_room
    }

    /// Notes that a key's session is alive, so that it counts as heard of. Not worth writing the
    /// file for: whoever is alive will be heard of again.
    pub fn heard(&mut self, id: &MinionId, fingerprint: Fingerprint, now: Timestamp) {
        let was_changed = self.is_changed;
        if let Some(mut key) = self.remove(id, fingerprint) {
            key.last_seen = now;
            self.file(key);
        }
        self.is_changed = was_changed;
    }

    /// Forgets the keys that were not heard of for too long.
    pub fn expire(&mut self, now: Timestamp) -> Vec<WaitingKey> {
        let age = i64::try_from(self.limits.pending_age_s).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        let horizon = now.0.saturating_sub(age);
        let mut gone = Vec::new();
        while let Some((id, fingerprint)) = self.order.oldest() {
            let is_old = self.get(&id, fingerprint).is_some_and(|key| key.last_seen.0 < horizon);
            if !is_old {
                break;
            }
            gone.extend(self.remove(&id, fingerprint));
        }
        gone
    }

    fn make_room(&mut self, id: &MinionId, newcomer: IpAddr) -> Option<WaitingKey> {
        let (id, fingerprint) = if self.count(id) >= self.limits.pending_per_id.max(1) {
            self.crowding(id)?
        } else if self.len() >= self.limits.pending_max.max(1) {
            self.order.crowding(Group::of(newcomer))?
        } else {
            return None;
        };
        self.remove(&id, fingerprint)
    }

    fn count(&self, id: &MinionId) -> usize {
        self.ids.get(id).map_or(0, Vec::len)
    }

    /// Of one id: the longest unheard key of the address with the most of them.
    fn crowding(&self, id: &MinionId) -> Option<(MinionId, Fingerprint)> {
        let slots = self.ids.get(id)?;
        let group = |slot: &Slot| Group::of(slot.key.address);
        let same = |slot: &Slot| slots.iter().filter(|other| group(other) == group(slot)).count();
        let slot = slots.iter().min_by_key(|slot| (std::cmp::Reverse(same(slot)), slot.tick))?;
        Some((id.clone(), slot.key.fingerprint))
    }

    fn file(&mut self, key: WaitingKey) {
        let tick = self.order.add(Group::of(key.address), &key.id, key.fingerprint);
        self.ids.entry(key.id.clone()).or_default().push(Slot { key, tick });
        self.is_changed = true;
    }

    /// Takes a key out.
    pub fn remove(&mut self, id: &MinionId, fingerprint: Fingerprint) -> Option<WaitingKey> {
        let slots = self.ids.get_mut(id)?;
        let at = slots.iter().position(|slot| slot.key.fingerprint == fingerprint)?;
        let Slot { key, tick } = slots.remove(at);
        if slots.is_empty() {
            self.ids.remove(id);
        }
        self.order.remove(Group::of(key.address), tick);
        self.is_changed = true;
        Some(key)
    }

    /// A key that waits.
    #[must_use]
    pub fn get(&self, id: &MinionId, fingerprint: Fingerprint) -> Option<&WaitingKey> {
        self.ids.get(id)?.iter().map(|slot| &slot.key).find(|key| key.fingerprint == fingerprint)
    }

    /// The keys of one id that wait, in the order in which they were last heard of.
    pub fn of(&self, id: &MinionId) -> impl Iterator<Item = &WaitingKey> {
        self.ids.get(id).into_iter().flatten().map(|slot| &slot.key)
    }

    /// All keys that wait, by id.
    pub fn iter(&self) -> impl Iterator<Item = &WaitingKey> {
        self.ids.values().flatten().map(|slot| &slot.key)
    }

    /// How many keys wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether no key waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether something changed since this was last asked.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.is_changed)
    }
}

/// The most that is kept of all claims of one key, in bytes. A minion has use for a third of it.
const CLAIMS_MAX: usize = 1024;

/// What is kept of claims: [`CLAIM_MAX`] bytes of each and [`CLAIMS_MAX`] of all, of whole
/// characters, with a question mark for each control character, which would take six times its
/// size in the file. A grain is kept whole or not at all, or it would say something else.
fn cut(claims: &Knock) -> Knock {
    let mut left = CLAIMS_MAX;
    let mut keep = |claim: &str| {
        let kept = readable(claim, CLAIM_MAX.min(left));
        left -= kept.len();
        kept
    };
    let (host, os, version) = (keep(&claims.host), keep(&claims.os), keep(&claims.version));
    let whole = |text: &str| Some(readable(text, CLAIM_MAX)).filter(|kept| kept == text);
    let grains = claims.grains.iter().take(CLAIMED_GRAINS_MAX).filter_map(|(name, value)| {
        let (name, value) = (whole(name)?, whole(value)?);
        left = left.checked_sub(name.len() + value.len())?;
        Some((name, value))
    });
    let grains = grains.collect();
    // Cut, it would name another record or none.
    let server = claims.server.as_deref().and_then(whole).filter(|server| server.len() <= left);
    Knock { host, os, version, grains, server, token: None }
}

fn readable(text: &str, max: usize) -> String {
    let end = (0..=max.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text[..end.unwrap_or(0)].chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests;
