//! Regular expressions as Python's `re` writes them, run in linear time.
//!
//! What differs: there are no look-around assertions and no references back into the pattern,
//! which is an error that says so; `.` and classes see characters of UTF-8, not bytes.

use regex::bytes::{Captures, Regex, RegexBuilder};
use serde_json::Value;

use super::super::{Fault, text_of};

/// How a pattern is read.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Flags {
    pub(super) ignore_case: bool,
    pub(super) multi_line: bool,
    pub(super) dot_all: bool,
    pub(super) verbose: bool,
}

impl Flags {
    /// Python's flags: a name, a list of names, or the number that they add up to.
    pub(super) fn read(given: &Value) -> Result<Self, Fault> {
        let mut flags = Self::default();
        match given {
            Value::Null => {}
            Value::String(name) => flags.add(name)?,
            Value::Array(names) => {
                for name in names {
                    flags.add(&text_of(name))?;
                }
            }
            Value::Number(bits) if bits.as_u64().is_some_and(|bits| bits < 512) => {
                let bits = bits.as_u64().unwrap_or_default();
                flags.ignore_case = bits & 2 != 0;
                flags.multi_line = bits & 8 != 0;
                flags.dot_all = bits & 16 != 0;
                flags.verbose = bits & 64 != 0;
            }
            other => {
                return Err(Fault::Execution(format!(
                    "Invalid re flags: \"{}\", must be given either as a single flag string, a list of strings, or \
                     as an integer",
                    text_of(other)
                )));
            }
        }
        Ok(flags)
    }

    fn add(&mut self, name: &str) -> Result<(), Fault> {
        match name.to_uppercase().as_str() {
            "IGNORECASE" | "I" => self.ignore_case = true,
            "MULTILINE" | "M" => self.multi_line = true,
            "DOTALL" | "S" => self.dot_all = true,
            "VERBOSE" | "X" => self.verbose = true,
            // What they ask for is so in any case, or says nothing about what matches.
            "UNICODE" | "U" | "DEBUG" | "NOFLAG" => {}
            _ => return Err(Fault::Execution(format!("Invalid re flag given: {name}"))),
        }
        Ok(())
    }
}

/// Makes a pattern ready; `pattern` may be foreign, what it costs is bounded.
pub(super) fn compile(pattern: &str, flags: Flags) -> Result<Regex, Fault> {
    RegexBuilder::new(&pattern.replace("\\Z", "\\z"))
        .case_insensitive(flags.ignore_case)
        .multi_line(flags.multi_line)
        .dot_matches_new_line(flags.dot_all)
        .ignore_whitespace(flags.verbose)
        .build()
        .map_err(|error| {
            // The lines before show the pattern and point into it.
            let text = error.to_string();
            let why = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            Fault::Execution(format!("the regular expression '{pattern}' cannot be used: {why}"))
        })
}

/// What stands in place of a match, as Python writes it: `\1`, `\g<name>`, `\n`.
#[derive(Debug, PartialEq)]
pub(super) struct Template(Vec<Piece>);

#[derive(Debug, PartialEq)]
enum Piece {
    Text(String),
    Group(usize),
}

impl Template {
    /// A text that stands for itself.
    pub(super) fn literal(text: &str) -> Self {
        Self(vec![Piece::Text(text.to_owned())])
    }

    /// Reads a text with Python's references; groups have to be those of `regex`.
    pub(super) fn read(text: &str, regex: &Regex) -> Result<Self, Fault> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            if c != '\\' {
                plain.push(c);
                continue;
            }
            let group = match rest.next() {
                None => return Err(bad("a backslash at its end")),
                Some('g') => {
                    if rest.next() != Some('<') {
                        return Err(bad("\\g without <name>"));
                    }
                    let name: String = rest.by_ref().take_while(|c| *c != '>').collect();
                    match name.parse() {
                        Ok(number) => number,
                        Err(_) => regex
                            .capture_names()
                            .position(|known| known == Some(name.as_str()))
                            .ok_or_else(|| bad(&format!("the group '{name}', which the pattern lacks")))?,
                    }
                }
                Some(digit @ '1'..='9') => {
                    let second = rest.next_if(char::is_ascii_digit);
                    let digits: String = [Some(digit), second].into_iter().flatten().collect();
                    digits.parse().expect("one or two digits are a number")
                }
                Some(escape) => {
                    match escape {
                        'n' => plain.push('\n'),
                        't' => plain.push('\t'),
                        'r' => plain.push('\r'),
                        'a' => plain.push('\u{7}'),
                        'f' => plain.push('\u{c}'),
                        'v' => plain.push('\u{b}'),
                        'b' => plain.push('\u{8}'),
                        '0' => plain.push('\0'),
                        '\\' => plain.push('\\'),
                        letter if letter.is_ascii_alphabetic() => {
                            return Err(bad(&format!("the bad escape \\{letter}")));
                        }
                        other => plain.extend(['\\', other]),
                    }
                    continue;
                }
            };
            if group >= regex.captures_len() {
                return Err(bad(&format!("the group {group}, which the pattern lacks")));
            }
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
            pieces.push(Piece::Group(group));
        }
        pieces.push(Piece::Text(plain));
        Ok(Self(pieces))
    }

    fn expand(&self, found: &Captures<'_>, into: &mut Vec<u8>) {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => into.extend_from_slice(text.as_bytes()),
                // A group that took no part is empty.
                Piece::Group(number) => {
                    into.extend_from_slice(found.get(*number).map_or(b"", |group| group.as_bytes()));
                }
            }
        }
    }
}

