//! Words and numbers as the screen shows them. Widths are what a terminal gives them: two
//! columns for wide characters and most emoji.

use brine_local::text::escape;
use brine_protocol::permission::Role;
use brine_protocol::time::Timestamp;
use brine_protocol::{Fingerprint, MinionId};
use ratatui::style::Style;
use ratatui::text::Span;

/// Groups of four pairs in a whole fingerprint.
pub(crate) const GROUPS: usize = 8;

/// How many columns a text takes.
pub(crate) fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// The text, cut to at most so many columns; what is missing shows as `…`.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 0;
    for grapheme in Span::raw(text).styled_graphemes(Style::default()) {
        let wide = width(grapheme.symbol);
        if used + wide + 1 > columns {
            break;
        }
        kept.push_str(grapheme.symbol);
        used += wide;
    }
    if columns > 0 {
        kept.push('…');
    }
    kept
}

/// The text in at most so many columns; what is missing is in its middle and shows as `…`: ids that
/// look alike differ at their ends.
pub(crate) fn cut_middle(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let end = tail(text, columns.saturating_sub(1) / 2);
    format!("{}{end}", cut(text, columns.saturating_sub(width(&end))))
}

/// An id as a sentence has it: they have up to 253 bytes.
pub(crate) fn short_id(id: &MinionId) -> String {
    cut_middle(id.as_str(), 40)
}

/// The most marks that a claim may put on one character.
const MARKS_MAX: usize = 2;

/// What a stranger claims, safe to show: escaped, and only of characters of which every terminal
/// has the same idea how wide they are. Where the ideas differ, something stays on the screen that
/// nobody draws over.
pub(crate) fn claim(text: &str) -> String {
    let mut kept = String::new();
    // Where the last character with a width of its own begins, and how many marks it has.
    let (mut base, mut marks) = (0, 0);
    for c in escape(text).chars().filter(|c| !is_treacherous(*c)) {
        let before = width(&kept[base..]);
        let own = width(c.encode_utf8(&mut [0; 4]));
        let start = kept.len();
        kept.push(c);
        // A character that changes the width of its neighbour is a ligature somewhere, and not
        // elsewhere.
        let is_lone = width(&kept[base..]) == before + own;
        if !is_lone || own == 0 && (start == 0 || marks == MARKS_MAX) {
            kept.truncate(start);
        } else if own == 0 {
            marks += 1;
        } else {
            (base, marks) = (start, 0);
        }
    }
    kept
}

/// Whether this makes something else of the character before it, in some terminals.
fn is_treacherous(c: char) -> bool {
    matches!(
        c,
        // Variation selectors.
        '\u{180b}'..='\u{180f}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}'
            // Thai and Lao SARA AM: half a mark, half a letter.
            | '\u{e33}' | '\u{eb3}'
            // What encloses: keycaps and the like.
            | '\u{20dd}'..='\u{20e0}' | '\u{20e2}'..='\u{20e4}'
            // Letters of flags, colours of skin.
            | '\u{1f1e6}'..='\u{1f1ff}' | '\u{1f3fb}'..='\u{1f3ff}'
    )
}

/// The text in exactly so many columns.
pub(crate) fn fit(text: &str, columns: usize) -> String {
    let mut fitted = cut(text, columns);
    let missing = columns.saturating_sub(width(&fitted));
    fitted.extend(std::iter::repeat_n(' ', missing));
    fitted
}

/// The end of a text that is typed, in at most so many columns.
pub(crate) fn tail(text: &str, columns: usize) -> String {
    let mut rest = text;
    while width(rest) > columns {
        let mut chars = rest.chars();
        chars.next();
        rest = chars.as_str();
    }
    rest.to_owned()
}

