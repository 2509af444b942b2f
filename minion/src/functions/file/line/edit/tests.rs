use proptest::prelude::*;

use super::*;

fn edit(mode: Mode, content: &str) -> Edit {
    Edit {
        mode,
        content: (!content.is_empty()).then(|| content.to_owned()),
        matched: None,
        before: None,
        after: None,
        location: None,
        is_indented: true,
    }
}

fn matched(mode: Mode, content: &str, matched: &str) -> Edit {
    Edit { matched: Some(matched.to_owned()), ..edit(mode, content) }
}

fn between(mode: Mode, after: Option<&str>, before: Option<&str>) -> Edit {
    Edit { after: after.map(str::to_owned), before: before.map(str::to_owned), ..edit(mode, "c") }
}

fn at(location: Location) -> Edit {
    Edit { location: Some(location), ..edit(Mode::Insert, "c") }
}

/// What Salt's function gives for the same arguments, apart from those marked.
#[test]
fn edits_are_those_of_salt() {
    use Mode::*;
    for (text, edit, expected) in [
        // Salt leaves an empty line in between, and no line end behind.
        ("a\nb\n", at(Location::End), "a\nb\nc\n"),
        ("a\nb", at(Location::End), "a\nb\nc"),
        ("  a\n  b", at(Location::End), "  a\n  b\n  c"),
        ("", at(Location::End), "c\n"),
        ("a\nb\n", at(Location::Start), "c\na\nb\n"),
        ("", at(Location::Start), "c\n"),
        ("a\nb\n", between(Insert, Some("a"), None), "a\nc\nb\n"),
        ("a\nb\n", between(Insert, Some("b"), None), "a\nb\nc\n"),
        ("a\nb", between(Insert, Some("b"), None), "a\nb\nc"),
        ("a\n  b\n", between(Insert, None, Some("b")), "a\n  c\n  b\n"),
        ("a\n  b\n", between(Insert, None, Some("a")), "c\na\n  b\n"),
        ("a\n  b\n", between(Insert, Some("a"), Some("b")), "a\n  c\n  b\n"),
        ("a\nb\n", between(Insert, Some("a"), Some("x")), "a\nc\nb\n"),
        ("a\n b\n a\n", matched(Replace, "c", "b"), "a\n c\n a\n"),
        ("a\nab\na\n", matched(Replace, "c", "a"), "c\nab\na\n"),
        ("a\nb", matched(Replace, "c", "b"), "a\nc"),
        ("a", matched(Replace, "c", "a"), "c"),
        ("a\nb\n", matched(Replace, "c", "x"), "a\nb\n"),
        ("  a\nb\n", Edit { is_indented: false, ..matched(Replace, "c", "a") }, "c\nb\n"),
        ("a\nab\na\n", matched(Delete, "", "a"), "ab\n"),
        ("a\nab\na\n", edit(Delete, "ab"), "a\na\n"),
        ("a\nb", edit(Delete, "b"), "a\n"),
        ("", edit(Delete, "b"), ""),
        ("a.b\n", matched(Delete, "", "a.b"), ""),
        ("foo\nx\n", matched(Delete, "", "foo$"), "x\n"),
        ("a\nb\n", between(Ensure, Some("a"), None), "a\nc\nb\n"),
        ("a\nc\nb\n", between(Ensure, Some("a"), None), "a\nc\nb\n"),
        ("a\nb\n", between(Ensure, None, Some("b")), "a\nc\nb\n"),
        ("a\nb\n", between(Ensure, None, Some("a")), "c\na\nb\n"),
        ("a\nb\n", between(Ensure, Some("a"), Some("b")), "a\nc\nb\n"),
        ("a\nx\nb\n", between(Ensure, Some("a"), Some("b")), "a\nc\nb\n"),
        // Salt does not see that it is there, and fails.
        ("a\nx\nc\nb\n", between(Ensure, Some("a"), Some("b")), "a\nx\nc\nb\n"),
        // Salt mixes line ends.
        ("a\r\nb\r\n", between(Ensure, Some("a"), None), "a\r\nc\r\nb\r\n"),
    ] {
        let new = edit.apply(text.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(new).unwrap(), expected, "{text:?} {edit:?}");
    }
}