fn bad(why: &str) -> Fault {
    Fault::Execution(format!("the replacement has {why}; write \\\\ for a backslash"))
}

/// Replaces the first `count` matches, all when it is 0. None when nothing matched. What would
/// grow beyond `max` bytes is an error.
pub(super) fn substitute(
    regex: &Regex,
    template: &Template,
    text: &[u8],
    count: usize,
    max: u64,
) -> Result<Option<Vec<u8>>, Fault> {
    let mut new = Vec::with_capacity(text.len());
    let (mut end, mut has_matched) = (0, false);
    let limit = if count == 0 { usize::MAX } else { count };
    // An empty match inside of a character is none: it would tear the character apart.
    let is_whole = |at: usize| text.get(at).is_none_or(|byte| byte & 0b1100_0000 != 0b1000_0000);
    let is_match =
        |found: &Captures<'_>| !found.get_match().is_empty() || is_whole(found.get_match().start());
    for found in regex.captures_iter(text).filter(is_match).take(limit) {
        has_matched = true;
        let whole = found.get_match();
        new.extend_from_slice(&text[end..whole.start()]);
        template.expand(&found, &mut new);
        end = whole.end();
        if new.len() as u64 > max {
            let limit = max / 1024 / 1024;
            return Err(Fault::Execution(format!(
                "the file would grow beyond {limit} MiB; it is left as it was"
            )));
        }
    }
    new.extend_from_slice(&text[end..]);
    Ok(has_matched.then_some(new))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn sub(pattern: &str, repl: &str, text: &str) -> Result<Option<String>, Fault> {
        let regex = compile(pattern, Flags { multi_line: true, ..Flags::default() })?;
        let template = Template::read(repl, &regex)?;
        let new = substitute(&regex, &template, text.as_bytes(), 0, 1024)?;
        Ok(new.map(|bytes| String::from_utf8(bytes).unwrap()))
    }

    #[test]
    fn flags_are_those_of_python() {
        let all = Flags { ignore_case: true, multi_line: true, dot_all: true, verbose: true };
        assert_eq!(Flags::read(&json!(2 + 8 + 16 + 64)), Ok(all));
        assert_eq!(Flags::read(&json!(["I", "multiline", "DOTALL", "x", "U"])), Ok(all));
        let multi_line = Ok(Flags { multi_line: true, ..Flags::default() });
        assert_eq!(Flags::read(&json!("MULTILINE")), multi_line);
        assert_eq!(Flags::read(&json!(8)), multi_line);
        assert_eq!(
            Flags::read(&json!("FAST")),
            Err(Fault::Execution("Invalid re flag given: FAST".to_owned()))
        );
        for bad in [json!({}), json!(true), json!(-1), json!(1e9)] {
            assert!(Flags::read(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn replacements_are_those_of_python() {
        for (pattern, repl, text, expected) in [
            ("b", "x", "abab", Some("axax")),
            ("^(a)(b)?", r"\2\1\g<1>", "ac", Some("aac")),
            ("(?P<k>\\w+)=", r"\g<k>: ", "a=1\nb=2", Some("a: 1\nb: 2")),
            ("x", r"\n\t\\ \. $1", "x", Some("\n\t\\ \\. $1")),
            ("q", "x", "abc", None),
            ("^", "#", "a\nb", Some("#a\n#b")),
            ("", "x", "", Some("x")),
            ("", "-", "é!", Some("-é-!-")),
            ("(a)", r"\g<0>\g<0>", "a", Some("aa")),
            ("a\\Z", "b", "a\na", Some("a\nb")),
            ("É", "e", "é É", Some("é e")),
        ] {
            assert_eq!(sub(pattern, repl, text), Ok(expected.map(str::to_owned)), "{pattern} {repl}");
        }
        for (pattern, repl) in [
            ("a", r"\1"),
            ("a", r"\q"),
            ("a", "\\"),
            ("a", r"\g<x>"),
            ("a", r"\gx"),
            ("(", "a"),
            (r"(a)\1", "b"),
        ] {
            assert!(sub(pattern, repl, "a").is_err(), "{pattern} {repl}");
        }
        let why = sub("(?=a)", "", "").unwrap_err();
        let said = "the regular expression '(?=a)' cannot be used: look-around, including look-ahead and look-behind, \
                    is not supported";
        assert_eq!(why, Fault::Execution(said.to_owned()));
    }

    #[test]
    fn growth_is_bounded() {
        let why = sub("a", &"x".repeat(1000), "aaa").unwrap_err();
        assert!(matches!(why, Fault::Execution(why) if why.ends_with("it is left as it was")));
    }

    proptest! {
        /// Whatever the file and the pattern: what did not match is there byte for byte.
        #[test]
        fn the_rest_stays(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 1..8)) {
            let clean: Vec<Vec<u8>> = parts
                .iter()
                .map(|part| part.iter().copied().filter(|byte| *byte != b'@').collect())
                .collect();
            let text = clean.join(b"@".as_slice());
            let regex = compile("@", Flags::default()).unwrap();
            let new = substitute(&regex, &Template::literal("<\\1>"), &text, 0, 1 << 20).unwrap();
            let expected = (clean.len() > 1).then(|| clean.join(b"<\\1>".as_slice()));
            prop_assert_eq!(new, expected);
        }

        #[test]
        fn foreign_patterns_and_templates_never_panic(pattern in ".{0,20}", repl in ".{0,20}", text in ".{0,50}") {
            let _ = sub(&pattern, &repl, &text);
        }
    }
}
