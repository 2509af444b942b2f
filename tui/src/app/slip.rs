//! What every question has beside its answer: a reason for the ledger, and how far it is scrolled.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::field::Field;

/// The longest reason that the master's ledger takes, in bytes.
const REASON_MAX: usize = 1024;

/// What a key stroke made of a question.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Yes,
    No,
    Open,
}

/// The state of a question that is not about what is asked.
#[derive(Debug)]
pub(crate) struct Slip {
    pub(crate) reason: Field,
    pub(crate) is_typing: bool,
    /// The first line, or the first key of a list, that is shown.
    pub(crate) top: usize,
}

impl Slip {
    pub(crate) fn new() -> Self {
        Self { reason: Field::new(REASON_MAX), is_typing: false, top: 0 }
    }

    /// Takes a key stroke; none if it may be an answer. No is an answer to every question.
    pub(crate) fn press(&mut self, key: KeyEvent) -> Option<Reply> {
        if self.is_typing {
            match key.code {
                KeyCode::Enter | KeyCode::Tab | KeyCode::Esc => self.is_typing = false,
                _ => self.reason.press(key),
            }
            return Some(Reply::Open);
        }
        if key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) {
            return Some(Reply::Open);
        }
        match key.code {
            KeyCode::Tab => self.is_typing = true,
            KeyCode::Down | KeyCode::Char('j') => self.scroll(1),
            KeyCode::Up | KeyCode::Char('k') => self.scroll(-1),
            KeyCode::PageDown => self.scroll(10),
            KeyCode::PageUp => self.scroll(-10),
            KeyCode::Esc | KeyCode::Char('n' | 'N' | 'q') => return Some(Reply::No),
            _ => return None,
        }
        Some(Reply::Open)
    }

    pub(crate) fn scroll(&mut self, lines: isize) {
        // The view knows where the end is, and the state is put right by it.
        self.top = self.top.saturating_add_signed(lines);
    }

    /// Takes pasted text where one types.
    pub(crate) fn paste(&mut self, text: &str) -> bool {
        if self.is_typing {
            self.reason.paste(text);
        }
        self.is_typing
    }

    /// What goes into the ledger with the decision.
    pub(crate) fn reason(&self) -> Option<String> {
        let text = self.reason.text().trim();
        (!text.is_empty()).then(|| text.to_owned())
    }
}
