//! Colours: the 16 that every terminal names, as foregrounds only, so that they read on dark and
//! on light. Without colours everything is still there, in words and in bold.

use brine_protocol::control::KeyState;
use ratatui::style::{Color, Modifier, Style};

use crate::app::Tone;

/// How things look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Theme {
    has_colours: bool,
}

impl Theme {
    pub(crate) fn new(has_colours: bool) -> Self {
        Self { has_colours }
    }

    fn paint(self, colour: Color) -> Style {
        if self.has_colours { Style::new().fg(colour) } else { Style::new() }
    }

    pub(crate) fn plain(self) -> Style {
        Style::new()
    }

    pub(crate) fn bold(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// What need not be read each time.
    pub(crate) fn quiet(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// What can be pressed.
    pub(crate) fn key(self) -> Style {
        self.paint(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    pub(crate) fn good(self) -> Style {
        self.paint(Color::Green)
    }

    pub(crate) fn bad(self) -> Style {
        self.paint(Color::Red).add_modifier(Modifier::BOLD)
    }

    pub(crate) fn careful(self) -> Style {
        self.paint(Color::Yellow).add_modifier(Modifier::BOLD)
    }

    /// The line that the cursor is on, and the tab that is open.
    pub(crate) fn cursor(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    pub(crate) fn state(self, state: KeyState) -> Style {
        match state {
            KeyState::Pending => self.paint(Color::Yellow),
            KeyState::Accepted => self.paint(Color::Green),
            KeyState::Rejected => self.paint(Color::LightBlue),
            KeyState::Denied => self.paint(Color::Magenta).add_modifier(Modifier::BOLD),
            KeyState::Suspended => self.paint(Color::Cyan),
        }
    }

    pub(crate) fn tone(self, tone: Tone) -> Style {
        match tone {
            Tone::Good => self.good(),
            Tone::Plain => self.plain(),
            Tone::Bad => self.bad(),
        }
    }
}
