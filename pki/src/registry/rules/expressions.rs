//! Lines that match ids: exactly, as a glob, or as a regular expression from end to end.
//!
//! Strangers choose what is matched and how often, so that has to stay cheap: lines without a
//! special character are looked up, lines whose only special character is the dot (host names,
//! where Salt lets it stand for any character) are looked up by what stands before it, and of
//! real patterns there are few. Regular expressions run in linear time.

use std::collections::{HashMap, HashSet};

use brine_protocol::glob;
use regex::{Regex, RegexBuilder};

/// The most lines of a file: ten times the fleet that a master is made for.
const LINES_MAX: usize = 100_000;

/// The largest file, in bytes.
pub const BYTES_MAX: usize = 1024 * 1024;

/// The most lines with a glob or a regular expression: each is tried on each key that waits.
const PATTERNS_MAX: usize = 1000;

/// The largest compiled expression, in bytes.
const COMPILED_MAX: usize = 256 * 1024;

/// Why a file of expressions is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionsError {
    /// Too large.
    #[error("it has more than {BYTES_MAX} bytes")]
    Bytes,
    /// Too many lines.
    #[error("it has more than {LINES_MAX} lines")]
    Lines,
    /// Too many patterns.
    #[error(
        "it has more than {PATTERNS_MAX} lines with a glob or a regular expression; write ids out or join patterns"
    )]
    Patterns,
}

/// A line that is more than itself.
#[derive(Debug, Clone)]
struct Pattern {
    line: String,
    /// What every match begins with.
    start: String,
    /// None when the line is not a regular expression.
    regex: Option<Regex>,
}

/// The lines of a file.
#[derive(Debug, Clone, Default)]
pub struct Expressions {
    exact: HashSet<String>,
    /// By what stands before the first dot.
    dotted: HashMap<String, Vec<String>>,
    patterns: Vec<Pattern>,
}

impl Expressions {
    /// Reads lines. Blank ones and those that begin with `#` say nothing.
    ///
    /// # Errors
    /// There are too many.
    pub fn parse(text: &str) -> Result<Self, ExpressionsError> {
        if text.len() > BYTES_MAX {
            return Err(ExpressionsError::Bytes);
        }
        let mut read = Self::default();
        for (n, line) in text.lines().enumerate() {
            if n >= LINES_MAX {
                return Err(ExpressionsError::Lines);
            }
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            read.add(line)?;
        }
        Ok(read)
    }

    fn add(&mut self, line: &str) -> Result<(), ExpressionsError> {
        self.exact.insert(line.to_owned());
        let is_special = |c: char| "^$*+?{}[]()|\\".contains(c);
        if line.contains(is_special) {
            if self.patterns.len() >= PATTERNS_MAX {
                return Err(ExpressionsError::Patterns);
            }
            self.patterns.push(Pattern { line: line.to_owned(), start: start(line), regex: compile(line) });
        } else if let Some((start, _)) = line.split_once('.') {
            self.dotted.entry(start.to_owned()).or_default().push(line.to_owned());
        }
        Ok(())
    }

    /// The line that matches, if one does.
    #[must_use]
    pub fn find(&self, value: &str) -> Option<&str> {
        self.exact.get(value).map(String::as_str).or_else(|| self.find_dotted(value)).or_else(|| {
            let fits = |pattern: &&Pattern| {
                value.starts_with(&pattern.start)
                    && (glob::matches(&pattern.line, value)
                        || pattern.regex.as_ref().is_some_and(|regex| regex.is_match(value)))
            };
            self.patterns.iter().find(fits).map(|pattern| pattern.line.as_str())
        })
    }

    fn find_dotted(&self, value: &str) -> Option<&str> {
        if self.dotted.is_empty() {
            return None;
        }
        let fits = |line: &&String| {
            let (mut line, mut value) = (line.chars(), value.chars());
            loop {
                match (line.next(), value.next()) {
                    (None, None) => return true,
                    (Some('.'), Some(c)) if c != '\n' => {}
                    (Some(l), Some(c)) if l == c => {}
                    _ => return false,
                }
            }
        };
        let starts = value.char_indices().filter_map(|(at, _)| self.dotted.get(&value[..at]));
        starts.flatten().find(fits).map(String::as_str)
    }

    /// Whether no id matches.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty()
    }

    /// Whether more ids may match than there are lines.
    #[must_use]
    pub fn has_patterns(&self) -> bool {
        !self.patterns.is_empty()
    }
}

/// What every text begins with that a line matches, read either way.
fn start(line: &str) -> String {
    if line.contains('|') {
        return String::new();
    }
    let special = line.find(|c: char| ".^$*+?{}[]()\\".contains(c)).unwrap_or(line.len());
    let mut start = line[..special].to_owned();
    if line[special..].starts_with(['*', '?', '{']) {
        // As a regular expression, the character before it may be absent.
        start.pop();
    }
    start
}

fn compile(line: &str) -> Option<Regex> {
    let build = |text: &str| {
        RegexBuilder::new(text)
            .size_limit(COMPILED_MAX)
            .dfa_size_limit(COMPILED_MAX)
            .nest_limit(50)
            .build()
            .ok()
    };
    // By itself first, so that no parenthesis of the line ends the group around it.
    build(line)?;
    build(&format!(r"\A(?:{line})\z"))
}
