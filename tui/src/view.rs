//! Draws the state. Nothing here changes it, and only what is on the screen is built.

mod ask;
mod batch;
pub(crate) mod columns;
mod detail;
mod empty;
mod frame;
mod help;
pub(crate) mod layout;
pub(crate) mod notices;
mod pair;
mod pick;
mod question;
pub(crate) mod status;
mod table;
mod theme;

pub(crate) use theme::Theme;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use crate::app::{App, Over};
use crate::text::wrap;
use crate::view::layout::{COLUMNS_MIN, ROWS_MIN, areas};

/// Draws the whole screen.
pub(crate) fn draw(app: &App, theme: Theme, frame: &mut Frame<'_>) {
    let size = frame.area();
    if !is_large_enough(app) {
        let text = format!(
            "This needs {COLUMNS_MIN} columns and {ROWS_MIN} rows, and has {} and {}. Make the window larger, or press q.",
            size.width, size.height
        );
        lines(frame, size, wrap(&text, size.width.into()).into_iter().map(Line::raw));
        return;
    }
    let areas = areas(app);
    frame::title(app, theme, frame, areas.title);
    frame::tabs(app, theme, frame, areas.tabs);
    frame::rule(theme, frame, areas.rule);
    if app.list.shown.is_empty() {
        if areas.rows.height > 0 {
            empty::draw(app, theme, frame, areas.heading.union(areas.rows));
        }
    } else {
        table::heading(app, theme, frame, areas.heading);
        table::rows(app, theme, frame, areas.rows);
    }
    if let Some(area) = areas.divider {
        frame::divider(theme, frame, area);
    }
    if let Some(area) = areas.detail {
        detail::draw(app, theme, frame, area);
    }
    frame::notices(app, theme, frame, areas.notices);
    status::draw(app, theme, frame, areas.status);
    frame::hints(app, theme, frame, areas.hints);
    match &app.over {
        None => {}
        Some(Over::Help(top)) => help::draw(app, *top, theme, frame),
        Some(Over::Ask(ask)) => ask::draw(app, ask, theme, frame),
        Some(Over::Pick(picker)) => pick::draw(app, picker, theme, frame),
        Some(Over::Pair(confirm)) => pair::draw(app, confirm, theme, frame),
        Some(Over::Batch) => {
            if let Some(batch) = &app.batch {
                batch::draw(batch, theme, frame);
            }
        }
    }
}

fn is_large_enough(app: &App) -> bool {
    app.size.width >= COLUMNS_MIN && app.size.height >= ROWS_MIN
}

/// How far down what lies over the list can be scrolled.
pub(crate) fn over_top_max(app: &App) -> usize {
    match &app.over {
        Some(Over::Help(_)) if is_large_enough(app) => help::top_max(app),
        Some(Over::Ask(ask)) if is_large_enough(app) => ask::top_max(app, ask),
        Some(Over::Pair(confirm)) if is_large_enough(app) => pair::top_max(app, confirm),
        _ => 0,
    }
}

/// How many records are on the screen at once while one is chosen.
pub(crate) fn pick_page(app: &App) -> usize {
    match &app.over {
        Some(Over::Pick(picker)) if is_large_enough(app) => pick::page(app, picker),
        _ => 1,
    }
}

/// How far down the detail can be scrolled.
pub(crate) fn detail_top_max(app: &App) -> usize {
    if is_large_enough(app) { detail::top_max(app) } else { 0 }
}

/// Draws lines from the top of an area, as far as there is room.
fn lines<'a>(frame: &mut Frame<'_>, area: Rect, lines: impl IntoIterator<Item = Line<'a>>) {
    for (y, line) in (area.y..area.bottom()).zip(lines) {
        frame.buffer_mut().set_line(area.x, y, &line, area.width);
    }
}

#[cfg(test)]
mod tests;
