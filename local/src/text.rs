//! Foreign text, made safe to show.

use std::fmt::Write;

/// The text with every character escaped as `\u{…}` that could move the cursor, change colours,
/// reorder what is shown or hide: controls, bidirectional overrides, zero-width characters, line
/// separators and tags. Everything else stays as it is, in any script; a backslash too, so this
/// is for reading by people and not reversible.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) {
            write!(safe, "\\u{{{:x}}}", c as u32).expect("writing to a string cannot fail");
        } else {
            safe.push(c);
        }
    }
    safe
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            // Soft hyphen, Arabic letter mark, Hangul fillers, Mongolian vowel separator.
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{3164}' | '\u{ffa0}'
                // Zero-width characters, direction marks.
                | '\u{200b}'..='\u{200f}'
                // Line and paragraph separators, embeddings, overrides.
                | '\u{2028}'..='\u{202e}'
                // Word joiner, invisible operators, isolates, deprecated format characters.
                | '\u{2060}'..='\u{206f}'
                // Byte order mark, interlinear annotation.
                | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
                // Tags: text that no terminal shows.
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::escape;

    fn check(text: &str, expected: &str) {
        assert_eq!(escape(text), expected);
    }

    #[test]
    fn only_what_could_mislead_is_escaped() {
        check("web-01 Élan 服务器 🦀", "web-01 Élan 服务器 🦀");
        check("a\\b", "a\\b");
        check("a\nb\tc\rd\0", "a\\u{a}b\\u{9}c\\u{d}d\\u{0}");
        check("\u{1b}[31mred\u{7f}\u{9b}0m", "\\u{1b}[31mred\\u{7f}\\u{9b}0m");
        check("evil\u{202e}gpj.exe", "evil\\u{202e}gpj.exe");
        check("a\u{200b}b\u{2066}c\u{feff}", "a\\u{200b}b\\u{2066}c\\u{feff}");
        check("x\u{e0041}", "x\\u{e0041}");
    }
}
