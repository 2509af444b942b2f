//! The question before an act.

use ratatui::Frame;
use ratatui::text::{Line, Span};

use super::question::{self, Content, about, sentence, whole, yes_or_no};
use super::theme::Theme;
use crate::app::App;
use crate::app::ask::Ask;
use crate::app::plan::Step;
use crate::text::{capital, counted, cut_middle, fingerprint_start, fit, groups_width, number};

/// With room for fewer keys than this the list scrolls together with the rest.
const LIST_MIN: usize = 3;

/// How far down the question can be scrolled.
pub(super) fn top_max(app: &App, ask: &Ask) -> usize {
    content(app, ask, Theme::new(false)).top_max
}

pub(super) fn draw(app: &App, ask: &Ask, theme: Theme, frame: &mut Frame<'_>) {
    let content = content(app, ask, theme);
    question::draw(frame, theme, &ask.title(), question::columns(app.size), content, &ask.slip);
}

fn content(app: &App, ask: &Ask, theme: Theme) -> Content {
    let columns = question::columns(app.size);
    let foot = question::foot(&ask.slip, ask.hint.as_deref(), answers(ask, theme), columns, theme);
    let room = question::room(app.size, foot.len());
    let below = below(app, ask, columns, theme);
    let steps = ask.plan.steps.as_slice();
    let list_room = room.saturating_sub(below.len());
    if steps.len() > list_room && list_room >= LIST_MIN && steps.len() > 1 {
        let mut lines = list(steps, ask.slip.top, list_room, columns, theme);
        lines.extend(below);
        return Content { lines, foot, top_max: steps.len() - (list_room - 1) };
    }
    let mut lines = match steps {
        [step] => {
            let mut lines = about(app, step, columns, theme);
            lines.extend(whole(step.name.fingerprint, columns, theme));
            lines
        }
        steps => list(steps, 0, steps.len(), columns, theme),
    };
    lines.extend(below);
    let (lines, top_max) = question::scrolled(lines, ask.slip.top, room, theme);
    Content { lines, foot, top_max }
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
    let mut say = |mark, text: &str, style| content.extend(sentence(mark, text, columns, style));
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

fn answers(ask: &Ask, theme: Theme) -> Line<'static> {
    match &ask.typed {
        Some(typed) => Line::from(vec![
            Span::styled(format!("Type {} to {} them: ", ask.plan.steps.len(), ask.verb()), theme.careful()),
            Span::raw(format!("{}_  ", typed.text())),
            Span::styled("n", theme.key()),
            Span::raw(" no"),
        ]),
        None => yes_or_no(if ask.is_undo { "undo" } else { ask.verb() }, theme),
    }
}
