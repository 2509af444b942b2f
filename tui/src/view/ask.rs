//! The question before an act. How to answer is always on the screen; what there is to know scrolls
//! where there is no room for all of it.

use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};

use super::frame::window;
use super::lines;
use super::theme::Theme;
use crate::app::App;
use crate::app::ask::Ask;
use crate::app::plan::Step;
use crate::text::{
    GROUPS, capital, counted, cut, cut_middle, fingerprint_lines, fingerprint_start, fit, groups_width,
    number, tail, width, wrap,
};

/// The widest that a window gets: a whole fingerprint in one line.
const COLUMNS_MAX: u16 = 96;

/// With room for fewer keys than this the list scrolls together with the rest.
const LIST_MIN: usize = 3;

/// What is in the window.
struct Content {
    columns: u16,
    lines: Vec<Line<'static>>,
    /// How to answer.
    foot: Vec<Line<'static>>,
    /// The last place that it can be scrolled to.
    top_max: usize,
}

/// How far down the question can be scrolled.
pub(super) fn top_max(app: &App, ask: &Ask) -> usize {
    content(app, ask, Theme::new(false)).top_max
}

pub(super) fn draw(app: &App, ask: &Ask, theme: Theme, frame: &mut Frame<'_>) {
    let Content { columns, lines: mut all, foot, .. } = content(app, ask, theme);
    // The line for the reason is the last but one.
    let reason = (all.len() + foot.len()).saturating_sub(2);
    all.extend(foot);
    let inner = window(frame, theme, &ask.title(), columns, u16::try_from(all.len()).unwrap_or(u16::MAX));
    lines(frame, inner, all);
    place_cursor(ask, frame, inner, reason);
}

fn content(app: &App, ask: &Ask, theme: Theme) -> Content {
    let columns = COLUMNS_MAX.min(app.size.width.saturating_sub(6));
    let wide = usize::from(columns);
    let foot = foot(ask, wide, theme);
    let room = usize::from(app.size.height.saturating_sub(3)).saturating_sub(foot.len()).max(2);
    let below = below(app, ask, wide, theme);
    let steps = ask.plan.steps.as_slice();
    let list_room = room.saturating_sub(below.len());
    if steps.len() > list_room && list_room >= LIST_MIN && steps.len() > 1 {
        let mut lines = list(steps, ask.top, list_room, wide, theme);
        lines.extend(below);
        return Content { columns, lines, foot, top_max: steps.len() - (list_room - 1) };
    }
    let mut lines = match steps {
        [step] => whole(app, step, wide, theme),
        steps => list(steps, 0, steps.len(), wide, theme),
    };
    lines.extend(below);
    let mut top_max = 0;
    if lines.len() > room {
        top_max = lines.len() - (room - 1);
        let top = ask.top.min(top_max);
        let rest = number(top_max - top);
        lines = lines.into_iter().skip(top).take(room - 1).collect();
        lines.push(Line::styled(format!("… {rest} more lines below (j k scroll)"), theme.careful()));
    }
    Content { columns, lines, foot, top_max }
}

/// One key, with all that identifies it.
fn whole(app: &App, step: &Step, columns: usize, theme: Theme) -> Vec<Line<'static>> {
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
    let groups = if groups_width(GROUPS) <= columns { GROUPS } else { 4 };
    let fingerprint = fingerprint_lines(step.name.fingerprint, groups);
    content.extend(fingerprint.into_iter().map(|line| Line::styled(line, theme.plain())));
    content
}

