//! Shell globs over ids, as Python's `fnmatch` reads them, which is what Salt users type.
//!
//! `*` any run, `?` any one character, `[abc]`, `[a-z]`, `[!a]`; everything else is itself, and
//! the whole text has to match. Case matters. Linear in text times pattern: no input makes it slow.

/// Whether `text` matches `pattern` as a whole.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    Glob::new(pattern).matches(text)
}

/// A glob that is read once and asked many times.
#[derive(Debug, Clone)]
pub struct Glob {
    parts: Box<[Part]>,
    /// What stands before the first star and behind the last one, when nothing else in the pattern
    /// is special and there is nothing between stars: most patterns are no more than that.
    edges: Option<Edges>,
}

#[derive(Debug, Clone)]
struct Edges {
    before: Box<str>,
    /// None when the pattern has no star.
    behind: Option<Box<str>>,
    is_ascii: bool,
}

#[derive(Debug, Clone)]
enum Part {
    Star,
    One,
    Literal(char),
    Class { is_negated: bool, ranges: Box<[(char, char)]> },
}

impl Glob {
    /// Reads a pattern. There is none that cannot be read.
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        Self::read(&pattern.chars().collect::<Vec<_>>())
    }

    /// Reads a pattern for [`Glob::matches_folded`].
    #[must_use]
    pub fn folded(pattern: &str) -> Self {
        Self::read(&pattern.chars().flat_map(char::to_lowercase).collect::<Vec<_>>())
    }

    fn read(mut pattern: &[char]) -> Self {
        let mut parts = Vec::with_capacity(pattern.len());
        // What closes one bracket closes those behind it: after one that stays open none is closed,
        // and looking for the end of each would take a time that is quadratic.
        let mut is_open = false;
        while let Some(first) = pattern.first() {
            let (part, width) = match first {
                '*' => (Part::Star, 1),
                '?' => (Part::One, 1),
                '[' if !is_open => class(pattern).unwrap_or_else(|| {
                    is_open = true;
                    (Part::Literal('['), 1)
                }),
                literal => (Part::Literal(*literal), 1),
            };
            // Two stars say no more than one.
            if !matches!((&part, parts.last()), (Part::Star, Some(Part::Star))) {
                parts.push(part);
            }
            pattern = &pattern[width..];
        }
        Self { edges: Edges::of(&parts), parts: parts.into() }
    }

    /// Whether `text` matches as a whole.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        match &self.edges {
            Some(edges) => edges.match_bytes(text.as_bytes(), <[u8]>::eq),
            None => self.run(text.chars()),
        }
    }

    /// The same when the case of letters does not matter, of a pattern read with [`Glob::folded`].
    #[must_use]
    pub fn matches_folded(&self, text: &str) -> bool {
        match &self.edges {
            // Compared byte by byte, and the length first: most texts need not be looked at.
            Some(edges) if edges.is_ascii => edges.match_bytes(text.as_bytes(), <[u8]>::eq_ignore_ascii_case),
            _ if text.is_ascii() => self.run(text.bytes().map(|byte| char::from(byte.to_ascii_lowercase()))),
            _ => self.run(text.chars().flat_map(char::to_lowercase)),
        }
    }

    fn run(&self, mut text: impl Iterator<Item = char> + Clone) -> bool {
        let mut parts = &*self.parts;
        // Where to go on when what follows the last star does not fit: one character further.
        let mut retry = None;
        loop {
            if let [Part::Star, rest @ ..] = parts {
                if rest.is_empty() {
                    return true;
                }
                parts = rest;
                retry = Some((rest, text.clone()));
                continue;
            }
            let next = text.next();
            match (parts, next) {
                ([], None) => return true,
                ([part, rest @ ..], Some(c)) if part.takes(c) => parts = rest,
                (_, None) => return false,
                (_, Some(_)) => {
                    let Some((after_star, from)) = &mut retry else {
                        return false;
                    };
                    if from.next().is_none() {
                        return false;
                    }
                    parts = after_star;
                    text = from.clone();
                }
            }
        }
    }
}

