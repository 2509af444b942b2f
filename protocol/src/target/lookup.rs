//! `key[:key…]:pattern` against nested values: grains and pillar.
//!
//! Nobody says where the keys end and the pattern begins, so every split is tried: with
//! `a:b:c:d`, the value of `a` may match `b:c:d`, that of `a:b` may match `c:d`, and so on. A list
//! matches with any of its members, a mapping with its keys, and the key `*` stands for any key
//! and for none. **Invariant:** the time is bounded by values times splits; a mapping that was
//! searched from one split is never searched from there again.

use std::collections::HashSet;

use regex::Regex;
use serde_json::{Map, Value};

use super::Fault;
use super::key::Key;
use super::pattern::compile;
use super::term::Budget;
use super::text::text_of;
use crate::glob::Glob;

/// Between keys, unless another is named; and in what is left of a text once a value was found,
/// whatever is named, as in Salt.
const COLON: char = ':';

/// The most splits of one term: every one has a pattern of its own.
const SPLITS_MAX: usize = 64;

/// The longest pattern, in characters: it is compared with every value on the way.
const PATTERN_MAX: usize = 1024;

/// How many mappings are searched before it is remembered which were.
const UNREMEMBERED: usize = 64;

/// Keys and a pattern.
#[derive(Debug, Clone)]
pub(super) struct Lookup {
    text: Box<str>,
    delimiter: char,
    first: Key,
    /// By where they begin in the text, ascending.
    patterns: Box<[(usize, Pattern)]>,
}

#[derive(Debug, Clone)]
enum Pattern {
    Glob(Glob),
    Regex(Regex),
    /// A split within an expression that is none by itself.
    Nothing,
}

impl Lookup {
    /// Reads keys and a glob or a regular expression. Without a delimiter it means no minion.
    pub(super) fn read(
        text: &str,
        delimiter: Option<char>,
        is_regex: bool,
        budget: &mut Budget,
    ) -> Result<Self, Fault> {
        let delimiter = delimiter.unwrap_or(COLON);
        let end = text.find(delimiter);
        let key = Key::new(&text[..end.unwrap_or(0)]);
        let mut lookup = Self { text: text.into(), delimiter, first: key, patterns: Box::default() };
        let Some(first) = end else {
            return Ok(lookup);
        };
        let first = first + delimiter.len_utf8();
        if text[first..].chars().count() > PATTERN_MAX {
            return Err(Fault { at: 0, what: format!("a pattern has at most {PATTERN_MAX} characters") });
        }
        let splits = text.match_indices([delimiter, COLON]).map(|(at, found)| at + found.len());
        let splits: Vec<usize> = splits.filter(|at| *at >= first).collect();
        if splits.len() > SPLITS_MAX {
            return Err(Fault { at: 0, what: format!("at most {SPLITS_MAX} keys lead to a value") });
        }
        // What must be readable: what is left when nothing but keys is taken away.
        let whole = splits.iter().copied().find(|at| !text[*at..].starts_with("*:"));
        let read = |at: usize| {
            let part = &text[at..];
            if !is_regex {
                return Ok((at, Pattern::Glob(Glob::folded(part))));
            }
            let before = || text[..at].chars().count();
            budget.take_regex().map_err(|what| Fault { at: before(), what })?;
            match compile(part, true) {
                Ok(regex) => Ok((at, Pattern::Regex(regex))),
                Err(fault) if Some(at) == whole => Err(Fault { at: before() + fault.at, ..fault }),
                Err(_) => Ok((at, Pattern::Nothing)),
            }
        };
        lookup.patterns = splits.into_iter().map(read).collect::<Result<_, _>>()?;
        Ok(lookup)
    }

    pub(super) fn first(&self) -> &Key {
        &self.first
    }

    /// Whether one of the values matches.
    pub(super) fn matches(&self, values: &Map<String, Value>) -> bool {
        Search { lookup: self, steps: 0, seen: HashSet::new() }.walk(values, 0, self.delimiter)
    }

    /// Whether nothing in it stands for more than itself, when it is a glob.
    pub(super) fn is_exact(&self) -> bool {
        !self.text.contains(['*', '?', '['])
            && !self.patterns.iter().any(|(_, pattern)| matches!(pattern, Pattern::Regex(_)))
    }
}

