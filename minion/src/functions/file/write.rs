//! Whole lines into files, times and lengths.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use serde_json::Value;

use super::super::bind::Bound;
use super::super::{Fault, Function, Outcome, Parameter, optional, required, text_of};
use super::blocking::blocking;
use super::bytes::{Place, open_with, read_text, replace as put};
use super::path::{failed, take};

const PATH: &[Parameter] = &[required("path", "the file; links are followed (text)")];
const LINES: &str = "the lines, one each; or args=, a list of them (texts)";

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new(
            "file.write",
            |_, bound| Box::pin(write(bound)),
            "Writes lines to a file, in place of what is in it.",
        )
        .takes(PATH)
        .takes_more(LINES)
        .returns("'Wrote N lines to \"PATH\"' (text); fails when it may not be written")
        .example("file.write /etc/motd 'With all the salt' 'in the sea'"),
        Function::new(
            "file.append",
            |_, bound| Box::pin(append(bound)),
            "Adds lines at the end of a file, in place, so that who has it open sees them.",
        )
        .takes(PATH)
        .takes_more(LINES)
        .returns("'Wrote N lines to \"PATH\"' (text); fails when there is no such file")
        .example("file.append /etc/motd 'With all the salt'"),
        Function::new(
            "file.prepend",
            |_, bound| Box::pin(prepend(bound)),
            "Puts lines at the beginning of a file, which is created when there is none.",
        )
        .takes(const { &[required("path", "the file, of at most 64 MiB; links are followed (text)")] })
        .takes_more(LINES)
        .returns("'Prepended N lines to \"PATH\"' (text); fails when it may not be written")
        .example("file.prepend /etc/motd 'With all the salt'"),
        Function::new(
            "file.touch",
            |_, bound| Box::pin(touch(bound)),
            "Sets the times of a file, which is created when there is none.",
        )
        .takes(
            const {
                &[
                    required("name", "the file; links are followed (text)"),
                    optional("atime", "null", "time of last use, now when not given (seconds since 1970)"),
                    optional("mtime", "null", "time of last change, now when not given (seconds since 1970)"),
                ]
            },
        )
        .returns("True")
        .example("file.touch /var/log/emptyfile"),
        Function::new("file.truncate", |_, bound| Box::pin(truncate(bound)), "Cuts a file to a length.")
            .takes(
                const {
                    &[
                        required("path", "the file; links are followed (text)"),
                        required("length", "what is left; a shorter file is filled up with NUL (bytes)"),
                    ]
                },
            )
            .returns("null; fails when there is no such file")
            .example("file.truncate /var/log/big.log 0"),
    ]
}

/// The lines, each with its end.
fn lines(bound: &mut Bound) -> Result<Vec<String>, Fault> {
    let given = match bound.extra.remove("args") {
        Some(Value::Array(list)) => list,
        Some(one) => vec![one],
        None => std::mem::take(&mut bound.rest),
    };
    if let Some(name) = bound.extra.keys().next() {
        let why =
            format!("The following keyword arguments are not valid: {name}; a line with '=' goes into args=");
        return Err(Fault::Invocation(why));
    }
    Ok(given.iter().map(|line| format!("{}\n", text_of(line))).collect())
}

async fn write(mut bound: Bound) -> Result<Outcome, Fault> {
    let (path, lines) = (take(&mut bound, "path")?, lines(&mut bound)?);
    blocking(move |_| {
        put(&path, lines.concat().as_bytes(), Place::Kept)?;
        Ok(Outcome::from(said("Wrote", lines.len(), &path)))
    })
    .await
}

fn said(what: &str, count: usize, path: &Path) -> String {
    format!("{what} {count} lines to \"{}\"", path.display())
}

async fn append(mut bound: Bound) -> Result<Outcome, Fault> {
    let (path, lines) = (take(&mut bound, "path")?, lines(&mut bound)?);
    blocking(move |_| {
        let mut file = open_with(&path, OpenOptions::new().read(true).append(true))?;
        let length = file.metadata().map_err(failed(&path))?.len();
        let mut last = [b'\n'];
        if let Some(at) = length.checked_sub(1) {
            // Only a file that shrinks meanwhile gives nothing, and has no last line then.
            file.read_at(&mut last, at).map_err(failed(&path))?;
        }
        let gap = if last == [b'\n'] { "" } else { "\n" };
        // In one go, so that lines of others do not come in between.
        let text = format!("{gap}{}", lines.concat());
        file.write_all(text.as_bytes()).and_then(|()| file.sync_data()).map_err(failed(&path))?;
        Ok(Outcome::from(said("Wrote", lines.len(), &path)))
    })
    .await
}

async fn prepend(mut bound: Bound) -> Result<Outcome, Fault> {
    let (path, lines) = (take(&mut bound, "path")?, lines(&mut bound)?);
    blocking(move |_| {
        let old = if path.symlink_metadata().is_ok() { read_text(&path)? } else { Vec::new() };
        put(&path, &[lines.concat().as_bytes(), &old].concat(), Place::Kept)?;
        Ok(Outcome::from(said("Prepended", lines.len(), &path)))
    })
    .await
}

async fn touch(mut bound: Bound) -> Result<Outcome, Fault> {
    let path = take(&mut bound, "name")?;
    let (atime, mtime) = (time(&bound.value("atime"))?, time(&bound.value("mtime"))?);
    blocking(move |_| {
        if !path.exists() {
            OpenOptions::new().write(true).create_new(true).open(&path).map_err(failed(&path))?;
        }
        utimensat(AT_FDCWD, &path, &atime, &mtime, UtimensatFlags::FollowSymlink)
            .map_err(|error| failed(&path)(error.into()))?;
        Ok(Outcome::from(true))
    })
    .await
}

