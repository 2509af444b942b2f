//! What goes into a job and how what comes out of it is shown: arguments, forms, files, documentation.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use brine_tests::eventually;
use brine_tests::fleet::Fleet;
use brine_tests::process::Done;
use serde_json::{Value, json};

/// What a function gives on m1, and the exit code.
#[track_caller]
fn value(fleet: &Fleet, words: &[&str]) -> Value {
    let mut line = vec!["--out", "json", "--static", "m1"];
    line.extend(words);
    fleet.brine(&line).expect(0).json()["m1"].clone()
}

#[test]
fn arguments_as_salt_and_more() {
    let fleet = Fleet::start();
    let _m1 = fleet.minion("m1");
    let arg = |args: Value, kwargs: Value| json!({"args": args, "kwargs": kwargs});
    for (words, expected) in [
        (
            &["test.arg", "1", "two", "{a: [x, 010]}", "k=yes"][..],
            arg(json!([1, "two", {"a": ["x", 10]}]), json!({"k": true})),
        ),
        (&["test.arg(1, 'two', [a, b], x=2)"], arg(json!([1, "two", ["a", "b"]]), json!({"x": 2}))),
        (&["test.arg", "x:={\"a\": null}", "@@at"], arg(json!(["@at"]), json!({"x": {"a": null}}))),
        (&["test.arg", "a=1", "b=2", "--no-parse", "a"], arg(json!([]), json!({"a": "1", "b": 2}))),
        (&["test.arg", "20141020201325675584"], arg(json!(["20141020201325675584"]), json!({}))),
    ] {
        assert_eq!(value(&fleet, words), expected, "{words:?}");
    }
    fleet.brine(&["m1", "test.arg(1"]).refused(2, &["test.arg(1", "bracket"]);
    fleet.brine(&["m1", "test.arg", "x:={"]).refused(2, &["x is not JSON"]);
}

#[test]
fn several_functions_in_one_go() {
    let fleet = Fleet::start();
    let _m1 = fleet.minion("m1");
    for words in [
        &["test.ping,cmd.run", ",", "echo a,b"][..],
        &["test.ping,cmd.run", "--args-separator", "/", "/echo a,b"],
        &["test.ping, cmd.run", "--args-separator=//", "//", "echo a,b"],
    ] {
        assert_eq!(value(&fleet, words), json!({"test.ping": true, "cmd.run": "a,b"}), "{words:?}");
    }
    assert_eq!(value(&fleet, &["test.ping,cmd.run", ",echo x"]), json!({"test.ping": true, "cmd.run": "x"}));
    assert_eq!(value(&fleet, &["test.ping,test.true"]), json!({"test.ping": true, "test.true": true}));
    // Case 93 of the recorded runs of Salt 3008.5, and its counterpart.
    fleet
        .brine(&["m1", "test.ping,test.echo", ",", "a", ",", "b"])
        .refused(2, &["2 functions have 3 groups"]);
    fleet.brine(&["m1", "test.ping,test.echo", "a"]).refused(2, &["2 functions have 1 groups"]);
    let jobs = fleet.api().get("/v1/jobs").expect(200).json();
    assert_eq!(jobs.as_array().unwrap().len(), 5, "what is refused does not run: {jobs}");
}

