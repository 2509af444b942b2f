//! All about one key, and the keys to compare it with, side by side.

use brine_local::text::escape;
use brine_protocol::Fingerprint;
use brine_protocol::control::Decision;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::lines;
use super::theme::Theme;
use crate::app::App;
use crate::app::detail::{Detail, History, Rival};
use crate::app::keys::Row;
use crate::text::{
    self, age, ago, capital, cut, fingerprint_lines, fingerprint_start, fit, moment, short_name, wrap,
};
use crate::view::layout::areas;

/// Two groups of a fingerprint: the width of a card.
const CARD: usize = 23;

/// Columns between two cards.
const GAP: usize = 3;

/// Facts need at least so many columns beside the cards.
const FACTS_MIN: usize = 25;

/// The width of a fact's name.
const LABEL: usize = 11;

pub(super) fn draw(app: &App, theme: Theme, frame: &mut Frame<'_>, area: Rect) {
    let Some(detail) = &app.detail else { return };
    let inner = inner(area);
    let content = content(app, detail, theme, inner.width.into());
    let height = usize::from(inner.height);
    let is_more = content.len() > detail.top + height;
    lines(frame, inner, content.into_iter().skip(detail.top));
    if is_more && height > 0 {
        let more = Line::styled(" … PgDn ", theme.key());
        let wide = u16::try_from(more.width()).unwrap_or(0);
        let x = inner.right().saturating_sub(wide);
        frame.buffer_mut().set_line(x, inner.bottom() - 1, &more, wide);
    }
}

fn inner(area: Rect) -> Rect {
    Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area }
}

/// The last line that the detail can begin with.
pub(super) fn top_max(app: &App) -> usize {
    let (Some(detail), Some(area)) = (&app.detail, areas(app).detail) else { return 0 };
    let inner = inner(area);
    let all = content(app, detail, Theme::new(false), inner.width.into());
    all.len().saturating_sub(inner.height.into())
}

fn content(app: &App, detail: &Detail, theme: Theme, columns: usize) -> Vec<Line<'static>> {
    let Some(row) = app.keys.get(&detail.name) else { return gone(app, detail, theme, columns) };
    let mut content = heading(row, theme, columns);
    let rivals = detail.rivals(&app.keys);
    if row.key.state != detail.was {
        let (is, was) = (row.key.state.name(), detail.was.name());
        let text = format!("! It is {is} now; it was {was} when you came to it.");
        content.extend(wrap(&text, columns).into_iter().map(|line| Line::styled(line, theme.careful())));
    }
    for text in remarks(row, &rivals) {
        content.extend(wrap(&text, columns).into_iter().map(|line| Line::styled(line, theme.careful())));
    }
    content.push(Line::default());
    // Facts beside two cards say more than a third card does.
    let room = if columns >= 2 * (CARD + GAP) + FACTS_MIN { columns - FACTS_MIN } else { columns + GAP };
    let cards_max = (room / (CARD + GAP)).max(1);
    let mut cards =
        vec![card("this key", row.key.state.name(), row.key.fingerprint, theme.state(row.key.state), theme)];
    for rival in rivals.iter().take(cards_max - 1) {
        let (state, style) =
            rival.state.map_or(("gone", theme.quiet()), |state| (state.name(), theme.state(state)));
        cards.push(card(rival.what, state, rival.fingerprint, style, theme));
    }
    let beside = columns.saturating_sub(cards.len() * (CARD + GAP));
    if beside >= FACTS_MIN {
        let facts = facts(app, row, theme, beside);
        cards.push(facts);
        content.extend(side_by_side(cards));
    } else {
        content.extend(side_by_side(cards));
        content.push(Line::default());
        content.extend(facts(app, row, theme, columns));
    }
    for rival in rivals.iter().skip(cards_max - 1) {
        content.push(Line::default());
        let state = rival.state.map_or("gone", |state| state.name());
        content.push(Line::styled(format!("{} ({state}):", capital(rival.what)), theme.bold()));
        content.extend(fingerprint_lines(rival.fingerprint, 4).into_iter().map(Line::raw));
    }
    content.push(Line::default());
    content.extend(history(app, detail, theme, columns));
    content
}

