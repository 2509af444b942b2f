//! How a doctor says what it found: one line per check, with what to do where there is something to do.
//! `brine doctor`, `brine-key doctor` and `brine-minion doctor` all print in this form.

use std::fs::File;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde_json::{Value, json};

use crate::file;
use crate::output::{Colour, Format, Style, escape, render_value};

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grade {
    /// As it should be.
    Ok,
    /// It works; somebody should know.
    Warn,
    /// It does not work.
    Fail,
}

impl Grade {
    fn word(self) -> &'static str {
        match self {
            Grade::Ok => "ok",
            Grade::Warn => "warn",
            Grade::Fail => "FAIL",
        }
    }

    fn colour(self) -> Colour {
        match self {
            Grade::Ok => Colour::Green,
            Grade::Warn => Colour::Yellow,
            Grade::Fail => Colour::Red,
        }
    }
}

/// One line of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was looked at, in a word or two.
    pub about: &'static str,
    /// How it is.
    pub grade: Grade,
    /// What was found, in one sentence.
    pub says: String,
    /// What to do, where there is something to do.
    pub advice: Option<String>,
}

impl Check {
    /// As it should be.
    #[must_use]
    pub fn ok(about: &'static str, says: impl Into<String>) -> Self {
        Self { about, grade: Grade::Ok, says: says.into(), advice: None }
    }

    /// It works, and somebody should know.
    #[must_use]
    pub fn warn(about: &'static str, says: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { about, grade: Grade::Warn, says: says.into(), advice: Some(advice.into()) }
    }

    /// It does not work.
    #[must_use]
    pub fn fail(about: &'static str, says: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { about, grade: Grade::Fail, says: says.into(), advice: Some(advice.into()) }
    }

    /// For programs.
    #[must_use]
    pub fn document(&self) -> Value {
        json!({
            "about": self.about,
            "grade": self.grade.word().to_lowercase(),
            "says": self.says,
            "advice": self.advice,
        })
    }

    /// For people.
    #[must_use]
    pub fn line(&self, colours: bool) -> String {
        let grade = self.grade.colour().paint(&format!("{:<4}", self.grade.word()), colours);
        let mut line = format!("{grade}  {:<12}  {}\n", self.about, escape(&self.says));
        if let Some(advice) = &self.advice {
            line.push_str(&format!("{:20}-> {}\n", "", escape(advice)));
        }
        line
    }
}

/// Whether anything does not work.
#[must_use]
pub fn has_failed(checks: &[Check]) -> bool {
    checks.iter().any(|check| check.grade == Grade::Fail)
}

/// All checks in the form asked for: lines for people, a list of documents for programs. With
/// `is_quiet` people see only what is not as it should be.
#[must_use]
pub fn page(checks: &[Check], style: &Style, is_quiet: bool) -> String {
    match style.format {
        Format::Nested | Format::Txt => {
            let is_wanted = |check: &&Check| !is_quiet || check.grade != Grade::Ok;
            checks.iter().filter(is_wanted).map(|check| check.line(style.colours)).collect()
        }
        _ => {
            let document: Value = checks.iter().map(Check::document).collect();
            render_value(&document, style)
        }
    }
}

/// The process that holds a lock file, if one does: its id as it wrote it there, perhaps empty. Only
/// tried: nothing is written, and nothing stays locked.
#[must_use]
pub fn holder(path: &Path) -> Option<String> {
    let opened = File::open(path).ok()?;
    match Flock::lock(opened, FlockArg::LockSharedNonblock) {
        Err((_, Errno::EWOULDBLOCK)) => Some(file::read_text(path, 32).unwrap_or_default().trim().to_owned()),
        Ok(_) | Err(_) => None,
    }
}

/// Bytes that are free under a folder for whoever asks.
#[must_use]
pub fn free(folder: &Path) -> Option<u64> {
    let found = nix::sys::statvfs::statvfs(folder).ok()?;
    // The field's width differs between systems.
    #[allow(clippy::unnecessary_cast, reason = "it is u32 elsewhere")]
    let free = (found.blocks_available() as u64).saturating_mul(found.fragment_size() as u64);
    Some(free)
}

/// How much room there is, in one check.
///
/// `low` bytes are a warning, `full` bytes a failure.
#[must_use]
pub fn room(what: &str, free: u64, (low, full): (u64, u64), advice: &str) -> Check {
    let says = format!("{} MiB are free for {what}", free >> 20);
    match free {
        free if free < full => Check::fail("disk", says, advice),
        free if free < low => Check::warn("disk", says, advice),
        _ => Check::ok("disk", says),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_to_do() {
        let check = Check::fail("ledger", "broken\u{1b}", "run: brine-key ledger repair");
        assert_eq!(
            check.line(false),
            "FAIL  ledger        broken\\u{1b}\n                    -> run: brine-key ledger repair\n"
        );
        assert_eq!(Check::ok("disk", "9 GiB are free").line(false), "ok    disk          9 GiB are free\n");
        assert_eq!(check.document()["grade"], "fail");
    }

    #[test]
    fn quiet_leaves_out_what_is_well() {
        let checks = [Check::ok("a", "fine"), Check::warn("b", "so so", "look")];
        let text = page(&checks, &Style::default(), true);
        assert!(text.starts_with("warn  b") && !text.contains("fine"), "{text}");
        let all = page(&checks, &Style { format: Format::Json, ..Style::default() }, true);
        assert_eq!(serde_json::from_str::<Value>(&all).unwrap().as_array().unwrap().len(), 2);
        assert!(!has_failed(&checks));
        assert!(has_failed(&[Check::fail("c", "not", "mend it")]));
    }

    #[test]
    fn little_room_is_told_in_time() {
        let grade = |free| room("/x", free, (1 << 30, 64 << 20), "make room").grade;
        assert_eq!(grade(5 << 30), Grade::Ok);
        assert_eq!(grade(500 << 20), Grade::Warn);
        assert_eq!(grade(5 << 20), Grade::Fail);
    }
}
