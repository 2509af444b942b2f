//! What is in a file.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use base64ct::{Base64, Encoding};
use serde_json::json;

use super::super::bind::Bound;
use super::super::tool::Tool;
use super::super::{Context, Fault, Function, OnPid, Outcome, Spawned, fit, optional, required, text_of};
use super::blocking::{Stop, blocking};
use super::bytes::{kind, open, read_some, read_text};
use super::matching::matching;
use super::path::{failed, take, text};
use super::pattern::{Flags, compile};

/// How much of a file is searched at once.
const PIECE: usize = 1024 * 1024;

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new(
            "file.read",
            |context, bound| Box::pin(read(context, bound)),
            "Returns what is in a file.",
        )
        .takes(
            const {
                &[
                    required("path", "the file; links are followed (text)"),
                    optional("binary", "false", "True returns the bytes in base64 (boolean)"),
                ]
            },
        )
        .returns(
            "text, cut at the minion's output_max (a last line says so); bytes that are no UTF-8 become U+FFFD; fails \
             for what is no regular file or may not be read",
        )
        .example("file.read /etc/hostname"),
        Function::new(
            "file.contains",
            |_, bound| Box::pin(contains(bound)),
            "Tells whether a text is in a file.",
        )
        .takes(
            const {
                &[
                    required("path", "the file (text)"),
                    required("text", "what to look for, without white space at its ends (text)"),
                ]
            },
        )
        .returns("boolean; False for a file that is not there or may not be read")
        .example("file.contains /etc/crontab 'mymaintenance.sh'"),
        Function::new(
            "file.contains_regex",
            |_, bound| Box::pin(contains_regex(bound)),
            "Tells whether a regular expression matches in a line of a file.",
        )
        .takes(
            const {
                &[
                    required("path", "the file, of at most 64 MiB (text)"),
                    required("regex", "the regular expression (text)"),
                    optional("lchar", "\"\"", "characters to pass over at the beginning of each line (text)"),
                ]
            },
        )
        .returns("boolean; False for a file that is not there or may not be read")
        .example("file.contains_regex /etc/crontab '^[0-9]'"),
        Function::new(
            "file.grep",
            |context, bound| Box::pin(grep(context, bound)),
            "Runs grep on files.",
        )
        .takes(
            const {
                &[
                    required("path", "the files; '*', '?' and '[…]' stand for several (text)"),
                    required("pattern", "what grep looks for (text)"),
                ]
            },
        )
        .takes_more("options of grep, one each, as -i or '-A 2' (texts)")
        .returns("{pid, retcode, stdout, stderr}; the retcode is grep's: 1 when nothing matched")
        .example("file.grep /etc/passwd nobody -i"),
    ]
}

async fn read(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let (path, is_binary) = (take(&mut bound, "path")?, bound.flag("binary")?);
    // Base64 takes four characters for three bytes.
    let max = if is_binary { context.output_max / 4 * 3 } else { context.output_max };
    blocking(move |_| {
        let (bytes, is_cut) = read_some(&path, max)?;
        let (mut shown, kept) = if is_binary {
            (Base64::encode_string(&bytes), bytes.len())
        } else {
            // The cut may have gone through a character.
            let kept = match std::str::from_utf8(&bytes) {
                Err(error) if is_cut && error.error_len().is_none() => error.valid_up_to(),
                _ => bytes.len(),
            };
            (String::from_utf8_lossy(&bytes[..kept]).into_owned(), kept)
        };
        if is_cut {
            shown.push('\n');
            shown.push_str(&fit::note(kept));
        }
        Ok(Outcome { truncated: is_cut, ..Outcome::from(shown) })
    })
    .await
}

async fn contains(mut bound: Bound) -> Result<Outcome, Fault> {
    let path = take(&mut bound, "path")?;
    let wanted = bound.text("text")?.trim().to_owned();
    let regex = compile(&regex::escape(&wanted), Flags::default())?;
    blocking(move |stop| {
        if !is_readable(&path) {
            return Ok(Outcome::from(false));
        }
        let overlap = wanted.len().saturating_sub(1);
        Ok(Outcome::from(scan(open(&path)?, &path, overlap, stop, |piece| regex.is_match(piece))?))
    })
    .await
}