#[test]
fn arguments_from_files_and_stdin() {
    let fleet = Fleet::start();
    let m1 = fleet.minion("m1");
    let path = fleet.dir().join("text");
    fs::write(&path, "1: [two\n three\n").unwrap();
    let at = format!("@{}", path.display());
    assert_eq!(value(&fleet, &["test.echo", &at]), json!("1: [two\n three"));
    assert_eq!(value(&fleet, &["test.arg", &format!("k={at}")])["kwargs"], json!({"k": "1: [two\n three"}));
    let fed = |words: &[&str], stdin: &str| Done::run_with_input(fleet.command("brine", words), stdin);
    let json = ["--out", "json", "--static"];
    assert_eq!(
        fed(&[&json[..], &["m1", "test.echo", "@-"]].concat(), "5\n").expect(0).json(),
        json!({"m1": "5"})
    );
    // As in Salt: target, function and options may stand there as well.
    let lines = "m1\ntest.arg\n5\n\n--out\njson\nk=v\r\n--static\n";
    let done = fed(&["--args-stdin"], lines).expect(0);
    assert_eq!(done.json(), json!({"m1": {"args": [5, ""], "kwargs": {"k": "v"}}}));
    assert_eq!(
        fed(&[&json[..], &["m1", "test.echo", "--args-stdin", "--"]].concat(), "-rf\n").expect(0).json(),
        json!({"m1": "-rf"})
    );
    let called = Done::run_with_input(
        m1.command(&["call", "--out", "txt", "--args-stdin", "test.arg", &at]),
        "k:=[1]\n",
    );
    assert_eq!(called.expect(0).stdout, "local: {'args': ['1: [two\\n three'], 'kwargs': {'k': [1]}}\n");
}

#[test]
fn what_cannot_be_read_is_said_and_nothing_runs() {
    let fleet = Fleet::start();
    let m1 = fleet.minion("m1");
    let bytes = fleet.dir().join("bytes");
    fs::write(&bytes, b"ab\xff").unwrap();
    let at = format!("@{}", bytes.display());
    fleet
        .brine(&["m1", "test.echo", "@/no/such/file"])
        .refused(2, &["/no/such/file", "No such file", "@@/no/such/file"]);
    fleet.brine(&["m1", "test.echo", &at]).refused(2, &["bytes is not UTF-8", "offset 2"]);
    fleet.brine(&["m1", "test.echo", "@/"]).refused(2, &["Is a directory"]);
    fleet.brine(&["m1", "test.echo", "@/dev/zero"]).refused(2, &["/dev/zero is too large"]);
    fleet.brine(&["m1", "test.arg", "@-", "k=@-"]).refused(2, &["standard input is named twice"]);
    fleet.brine(&["m1", "test.arg", "@-", "--args-stdin"]).refused(2, &["standard input is named twice"]);
    assert_ne!(m1.run(&["call", "test.echo", "@/no/such/file"]).code, 0);
    // More than an order carries, and less than is read: the master says the number.
    let large = fleet.dir().join("large");
    fs::write(&large, "x".repeat(2 * 1024 * 1024)).unwrap();
    let done = fleet.brine(&["m1", "test.echo", &format!("@{}", large.display())]);
    assert!(done.code == 2 && done.stderr.contains("an order carries at most"), "{done:?}");
    assert_eq!(fleet.api().get("/v1/jobs").expect(200).json(), json!([]), "nothing was run");
}

/// Whether any process of the machine has this text among its arguments.
fn shows_in_ps(text: &str) -> bool {
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .any(|line| line.windows(text.len()).any(|part| part == text.as_bytes()))
}

/// A job on m1 that has taken its stdin, and waits for the test.
fn held(fleet: &Fleet, folder: &Path, words: &[&str], stdin: &str) -> Child {
    fs::create_dir(folder).unwrap();
    let script = "cat > got; touch started; while [ ! -e release ]; do sleep 0.05; done";
    let cwd = format!("cwd={}", folder.display());
    let mut line = vec!["m1", "cmd.run", script, &cwd];
    line.extend(words);
    let mut command: Command = fleet.command("brine", &line);
    let mut brine =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::io::Write::write_all(&mut brine.stdin.take().unwrap(), stdin.as_bytes()).unwrap();
    eventually(10.0, "the job runs", || folder.join("started").exists());
    brine
}

