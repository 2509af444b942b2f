//! What the tests of all functions share.

pub(super) mod fakes;

use std::sync::Arc;
use std::time::{Duration, Instant};

use brine_protocol::job::{Call, Returned};
use serde_json::{Map, Value};

use super::{Context, run};
use crate::grains::Grains;

/// A context of a local call, whose grains file is in a folder that goes with the last clone.
pub(super) fn context() -> Context {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("grains");
    let grains = Grains::load("m1".parse().unwrap(), Map::new(), Some(file)).unwrap();
    let context = Context::local("m1".parse().unwrap(), Arc::new(grains));
    // The callback owns the folder, so it lives as long as the context.
    let keep = move |_| {
        let _ = &folder;
    };
    Context { on_pid: Arc::new(keep), ..context }
}

pub(super) fn call(function: &str, arguments: Value, keywords: Value) -> Call {
    Call {
        function: function.to_owned(),
        arguments: serde_json::from_value(arguments).unwrap(),
        keywords: serde_json::from_value(keywords).unwrap(),
    }
}

pub(super) async fn returned(calls: &[Call], context: &Context) -> Returned {
    run(calls, context).await.unwrap()
}

/// Waits until `condition` holds; false when it does not within ten seconds.
pub(super) async fn eventually(condition: impl Fn() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(10);
    while Instant::now() < end {
        if condition() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    condition()
}

/// Whether a value has the shape that `tests/data/shapes/<module>.json` gives for the function:
/// `"text"`, `"integer"`, `"number"`, `"boolean"`, `"null"` and `"any"`; `[shape]` is a list of
/// any length; a map names its keys, `"*"` stands for any other and `"name?"` may be missing;
/// `{"one of": [shape…]}` is any of these.
pub(super) fn assert_shape(function: &str, value: &Value) {
    let shape = golden_shape(function).unwrap_or_else(|| panic!("{function} has no shape"));
    assert!(has_shape(value, &shape), "{function} gave {value}, which is not {shape}");
}

/// Whether there is a shape to hold a function's values against.
pub(super) fn has_golden_shape(function: &str) -> bool {
    golden_shape(function).is_some()
}

fn golden_shape(function: &str) -> Option<Value> {
    let module = function.split('.').next()?;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/shapes");
    let text = std::fs::read_to_string(format!("{path}/{module}.json")).ok()?;
    let shapes: Map<String, Value> = serde_json::from_str(&text).expect("shapes are JSON");
    shapes.get(function).cloned()
}

fn has_shape(value: &Value, shape: &Value) -> bool {
    match shape {
        Value::String(name) => match name.as_str() {
            "text" => value.is_string(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            "null" => value.is_null(),
            "any" => true,
            other => panic!("no shape is called {other}"),
        },
        Value::Array(items) => match (items.as_slice(), value) {
            ([item], Value::Array(values)) => values.iter().all(|value| has_shape(value, item)),
            _ => false,
        },
        Value::Object(fields) => match fields.get("one of") {
            Some(Value::Array(shapes)) => shapes.iter().any(|shape| has_shape(value, shape)),
            _ => value.as_object().is_some_and(|map| has_fields(map, fields)),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) => panic!("{shape} is no shape"),
    }
}

fn has_fields(map: &Map<String, Value>, fields: &Map<String, Value>) -> bool {
    let all_there = fields.keys().all(|key| key == "*" || key.ends_with('?') || map.contains_key(key));
    let shape_of =
        |key: &String| fields.get(key).or_else(|| fields.get(&format!("{key}?"))).or_else(|| fields.get("*"));
    all_there && map.iter().all(|(key, value)| shape_of(key).is_some_and(|shape| has_shape(value, shape)))
}
