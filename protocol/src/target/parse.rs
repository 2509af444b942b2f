//! From words to a tree, by recursive descent:
//!
//! ```text
//! any     = all { "or" all }
//! all     = one { "and" one | "not" operand }
//! one     = [ "not" ] operand
//! operand = "(" any ")" | TERM
//! ```

use super::nodegroup::{find, group_words};
use super::term::{Budget, Term};
use super::tree::Node;
use super::words::{TermWord, Token, Word, words};
use super::{Fault, NEST_MAX, Nodegroups, Target, TargetError, TargetKind, shown, too_deep};

const RANGES: &str = "R@ asks a SECO range server, which is not done here: use L@, E@ or N@";
const KINDS: &str = "G@ P@ I@ J@ E@ L@ S@ N@ Z@";

/// Reads a target of any kind.
pub(super) fn parse(target: &Target, groups: &Nodegroups) -> Result<Node, TargetError> {
    let mut reader = Reader { groups, chain: Vec::new(), budget: Budget::default(), depth: 0 };
    let text = target.expression.as_str();
    match target.kind {
        TargetKind::Compound => reader.compound(&words(text)?, text.chars().count() + 1),
        TargetKind::Nodegroup => reader.group(text).map_err(|what| TargetError { column: 1, what }),
        kind => {
            let term = Term::read(kind, target.delimiter, text, &mut reader.budget)
                .map_err(|fault| fault.at_column(1))?
                .expect("compounds and nodegroups are read above");
            let word = match kind {
                TargetKind::Glob => text.to_owned(),
                kind => match target.delimiter {
                    Some(delimiter) => format!("{}{delimiter}@{text}", kind.letter()),
                    None => format!("{}@{text}", kind.letter()),
                },
            };
            Ok(Node::Term { word: word.into(), term })
        }
    }
}

struct Reader<'g> {
    groups: &'g Nodegroups,
    /// The nodegroups that are being read, outermost first.
    chain: Vec<String>,
    budget: Budget,
    /// Parentheses and nodegroups around what is being read.
    depth: usize,
}

/// The words of one expression, and how far they are read.
struct Line<'w> {
    words: &'w [Word],
    at: usize,
    /// The column behind the last word.
    end: usize,
}

impl Line<'_> {
    fn token(&self) -> Option<&Token> {
        self.words.get(self.at).map(|word| &word.token)
    }

    fn column(&self) -> usize {
        self.words.get(self.at).map_or(self.end, |word| word.column)
    }

    fn takes(&mut self, token: &Token) -> bool {
        let is_it = self.token() == Some(token);
        self.at += usize::from(is_it);
        is_it
    }

    fn fault(&self, what: String) -> TargetError {
        TargetError { column: self.column(), what }
    }

    /// What stands there instead of what was expected.
    fn found(&self) -> String {
        match self.token() {
            None => "the end".to_owned(),
            Some(Token::And) => "'and'".to_owned(),
            Some(Token::Or) => "'or'".to_owned(),
            Some(Token::Not) => "'not'".to_owned(),
            Some(Token::Open) => "'('".to_owned(),
            Some(Token::Close) => "')'".to_owned(),
            Some(Token::Term(term)) => shown(term),
        }
    }
}

