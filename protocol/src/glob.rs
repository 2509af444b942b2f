//! Shell globs over ids, as Python's `fnmatch` reads them, which is what Salt users type.
//!
//! `*` any run, `?` any one character, `[abc]`, `[a-z]`, `[!a]`; everything else is itself, and
//! the whole text has to match. Case matters. Linear in text times pattern: no input makes it slow.

/// Whether `text` matches `pattern` as a whole.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if p < pattern.len() && pattern[p] == '*' {
            retry = Some((p + 1, t));
            p += 1;
            continue;
        }
        if t == text.len() {
            return pattern[p..].iter().all(|c| *c == '*');
        }
        if p < pattern.len()
            && let Some(width) = one(&pattern[p..], text[t])
        {
            p += width;
            t += 1;
            continue;
        }
        match retry {
            Some((after_star, from)) => {
                p = after_star;
                t = from + 1;
                retry = Some((after_star, t));
            }
            None => return false,
        }
    }
}

/// How many pattern characters match the one character `c`, or none if it does not.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern[0] {
        '?' => Some(1),
        '[' => match class(pattern) {
            Some((negated, members, width)) => (in_class(members, c) != negated).then_some(width),
            None => (c == '[').then_some(1),
        },
        literal => (literal == c).then_some(1),
    }
}

/// Splits `[...]` at the front into (negated, members, width); an unclosed bracket is no class.
fn class(pattern: &[char]) -> Option<(bool, &[char], usize)> {
    let negated = pattern.get(1) == Some(&'!');
    let start = if negated { 2 } else { 1 };
    // A bracket right at the start is a member, so the search for the end begins behind it.
    let close = start + 1 + pattern.get(start + 1..)?.iter().position(|c| *c == ']')?;
    Some((negated, &pattern[start..close], close + 1))
}

fn in_class(members: &[char], c: char) -> bool {
    let mut rest = members;
    while let Some(first) = rest.first() {
        if rest.len() >= 3 && rest[1] == '-' {
            if (*first..=rest[2]).contains(&c) {
                return true;
            }
            rest = &rest[3..];
        } else {
            if *first == c {
                return true;
            }
            rest = &rest[1..];
        }
    }
    false
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
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern:?} on {text:?}");
        }
    }

    #[test]
    fn hostile_patterns_stay_linear() {
        assert!(!matches(&"*a".repeat(2000), &"a".repeat(1999)));
    }
}
