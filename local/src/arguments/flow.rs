//! One word as YAML reads it: a scalar, or YAML's flow style on one line, as in
//! `{a: 1, b: [x, 'y']}`.
//!
//! A command line needs nothing else of YAML, and needs this with YAML 1.1's words (`yes`, `010`),
//! which no crate gives. Aliases, types of somebody's own and anything unclear make the whole word none
//! of it: it is text then.

use crate::output::scalar::{Scalar, resolve};
use serde_json::{Map, Number, Value};

/// Deeper nesting on a command line is a mistake.
const DEPTH_MAX: usize = 64;

/// Reads a word as a YAML document of one node. None when it is no such document, or an empty one.
pub(super) fn document(word: &str) -> Option<Value> {
    // At the first column these three are marks of a document and not text.
    let text = match (word.strip_prefix("---"), word.strip_prefix("...")) {
        (Some(rest), _) if rest.is_empty() || rest.starts_with(' ') => rest,
        (_, Some(rest)) if rest.is_empty() || rest.starts_with(' ') => return None,
        _ => word,
    };
    let mut reader = Reader { rest: text, depth: 0 };
    let tag = reader.properties()?;
    let value = match reader.rest.chars().next()? {
        '[' | '{' => tag.is_none().then(|| reader.node()).flatten()?.value,
        '\'' | '"' => tagged(tag, reader.quoted()?)?,
        '|' | '>' => tagged(tag, reader.empty_block()?)?,
        _ => reader.block_plain(tag)?,
    };
    reader.is_at_end().then_some(value)
}

/// A bare word; none for the two that YAML gives a meaning which no value has.
fn bare(word: &str) -> Option<Value> {
    let text = || Value::String(word.to_owned());
    Some(match resolve(word) {
        Scalar::Null => Value::Null,
        Scalar::Bool(flag) => Value::Bool(flag),
        Scalar::Int(int) => i64::try_from(int)
            .map(Value::from)
            .or_else(|_| u64::try_from(int).map(Value::from))
            .unwrap_or_else(|_| text()),
        Scalar::Float(float) => Number::from_f64(float).map_or_else(text, Value::Number),
        Scalar::Other if word == "=" || word == "<<" => return None,
        Scalar::Text | Scalar::HugeInt | Scalar::Other => text(),
    })
}

/// What stands before a node and says what it is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Tag {
    Text,
    Int,
    Float,
    Bool,
}