impl Edges {
    fn of(parts: &[Part]) -> Option<Self> {
        let mut sides = parts.split(|part| matches!(part, Part::Star));
        let literal = |side: &[Part]| {
            let chars = side.iter().map(|part| match part {
                Part::Literal(c) => Some(*c),
                _ => None,
            });
            chars.collect::<Option<String>>().map(String::into_boxed_str)
        };
        let before = literal(sides.next()?)?;
        let behind = match sides.next() {
            Some(side) => Some(literal(side)?),
            None => None,
        };
        let is_ascii = before.is_ascii() && behind.as_ref().is_none_or(|behind| behind.is_ascii());
        sides.next().is_none().then_some(Self { before, behind, is_ascii })
    }

    /// Whole characters are compared, because both sides are UTF-8.
    fn match_bytes(&self, text: &[u8], is_same: impl Fn(&[u8], &[u8]) -> bool) -> bool {
        let (before, Some(behind)) = (self.before.as_bytes(), &self.behind) else {
            return is_same(text, self.before.as_bytes());
        };
        let behind = behind.as_bytes();
        text.len() >= before.len() + behind.len()
            && is_same(&text[..before.len()], before)
            && is_same(&text[text.len() - behind.len()..], behind)
    }
}

impl Part {
    fn takes(&self, c: char) -> bool {
        match self {
            Part::Star => false,
            Part::One => true,
            Part::Literal(literal) => *literal == c,
            Part::Class { is_negated, ranges } => {
                ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *is_negated
            }
        }
    }
}

/// Reads `[...]` at the front, with its width; an unclosed bracket is no class.
fn class(pattern: &[char]) -> Option<(Part, usize)> {
    let is_negated = pattern.get(1) == Some(&'!');
    let start = if is_negated { 2 } else { 1 };
    // A bracket right at the start is a member, so the search for the end begins behind it.
    let close = start + 1 + pattern.get(start + 1..)?.iter().position(|c| *c == ']')?;
    let mut members = &pattern[start..close];
    let mut ranges = Vec::new();
    loop {
        members = match members {
            [] => return Some((Part::Class { is_negated, ranges: ranges.into() }, close + 1)),
            [from, '-', to, rest @ ..] => {
                ranges.push((*from, *to));
                rest
            }
            [one, rest @ ..] => {
                ranges.push((*one, *one));
                rest
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_fnmatch_does() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "web1.example.org", true),
            ("web*", "web1", true),
            ("web*", "aweb1", false),
            ("web?", "web1", true),
            ("web?", "web12", false),
            ("web[12]", "web2", true),
            ("web[!12]", "web2", false),
            ("web[!12]", "web3", true),
            ("web[0-9]", "web7", true),
            ("web[a-c]x", "webdx", false),
            ("[]a]", "]", true),
            ("[", "[", true),
            ("a[", "a[", true),
            ("*.example.org", "web1.example.org", true),
            ("*a*b*c*", "xaxbxcx", true),
            ("*a*b*c*", "xaxcxbx", false),
            ("Web1", "web1", false),
            ("", "", true),
            ("", "a", false),
            ("a**", "a", true),
            ("*?", "", false),
            ("*a?", "aab", true),
            ("[a-]x", "-x", true),
            ("[z-a]", "m", false),
            ("[!]a]", "b", true),
            ("[!]", "[!]", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern:?} on {text:?}");
        }
    }

    #[test]
    fn case_is_folded_on_both_sides() {
        for (pattern, text, expected) in [
            ("DEB*", "Debian", true),
            ("[A-C]x", "bX", true),
            ("\u{c9}t?", "\u{e9}t\u{c9}", true),
            ("deb", "Debian", false),
        ] {
            assert_eq!(Glob::folded(pattern).matches_folded(text), expected, "{pattern:?} on {text:?}");
        }
    }

    #[test]
    fn hostile_patterns_stay_linear() {
        assert!(!matches(&"*a".repeat(2000), &"a".repeat(1999)));
        let open = "[".repeat(2_000_000);
        assert!(matches(&open, &open));
        assert!(matches(&format!("{}[!]", "[]]".repeat(1000)), &format!("{}[!]", "]".repeat(1000))));
    }
}
