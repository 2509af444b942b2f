use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::testing::fakes::Fakes;
use super::super::testing::{assert_shape, call, context, returned};
use super::super::{Context, Fault};
use super::down::{self, When};

/// A context in which only these programs are found, and none of them does anything.
fn machine(programs: &Fakes) -> Context {
    Context { job: Some("20261122060732100001".parse().unwrap()), ..programs.context(context()) }
}

async fn run(context: &Context, function: &str, arguments: Value) -> (Value, i32) {
    let result = returned(&[call(function, arguments, json!({}))], context).await;
    (result.value, result.retcode)
}

const REFUSES: (i32, &str, &str) = (1, "", "not permitted");

fn refused() -> (Value, i32) {
    (json!("ERROR: shutdown ended with 1: not permitted"), 1)
}

#[tokio::test]
async fn what_brings_the_machine_down_returns_first() {
    let mut programs = Fakes::new();
    programs.answer("shutdown", "", &[(0, "", "scheduled")]).answer("setsid", "", &[(0, "", "scheduled")]);
    let context = machine(&programs);
    let times = [(json!([]), "+1"), (json!([5]), "+5"), (json!(["now"]), "now"), (json!([null]), "now")];
    for (function, option) in [("system.shutdown", "-h"), ("system.halt", "-H"), ("system.poweroff", "-P")] {
        for (arguments, when) in times.clone() {
            let (value, retcode) = run(&context, function, arguments).await;
            assert_shape(function, &value);
            assert_eq!((value, retcode), (json!("scheduled"), 0));
            // Behind another program where no systemd runs.
            let calls = programs.calls().join("\n");
            assert!(calls.ends_with(&format!("shutdown {option} {when}")), "{calls}");
        }
        let why = "'at_time' needs minutes from 0 to 10080, a time of day as 22:30, or now, not \"-r\"";
        let refused = (json!(format!("ERROR executing '{function}': {why}")), 1);
        assert_eq!(run(&context, function, json!(["-r"])).await, refused);
    }
    let mut refuses = Fakes::new();
    refuses.answer("shutdown", "", &[REFUSES]);
    assert_eq!(run(&machine(&refuses), "system.halt", json!(["now"])).await, refused());
    let missing = "ERROR: this needs the program \"shutdown\", which is not installed";
    for function in ["system.shutdown", "system.halt", "system.poweroff", "system.reboot"] {
        assert_eq!(run(&machine(&Fakes::new()), function, json!([])).await, (json!(missing), 1));
    }
}

#[tokio::test]
async fn a_job_that_reboots_does_not_end_while_the_machine_is_up() {
    let mut programs = Fakes::new();
    programs.answer("shutdown", "", &[(0, "", "")]);
    let context = machine(&programs);
    let started = Instant::now();
    let result = down::reboot(&context, When::Now, Duration::from_secs(1)).await;
    let why = "the machine did not reboot: it is still up 1 s after it was to go".to_owned();
    assert_eq!(result, Err(Fault::Execution(why)));
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!(programs.calls(), ["shutdown -r now"]);

    let job = run(&context, "system.reboot", json!([5]));
    let mut calls = Vec::new();
    let watch = async {
        while calls.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
            calls = programs.calls();
        }
        // Much longer than the program takes to end.
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    tokio::select! {
        result = job => panic!("it ended: {result:?}"),
        () = watch => {}
    }
    assert_eq!(calls, ["shutdown -r +5"]);

    let mut refuses = Fakes::new();
    refuses.answer("shutdown", "", &[REFUSES]);
    assert_eq!(run(&machine(&refuses), "system.reboot", json!([])).await, refused());
}

#[tokio::test]
async fn where_nobody_waits_for_the_boot_the_program_is_heard() {
    let mut programs = Fakes::new();
    programs.answer("systemctl", "", &[(0, "going", "")]);
    let context = programs.context(context());
    let (value, retcode) = run(&context, "system.reboot", json!([])).await;
    assert_shape("system.reboot", &value);
    assert_eq!((value, retcode), (json!("going"), 0));
    assert_eq!(programs.calls(), ["systemctl --no-ask-password --no-wall reboot"]);
    let missing = "ERROR: this needs the program \"shutdown\", which is not installed";
    assert_eq!(
        run(&context, "system.reboot", json!([5])).await,
        (json!(missing), 1),
        "systemctl knows no times"
    );
}

#[tokio::test]
async fn date_and_time() {
    for (function, pattern) in [
        ("system.get_system_date_time", r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$"),
        ("system.get_system_date", r"^[A-Z][a-z]{2} \d\d/\d\d/\d{4}$"),
        ("system.get_system_time", r"^\d\d:\d\d:\d\d [AP]M$"),
    ] {
        for arguments in [json!([]), json!(["+0530"])] {
            let result = returned(&[call(function, arguments, json!({}))], &context()).await;
            assert_shape(function, &result.value);
            let text = result.value.as_str().unwrap();
            assert!(regex::Regex::new(pattern).unwrap().is_match(text), "{function}: {text}");
        }
    }
    let utc = json!(["+0000"]);
    let before = brine_local::clock::wall().to_string();
    let told = returned(&[call("system.get_system_date_time", utc, json!({}))], &context()).await.value;
    let after = brine_local::clock::wall().to_string();
    let told = told.as_str().unwrap().replace(' ', "T");
    assert!(before[..19] <= told[..] && told[..] <= after[..19], "{before} {told} {after}");
    let bad = returned(&[call("system.get_system_time", json!(["2"]), json!({}))], &context()).await;
    assert_eq!(bad.retcode, 1);
}
