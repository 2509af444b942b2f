//! The help: every key, every mark, and what there is to know of this master.

use ratatui::Frame;
use ratatui::text::{Line, Span};

use super::frame::window;
use super::theme::Theme;
use super::{lines, notices};
use crate::app::App;
use crate::text::{GROUPS, fingerprint_lines, groups_width, role, short_name, wrap};

const COLUMNS_MAX: u16 = 96;

/// What each key does; an empty key is a heading.
const KEYS: &[(&str, &str)] = &[
    ("", "Decide"),
    ("a", "accept: its minion gets orders"),
    ("r", "reject: a no that stays"),
    ("p", "pair: choose a server record for a key that waits; accepted and linked in one decision"),
    ("d  Del", "delete: forget the key; its minion may knock again"),
    ("s", "suspend: cut off at once and keep the key; on a suspended key: resume"),
    ("u", "undo the last of these, key by key, as far as the ledger allows"),
    ("y n", "answer; Enter and Esc mean no; Tab adds a reason for the ledger"),
    ("", "Choose"),
    ("Space", "select; acts are for what is selected and shown, or for the cursor's key"),
    ("*", "select all that is shown, or none of it"),
    ("/", "filter by id, address, 4 digits of a fingerprint, os: host: record: zone:; Esc clears"),
    ("Tab  1-6", "next state, or one of the tabs (also h l, left and right)"),
    ("o  O", "sort by id, first seen, last seen or address; O the other way round"),
    ("", "Look"),
    ("Enter", "detail: whole fingerprint, its picture, claims, history"),
    ("j k g G", "down, up, first, last (also the arrows, Home, End)"),
    ("PgDn PgUp", "a page (Ctrl-F Ctrl-B); Ctrl-D Ctrl-U half; in the detail they scroll it"),
    ("mouse", "click rows, tabs and headings; the wheel scrolls; Shift marks text"),
    ("Ctrl-L", "draw and fetch everything anew"),
    ("q", "quit (also Ctrl-C); Ctrl-Z goes to the background"),
    ("", "Marks"),
    ("●  ○", "connected now, or not"),
    ("*", "selected"),
    ("!key", "this id had another key before: Enter shows both"),
    ("2 keys", "so many keys wait for this id: a person has to choose one"),
    ("rule", "rejected by a rule of the master; it stands only while the rule does"),
    ("Record", "the server record that it is linked to; with ? the one that it could be"),
    ("Claims", "what the machine says of itself; anybody can claim anything"),
];

fn columns(app: &App) -> u16 {
    COLUMNS_MAX.min(app.size.width.saturating_sub(6))
}

/// The last line that the help can begin with.
pub(super) fn top_max(app: &App) -> usize {
    let rows_max = usize::from(app.size.height.saturating_sub(3));
    content(app, Theme::new(false), columns(app).into()).len().saturating_sub(rows_max)
}

pub(super) fn draw(app: &App, top: usize, theme: Theme, frame: &mut Frame<'_>) {
    let columns = columns(app);
    let content = content(app, theme, columns.into());
    let title =
        if top_max(app) > 0 { "Help: j k scroll, any other key closes" } else { "Help: any key closes" };
    let rows = u16::try_from(content.len()).unwrap_or(u16::MAX);
    let inner = window(frame, theme, title, columns, rows);
    lines(frame, inner, content.into_iter().skip(top));
}

fn content(app: &App, theme: Theme, columns: usize) -> Vec<Line<'static>> {
    let mut content = Vec::new();
    for (key, what) in KEYS {
        if key.is_empty() {
            if !content.is_empty() {
                content.push(Line::default());
            }
            content.push(Line::styled((*what).to_owned(), theme.bold()));
            continue;
        }
        for (at, line) in wrap(what, columns - 12).into_iter().enumerate() {
            let key = if at == 0 { *key } else { "" };
            content.push(Line::from(vec![
                Span::styled(crate::text::fit(&format!("  {key}"), 12), theme.key()),
                Span::raw(line),
            ]));
        }
    }
    content.push(Line::default());
    content.push(Line::styled("This master", theme.bold()));
    let health = &app.health;
    let groups = if groups_width(GROUPS) + 2 <= columns { GROUPS } else { 4 };
    let fingerprint = fingerprint_lines(health.fingerprint, groups);
    content.extend(fingerprint.into_iter().map(|line| Line::raw(format!("  {line}"))));
    content.push(Line::raw(format!(
        "  version {}, publish_port {}, ret_port {}, {} minions connected",
        brine_local::text::escape(&health.version),
        health.publish_port,
        health.ret_port,
        health.sessions
    )));
    let who = format!("  you are {}, {}", short_name(&app.whoami.principal), role(app.whoami.role));
    content.push(Line::raw(brine_local::text::escape(&who)));
    if let Some(zones) = &app.whoami.zones {
        let text = format!(
            "you are limited to {}: keys and records of other zones are not shown",
            super::frame::zones(zones)
        );
        let text = wrap(&text, columns - 2).into_iter();
        content.extend(text.map(|line| Line::styled(format!("  {line}"), theme.careful())));
    }
    for (_, text) in notices::sentences(app) {
        let text = wrap(&text, columns - 2).into_iter();
        content.extend(text.map(|line| Line::styled(format!("  {line}"), theme.careful())));
    }
    content
}