#[test]
fn a_secret_in_a_file_or_on_stdin_is_not_in_ps() {
    let fleet = Fleet::start();
    let _m1 = fleet.minion("m1");
    let secret = format!("canary-{}-{:p}", std::process::id(), &fleet);
    let path = fleet.dir().join("secret");
    fs::write(&path, format!("{secret}\n")).unwrap();
    let (at, open) = (format!("stdin=@{}", path.display()), format!("stdin={secret}"));
    for (i, (word, stdin, is_seen)) in [
        (at.as_str(), String::new(), false),
        ("stdin=@-", secret.clone(), false),
        ("--args-stdin", format!("stdin={secret}\n"), false),
        // What the others are for.
        (open.as_str(), String::new(), true),
    ]
    .into_iter()
    .enumerate()
    {
        let folder = fleet.dir().join(format!("job{i}"));
        let mut brine = held(&fleet, &folder, &[word], &stdin);
        let seen = shows_in_ps(&secret);
        fs::write(folder.join("release"), "").unwrap();
        assert!(brine.wait().unwrap().success());
        assert_eq!(fs::read_to_string(folder.join("got")).unwrap(), secret);
        assert_eq!(seen, is_seen, "{word}");
    }
}

#[test]
fn forms_of_output() {
    let fleet = Fleet::start();
    let (_m1, _m2) = (fleet.minion("m1"), fleet.minion("m2"));
    let data = "{b: [1, {x: null}], a: 'two\u{a0}words'}";
    for (form, expected) in [
        ("pprint", "{'m1': {'a': 'two\\xa0words', 'b': [1, {'x': None}]}}\n"),
        ("newline_values_only", "[1, {'x': None}]\ntwo\u{a0}words\n"),
        ("no_return", "m1:\n    a:\n        two\u{a0}words\n    b:\n"),
        ("table", "NAME  b                 a\nm1    [1, {'x': None}]  two\u{a0}words\n"),
    ] {
        let done = fleet.brine(&["m1", "test.echo", data, "--out", form]).expect(0);
        assert_eq!(done.stdout, expected, "{form}");
    }
    let rows = "[{pid: 1, name: init}, {pid: 20, name: sh}]";
    let done = fleet.brine(&["*", "test.echo", rows, "--static", "--output=table"]).expect(0);
    let mut lines: Vec<&str> = done.stdout.lines().collect();
    lines[1..].sort_unstable();
    assert_eq!(
        lines,
        ["NAME  pid  name", "m1    1    init", "m1    20   sh", "m2    1    init", "m2    20   sh"]
    );
    // Each minion's own object as it comes, and one for all.
    let stream = fleet.brine(&["*", "test.ping", "--out", "json", "--out-indent", "-1"]).expect(0).stdout;
    let mut lines: Vec<&str> = stream.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["{\"m1\": true}", "{\"m2\": true}"]);
    fleet.brine(&["m1", "test.ping", "--out", "xml"]).refused(2, &["xml", "newline_values_only"]);
    let coloured = fleet.brine(&["m1", "test.ping", "--force-color"]).expect(0).stdout;
    assert_eq!(coloured, "\u{1b}[0;36mm1\u{1b}[0;0m:\n    \u{1b}[0;1;33mTrue\u{1b}[0;0m\n");
    assert_eq!(
        fleet.brine(&["m1", "test.ping", "--force-color", "--no-color"]).expect(0).stdout,
        "m1:\n    True\n"
    );
}

#[test]
fn no_form_lets_a_minion_speak_to_the_terminal() {
    let fleet = Fleet::start();
    let _m1 = fleet.minion("m1");
    let script = r"printf '\033[2Jx\007\302\2330m\342\200\256y'";
    for form in [
        "nested",
        "json",
        "yaml",
        "txt",
        "raw",
        "pprint",
        "newline_values_only",
        "table",
        "no_return",
        "quiet",
    ] {
        for more in [&[][..], &["--static"]] {
            let mut line = vec!["m1", "cmd.run", script, "--out", form];
            line.extend(more);
            let said = fleet.brine(&line).expect(0).stdout;
            let bad = said.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
            assert_eq!(bad, None, "{form}: {said:?}");
            assert!(form == "quiet" || said.contains('y'), "{form}: {said:?}");
        }
    }
}

