//! Replacing and finding text by regular expressions, and comments in front of lines.

use std::fs;
use std::path::{Path, PathBuf};

use regex::bytes::Regex;
use serde_json::Value;

use super::super::bind::Bound;
use super::super::{Fault, Function, Outcome, keyword, optional, required};
use super::blocking::blocking;
use super::bytes::{Place, TEXT_MAX, back_up, read_text, replace as put};
use super::diff::{backup, is_binary, unified};
use super::path::{failed, take};
use super::pattern::{Flags, Template, compile, substitute};

mod comment;

pub(super) fn functions() -> Vec<Function> {
    let mut all = comment::functions();
    all.extend([
        Function::new(
            "file.replace",
            |_, bound| Box::pin(replace(bound)),
            "Replaces what a regular expression matches in a file.",
        )
        .takes(
            const {
                &[
                    required("path", "the file, of at most 64 MiB; links are followed (text)"),
                    required("pattern", "the regular expression, matched against the whole file (text)"),
                    required("repl", "what to put there; \\1 and \\g<name> are groups, \\n a new line (text)"),
                    optional("count", "0", "how many matches to replace, 0 for all (integer)"),
                    optional(
                        "flags",
                        "8",
                        "how to read the pattern: IGNORECASE, MULTILINE, DOTALL, VERBOSE, a list of these, or \
                         Python's number; 8 is MULTILINE (text, list or integer)",
                    ),
                    optional("bufsize", "1", "taken for Salt's sake and without effect (any)"),
                    optional("append_if_not_found", "false", "True adds it at the end instead (boolean)"),
                    optional("prepend_if_not_found", "false", "True adds it at the beginning (boolean)"),
                    optional("not_found_content", "null", "what to add then, repl when not given (text)"),
                    optional(
                        "backup",
                        "\".bak\"",
                        "ending of the name under which the old file is kept; False keeps none (text or boolean)",
                    ),
                    optional("dry_run", "false", "True only tells what would change (boolean)"),
                    optional("search_only", "false", "True only tells whether it matches (boolean)"),
                    optional("show_changes", "true", "False returns True or False (boolean)"),
                    optional("ignore_if_missing", "false", "True returns False when there is no file (boolean)"),
                    optional("preserve_inode", "true", "False makes it a new file in any case (boolean)"),
                    optional("backslash_literal", "false", "True takes backslashes in repl as they are (boolean)"),
                ]
            },
        )
        .returns(
            "the difference in unified form, empty when nothing changed (text); a boolean with show_changes=False \
             or search_only=True; fails when the file is not there, is no text or too large, or the pattern is wrong",
        )
        .example("file.replace /etc/ssh/sshd_config '^#?PermitRootLogin .*' 'PermitRootLogin no'"),
        Function::new(
            "file.search",
            |_, bound| Box::pin(search(bound)),
            "Tells whether a regular expression matches in a file.",
        )
        .takes(
            const {
                &[
                    required("path", "the file, of at most 64 MiB (text)"),
                    required("pattern", "the regular expression (text)"),
                    optional("flags", "8", "as those of file.replace (text, list or integer)"),
                    optional("bufsize", "1", "taken for Salt's sake and without effect (any)"),
                    optional("ignore_if_missing", "false", "True returns False when there is no file (boolean)"),
                    keyword("multiline", "false", "True adds MULTILINE to the flags (boolean)"),
                ]
            },
        )
        .returns("boolean; fails when the file is not there, is no text or too large, or the pattern is wrong")
        .example("file.search /etc/crontab '^mailto'"),
    ]);
    all
}

/// Opens the text of a file that is to be edited, with its path without links. None when it is
/// not there and need not be.
fn open(path: &Path, may_be_missing: bool) -> Result<Option<(PathBuf, Vec<u8>)>, Fault> {
    let there = match fs::canonicalize(path) {
        Ok(there) => there,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let why = format!("File not found: {}", path.display());
            return if may_be_missing { Ok(None) } else { Err(Fault::Invocation(why)) };
        }
        Err(error) => return Err(failed(path)(error)),
    };
    let text = read_text(path)?;
    if is_binary(&text) {
        let why = format!("Cannot perform string replacements on a binary file: {}", there.display());
        return Err(Fault::Invocation(why));
    }
    Ok(Some((there, text)))
}

