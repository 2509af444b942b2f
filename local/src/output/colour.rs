//! Colours as Salt sets them: reset first, then the attributes.

/// What is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Text values, accepted keys.
    Green,
    /// Ids, map keys.
    Cyan,
    /// Numbers, booleans, none.
    LightYellow,
    /// Failures, unaccepted keys.
    Red,
    /// Rejected keys.
    Blue,
    /// Denied keys.
    Magenta,
    /// Local keys, suspended keys.
    Yellow,
}

impl Colour {
    fn sequence(self) -> &'static str {
        match self {
            Colour::Green => "\u{1b}[0;32m",
            Colour::Cyan => "\u{1b}[0;36m",
            Colour::LightYellow => "\u{1b}[0;1;33m",
            Colour::Red => "\u{1b}[0;31m",
            Colour::Blue => "\u{1b}[0;34m",
            Colour::Magenta => "\u{1b}[0;35m",
            Colour::Yellow => "\u{1b}[0;33m",
        }
    }

    /// The text in this colour, or as it is when colours are off.
    #[must_use]
    pub fn paint(self, text: &str, on: bool) -> String {
        if on { format!("{}{text}\u{1b}[0;0m", self.sequence()) } else { text.to_owned() }
    }
}
