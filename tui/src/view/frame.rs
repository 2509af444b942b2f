//! What is around the list: title, tabs, notices, hints, and the window of dialogs.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Clear, Widget};

use super::theme::Theme;
use super::{lines, notices};
use crate::app::list::Tab;
use crate::app::{App, Connection, Over};
use crate::text::{claim, cut, fingerprint_start, role, short_name, width};
use crate::view::layout;
use brine_protocol::control::KeyState;

const TITLE: &str = " Brine keys";

pub(super) fn title(app: &App, theme: Theme, frame: &mut Frame<'_>, area: Rect) {
    let (dot, live, style) = match app.connection {
        Connection::Live => ("●", "live", theme.good()),
        Connection::Lost { .. } => ("○", "not connected", theme.bad()),
    };
    let (name, role) = (short_name(&app.whoami.principal), role(app.whoami.role));
    let (who, who_max) = match &app.whoami.zones {
        None => (format!("{name} ({role})"), 30),
        Some(limit) => {
            // To know what is not shown matters more than the master's fingerprint, which the help has.
            let room = usize::from(area.width).saturating_sub(TITLE.len() + live.len() + 7);
            (format!("{name} ({role}, limited to {})", zones(limit)), room.min(60))
        }
    };
    let who = cut(&brine_local::text::escape(&who), who_max);
    let right = Line::from(vec![
        Span::styled(who, theme.quiet()),
        Span::raw("  "),
        Span::styled(format!("{dot} {live} "), style),
    ]);
    let room = usize::from(area.width).saturating_sub(right.width() + 2);
    let groups = [8, 4, 2, 1].into_iter().find(|groups| 21 + crate::text::groups_width(*groups) <= room);
    let mut left = vec![Span::styled(TITLE, theme.bold())];
    if let Some(groups) = groups {
        let fingerprint = fingerprint_start(app.health.fingerprint, groups);
        left.push(Span::styled(format!("   master {fingerprint}"), theme.quiet()));
    }
    let x = area.right().saturating_sub(u16::try_from(right.width()).unwrap_or(area.width));
    frame.buffer_mut().set_line(area.x, area.y, &Line::from(left), area.width);
    frame.buffer_mut().set_line(x, area.y, &right, area.width);
}

/// The zones to which somebody is limited, for a sentence.
pub(super) fn zones(zones: &[String]) -> String {
    if zones.is_empty() {
        return "no zone".to_owned();
    }
    let shown: Vec<String> = zones.iter().map(|zone| claim(zone)).collect();
    shown.join(", ")
}

pub(super) fn tabs(app: &App, theme: Theme, frame: &mut Frame<'_>, area: Rect) {
    for place in layout::tabs(app) {
        let is_open = place.tab == app.list.tab;
        let line = if is_open {
            let text = format!("[{} {}]", place.label, place.count);
            Line::styled(text, theme.cursor().patch(theme.bold()))
        } else {
            let style = match place.tab {
                Tab::Of(state) if app.list.counts[place.tab.place()] > 0 => theme.state(state),
                Tab::Of(_) | Tab::All => theme.plain(),
            };
            Line::from(vec![
                Span::styled(format!(" {} ", place.label), theme.plain()),
                Span::styled(format!("{} ", place.count), style),
            ])
        };
        let room = area.width.saturating_sub(place.x);
        frame.buffer_mut().set_line(area.x + place.x, area.y, &line, room);
    }
}

pub(super) fn rule(theme: Theme, frame: &mut Frame<'_>, area: Rect) {
    let line = "─".repeat(area.width.into());
    lines(frame, area, [Line::styled(line, theme.quiet())]);
}

pub(super) fn divider(theme: Theme, frame: &mut Frame<'_>, area: Rect) {
    lines(frame, area, (0..area.height).map(|_| Line::styled("│", theme.quiet())));
}

pub(super) fn notices(app: &App, theme: Theme, frame: &mut Frame<'_>, area: Rect) {
    let told = notices::lines(app, area.width.into(), area.height.into());
    let told = told.into_iter().map(|(tone, text)| {
        let style = match tone {
            crate::app::Tone::Bad => theme.bad(),
            crate::app::Tone::Plain | crate::app::Tone::Good => theme.careful(),
        };
        Line::styled(format!(" {text}"), style)
    });
    lines(frame, area, told);
}

