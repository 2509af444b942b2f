//! A compound expression as its words: what is an operator, a parenthesis, a term.
//!
//! Words stand between blanks. A parenthesis that opens a word, or closes one that never opened it,
//! is a word of its own, so `(web1 or web2)` is what it looks like while `E@(a|b)` stays whole. A
//! word that begins with `"` goes on to the next `"` that no `\` precedes, and is a term whatever
//! is in it.

use super::TargetError;

/// One word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    And,
    Or,
    Not,
    Open,
    Close,
    Term(String),
}

/// A word and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) token: Token,
    /// In characters, from 1.
    pub(super) column: usize,
    /// How many characters of it are before the first of the term.
    pub(super) quotes: usize,
}

impl Word {
    /// A word that was written by itself, between others of a list.
    pub(super) fn listed(word: &str) -> Result<Self, TargetError> {
        let token = match word {
            "(" => Token::Open,
            ")" => Token::Close,
            _ => operator(word, 1)?.unwrap_or_else(|| Token::Term(word.to_owned())),
        };
        Ok(Self { token, column: 1, quotes: 0 })
    }
}

/// The words of an expression.
pub(super) fn words(expression: &str) -> Result<Vec<Word>, TargetError> {
    let mut found = Vec::new();
    let (mut rest, mut column) = (expression, 1);
    while let Some(first) = rest.chars().next() {
        let (token, width, quotes) = match first {
            blank if blank.is_whitespace() => {
                rest = &rest[blank.len_utf8()..];
                column += 1;
                continue;
            }
            '(' => (Token::Open, 1, 0),
            ')' => (Token::Close, 1, 0),
            '"' => {
                let (term, width) = quoted(rest, column)?;
                (Token::Term(term), width, 1)
            }
            _ => {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                let word = &rest[..end - closers(&rest[..end])];
                (operator(word, column)?.unwrap_or_else(|| Token::Term(word.to_owned())), word.len(), 0)
            }
        };
        found.push(Word { token, column, quotes });
        column += rest[..width].chars().count();
        rest = &rest[width..];
    }
    Ok(found)
}

fn operator(word: &str, column: usize) -> Result<Option<Token>, TargetError> {
    Ok(Some(match word {
        "and" => Token::And,
        "or" => Token::Or,
        "not" => Token::Not,
        _ => {
            return match ["and", "or", "not"].iter().find(|known| known.eq_ignore_ascii_case(word)) {
                Some(known) => Err(TargetError { column, what: format!("write '{known}' in lower case") }),
                None => Ok(None),
            };
        }
    }))
}

/// The term between quotes at the front, and how many bytes it takes with them.
fn quoted(text: &str, column: usize) -> Result<(String, usize), TargetError> {
    let mut term = String::new();
    let mut rest = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = rest.next() {
        match c {
            '"' => {
                let width = at + 1;
                let follows = text[width..].chars().next();
                if follows.is_none_or(|c| c.is_whitespace() || c == ')') {
                    return Ok((term, width));
                }
                let column = column + text[..width].chars().count();
                return Err(TargetError { column, what: "expected a blank or ) after the quote".to_owned() });
            }
            // Any other backslash is its own: regular expressions are full of them.
            '\\' => match rest.next_if(|(_, c)| matches!(c, '"' | '\\')) {
                Some((_, escaped)) => term.push(escaped),
                None => term.push('\\'),
            },
            other => term.push(other),
        }
    }
    Err(TargetError { column, what: "this quote is not closed: expected another \"".to_owned() })
}

/// How many `)` at the end of a word close something outside of it.
fn closers(word: &str) -> usize {
    if !word.ends_with(')') {
        return 0;
    }
    let word: Vec<char> = word.chars().collect();
    let (mut open, mut unopened, mut trailing) = (0_usize, 0_usize, 0_usize);
    // After a class that stays open none is closed: looking for the end of each would be quadratic.
    let mut is_class_open = false;
    let mut at = 0;
    while let Some(c) = word.get(at) {
        trailing = if *c == ')' { trailing + 1 } else { 0 };
        match c {
            '\\' => at += 1,
            '(' => open += 1,
            ')' if open > 0 => open -= 1,
            ')' => unopened += 1,
            '[' if !is_class_open => match class_end(&word, at) {
                Some(end) => at = end,
                None => is_class_open = true,
            },
            _ => {}
        }
        at += 1;
    }
    unopened.min(trailing)
}

/// Where the class ends that begins there. A bracket right at its start is a member of it.
fn class_end(word: &[char], start: usize) -> Option<usize> {
    let first = start + if matches!(word.get(start + 1), Some('!' | '^')) { 2 } else { 1 };
    Some(first + 1 + word.get(first + 1..)?.iter().position(|c| *c == ']')?)
}

/// A term as it is written in a compound: in quotes when it would not be one word without them.
pub(super) fn spelled(term: &str) -> String {
    let is_one_word = words(term).is_ok_and(|words| {
        matches!(words.as_slice(), [Word { token: Token::Term(same), quotes: 0, .. }] if same == term)
    });
    if is_one_word {
        return term.to_owned();
    }
    format!("\"{}\"", term.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A term of a compound, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TermWord<'a> {
    /// The letter before `@`, one of Salt's or `Z`; without one the pattern is a glob over ids.
    pub letter: Option<char>,
    /// What stands between the letter and `@`.
    pub delimiter: Option<char>,
    /// The rest.
    pub pattern: &'a str,
}

/// The letters that take a delimiter.
const DELIMITED: &str = "GPIJ";

/// The others: ours, and those that are refused with a reason.
const PLAIN: &str = "ELSNZRTM";

impl<'a> TermWord<'a> {
    /// Takes a term apart. What has no known letter before `@` is a pattern as a whole.
    #[must_use]
    pub fn split(word: &'a str) -> Self {
        let whole = Self { letter: None, delimiter: None, pattern: word };
        let mut rest = word.chars();
        let Some(letter) = rest.next() else {
            return whole;
        };
        let behind = |rest: &std::str::Chars<'a>| rest.as_str().strip_prefix('@').filter(|p| !p.is_empty());
        let mut shifted = rest.clone();
        if let Some(delimiter) = shifted.next()
            && DELIMITED.contains(letter)
            && let Some(pattern) = behind(&shifted)
        {
            return Self { letter: Some(letter), delimiter: Some(delimiter), pattern };
        }
        match behind(&rest) {
            Some(pattern) if DELIMITED.contains(letter) || PLAIN.contains(letter) => {
                Self { letter: Some(letter), delimiter: None, pattern }
            }
            _ => whole,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_that_stay_open_are_looked_at_once() {
        let word = format!("{}(a)", "[".repeat(300_000));
        let tokens: Vec<Token> =
            words(&format!("({word})")).expect("words").into_iter().map(|word| word.token).collect();
        assert_eq!(tokens, [Token::Open, Token::Term(word), Token::Close]);
    }
}