/// What is left to say of a key that is no longer there.
fn gone(app: &App, detail: &Detail, theme: Theme, columns: usize) -> Vec<Line<'static>> {
    let id = wrap(detail.name.id.as_str(), columns).into_iter();
    let mut content: Vec<Line<'static>> = id.map(|line| Line::styled(line, theme.bold())).collect();
    let text = "! This key is gone: it was deleted, replaced or pushed out. j k goes to another one.";
    content.extend(wrap(text, columns).into_iter().map(|line| Line::styled(line, theme.careful())));
    content.push(Line::default());
    content.extend(fingerprint_lines(detail.name.fingerprint, 4).into_iter().map(Line::raw));
    content.push(Line::default());
    content.extend(history(app, detail, theme, columns));
    content
}

fn heading(row: &Row, theme: Theme, columns: usize) -> Vec<Line<'static>> {
    let (dot, connected) = if row.key.connected { ("●", "connected") } else { ("○", "not connected") };
    let mut about = vec![
        Span::styled(row.key.state.name(), theme.state(row.key.state)),
        Span::styled(format!("   {dot} {connected}"), theme.quiet()),
    ];
    let id = row.key.id.as_str();
    if id.len() + 32 <= columns {
        about.splice(0..0, [Span::styled(id.to_owned(), theme.bold()), Span::raw("   ")]);
        return vec![Line::from(about)];
    }
    // An id of 253 bytes is shown whole: this is where it is looked at.
    let whole = wrap(id, columns).into_iter().map(|line| Line::styled(line, theme.bold()));
    whole.chain([Line::from(about)]).collect()
}

/// What the marks of a key mean.
fn remarks(row: &Row, rivals: &[Rival]) -> Vec<String> {
    let mut remarks = Vec::new();
    let holder = rivals.iter().find(|rival| rival.what == "holds the id");
    if let Some(state) = holder.and_then(|holder| holder.state) {
        remarks.push(format!(
            "! Its id is held by another, {} key, which goes on as before: compare both.",
            state.name()
        ));
    } else if row.key.known_before {
        remarks.push("! This id had another key before: was the machine set up anew?".to_owned());
    }
    if row.candidates > 1 {
        remarks.push(format!(
            "! {} keys want this id: compare them with what the machine prints.",
            row.candidates
        ));
    }
    if let Some(rule) = &row.key.rule {
        remarks.push(format!("! Rejected by a rule, {}, and only while it stands.", escape(rule)));
    }
    remarks
}

/// A key to be compared: what it is, its whole fingerprint, its picture.
fn card(what: &str, state: &str, fingerprint: Fingerprint, style: Style, theme: Theme) -> Vec<Line<'static>> {
    let mut card =
        vec![Line::styled(fit(&capital(what), CARD), theme.bold()), Line::styled(fit(state, CARD), style)];
    card.extend(fingerprint_lines(fingerprint, 2).into_iter().map(Line::raw));
    let edge = format!("  +{}+  ", "-".repeat(17));
    card.push(Line::styled(edge.clone(), theme.quiet()));
    card.extend(fingerprint.picture().into_iter().map(|line| {
        Line::from(vec![
            Span::styled("  |", theme.quiet()),
            Span::raw(line),
            Span::styled("|  ", theme.quiet()),
        ])
    }));
    card.push(Line::styled(edge, theme.quiet()));
    card
}

