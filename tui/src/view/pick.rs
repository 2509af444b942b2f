//! The records of which one is chosen for a key. Only the rows on the screen are built.

use brine_local::text::escape;
use ratatui::Frame;
use ratatui::layout::{Position, Size};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::frame::window;
use super::lines;
use super::question::{about, sentence};
use super::theme::Theme;
use crate::app::App;
use crate::app::pick::{Choice, Fit, Picker};
use crate::text::{claim, counted, cut, fingerprint_start, fit, number, short_id, tail, width, wrap};

/// The largest that the window gets: lines that are longer are hard to follow.
const COLUMNS_MAX: u16 = 128;
const ROWS_MAX: u16 = 34;

/// Why a record is where it is.
const FIT: usize = 11;

/// Columns between two columns.
const GAP: usize = 2;

/// From this width on there is room for the site.
const WIDE: usize = 80;

fn inner(screen: Size) -> Size {
    Size::new(COLUMNS_MAX.min(screen.width.saturating_sub(6)), ROWS_MAX.min(screen.height.saturating_sub(3)))
}

/// How many records are on the screen at once.
pub(super) fn page(app: &App, picker: &Picker) -> usize {
    let (size, theme) = (inner(app.size), Theme::new(false));
    let columns = usize::from(size.width);
    let around = top(app, picker, columns, theme).len() + foot(picker, columns, theme).len();
    usize::from(size.height).saturating_sub(around).max(1)
}

pub(super) fn draw(app: &App, picker: &Picker, theme: Theme, frame: &mut Frame<'_>) {
    let size = inner(app.size);
    let columns = usize::from(size.width);
    let title = format!("Pair {} with a server record", short_id(&picker.step.name.id));
    let area = window(frame, theme, &title, size.width, size.height);
    let mut all = top(app, picker, columns, theme);
    let foot = foot(picker, columns, theme);
    let room = usize::from(area.height).saturating_sub(all.len() + foot.len());
    let mut body = body(app, picker, columns, room, theme);
    body.truncate(room);
    let missing = room - body.len();
    all.extend(body);
    all.extend(std::iter::repeat_n(Line::default(), missing));
    all.extend(foot);
    lines(frame, area, all);
    if let Some(field) = &picker.filtering {
        let typed = width(&tail(&escape(field.text()), filter_room(columns)));
        let x = area.x + u16::try_from(1 + typed).unwrap_or(area.width);
        frame.set_cursor_position(Position { x, y: area.bottom().saturating_sub(1) });
    }
}

/// What is above the rows: the key, what to know, and the heading.
fn top(app: &App, picker: &Picker, columns: usize, theme: Theme) -> Vec<Line<'static>> {
    let mut lines = about(app, &picker.step, columns, theme);
    // An id of 253 bytes is whole in the question that follows: here there is a list to show.
    lines.truncate(2);
    lines.push(Line::styled(fingerprint_start(picker.step.name.fingerprint, 4), theme.quiet()));
    let mut say = |text: &str, style| lines.extend(sentence("! ", text, columns, style));
    if let Some(text) = picker.step.changed(&app.keys) {
        say(&text, theme.bad());
    }
    if let Some(name) = &picker.taken {
        let text =
            format!("It goes with {}, which has another minion: see brine server pair.", cut(name, 40));
        say(&text, theme.careful());
    }
    if app.size.height >= crate::view::layout::ROOMY {
        lines.push(Line::default());
    }
    if !picker.shown.is_empty() {
        lines.push(heading(picker, columns, theme));
    }
    lines
}

/// The widths of name, model, zone and site.
fn widths(picker: &Picker, columns: usize) -> [usize; 4] {
    let widths = picker.widths;
    let want = |content: usize, heading: &str, max: usize| content.max(heading.len()).min(max);
    let model = want(widths.model, "Model", columns / 5);
    let zone = want(widths.zone, "Zone", columns / 6);
    let site = if columns >= WIDE { want(widths.site, "Site", columns / 6) } else { 0 };
    let others = [model, zone, site, FIT].into_iter().filter(|wide| *wide > 0);
    let used: usize = 2 + others.map(|wide| wide + GAP).sum::<usize>();
    [columns.saturating_sub(used), model, zone, site]
}

fn cells(texts: [&str; 4], fits: &str, widths: [usize; 4]) -> Vec<String> {
    let cells = texts.into_iter().zip(widths).filter(|(_, wide)| *wide > 0);
    let gap = " ".repeat(GAP);
    cells.map(|(text, wide)| fit(text, wide) + &gap).chain([fit(fits, FIT)]).collect()
}

