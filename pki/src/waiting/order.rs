//! In which order waiting keys were last heard of, over all and per address.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use brine_protocol::{Fingerprint, MinionId};

/// Addresses that count as one: an IPv4 address, or an IPv6 /64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Group(u64, bool);

impl Group {
    pub(super) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Group(u64::from(v4.to_bits()), false),
            IpAddr::V6(v6) => Group((v6.to_bits() >> 64) as u64, true),
        }
    }
}

/// Ticks ascend: the smaller, the longer unheard. Every operation is O(log n).
#[derive(Debug, Default)]
pub(super) struct Order {
    next: u64,
    all: BTreeMap<u64, (MinionId, Fingerprint)>,
    groups: BTreeMap<Group, BTreeSet<u64>>,
    /// Groups by size, and of equal ones the one with the longest unheard key last.
    sizes: BTreeSet<(usize, Reverse<u64>, Group)>,
}

impl Order {
    pub(super) fn add(&mut self, group: Group, id: &MinionId, fingerprint: Fingerprint) -> u64 {
        let tick = self.next;
        self.next += 1;
        self.all.insert(tick, (id.clone(), fingerprint));
        self.change(group, |ticks| {
            ticks.insert(tick);
        });
        tick
    }

    pub(super) fn remove(&mut self, group: Group, tick: u64) {
        self.all.remove(&tick);
        self.change(group, |ticks| {
            ticks.remove(&tick);
        });
    }

    fn change(&mut self, group: Group, change: impl FnOnce(&mut BTreeSet<u64>)) {
        let rank = |ticks: &BTreeSet<u64>| ticks.first().map(|first| (ticks.len(), Reverse(*first), group));
        let ticks = self.groups.entry(group).or_default();
        if let Some(rank) = rank(ticks) {
            self.sizes.remove(&rank);
        }
        change(ticks);
        match rank(ticks) {
            Some(rank) => {
                self.sizes.insert(rank);
            }
            None => {
                self.groups.remove(&group);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The longest unheard key.
    pub(super) fn oldest(&self) -> Option<(MinionId, Fingerprint)> {
        self.all.first_key_value().map(|(_, name)| name.clone())
    }

    /// The longest unheard key of the group that has the most, with the newcomer's counted as if
    /// it were in.
    pub(super) fn crowding(&self, newcomer: Group) -> Option<(MinionId, Fingerprint)> {
        let (most, Reverse(tick), _) = *self.sizes.last()?;
        let own = self.groups.get(&newcomer).filter(|own| own.len() + 1 >= most);
        let tick = own.and_then(|own| own.first().copied()).unwrap_or(tick);
        self.all.get(&tick).cloned()
    }
}
