//! YAML as a tree that knows its lines.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::{Error, MessageFormatter, Spanned, UserMessageFormatter};

use super::Fault;
use crate::text::escape;

/// A key with the line it stands on.
pub type Key = (String, u64);

/// A YAML node and the line it begins on.
#[derive(Debug, Clone)]
pub enum Node {
    /// Anything without parts.
    Scalar {
        /// What it is.
        value: Value,
        /// Where.
        line: u64,
    },
    /// A list.
    Seq {
        /// What is in it.
        items: Vec<Node>,
        /// Where.
        line: u64,
    },
    /// A mapping; keys are text, as written.
    Map {
        /// What is in it.
        entries: Vec<(Key, Node)>,
        /// Where.
        line: u64,
    },
}

impl Node {
    /// The node without its lines.
    #[must_use]
    pub fn value(&self) -> Value {
        match self {
            Node::Scalar { value, .. } => value.clone(),
            Node::Seq { items, .. } => Value::Array(items.iter().map(Node::value).collect()),
            Node::Map { entries, .. } => {
                Value::Object(entries.iter().map(|((key, _), node)| (key.clone(), node.value())).collect())
            }
        }
    }

    /// The line it begins on.
    #[must_use]
    pub fn line(&self) -> u64 {
        match self {
            Node::Scalar { line, .. } | Node::Seq { line, .. } | Node::Map { line, .. } => *line,
        }
    }
}

/// The options of one file. An empty file has none.
pub(super) fn parse(text: &str) -> Result<Vec<(Key, Node)>, (u64, Fault)> {
    match read(text)? {
        Node::Map { entries, .. } => Ok(entries),
        Node::Scalar { value: Value::Null, .. } => Ok(Vec::new()),
        Node::Scalar { line, .. } => Err((line, Fault::NoOptions("a single value"))),
        Node::Seq { line, .. } => Err((line, Fault::NoOptions("a list"))),
    }
}

/// Any one document.
pub(super) fn read(text: &str) -> Result<Node, (u64, Fault)> {
    read_with(text, false)
}

/// Any one document of plain data: a tag of somebody's own is refused, not passed over.
///
/// # Errors
/// The line, and what is wrong there; never a value or key that stands in the text.
pub fn read_plain(text: &str) -> Result<Node, (u64, Fault)> {
    read_with(text, true)
}

fn read_with(text: &str, is_plain: bool) -> Result<Node, (u64, Fault)> {
    // A configuration file is small: what expands beyond this is an attack or an accident.
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 200_000,
            max_nodes: 100_000,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_depth: 32,
            max_documents: 1,
            max_total_scalar_bytes: 4 * 1024 * 1024,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 100_000,
            max_replay_stack_depth: 16,
        },
        leading_zero_numbers_as_strings: true,
        reject_unsupported_tags: is_plain,
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Spanned<Tree>>(text, options) {
        Ok(root) => Ok(node(root)),
        Err(error) => {
            let line = error.location().map_or(1, |at| at.line().max(1));
            if is_plain && let Some(what) = unshown(&error) {
                return Err((line, Fault::Syntax(what.to_owned())));
            }
            let message = UserMessageFormatter.format_message(error.without_snippet()).into_owned();
            let first = message.lines().next().unwrap_or_default();
            Err((line, Fault::Syntax(escape(first))))
        }
    }
}

/// What to say in place of the parser, where it might show what stands in the text: a secret that somebody
/// forgot to quote, or one that became a key.
fn unshown(error: &Error) -> Option<&'static str> {
    match error.without_snippet() {
        Error::AliasError { error, .. } => unshown(error),
        Error::UnsupportedTag { .. } => Some("a tag, or a text that begins with \"!\": put that in quotes"),
        Error::DuplicateMappingKey { .. } => Some("a key that is there already"),
        Error::NonFiniteFloat { .. } => Some("a number that is not finite: put it in quotes to make it text"),
        // These have sentences of their own, or numbers in them and no text.
        Error::Message { .. }
        | Error::Eof { .. }
        | Error::MultipleDocuments { .. }
        | Error::Unexpected { .. }
        | Error::MergeValueNotMapOrSeqOfMaps { .. }
        | Error::InvalidBinaryBase64 { .. }
        | Error::BinaryNotUtf8 { .. }
        | Error::TaggedScalarCannotDeserializeIntoString { .. }
        | Error::InvalidScalar { .. }
        | Error::UnexpectedContainerEndWhileReadingKeyNode { .. }
        | Error::RecursiveReferencesRequireWeakTypes { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::FoldedBlockScalarMustIndentContent { .. }
        | Error::ContainerEndMismatch { .. }
        | Error::UnknownAnchor { .. }
        | Error::IndentationError { .. }
        | Error::Budget { .. } => None,
        _ => Some("something that is no plain data"),
    }
}

