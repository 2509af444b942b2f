//! Where everything is on the screen: one pure function of the state, for drawing and for the
//! mouse alike.

use ratatui::layout::Rect;

use crate::app::App;
use crate::app::list::{TABS, Tab};
use crate::text::{number, width};
use crate::view::{notices, status};
use brine_protocol::control::KeyState;

/// The smallest screen that has room for everything.
pub(crate) const COLUMNS_MIN: u16 = 60;
/// See [`COLUMNS_MIN`].
pub(crate) const ROWS_MIN: u16 = 15;

/// Columns before the first column of the list: cursor, selection, connection.
pub(crate) const GUTTER: u16 = 4;

/// From this width on the detail is beside the list, not in its place.
const SIDE_BY_SIDE: u16 = 118;

/// From this height on there is room for a rule and for more than one notice.
pub(crate) const ROOMY: u16 = 20;

/// The parts of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Areas {
    pub(crate) title: Rect,
    pub(crate) tabs: Rect,
    /// A line under the tabs; empty on low screens.
    pub(crate) rule: Rect,
    pub(crate) heading: Rect,
    pub(crate) rows: Rect,
    /// What divides list and detail when both are there.
    pub(crate) divider: Option<Rect>,
    pub(crate) detail: Option<Rect>,
    pub(crate) notices: Rect,
    pub(crate) status: Rect,
    pub(crate) hints: Rect,
}

/// Where the parts are.
pub(crate) fn areas(app: &App) -> Areas {
    let (columns, height) = (app.size.width, app.size.height);
    let line = |y: u16, height: u16| Rect::new(0, y.min(app.size.height), columns, height);
    let is_roomy = height >= ROOMY;
    let notices_max = if is_roomy { 4 } else { 2 };
    let told = notices::lines(app, usize::from(columns), notices_max).len();
    let told = u16::try_from(told).unwrap_or(notices_max as u16);
    let rule = u16::from(is_roomy);
    let body_top = 2 + rule;
    let said = u16::try_from(status::height(app, columns)).unwrap_or(1);
    let bottom = height.saturating_sub(1 + said);
    let body_bottom = bottom.saturating_sub(told).max(body_top);
    let body = Rect::new(0, body_top, columns, body_bottom - body_top);
    let (list, divider, detail) = match &app.detail {
        None => (body, None, None),
        Some(_) if columns >= SIDE_BY_SIDE => {
            let wide = (columns * 9 / 20).clamp(58, 92);
            let left = columns - wide - 1;
            (
                Rect { width: left, ..body },
                Some(Rect { x: left, width: 1, ..body }),
                Some(Rect { x: left + 1, width: wide, ..body }),
            )
        }
        Some(_) => (Rect { height: 0, ..body }, None, Some(body)),
    };
    let heading = Rect { height: list.height.min(1), ..list };
    Areas {
        title: line(0, 1),
        tabs: line(1, 1),
        rule: line(2, rule),
        heading,
        rows: Rect { y: list.y + heading.height, height: list.height - heading.height, ..list },
        divider,
        detail,
        notices: line(body_bottom, told),
        status: line(bottom, said),
        hints: line(bottom + said, 1),
    }
}

/// A tab as it is drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TabPlace {
    pub(crate) tab: Tab,
    pub(crate) label: String,
    pub(crate) count: String,
    pub(crate) x: u16,
    pub(crate) width: u16,
}

/// The tabs with their counts, in words as long as there is room for.
pub(crate) fn tabs(app: &App) -> Vec<TabPlace> {
    let long = |tab| match tab {
        Tab::Of(KeyState::Pending) => "Pending",
        Tab::Of(KeyState::Denied) => "Denied",
        Tab::Of(KeyState::Accepted) => "Accepted",
        Tab::Of(KeyState::Rejected) => "Rejected",
        Tab::Of(KeyState::Suspended) => "Suspended",
        Tab::All => "All",
    };
    let long = place(app, long, !app.list.filter.is_empty());
    if is_fitting(app, &long) {
        return long;
    }
    let short = |tab| match tab {
        Tab::Of(KeyState::Pending) => "Pend",
        Tab::Of(KeyState::Denied) => "Den",
        Tab::Of(KeyState::Accepted) => "Acc",
        Tab::Of(KeyState::Rejected) => "Rej",
        Tab::Of(KeyState::Suspended) => "Susp",
        Tab::All => "All",
    };
    let short_and_whole = place(app, short, !app.list.filter.is_empty());
    if is_fitting(app, &short_and_whole) { short_and_whole } else { place(app, short, false) }
}

fn is_fitting(app: &App, tabs: &[TabPlace]) -> bool {
    tabs.last().is_some_and(|tab| tab.x + tab.width <= app.size.width)
}

/// Puts the tabs beside each other: with how many keys match the filter, and of how many if there
/// is room.
fn place(app: &App, word: impl Fn(Tab) -> &'static str, with_total: bool) -> Vec<TabPlace> {
    let list = &app.list;
    let mut x = 0;
    let places = TABS.iter().enumerate().map(|(at, tab)| {
        let count = match (with_total, list.matching[at], list.counts[at]) {
            (false, matching, _) => number(matching),
            (true, matching, all) => format!("{}/{}", number(matching), number(all)),
        };
        let label = word(*tab).to_owned();
        let columns = width(&label) + 1 + width(&count) + 2;
        let place =
            TabPlace { tab: *tab, label, count, x, width: u16::try_from(columns).unwrap_or(u16::MAX) };
        x = x.saturating_add(place.width);
        place
    });
    places.collect()
}
