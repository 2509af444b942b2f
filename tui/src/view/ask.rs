//! The question before an act.

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
    GROUPS, capital, counted, cut, fingerprint_lines, fingerprint_start, fit, groups_width, number, tail,
    width, wrap,
};

/// The widest that a window gets: a whole fingerprint in one line.
const COLUMNS_MAX: u16 = 96;

pub(super) fn draw(app: &App, ask: &Ask, theme: Theme, frame: &mut Frame<'_>) {
    let screen = frame.area();
    let columns = COLUMNS_MAX.min(screen.width.saturating_sub(6));
    let wide = usize::from(columns);
    let below = below(app, ask, wide, theme);
    let rows_max = usize::from(screen.height.saturating_sub(3));
    // The list of keys gives way first; what will happen and how to answer stays.
    let room = rows_max.saturating_sub(below.len()).max(1);
    let above = match ask.plan.steps.as_slice() {
        [step] => whole(app, step, wide, theme),
        steps => list(steps, ask.top, room, wide, theme),
    };
    let rows = u16::try_from(above.len() + below.len()).unwrap_or(u16::MAX);
    let inner = window(frame, theme, &ask.title(), columns, rows);
    let question = (above.len() + below.len()).min(usize::from(inner.height)).saturating_sub(1);
    lines(frame, inner, above.into_iter().chain(below));
    place_cursor(ask, frame, inner, question);
}

/// One key, with all that identifies it.
fn whole(app: &App, step: &Step, columns: usize, theme: Theme) -> Vec<Line<'static>> {
    let mut content = Vec::new();
    let mut about = vec![
        Span::styled(step.name.id.to_string(), theme.bold()),
        Span::raw("  "),
        Span::styled(step.was.name(), theme.state(step.was)),
    ];
    if let Some(row) = app.keys.get(&step.name) {
        if !row.address.is_empty() {
            about.push(Span::raw(format!("  from {}", row.address)));
        }
        if !row.host.is_empty() || !row.os.is_empty() {
            let claims = format!("  claims {} {}", row.host, row.os);
            let used: usize = about.iter().map(Span::width).sum();
            about.push(Span::styled(cut(&claims, columns.saturating_sub(used)), theme.quiet()));
        }
    }
    content.push(Line::from(about));
    let groups = if groups_width(GROUPS) <= columns { GROUPS } else { 4 };
    let fingerprint = fingerprint_lines(step.name.fingerprint, groups);
    content.extend(fingerprint.into_iter().map(|line| Line::styled(line, theme.plain())));
    content
}

/// Several keys with a line each, from the one scrolled to; where not all fit, a count of the rest.
fn list(steps: &[Step], top: usize, room: usize, columns: usize, theme: Theme) -> Vec<Line<'static>> {
    let groups = if columns >= 80 { 2 } else { 1 };
    let longest = steps.iter().map(|step| step.name.id.as_str().len()).max().unwrap_or(0);
    let id = columns.saturating_sub(groups_width(groups) + 9 + 4).min(longest);
    let line = |step: &Step| {
        Line::from(vec![
            Span::styled(fit(step.name.id.as_str(), id), theme.bold()),
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

/// What to know, and how to answer.
fn below(app: &App, ask: &Ask, columns: usize, theme: Theme) -> Vec<Line<'static>> {
    let mut content = vec![Line::default()];
    let mut say = |mark: &str, text: &str, style| {
        for (at, line) in wrap(text, columns - mark.len()).into_iter().enumerate() {
            let mark = if at == 0 { mark.to_owned() } else { " ".repeat(mark.len()) };
            content.push(Line::styled(format!("{mark}{line}"), style));
        }
    };
    for text in ask.changed(&app.keys) {
        say("! ", &text, theme.bad());
    }
    for text in &ask.plan.warnings {
        say("! ", text, theme.careful());
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
    if let Some(hint) = &ask.hint {
        say("! ", hint, theme.bad());
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

fn place_cursor(ask: &Ask, frame: &mut Frame<'_>, inner: Rect, question: usize) {
    if ask.is_typing_reason {
        let typed = width(&tail(
            &brine_local::text::escape(ask.reason.text()),
            usize::from(inner.width).saturating_sub(9),
        ));
        let x = inner.x + u16::try_from(8 + typed).unwrap_or(inner.width);
        let y = inner.y + u16::try_from(question.saturating_sub(1)).unwrap_or(0);
        frame.set_cursor_position(Position { x, y });
    }
}