impl Reader<'_> {
    fn compound(&mut self, words: &[Word], end: usize) -> Result<Node, TargetError> {
        let mut line = Line { words, at: 0, end };
        let node = self.any(&mut line)?;
        match line.token() {
            None => Ok(node),
            Some(Token::Close) => Err(line.fault("this ) closes nothing".to_owned())),
            Some(_) => {
                let what = format!(
                    "expected 'and', 'or', 'not' or the end instead of {}; a pattern with blanks goes into \
                     \"quotes\" as a whole",
                    line.found()
                );
                Err(line.fault(what))
            }
        }
    }

    fn any(&mut self, line: &mut Line<'_>) -> Result<Node, TargetError> {
        let mut nodes = vec![self.all(line)?];
        while line.takes(&Token::Or) {
            nodes.push(self.all(line)?);
        }
        Ok(one_or(nodes, Node::Or))
    }

    fn all(&mut self, line: &mut Line<'_>) -> Result<Node, TargetError> {
        let mut nodes = vec![self.one(line)?];
        loop {
            if line.takes(&Token::And) {
                nodes.push(self.one(line)?);
            } else if line.takes(&Token::Not) {
                nodes.push(Node::Not(Box::new(self.operand(line)?)));
            } else {
                return Ok(one_or(nodes, Node::And));
            }
        }
    }

    fn one(&mut self, line: &mut Line<'_>) -> Result<Node, TargetError> {
        if line.takes(&Token::Not) {
            return Ok(Node::Not(Box::new(self.operand(line)?)));
        }
        self.operand(line)
    }

    fn operand(&mut self, line: &mut Line<'_>) -> Result<Node, TargetError> {
        let (words, at) = (line.words, line.at);
        match words.get(at) {
            Some(Word { token: Token::Term(term), column, quotes }) => {
                let node = self.term(term).map_err(|fault| fault.at_column(column + quotes))?;
                line.at += 1;
                Ok(node)
            }
            Some(Word { token: Token::Open, column, .. }) => {
                self.enter().map_err(|what| line.fault(what))?;
                line.at += 1;
                let node = self.any(line)?;
                self.depth -= 1;
                if line.takes(&Token::Close) {
                    return Ok(node);
                }
                let what = format!(
                    "expected 'and', 'or', 'not' or the ) of the ( in column {column} instead of {}",
                    line.found()
                );
                Err(line.fault(what))
            }
            _ => {
                let what = format!(
                    "expected a term, such as web* or G@os:Debian, or a ( instead of {}",
                    line.found()
                );
                Err(line.fault(what))
            }
        }
    }

    fn term(&mut self, word: &str) -> Result<Node, Fault> {
        let here = |what| Fault { at: 0, what };
        self.budget.take_bytes(word).map_err(here)?;
        let TermWord { letter, delimiter, pattern } = TermWord::split(word);
        let kind = match letter {
            None => {
                refuse_unknown(word).map_err(here)?;
                TargetKind::Glob
            }
            Some('G') => TargetKind::Grain,
            Some('P') => TargetKind::GrainPcre,
            Some('I') => TargetKind::Pillar,
            Some('J') => TargetKind::PillarPcre,
            Some('E') => TargetKind::Pcre,
            Some('L') => TargetKind::List,
            Some('S') => TargetKind::Ipcidr,
            Some('Z') => TargetKind::Record,
            Some('N') => return self.group(pattern).map_err(here),
            Some('R') => return Err(here(RANGES.to_owned())),
            Some(other) => {
                return Err(here(format!("nothing here is meant by {other}@: expected one of {KINDS}")));
            }
        };
        let before = word[..word.len() - pattern.len()].chars().count();
        let term = Term::read(kind, delimiter, pattern, &mut self.budget)
            .map_err(|fault| Fault { at: before + fault.at, ..fault })?
            .expect("compounds have no letter and nodegroups are read above");
        Ok(Node::Term { word: word.into(), term })
    }

    fn group(&mut self, name: &str) -> Result<Node, String> {
        let group = find(name, self.groups, &self.chain)?;
        self.budget.take_bytes("( ) ")?;
        self.enter()?;
        let within = |error: TargetError| format!("nodegroup {}: {error}", shown(name));
        let words = group_words(group).map_err(within)?.words;
        // A nodegroup of a list has no columns: what is said of one word of it names the word.
        let end = words.last().map_or(1, |last| last.column + 1);
        self.chain.push(name.to_owned());
        let body = self.compound(&words, end).map_err(within)?;
        self.chain.pop();
        self.depth -= 1;
        Ok(Node::Group { name: name.into(), body: Box::new(body) })
    }

    fn enter(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > NEST_MAX { Err(too_deep()) } else { Ok(()) }
    }
}

fn one_or(mut nodes: Vec<Node>, join: fn(Vec<Node>) -> Node) -> Node {
    if nodes.len() == 1 { nodes.remove(0) } else { join(nodes) }
}

/// Words that look like a kind and would be globs that no id matches.
fn refuse_unknown(word: &str) -> Result<(), String> {
    if word.is_empty() {
        return Err("expected a term between the quotes".to_owned());
    }
    let mut rest = word.chars();
    let first = rest.next().filter(char::is_ascii_alphabetic);
    let behind = rest.as_str();
    match first {
        Some(letter) if behind.starts_with('@') && behind.len() > 1 => {
            Err(format!("nothing here is meant by {letter}@: expected one of {KINDS}"))
        }
        Some(letter @ ('E' | 'L' | 'S' | 'N' | 'Z')) if behind.chars().nth(1) == Some('@') => {
            Err(format!("{letter}@ takes no delimiter: only G@ P@ I@ and J@ have keys"))
        }
        _ => Ok(()),
    }
}
