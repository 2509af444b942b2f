//! Nothing to show: why, and what to do about it.

use brine_protocol::control::KeyState;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::lines;
use super::theme::Theme;
use crate::app::App;
use crate::app::list::Tab;
use crate::text::{counted, wrap};

pub(super) fn draw(app: &App, theme: Theme, frame: &mut Frame<'_>, area: Rect) {
    let room = area.width.saturating_sub(4);
    let inner = Rect { x: area.x + 3, width: room, ..area };
    lines(frame, inner, content(app, theme, room.into(), area.height.into()));
}

fn content(app: &App, theme: Theme, columns: usize, rows: usize) -> Vec<Line<'static>> {
    let list = &app.list;
    let all = list.counts[Tab::All.place()];
    let word = match list.tab {
        Tab::All => String::new(),
        Tab::Of(state) => format!("{} ", state.name()),
    };
    let mut content = Vec::new();
    let mut say = |text: String, style| {
        content.extend(wrap(&text, columns).into_iter().map(|line| Line::styled(line, style)));
    };
    let in_tab = list.counts[list.tab.place()];
    if in_tab > 0 {
        let elsewhere = list.matching[Tab::All.place()];
        say(
            format!("None of the {} matches the filter.", counted(in_tab, &format!("{word}key"))),
            theme.bold(),
        );
        say("Esc clears it.".to_owned(), theme.plain());
        if elsewhere > 0 {
            say(
                format!(
                    "In other states {} match{}: Tab goes there.",
                    counted(elsewhere, "key"),
                    if elsewhere == 1 { "es" } else { "" }
                ),
                theme.plain(),
            );
        }
        return content;
    }
    let welcomes = matches!(list.tab, Tab::All | Tab::Of(KeyState::Pending));
    match (all, list.tab) {
        (0, _) if app.whoami.zones.is_some() => {
            say("There is no key of your zones.".to_owned(), theme.bold());
        }
        (0, _) => say("No minion has knocked yet.".to_owned(), theme.bold()),
        (_, Tab::Of(KeyState::Pending)) => say("No key is waiting.".to_owned(), theme.bold()),
        _ => say(format!("There is no {word}key."), theme.bold()),
    }
    if let Some(zones) = &app.whoami.zones {
        let zones = super::frame::zones(zones);
        content.extend(
            wrap(&format!("You are limited to {zones}: keys of other zones are not shown."), columns)
                .into_iter()
                .map(|line| Line::styled(line, theme.careful())),
        );
    }
    if welcomes || all == 0 {
        let is_low = rows < 13;
        if !is_low {
            content.push(Line::default());
        }
        content.extend(welcome(app, theme, columns, is_low));
    }
    content
}

/// How to point a minion to this master.
fn welcome(app: &App, theme: Theme, columns: usize, is_low: bool) -> Vec<Line<'static>> {
    let health = &app.health;
    let mut content = Vec::new();
    let mut say = |text: &str, style| {
        content.extend(wrap(text, columns).into_iter().map(|line| Line::styled(line, style)));
    };
    say("To point a machine here, write on it /etc/brine/minion.yaml:", theme.plain());
    if !is_low {
        content.push(Line::default());
    }
    let host = brine_local::text::escape(&app.host);
    let mut yaml = vec![format!("  master: {host}")];
    yaml.extend(finger(&health.fingerprint.to_string(), columns));
    yaml.push(format!("  publish_port: {}", health.publish_port));
    yaml.push(format!("  ret_port: {}", health.ret_port));
    content.extend(yaml.into_iter().map(|line| Line::styled(line, theme.good())));
    if !is_low {
        content.push(Line::default());
    }
    let text = "and start brine-minion. Its key shows here by itself; any name or address of this host \
                serves as master.";
    content.extend(wrap(text, columns).into_iter().map(|line| Line::styled(line, theme.plain())));
    content
}

/// The master's fingerprint as YAML, on one line where there is room: a backslash at the end of a
/// line in quotes goes on in the next.
fn finger(fingerprint: &str, columns: usize) -> Vec<String> {
    let digits = fingerprint.replace(':', "");
    let line = |text: &str| format!("  master_finger: '{text}'");
    for text in [fingerprint, &digits] {
        if line(text).len() <= columns {
            return vec![line(text)];
        }
    }
    let (first, second) = digits.split_at(digits.len() / 2);
    vec![format!("  master_finger: \"{first}\\"), format!("    {second}\"")]
}