#[test]
fn refusals_have_salts_words() {
    use Mode::*;
    for (text, edit, expected) in [
        (
            "a\na\n",
            between(Insert, None, Some("a")),
            "Found more than expected occurrences in \"before\" expression",
        ),
        ("a\nb\n", between(Insert, None, Some("x")), "Neither before or after was found in file"),
        (
            "a\nb\n",
            edit(Insert, "c"),
            "On insert either \"location\" or \"before/after\" conditions are required.",
        ),
        (
            "a\nx\ny\nb\n",
            between(Ensure, Some("a"), Some("b")),
            "Found more than one line between boundaries \"before\" and \"after\".",
        ),
        (
            "a\nb\n",
            between(Ensure, Some("x"), None),
            "Wrong conditions? Unable to ensure line without knowing where to put it before and/or after.",
        ),
        (
            "",
            between(Ensure, Some("a"), None),
            "Wrong conditions? Unable to ensure line without knowing where to put it before and/or after.",
        ),
        ("a\n", edit(Replace, ""), "Content can only be empty if mode is \"delete\""),
        (
            "a\n",
            matched(Delete, "", "*a"),
            "the regular expression '*a' cannot be used: repetition operator missing expression",
        ),
    ] {
        assert_eq!(edit.apply(text.as_bytes()), Err(failure(expected)), "{text:?} {edit:?}");
    }
}

fn any_edit() -> impl Strategy<Value = Edit> {
    let mode = prop_oneof![Just(Mode::Ensure), Just(Mode::Replace), Just(Mode::Insert), Just(Mode::Delete)];
    let location = prop_oneof![Just(None), Just(Some(Location::Start)), Just(Some(Location::End))];
    let word = || prop::option::of("[abx]{1,2}");
    (mode, location, word(), word(), word(), any::<bool>()).prop_map(
        |(mode, location, matched, before, after, is_indented)| Edit {
            mode,
            content: Some("NEW".to_owned()),
            matched,
            before,
            after,
            location,
            is_indented,
        },
    )
}

proptest! {
    /// Every line but the one that is meant stays byte for byte.
    #[test]
    fn the_rest_stays(
        edit in any_edit(),
        lines in prop::collection::vec(prop::collection::vec(prop::sample::select(&b"abx \t\r\xff"[..]), 0..4), 0..8),
        has_end in any::<bool>(),
    ) {
        let mut text = lines.join(b"\n".as_slice());
        if has_end && !text.is_empty() {
            text.push(b'\n');
        }
        let Ok(new) = edit.apply(&text) else { return Ok(()) };
        let old: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
        let kept: Vec<&[u8]> = new.split_inclusive(|byte| *byte == b'\n').collect();
        let is_new = |line: &&[u8]| line.windows(3).any(|part| part == b"NEW");
        let added: Vec<usize> = (0..kept.len()).filter(|at| is_new(&kept[*at])).collect();
        prop_assert!(added.len() <= 1);
        match edit.mode {
            Mode::Delete => {
                prop_assert!(added.is_empty());
                let gone: Vec<&[u8]> = old.iter().copied().filter(|line| !kept.contains(line)).collect();
                prop_assert!(gone.iter().all(|line| bare(line) == bare(gone[0])));
                let rest: Vec<&[u8]> = old.iter().copied().filter(|line| !gone.contains(line)).collect();
                prop_assert_eq!(rest.concat(), new);
            }
            Mode::Ensure | Mode::Replace | Mode::Insert => {
                let Some(at) = added.first().copied() else { prop_assert_eq!(new, text); return Ok(()) };
                prop_assert!(kept.len() == old.len() || kept.len() == old.len() + 1);
                let behind = kept.len() - at - 1;
                let (front, back) = (kept[..at].concat(), kept[at + 1..].concat());
                prop_assert_eq!(&back[..], &old[old.len() - behind..].concat()[..]);
                let was = old[..at].concat();
                // A last line without an end gets one from what comes behind it.
                let is_same = front == was || (behind == 0 && front.starts_with(&was) && front.len() <= was.len() + 2);
                prop_assert!(is_same, "{:?} {:?}", front, was);
            }
        }
    }

    #[test]
    fn foreign_texts_and_patterns_never_panic(mut edit in any_edit(), pattern in ".{0,12}", text in any::<Vec<u8>>()) {
        edit.matched = Some(pattern.clone());
        let _ = edit.apply(&text);
        edit.after = Some(pattern);
        let _ = edit.apply(&text);
    }
}
