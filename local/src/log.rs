//! The log: events with their fields on standard error, one line each.

use std::io::IsTerminal;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

/// The filter of the log that was set up, to be replaced while the program runs.
static FILTER: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// The words that `--log-level` takes; Salt's.
pub const LEVELS: [&str; 10] =
    ["all", "garbage", "trace", "debug", "profile", "info", "warning", "error", "critical", "quiet"];

/// What a line of the log looks like: the option `log_format`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people: time, level, text, and the fields as `name=value`.
    #[default]
    Text,
    /// For programs: one JSON object a line, with `timestamp`, `level`, `target`, `message` and the
    /// fields beside them.
    Json,
}

/// Why the log could not be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{level:?} is no log level; it is one of {}", LEVELS.join(", "))]
pub struct LevelError {
    /// The word that was given, escaped.
    pub level: String,
}

/// Sends events of `level` and above to standard error, coloured on a terminal unless `NO_COLOR`
/// is set. Events of libraries appear from `warning` up, and all of them at `trace`. A second
/// call changes nothing.
///
/// # Errors
/// `level` is none of [`LEVELS`].
pub fn init(level: &str, format: Format) -> Result<(), LevelError> {
    let (filter, handle) = reload::Layer::new(targets(level)?);
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        // A closed standard error must not end a daemon.
        .log_internal_errors(false);
    let lines = match format {
        Format::Text => lines.with_ansi(colour).boxed(),
        Format::Json => lines.with_ansi(false).json().flatten_event(true).boxed(),
    };
    // Fails only if a log is already set up, by a test for example.
    if tracing_subscriber::registry().with(filter).with(lines).try_init().is_ok() {
        let _ = FILTER.set(handle);
    }
    Ok(())
}

/// Makes `level` the level of a log that was set up with [`init`], from the next event on.
///
/// # Errors
/// `level` is none of [`LEVELS`].
pub fn set(level: &str) -> Result<(), LevelError> {
    let targets = targets(level)?;
    if let Some(filter) = FILTER.get() {
        // Fails only if the log is gone, and then there is nothing to be filtered.
        let _ = filter.reload(targets);
    }
    Ok(())
}

fn targets(level: &str) -> Result<Targets, LevelError> {
    let ours = filter(level)?;
    let theirs = if ours == LevelFilter::TRACE { ours } else { ours.min(LevelFilter::WARN) };
    Ok(Targets::new().with_default(theirs).with_target("brine", ours))
}

/// Checks a log level without setting anything up.
///
/// # Errors
/// `level` is none of [`LEVELS`].
pub fn check(level: &str) -> Result<(), LevelError> {
    filter(level).map(|_| ())
}

fn filter(level: &str) -> Result<LevelFilter, LevelError> {
    Ok(match level.to_ascii_lowercase().as_str() {
        "all" | "garbage" | "trace" => LevelFilter::TRACE,
        "debug" | "profile" => LevelFilter::DEBUG,
        "info" => LevelFilter::INFO,
        "warning" | "warn" => LevelFilter::WARN,
        "error" | "critical" => LevelFilter::ERROR,
        "quiet" => LevelFilter::OFF,
        _ => {
            return Err(LevelError { level: crate::text::escape(level) });
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn salts_words() {
        for level in LEVELS {
            assert!(filter(level).is_ok(), "{level}");
        }
        assert_eq!(filter("Warning"), Ok(LevelFilter::WARN));
        assert_eq!(
            check("loud").unwrap_err().to_string(),
            "\"loud\" is no log level; it is one of all, garbage, trace, debug, profile, info, warning, error, \
             critical, quiet"
        );
    }
}
