//! The key strokes that move a cursor through a list.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// By how many lines this key moves a cursor where a page has so many; none if it moves none.
pub(super) fn lines(key: KeyEvent, page: usize) -> Option<isize> {
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    // A line of the last page stays on the screen.
    let page = isize::try_from(page).unwrap_or(1).max(2) - 1;
    let lines = match key.code {
        KeyCode::Char('f') if is_control => page,
        KeyCode::Char('b') if is_control => -page,
        KeyCode::Char('d') if is_control => (page + 1) / 2,
        KeyCode::Char('u') if is_control => -(page + 1) / 2,
        KeyCode::Char(_) if is_control => return None,
        KeyCode::Down | KeyCode::Char('j') => 1,
        KeyCode::Up | KeyCode::Char('k') => -1,
        KeyCode::PageDown => page,
        KeyCode::PageUp => -page,
        KeyCode::Home | KeyCode::Char('g') => isize::MIN,
        KeyCode::End | KeyCode::Char('G') => isize::MAX,
        _ => return None,
    };
    Some(lines)
}
