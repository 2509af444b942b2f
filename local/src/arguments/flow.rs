//! YAML's flow style on one line, as PyYAML reads it: `{a: 1, b: [x, 'y']}`.
//!
//! A command line needs nothing else of YAML, and needs this with YAML 1.1's words (`yes`, `010`),
//! which no crate gives. Tags, anchors and anything unclear make the whole text no flow value.

use crate::output::scalar::{Scalar, resolve};
use serde_json::{Map, Number, Value};

/// Deeper nesting on a command line is a mistake.
const DEPTH_MAX: usize = 64;

/// Reads a text that is one list or map in flow style, or one quoted text.
pub(super) fn parse(text: &str) -> Option<Value> {
    let mut reader = Reader { rest: text, depth: 0 };
    reader.skip_spaces();
    if !reader.rest.starts_with(['[', '{', '\'', '"']) {
        return None;
    }
    let value = reader.node()?.value;
    let spaces = reader.skip_spaces();
    let is_comment = spaces > 0 && reader.rest.starts_with('#');
    (reader.rest.is_empty() || is_comment).then_some(value)
}

/// The value of a bare word; text that YAML gives no other meaning that JSON has.
pub(super) fn bare(word: &str) -> Value {
    let text = || Value::String(word.to_owned());
    match resolve(word) {
        Scalar::Null => Value::Null,
        Scalar::Bool(flag) => Value::Bool(flag),
        Scalar::Int(int) => i64::try_from(int)
            .map(Value::from)
            .or_else(|_| u64::try_from(int).map(Value::from))
            .unwrap_or_else(|_| text()),
        Scalar::Float(float) => Number::from_f64(float).map_or_else(text, Value::Number),
        Scalar::Text | Scalar::HugeInt | Scalar::Other => text(),
    }
}

struct Reader<'a> {
    rest: &'a str,
    depth: usize,
}

struct Node {
    value: Value,
    /// Quoted texts, lists and maps may have the colon of a key right behind them.
    is_bare: bool,
    is_merge: bool,
}

impl Node {
    fn whole(value: Value) -> Self {
        Self { value, is_bare: false, is_merge: false }
    }
}