/// The keys that do something now, most useful first.
fn hints_of(app: &App) -> &'static [(&'static str, &'static str)] {
    match (&app.over, &app.filtering, &app.detail) {
        (Some(Over::Help(_)), ..) => &[("j k", "scroll"), ("any key", "close")],
        (Some(Over::Ask(ask)), ..) if ask.typed.is_some() => {
            &[("Enter", "confirm the number"), ("n", "no"), ("Tab", "reason"), ("j k", "scroll")]
        }
        (Some(Over::Pick(picker)), ..) if picker.filtering.is_some() => {
            &[("Enter", "keep the filter"), ("Esc", "clear it"), ("↑ ↓", "move")]
        }
        (Some(Over::Pick(picker)), ..) if picker.choices.as_ref().is_none_or(Vec::is_empty) => {
            &[("Esc", "leave")]
        }
        (Some(Over::Pick(_)), ..) => {
            &[("Enter", "choose"), ("j k", "move"), ("/", "filter"), ("Esc", "leave"), ("PgDn", "page")]
        }
        (Some(Over::Ask(_) | Over::Pair(_)), ..) => {
            &[("y", "yes"), ("n Enter", "no"), ("Tab", "reason"), ("j k", "scroll")]
        }
        (Some(Over::Batch), ..) => &[("j k", "scroll"), ("Enter", "close")],
        (None, Some(_), _) => &[("Enter", "keep the filter"), ("Esc", "clear it"), ("↑ ↓", "move")],
        (None, None, Some(_)) if !app.may_act() => {
            &[("Esc", "back"), ("?", "help"), ("PgDn", "scroll"), ("j k", "next key"), ("q", "quit")]
        }
        (None, None, Some(_)) => &[
            ("a", "accept"),
            ("r", "reject"),
            ("d", "delete"),
            ("s", "suspend"),
            ("p", "pair"),
            ("u", "undo"),
            ("Esc", "back"),
            ("?", "help"),
            ("PgDn", "scroll"),
            ("j k", "next key"),
            ("q", "quit"),
        ],
        (None, None, None) if !app.may_act() => &[
            ("Enter", "detail"),
            ("/", "filter"),
            ("Tab", "state"),
            ("?", "help"),
            ("q", "quit"),
            ("o", "sort"),
        ],
        (None, None, None) => &[
            ("a", "accept"),
            ("r", "reject"),
            ("d", "delete"),
            ("s", "suspend"),
            ("p", "pair"),
            ("u", "undo"),
            ("?", "help"),
            ("q", "quit"),
            ("/", "filter"),
            ("Enter", "detail"),
            ("Space", "select"),
            ("Tab", "state"),
            ("*", "all"),
            ("o", "sort"),
        ],
    }
}

/// Whether a key can do something in the state that is looked at: a key that waits is paired, and
/// not suspended.
fn is_of_use(app: &App, hint: &str) -> bool {
    let state = match (&app.detail, app.list.tab) {
        (Some(detail), _) => app.keys.get(&detail.name).map(|row| row.key.state),
        (None, Tab::Of(state)) => Some(state),
        (None, Tab::All) => None,
    };
    let is_waiting = state.map(|state| matches!(state, KeyState::Pending | KeyState::Denied));
    match hint {
        "p" => is_waiting != Some(false),
        "s" => is_waiting != Some(true),
        _ => true,
    }
}

pub(super) fn hints(app: &App, theme: Theme, frame: &mut Frame<'_>, area: Rect) {
    let apart = if area.width < 70 { 1 } else { 2 };
    let mut spans = vec![Span::raw(" ")];
    let mut used = 1;
    for (key, what) in hints_of(app).iter().filter(|(key, _)| is_of_use(app, key)) {
        let wide = width(key) + 1 + width(what) + apart;
        if used + wide > usize::from(area.width) + apart {
            break;
        }
        spans.push(Span::styled(*key, theme.key()));
        spans.push(Span::styled(format!(" {what}{}", &"  "[..apart]), theme.quiet()));
        used += wide;
    }
    lines(frame, area, [Line::from(spans)]);
}

/// Clears a window in the middle of the screen, frames it, and returns what is inside of it.
pub(super) fn window(frame: &mut Frame<'_>, theme: Theme, title: &str, columns: u16, rows: u16) -> Rect {
    let screen = frame.area();
    let columns = (columns + 4).min(screen.width.saturating_sub(2));
    let rows = (rows + 2).min(screen.height.saturating_sub(1));
    let x = (screen.width - columns) / 2;
    let y = (screen.height - rows) / 2;
    let outer = Rect::new(x, y, columns, rows);
    // With a margin, so that no half words stick out at its sides.
    let margin = Rect { x: x.saturating_sub(2), width: columns + 4, ..outer };
    Clear.render(margin.intersection(screen), frame.buffer_mut());
    let title = Line::styled(format!(" {title} "), theme.bold());
    let block = Block::bordered().border_type(BorderType::Plain).border_style(theme.plain()).title(title);
    block.render(outer, frame.buffer_mut());
    Rect::new(x + 2, y + 1, columns.saturating_sub(4), rows.saturating_sub(2))
}