/// A text under a tag; quotes alone make it a text.
fn tagged(tag: Option<Tag>, text: String) -> Option<Value> {
    match (tag, resolve(&text)) {
        (None | Some(Tag::Text), _) => Some(Value::String(text)),
        (Some(Tag::Int), Scalar::Int(_)) | (Some(Tag::Bool), Scalar::Bool(_)) => bare(&text),
        (Some(Tag::Float), Scalar::Float(float)) => Number::from_f64(float).map(Value::Number),
        (Some(Tag::Float), Scalar::Int(int)) => Number::from_f64(int as f64).map(Value::Number),
        (Some(_), _) => None,
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

    /// Whether nothing is left but a comment.
    fn is_at_end(&mut self) -> bool {
        self.skip_spaces();
        self.rest.is_empty() || self.rest.starts_with('#')
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

    /// Skips an anchor, whose name nothing here asks for, and reads a tag. None for any other tag.
    #[expect(clippy::option_option, reason = "outer: readable at all; inner: is there a tag")]
    fn properties(&mut self) -> Option<Option<Tag>> {
        let (mut tag, mut has_anchor) = (None, false);
        loop {
            self.skip_spaces();
            let end = match self.depth {
                0 => self.rest.find(' '),
                _ => self.rest.find([' ', ',', '[', ']', '{', '}']),
            };
            let (property, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
            match property.split_at_checked(1) {
                Some(("&", name)) if !has_anchor && is_anchor(name) => has_anchor = true,
                Some(("!", name)) if tag.is_none() => {
                    tag = Some(match name {
                        "" => None,
                        "!str" => Some(Tag::Text),
                        "!int" => Some(Tag::Int),
                        "!float" => Some(Tag::Float),
                        "!bool" => Some(Tag::Bool),
                        _ => return None,
                    });
                }
                _ => return Some(tag.flatten()),
            }
            self.rest = rest;
        }
    }

    fn node(&mut self) -> Option<Node> {
        let tag = self.properties()?;
        let first = self.rest.chars().next()?;
        match first {
            '[' | '{' => {
                if self.depth == DEPTH_MAX || tag.is_some() {
                    return None;
                }
                self.depth += 1;
                self.rest = &self.rest[1..];
                let value = if first == '[' { self.list()? } else { self.map()? };
                self.depth -= 1;
                Some(Node::whole(value))
            }
            '\'' | '"' => Some(Node::whole(tagged(tag, self.quoted()?)?)),
            '&' | '*' | '!' | '|' | '>' | '%' | '@' | '`' | '#' | ',' | ']' | '}' => None,
            _ => self.flow_plain(tag),
        }
    }

    fn flow_plain(&mut self, tag: Option<Tag>) -> Option<Node> {
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
        if word.starts_with("- ") || word.starts_with("? ") || word == "?" {
            return None;
        }
        self.rest = &self.rest[end..];
        let is_merge = word == "<<" && tag.is_none();
        let value = match tag {
            _ if is_merge => Value::Null,
            Some(_) => tagged(tag, word.to_owned())?,
            None => bare(word)?,
        };
        Some(Node { value, is_bare: true, is_merge })
    }

    /// A bare word outside of brackets, up to a comment.
    fn block_plain(&mut self, tag: Option<Tag>) -> Option<Value> {
        let end = self.rest.find(" #").unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        let word = word.trim_end_matches(' ');
        let second_is_space = word.chars().nth(1).is_none_or(|c| c == ' ');
        let is_indicator = word.starts_with(['&', '*', '!', '%', '@', '`', ']', '}', ',', '#'])
            || (word.starts_with(['-', '?', ':']) && second_is_space);
        // What holds a colon of a map is a map in block style, and stays text here.
        if is_indicator || word.contains(": ") || word.ends_with(':') {
            return None;
        }
        self.rest = rest;
        if tag.is_some() { tagged(tag, word.to_owned()) } else { bare(word) }
    }

    /// The head of a block text, which has no line to hold any text.
    fn empty_block(&mut self) -> Option<String> {
        let head = self.rest[1..].split(' ').next().unwrap_or_default();
        let is_head = match head.as_bytes() {
            [] | [b'+' | b'-' | b'1'..=b'9'] => true,
            [a, b] => {
                (matches!(a, b'+' | b'-') && matches!(b, b'1'..=b'9'))
                    || (matches!(b, b'+' | b'-') && matches!(a, b'1'..=b'9'))
            }
            _ => false,
        };
        self.rest = &self.rest[1 + head.len()..];
        is_head.then(String::new)
    }

    fn list(&mut self) -> Option<Value> {
        let mut items = Vec::new();
        while !self.take(']') {
            let node = self.node()?;
            if let Some(value) = self.pair_value(&node)? {
                let mut pair = Map::new();
                insert(&mut pair, node, value)?;
                items.push(Value::Object(pair));
            } else if node.is_merge {
                return None;
            } else {
                items.push(node.value);
            }
            self.comma_before(']')?;
        }
        Some(Value::Array(items))
    }

    fn map(&mut self) -> Option<Value> {
        let mut map = Map::new();
        let mut merged = Vec::new();
        while !self.take('}') {
            let key = self.node()?;
            let value = self.pair_value(&key)?.unwrap_or(Value::Null);
            if key.is_merge {
                let Value::Object(more) = value else { return None };
                merged.push(more);
            } else {
                insert(&mut map, key, value)?;
            }
            self.comma_before('}')?;
        }
        for (name, value) in merged.into_iter().flatten() {
            map.entry(name).or_insert(value);
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
        self.node().filter(|node| !node.is_merge).map(|node| Some(node.value))
    }

    /// A comma, or the closing bracket still to come.
    fn comma_before(&mut self, close: char) -> Option<()> {
        (self.take(',') || self.rest.starts_with(close)).then_some(())
    }

    fn quoted(&mut self) -> Option<String> {
        if self.rest.starts_with('\'') { self.single() } else { self.double() }
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

fn is_anchor(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
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

/// Puts a pair into a map. A key that is no scalar has no place in JSON, and a second value for
/// one key would drop the first in silence.
fn insert(map: &mut Map<String, Value>, key: Node, value: Value) -> Option<()> {
    let name = match key.value {
        Value::String(text) => text,
        Value::Array(_) | Value::Object(_) => return None,
        _ if key.is_merge => return None,
        scalar => scalar.to_string(),
    };
    map.insert(name, value).is_none().then_some(())
}