const TOO_LONG: &str = "a number beyond 64 bits; quote it to make it text";

enum Tree {
    Scalar(Value),
    Seq(Vec<Spanned<Tree>>),
    Map(Vec<(Spanned<String>, Spanned<Tree>)>),
}

fn node(tree: Spanned<Tree>) -> Node {
    let line = tree.referenced.line();
    match tree.value {
        Tree::Scalar(value) => Node::Scalar { value, line },
        Tree::Seq(items) => Node::Seq { items: items.into_iter().map(node).collect(), line },
        Tree::Map(entries) => Node::Map {
            entries: entries
                .into_iter()
                .map(|(key, value)| ((key.value, key.referenced.line()), node(value)))
                .collect(),
            line,
        },
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Tree, E> {
        // A long whole number can come as this, and is then no longer the one that was written.
        if value.is_finite() && value.abs() >= u64::MAX as f64 {
            return Err(E::custom(TOO_LONG));
        }
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_i128<E: de::Error>(self, _: i128) -> Result<Tree, E> {
        Err(E::custom(TOO_LONG))
    }

    fn visit_u128<E: de::Error>(self, _: u128) -> Result<Tree, E> {
        Err(E::custom(TOO_LONG))
    }

    fn visit_bytes<E: de::Error>(self, _: &[u8]) -> Result<Tree, E> {
        Err(E::custom("binary data has no place here"))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Scalar(value.into()))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Null))
    }

    fn visit_none<E: de::Error>(self) -> Result<Tree, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Tree, D::Error> {
        Tree::deserialize(from)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<Tree, D::Error> {
        Tree::deserialize(from)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Tree::Seq(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Tree::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_data() {
        for (text, expected) in [
            ("", json!(null)),
            (
                "a: yes\nb: off\nc: 0644\nd: 2026-01-02\n8080: x",
                json!({"a": true, "b": false, "c": "0644", "d": "2026-01-02", "8080": "x"}),
            ),
            (
                "base: &base {a: 1, b: 2}\nown:\n  <<: *base\n  b: 3",
                json!({"base": {"a": 1, "b": 2}, "own": {"b": 3, "a": 1}}),
            ),
            ("a: !!str 5\nb: |\n  x\n  y\n", json!({"a": "5", "b": "x\ny\n"})),
        ] {
            let read = read_plain(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
            assert_eq!(read.value(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_refused_names_the_line_and_no_value() {
        let alias_bomb = format!("a: &a canary{}\nb: [{}]", "x".repeat(100_000), "*a, ".repeat(900));
        let nested = format!("{}canary{}", "[".repeat(40), "]".repeat(40));
        for (text, line) in [
            ("a: 1\nb: !vault canary", 2),
            ("a: 1\nb: !canary", 2),
            ("a: 1\nb: !!python/object:os.system [canary]", 2),
            ("a: 1\na: canary", 2),
            ("a: \"canary", 1),
            ("a: 1\ncanary: 2\ncanary: 3", 3),
            ("a: 1\nb: *canary", 2),
            ("a: 1\nb: @canary", 2),
            ("a: 1\nb: `canary", 2),
            ("a: 1\nb: |canary", 2),
            ("a: 1\nb: \"\\canary\"", 2),
            ("a: 1\nb: can: canary", 2),
            ("a: 1\nb: !<canary", 2),
            ("a: 1\nb: !canary!canary x", 2),
            ("a: &b [*b, canary]", 1),
            ("? [canary]\n: 1", 1),
            ("? {canary: 1}\n: 1", 1),
            ("a: !!int canary", 1),
            ("a: !!float canary", 1),
            ("a: !!bool canary", 1),
            ("a: 1\n---\nb: canary", 2),
            ("a: 1\nb: 123456789012345678901234567890", 2),
            ("a: .inf", 1),
            ("a: !!binary gIGC", 1),
            (&alias_bomb, 2),
            (&nested, 1),
        ] {
            let (at, fault) = read_plain(text).expect_err(text);
            let shown = fault.to_string();
            assert!(!shown.contains("canary"), "{shown}");
            assert!(!shown.contains("123456") && !shown.contains("gIGC"), "{shown}");
            assert_eq!(at, line, "{shown}");
        }
    }
}
