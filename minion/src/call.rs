//! `brine-minion call`: one function, here and now, without a master.

use std::io::Write;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use brine_local::Paths;
use brine_local::arguments::input::Inputs;
use brine_local::arguments::{self, Reading};
use brine_local::output::{Format, Style, render, wants_colours};
use brine_protocol::MinionId;
use serde_json::Map;

use crate::config::Options;
use crate::functions::{self, Context, Modules};
use crate::grains::Grains;

/// The exit code when the function's retcode is not 0: that of `brine`.
pub const RETCODE: u8 = 11;

/// What to run, as it was typed.
#[derive(Debug)]
pub struct Line<'a> {
    /// The function.
    pub function: &'a str,
    /// Its arguments.
    pub words: Vec<String>,
    /// Whether the standard input has more of them, one a line.
    pub has_more: bool,
    /// How to show what comes back.
    pub format: Format,
}

/// Runs a function and prints what it gives back, under `local` as Salt does.
///
/// # Errors
/// An argument or the grains cannot be read, or the output cannot be written.
pub async fn run(paths: &Paths, options: &Options, id: MinionId, line: Line<'_>) -> Result<u8> {
    let Line { function, mut words, has_more, format } = line;
    let mut inputs = Inputs::of_process();
    if has_more {
        words.extend(inputs.stdin_lines()?);
    }
    let calls = arguments::calls(function, &words, &Reading::default(), &mut inputs)?;
    let grains = Grains::load(id.clone(), options.grains.clone(), Some(paths.grains_file()))?;
    let mut context = Context::local(id, Arc::new(grains));
    context.output_max = options.output_max;
    context.modules = Modules::of(options.modules_folder(paths));
    let returned = tokio::select! {
        returned = functions::run(&calls, &context) => returned.map_err(|why| anyhow!(why))?,
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