fn is_readable(path: &Path) -> bool {
    nix::unistd::access(path, nix::unistd::AccessFlags::R_OK).is_ok()
}

/// Whether `test` holds for a piece of the file. Pieces overlap by `overlap` bytes, so that what is
/// not longer is whole in one of them.
pub(super) fn scan(
    mut file: File,
    path: &Path,
    overlap: usize,
    stop: &Stop,
    test: impl Fn(&[u8]) -> bool,
) -> Result<bool, Fault> {
    let mut piece = Vec::new();
    loop {
        stop.check()?;
        let before = piece.len();
        (&mut file).take(PIECE as u64).read_to_end(&mut piece).map_err(failed(path))?;
        if test(&piece) {
            return Ok(true);
        }
        if piece.len() == before {
            return Ok(false);
        }
        piece.drain(..piece.len().saturating_sub(overlap));
    }
}

async fn contains_regex(mut bound: Bound) -> Result<Outcome, Fault> {
    let (path, regex) = (take(&mut bound, "path")?, bound.text("regex")?);
    let skipped = bound.maybe_text("lchar")?.unwrap_or_default();
    let regex = compile(&regex, Flags::default())?;
    blocking(move |_| {
        if !is_readable(&path) {
            return Ok(Outcome::from(false));
        }
        let text = read_text(&path)?;
        let found = text.split(|byte| *byte == b'\n').any(|line| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let begin = line.iter().take_while(|byte| skipped.as_bytes().contains(byte)).count();
            regex.is_match(&line[begin..])
        });
        Ok(Outcome::from(found))
    })
    .await
}

async fn grep(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let (path, pattern) = (take(&mut bound, "path")?, bound.text("pattern")?);
    if !bound.extra.is_empty() {
        return Err(Fault::Invocation("'grep' takes no options by keyword; write -i, not i=True".to_owned()));
    }
    let mut argv = Vec::new();
    for option in bound.rest.iter().map(text_of) {
        match shlex::split(&option).as_deref() {
            Some([]) => {}
            Some([word]) => argv.push(word.clone()),
            Some(_) => {
                return Err(Fault::Invocation(format!(
                    "Passing multiple command line arguments in a single string is not supported, please pass the \
                     following arguments separately: {option}"
                )));
            }
            None => return Err(Fault::Invocation(format!("{option:?} has a quote that is not closed"))),
        }
    }
    let paths = blocking(move |stop| {
        let paths = matching(&path, stop)?;
        paths.iter().try_for_each(check)?;
        Ok(if paths.is_empty() { vec![path] } else { paths })
    })
    .await?;
    // A pattern or a name may begin with a dash.
    argv.extend(["--".to_owned(), pattern]);
    argv.extend(paths.iter().map(|path| text(path)));
    let pid = Arc::new(AtomicU32::new(0));
    let (seen, tell) = (Arc::clone(&pid), Arc::clone(&context.on_pid));
    let on_pid: OnPid = Arc::new(move |spawned: Spawned| {
        seen.store(spawned.pid, Ordering::Relaxed);
        tell(spawned);
    });
    let done = Tool::new("grep", argv).run(&Context { on_pid, ..context }).await?;
    let retcode = done.retcode.unwrap_or(1);
    let pid = pid.load(Ordering::Relaxed);
    let value = json!({"pid": pid, "retcode": retcode, "stdout": done.stdout, "stderr": done.stderr});
    Ok(Outcome { value, retcode, truncated: done.is_cut })
}

