//! Arguments on their way in, values and errors on their way out.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::super::super::run;
use super::super::super::testing::eventually;
use super::*;

fn racks() -> Value {
    json!({"functions": {
        "show": {"doc": "Returns what it was given.", "parameters": [
            {"name": "room", "doc": "which (text)"},
            {"name": "height", "default": 42, "doc": "how high (units)"},
            {"name": "note", "default": null, "keyword": true, "doc": "anything (any)"},
        ]},
        "all": {"doc": "Returns what it was given.", "parameters": [
            {"name": "first", "default": "x", "doc": "any (any)"},
            {"name": "must", "keyword": true, "doc": "any (any)"},
        ], "rest": "any (any)"},
    }})
}

/// Gives back what came on its standard input, and which function was called.
const ECHO: &str = r#"printf '{"return": {"function": "%s", "input": ' "$2"; cat; printf '}}'"#;

#[tokio::test]
async fn arguments_are_bound_as_everywhere() {
    let rig = Rig::new();
    rig.module("racks.sh", &racks(), ECHO);
    for (function, args, keywords, expected) in [
        ("show", json!(["b1"]), json!({}), json!([[], {"room": "b1", "height": 42, "note": null}])),
        (
            "show",
            json!(["b1", [7]]),
            json!({"note": {"a": "é"}}),
            json!([[], {"room": "b1", "height": [7], "note": {"a": "é"}}]),
        ),
        (
            "all",
            json!([1, 2, 3]),
            json!({"must": 4, "more": 5}),
            json!([[2, 3], {"first": 1, "must": 4, "more": 5}]),
        ),
        ("all", json!([]), json!({"must": true}), json!([[], {"first": "x", "must": true}])),
    ] {
        let (value, retcode) = rig.call(&format!("racks.{function}"), args, keywords).await;
        let input = &value["input"];
        assert_eq!((json!([input["args"], input["kwargs"]]), retcode), (expected, 0), "{value}");
        assert_eq!((&value["function"], &input["id"]), (&json!(function), &json!("m1")));
        assert_eq!((&input["grains"]["id"], &input["pillar"]), (&json!("m1"), &json!({})));
    }
    let doc = rig.call("sys.doc", json!(["racks.show"]), json!({})).await.0["racks.show"].clone();
    for (function, args, keywords, expected) in [
        (
            "show",
            json!([]),
            json!({}),
            format!(
                "Passed invalid arguments to racks.show: show() missing 1 required positional argument: 'room'\n\n{}",
                doc.as_str().unwrap()
            ),
        ),
        (
            "show",
            json!(["a"]),
            json!({"hight": 1}),
            "ERROR executing 'racks.show': The following keyword arguments are not valid: hight=1".to_owned(),
        ),
    ] {
        let failed = rig.call(&format!("racks.{function}"), args, keywords).await;
        assert_eq!(failed, (json!(expected), 1));
    }
    let (value, _) = rig.call("racks.all", json!([]), json!({})).await;
    assert!(value.as_str().unwrap().contains("missing 1 required keyword-only argument: 'must'"), "{value}");
    let unknown = rig.call("racks.hide", json!([]), json!({})).await;
    let text = "'racks.hide' is not available: the custom module racks has no function \"hide\".";
    assert_eq!(unknown, (json!(text), UNAVAILABLE));
}

#[tokio::test]
async fn listed_like_the_rest() {
    let rig = Rig::new();
    rig.module("racks.sh", &racks(), ECHO);
    let doc = "Returns what it was given.\n\nArguments:\n    room: which (text)\n    height: how high (units)\n    \
               note: anything (any)\n\nExample:\n    brine '*' racks.show ROOM";
    for (function, args, expected) in [
        ("sys.doc", json!(["racks.show"]), json!({"racks.show": doc})),
        ("sys.list_functions", json!(["racks"]), json!(["racks.all", "racks.show"])),
        ("sys.list_functions", json!(["r*.sh?w", "test.ping"]), json!(["racks.show", "test.ping"])),
        ("sys.list_modules", json!(["rack*", "sys"]), json!(["racks", "sys"])),
        (
            "sys.argspec",
            json!(["racks.all"]),
            json!({"racks.all": {"args": ["first", "must"], "defaults": ["x"], "varargs": true, "kwargs": true}}),
        ),
    ] {
        assert_eq!(rig.call(function, args.clone(), json!({})).await, (expected, 0), "{function} {args}");
    }
    let all = rig.call("sys.list_functions", json!([]), json!({})).await.0;
    assert!(all.as_array().unwrap().is_sorted_by_key(|name| name.as_str().unwrap().to_owned()), "{all}");
}