/// The text in lines of at most so many columns, broken between words where that is possible.
pub(crate) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(2);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let mut word = word;
        if !line.is_empty() && width(&line) + 1 + width(word) > columns {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        while width(&line) + width(word) > columns {
            let end = fitting(word, columns - width(&line));
            line.push_str(&word[..end]);
            word = &word[end..];
            lines.push(std::mem::take(&mut line));
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// How many bytes of a text fit into so many columns; at least its first character.
fn fitting(text: &str, columns: usize) -> usize {
    let (mut used, mut bytes) = (0, 0);
    for grapheme in Span::raw(text).styled_graphemes(Style::default()) {
        let wide = width(grapheme.symbol);
        if bytes > 0 && used + wide > columns {
            break;
        }
        used += wide;
        bytes += grapheme.symbol.len();
    }
    bytes.max(text.chars().next().map_or(0, char::len_utf8))
}

/// A whole fingerprint in groups of four pairs, so many groups to a line: the characters are the
/// ones that the minion prints, with a space in place of each fourth colon.
pub(crate) fn fingerprint_lines(fingerprint: Fingerprint, groups: usize) -> Vec<String> {
    let all: Vec<String> = fingerprint.0.chunks(4).map(pairs).collect();
    all.chunks(groups.clamp(1, GROUPS)).map(|line| line.join(" ")).collect()
}

/// The first groups of a fingerprint, with `…` where something is left out.
pub(crate) fn fingerprint_start(fingerprint: Fingerprint, groups: usize) -> String {
    let mut text = fingerprint_lines(fingerprint, groups).swap_remove(0);
    if groups < GROUPS {
        text.push('…');
    }
    text
}

/// How many columns so many first groups take.
pub(crate) fn groups_width(groups: usize) -> usize {
    groups * 12 - usize::from(groups >= GROUPS)
}

fn pairs(bytes: &[u8]) -> String {
    let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    pairs.join(":")
}

/// How long ago something was, in at most four columns.
pub(crate) fn age(now: Timestamp, then: Timestamp) -> String {
    let seconds = (now.seconds() - then.seconds()).max(0);
    match seconds {
        0 => "now".to_owned(),
        1..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..172_800 => format!("{}h", seconds / 3600),
        172_800..86_400_000 => format!("{}d", seconds / 86_400),
        _ => format!("{}y", seconds / 31_557_600),
    }
}

/// How long ago something was, as a sentence has it.
pub(crate) fn ago(now: Timestamp, then: Timestamp) -> String {
    match age(now, then).as_str() {
        "now" => "just now".to_owned(),
        age => format!("{age} ago"),
    }
}

/// A moment to the second.
pub(crate) fn moment(at: Timestamp) -> String {
    let text = at.to_string();
    format!("{} UTC", text.get(..19).unwrap_or(&text).replace('T', " "))
}

/// A number with its thousands apart.
pub(crate) fn number(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 key`, `2 keys`.
pub(crate) fn counted(n: usize, noun: &str) -> String {
    format!("{} {noun}{}", number(n), if n == 1 { "" } else { "s" })
}

/// The text with its first letter in capitals.
pub(crate) fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// `root` of `unix:0 (root)`; a principal without a name as it is.
pub(crate) fn short_name(principal: &str) -> &str {
    let name = principal.strip_suffix(')').and_then(|text| text.split_once(" (")).map(|(_, name)| name);
    name.unwrap_or(principal)
}

/// `a viewer`, `an operator`.
pub(crate) fn with_article(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {noun}")
}

/// The word for a role.
pub(crate) fn role(role: Role) -> &'static str {
    match role {
        Role::Admin => "admin",
        Role::Operator => "operator",
        Role::Viewer => "viewer",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(shown: fn(&str, usize) -> String, cases: &[(&str, usize, &str)]) {
        for (text, columns, expected) in cases {
            assert_eq!(shown(text, *columns), *expected, "{text} in {columns}");
        }
    }

    #[test]
    fn texts_fit_by_columns() {
        let cases = [
            ("web1", 6, "web1  "),
            ("web1", 4, "web1"),
            ("web1", 3, "we…"),
            ("web1", 1, "…"),
            ("web1", 0, ""),
            ("服务器", 6, "服务器"),
            ("服务器", 5, "服务…"),
            ("服务器", 4, "服… "),
            ("🦀🦀", 3, "🦀…"),
            ("e\u{301}le", 2, "e\u{301}…"),
        ];
        check(fit, &cases);
        assert!(cases.iter().all(|(_, columns, fitted)| width(fitted) == *columns));
    }

    #[test]
    fn the_middle_of_an_id_is_what_is_left_out() {
        let cases = [
            ("web1", 4, "web1"),
            ("abcdefgh", 7, "abc…fgh"),
            ("abcdefgh", 6, "abc…gh"),
            ("abcdefgh", 2, "a…"),
            ("abcdefgh", 1, "…"),
            ("abcdefgh", 0, ""),
        ];
        check(cut_middle, &cases);
    }

    #[test]
    fn claims_keep_what_is_as_wide_everywhere() {
        for (text, expected) in [
            ("web-01 Élan 服务器 🦀", "web-01 Élan 服务器 🦀"),
            ("e\u{301}le\u{300}ve", "e\u{301}le\u{300}ve"),
            ("Z\u{300}\u{301}\u{302}\u{303}x\u{304}", "Z\u{300}\u{301}x\u{304}"),
            ("\u{301}x", "x"),
            ("👍\u{1f3fd}!", "👍!"),
            ("❤\u{fe0f}1\u{fe0f}\u{20e3}", "❤1"),
            ("น\u{e33}", "น"),
            ("🇩🇪", ""),
            ("a\u{1b}[m", "a\\u{1b}[m"),
        ] {
            assert_eq!(claim(text), expected, "{text:?}");
        }
        // However it is cut, the parts are as wide as the whole.
        let claimed = claim("ل\u{627}ក្ក👩\u{200d}🚀क्षि한국각");
        let parts: usize = claimed.chars().map(|c| width(c.encode_utf8(&mut [0; 4]))).sum();
        assert_eq!(width(&claimed), parts, "{claimed:?}");
    }

    #[test]
    fn what_is_typed_shows_its_end() {
        check(tail, &[("abc", 3, "abc"), ("abcd", 3, "bcd"), ("服务器", 5, "务器"), ("abc", 0, "")]);
    }

    #[test]
    fn long_texts_wrap() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("a 服务器服务器 b", 5), ["a", "服务", "器服", "务器", "b"]);
        assert_eq!(wrap("", 5), Vec::<String>::new());
        for columns in 1..12 {
            let lines = wrap("the quick 🦀🦀🦀 jumps over thelazydogandaway", columns);
            assert!(lines.iter().all(|line| width(line) <= columns.max(2)), "{columns}: {lines:?}");
        }
    }

    #[test]
    fn fingerprints_keep_their_characters() {
        let fingerprint = Fingerprint(std::array::from_fn(|i| i as u8));
        assert_eq!(fingerprint_lines(fingerprint, 2)[1], "08:09:0a:0b 0c:0d:0e:0f");
        assert_eq!(fingerprint_lines(fingerprint, 8).join(" ").replace(' ', ":"), fingerprint.to_string());
        assert_eq!(fingerprint_start(fingerprint, 1), "00:01:02:03…");
        for groups in 1..=GROUPS {
            assert_eq!(width(&fingerprint_start(fingerprint, groups)), groups_width(groups));
        }
    }

    #[test]
    fn ages_are_short() {
        for (seconds, expected) in [
            (-5, "now"),
            (0, "now"),
            (59, "59s"),
            (60, "1m"),
            (3599, "59m"),
            (3600, "1h"),
            (172_799, "47h"),
            (172_800, "2d"),
            (86_399_999, "999d"),
            (86_400_000, "2y"),
        ] {
            assert_eq!(age(Timestamp(seconds * 1_000_000), Timestamp(0)), expected);
        }
        assert_eq!(moment(Timestamp(1_795_327_652_123_456)), "2026-11-22 06:07:32 UTC");
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(number(0), "0");
        assert_eq!(number(999), "999");
        assert_eq!(number(1_234_567), "1,234,567");
        assert_eq!(counted(1, "key"), "1 key");
        assert_eq!(counted(10_000, "key"), "10,000 keys");
        assert_eq!(capital("accept"), "Accept");
        assert_eq!(short_name("unix:0 (root)"), "root");
        assert_eq!(short_name("rule:auto_accept"), "rule:auto_accept");
    }
}
