//! Which columns the list has on a screen of a given width, and how wide they are. What matters
//! most for a decision comes first; the rest comes as there is room.

use crate::app::list::{List, Sort, Tab};
use crate::text::{GROUPS, groups_width};
use crate::view::layout::GUTTER;

/// A column of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    Id,
    Mark,
    State,
    Fingerprint,
    Record,
    Address,
    First,
    Last,
    Tries,
    Os,
    Host,
}

impl Column {
    pub(crate) fn heading(self) -> &'static str {
        match self {
            Column::Id => "Id",
            Column::Mark => "Note",
            Column::State => "State",
            Column::Fingerprint => "Fingerprint",
            Column::Record => "Record",
            Column::Address => "Address",
            Column::First => "First",
            Column::Last => "Last",
            Column::Tries => "Tries",
            Column::Os => "Claims OS",
            Column::Host => "Claims host",
        }
    }

    /// What a click on its heading sorts by.
    pub(crate) fn sort(self) -> Option<Sort> {
        match self {
            Column::Id => Some(Sort::Id),
            Column::Address => Some(Sort::Address),
            Column::First => Some(Sort::FirstSeen),
            Column::Last => Some(Sort::LastSeen),
            Column::Mark
            | Column::State
            | Column::Fingerprint
            | Column::Record
            | Column::Tries
            | Column::Os
            | Column::Host => None,
        }
    }
}

/// In the order in which they are drawn.
const ORDER: [Column; 11] = [
    Column::Id,
    Column::Mark,
    Column::State,
    Column::Fingerprint,
    Column::Record,
    Column::Address,
    Column::Os,
    Column::Host,
    Column::Tries,
    Column::First,
    Column::Last,
];

/// Room for a heading and the arrow of the order beside it.
const FIRST: u16 = 6;
const LAST: u16 = 5;
const TRIES: u16 = 5;
const STATE: u16 = 9;

/// Columns between two columns.
pub(crate) fn gap(width: u16) -> u16 {
    if width < 80 { 1 } else { 2 }
}

/// The columns of a list on so many columns of screen, with their widths.
pub(crate) fn columns(list: &List, width: u16) -> Vec<(Column, u16)> {
    let gap = gap(width);
    let want = |content: usize, heading: Column, max: u16| {
        let content = u16::try_from(content).unwrap_or(max).min(max);
        content.max(u16::try_from(heading.heading().len()).unwrap_or(0).min(max))
    };
    let id = want(list.widths.id, Column::Id, 64).max(4);
    let address = want(list.widths.address, Column::Address, 39).max(8);
    let os = want(list.widths.os, Column::Os, 40);
    let host = want(list.widths.host, Column::Host, 40);
    let record = want(list.widths.record, Column::Record, 40);
    let mark = u16::try_from(list.widths.mark).unwrap_or(11).min(11);
    let groups = |groups: usize| u16::try_from(groups_width(groups)).unwrap_or(u16::MAX);

    let mut chosen: Vec<(Column, u16)> = Vec::new();
    let room = width.saturating_sub(GUTTER);
    let mut grow = |column: Column, wide: u16| {
        let used: u16 = chosen.iter().filter(|(c, _)| *c != column).map(|(_, wide)| wide + gap).sum();
        if used + wide > room {
            return;
        }
        match chosen.iter_mut().find(|(c, _)| *c == column) {
            Some((_, had)) => *had = wide.max(*had),
            None => chosen.push((column, wide)),
        }
    };
    grow(Column::Id, id.min(16));
    grow(Column::Fingerprint, groups(1));
    if mark > 0 {
        grow(Column::Mark, mark.max(4));
    }
    if list.tab == Tab::All {
        grow(Column::State, STATE);
    }
    grow(Column::Last, LAST);
    if list.widths.record > 0 {
        grow(Column::Record, record.min(20));
    }
    grow(Column::Address, address.min(15));
    grow(Column::First, FIRST);
    grow(Column::Id, id.min(24));
    grow(Column::Os, os.min(14));
    grow(Column::Tries, TRIES);
    grow(Column::Fingerprint, groups(2));
    grow(Column::Address, address);
    grow(Column::Id, id.min(36));
    if list.widths.record > 0 {
        grow(Column::Record, record);
    }
    grow(Column::Host, host.min(20));
    grow(Column::Os, os.min(24));
    grow(Column::Fingerprint, groups(4));
    grow(Column::Id, id);
    grow(Column::Host, host);
    grow(Column::Os, os);
    grow(Column::Fingerprint, groups(GROUPS));
    chosen.sort_by_key(|(column, _)| ORDER.iter().position(|c| c == column));
    chosen
}

/// How many groups of a fingerprint fit into a column of this width.
pub(crate) fn groups_in(width: u16) -> usize {
    let fits = |groups: &usize| groups_width(*groups) <= usize::from(width);
    [GROUPS, 4, 2].into_iter().find(fits).unwrap_or(1)
}
