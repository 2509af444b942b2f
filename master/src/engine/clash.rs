//! Two machines that use one id with one key, such as a copied disk: each session ends the other's, and
//! so they take turns. One machine alone does not: a journal that was lost does not come back.

use std::collections::BTreeMap;
use std::time::Duration;

use brine_pki::ledger::Log;
use brine_protocol::MinionId;
use serde_json::json;

use super::Engine;
use crate::roles::Principal;

/// A clash is over when nobody took a turn for so long.
const KEPT: Duration = Duration::from_secs(600);

/// While it lasts it is told of at most this often.
const PAUSE: Duration = Duration::from_secs(60);

/// So many ids are watched; of more the one that was quiet for longest is forgotten.
const WATCHED_MAX: usize = 256;

/// What a machine is known by when its key does not tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Party {
    pub(super) journal: String,
    pub(super) address: String,
}

#[derive(Debug)]
struct Turns {
    former: Party,
    current: Party,
    /// How often the former came back.
    returns: u32,
    at: Duration,
    told: Option<Duration>,
}

impl Turns {
    /// A copied disk may have the journal as well. Then only addresses differ, which change on a
    /// machine with two as well: once is not enough.
    fn is_clash(&self) -> bool {
        let enough = if self.former.journal == self.current.journal { 2 } else { 1 };
        self.returns >= enough
    }
}

/// Who takes turns.
#[derive(Debug, Default)]
pub(super) struct Clashes {
    of: BTreeMap<MinionId, Turns>,
}

impl Clashes {
    /// A session went live where `before` had the last one; `displaced` when that was still there.
    /// Whether it is to be told now that two machines clash.
    pub(super) fn arrive(
        &mut self,
        id: &MinionId,
        before: Party,
        came: Party,
        displaced: bool,
        now: Duration,
    ) -> bool {
        self.forget(now);
        if before == came {
            return false;
        }
        match self.of.get_mut(id) {
            Some(turns) if turns.former == came && turns.current == before => {
                std::mem::swap(&mut turns.former, &mut turns.current);
                turns.at = now;
                if displaced || before.journal != came.journal {
                    turns.returns = turns.returns.saturating_add(1);
                }
                let is_due = turns.told.is_none_or(|told| now.saturating_sub(told) >= PAUSE);
                let tells = turns.is_clash() && is_due;
                if tells {
                    turns.told = Some(now);
                }
                tells
            }
            _ => {
                if self.of.len() >= WATCHED_MAX && !self.of.contains_key(id) {
                    self.drop_quietest();
                }
                let turns = Turns { former: before, current: came, returns: 0, at: now, told: None };
                self.of.insert(id.clone(), turns);
                false
            }
        }
    }

    fn forget(&mut self, now: Duration) {
        self.of.retain(|_, turns| now.saturating_sub(turns.at) < KEPT);
    }

    fn drop_quietest(&mut self) {
        let quietest = self.of.iter().min_by_key(|(_, turns)| turns.at).map(|(id, _)| id.clone());
        if let Some(id) = quietest {
            self.of.remove(&id);
        }
    }

    /// The ids in a clash, with both addresses.
    fn now(&self, now: Duration) -> impl Iterator<Item = (&MinionId, [&str; 2])> {
        let is_on = move |turns: &Turns| turns.is_clash() && now.saturating_sub(turns.at) < KEPT;
        self.of
            .iter()
            .filter(move |(_, turns)| is_on(turns))
            .map(|(id, turns)| (id, [turns.former.address.as_str(), turns.current.address.as_str()]))
    }
}

impl<L: Log> Engine<L> {
    /// Notes whose turn it is. `displaced` when the session before was still there.
    pub(super) fn watch_turns(&mut self, id: &MinionId, before: Party, came: Party, displaced: bool) {
        let addresses = [before.address.clone(), came.address.clone()];
        if self.clashes.arrive(id, before, came, displaced, self.now.steady) {
            self.event(format!("brine/minion/{id}/clash"), json!({"addresses": addresses}));
        }
    }

    /// One sentence for each id in a clash that this caller may see.
    pub(super) fn clash_problems(&self, by: &Principal) -> Vec<String> {
        self.clashes
            .now(self.now.steady)
            .filter(|(id, _)| self.sees_minion(by, id))
            .map(|(id, [one, other])| {
                let from = if one == other { format!("both from {one}") } else { format!("from {one} and {other}") };
                format!(
                    "two machines use the id {id} with one key, {from}, and end each other's session: on one of \
                     them stop brine-minion, set another id, remove its pki/minion and state folders, start it, \
                     and accept its new key"
                )
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn party(journal: &str, address: &str) -> Party {
        Party { journal: journal.to_owned(), address: address.to_owned() }
    }

    fn id(text: &str) -> MinionId {
        text.parse().expect("an id")
    }

    #[test]
    fn a_copy_of_the_whole_disk_is_told_from_a_machine_with_two_addresses() {
        let (a, b) = (party("j", "10.0.0.1"), party("j", "10.0.0.2"));
        let turns = |displaced| {
            let mut clashes = Clashes::default();
            let mut tell = |before: &Party, came: &Party, at| {
                clashes.arrive(&id("m"), before.clone(), came.clone(), displaced, Duration::from_secs(at))
            };
            [tell(&a, &b, 1), tell(&b, &a, 2), tell(&a, &b, 3)]
        };
        assert_eq!(turns(true), [false, false, true]);
        assert_eq!(turns(false), [false; 3], "it ended its sessions itself");
    }

    #[test]
    fn few_are_remembered() {
        let mut clashes = Clashes::default();
        for n in 0..2 * WATCHED_MAX as u64 {
            let now = Duration::from_millis(n);
            clashes.arrive(&id(&format!("m{n}")), party("a", "x"), party("b", "x"), true, now);
        }
        assert_eq!(clashes.of.len(), WATCHED_MAX);
        assert!(clashes.of.contains_key(&id(&format!("m{}", 2 * WATCHED_MAX - 1))));
        assert!(!clashes.of.contains_key(&id("m0")));
    }
}