#[tokio::test]
async fn values_and_failures() {
    let rig = Rig::new();
    let fault = |text: &str| (json!(format!("ERROR: {text}")), 1);
    let named = |text: &str| fault(&format!("the custom module m {text}"));
    let wrong = |text: &str| {
        named(&format!("has to print {{\"return\": VALUE, \"retcode\": 0}} as JSON and nothing else: {text}"))
    };
    for (call, expected) in [
        (r#"echo '{"return": [1, null, "x"]}'"#, (json!([1, null, "x"]), 0)),
        (r#"echo '{"return": "no", "retcode": 7}'"#, (json!("no"), 7)),
        (r#"echo chatter >&2; echo '{"return": true}'"#, (json!(true), 0)),
        ("echo out; echo 'the tape is gone' >&2; exit 3", fault("the tape is gone")),
        ("exit 3", named("ended with 3 and said nothing on stderr")),
        ("kill -9 $$", named("ended with -9 and said nothing on stderr")),
        (":", wrong("EOF while parsing a value at line 1 column 0")),
        ("echo hello", wrong("expected value at line 1 column 1")),
        (
            r#"echo '{"value": 1}'"#,
            wrong("unknown field `value`, expected `return` or `retcode` at line 1 column 8"),
        ),
        (r#"echo '{"retcode": 0}'"#, wrong("missing field `return` at line 1 column 14")),
        (
            r#"echo '{"return": 1, "retcode": "a"}'"#,
            wrong("invalid type: string \"a\", expected i32 at line 1 column 28"),
        ),
        (r#"echo '{"return": 1} 2'"#, wrong("trailing characters at line 1 column 15")),
    ] {
        rig.module("m", &one("f"), call);
        assert_eq!(rig.call("m.f", json!([]), json!({})).await, expected, "{call}");
    }
    // What it says on stderr beyond the limit is nobody's trouble; a value beyond it is not half a value.
    let small = Context { output_max: 1000, ..rig.context.clone() };
    for (call, expected) in [
        ("head -c 5000 /dev/zero >&2; echo '{\"return\": 1}'", (json!(1), 0)),
        (
            "printf '{\"return\": \"'; head -c 5000 /dev/zero | tr '\\0' x; echo '\"}'",
            named("printed more than 1000 bytes"),
        ),
    ] {
        rig.module("m", &one("f"), call);
        let done = returned(&[super::call("m.f", json!([]), json!({}))], &small).await;
        assert_eq!((done.value, done.retcode), expected, "{call}");
    }
}

#[tokio::test]
async fn one_that_hangs_is_told_and_ends_with_its_job() {
    let rig = Rig::new();
    rig.module("m", &one("f"), "sleep 60 & echo $! > \"$0.child\"; cat > /dev/null; wait");
    // Described first, so that the process told is the call's.
    assert_eq!(rig.call("sys.list_functions", json!(["m"]), json!({})).await.0, json!(["m.f"]));
    let told: Arc<Mutex<Vec<u32>>> = Arc::default();
    let keep = told.clone();
    let on_pid =
        Arc::new(move |spawned: super::super::super::Spawned| keep.lock().unwrap().push(spawned.pid));
    let context = Context { on_pid, ..rig.context.clone() };
    let child = rig.path("m.child");
    let job = tokio::spawn(async move { run(&[call("m.f", json!([]), json!({}))], &context).await });
    assert!(eventually(|| fs::read_to_string(&child).is_ok_and(|text| text.ends_with('\n'))).await);
    let pid = fs::read_to_string(&child).unwrap().trim().to_owned();
    assert_eq!(told.lock().unwrap().len(), 1);
    job.abort();
    let is_gone = || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
    };
    assert!(eventually(is_gone).await, "what the module started goes with it");
}

#[tokio::test]
async fn a_description_that_hangs_goes_with_the_call() {
    let rig = Rig::new();
    rig.script("m", "exec sleep 60", ":");
    let started = Instant::now();
    let calls = [call("m.f", json!([]), json!({}))];
    let ended = tokio::time::timeout(Duration::from_millis(200), run(&calls, &rig.context)).await;
    assert!(ended.is_err() && started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn one_that_is_being_put_in_place_is_waited_for() {
    let rig = Rig::new();
    rig.module("m", &one("f"), "echo '{\"return\": 1}'");
    let writer = fs::OpenOptions::new().append(true).open(rig.path("m")).unwrap();
    let written = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(writer);
    };
    let (done, ()) = tokio::join!(rig.call("m.f", json!([]), json!({})), written);
    assert_eq!(done, (json!(1), 0));
}
