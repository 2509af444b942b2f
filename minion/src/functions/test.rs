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
    vec![
        Function::new(
            "test.ping",
            |_, _| Box::pin(yes()),
            "Returns True: the minion is there and takes orders.",
        ),
        Function::new("test.true", |_, _| Box::pin(yes()), "Returns True."),
        Function::new("test.false", |_, _| Box::pin(no()), "Returns False, with the retcode 0."),
        Function::new("test.version", |_, _| Box::pin(version()), "Returns the minion's version."),
        Function::new("test.echo", |_, bound| Box::pin(echo(bound)), "Returns its argument.")
            .takes(const { &[required("text", "anything (any)")] })
            .example("test.echo 'foo bar baz quo qux'"),
        Function::new(
            "test.arg",
            |_, bound| Box::pin(arg(bound)),
            "Returns all its arguments, to show how they arrive.",
        )
        .takes_more("any, positional and by keyword")
        .returns("{args: [value…], kwargs: {name: value}}")
        .example("test.arg 1 \"two\" 3.1 txt=\"hello\" wow='{a: 1, b: \"hello\"}'"),
        Function::new("test.sleep", |_, bound| Box::pin(sleep(bound)), "Waits, then returns True.")
            .takes(const { &[required("length", "how long to wait (seconds)")] })
            .example("test.sleep 20"),
        Function::new(
            "test.rand_sleep",
            |_, bound| Box::pin(rand_sleep(bound)),
            "Waits for a random time, then returns True.",
        )
        .takes(const { &[optional("max", "60", "longest wait, 60 when not given (seconds)")] })
        .example("test.rand_sleep 20"),
        Function::new(
            "test.fib",
            |_, bound| Box::pin(fib(bound)),
            "Computes a Fibonacci number the slow way, to load a processor.",
        )
        .takes(const { &[required("num", "which one, 0 to 93 (integer)")] })
        .returns("[number, seconds it took]")
        .example("test.fib 30"),
        Function::new(
            "test.arg_clean",
            |_, bound| Box::pin(arg(bound)),
            "Returns all its arguments, as test.arg does.",
        )
        .takes_more("any, positional and by keyword")
        .returns("{args: [value…], kwargs: {name: value}}")
        .example("test.arg_clean 1 two x=3"),
        Function::new("test.kwarg", |_, bound| Box::pin(kwarg(bound)), "Returns its keyword arguments.")
            .takes_more("any, by keyword")
            .returns("{name: value}")
            .example("test.kwarg num=1 txt=two"),
        Function::new(
            "test.retcode",
            |_, bound| Box::pin(retcode(bound)),
            "Returns True with a retcode, to try how that is told.",
        )
        .takes(const { &[optional("code", "42", "the retcode, 42 when not given (integer)")] })
        .example("test.retcode 3"),
        Function::new(
            "test.exception",
            |_, bound| Box::pin(exception(bound)),
            "Fails, to try how that is told.",
        )
        .takes(const { &[optional("message", "\"Test Exception\"", "what is said then (text)")] })
        .returns("never: it always fails with the message")
        .example("test.exception 'Oh noes!'"),
    ]
}

async fn yes() -> Result<Outcome, Fault> {
    Ok(Outcome::from(true))
}

async fn no() -> Result<Outcome, Fault> {
    Ok(Outcome::from(false))
}

async fn version() -> Result<Outcome, Fault> {
    Ok(Outcome::from(VERSION))
}

async fn echo(mut bound: Bound) -> Result<Outcome, Fault> {
    Ok(Outcome::from(bound.value("text")))
}

async fn arg(bound: Bound) -> Result<Outcome, Fault> {
    Ok(Outcome::from(json!({"args": bound.rest, "kwargs": bound.extra})))
}

async fn kwarg(bound: Bound) -> Result<Outcome, Fault> {
    match bound.rest.len() {
        0 => Ok(Outcome::from(Value::Object(bound.extra))),
        1 => Err(Fault::Arguments("kwarg() takes 0 positional arguments but 1 was given".to_owned())),
        more => Err(Fault::Arguments(format!("kwarg() takes 0 positional arguments but {more} were given"))),
    }
}

async fn retcode(mut bound: Bound) -> Result<Outcome, Fault> {
    let code = bound.value("code").as_i64().and_then(|code| i32::try_from(code).ok());
    let retcode = code.ok_or_else(|| Fault::Invocation("'code' needs a whole number".to_owned()))?;
    Ok(Outcome { retcode, ..Outcome::from(true) })
}

async fn exception(mut bound: Bound) -> Result<Outcome, Fault> {
    Err(Fault::Execution(bound.text("message")?))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{assert_shape, call, context, returned};

    #[tokio::test]
    async fn shapes_and_retcodes() {
        let context = context();
        for (function, args, keywords, retcode) in [
            ("test.ping", json!([]), json!({}), 0),
            ("test.true", json!([]), json!({}), 0),
            ("test.false", json!([]), json!({}), 0),
            ("test.version", json!([]), json!({}), 0),
            ("test.echo", json!(["x"]), json!({}), 0),
            ("test.arg", json!([1]), json!({"a": 2}), 0),
            ("test.arg_clean", json!([1]), json!({"a": 2}), 0),
            ("test.kwarg", json!([]), json!({"a": 2}), 0),
            ("test.sleep", json!([0]), json!({}), 0),
            ("test.rand_sleep", json!([0]), json!({}), 0),
            ("test.fib", json!([10]), json!({}), 0),
            ("test.retcode", json!([]), json!({}), 42),
            ("test.retcode", json!([3]), json!({}), 3),
        ] {
            let result = returned(&[call(function, args.clone(), keywords)], &context).await;
            assert_eq!(result.retcode, retcode, "{function} {args}: {}", result.value);
            assert_shape(function, &result.value);
        }
        let failed = returned(&[call("test.exception", json!(["Oh noes!"]), json!({}))], &context).await;
        assert_eq!((failed.value, failed.retcode), (json!("ERROR: Oh noes!"), 1));
    }
}
