//! A line that somebody types.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// A text and the keys that change it; one types at its end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Field {
    text: String,
    /// The most bytes it takes.
    max: usize,
}

impl Field {
    pub(crate) fn new(max: usize) -> Self {
        Self { text: String::new(), max }
    }

    pub(crate) fn with(text: &str, max: usize) -> Self {
        Self { text: text.to_owned(), max }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn clear(&mut self) {
        self.text.clear();
    }

    /// Takes a key stroke; Ctrl-U clears and Ctrl-W takes a word back, as in a shell.
    pub(crate) fn press(&mut self, key: KeyEvent) {
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('u') if is_control => self.clear(),
            KeyCode::Char('w') if is_control => {
                let kept = self.text.trim_end().rfind(' ').map_or(0, |space| space + 1);
                self.text.truncate(kept);
            }
            KeyCode::Char('h') if is_control => drop(self.text.pop()),
            KeyCode::Backspace => drop(self.text.pop()),
            KeyCode::Char(c) if !is_control && !key.modifiers.contains(KeyModifiers::ALT) => {
                self.paste(c.encode_utf8(&mut [0; 4]));
            }
            _ => {}
        }
    }

    /// Takes in pasted text, as one line and as far as there is room.
    pub(crate) fn paste(&mut self, text: &str) {
        for c in text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }) {
            if !c.is_control() && self.text.len() + c.len_utf8() <= self.max {
                self.text.push(c);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(max: usize, strokes: &[(KeyCode, KeyModifiers)]) -> String {
        let mut field = Field::new(max);
        for (code, modifiers) in strokes {
            field.press(KeyEvent::new(*code, *modifiers));
        }
        field.text
    }

    #[test]
    fn strokes_edit() {
        let none = KeyModifiers::NONE;
        let letters = |text: &str| text.chars().map(|c| (KeyCode::Char(c), none)).collect::<Vec<_>>();
        let with = |text: &str, code, modifiers| [letters(text), vec![(code, modifiers)]].concat();
        assert_eq!(typed(99, &letters("dc=paris é")), "dc=paris é");
        assert_eq!(typed(3, &letters("abcd")), "abc");
        assert_eq!(typed(2, &letters("aéb")), "ab");
        assert_eq!(typed(99, &with("aé", KeyCode::Backspace, none)), "a");
        assert_eq!(typed(99, &with("one two ", KeyCode::Char('w'), KeyModifiers::CONTROL)), "one ");
        assert_eq!(typed(99, &with("one", KeyCode::Char('w'), KeyModifiers::CONTROL)), "");
        assert_eq!(typed(99, &with("one two", KeyCode::Char('u'), KeyModifiers::CONTROL)), "");
        assert_eq!(typed(99, &with("one", KeyCode::Char('x'), KeyModifiers::ALT)), "one");
    }

    #[test]
    fn what_is_pasted_is_one_harmless_line() {
        let mut field = Field::with("a", 12);
        field.paste("b\nc\u{1b}[31md\u{7f}");
        assert_eq!(field.text(), "ab c[31md");
        field.paste("0123456789");
        assert_eq!(field.text(), "ab c[31md012");
    }
}