struct Search<'l> {
    lookup: &'l Lookup,
    steps: usize,
    /// Mappings, by their place, with where in the text they were searched from, and whether
    /// through all their keys.
    seen: HashSet<(usize, usize, bool)>,
}

impl<'l> Search<'l> {
    fn rest(&self, at: usize) -> &'l str {
        &self.lookup.text[at..]
    }

    /// Follows the keys from `at` on; each value on the way may match what is left.
    fn walk(&mut self, from: &Map<String, Value>, mut at: usize, delimiter: char) -> bool {
        let mut here = None;
        while let Some(width) = self.rest(at).find(delimiter) {
            let key = &self.rest(at)[..width];
            let next = at + width + delimiter.len_utf8();
            let value = match here {
                None if key == "*" => {
                    if !from.is_empty() && self.mapping(from, at, true) {
                        return true;
                    }
                    from.get(key)
                }
                None if at == 0 => self.lookup.first.get(from),
                None => inner(from, key),
                Some(value) => step(value, key),
            };
            let Some(value) = value else {
                return false;
            };
            let is_any = here.is_none() && key == "*";
            if !is_any && self.value(value, next, delimiter == COLON) {
                return true;
            }
            here = Some(value);
            at = next;
        }
        false
    }

    fn value(&mut self, value: &Value, at: usize, is_on_the_way: bool) -> bool {
        match value {
            Value::Object(mapping) => !mapping.is_empty() && self.mapping(mapping, at, is_on_the_way),
            Value::Array(members) => members.iter().any(|member| match member {
                Value::Object(mapping) => self.mapping(mapping, at, false) || self.leaf(member, at),
                _ => self.leaf(member, at),
            }),
            _ => self.leaf(value, at),
        }
    }

    /// Whether a mapping matches what is left from `at` on. The walk that it is on the way of tries
    /// the splits that begin with one of its keys by itself.
    fn mapping(&mut self, mapping: &Map<String, Value>, at: usize, is_on_the_way: bool) -> bool {
        let (is_any, at) = if self.rest(at).starts_with("*:") { (true, at + 2) } else { (false, at) };
        let rest = self.rest(at);
        if rest == "*" || mapping.keys().any(|key| key == rest || self.hits(key, at)) {
            return true;
        }
        let has_keys = rest.contains(COLON) && (is_any || !is_on_the_way);
        if has_keys && self.is_new(mapping, at, false) && self.walk(mapping, at, COLON) {
            return true;
        }
        is_any
            && self.is_new(mapping, at, true)
            && mapping.values().any(|value| match value {
                Value::Object(inner) => self.mapping(inner, at, false),
                Value::Array(members) => members.iter().any(|member| self.leaf(member, at)),
                _ => self.leaf(value, at),
            })
    }

    /// Few searches are worth remembering; long ones remember all but their beginning.
    fn is_new(&mut self, mapping: &Map<String, Value>, at: usize, is_through_all: bool) -> bool {
        self.steps += 1;
        self.steps <= UNREMEMBERED
            || self.seen.insert((std::ptr::from_ref(mapping) as usize, at, is_through_all))
    }

    fn leaf(&self, value: &Value, at: usize) -> bool {
        match value {
            Value::String(text) => self.hits(text, at),
            other => self.hits(&text_of(other), at),
        }
    }

    fn hits(&self, text: &str, at: usize) -> bool {
        let found = self.lookup.patterns.iter().find(|(begins, _)| *begins == at);
        found.is_some_and(|(_, pattern)| match pattern {
            Pattern::Glob(glob) => glob.matches_folded(text),
            Pattern::Regex(regex) => regex.is_match(text),
            Pattern::Nothing => false,
        })
    }
}

/// The value behind one key: of a list its member of that number, or what the first of its mappings
/// that has the key says.
fn step<'v>(value: &'v Value, key: &str) -> Option<&'v Value> {
    match value {
        Value::Object(mapping) => inner(mapping, key),
        Value::Array(members) => match key.parse::<isize>() {
            Ok(at) if at >= 0 => members.get(at.unsigned_abs()),
            Ok(at) => members.get(members.len().checked_sub(at.unsigned_abs())?),
            Err(_) => members.iter().find_map(|member| inner(member.as_object()?, key)),
        },
        _ => None,
    }
}

