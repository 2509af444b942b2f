//! Acts under way: how far they are, and what became of each key.

use brine_local::text::escape;
use ratatui::Frame;
use ratatui::text::{Line, Span};

use super::frame::window;
use super::lines;
use super::theme::Theme;
use crate::app::batch::{Batch, Outcome};
use crate::text::{capital, cut_middle, number, wrap};

const COLUMNS_MAX: u16 = 76;

pub(super) fn draw(batch: &Batch, theme: Theme, frame: &mut Frame<'_>) {
    let screen = frame.area();
    let columns = COLUMNS_MAX.min(screen.width.saturating_sub(6));
    let wide = usize::from(columns);
    let rows_max = usize::from(screen.height.saturating_sub(3));
    let room = rows_max.saturating_sub(4).max(1);
    let mut content = vec![gauge(batch, wide, theme), Line::default()];
    let results = results(batch, wide, room, theme);
    // The window keeps its size while results come in.
    let wanted = batch.steps.len().max(results.len()).min(room);
    let missing = wanted.saturating_sub(results.len());
    content.extend(results);
    content.extend(std::iter::repeat_n(Line::default(), missing));
    content.push(Line::default());
    content.push(if batch.is_over {
        Line::from(vec![
            Span::styled("Enter", theme.key()),
            Span::raw(" close   "),
            Span::styled("j k", theme.key()),
            Span::raw(" scroll"),
        ])
    } else {
        Line::styled("under way; closing this window does not stop it", theme.quiet())
    });
    let rows = u16::try_from(content.len()).unwrap_or(u16::MAX);
    let inner = window(frame, theme, &batch.title(), columns, rows);
    lines(frame, inner, content);
}

fn gauge(batch: &Batch, columns: usize, theme: Theme) -> Line<'static> {
    let sentence = batch.sentence();
    let style = if batch.refused() + batch.unknown() > 0 { theme.bad() } else { theme.good() };
    if batch.is_over {
        return Line::styled(capital(&sentence), style);
    }
    let room = columns.saturating_sub(sentence.len() + 5).min(30);
    let full = room * batch.results.len() / batch.steps.len().max(1);
    let bar = format!("[{}{}]", "#".repeat(full), "-".repeat(room - full));
    Line::from(vec![Span::styled(bar, style), Span::raw(format!(" {sentence}"))])
}

fn results(batch: &Batch, columns: usize, room: usize, theme: Theme) -> Vec<Line<'static>> {
    let mut content = Vec::new();
    let all = batch.lines();
    for (at, (step, outcome)) in all.iter().enumerate().skip(batch.top) {
        let (mark, style, why) = match outcome {
            Outcome::Done => ("done     ", theme.good(), None),
            Outcome::Refused(why) => ("refused  ", theme.bad(), Some(why)),
            Outcome::Unknown(why) => ("unknown  ", theme.bad(), Some(why)),
        };
        let past = step.act.past();
        let id = cut_middle(step.name.id.as_str(), columns.saturating_sub(10 + mark.len()));
        let text = why.map_or_else(|| format!("{id} {past}"), |why| format!("{id}: {}", escape(why)));
        let lines: Vec<Line<'static>> = wrap(&text, columns.saturating_sub(mark.len()))
            .into_iter()
            .enumerate()
            .map(|(at, line)| {
                let mark = if at == 0 { mark } else { "         " };
                Line::from(vec![Span::styled(mark, style), Span::raw(line)])
            })
            .collect();
        let left = all.len() - at;
        let is_last = left == 1;
        if content.len() + lines.len() + usize::from(!is_last) > room && !content.is_empty() {
            content.push(Line::styled(format!("… and {} more", number(left)), theme.quiet()));
            break;
        }
        content.extend(lines);
    }
    content.truncate(room);
    content
}
