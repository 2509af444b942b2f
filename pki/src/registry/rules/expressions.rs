//! Lines that match ids: exactly, as a glob, or as a regular expression from end to end.
//!
//! Strangers choose what is matched and how often, so that has to stay cheap: lines without a
//! special character are looked up, lines whose only special character is the dot (host names,
//! where Salt lets it stand for any character) are looked up by what stands before it, and of
//! real patterns there are few. Regular expressions run in linear time.
//!
//! **Invariant:** a line that could never do what its author meant makes the file unusable. A line
//! of `autoreject_file` that is skipped in silence lets in whom it was to keep out.

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
    /// A line with a character that no id has and nobody sees.
    #[error("line {0} has a control character")]
    Control(usize),
    /// A line that is meant as a pattern and is none.
    #[error(
        "line {0} is neither a glob nor a regular expression that is known here (without look-around and back references, and not too large)"
    )]
    NoPattern(usize),
}

/// The lines of a file that say something, with their numbers: neither blank ones nor those that
/// begin with `#`, without the blanks around them, nor the mark with which some editors begin.
pub fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

const BYTE_ORDER_MARK: char = '\u{feff}';

/// A line that is more than itself.
#[derive(Debug, Clone)]
struct Pattern {
    line: String,
    /// What every match begins with.
    start: String,
    /// None when the line is a glob and nothing else.
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
    /// Reads [`lines`].
    ///
    /// # Errors
    /// There are too many, or one cannot be used.
    pub fn parse(text: &str) -> Result<Self, ExpressionsError> {
        if text.len() > BYTES_MAX {
            return Err(ExpressionsError::Bytes);
        }
        if text.lines().nth(LINES_MAX).is_some() {
            return Err(ExpressionsError::Lines);
        }
        let mut read = Self::default();
        for (number, line) in lines(text) {
            read.add(number, line)?;
        }
        Ok(read)
    }

    fn add(&mut self, number: usize, line: &str) -> Result<(), ExpressionsError> {
        if line.contains(|c: char| c.is_control() || c == BYTE_ORDER_MARK) {
            return Err(ExpressionsError::Control(number));
        }
        self.exact.insert(line.to_owned());
        let is_special = |c: char| "^$*+?{}[]()|\\".contains(c);
        if line.contains(is_special) {
            if self.patterns.len() >= PATTERNS_MAX {
                return Err(ExpressionsError::Patterns);
            }
            let regex = compile(line);
            if regex.is_none() && !is_glob(line) {
                return Err(ExpressionsError::NoPattern(number));
            }
            self.patterns.push(Pattern { line: line.to_owned(), start: start(line), regex });
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

/// Whether a line can only be meant as a glob: with nothing that is special in regular expressions
/// alone, and with brackets that say something.
fn is_glob(line: &str) -> bool {
    let mut rest = line;
    while let Some((before, class)) = rest.split_once('[') {
        let class = class.strip_prefix('!').unwrap_or(class);
        // A bracket right at the start is a member.
        let end = class.char_indices().skip(1).find(|(_, c)| *c == ']');
        let Some((end, _)) = end.filter(|(end, _)| is_class(&class[..*end]) && !before.contains(']')) else {
            return false;
        };
        rest = &class[end + 1..];
    }
    !rest.contains(']') && !line.contains(|c| "^$+{}()|\\".contains(c))
}

/// Whether no range of a class is empty.
fn is_class(members: &str) -> bool {
    let members: Vec<char> = members.chars().collect();
    members.windows(3).all(|range| range[1] != '-' || range[0] <= range[2])
}
