//! What of the keys is on the screen: tab, filter, order, cursor and selection.
//!
//! Cursor and selection are names of keys, never places: the list moves under them as keys come,
//! go and change.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use brine_protocol::control::KeyState;

use super::keys::{Keys, Name, Row};
use crate::text::width;

/// The tabs, in their order.
pub(crate) const TABS: [Tab; 6] = [
    Tab::Of(KeyState::Pending),
    Tab::Of(KeyState::Denied),
    Tab::Of(KeyState::Accepted),
    Tab::Of(KeyState::Rejected),
    Tab::Of(KeyState::Suspended),
    Tab::All,
];

/// Which keys a list shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tab {
    Of(KeyState),
    All,
}

impl Tab {
    pub(crate) fn place(self) -> usize {
        TABS.iter().position(|tab| *tab == self).expect("every tab is in the table")
    }

    fn has(self, state: KeyState) -> bool {
        match self {
            Tab::Of(wanted) => wanted == state,
            Tab::All => true,
        }
    }
}

/// What a list is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    Id,
    FirstSeen,
    LastSeen,
    Address,
}

impl Sort {
    pub(crate) fn next(self) -> Self {
        match self {
            Sort::Id => Sort::FirstSeen,
            Sort::FirstSeen => Sort::LastSeen,
            Sort::LastSeen => Sort::Address,
            Sort::Address => Sort::Id,
        }
    }

    /// How the list is sorted, for a person.
    pub(crate) fn words(self, is_reversed: bool) -> &'static str {
        match (self, is_reversed) {
            (Sort::Id, false) => "by id",
            (Sort::Id, true) => "by id, backwards",
            (Sort::FirstSeen, false) => "by first seen, newest first",
            (Sort::FirstSeen, true) => "by first seen, oldest first",
            (Sort::LastSeen, false) => "by last seen, newest first",
            (Sort::LastSeen, true) => "by last seen, oldest first",
            (Sort::Address, false) => "by address",
            (Sort::Address, true) => "by address, backwards",
        }
    }

    /// The natural order; equal keys keep the order of their ids.
    fn compare(self, a: &Row, b: &Row) -> Ordering {
        match self {
            Sort::Id => Ordering::Equal,
            Sort::FirstSeen => b.key.first_seen.cmp(&a.key.first_seen),
            Sort::LastSeen => (b.key.connected, b.key.last_seen).cmp(&(a.key.connected, a.key.last_seen)),
            // Those without an address are last.
            Sort::Address => (a.ip.is_none(), a.ip, &a.address).cmp(&(b.ip.is_none(), b.ip, &b.address)),
        }
    }
}

/// The widest text of each column whose width follows its content.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Widths {
    pub(crate) id: usize,
    pub(crate) address: usize,
    pub(crate) os: usize,
    pub(crate) host: usize,
    pub(crate) record: usize,
    pub(crate) mark: usize,
}

/// The list on the screen.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) tab: Tab,
    pub(crate) filter: String,
    pub(crate) sort: Sort,
    pub(crate) is_reversed: bool,
    /// Places in [`Keys::rows`], in the order shown.
    pub(crate) shown: Vec<usize>,
    /// The line that the cursor is on.
    pub(crate) at: usize,
    cursor: Option<Name>,
    /// The first line on the screen.
    pub(crate) top: usize,
    pub(crate) selected: BTreeSet<Name>,
    /// How many selected keys the tab and the filter hide.
    pub(crate) hidden: usize,
    /// How many keys each tab has.
    pub(crate) counts: [usize; TABS.len()],
    /// How many of them match the filter.
    pub(crate) matching: [usize; TABS.len()],
    pub(crate) widths: Widths,
}

impl List {
    pub(crate) fn new() -> Self {
        Self {
            tab: TABS[0],
            filter: String::new(),
            sort: Sort::Id,
            is_reversed: false,
            shown: Vec::new(),
            at: 0,
            cursor: None,
            top: 0,
            selected: BTreeSet::new(),
            hidden: 0,
            counts: [0; TABS.len()],
            matching: [0; TABS.len()],
            widths: Widths::default(),
        }
    }