/// Several keys with a line each, from the one scrolled to; where not all fit, a count of the rest.
fn list(steps: &[Step], top: usize, room: usize, columns: usize, theme: Theme) -> Vec<Line<'static>> {
    let longest = steps.iter().map(|step| step.name.id.as_str().len()).max().unwrap_or(0);
    // Eight bytes of a fingerprint are what nobody makes a twin of in a while.
    let room_for = |groups: usize| columns.saturating_sub(groups_width(groups) + 9 + 4);
    let groups = if room_for(4) >= longest { 4 } else { 2 };
    let id = room_for(groups).min(longest);
    let line = |step: &Step| {
        Line::from(vec![
            Span::styled(fit(&cut_middle(step.name.id.as_str(), id), id), theme.bold()),
            Span::raw(format!("  {}  ", fingerprint_start(step.name.fingerprint, groups))),
            Span::styled(step.was.name(), theme.state(step.was)),
        ])
    };
    if steps.len() <= room {
        return steps.iter().map(line).collect();
    }
    let shown = room.saturating_sub(1).max(1);
    let top = top.min(steps.len() - shown);
    let mut lines: Vec<Line<'static>> = steps[top..top + shown].iter().map(line).collect();
    let rest = number(steps.len() - shown);
    lines.push(Line::styled(format!("… and {rest} more (j k scroll)"), theme.quiet()));
    lines
}

/// What to know.
fn below(app: &App, ask: &Ask, columns: usize, theme: Theme) -> Vec<Line<'static>> {
    let mut content = vec![Line::default()];
    let mut say = |mark: &str, text: &str, style| {
        for (at, line) in wrap(text, columns.saturating_sub(mark.len())).into_iter().enumerate() {
            let mark = if at == 0 { mark.to_owned() } else { " ".repeat(mark.len()) };
            content.push(Line::styled(format!("{mark}{line}"), style));
        }
    };
    for text in ask.changed(&app.keys) {
        say("! ", &text, theme.bad());
    }
    for text in ask.warnings(&app.keys) {
        say("! ", &text, theme.careful());
    }
    for text in &ask.plan.consequences {
        say("", &capital(text), theme.plain());
    }
    for text in &ask.plan.left_alone {
        say("- ", text, theme.quiet());
    }
    if ask.hidden > 0 {
        let text = format!("{} not shown here and left alone", counted(ask.hidden, "selected key"));
        say("- ", &text, theme.quiet());
    }
    content
}

/// How to answer.
fn foot(ask: &Ask, columns: usize, theme: Theme) -> Vec<Line<'static>> {
    let mut content = Vec::new();
    if let Some(hint) = &ask.hint {
        content.push(Line::styled(cut(&format!("! {hint}"), columns), theme.bad()));
    }
    let reason = tail(&brine_local::text::escape(ask.reason.text()), columns.saturating_sub(9));
    if ask.is_typing_reason || !reason.is_empty() {
        content.push(Line::from(vec![Span::styled("Reason: ", theme.key()), Span::raw(reason)]));
    } else {
        content.push(Line::default());
    }
    content.push(answers(ask, theme));
    content
}

fn answers(ask: &Ask, theme: Theme) -> Line<'static> {
    let key = |text: &'static str| Span::styled(text, theme.key());
    if ask.is_typing_reason {
        return Line::from(vec![key("Enter"), Span::raw(" back to the question; nothing is done by it")]);
    }
    let mut spans = match &ask.typed {
        Some(typed) => vec![
            Span::styled(format!("Type {} to {} them: ", ask.plan.steps.len(), ask.verb()), theme.careful()),
            Span::raw(format!("{}_  ", typed.text())),
            key("n"),
            Span::raw(" no"),
        ],
        None => vec![
            key("y"),
            Span::raw(format!(" {}   ", if ask.is_undo { "undo" } else { ask.verb() })),
            key("n"),
            Span::styled(" no", theme.bold()),
            Span::raw(" (Enter, Esc)"),
        ],
    };
    spans.extend([Span::raw("   "), key("Tab"), Span::raw(" reason")]);
    Line::from(spans)
}

fn place_cursor(ask: &Ask, frame: &mut Frame<'_>, inner: Rect, reason: usize) {
    if ask.is_typing_reason {
        let typed = width(&tail(
            &brine_local::text::escape(ask.reason.text()),
            usize::from(inner.width).saturating_sub(9),
        ));
        let x = inner.x + u16::try_from(8 + typed).unwrap_or(inner.width);
        let y = inner.y + u16::try_from(reason).unwrap_or(0);
        frame.set_cursor_position(Position { x, y });
    }
}
