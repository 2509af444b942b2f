//! Words of a command line as function calls: Salt's typing of arguments.
//!
//! A word means what YAML 1.1 makes of it, as long as that is a scalar or stands in brackets;
//! otherwise it is text. `name=value` is a keyword argument.

mod flow;

use brine_protocol::job::{CALLS_MAX, Call};
use serde_json::{Map, Value};

/// What is wrong with a function and its arguments.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgsError {
    /// An empty name between commas, or none at all.
    #[error("{0:?} is not a function; write module.function, such as test.ping")]
    Function(String),
    /// More groups of arguments than functions.
    #[error("{functions} functions have {groups} groups of arguments; a word ',' stands between the groups")]
    Groups {
        /// How many functions were named.
        functions: usize,
        /// How many groups of arguments were found.
        groups: usize,
    },
    /// Too many functions.
    #[error("a job has at most {CALLS_MAX} functions, this one has {0}")]
    TooMany(usize),
}

/// Makes calls of a function word (several functions are joined by commas) and the words behind
/// it; between the groups of arguments of several functions stands a lone `,`. Keywords listed in
/// `unparsed` keep their text as it is.
///
/// # Errors
/// A function has no name, or there are more groups of arguments than functions.
pub fn calls(function: &str, words: &[String], unparsed: &[String]) -> Result<Vec<Call>, ArgsError> {
    let names: Vec<&str> = function.split(',').map(str::trim).collect();
    if names.iter().any(|name| name.is_empty() || name.contains(char::is_whitespace)) {
        return Err(ArgsError::Function(function.to_owned()));
    }
    if names.len() > CALLS_MAX {
        return Err(ArgsError::TooMany(names.len()));
    }
    let groups: Vec<&[String]> = match names.len() {
        1 => vec![words],
        _ => words.split(|word| word == ",").collect(),
    };
    // `a.b,c.d , x` begins with an empty group: the first function takes nothing.
    if groups.len() > names.len() {
        return Err(ArgsError::Groups { functions: names.len(), groups: groups.len() });
    }
    let call = |(i, name): (usize, &&str)| {
        let (arguments, keywords) = arguments(groups.get(i).copied().unwrap_or(&[]), unparsed);
        Call { function: (*name).to_owned(), arguments, keywords }
    };
    Ok(names.iter().enumerate().map(call).collect())
}

fn arguments(words: &[String], unparsed: &[String]) -> (Vec<Value>, Map<String, Value>) {
    let mut arguments = Vec::new();
    let mut keywords = Map::new();
    for word in words {
        match keyword(word) {
            Some((name, value)) if unparsed.iter().any(|u| u == name) => {
                keywords.insert(name.to_owned(), Value::String(value.to_owned()));
            }
            Some((name, value)) => {
                keywords.insert(name.to_owned(), typed(value));
            }
            None => arguments.push(typed(word)),
        }
    }
    (arguments, keywords)
}

/// Splits `name=value`: a name begins with a letter or `_` and goes on with letters, digits, `_`,
/// `.` and `-`; `==` is a comparison in somebody's shell code, and a value has one line.
fn keyword(word: &str) -> Option<(&str, &str)> {
    let (name, value) = word.split_once('=')?;
    let mut chars = name.chars();
    let starts_well = chars.next().is_some_and(|c| c.is_alphabetic() || c == '_');
    let goes_on_well = chars.all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-'));
    let value_line = value.strip_suffix('\n').unwrap_or(value);
    let is_keyword = starts_well && goes_on_well && !value.starts_with('=') && !value_line.contains('\n');
    is_keyword.then_some((name, value_line))
}

/// The value of one word.
#[must_use]
pub fn typed(word: &str) -> Value {
    let text = || Value::String(word.to_owned());
    let bare = word.trim();
    let is_digits_and_underscores =
        word.contains('_') && bare.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    if bare.is_empty() || is_digits_and_underscores || word.contains(['\t', '\r', '\n']) {
        return text();
    }
    if word == "None" {
        return Value::Null;
    }
    if word.contains('#') {
        // A comment may never eat a part of a text; around a list or map it is one.
        return match flow::parse(word) {
            Some(Value::String(_)) | None => text(),
            Some(value) => value,
        };
    }
    // An empty block text, as PyYAML and therefore Salt reads it.
    if matches!(bare, "|-" | "|+" | ">" | ">-" | ">+") {
        return Value::String(String::new());
    }
    if let Some(value) = flow::parse(word) {
        let is_in_brackets = word.starts_with(['[', '{']);
        return if is_in_brackets || value.is_string() { value } else { text() };
    }
    if is_plain(bare) { flow::bare(bare) } else { text() }
}

