//! Regular expressions as Salt users write them, for an engine whose time is linear.
//!
//! Python's `re.match` is what Salt has: anchored at the start, free at the end. What Python writes
//! otherwise is rewritten here; look-around and back-references are refused, because nothing that
//! knows them is safe from expressions that take for ever. docs/targeting.md lists what differs.

use regex::{Regex, RegexBuilder};

use super::Fault;

/// The largest compiled expression, in bytes: 30 Unicode classes, far more than an id asks for.
const COMPILED_MAX: usize = 256 * 1024;

/// How deep groups may lie within each other.
const NEST_MAX: u32 = 64;

const NO_LOOK_AROUND: &str =
    "look-around is not known here, so that matching stays fast; say it with 'and not' between two terms";
const NO_BACK_REFERENCE: &str = "back-references are not known here, so that matching stays fast";

/// Makes an expression ready to be asked, from the start of a text.
pub(super) fn compile(pattern: &str, is_folded: bool) -> Result<Regex, Fault> {
    let read = rewrite(pattern)?;
    RegexBuilder::new(&format!(r"\A(?:{read})"))
        .case_insensitive(is_folded)
        .size_limit(COMPILED_MAX)
        .dfa_size_limit(COMPILED_MAX)
        .nest_limit(NEST_MAX)
        .build()
        .map_err(|error| Fault { at: 0, what: reason(&error) })
}

fn reason(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => "this regular expression is too large".to_owned(),
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default();
            let why = last.strip_prefix("error: ").unwrap_or(last);
            format!("this is no regular expression: {}", why.escape_debug())
        }
    }
}

/// What Python writes so, in the words of the regex crate.
fn rewrite(pattern: &str) -> Result<String, Fault> {
    let text: Vec<char> = pattern.chars().collect();
    let mut writer = Writer { text: &text, at: 0, out: String::with_capacity(pattern.len() + 8) };
    let mut open = Vec::new();
    while let Some(c) = writer.peek() {
        match c {
            '\\' => writer.escape(false)?,
            '[' => writer.class()?,
            '{' => writer.repetition(),
            '(' => {
                open.push(writer.at);
                if writer.group()? {
                    open.pop();
                }
            }
            ')' => {
                open.pop().ok_or_else(|| writer.fault("this ) closes nothing"))?;
                writer.copy(1);
            }
            _ => writer.copy(1),
        }
    }
    match open.pop() {
        Some(at) => Err(Fault { at, what: "this ( is not closed".to_owned() }),
        None => Ok(writer.out),
    }
}

struct Writer<'t> {
    text: &'t [char],
    at: usize,
    out: String,
}

