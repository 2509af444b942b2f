//! What words of a command line mean as arguments.

use brine_local::arguments::input::Inputs;
use brine_local::arguments::{self, Reading, form};
use serde_json::{Map, Value, json};

use crate::adapter::{Adapter, as_is};

pub(crate) fn adapters() -> Vec<Adapter> {
    vec![
        Adapter {
            file: "args_scalar.jsonl",
            fields: &["input", "expect", "type"],
            run: |file, report| file.compare(report, scalar_of_salt, scalar_or_word, as_is),
        },
        Adapter {
            file: "args_line.jsonl",
            fields: &["input", "expect", "wire_arg", "no_parse"],
            run: |file, report| {
                // Between `expect` and `wire_arg` the ids of jobs become texts; what counts is what arrives.
                file.compare(
                    report,
                    |case| case["wire_arg"].clone(),
                    |case| args_line(case)["wire_arg"].clone(),
                    as_is,
                );
            },
        },
        Adapter {
            file: "parse_function_string.jsonl",
            fields: &["input", "expect"],
            run: |file, report| {
                file.compare(report, |case| case["expect"].clone(), parse_function_string, as_is);
            },
        },
    ]
}

fn scalar_of_salt(case: &Value) -> Value {
    json!({"expect": case["expect"], "type": case["type"]})
}

/// Our answer; `"the word as it is"` where Salt makes something else than a text of it and we do not.
fn scalar_or_word(case: &Value) -> Value {
    let ours = args_scalar(case);
    let is_kept = case["type"] != "str" && ours["type"] == "str" && ours["expect"] == case["input"];
    if is_kept { json!("the word as it is") } else { ours }
}

/// `expect` and `type` of a word.
pub(crate) fn args_scalar(case: &Value) -> Value {
    let value = arguments::typed(case["input"].as_str().expect("a word"));
    let kind = match &value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    };
    json!({"expect": value, "type": kind})
}

/// `expect` and `wire_arg` of a line of words.
pub(crate) fn args_line(case: &Value) -> Value {
    let words = texts(&case["input"]);
    let unparsed = texts(&case["no_parse"]);
    let reading = Reading { unparsed: &unparsed, ..Reading::default() };
    let calls = arguments::calls("test.arg", &words, &reading, &mut Inputs::of_process());
    let call = calls.expect("words that name no file").remove(0);
    let mut wire = call.arguments.clone();
    if !call.keywords.is_empty() {
        let mark = Map::from_iter([("__kwarg__".to_owned(), json!(true))]);
        wire.push(mark.into_iter().chain(call.keywords.clone()).collect::<Map<_, _>>().into());
    }
    json!({"expect": {"args": call.arguments, "kwargs": call.keywords}, "wire_arg": wire})
}

fn texts(list: &Value) -> Vec<String> {
    let items = list.as_array().into_iter().flatten();
    items.map(|item| item.as_str().expect("a word").to_owned()).collect()
}

/// `expect` of a call in one word.
pub(crate) fn parse_function_string(case: &Value) -> Value {
    let Some(form) = form::parse(case["input"].as_str().expect("a word")) else {
        return json!({"fun": null, "args": null, "kwargs": null});
    };
    let arguments: Vec<String> = form.arguments.into_iter().map(|part| part.text).collect();
    let keywords: Map<_, _> =
        form.keywords.into_iter().map(|(name, part)| (name, json!(part.text))).collect();
    json!({"fun": form.function, "args": arguments, "kwargs": keywords})
}