/// Puts blocks beside each other; all but the last are cards.
fn side_by_side(blocks: Vec<Vec<Line<'static>>>) -> Vec<Line<'static>> {
    let height = blocks.iter().map(Vec::len).max().unwrap_or(0);
    let mut joined = vec![Line::default(); height];
    for (column, block) in blocks.into_iter().enumerate() {
        let mut block = block.into_iter();
        for line in &mut joined {
            if column > 0 {
                line.push_span(Span::raw(" ".repeat(GAP)));
            }
            match block.next() {
                Some(part) => {
                    let style = part.style;
                    for span in part.spans {
                        line.push_span(span.patch_style(style));
                    }
                }
                None => line.push_span(Span::raw(" ".repeat(CARD))),
            }
        }
    }
    joined
}

fn facts(app: &App, row: &Row, theme: Theme, columns: usize) -> Vec<Line<'static>> {
    let key = &row.key;
    let (what, at) = (ago(app.now, key.last_seen), moment(key.last_seen));
    let last = if key.connected {
        ("connected", format!("now, since {at}"))
    } else {
        ("last seen", format!("{what}, {at}"))
    };
    let mut facts: Vec<(&str, String)> = vec![
        ("address", if row.address.is_empty() { "not known".to_owned() } else { row.address.clone() }),
        ("first seen", format!("{}, {}", ago(app.now, key.first_seen), moment(key.first_seen))),
        last,
        ("attempts", key.attempts.to_string()),
    ];
    if let Some(server) = &key.server {
        let zone = server
            .zone
            .as_deref()
            .map_or_else(|| "no zone".to_owned(), |zone| format!("zone {}", text::claim(zone)));
        let linked = if server.linked { "linked" } else { "not linked" };
        facts.push(("record", format!("{}, {zone}, {linked}", text::claim(&server.name))));
    }
    let said = facts.len();
    let mut claim = |what, text: &str| {
        if !text.is_empty() {
            facts.push((what, text.to_owned()));
        }
    };
    claim("server *", &text::claim(key.claims.server.as_deref().unwrap_or_default()));
    claim("host *", &row.host);
    claim("OS *", &row.os);
    claim("version *", &text::claim(&key.claims.version));
    for (grain, value) in &key.claims.grains {
        claim("grain *", &text::claim(&format!("{grain} = {value}")));
    }
    let is_claiming = facts.len() > said;
    let mut content = Vec::new();
    for (label, value) in facts {
        for (at, line) in wrap(&value, columns.saturating_sub(LABEL)).into_iter().enumerate() {
            let label = if at == 0 { label } else { "" };
            content.push(Line::from(vec![Span::styled(fit(label, LABEL), theme.quiet()), Span::raw(line)]));
        }
    }
    if is_claiming {
        content.push(Line::styled(cut("* as the machine claims", columns), theme.quiet()));
    }
    content
}

fn history(app: &App, detail: &Detail, theme: Theme, columns: usize) -> Vec<Line<'static>> {
    let mut content = vec![Line::styled("History", theme.bold())];
    let mut say = |text: &str, style| {
        content.extend(wrap(text, columns).into_iter().map(|line| Line::styled(line, style)));
    };
    match &detail.history {
        History::Awaited => say("…", theme.quiet()),
        History::Failed(why) => say(&escape(why), theme.bad()),
        History::Here(decisions) if decisions.is_empty() => {
            say("nobody has decided about this id yet", theme.quiet());
        }
        History::Here(decisions) => {
            for decision in decisions.iter().rev() {
                content.extend(decided(app, detail, decision, theme, columns));
            }
        }
    }
    content
}

fn decided(
    app: &App,
    detail: &Detail,
    decision: &Decision,
    theme: Theme,
    columns: usize,
) -> Vec<Line<'static>> {
    let which = if decision.fingerprint == detail.name.fingerprint {
        "this key".to_owned()
    } else {
        fingerprint_start(decision.fingerprint, 1)
    };
    let from = decision.from.map(|from| format!(" from {}", fingerprint_start(from, 1))).unwrap_or_default();
    let when = if columns >= 70 { moment(decision.at) } else { format!("{:>4}", age(app.now, decision.at)) };
    let by = escape(&decision.by);
    let mut content = vec![Line::from(vec![
        Span::styled(format!("{when}  "), theme.quiet()),
        Span::styled(fit(&escape(&decision.act), 8), theme.bold()),
        Span::raw(cut(
            &format!("{which}{from} by {}", short_name(&by)),
            columns.saturating_sub(when.len() + 10),
        )),
    ])];
    if let Some(reason) = &decision.reason {
        let indent = when.len() + 2;
        let text = format!("\"{}\"", escape(reason));
        for line in wrap(&text, columns.saturating_sub(indent)) {
            content.push(Line::raw(format!("{}{line}", " ".repeat(indent))));
        }
    }
    content
}