/// Where text goes that was not found.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Missing {
    Append,
    Prepend,
    Leave,
}

async fn replace(mut bound: Bound) -> Result<Outcome, Fault> {
    let path = take(&mut bound, "path")?;
    let (pattern, repl) = (bound.text("pattern")?, bound.text("repl")?);
    let count = match bound.value("count") {
        Value::Number(count) => count.as_u64().and_then(|count| usize::try_from(count).ok()),
        _ => None,
    };
    let count = count.ok_or_else(|| invalid("'count' needs a whole number, 0 or more"))?;
    let flags = Flags::read(&bound.value("flags"))?;
    let is_search = bound.flag("search_only")?;
    let missing = match (bound.flag("append_if_not_found")?, bound.flag("prepend_if_not_found")?) {
        (true, true) => return Err(invalid("Only one of append and prepend_if_not_found is permitted")),
        (true, _) | (_, true) if is_search => {
            return Err(invalid("search_only cannot be used with append/prepend_if_not_found"));
        }
        (true, false) => Missing::Append,
        (false, true) => Missing::Prepend,
        (false, false) => Missing::Leave,
    };
    let added = bound.maybe_text("not_found_content")?.unwrap_or_else(|| repl.clone());
    let backup = backup(&bound.value("backup"))?;
    let (is_dry, shows, may_be_missing) =
        (bound.flag("dry_run")?, bound.flag("show_changes")?, bound.flag("ignore_if_missing")?);
    let place = if bound.flag("preserve_inode")? { Place::Kept } else { Place::New };
    let regex = compile(&pattern, flags)?;
    let is_literal = bound.flag("backslash_literal")?;
    let template = if is_literal { Template::literal(&repl) } else { Template::read(&repl, &regex)? };
    blocking(move |stop| {
        let Some((there, old)) = open(&path, may_be_missing)? else { return Ok(Outcome::from(false)) };
        if is_search {
            return Ok(Outcome::from(regex.is_match(&old)));
        }
        let new = match substitute(&regex, &template, &old, count, TEXT_MAX)? {
            Some(new) => new,
            None => add(&old, &added, missing, flags)?,
        };
        let difference = unified(&old, &new, ["", ""]);
        if new != old && !is_dry {
            stop.check()?;
            if let Some(ending) = &backup {
                back_up(&there, &old, ending)?;
            }
            put(&path, &new, place)?;
        }
        Ok(if shows { Outcome::from(difference) } else { Outcome::from(new != old) })
    })
    .await
}

fn invalid(why: &str) -> Fault {
    Fault::Invocation(why.to_owned())
}

/// The text with `added` as a line at one end, unless it is a line of it already.
fn add(old: &[u8], added: &str, missing: Missing, flags: Flags) -> Result<Vec<u8>, Fault> {
    let line = compile(&format!("^{}\r?$", regex::escape(added)), Flags { verbose: false, ..flags })?;
    if missing == Missing::Leave || line.is_match(old) {
        return Ok(old.to_owned());
    }
    let added = format!("{added}\n").into_bytes();
    let gap: &[u8] = if old.is_empty() || old.ends_with(b"\n") { b"" } else { b"\n" };
    Ok(if missing == Missing::Append { [old, gap, &added].concat() } else { [&added, old].concat() })
}

async fn search(mut bound: Bound) -> Result<Outcome, Fault> {
    let (path, pattern) = (take(&mut bound, "path")?, bound.text("pattern")?);
    let mut flags = Flags::read(&bound.value("flags"))?;
    flags.multi_line |= bound.flag("multiline")?;
    let may_be_missing = bound.flag("ignore_if_missing")?;
    let regex: Regex = compile(&pattern, flags)?;
    blocking(move |_| {
        let text = open(&path, may_be_missing)?;
        Ok(Outcome::from(text.is_some_and(|(_, text)| regex.is_match(&text))))
    })
    .await
}

#[cfg(test)]
mod tests;
