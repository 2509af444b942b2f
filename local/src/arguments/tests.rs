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
        assert_eq!(read(&words, &[]), *expected, "{words:?}");
    }
    let words = ["a=1".to_owned(), "b=2".to_owned()];
    assert_eq!(read(&words, &["a".to_owned()]), json!([[], {"a": "1", "b": 2}]));
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
        ("[&a x, *a]", json!("[&a x, *a]")),
        ("{a: 1, a: 2}", json!("{a: 1, a: 2}")),
        ("[-]", json!(["-"])),
        ("[- a]", json!("[- a]")),
        ("[=]", json!("[=]")),
        ("[a] b", json!("[a] b")),
        ("[a b, {}]", json!(["a b", {}])),
    ] {
        assert_eq!(typed(word), expected, "{word}");
    }
    let deep = "[".repeat(200) + &"]".repeat(200);
    assert_eq!(typed(&deep), json!(deep));
}

/// What Salt's own loader makes of these, PyYAML's with its few changes.
#[test]
fn the_rest_of_yaml_on_one_line() {
    for (word, expected) in [
        ("&a b", json!("b")),
        (" a", json!("a")),
        ("12:30:45", json!(45045)),
        ("190:20:30.15", json!(685_230.15)),
        ("!!str 1:30", json!("1:30")),
        ("!!int '5'", json!(5)),
        ("!!float 1", json!(1.0)),
        ("!!bool x", json!("!!bool x")),
        ("! a", json!("a")),
        ("[&a x, !!str 1]", json!(["x", "1"])),
        ("--- 5", json!(5)),
        ("... 5", json!("... 5")),
        (" ...", json!("...")),
        ("5 # five", json!(5)),
        ("'a' # b", json!("'a' # b")),
        ("~ # x", json!("~ # x")),
        ("~", json!(null)),
        (">1-", json!("")),
        ("| x", json!("| x")),
        ("&a", json!("&a")),
        ("&a *b", json!("&a *b")),
        ("{<<: {a: 1, b: 1}, a: 2}", json!({"b": 1, "a": 2})),
        ("\u{a0}9", json!("\u{a0}9")),
        ("['\u{1}']", json!("['\u{1}']")),
    ] {
        assert_eq!(typed(word), expected, "{word}");
    }
}

