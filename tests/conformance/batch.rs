//! How many minions a batch has.

use brine_protocol::batch::BatchSize;
use serde_json::{Value, json};

use crate::adapter::{Adapter, as_is};

pub(crate) fn adapter() -> Adapter {
    Adapter {
        file: "batch_size.jsonl",
        fields: &["batch", "minions", "expect", "hardened_get_batch_size"],
        run: |file, report| file.compare(report, salts, ours, as_is),
    }
}

/// What Salt says; where two forms of it were recorded, the one that we give if it is either.
fn salts(case: &Value) -> Value {
    let plain = said(&case["expect"]);
    let careful = &case["hardened_get_batch_size"];
    if !careful.is_null() && said(careful) == ours(case) { said(careful) } else { plain }
}

fn said(value: &Value) -> Value {
    let is_refused = value.as_str().is_some_and(|text| text.starts_with("raises"));
    if value.is_null() || is_refused { json!("error") } else { value.clone() }
}

fn ours(case: &Value) -> Value {
    let minions = usize::try_from(case["minions"].as_u64().expect("a number")).expect("a few");
    match serde_json::from_value::<BatchSize>(case["batch"].clone()) {
        Ok(size) => json!(size.of(minions)),
        Err(_) => json!("error"),
    }
}