#[test]
fn returns_go_to_a_file() {
    let fleet = Fleet::start();
    let _m1 = fleet.minion("m1");
    let path = fleet.dir().join("returns.json");
    let file = path.to_str().unwrap();
    fs::write(&path, "old\n").unwrap();
    let ping = ["m1", "test.ping", "--out", "json", "--out-indent=-1", "--out-file", file];
    let done = fleet.brine(&ping).expect(0);
    assert_eq!((done.stdout.as_str(), fs::read_to_string(&path).unwrap().as_str()), ("", "{\"m1\": true}\n"));
    fleet.brine(&[&ping[..], &["--out-file-append"]].concat()).expect(0);
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"m1\": true}\n{\"m1\": true}\n");
    // They arrive there one by one, and a person reads them without colours.
    fleet.brine(&["m1", "test.ping", "--output-file", file, "--summary"]).expect(0);
    assert!(fs::read_to_string(&path).unwrap().starts_with("m1:\n    True\n\n\n---"));
    let jobs = || fleet.api().get("/v1/jobs").expect(200).json().as_array().unwrap().len();
    let before = jobs();
    let nowhere = fleet.dir().join("no/such/folder");
    let done = fleet.brine(&["m1", "test.ping", "--out-file", nowhere.to_str().unwrap()]);
    done.refused(1, &["cannot write", "no/such/folder"]);
    assert_eq!(jobs(), before, "found before the job is sent");
    fleet.brine(&["m1", "test.ping", "--out-file-append"]).refused(2, &["--out-file"]);
}

#[test]
fn documentation_of_functions() {
    let fleet = Fleet::start();
    fleet.brine(&["-d"]).refused(1, &["none is connected"]);
    let (_m1, mut m2) = (fleet.minion("m1"), fleet.minion("m2"));
    let ping = fleet.brine(&["*", "-d", "test.ping"]).expect(0).stdout;
    assert!(ping.starts_with("test.ping:\n\n    Returns True"), "{ping}");
    assert!(ping.ends_with("\n\n") && ping.matches("test.ping:").count() == 1, "{ping}");
    for words in [
        &["-d", "test.ping"][..],
        &["m1", "-d", "test.ping"],
        &["*", "sys.doc", "test.ping", "--doc"],
        &["-L", "m1,m2", "-d", "test.ping"],
    ] {
        assert_eq!(fleet.brine(words).expect(0).stdout, ping, "{words:?}");
    }
    let all = fleet.brine(&["m1", "-d"]).expect(0).stdout;
    assert!(all.contains(&ping) && all.contains("cmd.run:\n\n"), "{all}");
    assert_eq!(fleet.brine(&["-d"]).expect(0).stdout, all);
    let module = fleet.brine(&["-d", "test", "--out", "json"]).expect(0).json();
    let names: Vec<&String> = module.as_object().unwrap().keys().collect();
    assert!(
        names.is_sorted() && names.iter().all(|name| name.starts_with("test.")) && names.len() > 5,
        "{names:?}"
    );
    for words in [&["-d", "no.such"][..], &["*", "-d", "no.such"]] {
        fleet.brine(words).refused(11, &["no function or module no.such"]);
    }
    // A minion that is away is named, and does not take the others' answer away.
    m2.kill();
    eventually(5.0, "m2 is offline", || fleet.presence("m2") == "offline");
    let done = fleet.brine(&["*", "-d", "test.ping"]).expect(12);
    assert!(done.stdout == ping && done.stderr.contains("m2"), "{done:?}");
}

/// Cases 31, 54 and 55 of the recorded runs of Salt 3008.5.
#[test]
fn what_was_asked_for_is_no_failure() {
    let fleet = Fleet::start();
    let _m1 = fleet.minion("m1");
    assert_eq!(value(&fleet, &["cmd.retcode", "exit 3"]), json!(3));
    assert_eq!(
        value(&fleet, &["test.echo", "{foo: bar, result: False}"]),
        json!({"foo": "bar", "result": false})
    );
    assert_eq!(value(&fleet, &["test.echo", "{success: False}"]), json!({"success": false}));
    fleet.brine(&["m1", "cmd.run", "exit 3", "--static", "--out", "json"]).expect(11);
}