/// What grep would read for ever.
fn check(path: &PathBuf) -> Result<(), Fault> {
    match std::fs::metadata(path).map(|found| kind(found.file_type())) {
        Ok("file" | "dir") | Err(_) => Ok(()),
        Ok(other) => Err(Fault::Execution(format!("'{}' is a {other}, not a regular file", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::Value;

    use super::super::super::testing::{assert_shape, call, context, returned};
    use super::*;

    async fn run(function: &str, args: Value, context: &Context) -> (Value, i32, bool) {
        let result = returned(&[call(function, args, json!({}))], context).await;
        if result.retcode == 0 {
            assert_shape(function, &result.value);
        }
        (result.value, result.retcode, result.truncated)
    }

    #[tokio::test]
    async fn reading_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a\nb");
        fs::write(&file, "aé\n\u{1f600}").unwrap();
        let context = context();
        assert_eq!(run("file.read", json!([file]), &context).await, (json!("aé\n\u{1f600}"), 0, false));
        let small = Context { output_max: 102, ..context.clone() };
        let long = "x".repeat(101);
        fs::write(&file, format!("{long}é")).unwrap();
        let cut = json!(format!("{long}\n[brine: output cut at 101 bytes]"));
        assert_eq!(run("file.read", json!([file]), &small).await, (cut, 0, true));
        fs::write(&file, b"a\xffb").unwrap();
        assert_eq!(run("file.read", json!([file]), &context).await.0, "a\u{fffd}b");
        assert_eq!(run("file.read", json!([file, true]), &context).await.0, "Yf9i");
        let missing = "ERROR: [Errno 2] No such file or directory: '/no/such'";
        assert_eq!(run("file.read", json!(["/no/such"]), &context).await, (json!(missing), 1, false));
        let device = "ERROR: '/dev/zero' is a char, not a regular file";
        assert_eq!(run("file.read", json!(["/dev/zero"]), &context).await.0, device);
        assert_eq!(run("file.read", json!(["/proc/self/status"]), &context).await.1, 0);
    }

    #[tokio::test]
    async fn what_a_file_contains() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("-f");
        // The needle lies across two pieces.
        let mut text = vec![b'x'; PIECE - 3];
        text.extend(b"needle\n  # a line\r\n");
        fs::write(&file, text).unwrap();
        let context = context();
        for (function, args, expected) in [
            ("file.contains", json!([file, " needle "]), true),
            ("file.contains", json!([file, "needles"]), false),
            ("file.contains", json!([file, ""]), true),
            ("file.contains", json!(["/no/such", "x"]), false),
            ("file.contains_regex", json!([file, "^a line$", " #"]), true),
            ("file.contains_regex", json!([file, "^a line$"]), false),
            ("file.contains_regex", json!(["/no/such", "x"]), false),
        ] {
            assert_eq!(run(function, args.clone(), &context).await, (json!(expected), 0, false), "{args}");
        }
    }

    #[tokio::test]
    async fn grep_is_greps() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("-a b", "One\n-dash\n"), ("c", "two\n")] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let context = context();
        let all = folder.path().join("*");
        let (value, retcode, _) = run("file.grep", json!([all, "ONE", "-i", "-h"]), &context).await;
        assert_eq!((&value["stdout"], &value["retcode"], retcode), (&json!("One"), &json!(0), 0));
        assert!(value["pid"].as_u64().is_some_and(|pid| pid > 0));
        let one = folder.path().join("-a b");
        assert_eq!(run("file.grep", json!([one, "-dash"]), &context).await.0["stdout"], "-dash");
        let (value, retcode, _) = run("file.grep", json!([one, "none"]), &context).await;
        assert_eq!((&value["stdout"], &value["retcode"], retcode), (&json!(""), &json!(1), 1));
        let (value, retcode, _) = run("file.grep", json!(["/no/such", "x"]), &context).await;
        assert!(retcode == 2 && value["stderr"].as_str().unwrap().contains("No such file"), "{value}");
        assert_eq!(run("file.grep", json!(["/dev/zero", "x"]), &context).await.1, 1);
        let (value, _, _) = run("file.grep", json!([one, "x", "-A 2"]), &context).await;
        assert!(value.as_str().unwrap().contains("Passing multiple command line arguments"), "{value}");
        let bare = Context { path: "/nowhere".to_owned(), ..context };
        let (value, _, _) = run("file.grep", json!([one, "x"]), &bare).await;
        assert_eq!(value, "ERROR: this needs the program \"grep\", which is not installed");
    }
}
