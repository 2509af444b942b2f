//! Minion ids: which there are, and what becomes of names that are none.

use brine_minion::config::Options;
use brine_minion::host_id;
use brine_protocol::MinionId;
use serde_json::{Value, json};

use crate::adapter::{Adapter, as_is};

pub(crate) fn adapters() -> Vec<Adapter> {
    vec![
        Adapter {
            file: "minion_ids.jsonl",
            fields: &["id", "salt_valid", "recommended_valid"],
            run: |file, report| {
                let is_id = |case: &Value| {
                    json!(case["id"].as_str().is_some_and(|id| id.parse::<MinionId>().is_ok()))
                };
                file.compare(report, |case| case["recommended_valid"].clone(), is_id, as_is);
            },
        },
        Adapter {
            file: "id_sanitize.jsonl",
            fields: &["input", "expect"],
            run: |file, report| {
                // A name is an id as it is, or it is refused.
                let ours = |case: &Value| match case["input"].as_str().expect("a text").parse::<MinionId>() {
                    Ok(id) => json!(id),
                    Err(_) => json!("error"),
                };
                file.compare(report, |case| case["expect"].clone(), ours, as_is);
            },
        },
        Adapter {
            file: "minion_id_generate.jsonl",
            fields: &[
                "id_function_result",
                "options",
                "expect",
                "inputs",
                "expect_candidates",
                "expect_candidates_contain",
            ],
            run: |file, report| file.compare(report, salts, generated, as_is),
        },
    ]
}

fn salts(case: &Value) -> Value {
    let fields = ["expect", "expect_candidates", "expect_candidates_contain"];
    let found = fields.iter().map(|field| &case[*field]).find(|value| !value.is_null());
    found.expect("something is expected").clone()
}

/// The host name, shaped by the options.
fn generated(case: &Value) -> Value {
    let Some(host) = case["id_function_result"].as_str() else {
        // Salt asks resolvers and files for candidates.
        return json!("absent");
    };
    let options: Options = serde_json::from_value(case["options"].clone()).expect("options that exist here");
    json!(host_id::shape(host, &options))
}
