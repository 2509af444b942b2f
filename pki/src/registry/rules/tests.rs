use std::time::Instant;

use super::expressions::Expressions;
use super::*;
use crate::registry::samples::id;

fn expressions(text: &str) -> Expressions {
    Expressions::parse(text).unwrap()
}

#[test]
fn a_line_is_itself_or_a_glob_or_a_regular_expression_from_end_to_end() {
    for (line, matching, other) in [
        ("web1", &["web1"][..], &["web", "web12", "xweb1"][..]),
        // Salt reads it as a regular expression as well, of which `we` is one.
        ("web*", &["web", "web1", "webb", "we"], &["w", "xweb"]),
        ("web?", &["web1"], &["web12"]),
        ("we?b", &["wexb", "web", "wb"], &["we"]),
        ("web[0-9]", &["web1"], &["webx", "web10"]),
        (r"web\d+", &["web1", "web12"], &["web"]),
        (r"web\d+\.example\.org", &["web1.example.org"], &["web1xexample.org"]),
        ("web.1", &["web.1", "web-1"], &["web1", "web..1"]),
        (".*", &["", "web1"], &["a\nb"]),
        ("...", &["abc"], &["ab", "abcd"]),
        ("web1|x", &["web1", "x"], &["web12", "yx"]),
        ("^web1$", &["web1"], &["web12"]),
        ("(?i)WEB", &["web", "Web"], &["web1"]),
        // No regular expressions, and globs all the same.
        ("*1", &["web1"], &["web2"]),
        ("*[0-9]", &["web1"], &["web"]),
        ("*[!0-9]", &["web"], &["web1"]),
        ("**", &["", "web"], &[]),
    ] {
        let read = expressions(line);
        for value in matching {
            assert_eq!(read.find(value), Some(line), "{line:?} matches {value:?}");
        }
        for value in other {
            assert_eq!(read.find(value), None, "{line:?} and {value:?}");
        }
    }
}

#[test]
fn comments_and_blank_lines_say_nothing() {
    let read = expressions("# all\n\n   \n  web1  \r\n#*\n");
    assert_eq!((read.find("web1"), read.find(""), read.find("#*")), (Some("web1"), None, None));
    assert!(!read.is_empty() && !read.has_patterns() && expressions("# x\n").is_empty());
}

#[test]
fn files_have_limits() {
    let refused = |text: &str| Expressions::parse(text).unwrap_err();
    assert_eq!(refused(&"x".repeat(BYTES_MAX + 1)), ExpressionsError::Bytes);
    assert_eq!(refused(&"\n".repeat(100_001)), ExpressionsError::Lines);
    assert_eq!(refused(&"w*\n".repeat(1001)), ExpressionsError::Patterns);
    assert!(Expressions::parse(&"w*\n".repeat(1000)).is_ok());
}

#[test]
fn a_line_that_would_be_skipped_makes_the_file_unusable() {
    use ExpressionsError::{Control, NoPattern};
    for (line, error) in [
        // Fine in Salt.
        (r"(?!prod-).*", NoPattern(2)),
        (r"(\w)\1", NoPattern(2)),
        ("ev(il7|", NoPattern(2)),
        ("web(", NoPattern(2)),
        ("evil[0-9", NoPattern(2)),
        ("*evil]", NoPattern(2)),
        ("*evil[9-0]", NoPattern(2)),
        ("*.(org|net)", NoPattern(2)),
        // Each by itself closes what the other one opens.
        ("a)|(b", NoPattern(2)),
        ("(?x)evil #", NoPattern(2)),
        // It would need more memory than all of them may have.
        (r"\w{500}{500}", NoPattern(2)),
        ("evil\0", Control(2)),
        ("ev\til", Control(2)),
        ("evil*\u{1b}", Control(2)),
        ("\u{feff}evil", Control(2)),
        // As old Macs ended lines.
        ("evil1\revil2", Control(2)),
    ] {
        assert_eq!(Expressions::parse(&format!("web1\n{line}\n")).unwrap_err(), error, "{line:?}");
        assert!(Expressions::parse(&format!("web1\n#{line}\n")).is_ok(), "a comment may say {line:?}");
    }
    assert_eq!(expressions("\u{feff}evil\nweb1\n").find("evil"), Some("evil"), "an editor's mark");
    let error = Expressions::parse("web1\n\n(").unwrap_err().to_string();
    assert!(error.starts_with("line 3 is neither a glob nor a regular expression"), "{error}");
}

#[test]
fn a_fleet_waits_and_ten_thousand_lines_are_tried_quickly() {
    let ids: Vec<String> = (0..10_000).map(|i| format!("host{i}.site{}.example.org", i % 7)).collect();
    let mut lines: String = (0..10_000).map(|i| format!("host{i}.site{}.example.net\n", i % 7)).collect();
    lines.extend((0..500).map(|i| format!("rack{i}-*\n")));
    let read = expressions(&lines);
    let started = Instant::now();
    assert!(ids.iter().all(|id| read.find(id).is_none()));
    assert!(read.find("host77.site0.example.net").is_some());
    // One by one, these are 10^8 comparisons.
    assert!(started.elapsed().as_millis() < 2000, "{:?}", started.elapsed());
}

#[test]
fn rejecting_comes_first_and_the_most_particular_rule_lets_in() {
    let claims =
        |grain: &str| Knock { grains: [("uuid".to_owned(), grain.to_owned())].into(), ..Knock::default() };
    let rules = Rules {
        auto_accept: true,
        autosign: expressions("web*"),
        autoreject: expressions("web66\ndb*"),
        autosign_grains: [("uuid".to_owned(), ["u-1".to_owned()].into())].into(),
    };
    let accept = |rule, why: Option<&str>| Ruling::Accept { rule, why: why.map(str::to_owned) };
    let reject = |line: &str| Ruling::Reject { line: line.to_owned() };
    for (of, grain, expected) in [
        ("web66", "u-1", reject("web66")),
        ("db1", "u-1", reject("db*")),
        ("web1", "u-1", accept(Rule::AutosignFile, Some("web*"))),
        ("mail1", "u-1", accept(Rule::AutosignGrains, Some("uuid: u-1"))),
        ("mail1", "u-2", accept(Rule::AutoAccept, None)),
    ] {
        assert_eq!(rules.judge(&id(of), &claims(grain)), expected, "{of} {grain}");
    }
    assert_eq!(Rules::default().judge(&id("web1"), &claims("u-1")), Ruling::Wait);
}

#[test]
fn of_a_long_line_only_the_beginning_is_kept() {
    let line = format!("(web1|{})", "é".repeat(800));
    let rules = Rules { autosign: expressions(&line), ..Rules::default() };
    let Ruling::Accept { why: Some(why), .. } = rules.judge(&id("web1"), &Knock::default()) else { panic!() };
    assert!(why.len() <= 256 && line.starts_with(&why), "{}", why.len());
}
