//! `test.*`: functions that try the way to a minion and back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::bind::Bound;
use super::{Fault, Function, Outcome, optional, required};
use crate::grains::VERSION;

/// The largest `test.fib` whose value fits 64 bits. Nobody lives to see it returned.
const FIB_MAX: u64 = 93;

pub(super) fn functions() -> Vec<Function> {
    macro_rules! function {
        ($name:literal, [$($parameter:expr),*], $is_variadic:literal, $body:path, $doc:literal) => {
            Function {
                name: $name,
                doc: $doc,
                parameters: const { &[$($parameter),*] },
                is_variadic: $is_variadic,
                body: |_, bound| Box::pin($body(bound)),
            }
        };
    }
    vec![
        function!(
            "test.ping",
            [],
            false,
            yes,
            "Returns True: the minion is there and takes orders.\n\nExample:\n    brine '*' test.ping"
        ),
        function!("test.true", [], false, yes, "Returns True.\n\nExample:\n    brine '*' test.true"),
        function!(
            "test.false",
            [],
            false,
            no,
            "Returns False, with the retcode 0.\n\nExample:\n    brine '*' test.false"
        ),
        function!(
            "test.version",
            [],
            false,
            version,
            "Returns the minion's version.\n\nExample:\n    brine '*' test.version"
        ),
        function!(
            "test.echo",
            [required("text")],
            false,
            echo,
            "Returns its argument.\n\nArguments:\n    text: anything (any)\n\nExample:\n    brine '*' test.echo 'foo bar baz quo qux'"
        ),
        function!(
            "test.arg",
            [],
            true,
            arg,
            "Returns all its arguments, to show how they arrive.\n\nArguments:\n    any, positional and by keyword\n\n\
             Example:\n    brine '*' test.arg 1 \"two\" 3.1 txt=\"hello\" wow='{a: 1, b: \"hello\"}'"
        ),
        function!(
            "test.sleep",
            [required("length")],
            false,
            sleep,
            "Waits, then returns True.\n\nArguments:\n    length: seconds to wait (number)\n\nExample:\n    brine '*' test.sleep 20"
        ),
        function!(
            "test.rand_sleep",
            [optional("max", "60")],
            false,
            rand_sleep,
            "Waits for a random time, then returns True.\n\nArguments:\n    max: longest wait in seconds, 60 when not given (number)\n\n\
             Example:\n    brine '*' test.rand_sleep 20"
        ),
        function!(
            "test.fib",
            [required("num")],
            false,
            fib,
            "Computes a Fibonacci number the slow way, to load a processor; returns it and the seconds it took.\n\n\
             Arguments:\n    num: which one, 0 to 93 (integer)\n\nExample:\n    brine '*' test.fib 30"
        ),
    ]
}

async fn yes(_: Bound) -> Result<Outcome, Fault> {
    Ok(Outcome::from(true))
}

async fn no(_: Bound) -> Result<Outcome, Fault> {
    Ok(Outcome::from(false))
}

async fn version(_: Bound) -> Result<Outcome, Fault> {
    Ok(Outcome::from(VERSION))
}

async fn echo(mut bound: Bound) -> Result<Outcome, Fault> {
    Ok(Outcome::from(bound.value("text")))
}

async fn arg(bound: Bound) -> Result<Outcome, Fault> {
    Ok(Outcome::from(json!({"args": bound.rest, "kwargs": bound.extra})))
}

async fn sleep(mut bound: Bound) -> Result<Outcome, Fault> {
    let length = seconds(&mut bound, "length")?;
    tokio::time::sleep(length).await;
    Ok(Outcome::from(true))
}

async fn rand_sleep(mut bound: Bound) -> Result<Outcome, Fault> {
    let max = seconds(&mut bound, "max")?;
    let random =
        getrandom::u32().map_err(|reason| Fault::Execution(format!("no random numbers: {reason}")))?;
    tokio::time::sleep(max.mul_f64(f64::from(random) / f64::from(u32::MAX))).await;
    Ok(Outcome::from(true))
}

fn seconds(bound: &mut Bound, name: &str) -> Result<Duration, Fault> {
    let given = bound.seconds(name)?;
    given
        .map(|(length, _)| length)
        .ok_or_else(|| Fault::Invocation(format!("'{name}' needs a number of seconds")))
}

async fn fib(mut bound: Bound) -> Result<Outcome, Fault> {
    let num = match bound.value("num") {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let Some(num) = num.filter(|num| *num <= FIB_MAX) else {
        return Err(Fault::Invocation(format!("'num' needs a whole number from 0 to {FIB_MAX}")));
    };
    let stop = StopOnDrop::default();
    let stopped = stop.0.clone();
    let started = Instant::now();
    let computed = tokio::task::spawn_blocking(move || fibonacci(num, &stopped)).await;
    match computed {
        Ok(value) => Ok(Outcome::from(json!([value, started.elapsed().as_secs_f64()]))),
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(Fault::Execution("the minion is stopping".to_owned())),
    }
}

/// Tells a computation on another thread that nobody waits for it any more.
#[derive(Default)]
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Slow on purpose; the value is worthless once `stop` is set.
fn fibonacci(num: u64, stop: &AtomicBool) -> u64 {
    if num < 2 || stop.load(Ordering::Relaxed) {
        return num;
    }
    fibonacci(num - 1, stop) + fibonacci(num - 2, stop)
}