fn time(given: &Value) -> Result<TimeSpec, Fault> {
    let seconds = match given {
        Value::Null => return Ok(TimeSpec::UTIME_NOW),
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    // Beyond that the clock's number of seconds is no longer whole.
    match seconds {
        Some(seconds) if seconds.abs() < 1e15 => {
            let whole = seconds.floor();
            Ok(TimeSpec::new(whole as i64, ((seconds - whole) * 1e9) as i64))
        }
        _ => Err(Fault::Invocation("atime and mtime must be integers".to_owned())),
    }
}

async fn truncate(mut bound: Bound) -> Result<Outcome, Fault> {
    let path = take(&mut bound, "path")?;
    let length = match bound.value("length") {
        Value::Number(length) => length.as_u64(),
        Value::String(length) => length.trim().parse().ok(),
        _ => None,
    };
    let length =
        length.ok_or_else(|| Fault::Invocation("'length' needs a number of bytes, 0 or more".to_owned()))?;
    blocking(move |_| {
        let file = open_with(&path, OpenOptions::new().write(true))?;
        file.set_len(length).and_then(|()| file.sync_all()).map_err(failed(&path))?;
        Ok(Outcome::from(Value::Null))
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use serde_json::json;

    use super::super::super::testing::{assert_shape, call, context, returned};
    use super::*;

    async fn run(function: &str, args: Value, keywords: Value) -> (Value, i32) {
        let result = returned(&[call(function, args, keywords)], &context()).await;
        if result.retcode == 0 {
            assert_shape(function, &result.value);
        }
        (result.value, result.retcode)
    }

    #[tokio::test]
    async fn lines_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("-a b\n\"c\"");
        let text = || fs::read_to_string(&file).unwrap();
        let name = file.display();
        let wrote = |count: u32| (json!(format!("Wrote {count} lines to \"{name}\"")), 0);
        assert_eq!(run("file.write", json!([file, "one", 2]), json!({})).await, wrote(2));
        assert_eq!(text(), "one\n2\n");
        assert_eq!(run("file.append", json!([file]), json!({"args": ["a=b", "é"]})).await, wrote(2));
        assert_eq!(text(), "one\n2\na=b\né\n");
        fs::write(&file, "no end").unwrap();
        let inode = fs::metadata(&file).unwrap().ino();
        assert_eq!(run("file.append", json!([file, "x"]), json!({})).await, wrote(1));
        assert_eq!((text().as_str(), fs::metadata(&file).unwrap().ino()), ("no end\nx\n", inode));
        let prepended = (json!(format!("Prepended 1 lines to \"{name}\"")), 0);
        assert_eq!(run("file.prepend", json!([file]), json!({"args": "first"})).await, prepended);
        assert_eq!(text(), "first\nno end\nx\n");
        fs::remove_file(&file).unwrap();
        assert_eq!(run("file.prepend", json!([file, "only"]), json!({})).await.1, 0);
        assert_eq!(text(), "only\n");
        assert_eq!(run("file.write", json!([file]), json!({})).await, wrote(0));
        assert_eq!(text(), "");

        let missing = run("file.append", json!(["/no/such", "x"]), json!({})).await;
        assert_eq!(missing, (json!("ERROR: [Errno 2] No such file or directory: '/no/such'"), 1));
        let odd = run("file.write", json!([file, "x"]), json!({"key": "v"})).await.0;
        assert!(odd.as_str().unwrap().contains("keyword arguments are not valid: key"), "{odd}");
        assert_eq!(run("file.write", json!([folder.path(), "x"]), json!({})).await.1, 1);
        assert_eq!(run("file.append", json!(["/dev/full", "x"]), json!({})).await.1, 1);
        for forbidden in ["/sys/kernel/brine", "/proc/brine"] {
            let (why, retcode) = run("file.write", json!([forbidden, "x"]), json!({})).await;
            assert!(retcode == 1 && why.as_str().unwrap().starts_with("ERROR: [Errno "), "{why}");
        }
    }

    #[tokio::test]
    async fn times_and_lengths() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("new");
        let touched = run("file.touch", json!([file, 1, "1700000000.5"]), json!({})).await;
        assert_eq!(touched, (json!(true), 0));
        let found = fs::metadata(&file).unwrap();
        let times = (found.atime(), found.mtime(), found.mtime_nsec());
        assert_eq!(times, (1, 1_700_000_000, 500_000_000));
        assert_eq!(run("file.touch", json!([file]), json!({})).await.1, 0);
        assert!(fs::metadata(&file).unwrap().mtime() > 1_700_000_000);
        assert_eq!(
            run("file.touch", json!([file, "soon"]), json!({})).await,
            (json!("ERROR executing 'file.touch': atime and mtime must be integers"), 1)
        );
        assert_eq!(run("file.touch", json!(["/no/such"]), json!({})).await.1, 1);

        fs::write(&file, "12345").unwrap();
        assert_eq!(run("file.truncate", json!([file, 3]), json!({})).await, (Value::Null, 0));
        assert_eq!(fs::read_to_string(&file).unwrap(), "123");
        assert_eq!(run("file.truncate", json!([file, -1]), json!({})).await.1, 1);
        assert_eq!(run("file.truncate", json!(["/no/such", 1]), json!({})).await.1, 1);
    }
}