impl Writer<'_> {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn is_next(&self, word: &str) -> bool {
        let rest = self.text.get(self.at..).unwrap_or_default();
        word.chars().enumerate().all(|(at, c)| rest.get(at) == Some(&c))
    }

    fn copy(&mut self, count: usize) {
        let end = (self.at + count).min(self.text.len());
        self.out.extend(&self.text[self.at..end]);
        self.at = end;
    }

    fn say(&mut self, count: usize, words: &str) {
        self.out.push_str(words);
        self.at += count;
    }

    fn fault(&self, what: &str) -> Fault {
        Fault { at: self.at, what: what.to_owned() }
    }

    fn escape(&mut self, is_in_class: bool) -> Result<(), Fault> {
        match self.text.get(self.at + 1).copied() {
            None => return Err(self.fault("expected a character after this backslash")),
            Some('Z') => self.say(2, r"\z"),
            Some('b') if is_in_class => self.say(2, r"\x08"),
            Some('0') => return Err(self.fault(r"write \x00 instead of an octal number")),
            Some('1'..='9') => return Err(self.fault(NO_BACK_REFERENCE)),
            // With a backslash they would be the edges of words.
            Some(c @ ('<' | '>')) => self.say(2, c.encode_utf8(&mut [0; 4])),
            Some(c) if !c.is_ascii() => self.say(2, c.encode_utf8(&mut [0; 4])),
            Some(_) => self.copy(2),
        }
        Ok(())
    }

    /// In Python's classes only `]`, `^`, `-` and `\` are special.
    fn class(&mut self) -> Result<(), Fault> {
        let start = self.at;
        self.copy(if self.is_next("[^") { 2 } else { 1 });
        let first = self.at;
        while let Some(c) = self.peek() {
            let is_first = self.at == first;
            match c {
                ']' if !is_first => {
                    self.copy(1);
                    return Ok(());
                }
                ']' => self.say(1, r"\]"),
                '[' => self.say(1, r"\["),
                '&' => self.say(1, r"\&"),
                '~' => self.say(1, r"\~"),
                '-' if is_first => self.say(1, r"\-"),
                // A range up to the dash.
                '-' if self.is_next("--") => self.say(2, r"-\-"),
                '\\' => self.escape(true)?,
                _ => self.copy(1),
            }
        }
        Err(Fault { at: start, what: "this [ is not closed".to_owned() })
    }

    /// `{2}`, `{2,}`, `{,3}` and `{2,3}`; in Python any other brace is itself.
    fn repetition(&mut self) {
        let rest = &self.text[self.at + 1..];
        let from = rest.iter().take_while(|c| c.is_ascii_digit()).count();
        let has_comma = rest.get(from) == Some(&',');
        let behind = &rest[from + usize::from(has_comma)..];
        let to = if has_comma { behind.iter().take_while(|c| c.is_ascii_digit()).count() } else { 0 };
        if behind.get(to) != Some(&'}') || (from == 0 && !has_comma) {
            self.say(1, r"\{");
        } else if from == 0 {
            self.say(1, "{0");
        } else {
            self.copy(1);
        }
    }

    /// The start of a group. Whether it was a remark, which is over.
    fn group(&mut self) -> Result<bool, Fault> {
        for (start, why) in [
            ("(?=", NO_LOOK_AROUND),
            ("(?!", NO_LOOK_AROUND),
            ("(?<=", NO_LOOK_AROUND),
            ("(?<!", NO_LOOK_AROUND),
            ("(?P=", NO_BACK_REFERENCE),
            ("(?(", "groups on condition are not known here, so that matching stays fast"),
            ("(?>", "groups that do not give back are not known here: matching is fast without them"),
        ] {
            if self.is_next(start) {
                return Err(self.fault(why));
            }
        }
        if self.is_next("(?#") {
            let end = self.text[self.at..].iter().position(|c| *c == ')');
            self.at += 1 + end.ok_or_else(|| self.fault("this ( is not closed"))?;
            return Ok(true);
        }
        self.copy(1);
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_python_matches() {
        for (pattern, text, expected) in [
            ("web", "web1.example.org", true),
            ("web", "aweb", false),
            ("", "anything", true),
            ("web|db", "db1", true),
            ("a|b.*z", "by", false),
            (r"web\d+\Z", "web12", true),
            (r"web\d+\Z", "web12x", false),
            ("(?i)WEB", "web", true),
            ("(?P<kind>web|db)1", "db1", true),
            ("[[a]x", "[x", true),
            ("[a&&b]", "&", true),
            ("[+--]", ",", true),
            ("[]a]", "]", true),
            ("[^]a]", "b", true),
            ("[-a]", "-", true),
            ("[a~~b]", "~", true),
            ("a{x}", "a{x}", true),
            ("a{,2}b", "aab", true),
            ("a{,}b", "b", true),
            ("a{2}$", "aaa", false),
            (r"\<a\>", "<a>", true),
            (r"\é", "é", true),
            ("a(?#remark)b", "ab", true),
            (r"[\b]", "\u{8}", true),
            (r"\w+", "été", true),
        ] {
            let regex = compile(pattern, false).unwrap_or_else(|fault| panic!("{pattern}: {}", fault.what));
            assert_eq!(regex.is_match(text), expected, "{pattern:?} on {text:?}");
        }
        assert!(compile(r"U\D+É", true).expect("an expression").is_match("ubuntué"));
    }

    #[test]
    fn what_cannot_be_fast_or_read_is_refused_where_it_stands() {
        for (pattern, at, what) in [
            ("(", 0, "not closed"),
            ("a(b", 1, "not closed"),
            ("a)", 1, "closes nothing"),
            ("a)(b", 1, "closes nothing"),
            ("ab[c", 2, "not closed"),
            ("a(?=b)", 1, "look-around"),
            ("a(?<!b)", 1, "look-around"),
            (r"(a)\1", 3, "back-references"),
            ("(?P<x>a)(?P=x)", 8, "back-references"),
            ("a\\", 1, "backslash"),
            ("*a", 0, "no regular expression: repetition operator missing expression"),
            (r"\w{1000}", 0, "too large"),
            ("(?#x", 0, "not closed"),
        ] {
            let fault = compile(pattern, false).expect_err(pattern);
            assert_eq!(fault.at, at, "{pattern}: {}", fault.what);
            assert!(fault.what.contains(what), "{pattern}: {}", fault.what);
        }
    }
}
