//! Jids: what is one, which time it stands for, and how one is made.

use brine_protocol::Jid;
use brine_protocol::time::Timestamp;
use serde_json::{Value, json};

use crate::adapter::{Adapter, as_is};

pub(crate) fn adapter() -> Adapter {
    Adapter {
        file: "jid.jsonl",
        fields: &["input", "is_jid", "start_time", "generate_at", "unique_jid", "pid", "expect"],
        run: |file, report| file.compare(report, salts, ours, as_is),
    }
}

/// What Salt says; that it raises is that there is no time, as for any other text.
fn salts(case: &Value) -> Value {
    if !case["generate_at"].is_null() {
        return case["expect"].clone();
    }
    let time = case["start_time"].as_str().filter(|time| !time.starts_with("raises")).unwrap_or_default();
    json!({"is_jid": case["is_jid"], "start_time": time})
}

fn ours(case: &Value) -> Value {
    if let Some(at) = case["generate_at"].as_str() {
        let at = Timestamp::try_from(at.to_owned()).expect("a time");
        return json!([Jid::at(at, 0), Jid::at(at.plus_micros(brine_protocol::jid::STEP_MICROS), 0)]);
    }
    match case["input"].as_str().map(str::parse::<Jid>) {
        Some(Ok(jid)) => json!({"is_jid": true, "start_time": shown(jid.time())}),
        Some(Err(_)) | None => json!({"is_jid": false, "start_time": ""}),
    }
}

/// A time as Salt's lists of jobs write it: `2013, Dec 19 11:07:00.123489`.
fn shown(time: Timestamp) -> String {
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = time.to_string();
    let (date, clock) = text.trim_end_matches('Z').split_once('T').expect("a date and a time");
    let parts: Vec<&str> = date.split('-').collect();
    let month: usize = parts[1].parse().expect("a month");
    format!("{}, {} {} {clock}", parts[0], months[month - 1], parts[2])
}
