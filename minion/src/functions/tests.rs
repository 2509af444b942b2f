use std::time::{Duration, Instant};

use serde_json::json;

use super::testing::{call, context, returned};
use super::*;

#[test]
fn the_table_is_sound() {
    let table = table();
    assert!(table.is_sorted_by(|a, b| a.name < b.name), "names are sorted and unique");
    for function in table {
        assert_eq!(find(function.name).unwrap().name, function.name);
        assert_eq!(function.name.split('.').count(), 2, "{}", function.name);
        for parameter in function.parameters {
            if let Some(default) = parameter.default {
                assert!(
                    serde_json::from_str::<Value>(default).is_ok(),
                    "{} {}",
                    function.name,
                    parameter.name
                );
            }
            let doc = parameter.doc;
            assert!(doc.ends_with(')') && doc.contains('('), "{} {}: no type", function.name, parameter.name);
        }
        let (summary, example) = (function.summary, function.example);
        assert!(
            summary.lines().next().unwrap().ends_with('.'),
            "{}: a sentence ends with a stop",
            function.name
        );
        assert!(example.starts_with(function.name), "{}: {example}", function.name);
        assert!(
            super::testing::has_golden_shape(function.name),
            "{} has no shape in tests/data/shapes",
            function.name
        );
        let is_ordered = function.parameters.is_sorted_by_key(|p| (p.is_keyword_only, p.default.is_some()));
        assert!(is_ordered, "{}: required, optional, keyword only", function.name);
    }
    for name in "test.ping test.echo test.arg test.sleep test.version test.fib test.rand_sleep cmd.run cmd.run_all \
        cmd.run_stdout cmd.run_stderr cmd.retcode cmd.shell grains.items grains.get grains.ls grains.setval sys.doc \
        sys.list_functions sys.list_modules brine.running brine.kill_job brine.find_job"
        .split_whitespace()
    {
        assert!(find(name).is_some(), "{name} is missing");
    }
}

#[test]
fn repeatable_functions_exist() {
    for name in ["test.ping", "test.echo", "grains.get", "sys.doc", "brine.running"] {
        assert!(brine_protocol::message::is_repeatable(name) && find(name).is_some(), "{name}");
    }
}

#[tokio::test]
async fn values_and_messages_are_those_of_salt() {
    let context = context();
    let echo_doc = find("test.echo").unwrap().doc();
    for (name, args, keywords, value, retcode) in [
        ("test.ping", json!([]), json!({}), json!(true), 0),
        ("test.true", json!([]), json!({}), json!(true), 0),
        ("test.false", json!([]), json!({}), json!(false), 0),
        ("test.version", json!([]), json!({}), json!(env!("CARGO_PKG_VERSION")), 0),
        (
            "test.echo",
            json!([{"foo": "bar", "result": false}]),
            json!({}),
            json!({"foo": "bar", "result": false}),
            0,
        ),
        ("test.echo", json!([null]), json!({}), json!(null), 0),
        ("test.echo", json!([]), json!({"text": ""}), json!(""), 0),
        (
            "test.arg",
            json!([1, "two"]),
            json!({"x": [3]}),
            json!({"args": [1, "two"], "kwargs": {"x": [3]}}),
            0,
        ),
        ("test.sleep", json!([0.01]), json!({}), json!(true), 0),
        ("test.rand_sleep", json!([0.01]), json!({}), json!(true), 0),
        ("no.such", json!([]), json!({}), json!("'no.such' is not available."), 254),
        ("", json!([]), json!({}), json!("'' is not available."), 254),
        (
            "test.ping",
            json!([]),
            json!({"foo": "bar"}),
            json!("ERROR executing 'test.ping': The following keyword arguments are not valid: foo=bar"),
            1,
        ),
        (
            "test.echo",
            json!([]),
            json!({}),
            json!(format!(
                "Passed invalid arguments to test.echo: echo() missing 1 required positional argument: 'text'\n\n{echo_doc}"
            )),
            1,
        ),
        (
            "test.sleep",
            json!(["soon"]),
            json!({}),
            json!("ERROR executing 'test.sleep': 'length' needs a number of seconds, 0 or more"),
            1,
        ),
        (
            "test.fib",
            json!([94]),
            json!({}),
            json!("ERROR executing 'test.fib': 'num' needs a whole number from 0 to 93"),
            1,
        ),
    ] {
        let result = returned(&[call(name, args, keywords)], &context).await;
        assert_eq!((result.value, result.retcode, result.truncated), (value, retcode, false), "{name}");
    }
}

/// What a value looks like says nothing about success: a function does, by its retcode. Salt makes a
/// failure of a map with `result` or `success` false, also where it was only echoed.
#[tokio::test]
async fn data_is_no_failure() {
    for value in [
        json!({"foo": "bar", "result": false}),
        json!({"success": false}),
        json!(false),
        json!({"retcode": 1}),
    ] {
        let result = returned(&[call("test.echo", json!([value]), json!({}))], &context()).await;
        assert_eq!((result.value, result.retcode), (value, 0));
    }
}

#[tokio::test]
async fn fib_gives_number_and_seconds() {
    let context = context();
    for (num, expected) in [(0, 0), (1, 1), (2, 1), (10, 55), (20, 6765)] {
        let value = returned(&[call("test.fib", json!([num]), json!({}))], &context).await.value;
        assert_eq!(value[0], expected);
        assert!(value[1].is_f64());
    }
}

#[tokio::test]
async fn sleep_sleeps() {
    let result = returned(&[call("test.sleep", json!(["0.2"]), json!({}))], &context()).await;
    assert!((200..2000).contains(&result.duration_ms), "{}", result.duration_ms);
}

#[tokio::test]
async fn several_calls_give_a_map_and_the_first_bad_retcode() {
    let calls = [
        call("test.ping", json!([]), json!({})),
        call("cmd.run", json!(["exit 3"]), json!({})),
        call("no.such", json!([]), json!({})),
        call("test.echo", json!(["a"]), json!({})),
        call("test.echo", json!(["b"]), json!({})),
    ];
    let result = returned(&calls, &context()).await;
    let expected = json!({
        "test.ping": true, "cmd.run": "", "no.such": "'no.such' is not available.",
        "test.echo": "a", "test.echo (2)": "b",
    });
    assert_eq!((result.value, result.retcode), (expected, 3));
}

#[tokio::test]
async fn nothing_and_too_much_do_not_start() {
    assert_eq!(run(&[], &context()).await, Err("the job names no function".to_owned()));
    let many = vec![call("test.ping", json!([]), json!({})); CALLS_MAX + 1];
    assert_eq!(run(&many, &context()).await, Err("the job has 65 functions, more than 64".to_owned()));
}

#[tokio::test]
async fn the_whole_return_is_bounded() {
    let context = Context { output_max: 1000, ..context() };
    let calls: Vec<_> =
        (0..20).map(|_| call("cmd.run", json!(["head -c 900 /dev/zero"]), json!({}))).collect();
    let result = returned(&calls, &context).await;
    let size = serde_json::to_vec(&result.value).unwrap().len();
    assert!(result.truncated && size <= 3000, "{size}");
}

/// A computation that was dropped must stop: were it to go on, the runtime could not shut down.
#[test]
fn dropping_stops_a_computation() {
    let started = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let calls = [call("test.fib", json!([93]), json!({}))];
        let context = context();
        let run = run(&calls, &context);
        assert!(tokio::time::timeout(Duration::from_millis(100), run).await.is_err());
    });
    // Waits for its blocking threads.
    drop(runtime);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}
