//! The question before a key is paired with a server record: which record, which machine, which
//! key; and where one is revoked for it, that too, whole.

use ratatui::Frame;
use ratatui::text::{Line, Span};

use super::question::{self, Content, about, sentence, whole, yes_or_no};
use super::theme::Theme;
use crate::app::App;
use crate::app::pair::{Confirm, Pairing};
use crate::text::{claim, fit, short_id, wrap};

/// The width of what a line is called.
const LABEL: usize = 6;

/// How far down the question can be scrolled.
pub(super) fn top_max(app: &App, confirm: &Confirm) -> usize {
    content(app, confirm, Theme::new(false)).top_max
}

pub(super) fn draw(app: &App, confirm: &Confirm, theme: Theme, frame: &mut Frame<'_>) {
    let id = short_id(&confirm.pairing.step.name.id);
    let title = if confirm.pairing.gives_up.is_some() {
        format!("Pair {id} anew and revoke its old key?")
    } else {
        format!("Pair {id} (1 key)?")
    };
    let content = content(app, confirm, theme);
    question::draw(frame, theme, &title, question::columns(app.size), content, &confirm.slip);
}

fn content(app: &App, confirm: &Confirm, theme: Theme) -> Content {
    let columns = question::columns(app.size);
    let foot = question::foot(&confirm.slip, None, yes_or_no("pair", theme), columns, theme);
    let mut lines = subject(app, &confirm.pairing, columns, theme);
    lines.push(Line::default());
    let mut say = |mark, text: &str, style| lines.extend(sentence(mark, text, columns, style));
    for text in confirm.changed(&app.keys) {
        say("! ", &text, theme.bad());
    }
    for text in confirm.warnings(&app.keys) {
        say("! ", &text, theme.careful());
    }
    if let Some(text) = revocation(&confirm.pairing) {
        say("! ", text, theme.careful());
    }
    let text =
        "It is accepted and linked to the record in one decision, and its minion gets orders from now on.";
    say("", text, theme.plain());
    let room = question::room(app.size, foot.len());
    let (lines, top_max) = question::scrolled(lines, confirm.slip.top, room, theme);
    Content { lines, foot, top_max }
}

/// What is paired with what.
fn subject(app: &App, pairing: &Pairing, columns: usize, theme: Theme) -> Vec<Line<'static>> {
    let record = &pairing.server.record;
    let wide = columns.saturating_sub(LABEL);
    let text = |text: &str, style| wrap(text, wide).into_iter().map(move |line| Line::styled(line, style));
    let mut kind = claim(&record.model);
    for (what, value) in [("zone", &record.zone), ("site", &record.site)] {
        if let Some(value) = value {
            kind.push_str(&format!(", {what} {}", claim(value)));
        }
    }
    let mut lines = labelled("Name", text(&claim(&record.name), theme.bold()), theme);
    lines.extend(labelled("Model", text(&kind, theme.plain()), theme));
    lines.extend(labelled("Uuid", text(&pairing.server.id.to_string(), theme.quiet()), theme));
    lines.extend(labelled("Id", about(app, &pairing.step, wide, theme), theme));
    let what = if pairing.gives_up.is_none() { "Key" } else { "New" };
    lines.extend(labelled(what, whole(pairing.step.name.fingerprint, wide, theme), theme));
    if let Some(old) = &pairing.gives_up {
        lines.extend(labelled("Old", whole(old.name.fingerprint, wide, theme), theme));
    }
    lines
}

/// The lines, the first of them behind what they are called.
fn labelled(label: &str, lines: impl IntoIterator<Item = Line<'static>>, theme: Theme) -> Vec<Line<'static>> {
    let lines = lines.into_iter().enumerate().map(|(at, line)| {
        let label = Span::styled(fit(if at == 0 { label } else { "" }, LABEL), theme.quiet());
        let style = line.style;
        let spans = line.spans.into_iter().map(|span| Span { style: style.patch(span.style), ..span });
        Line::from_iter([label].into_iter().chain(spans))
    });
    lines.collect()
}

/// What becomes of the key that is given up.
fn revocation(pairing: &Pairing) -> Option<&'static str> {
    pairing.gives_up.as_ref()?;
    let preseed = pairing.server.link.as_ref().and_then(|link| link.preseed.as_ref());
    Some(if preseed.is_some() {
        "The old key is revoked: it was made for this record and has not been used, and its bundle is \
         worth nothing then."
    } else {
        "The old key is revoked: it is rejected, its session ends at once, and its open orders are \
         cancelled. Say yes only if the machine was installed anew."
    })
}
