//! Which lines of `autosign_file` and `autoreject_file` match an id.

use brine_pki::registry::rules::Expressions;
use serde_json::Value;

use crate::adapter::{Adapter, as_is};

pub(crate) fn adapter() -> Adapter {
    Adapter {
        file: "expr_match.jsonl",
        fields: &["value", "expr", "expect"],
        run: |file, report| {
            let ours = |case: &Value| {
                let text = |name: &str| case[name].as_str().expect("a text");
                Value::Bool(Expressions::parse(text("expr")).unwrap().find(text("value")).is_some())
            };
            file.compare(report, |case| case["expect"].clone(), ours, as_is);
        },
    }
}
