//! The list. Only the rows on the screen are built.

use brine_protocol::time::Timestamp;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::columns::{Column, columns, gap, groups_in};
use super::theme::Theme;
use crate::app::App;
use crate::app::keys::Row;
use crate::text::{age, cut_middle, fingerprint_start, fit, number};

pub(super) fn heading(app: &App, theme: Theme, frame: &mut Frame<'_>, area: Rect) {
    if area.height == 0 {
        return;
    }
    let list = &app.list;
    let mut spans = vec![Span::raw("    ")];
    for (column, width) in columns(list, area.width) {
        let is_sorted = column.sort() == Some(list.sort);
        let arrow = if list.is_reversed { "↑" } else { "↓" };
        let text =
            if is_sorted { format!("{}{arrow}", column.heading()) } else { column.heading().to_owned() };
        spans.push(Span::styled(fit(&text, width.into()), theme.quiet()));
        spans.push(Span::raw(" ".repeat(gap(area.width).into())));
    }
    frame.buffer_mut().set_line(area.x, area.y, &Line::from(spans), area.width);
}

pub(super) fn rows(app: &App, theme: Theme, frame: &mut Frame<'_>, area: Rect) {
    let list = &app.list;
    let columns = columns(list, area.width);
    let visible = list.shown.iter().enumerate().skip(list.top).take(area.height.into());
    for (y, (at, place)) in (area.y..area.bottom()).zip(visible) {
        let row = &app.keys.rows()[*place];
        let is_cursor = at == list.at;
        let is_selected = !list.selected.is_empty() && list.selected.contains(&row.name());
        let line = line(row, &columns, gap(area.width), is_cursor, is_selected, theme, app.now);
        if is_cursor {
            frame.buffer_mut().set_style(Rect { y, height: 1, ..area }, theme.cursor());
        }
        frame.buffer_mut().set_line(area.x, y, &line, area.width);
    }
}

fn line<'a>(
    row: &'a Row,
    columns: &[(Column, u16)],
    gap: u16,
    is_cursor: bool,
    is_selected: bool,
    theme: Theme,
    now: Timestamp,
) -> Line<'a> {
    // One look for the whole line under the cursor: colours on a reversed line are a patchwork.
    let look = |style: Style| if is_cursor { theme.cursor() } else { style };
    let connected = if row.key.connected { ("●", theme.good()) } else { ("○", theme.quiet()) };
    let mut spans = vec![
        Span::styled(if is_cursor { ">" } else { " " }, look(theme.bold())),
        Span::styled(if is_selected { "*" } else { " " }, look(theme.careful())),
        Span::styled(connected.0, look(connected.1)),
        Span::styled(" ", look(theme.plain())),
    ];
    for (column, width) in columns {
        let (text, style) = cell(row, *column, *width, theme, now);
        spans.push(Span::styled(fit(&text, usize::from(*width)), look(style)));
        spans.push(Span::styled(" ".repeat(gap.into()), look(theme.plain())));
    }
    Line::from(spans)
}

fn cell(row: &Row, column: Column, width: u16, theme: Theme, now: Timestamp) -> (String, Style) {
    let key = &row.key;
    match column {
        Column::Id => (cut_middle(key.id.as_str(), width.into()), theme.bold()),
        Column::Mark => (row.mark(), theme.careful()),
        Column::State => (key.state.name().to_owned(), theme.state(key.state)),
        Column::Fingerprint => (fingerprint_start(key.fingerprint, groups_in(width)), theme.plain()),
        Column::Record if key.server.as_ref().is_some_and(|server| server.linked) => {
            (row.record.clone(), theme.plain())
        }
        Column::Record => (or_dash(&row.record), theme.quiet()),
        Column::Address => (or_dash(&row.address), theme.plain()),
        Column::First => (age(now, key.first_seen), theme.quiet()),
        // Who is connected is seen now; what is known of the past is when the session began.
        Column::Last if key.connected => ("now".to_owned(), theme.plain()),
        Column::Last => (age(now, key.last_seen), theme.plain()),
        Column::Tries => (number(usize::try_from(key.attempts).unwrap_or(usize::MAX)), theme.quiet()),
        Column::Os => (or_dash(&row.os), theme.quiet()),
        Column::Host => (or_dash(&row.host), theme.quiet()),
    }
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}
