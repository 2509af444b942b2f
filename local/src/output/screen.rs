//! Where output goes: stdout, or the file of `--out-file`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use crate::file::FileError;

/// Where output goes.
#[derive(Debug)]
pub enum Screen {
    /// The standard output.
    Stdout,
    /// A file.
    File(File),
}

impl Screen {
    /// Opens the file before anything is done: a bad path must not come to light afterwards. As with
    /// a shell's `>`, what is in it is gone then, unless it is to be added to.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn open(path: Option<&Path>, is_append: bool) -> Result<Self, FileError> {
        let Some(path) = path else {
            return Ok(Screen::Stdout);
        };
        let opened =
            OpenOptions::new().create(true).write(true).append(is_append).truncate(!is_append).open(path);
        opened.map(Screen::File).map_err(|reason| FileError::System {
            doing: "write",
            path: path.to_owned(),
            reason,
        })
    }

    /// Writes a text, all of it and at once.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn print(&mut self, text: &str) -> io::Result<()> {
        self.write_all(text.as_bytes())?;
        self.flush()
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Screen::Stdout => io::stdout().write(bytes),
            Screen::File(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Screen::Stdout => io::stdout().flush(),
            Screen::File(file) => file.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_or_added_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        for (is_append, expected) in [(false, "x\n"), (true, "x\nx\n"), (false, "x\n")] {
            Screen::open(Some(&path), is_append).unwrap().print("x\n").unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
        }
        assert!(Screen::open(Some(folder.path()), false).is_err());
    }
}