fn heading(picker: &Picker, columns: usize, theme: Theme) -> Line<'static> {
    let cells = cells(["Name", "Model", "Zone", "Site"], "Match", widths(picker, columns));
    Line::styled(format!("  {}", cells.concat()), theme.quiet())
}

fn row(choice: &Choice, is_cursor: bool, widths: [usize; 4], theme: Theme) -> Line<'static> {
    // One look for the whole line under the cursor: colours on a reversed line are a patchwork.
    let look = |style: Style| if is_cursor { theme.cursor() } else { style };
    let zone = if choice.zone.is_empty() { "-" } else { &choice.zone };
    let site = if choice.site.is_empty() { "-" } else { &choice.site };
    let mut cells = cells([&choice.name, &choice.model, zone, site], &choice.fit.words(), widths);
    let fit = cells.pop().unwrap_or_default();
    let style = match choice.fit {
        Fit::Again | Fit::ForAnother => theme.careful(),
        Fit::Expected => theme.good(),
        // Anybody can claim a name.
        Fit::Named | Fit::Alike(_) | Fit::Unlike => theme.plain(),
    };
    let mut spans = vec![Span::styled(if is_cursor { "> " } else { "  " }, look(theme.bold()))];
    let styles = [theme.bold(), theme.plain(), theme.plain(), theme.quiet()];
    spans.extend(cells.into_iter().zip(styles).map(|(cell, style)| Span::styled(cell, look(style))));
    spans.push(Span::styled(fit, look(style)));
    Line::from(spans)
}

/// The records, or why there are none.
fn body(app: &App, picker: &Picker, columns: usize, room: usize, theme: Theme) -> Vec<Line<'static>> {
    let say = |text: &str, style| -> Vec<Line<'static>> {
        wrap(text, columns).into_iter().map(|line| Line::styled(line, style)).collect()
    };
    let Some(choices) = &picker.choices else {
        return match &picker.failure {
            Some(why) => say(&format!("! There are no records to show: {}", claim(why)), theme.bad()),
            None => say("Looking for server records …", theme.quiet()),
        };
    };
    if choices.is_empty() {
        let whose = match &app.whoami.zones {
            Some(zones) => format!(" in {}", super::frame::zones(zones)),
            None => String::new(),
        };
        let mut content = say(&format!("There is no unlinked record{whose}; make one:"), theme.bold());
        content.push(Line::styled("  brine server create --name NAME --model MODEL", theme.good()));
        content.extend(say("It shows here by itself.", theme.plain()));
        return content;
    }
    if picker.shown.is_empty() {
        let text = format!("None of {} matches the filter; Esc clears it.", counted(choices.len(), "record"));
        return say(&text, theme.bold());
    }
    let widths = widths(picker, columns);
    let visible = picker.shown.iter().enumerate().skip(picker.top).take(room);
    visible.map(|(at, place)| row(&choices[*place], at == picker.at, widths, theme)).collect()
}

/// What was said, what is typed, and where the cursor is.
fn foot(picker: &Picker, columns: usize, theme: Theme) -> Vec<Line<'static>> {
    let mut content = Vec::new();
    if let Some(hint) = &picker.hint {
        content.extend(sentence("! ", &claim(hint), columns, theme.bad()));
    } else if let Some(why) = picker.failure.as_ref().filter(|_| picker.choices.is_some()) {
        let text = format!("These may be old: {}", claim(why));
        content.extend(sentence("! ", &text, columns, theme.bad()).into_iter().take(2));
    }
    let place = match picker.shown.len() {
        0 => String::new(),
        shown => format!("{} of {}", number(picker.at + 1), number(shown)),
    };
    let room = filter_room(columns);
    let left = match &picker.filtering {
        Some(field) => vec![Span::styled("/", theme.key()), Span::raw(tail(&escape(field.text()), room))],
        None if !picker.filter.is_empty() => {
            let text = cut(&format!("filter: {} (Esc clears)", escape(&picker.filter)), room);
            vec![Span::styled(text, theme.careful())]
        }
        None => Vec::new(),
    };
    let used: usize = left.iter().map(Span::width).sum();
    let missing = columns.saturating_sub(used + width(&place));
    let mut line = Line::from(left);
    line.push_span(Span::raw(" ".repeat(missing)));
    line.push_span(Span::styled(place, theme.quiet()));
    content.push(line);
    content
}

/// The columns that a filter has beside the place of the cursor.
fn filter_room(columns: usize) -> usize {
    columns.saturating_sub(20)
}