    /// Works out anew what is shown. The cursor stays on its key; where that is gone, on its line.
    pub(crate) fn refresh(&mut self, keys: &Keys) {
        let words: Vec<String> = self.filter.to_lowercase().split_whitespace().map(str::to_owned).collect();
        self.counts = [0; TABS.len()];
        self.matching = [0; TABS.len()];
        self.widths = Widths::default();
        self.shown.clear();
        for (place, row) in keys.rows().iter().enumerate() {
            let is_match = row.matches(&words);
            for (at, tab) in TABS.iter().enumerate().filter(|(_, tab)| tab.has(row.key.state)) {
                self.counts[at] += 1;
                self.matching[at] += usize::from(is_match);
                if is_match && *tab == self.tab {
                    self.shown.push(place);
                    self.widths.id = self.widths.id.max(row.key.id.as_str().len());
                    self.widths.address = self.widths.address.max(width(&row.address));
                    self.widths.os = self.widths.os.max(width(&row.os));
                    self.widths.host = self.widths.host.max(width(&row.host));
                    self.widths.record = self.widths.record.max(width(&row.record));
                    self.widths.mark = self.widths.mark.max(row.mark().len());
                }
            }
        }
        let rows = keys.rows();
        if self.sort != Sort::Id {
            self.shown.sort_by(|a, b| self.sort.compare(&rows[*a], &rows[*b]));
        }
        if self.is_reversed {
            self.shown.reverse();
        }
        self.selected.retain(|name| keys.get(name).is_some());
        self.count_hidden(keys);
        let is_there = |name: &Name| {
            self.shown.iter().position(|place| {
                rows[*place].key.fingerprint == name.fingerprint && rows[*place].key.id == name.id
            })
        };
        let last = self.shown.len().saturating_sub(1);
        self.at = self.cursor.as_ref().and_then(is_there).unwrap_or(self.at.min(last));
        self.note(keys);
    }

    fn note(&mut self, keys: &Keys) {
        // With nothing shown the cursor keeps its key: it may come back with the next list.
        if let Some(row) = self.row(keys) {
            self.cursor = Some(row.name());
        }
    }

    /// The key under the cursor.
    pub(crate) fn row<'a>(&self, keys: &'a Keys) -> Option<&'a Row> {
        self.shown.get(self.at).map(|place| &keys.rows()[*place])
    }

    pub(crate) fn show_tab(&mut self, tab: Tab, keys: &Keys) {
        if self.tab != tab {
            self.tab = tab;
            (self.at, self.top) = (0, 0);
            self.refresh(keys);
        }
    }

    pub(crate) fn set_filter(&mut self, filter: String, keys: &Keys) {
        self.filter = filter;
        self.refresh(keys);
    }

    pub(crate) fn set_sort(&mut self, sort: Sort, is_reversed: bool, keys: &Keys) {
        (self.sort, self.is_reversed) = (sort, is_reversed);
        self.refresh(keys);
    }

    /// Moves the cursor by so many lines, within the list.
    pub(crate) fn move_by(&mut self, lines: isize, keys: &Keys) {
        self.move_to(self.at.saturating_add_signed(lines), keys);
    }

    pub(crate) fn move_to(&mut self, line: usize, keys: &Keys) {
        self.at = line.min(self.shown.len().saturating_sub(1));
        self.note(keys);
    }

    /// Brings the cursor's line onto a screen of this height.
    pub(crate) fn scroll(&mut self, height: usize) {
        let height = height.max(1);
        self.top = self.top.clamp((self.at + 1).saturating_sub(height), self.at);
        // No empty lines at the end while there are some above.
        self.top = self.top.min(self.shown.len().saturating_sub(height));
    }

    pub(crate) fn toggle(&mut self, keys: &Keys) {
        if let Some(row) = self.row(keys) {
            let name = row.name();
            if !self.selected.remove(&name) {
                self.selected.insert(name);
            }
            self.count_hidden(keys);
        }
    }

    /// Selects all that is shown; when all of it is selected already, none of it.
    pub(crate) fn toggle_all(&mut self, keys: &Keys) {
        let names: Vec<Name> = self.names(keys).collect();
        if names.iter().all(|name| self.selected.contains(name)) {
            for name in names {
                self.selected.remove(&name);
            }
        } else {
            self.selected.extend(names);
        }
        self.count_hidden(keys);
    }

    pub(crate) fn select_none(&mut self) {
        self.selected.clear();
        self.hidden = 0;
    }

    fn names<'a>(&'a self, keys: &'a Keys) -> impl Iterator<Item = Name> + 'a {
        self.shown.iter().map(|place| keys.rows()[*place].name())
    }

    /// The keys that an act is for: what is selected and shown, or else what the cursor is on.
    pub(crate) fn chosen(&self, keys: &Keys) -> Vec<Name> {
        if self.selected.is_empty() {
            return self.row(keys).map(Row::name).into_iter().collect();
        }
        self.names(keys).filter(|name| self.selected.contains(name)).collect()
    }

    fn count_hidden(&mut self, keys: &Keys) {
        self.hidden = if self.selected.is_empty() {
            0
        } else {
            self.selected.len() - self.names(keys).filter(|name| self.selected.contains(name)).count()
        };
    }
}