/// Whether YAML reads the word as one bare scalar. What it reads otherwise, or not at all, stays
/// as it was written, spaces included.
fn is_plain(bare: &str) -> bool {
    let second_is_space = bare.chars().nth(1).is_none_or(|c| c == ' ');
    let is_indicator = bare
        .starts_with(['&', '*', '!', '|', '>', '%', '@', '`', '"', '\'', '[', '{', ']', '}', ','])
        || (bare.starts_with(['-', '?', ':']) && second_is_space);
    !is_indicator && !bare.contains(": ") && !bare.ends_with(':') && bare != "---" && bare != "..."
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Recorded from Salt 3008.5.
    #[test]
    fn words_that_stay_text() {
        let words = [
            "",
            " ",
            "1_2_3",
            "Hello world! # hash elsewhere",
            "- foo",
            "|",
            "!",
            "foo",
            "   ",
            "--- ",
            "...",
            "foo\t\nbar",
            "foo bar #baz",
            "tRue",
            "y",
            "Y",
            "N",
            "none",
            "NONE",
            "0o10",
            "09",
            "1,000",
            "1e3",
            "1.0e3",
            "+.5",
            ".inf",
            ".nan",
            "inf",
            "Infinity",
            "01:02",
            "2020-01-01",
            "2020-01-01T10:00:00Z",
            "99999999999999999999999",
            "[1,2",
            "{a: 1",
            "{a: b}: c",
            r#""a" b"#,
            "it's",
            "a:",
            "a :b",
            "a:b",
            ":a",
            "-a",
            "--flag",
            "--",
            "- - a",
            "? a",
            "!",
            r#"!!python/object/apply:os.system ["id"]"#,
            "!foo bar",
            "*a",
            "*",
            "`x`",
            "%x",
            "#",
            "#x",
            "a #b",
            "[a #b]",
            r##""#""##,
            r#"\n"#,
            "a\nb",
            "a\tb",
            "日本",
            "\u{a0}",
            "=a",
            "==",
            "<<",
            "{[1]: a}",
            "...x",
            "---x",
            "0.1.2",
            "1.2.3",
            "10%",
            "$HOME",
            "a;b",
            "a|b",
            "1-2",
            "_1",
            "_",
            "__",
            "0_1",
        ];
        for word in words {
            assert_eq!(typed(word), json!(word));
        }
    }

    /// Recorded from Salt 3008.5.
    #[test]
    fn words_with_a_meaning() {
        let table = [
            (r####"["foo", "bar", "###"]"####, json!(["foo", "bar", "###"])),
            ("None", json!(null)),
            ("45.67", json!(45.67)),
            (r#"{"foo": "bar"}"#, json!({"foo": "bar"})),
            ("3.1", json!(3.1)),
            (r#"{a: 1, b: "hello"}"#, json!({"a": 1, "b": "hello"})),
            ("true", json!(true)),
            ("True", json!(true)),
            ("false", json!(false)),
            ("yes", json!(true)),
            ("Yes", json!(true)),
            ("no", json!(false)),
            ("on", json!(true)),
            ("off", json!(false)),
            ("Null", json!(null)),
            ("NULL", json!(null)),
            ("-0", json!(0)),
            ("+0", json!(0)),
            ("-1", json!(-1)),
            ("+1", json!(1)),
            ("010", json!(10)),
            ("0x10", json!(16)),
            ("0xff", json!(255)),
            ("0b11", json!(3)),
            ("1.0e+3", json!(1000.0)),
            ("1.", json!(1.0)),
            (".5", json!(0.5)),
            ("1:30", json!(90)),
            ("12345678901234567890", json!(12345678901234567890u64)),
            ("[]", json!([])),
            ("[1, 2, 3]", json!([1, 2, 3])),
            ("[a, [b, {c: d}]]", json!(["a", ["b", {"c": "d"}]])),
            ("{}", json!({})),
            ("{a: }", json!({"a": null})),
            (r#"{"a": null}"#, json!({"a": null})),
            ("{a: [1, 2]}", json!({"a": [1, 2]})),
            ("{'a': 'b'}", json!({"a": "b"})),
            ("'quoted'", json!("quoted")),
            ("''", json!("")),
            ("|-", json!("")),
            (">", json!("")),
            (" 1 ", json!(1)),
            (" true ", json!(true)),
            ("{<<: {a: 1}}", json!({"a": 1})),
            ("{1: a}", json!({"1": "a"})),
            ("{a: None}", json!({"a": "None"})),
            ("[~]", json!([null])),
            ("-1_2", json!(-12)),
            ("1.5_0", json!(1.5)),
        ];
        for (word, expected) in table {
            assert_eq!(typed(word), expected, "{word:?}");
        }
    }

    /// Recorded from Salt 3008.5.
    #[test]
    fn lines() {
        let table: &[(&[&str], Value)] = &[
            (&["foo=bar"], json!([[], {"foo": "bar"}])),
            (&["foo-bar=baz"], json!([[], {"foo-bar": "baz"}])),
            (&["pip=1.1"], json!([[], {"pip": 1.1}])),
            (&["pip=1.2=1"], json!([[], {"pip": "1.2=1"}])),
            (&["x", "cwd=/tmp"], json!([["x"], {"cwd": "/tmp"}])),
            (&["echo a=b"], json!([["echo a=b"], {}])),
            (&["a=b c"], json!([[], {"a": "b c"}])),
            (&["1", "a=1", "2", "b=2"], json!([[1, 2], {"a": 1, "b": 2}])),
            (&["a="], json!([[], {"a": ""}])),
            (&["a=b=c"], json!([[], {"a": "b=c"}])),
            (&["a= b"], json!([[], {"a": "b"}])),
            (&["1a=b"], json!([["1a=b"], {}])),
            (&["_a=b"], json!([[], {"_a": "b"}])),
            (&["a-b=c"], json!([[], {"a-b": "c"}])),
            (&["a b=c"], json!([["a b=c"], {}])),
            (&["--a=b"], json!([["--a=b"], {}])),
            (&["é=1"], json!([[], {"é": 1}])),
            (&[r#"a="x y""#], json!([[], {"a": "x y"}])),
            (&["a='1'"], json!([[], {"a": "1"}])),
            (&["a=\n"], json!([[], {"a": ""}])),
            (&["a=x\ny"], json!([["a=x\ny"], {}])),
            (&["env={PATH: /x}"], json!([[], {"env": {"PATH": "/x"}}])),
            (&[r#"pkgs=["a", "b"]"#], json!([[], {"pkgs": ["a", "b"]}])),
            (&[r#"pillar={"a": {"b": [1, 2]}}"#], json!([[], {"pillar": {"a": {"b": [1, 2]}}}])),
            (&["a=1", "a=2"], json!([[], {"a": 2}])),
            (&["20141020201325675584"], json!([["20141020201325675584"], {}])),
            (&["http://x/?a=b"], json!([["http://x/?a=b"], {}])),
            (&["/path/a=b"], json!([["/path/a=b"], {}])),
            (&["PATH=/bin:/usr/bin"], json!([[], {"PATH": "/bin:/usr/bin"}])),
            (&["a=- b"], json!([[], {"a": "- b"}])),
            (&["a=b: c"], json!([[], {"a": "b: c"}])),
            (&["a=010"], json!([[], {"a": 10}])),
            (&["foo", "bar baz", "{a: b}", "[1]"], json!([["foo", "bar baz", {"a": "b"}, [1]], {}])),
        ];
        for (words, expected) in table {
            let words: Vec<String> = words.iter().map(|&w| w.to_owned()).collect();
            assert_eq!(json!(arguments(&words, &[])), *expected, "{words:?}");
        }
        let words = ["a=1".to_owned(), "b=2".to_owned()];
        assert_eq!(json!(arguments(&words, &["a".to_owned()])), json!([[], {"a": "1", "b": 2}]));
    }

    #[test]
    fn flow_values() {
        for (word, expected) in [
            ("[a: b, 'c': d]", json!([{"a": "b"}, {"c": "d"}])),
            ("{a, b: [yes, 010, 1e3]}", json!({"a": null, "b": [true, 10, "1e3"]})),
            (r#"{"a":1}"#, json!({"a": 1})),
            ("{a:1}", json!({"a:1": null})),
            (r#"["\x41\u00e9\"\\"]"#, json!(["Aé\"\\"])),
            ("['it''s', http://x/y:z]", json!(["it's", "http://x/y:z"])),
            ("[a, b,]", json!(["a", "b"])),
            ("[,]", json!("[,]")),
            ("[&a x]", json!("[&a x]")),
            ("[a] b", json!("[a] b")),
            ("[a b, {}]", json!(["a b", {}])),
        ] {
            assert_eq!(typed(word), expected, "{word}");
        }
        let deep = "[".repeat(200) + &"]".repeat(200);
        assert_eq!(typed(&deep), json!(deep));
    }

    fn check(function: &str, words: &[&str], expected: &Result<Value, ArgsError>) {
        let words: Vec<String> = words.iter().map(|&w| w.to_owned()).collect();
        assert_eq!(calls(function, &words, &[]).map(|calls| json!(calls)), *expected);
    }

    #[test]
    fn several_functions() {
        check(
            "test.ping,grains.get",
            &[",", "os"],
            &Ok(json!([{"function": "test.ping"}, {"function": "grains.get", "arguments": ["os"]}])),
        );
        check("test.echo", &[","], &Ok(json!([{"function": "test.echo", "arguments": [","]}])));
        check(
            "test.ping,test.echo",
            &[",", "a", ",", "b"],
            &Err(ArgsError::Groups { functions: 2, groups: 3 }),
        );
        check("test.ping,", &[], &Err(ArgsError::Function("test.ping,".to_owned())));
        check("", &[], &Err(ArgsError::Function(String::new())));
    }
}
