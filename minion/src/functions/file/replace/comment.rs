//! Comment characters in front of lines, set and taken away.

use super::super::super::bind::Bound;
use super::super::super::{Fault, Function, Outcome, optional, required};
use super::super::blocking::blocking;
use super::super::bytes::{Place, back_up, replace as put};
use super::super::diff::{backup, unified};
use super::super::path::take;
use super::super::pattern::{Flags, compile};
use super::open;
use crate::functions::Parameter;

const PARAMETERS: &[Parameter] = &[
    required("path", "the file, of at most 64 MiB; links are followed (text)"),
    required("regex", "matches the lines from their beginning, without the comment character (text)"),
    optional("char", "\"#\"", "the comment character (text)"),
    optional(
        "backup",
        "\".bak\"",
        "ending of the name under which the old file is kept; False keeps none (text or boolean)",
    ),
];

const RETURNS: &str =
    "the difference of the lines that changed, in unified form (text); False when there are none";

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new("file.comment", |_, bound| Box::pin(change(bound, true)), "Comments lines out.")
            .takes(PARAMETERS)
            .returns(RETURNS)
            .example("file.comment /etc/modules pcspkr"),
        Function::new(
            "file.uncomment",
            |_, bound| Box::pin(change(bound, false)),
            "Takes the comment character in front of lines away.",
        )
        .takes(PARAMETERS)
        .returns(RETURNS)
        .example("file.uncomment /etc/hosts.deny 'ALL: PARANOID'"),
        Function::new(
            "file.comment_line",
            |_, bound| Box::pin(either(bound)),
            "Comments lines out, or takes the comment character in front of them away.",
        )
        .takes(
            const {
                &[
                    required("path", "the file, of at most 64 MiB; links are followed (text)"),
                    required("regex", "matches the lines, without the comment character (text)"),
                    optional("char", "\"#\"", "the comment character (text)"),
                    optional("cmnt", "true", "False takes the comment character away (boolean)"),
                    optional(
                        "backup",
                        "\".bak\"",
                        "ending of the old file's name; False keeps none (text or boolean)",
                    ),
                ]
            },
        )
        .returns(RETURNS)
        .example("file.comment_line /etc/modules pcspkr"),
    ]
}

async fn either(mut bound: Bound) -> Result<Outcome, Fault> {
    let is_comment = bound.flag("cmnt")?;
    change(bound, is_comment).await
}

async fn change(mut bound: Bound, is_comment: bool) -> Result<Outcome, Fault> {
    let path = take(&mut bound, "path")?;
    let (pattern, sign, backup) =
        (bound.text("regex")?, bound.text("char")?, backup(&bound.value("backup"))?);
    if sign.is_empty() {
        return Err(Fault::Invocation("'char' is empty; give a comment character".to_owned()));
    }
    let core = pattern.trim_start_matches('^').trim_end_matches('$');
    let end = if pattern.ends_with('$') { "$" } else { "" };
    let before = if is_comment { String::new() } else { format!("{}\\s*", regex::escape(&sign)) };
    let regex = compile(&format!("^{before}(?:{core}){end}"), Flags::default())?;
    blocking(move |stop| {
        let Some((there, old)) = open(&path, false)? else { return Ok(Outcome::from(false)) };
        let (mut new, mut lines_old, mut lines_new) = (Vec::with_capacity(old.len()), Vec::new(), Vec::new());
        for line in old.split_inclusive(|byte| *byte == b'\n') {
            let bare = line.strip_suffix(b"\n").unwrap_or(line);
            let bare = bare.strip_suffix(b"\r").unwrap_or(bare);
            if !regex.is_match(bare) {
                new.extend_from_slice(line);
                continue;
            }
            let changed =
                if is_comment { [sign.as_bytes(), line].concat() } else { without(line, &sign).to_vec() };
            lines_old.extend_from_slice(line);
            lines_new.extend_from_slice(&changed);
            new.extend_from_slice(&changed);
        }
        if lines_old.is_empty() {
            return Ok(Outcome::from(false));
        }
        stop.check()?;
        if let Some(ending) = &backup {
            back_up(&there, &old, ending)?;
        }
        put(&path, &new, Place::Kept)?;
        Ok(Outcome::from(unified(&lines_old, &lines_new, ["", ""])))
    })
    .await
}

/// The line without all the comment characters it begins with.
fn without<'a>(mut line: &'a [u8], sign: &str) -> &'a [u8] {
    while let Some(rest) = line.strip_prefix(sign.as_bytes()) {
        line = rest;
    }
    line
}