impl Reader<'_> {
    fn skip_spaces(&mut self) -> usize {
        let before = self.rest.len();
        self.rest = self.rest.trim_start_matches(' ');
        before - self.rest.len()
    }

    fn take(&mut self, c: char) -> bool {
        self.skip_spaces();
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn node(&mut self) -> Option<Node> {
        self.skip_spaces();
        let first = self.rest.chars().next()?;
        match first {
            '[' | '{' => {
                if self.depth == DEPTH_MAX {
                    return None;
                }
                self.depth += 1;
                self.rest = &self.rest[1..];
                let value = if first == '[' { self.list()? } else { self.map()? };
                self.depth -= 1;
                Some(Node::whole(value))
            }
            '\'' => self.single().map(|text| Node::whole(Value::String(text))),
            '"' => self.double().map(|text| Node::whole(Value::String(text))),
            '&' | '*' | '!' | '|' | '>' | '%' | '@' | '`' | '#' | ',' | ']' | '}' => None,
            _ => self.plain(),
        }
    }

    fn plain(&mut self) -> Option<Node> {
        let mut end = self.rest.len();
        let mut before = ' ';
        let mut chars = self.rest.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            let next = chars.peek().map(|(_, c)| *c);
            match c {
                ',' | '[' | ']' | '{' | '}' => {
                    end = at;
                    break;
                }
                ':' if next.is_none_or(|c| " ,[]{}".contains(c)) => {
                    end = at;
                    break;
                }
                // A comment would swallow the closing bracket.
                '#' if before == ' ' => return None,
                _ => before = c,
            }
        }
        let word = self.rest[..end].trim_end_matches(' ');
        self.rest = &self.rest[end..];
        if word == "-" || word == "?" {
            return None;
        }
        Some(Node { value: bare(word), is_bare: true, is_merge: word == "<<" })
    }

    fn list(&mut self) -> Option<Value> {
        let mut items = Vec::new();
        while !self.take(']') {
            let node = self.node()?;
            if let Some(value) = self.pair_value(&node)? {
                let mut pair = Map::new();
                insert(&mut pair, node, value)?;
                items.push(Value::Object(pair));
            } else {
                items.push(node.value);
            }
            self.comma_before(']')?;
        }
        Some(Value::Array(items))
    }

    fn map(&mut self) -> Option<Value> {
        let mut map = Map::new();
        while !self.take('}') {
            let key = self.node()?;
            let value = self.pair_value(&key)?.unwrap_or(Value::Null);
            insert(&mut map, key, value)?;
            self.comma_before('}')?;
        }
        Some(Value::Object(map))
    }

    /// What stands behind the colon of a pair, if there is one.
    #[expect(clippy::option_option, reason = "outer: readable at all; inner: is a pair")]
    fn pair_value(&mut self, key: &Node) -> Option<Option<Value>> {
        self.skip_spaces();
        let Some(rest) = self.rest.strip_prefix(':') else {
            return Some(None);
        };
        if key.is_bare && !rest.starts_with([' ', ',', '[', ']', '{', '}']) {
            return None;
        }
        self.rest = rest;
        self.skip_spaces();
        if self.rest.starts_with([',', '}', ']']) {
            return Some(Some(Value::Null));
        }
        self.node().map(|node| Some(node.value))
    }

    /// A comma, or the closing bracket still to come.
    fn comma_before(&mut self, close: char) -> Option<()> {
        (self.take(',') || self.rest.starts_with(close)).then_some(())
    }

    fn single(&mut self) -> Option<String> {
        let mut text = String::new();
        let mut rest = &self.rest[1..];
        loop {
            let (part, after) = rest.split_once('\'')?;
            text.push_str(part);
            match after.strip_prefix('\'') {
                Some(more) => {
                    text.push('\'');
                    rest = more;
                }
                None => {
                    self.rest = after;
                    return Some(text);
                }
            }
        }
    }

    fn double(&mut self) -> Option<String> {
        let mut text = String::new();
        let mut chars = self.rest[1..].chars();
        loop {
            match chars.next()? {
                '"' => {
                    self.rest = chars.as_str();
                    return Some(text);
                }
                '\\' => text.push(escaped(&mut chars)?),
                c => text.push(c),
            }
        }
    }
}

fn escaped(chars: &mut std::str::Chars<'_>) -> Option<char> {
    match chars.next()? {
        '0' => Some('\0'),
        'a' => Some('\u{7}'),
        'b' => Some('\u{8}'),
        't' => Some('\t'),
        'n' => Some('\n'),
        'v' => Some('\u{b}'),
        'f' => Some('\u{c}'),
        'r' => Some('\r'),
        'e' => Some('\u{1b}'),
        'N' => Some('\u{85}'),
        '_' => Some('\u{a0}'),
        'L' => Some('\u{2028}'),
        'P' => Some('\u{2029}'),
        c @ (' ' | '"' | '/' | '\\') => Some(c),
        'x' => code(chars, 2),
        'u' => code(chars, 4),
        'U' => code(chars, 8),
        _ => None,
    }
}

fn code(chars: &mut std::str::Chars<'_>, digits: usize) -> Option<char> {
    let hex: String = chars.by_ref().take(digits).collect();
    let is_whole = hex.len() == digits && hex.bytes().all(|b| b.is_ascii_hexdigit());
    is_whole.then(|| u32::from_str_radix(&hex, 16).ok()).flatten().and_then(char::from_u32)
}

/// Puts a pair into a map. A key that is no scalar has no place in JSON.
fn insert(map: &mut Map<String, Value>, key: Node, value: Value) -> Option<()> {
    if key.is_merge {
        let Value::Object(merged) = value else {
            return None;
        };
        for (name, value) in merged {
            map.entry(name).or_insert(value);
        }
        return Some(());
    }
    let name = match key.value {
        Value::String(text) => text,
        Value::Array(_) | Value::Object(_) => return None,
        scalar => scalar.to_string(),
    };
    map.insert(name, value);
    Some(())
}
