//! What an operator should know all the time: no connection, problems of the master, notices.

use brine_local::text::escape;

use crate::app::{App, Connection, Tone};
use crate::text::{age, wrap};

/// The notices in at most so many lines. What is left out is in the help.
pub(crate) fn lines(app: &App, columns: usize, max: usize) -> Vec<(Tone, String)> {
    let mut lines: Vec<(Tone, String)> = Vec::new();
    for (tone, text) in sentences(app) {
        lines.extend(wrap(&text, columns.saturating_sub(1)).into_iter().map(|line| (tone, line)));
    }
    if lines.len() > max {
        lines.truncate(max);
        if let Some((_, last)) = lines.last_mut() {
            *last = format!("{} … (? has all)", crate::text::cut(last, columns.saturating_sub(17)));
        }
    }
    lines
}

/// The notices, most urgent first.
pub(crate) fn sentences(app: &App) -> Vec<(Tone, String)> {
    let mut sentences = Vec::new();
    if let Connection::Lost { why, since } = &app.connection {
        let since = age(app.now, *since);
        sentences.push((Tone::Bad, format!("! Not connected for {since}, trying again: {}", escape(why))));
    }
    let problems = app.health.problems.iter().map(|text| (Tone::Bad, format!("! Problem: {}", escape(text))));
    let notices = app.health.notices.iter().map(|text| (Tone::Plain, format!("! {}", escape(text))));
    sentences.extend(problems.chain(notices));
    sentences
}
