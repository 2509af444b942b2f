//! With real processes: `/bin/sh` and what POSIX puts beside it.

mod lifetime;
mod values;

use serde_json::Value;

use super::super::testing::{call, context, returned};

async fn check(function: &str, args: Value, keywords: Value, value: Value, retcode: i32) {
    let result = returned(&[call(function, args.clone(), keywords)], &context()).await;
    assert_eq!((result.value, result.retcode), (value, retcode), "{function} {args}");
}
