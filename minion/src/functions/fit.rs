//! Cutting a value down to a number of bytes of JSON.
//!
//! A return that is larger than the largest message could never be delivered and would be tried
//! for ever; so it is cut before it is journaled. Escapes count: a kilobyte of NUL is six of JSON.

use std::io;

use serde_json::Value;

/// The longest note that replaces what was cut.
const NOTE_MAX: usize = 64;

/// The note behind cut output of which `kept` bytes are left.
pub(super) fn note(kept: usize) -> String {
    format!("[brine: output cut at {kept} bytes]")
}

/// Cuts the longest texts of `value` until it has at most `max` bytes as JSON; a value that is
/// too large for other reasons is replaced by a sentence. True when something was cut.
pub(super) fn fit(value: &mut Value, max: usize) -> bool {
    let before = size(value);
    if before <= max {
        return false;
    }
    let mut sizes = Vec::new();
    for_each_text(value, &mut |text| sizes.push(text_size(text)));
    let other = before - sizes.iter().sum::<usize>();
    let allowed = share(&mut sizes, max.saturating_sub(other));
    for_each_text(value, &mut |text| cut(text, allowed));
    if size(value) > max {
        *value =
            Value::String(format!("[brine: the return has {before} bytes, more than the {max} that fit]"));
    }
    true
}

/// Keeps the entries of a list or a map, from the front, that have at most `max` bytes as JSON
/// together. True when some were left out.
pub(super) fn keep_first(value: &mut Value, max: usize) -> bool {
    // Brackets; a comma for each entry is counted with it.
    let mut room = max.saturating_sub(2);
    let mut fits = |bytes: usize| {
        let is_room = bytes <= room;
        room = room.saturating_sub(bytes + 1);
        is_room
    };
    match value {
        Value::Array(list) => {
            let kept = list.iter().take_while(|entry| fits(size(entry))).count();
            let is_cut = kept < list.len();
            list.truncate(kept);
            is_cut
        }
        Value::Object(map) => {
            let kept = map.iter().take_while(|(key, entry)| fits(text_size(key) + 1 + size(entry))).count();
            let is_cut = kept < map.len();
            *map = std::mem::take(map).into_iter().take(kept).collect();
            is_cut
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// The largest size per text with which all together stay within `room`.
fn share(sizes: &mut [usize], mut room: usize) -> usize {
    sizes.sort_unstable();
    for (at, &size) in sizes.iter().enumerate() {
        let each = room / (sizes.len() - at);
        if size > each {
            return each;
        }
        room -= size;
    }
    room
}

fn for_each_text(value: &mut Value, act: &mut dyn FnMut(&mut String)) {
    match value {
        Value::String(text) => act(text),
        Value::Array(list) => list.iter_mut().for_each(|value| for_each_text(value, act)),
        Value::Object(map) => map.values_mut().for_each(|value| for_each_text(value, act)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn cut(text: &mut String, allowed: usize) {
    if text_size(text) <= allowed {
        return;
    }
    let mut left = allowed.saturating_sub(NOTE_MAX);
    let end = text.char_indices().find(|(_, c)| {
        let size = char_size(*c);
        let is_over = size > left;
        left = left.saturating_sub(size);
        is_over
    });
    if let Some((end, _)) = end {
        text.truncate(end);
    }
    let kept = text.len();
    text.push('\n');
    text.push_str(&note(kept));
}

fn text_size(text: &str) -> usize {
    2 + text.chars().map(char_size).sum::<usize>()
}

fn char_size(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        c if c < ' ' => 6,
        c => c.len_utf8(),
    }
}

fn size(value: &Value) -> usize {
    struct Count(usize);
    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    serde_json::to_writer(&mut count, value).expect("a JSON value is JSON, and counting cannot fail");
    count.0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sizes_are_those_of_the_encoder() {
        for text in
            ["", "plain", "q\" b\\ n\n r\r t\t", "\0\u{1}\u{8}\u{c}\u{1f}\u{7f}", "é\u{1f600}\u{2028}"]
        {
            assert_eq!(text_size(text), serde_json::to_string(text).unwrap().len(), "{text:?}");
        }
    }

    #[test]
    fn what_fits_is_left_alone() {
        let mut value = json!({"a": "x".repeat(100)});
        let max = size(&value);
        assert!(!fit(&mut value, max));
        assert_eq!(value["a"], "x".repeat(100));
    }

    #[test]
    fn the_longest_texts_are_cut() {
        let mut value =
            json!({"short": "kept", "long": "x".repeat(5000), "nul": "\0".repeat(5000), "n": [1, 2]});
        assert!(fit(&mut value, 3000));
        assert!(size(&value) <= 3000 && size(&value) > 2500, "{}", size(&value));
        assert_eq!(value["short"], "kept");
        assert_eq!(value["n"], json!([1, 2]));
        for key in ["long", "nul"] {
            let text = value[key].as_str().unwrap();
            let (kept, note) = text.rsplit_once('\n').unwrap();
            assert_eq!(note, format!("[brine: output cut at {} bytes]", kept.len()));
        }
    }

    #[test]
    fn characters_stay_whole() {
        for max in 100..140 {
            let mut value = json!("é\u{1f600}".repeat(100));
            assert!(fit(&mut value, max));
            assert!(size(&value) <= max, "{max}");
        }
    }

    #[test]
    fn the_first_entries_are_kept() {
        let list = Value::from((0..100).map(|n| format!("entry {n}")).collect::<Vec<_>>());
        let map: serde_json::Map<_, _> = (0..100).map(|n| (format!("{n}"), json!({"a": n}))).collect();
        for whole in [list, Value::Object(map)] {
            let all = size(&whole);
            for max in [0, 2, 100, 500, all - 1, all] {
                let mut value = whole.clone();
                assert_eq!(keep_first(&mut value, max), max < all, "{max}");
                assert!(size(&value) <= max.max(2), "{max}");
            }
            let mut value = whole.clone();
            keep_first(&mut value, 500);
            assert!(size(&value) > 450);
        }
    }

    #[test]
    fn what_cannot_be_cut_is_replaced() {
        let mut value = Value::Array(vec![json!(1); 1000]);
        assert!(fit(&mut value, 500));
        assert_eq!(value, "[brine: the return has 2001 bytes, more than the 500 that fit]");
    }
}
