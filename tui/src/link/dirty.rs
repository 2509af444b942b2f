//! Which keys have to be fetched anew, and when: a pure decision over events and time.
//!
//! A few changed ids are fetched one by one, a little after the first of them so that what
//! belongs together comes together. Many are fetched as one whole list, and that no more than
//! once a second, however fast strangers knock.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use brine_protocol::MinionId;

/// How long the first change waits for others: nobody sees it, and a burst becomes one fetch.
const PAUSE: Duration = Duration::from_millis(80);

/// The most ids that are fetched one by one: about as dear as one list of a small fleet.
const IDS_MAX: usize = 10;

/// After so many ids that were fetched one by one comes a whole list: one by one, nobody notices a
/// key that the master has dropped without a word.
const SINGLES_MAX: usize = 100;

/// Whole lists are this far apart: one of 10,000 keys is 4 MB.
const WHOLE_PAUSE: Duration = Duration::from_secs(1);

/// What to fetch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fetch {
    Ids(BTreeSet<MinionId>),
    Whole,
}

/// What has changed since it was last fetched.
#[derive(Debug, Default)]
pub(super) struct Dirty {
    ids: BTreeSet<MinionId>,
    is_everything: bool,
    /// Ids fetched one by one since the last whole list.
    singles: usize,
    since: Option<Instant>,
    last_whole: Option<Instant>,
}

impl Dirty {
    /// Keys of this id changed.
    pub(super) fn id(&mut self, id: MinionId, now: Instant) {
        self.since.get_or_insert(now);
        if !self.is_everything {
            self.ids.insert(id);
            if self.ids.len() > IDS_MAX || self.singles + self.ids.len() > SINGLES_MAX {
                self.everything(now);
            }
        }
    }

    /// Anything may have changed.
    pub(super) fn everything(&mut self, now: Instant) {
        self.since.get_or_insert(now);
        self.ids.clear();
        self.is_everything = true;
    }

    /// When the next fetch is due.
    pub(super) fn due(&self) -> Option<Instant> {
        let soon = self.since? + PAUSE;
        let spaced = self.last_whole.filter(|_| self.is_everything).map(|last| last + WHOLE_PAUSE);
        Some(spaced.map_or(soon, |spaced| spaced.max(soon)))
    }

    /// What to fetch now, if anything is due. From here on it counts as fetched.
    pub(super) fn take(&mut self, now: Instant) -> Option<Fetch> {
        if self.due().is_none_or(|due| due > now) {
            return None;
        }
        self.since = None;
        let ids = std::mem::take(&mut self.ids);
        if std::mem::take(&mut self.is_everything) {
            self.last_whole = Some(now);
            self.singles = 0;
            return Some(Fetch::Whole);
        }
        self.singles += ids.len();
        Some(Fetch::Ids(ids))
    }

    /// A whole list came just now: nothing is left to fetch.
    pub(super) fn clean(&mut self, now: Instant) {
        *self = Self { last_whole: Some(now), ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> MinionId {
        format!("web{n}").parse().unwrap()
    }

    fn at(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[test]
    fn nothing_is_fetched_when_nothing_changed() {
        let mut dirty = Dirty::default();
        assert_eq!(dirty.due(), None);
        assert_eq!(dirty.take(Instant::now()), None);
    }

    #[test]
    fn a_few_changes_come_together_a_little_after_the_first() {
        let (mut dirty, start) = (Dirty::default(), Instant::now());
        for (millis, n) in [(0, 1), (30, 2), (60, 1)] {
            dirty.id(id(n), at(start, millis));
        }
        assert_eq!(dirty.due(), Some(start + PAUSE), "further changes do not put it off");
        assert_eq!(dirty.take(at(start, 79)), None);
        assert_eq!(dirty.take(at(start, 80)), Some(Fetch::Ids([id(1), id(2)].into())));
        assert_eq!(dirty.due(), None);
    }

    #[test]
    fn many_changes_are_one_list_and_lists_are_a_second_apart() {
        let (mut dirty, start) = (Dirty::default(), Instant::now());
        let mut lists = 0;
        // Five seconds of a flood, an id every millisecond.
        for millis in 0..5000 {
            let now = at(start, millis);
            dirty.id(id(millis as usize), now);
            match dirty.take(now) {
                Some(Fetch::Whole) => lists += 1,
                Some(Fetch::Ids(ids)) => panic!("{} ids in a flood", ids.len()),
                None => {}
            }
        }
        assert_eq!(lists, 5);
        assert!(dirty.ids.len() <= IDS_MAX, "it does not grow");
        assert!(dirty.due().is_some(), "the last changes are not forgotten");
    }

    #[test]
    fn a_slow_flood_is_a_list_now_and_then() {
        let (mut dirty, start) = (Dirty::default(), Instant::now());
        let (mut lists, mut singles) = (0, 0);
        // A new id every half second.
        for n in 0..1000 {
            let now = at(start, n as u64 * 500);
            dirty.id(id(n), now);
            match dirty.take(now + PAUSE) {
                Some(Fetch::Whole) => lists += 1,
                Some(Fetch::Ids(ids)) => singles += ids.len(),
                None => panic!("{n} waits"),
            }
        }
        assert_eq!((lists, singles), (9, 991));
    }

    #[test]
    fn ids_do_not_wait_for_the_next_list() {
        let (mut dirty, start) = (Dirty::default(), Instant::now());
        dirty.clean(start);
        dirty.id(id(1), at(start, 1));
        assert_eq!(dirty.due(), Some(at(start, 81)));
        dirty.everything(at(start, 10));
        assert_eq!(dirty.due(), Some(start + WHOLE_PAUSE), "a list does");
        dirty.clean(at(start, 20));
        assert_eq!(dirty.due(), None);
    }
}
