//! The decision: which bytes a file has afterwards. Every line but the one that is meant stays
//! byte for byte, its end included.

use regex::bytes::Regex;

use super::super::super::Fault;
use super::super::pattern::{Flags, compile};

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Mode {
    Ensure,
    Replace,
    Insert,
    Delete,
}

impl Mode {
    pub(super) fn read(given: Option<&str>) -> Result<Self, Fault> {
        match given {
            Some("ensure") => Ok(Self::Ensure),
            Some("replace") => Ok(Self::Replace),
            Some("insert") => Ok(Self::Insert),
            Some("delete") => Ok(Self::Delete),
            Some(other) => Err(failure(&format!("Unknown mode: \"{other}\""))),
            None => Err(failure("Mode was not defined. How to process the file?")),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Location {
    Start,
    End,
}

impl Location {
    pub(super) fn read(given: &str) -> Result<Self, Fault> {
        match given {
            "start" => Ok(Self::Start),
            "end" => Ok(Self::End),
            _ => Err(Fault::Invocation("'location' is either 'start' or 'end'".to_owned())),
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Edit {
    pub(super) mode: Mode,
    pub(super) content: Option<String>,
    pub(super) matched: Option<String>,
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
    pub(super) location: Option<Location>,
    pub(super) is_indented: bool,
}

fn failure(why: &str) -> Fault {
    Fault::Execution(why.to_owned())
}

/// A line without its end.
fn bare(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn end(line: &[u8]) -> &[u8] {
    &line[bare(line).len()..]
}

impl Edit {
    /// The file's new text.
    pub(super) fn apply(&self, text: &[u8]) -> Result<Vec<u8>, Fault> {
        let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
        let content = match (&self.content, self.mode) {
            (Some(content), _) => content.as_str(),
            (None, Mode::Delete) => "",
            (None, _) => return Err(failure("Content can only be empty if mode is \"delete\"")),
        };
        let is_placed = self.before.is_some() || self.after.is_some();
        let matched = self.matched.as_deref().or(if is_placed { None } else { self.content.as_deref() });
        match self.mode {
            Mode::Delete => {
                let Some(first) = hits(&lines, matched)?.first().map(|at| bare(lines[*at])) else {
                    return Ok(text.to_owned());
                };
                Ok(lines.iter().filter(|line| bare(line) != first).copied().collect::<Vec<_>>().concat())
            }
            Mode::Replace => match hits(&lines, matched)?.first() {
                Some(at) => Ok(self.with(&lines, Change::Instead(*at), *at, content)),
                None => Ok(text.to_owned()),
            },
            Mode::Insert => self.insert(text, &lines, content),
            Mode::Ensure => self.ensure(text, &lines, content),
        }
    }

    fn insert(&self, text: &[u8], lines: &[&[u8]], content: &str) -> Result<Vec<u8>, Fault> {
        let (before, after) = (hits(lines, self.before.as_deref())?, hits(lines, self.after.as_deref())?);
        match self.location {
            Some(Location::Start) => return Ok(self.plain(lines, 0, content)),
            // A file whose last line has an end gets another such line, without indentation.
            Some(Location::End) => {
                return Ok(match lines.last() {
                    Some(last) if end(last).is_empty() => {
                        self.with(lines, Change::At(lines.len()), lines.len() - 1, content)
                    }
                    _ => self.plain(lines, lines.len(), content),
                });
            }
            None if lines.is_empty() || (self.before.is_none() && self.after.is_none()) => {
                let why = "On insert either \"location\" or \"before/after\" conditions are required.";
                return Err(failure(why));
            }
            None => {}
        }
        match (before.is_empty(), after.is_empty()) {
            (false, false) => {
                let at = one(&before, "before")?;
                one(&after, "after")?;
                Ok(self.with(lines, Change::At(at), at, content))
            }
            (true, false) => Ok(self.behind(text, lines, one(&after, "after")?, content)),
            (false, true) => {
                let at = one(&before, "before")?;
                Ok(self.in_front(text, lines, at, at, content))
            }
            (true, true) => Err(failure("Neither before or after was found in file")),
        }
    }

    fn ensure(&self, text: &[u8], lines: &[&[u8]], content: &str) -> Result<Vec<u8>, Fault> {
        let (before, after) = (hits(lines, self.before.as_deref())?, hits(lines, self.after.as_deref())?);
        match (before.is_empty(), after.is_empty()) {
            (false, false) => {
                let (after, before) = (one(&after, "after")?, one(&before, "before")?);
                let wanted = content.trim().as_bytes();
                if lines.iter().any(|line| bare(line).trim_ascii() == wanted) {
                    Ok(text.to_owned())
                } else if after + 1 == before {
                    Ok(self.with(lines, Change::At(before), after, content))
                } else if after + 2 == before {
                    Ok(self.with(lines, Change::Instead(after + 1), after, content))
                } else {
                    let why = "Found more than one line between boundaries \"before\" and \"after\".";
                    Err(failure(why))
                }
            }
            (false, true) => {
                let at = one(&before, "before")?;
                Ok(match at.checked_sub(1) {
                    Some(previous) => self.in_front(text, lines, at, previous, content),
                    None => self.plain(lines, 0, content),
                })
            }
            (true, false) => Ok(self.behind(text, lines, one(&after, "after")?, content)),
            (true, true) => Err(failure(
                "Wrong conditions? Unable to ensure line without knowing where to put it before and/or after.",
            )),
        }
    }

    /// Behind the line `at`, unless it is there.
    fn behind(&self, text: &[u8], lines: &[&[u8]], at: usize, content: &str) -> Vec<u8> {
        match lines.get(at + 1) {
            Some(next) if bare(next) == bare(content.as_bytes()) => text.to_owned(),
            _ => self.with(lines, Change::At(at + 1), at, content),
        }
    }

    /// In front of the line `at`, unless it is there; indented as the line `like`.
    fn in_front(&self, text: &[u8], lines: &[&[u8]], at: usize, like: usize, content: &str) -> Vec<u8> {
        match at.checked_sub(1).map(|previous| lines[previous]) {
            Some(previous) if bare(previous) == bare(content.as_bytes()) => text.to_owned(),
            _ => self.with(lines, Change::At(at), like, content),
        }
    }

    /// The change, with the line indented as the line `like`.
    fn with(&self, lines: &[&[u8]], change: Change, like: usize, content: &str) -> Vec<u8> {
        if !self.is_indented {
            return change.apply(lines, content.as_bytes());
        }
        let indentation = lines[like].iter().take_while(|byte| matches!(byte, b' ' | b'\t'));
        let line: Vec<u8> = indentation.copied().chain(content.trim_start().bytes()).collect();
        change.apply(lines, &line)
    }

    fn plain(&self, lines: &[&[u8]], at: usize, content: &str) -> Vec<u8> {
        Change::At(at).apply(lines, content.as_bytes())
    }
}

/// Where a line goes.
#[derive(Debug, Clone, Copy)]
enum Change {
    At(usize),
    Instead(usize),
}

impl Change {
    fn apply(self, lines: &[&[u8]], line: &[u8]) -> Vec<u8> {
        let (at, rest) = match self {
            Change::At(at) => (at, at),
            Change::Instead(at) => (at, at + 1),
        };
        let mut new = lines[..at].concat();
        let usual = lines.first().map(|first| end(first)).filter(|end| !end.is_empty()).unwrap_or(b"\n");
        // The ends are those of the neighbours; a last line without one leaves the new last line
        // without one.
        let around = at.checked_sub(1).or(Some(at)).and_then(|near| lines.get(near));
        let own: &[u8] = match self {
            Change::Instead(at) => end(lines[at]),
            Change::At(at) => match around.map(|near| end(near)) {
                Some(b"") if at == lines.len() => {
                    new.extend_from_slice(usual);
                    b""
                }
                Some(b"") | None => usual,
                Some(near) => near,
            },
        };
        new.extend_from_slice(line);
        if !line.ends_with(b"\n") {
            new.extend_from_slice(own);
        }
        new.extend(lines[rest..].concat());
        new
    }
}

/// The lines that a pattern matches, or that contain it as it stands.
fn hits(lines: &[&[u8]], pattern: Option<&str>) -> Result<Vec<usize>, Fault> {
    let Some(pattern) = pattern.filter(|pattern| !pattern.is_empty() && !lines.is_empty()) else {
        return Ok(Vec::new());
    };
    let regex = compile(pattern, Flags { dot_all: true, ..Flags::default() })?;
    let literal = Regex::new(&regex::escape(pattern)).expect("an escaped text is a regular expression");
    let is_hit = |line: &[u8]| regex.is_match(bare(line)) || literal.is_match(line);
    Ok((0..lines.len()).filter(|at| is_hit(lines[*at])).collect())
}

fn one(hits: &[usize], name: &str) -> Result<usize, Fault> {
    match hits {
        [one] => Ok(*one),
        [] => Err(failure(&format!("Found less than expected occurrences in \"{name}\" expression"))),
        _ => Err(failure(&format!("Found more than expected occurrences in \"{name}\" expression"))),
    }
}

#[cfg(test)]
mod tests;
