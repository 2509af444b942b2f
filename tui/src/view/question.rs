//! What all questions look like: how to answer is always on the screen; what there is to know
//! scrolls where there is no room for all of it.

use brine_local::text::escape;
use brine_protocol::Fingerprint;
use ratatui::Frame;
use ratatui::layout::{Position, Size};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::frame::window;
use super::lines;
use super::theme::Theme;
use crate::app::App;
use crate::app::plan::Step;
use crate::app::slip::Slip;
use crate::text::{GROUPS, cut, fingerprint_lines, groups_width, number, tail, width, wrap};

/// The widest that a window gets: a whole fingerprint in one line.
const COLUMNS_MAX: u16 = 96;

/// Where the reason begins, in columns.
const REASON: usize = 8;

/// What is in the window.
pub(super) struct Content {
    pub(super) lines: Vec<Line<'static>>,
    /// How to answer.
    pub(super) foot: Vec<Line<'static>>,
    /// The last place that it can be scrolled to.
    pub(super) top_max: usize,
}

/// How many columns a window has on a screen.
pub(super) fn columns(screen: Size) -> usize {
    usize::from(COLUMNS_MAX.min(screen.width.saturating_sub(6)))
}

/// How many lines there are above a foot of so many.
pub(super) fn room(screen: Size, foot: usize) -> usize {
    usize::from(screen.height.saturating_sub(3)).saturating_sub(foot).max(2)
}

/// As many lines from the one scrolled to as there is room for, and the last place to scroll to.
pub(super) fn scrolled(
    all: Vec<Line<'static>>,
    top: usize,
    room: usize,
    theme: Theme,
) -> (Vec<Line<'static>>, usize) {
    if all.len() <= room {
        return (all, 0);
    }
    let top_max = all.len() - (room - 1);
    let top = top.min(top_max);
    let rest = number(top_max - top);
    let mut lines: Vec<Line<'static>> = all.into_iter().skip(top).take(room - 1).collect();
    lines.push(Line::styled(format!("… {rest} more lines below (j k scroll)"), theme.careful()));
    (lines, top_max)
}

pub(super) fn draw(
    frame: &mut Frame<'_>,
    theme: Theme,
    title: &str,
    columns: usize,
    content: Content,
    slip: &Slip,
) {
    let Content { lines: mut all, foot, .. } = content;
    // The line for the reason is the last but one.
    let reason = (all.len() + foot.len()).saturating_sub(2);
    all.extend(foot);
    let wide = u16::try_from(columns).unwrap_or(COLUMNS_MAX);
    let inner = window(frame, theme, title, wide, u16::try_from(all.len()).unwrap_or(u16::MAX));
    lines(frame, inner, all);
    if slip.is_typing {
        let typed = width(&reason_shown(slip, inner.width.into()));
        let x = inner.x + u16::try_from(REASON + typed).unwrap_or(inner.width);
        let y = inner.y + u16::try_from(reason).unwrap_or(0);
        frame.set_cursor_position(Position { x, y });
    }
}

/// The end of the reason, as far as there is room.
fn reason_shown(slip: &Slip, columns: usize) -> String {
    tail(&escape(slip.reason.text()), columns.saturating_sub(REASON + 1))
}

/// How to answer.
pub(super) fn foot(
    slip: &Slip,
    hint: Option<&str>,
    answers: Line<'static>,
    columns: usize,
    theme: Theme,
) -> Vec<Line<'static>> {
    let mut content = Vec::new();
    if let Some(hint) = hint {
        content.push(Line::styled(cut(&format!("! {hint}"), columns), theme.bad()));
    }
    let reason = reason_shown(slip, columns);
    if slip.is_typing || !reason.is_empty() {
        content.push(Line::from(vec![Span::styled("Reason: ", theme.key()), Span::raw(reason)]));
    } else {
        content.push(Line::default());
    }
    let key = |text: &'static str| Span::styled(text, theme.key());
    content.push(if slip.is_typing {
        Line::from(vec![key("Enter"), Span::raw(" back to the question; nothing is done by it")])
    } else {
        let mut answers = answers;
        answers.extend([Span::raw("   "), key("Tab"), Span::raw(" reason")]);
        answers
    });
    content
}

/// The answers to a question that takes one key stroke.
pub(super) fn yes_or_no(yes: &str, theme: Theme) -> Line<'static> {
    Line::from(vec![
        Span::styled("y", theme.key()),
        Span::raw(format!(" {yes}   ")),
        Span::styled("n", theme.key()),
        Span::styled(" no", theme.bold()),
        Span::raw(" (Enter, Esc)"),
    ])
}

/// A sentence behind a mark, as far down as it takes.
pub(super) fn sentence(mark: &str, text: &str, columns: usize, style: Style) -> Vec<Line<'static>> {
    let lines = wrap(text, columns.saturating_sub(width(mark))).into_iter().enumerate();
    let lines = lines.map(|(at, line)| {
        let mark = if at == 0 { mark.to_owned() } else { " ".repeat(width(mark)) };
        Line::styled(format!("{mark}{line}"), style)
    });
    lines.collect()
}

/// A key's id, state, address and claims.
pub(super) fn about(app: &App, step: &Step, columns: usize, theme: Theme) -> Vec<Line<'static>> {
    let id = step.name.id.as_str();
    let mut content = Vec::new();
    let mut about = vec![Span::styled(step.was.name(), theme.state(step.was))];
    if let Some(row) = app.keys.get(&step.name) {
        if !row.address.is_empty() {
            about.push(Span::raw(format!("  from {}", row.address)));
        }
        let used: usize = about.iter().map(Span::width).sum();
        if used + id.len() + 2 <= columns {
            about.splice(0..0, [Span::styled(id.to_owned(), theme.bold()), Span::raw("  ")]);
        } else {
            content.extend(wrap(id, columns).into_iter().map(|line| Line::styled(line, theme.bold())));
        }
        if !row.host.is_empty() || !row.os.is_empty() {
            let claims = format!("  claims {} {}", row.host, row.os);
            let used: usize = about.iter().map(Span::width).sum();
            about.push(Span::styled(cut(&claims, columns.saturating_sub(used)), theme.quiet()));
        }
    } else {
        content.extend(wrap(id, columns).into_iter().map(|line| Line::styled(line, theme.bold())));
    }
    content.push(Line::from(about));
    content
}

/// A whole fingerprint, in one line where there is room.
pub(super) fn whole(fingerprint: Fingerprint, columns: usize, theme: Theme) -> Vec<Line<'static>> {
    let groups = if groups_width(GROUPS) <= columns { GROUPS } else { 4 };
    let lines = fingerprint_lines(fingerprint, groups);
    lines.into_iter().map(|line| Line::styled(line, theme.plain())).collect()
}
