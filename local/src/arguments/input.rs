//! Arguments that are not on the command line, where everybody on the machine can read them: in
//! files and on the standard input.

use std::fs::File;
use std::io::{self, Read};

/// Most bytes that are read for one command: the largest order that a master can be told to take.
pub const INPUT_MAX: usize = 16 * 1024 * 1024;

/// Why an argument cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// The system said no.
    #[error("cannot read {place}: {reason}{}", hint(place))]
    System {
        /// The file.
        place: String,
        /// The system's reason.
        reason: String,
    },
    /// More than anybody takes.
    #[error("{place} is too large: all arguments together have at most {max} bytes")]
    TooLarge {
        /// The file.
        place: String,
        /// The limit.
        max: usize,
    },
    /// Bytes that are no text.
    #[error("{place} is not UTF-8 text: the byte at offset {at} is none of it")]
    NotText {
        /// The file.
        place: String,
        /// Where.
        at: usize,
    },
    /// It can be read only once.
    #[error("the standard input is named twice, and can be read once")]
    StdinTwice,
}

/// Whoever meant a text and not a file learns how to write it.
fn hint(place: &str) -> String {
    if place == STDIN { String::new() } else { format!("; a text that begins with @ is written @@{place}") }
}

const STDIN: &str = "the standard input";

/// The files and the standard input of one command, as far as they are still to be read.
pub struct Inputs {
    stdin: Option<Box<dyn Read>>,
    max: usize,
    left: usize,
}

impl Inputs {
    /// Those of this process.
    #[must_use]
    pub fn of_process() -> Self {
        Self::new(Box::new(io::stdin()), INPUT_MAX)
    }

    fn new(stdin: Box<dyn Read>, max: usize) -> Self {
        Self { stdin: Some(stdin), max, left: max }
    }

    /// The text of a file, or of the standard input when the name is `-`. One line end at its end
    /// is an editor's, and no part of it.
    ///
    /// # Errors
    /// It cannot be read, is too large or no text, or is the standard input for the second time.
    pub fn text(&mut self, name: &str) -> Result<String, InputError> {
        let text = if name == "-" {
            self.stdin_text()?
        } else {
            let file = File::open(name).map_err(|reason| failed(name, &reason))?;
            self.read(name, file)?
        };
        let line = text.strip_suffix('\n').map(|line| line.strip_suffix('\r').unwrap_or(line).len());
        let mut text = text;
        text.truncate(line.unwrap_or(text.len()));
        Ok(text)
    }

    /// The lines of the standard input.
    ///
    /// # Errors
    /// As for [`Inputs::text`].
    pub fn stdin_lines(&mut self) -> Result<Vec<String>, InputError> {
        let text = self.stdin_text()?;
        Ok(text.split_terminator('\n').map(|line| line.trim_end_matches('\r').to_owned()).collect())
    }

    fn stdin_text(&mut self) -> Result<String, InputError> {
        let stdin = self.stdin.take().ok_or(InputError::StdinTwice)?;
        self.read(STDIN, stdin)
    }

    fn read(&mut self, place: &str, from: impl Read) -> Result<String, InputError> {
        let mut bytes = Vec::new();
        // One more than may be tells too much from just enough; a device without end stops here too.
        from.take(self.left as u64 + 1).read_to_end(&mut bytes).map_err(|reason| failed(place, &reason))?;
        let place = || crate::text::escape(place);
        self.left = self
            .left
            .checked_sub(bytes.len())
            .ok_or_else(|| InputError::TooLarge { place: place(), max: self.max })?;
        String::from_utf8(bytes)
            .map_err(|error| InputError::NotText { place: place(), at: error.utf8_error().valid_up_to() })
    }
}

fn failed(place: &str, reason: &io::Error) -> InputError {
    InputError::System { place: crate::text::escape(place), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(stdin: &'static [u8], max: usize) -> Inputs {
        Inputs::new(Box::new(stdin), max)
    }

    #[test]
    fn files_and_stdin() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let name = path.to_str().unwrap();
        for (content, expected) in
            [("a\nb\n", "a\nb"), ("x", "x"), ("x\n\n", "x\n"), ("x\r\n", "x"), ("\n", ""), ("", "")]
        {
            std::fs::write(&path, content).unwrap();
            assert_eq!(inputs(b"", 9).text(name), Ok(expected.to_owned()));
        }
        assert_eq!(inputs(b"from stdin\n", 99).text("-"), Ok("from stdin".to_owned()));
        let lines = inputs(b"m1\r\n\ntest.ping\n", 99).stdin_lines();
        assert_eq!(lines, Ok(["m1", "", "test.ping"].map(str::to_owned).to_vec()));
        let mut twice = inputs(b"x", 9);
        assert!(twice.text("-").is_ok());
        assert_eq!(twice.text("-"), Err(InputError::StdinTwice));
        assert_eq!(twice.stdin_lines(), Err(InputError::StdinTwice));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let said = |name: &str| inputs(b"", 9).text(name).unwrap_err().to_string();
        let gone = folder.path().join("gone");
        let gone = gone.to_str().unwrap();
        assert_eq!(
            said(gone),
            format!(
                "cannot read {gone}: No such file or directory (os error 2); a text that begins with @ is written @@{gone}"
            )
        );
        assert!(said(folder.path().to_str().unwrap()).contains("Is a directory"));
        assert!(said("a\u{1b}[2J").contains("a\\u{1b}[2J"));
        assert_eq!(
            inputs(b"ab\xff", 9).text("-").unwrap_err().to_string(),
            "the standard input is not UTF-8 text: the byte at offset 2 is none of it"
        );
    }

    /// A file without end costs the limit, and all files together cost it once.
    #[test]
    fn memory_is_bounded() {
        let large = |place: &str| InputError::TooLarge { place: place.to_owned(), max: 9 };
        assert_eq!(inputs(b"", 9).text("/dev/zero"), Err(large("/dev/zero")));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("five");
        std::fs::write(&path, "12345").unwrap();
        let name = path.to_str().unwrap();
        let mut both = inputs(b"1234", 9);
        assert!(both.text(name).is_ok() && both.text("-").is_ok());
        let mut too_much = inputs(b"12345", 9);
        assert!(too_much.text(name).is_ok());
        assert_eq!(too_much.text("-"), Err(large("the standard input")));
    }
}
