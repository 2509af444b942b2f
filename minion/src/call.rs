//! `brine-minion call`: one function, here and now, without a master.

use std::io::Write;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use brine_client::output::scalar::{Scalar, resolve};
use brine_client::output::{Format, Style, render, wants_colours};
use brine_local::Paths;
use brine_protocol::MinionId;
use brine_protocol::job::Call;
use serde_json::{Map, Value};

use crate::config::Options;
use crate::functions::{self, Context};
use crate::grains::Grains;

/// The exit code when the function's retcode is not 0: that of `brine`.
pub const RETCODE: u8 = 11;

/// Runs a function and prints what it gives back, under `local` as Salt does.
///
/// # Errors
/// The grains cannot be read, or the output cannot be written.
pub async fn run(
    paths: &Paths,
    options: &Options,
    id: MinionId,
    function: &str,
    words: &[String],
    format: Format,
) -> Result<u8> {
    let grains = Grains::load(id.clone(), options.grains.clone(), Some(paths.grains_file()))?;
    let mut context = Context::local(id, Arc::new(grains));
    context.output_max = options.output_max;
    let call = call(function, words);
    let returned = tokio::select! {
        returned = functions::run(std::slice::from_ref(&call), &context) => returned.map_err(|why| anyhow!(why))?,
        _ = tokio::signal::ctrl_c() => return Ok(130),
    };
    let data = Map::from_iter([("local".to_owned(), returned.value)]);
    let style = Style { format, colours: wants_colours(false, false), indent: None };
    let mut text = render(&data, &style, returned.retcode);
    if !text.ends_with('\n') && !text.is_empty() {
        text.push('\n');
    }
    std::io::stdout().write_all(text.as_bytes()).context("cannot write the output")?;
    Ok(if returned.retcode == 0 { 0 } else { RETCODE })
}

/// Words of a command line as a call: `name=value` is a keyword, a word means what YAML makes of
/// it.
fn call(function: &str, words: &[String]) -> Call {
    let mut call = Call { function: function.to_owned(), arguments: Vec::new(), keywords: Map::new() };
    for word in words {
        match keyword(word) {
            Some((name, value)) => {
                call.keywords.insert(name.to_owned(), typed(value));
            }
            None => call.arguments.push(typed(word)),
        }
    }
    call
}

fn keyword(word: &str) -> Option<(&str, &str)> {
    let (name, value) = word.split_once('=')?;
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let goes_on_well = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
    (starts_well && goes_on_well && !value.starts_with('=')).then_some((name, value))
}

fn typed(word: &str) -> Value {
    let text = || Value::String(word.to_owned());
    if word.starts_with(['[', '{']) {
        return match serde_saphyr::from_str::<Value>(word) {
            Ok(value @ (Value::Array(_) | Value::Object(_))) => value,
            Ok(_) | Err(_) => text(),
        };
    }
    if word.is_empty() {
        return text();
    }
    match resolve(word) {
        Scalar::Null => Value::Null,
        Scalar::Bool(value) => Value::Bool(value),
        Scalar::Int(value) => i64::try_from(value).map_or_else(|_| text(), Value::from),
        Scalar::Float(value) => serde_json::Number::from_f64(value).map_or_else(text, Value::Number),
        Scalar::Text | Scalar::HugeInt | Scalar::Other => text(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words() {
        let words = ["uname -r", "3", "yes", "[1, a]", "cwd=/tmp", "n=2", "a==b", "{x: 1}", "", "1=2"];
        let call = call("cmd.run", &words.map(str::to_owned));
        assert_eq!(
            Value::Array(call.arguments),
            json!(["uname -r", 3, true, [1, "a"], "a==b", {"x": 1}, "", "1=2"])
        );
        assert_eq!(Value::Object(call.keywords), json!({"cwd": "/tmp", "n": 2}));
    }
}
