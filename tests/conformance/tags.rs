//! Which events a minion may cause. None: there is no message for it. What a minion returns, and that
//! it comes and goes, the master tells in its own words, below the minion's own name.

use serde_json::{Value, json};

use crate::adapter::{Adapter, as_is};

pub(crate) fn adapter() -> Adapter {
    Adapter {
        file: "minion_event_tag.jsonl",
        fields: &["tag", "minion_may_fire"],
        run: |file, report| {
            let ours = |_: &Value| json!(false);
            file.compare(report, |case| case["minion_may_fire"].clone(), ours, as_is);
        },
    }
}