fn read(words: &[String], unparsed: &[String]) -> Value {
    json!(arguments(words, unparsed, &mut Inputs::of_process()).expect("no file is named"))
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

#[track_caller]
fn check(function: &str, line: &[&str], expected: &Result<Value, ArgsError>) {
    let calls = calls(function, &words(line), &Reading::default(), &mut Inputs::of_process());
    assert_eq!(calls.map(|calls| json!(calls)), *expected);
}

#[test]
fn several_functions() {
    check(
        "test.ping,grains.get",
        &[",", "os"],
        &Ok(json!([{"function": "test.ping"}, {"function": "grains.get", "arguments": ["os"]}])),
    );
    check("test.echo", &[","], &Ok(json!([{"function": "test.echo", "arguments": [","]}])));
    check("test.ping,sys.doc", &[], &Ok(json!([{"function": "test.ping"}, {"function": "sys.doc"}])));
    let groups = |groups| ArgsError::Groups { functions: 2, groups, separator: ",".to_owned() };
    check("test.ping,test.echo", &[",", "a", ",", "b"], &Err(groups(3)));
    check("test.ping,test.echo", &["a"], &Err(groups(1)));
    check("test.ping,", &[], &Err(ArgsError::Function("test.ping,".to_owned())));
    check("", &[], &Err(ArgsError::Function(String::new())));
}

/// Without a word for each separator, commas inside of words separate, as in Salt.
#[test]
fn separators_inside_of_words() {
    let run = |argument| json!({"function": "cmd.run", "arguments": [argument]});
    let ping = json!({"function": "test.ping"});
    check("test.ping,cmd.run", &[",uptime"], &Ok(json!([ping, run("uptime")])));
    check("cmd.run,test.ping", &["uptime,"], &Ok(json!([run("uptime"), ping])));
    check("cmd.run,test.ping,cmd.run", &["a b,,c"], &Ok(json!([run("a b"), ping, run("c")])));
    // A word for each: the commas in other words are their own.
    check("cmd.run,cmd.run", &["a,b", ",", "c,d"], &Ok(json!([run("a,b"), run("c,d")])));
    let reading = Reading { separator: "--", ..Reading::default() };
    let line = words(&["a,b", "--", "c"]);
    let made = calls("cmd.run,cmd.run", &line, &reading, &mut Inputs::of_process());
    assert_eq!(made.map(|calls| json!(calls)), Ok(json!([run("a,b"), run("c")])));
    let empty = Reading { separator: "", ..Reading::default() };
    let refused = calls("test.ping", &[], &empty, &mut Inputs::of_process());
    assert_eq!(refused, Err(ArgsError::Separator));
}

#[test]
fn a_call_in_one_word() {
    check(
        "test.arg(1, 'two', [a, {b: c}], x=2, y='3', 20141020201325675584)",
        &[],
        &Ok(json!([{
            "function": "test.arg",
            "arguments": [1, "two", ["a", {"b": "c"}], "20141020201325675584"],
            "keywords": {"x": 2, "y": "3"},
        }])),
    );
    check("test.ping()", &[], &Ok(json!([{"function": "test.ping"}])));
    check("test.arg(1", &[], &Err(ArgsError::Form("test.arg(1".to_owned())));
    check("test.arg(1)", &["x"], &Err(ArgsError::BehindForm("test.arg(1)".to_owned())));
}

#[test]
fn keywords_in_json() {
    check(
        "test.arg",
        &["a:={\"x\": [1,\n2]}", "b:=\"1\"", "c:=12345678901234567890", "d=:=1"],
        &Ok(json!([{
            "function": "test.arg",
            "keywords": {"a": {"x": [1, 2]}, "b": "1", "c": 12_345_678_901_234_567_890_u64, "d": ":=1"},
        }])),
    );
    check(
        "test.arg",
        &["1a:=x", ":=x"],
        &Ok(json!([{"function": "test.arg", "arguments": ["1a:=x", ":=x"]}])),
    );
    let why = "EOF while parsing an object at line 1 column 1".to_owned();
    check("test.arg", &["a:={"], &Err(ArgsError::Json { name: "a".to_owned(), why }));
}

#[test]
fn numbers_that_are_job_ids_are_texts() {
    assert_eq!(
        read(&words(&["12345678901234567890", "a=12345678901234567890", "1234567890123456789"]), &[]),
        json!([
            ["12345678901234567890", 1_234_567_890_123_456_789_u64],
            {"a": 12_345_678_901_234_567_890_u64},
        ])
    );
}

#[test]
fn arguments_in_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a=b");
    std::fs::write(&path, "{x: 1}\n").unwrap();
    let file = format!("@{}", path.display());
    let json_file = folder.path().join("json");
    std::fs::write(&json_file, "{\"x\": 1}\n").unwrap();
    let line = [
        file.clone(),
        format!("k={file}"),
        format!("j:=@{}", json_file.display()),
        "@@literal".to_owned(),
        "t=@@x".to_owned(),
        "@".to_owned(),
        "raw=@nosuch".to_owned(),
    ];
    assert_eq!(
        read(&line, &["raw".to_owned()]),
        json!([["{x: 1}", "@literal", "@"], {"k": "{x: 1}", "j": {"x": 1}, "t": "@x", "raw": "@nosuch"}])
    );
    let gone =
        calls("test.echo", &words(&["@/no/such/file"]), &Reading::default(), &mut Inputs::of_process());
    assert!(matches!(gone, Err(ArgsError::Input(InputError::System { .. }))), "{gone:?}");
}
