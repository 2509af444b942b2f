//! The status: what was just said, what is typed, what is chosen, where the cursor is.

use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::theme::Theme;
use crate::app::{App, Tone};
use crate::text::{claim, counted, cut, number, tail, width, wrap};
use brine_local::text::escape;

/// The most lines of one sentence.
const LINES_MAX: usize = 3;

/// How many lines the status takes.
pub(crate) fn height(app: &App, columns: u16) -> usize {
    parts(app, columns.into(), Theme::new(false)).len()
}

/// A line: what is on its left, how that looks, and what is on its right.
type Part = (String, Style, String);

/// What was just said, then what is chosen, on one line where both fit.
fn parts(app: &App, columns: usize, theme: Theme) -> Vec<Part> {
    let chosen = chosen(app);
    let place = place(app);
    let (said, style) = said(app, theme);
    if said.is_empty() || app.filtering.is_some() {
        let room = columns.saturating_sub(width(&place) + 4);
        return vec![(cut(&chosen, room), theme.careful(), place)];
    }
    let mut lines = wrap(&said, columns.saturating_sub(2));
    if lines.len() > LINES_MAX {
        lines.truncate(LINES_MAX);
        lines[LINES_MAX - 1].push('…');
    }
    let mut parts: Vec<Part> = lines.into_iter().map(|line| (line, style, String::new())).collect();
    let right = if chosen.is_empty() { place.clone() } else { format!("{chosen}   {place}") };
    let last = parts.last_mut().expect("something was said");
    if width(&last.0) + width(&right) + 4 <= columns {
        last.2 = right;
    } else if !chosen.is_empty() {
        parts.push((cut(&chosen, columns.saturating_sub(width(&place) + 4)), theme.careful(), place));
    }
    parts
}

pub(super) fn draw(app: &App, theme: Theme, frame: &mut Frame<'_>, area: Rect) {
    for (y, (left, style, right)) in (area.y..area.bottom()).zip(parts(app, area.width.into(), theme)) {
        let x = area.right().saturating_sub(u16::try_from(width(&right) + 1).unwrap_or(area.width));
        frame.buffer_mut().set_line(x, y, &Line::styled(right, theme.quiet()), area.width);
        if app.filtering.is_none() {
            frame.buffer_mut().set_line(area.x, y, &Line::styled(format!(" {left}"), style), area.width);
        }
    }
    typed(app, theme, frame, area);
}

/// The filter, while it is typed.
fn typed(app: &App, theme: Theme, frame: &mut Frame<'_>, area: Rect) {
    let Some(field) = &app.filtering else { return };
    let room = usize::from(area.width).saturating_sub(width(&place(app)) + 6);
    let shown = tail(&escape(field.text()), room);
    if app.over.is_none() {
        let column = u16::try_from(width(&shown) + 2).unwrap_or(area.width);
        frame.set_cursor_position(Position { x: area.x + column, y: area.y });
    }
    let line = Line::from(vec![Span::styled(" /", theme.key()), Span::raw(shown)]);
    frame.buffer_mut().set_line(area.x, area.y, &line, area.width);
}

fn said(app: &App, theme: Theme) -> (String, Style) {
    if let Some(message) = &app.message {
        let mark = match message.tone {
            Tone::Bad => "! ",
            Tone::Good | Tone::Plain => "",
        };
        // A sentence of the master may name a record or what a machine claims.
        return (claim(&format!("{mark}{}", message.text)), theme.tone(message.tone));
    }
    let under_way = app.under_way().map(|sentence| escape(&format!("{sentence} …")));
    (under_way.unwrap_or_default(), theme.careful())
}

fn chosen(app: &App) -> String {
    let list = &app.list;
    let mut parts = Vec::new();
    if !list.selected.is_empty() {
        let hidden = match list.hidden {
            0 => String::new(),
            hidden => format!(" ({} not shown here)", number(hidden)),
        };
        parts.push(format!("{} selected{hidden}", counted(list.selected.len(), "key")));
    }
    if !list.filter.is_empty() {
        parts.push(format!("filter: {} (Esc clears)", escape(&list.filter)));
    }
    parts.join(", ")
}

fn place(app: &App) -> String {
    let list = &app.list;
    match list.shown.len() {
        0 => String::new(),
        shown => format!("{} of {}", number(list.at + 1), number(shown)),
    }
}