/// The same as `get`, without a way through a hash table where there is little to look at.
fn inner<'v>(mapping: &'v Map<String, Value>, key: &str) -> Option<&'v Value> {
    const FEW: usize = 16;
    if mapping.len() > FEW {
        return mapping.get(key);
    }
    mapping.iter().find_map(|(name, value)| (name == key).then_some(value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lookup(text: &str, delimiter: Option<char>, is_regex: bool) -> Lookup {
        let read = Lookup::read(text, delimiter, is_regex, &mut Budget::default());
        read.unwrap_or_else(|fault| panic!("{text}: {}", fault.what))
    }

    #[track_caller]
    fn check(value: &Value, cases: &[(&str, bool)]) {
        for (text, expected) in cases {
            let lookup = lookup(text, None, false);
            assert_eq!(lookup.matches(value.as_object().expect("a mapping")), *expected, "{text}");
        }
    }

    #[test]
    fn keys_lead_into_lists_and_mappings() {
        let value = json!({
            "os": "Debian", "n": 3, "flag": true, "none": null, "f": 1.5, "empty": "", "nothing": {},
            "roles": ["web", "Cache"], "info": [24, 4], "url": "http://x:80/y",
            "eth": {"lo": ["127.0.0.1"], "eth0": ["10.0.0.5"]},
            "abc": ["def", {"lorem": {"ipsum": [{"dolor": "sit"}]}}, {"lorem": {"ipsum": "amet"}}],
        });
        check(
            &value,
            &[
                ("os:debian", true),
                ("os:DEB*", true),
                ("OS:debian", false),
                ("os", false),
                ("os:Debian:", false),
                ("nosuch:*", false),
                ("n:3", true),
                ("n:03", false),
                ("flag:true", true),
                ("flag:1", false),
                ("none:none", true),
                ("f:1.5", true),
                ("empty:", true),
                ("empty:*", true),
                ("nothing:*", false),
                ("roles:cache", true),
                ("roles:1:cache", true),
                ("roles:-1:cache", true),
                ("roles:-3:*", false),
                ("info:0:24", true),
                ("info:4", true),
                ("url:http://x:80/y", true),
                ("eth:eth0", true),
                ("eth:eth?", true),
                ("eth:*:10.0.0.5", true),
                ("eth:eth*:10.0.0.5", false),
                ("*:eth0:10.0.0.5", true),
                ("*:*:10.0.0.5", true),
                ("*:10.0.0.9", false),
                ("abc:lorem:ipsum:dolor:sit", true),
                ("abc:lorem:ipsum:amet", true),
                ("abc:lorem:ipsum:nosuch", false),
            ],
        );
        let value = value.as_object().expect("a mapping");
        assert!(lookup("url|http://x:80/y", Some('|'), false).matches(value));
        assert!(lookup("eth|eth0:10.0.0.5", Some('|'), false).matches(value));
        assert!(!lookup("eth|*|10.0.0.5", Some('|'), false).matches(value));
        assert!(lookup(r"eth:eth0:10\.0\.0\.\D?(5|6)$", None, true).matches(value));
        assert!(lookup("*:eth0:^10", None, true).matches(value));
    }

    #[test]
    fn an_expression_that_is_none_is_refused_where_it_stands() {
        for (text, at) in [("os:(", 3), ("a:b:c(", 5), ("*:a:(", 4), ("é:ü:(", 4)] {
            let fault = Lookup::read(text, None, true, &mut Budget::default()).expect_err(text);
            assert_eq!(fault.at, at, "{text}");
        }
        assert!(Lookup::read("url:(?:http:x|y)", None, true, &mut Budget::default()).is_ok());
    }

    #[test]
    fn no_search_takes_for_ever() {
        let mut value = json!({"x": "no"});
        let mut list = json!([{"a": 1}]);
        for _ in 0..60 {
            value = json!({"a": value, "b": [value.get("none")]});
            list = json!([{"a": list}]);
        }
        let value = json!({"a": value, "l": list});
        let value = value.as_object().expect("a mapping");
        for part in ["a:", "*:", "a:*:", "0:a:", "*:a:0:"] {
            let text = format!("{}never", part.repeat(60 / part.matches(':').count()));
            assert!(!lookup(&text, None, false).matches(value), "{text}");
            assert!(!lookup(&format!("l:{text}"), None, false).matches(value), "{text}");
        }
    }
}
