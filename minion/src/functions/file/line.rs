//! `file.line`: one line of a file, found by its neighbours.

use super::super::bind::Bound;
use super::super::{Fault, Function, Outcome, optional, required};
use super::blocking::blocking;
use super::bytes::{Place, back_up, read_text, replace as put};
use super::diff::unified;
use super::path::take;

mod edit;

use self::edit::{Edit, Location, Mode};

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new(
            "file.line",
            |_, bound| Box::pin(line(bound)),
            "Sees to it that a line is in a file, or is not.",
        )
        .takes(
            const {
                &[
                    required("path", "the file, of at most 64 MiB; links are followed (text)"),
                    optional("content", "null", "the line; not needed to delete (text)"),
                    optional("match", "null", "finds the line to replace or delete; content when not given (text)"),
                    optional("mode", "null", "ensure, replace, insert or delete (text)"),
                    optional("location", "null", "where to insert: start or end (text)"),
                    optional("before", "null", "finds the one line in front of which to insert (text)"),
                    optional("after", "null", "finds the one line behind which to insert (text)"),
                    optional("show_changes", "true", "False returns True or False (boolean)"),
                    optional("backup", "false", "True keeps the old file, with the time in its name (boolean)"),
                    optional("quiet", "false", "True returns False when there is no such file (boolean)"),
                    optional("indent", "true", "False leaves the line's own indentation (boolean)"),
                ]
            },
        )
        .returns(
            "the difference in unified form (text); a boolean with show_changes=False, and False when nothing \
             changed; match, before and after are regular expressions that see one line, or a part of it as it \
             stands; fails when there is no such file, or not exactly one line in front or behind",
        )
        .example("file.line /etc/nsswitch.conf 'hosts: files dns' mode=replace match='^hosts:'"),
    ]
}

async fn line(mut bound: Bound) -> Result<Outcome, Fault> {
    let path = take(&mut bound, "path")?;
    let mode = bound.maybe_text("mode")?.map(|mode| mode.to_lowercase());
    let location = bound.maybe_text("location")?.filter(|location| !location.is_empty());
    let mut edit = Edit {
        mode: Mode::Ensure,
        content: bound.maybe_text("content")?,
        matched: bound.maybe_text("match")?.filter(|text| !text.is_empty()),
        before: bound.maybe_text("before")?,
        after: bound.maybe_text("after")?,
        location: None,
        is_indented: bound.flag("indent")?,
    };
    let (shows, keeps, is_quiet) = (bound.flag("show_changes")?, bound.flag("backup")?, bound.flag("quiet")?);
    blocking(move |stop| {
        if !path.is_file() {
            let why = format!("File \"{}\" does not exists or is not a file.", path.display());
            return if is_quiet { Ok(Outcome::from(false)) } else { Err(Fault::Execution(why)) };
        }
        edit.mode = Mode::read(mode.as_deref())?;
        edit.location = location.as_deref().map(Location::read).transpose()?;
        let old = read_text(&path)?;
        let new = edit.apply(&old)?;
        if new == old {
            return Ok(Outcome::from(false));
        }
        stop.check()?;
        if keeps {
            let now = jiff::Zoned::now().strftime(".%Y-%m-%d-%H-%M-%S").to_string();
            let there = std::fs::canonicalize(&path).map_err(super::path::failed(&path))?;
            back_up(&there, &old, &now)?;
        }
        put(&path, &new, Place::Kept)?;
        Ok(if shows { Outcome::from(unified(&old, &new, ["", ""])) } else { Outcome::from(true) })
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::{Value, json};

    use super::super::super::testing::{assert_shape, call, context, returned};

    #[tokio::test]
    async fn a_line_is_put_where_it_belongs() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a b");
        fs::write(&file, "one\n  two\n").unwrap();
        let run = async |keywords: Value| {
            let result = returned(&[call("file.line", json!([file]), keywords)], &context()).await;
            if result.retcode == 0 {
                assert_shape("file.line", &result.value);
            }
            (result.value, result.retcode)
        };
        let ensure = json!({"content": "three", "mode": "Ensure", "after": "two"});
        let (difference, _) = run(ensure.clone()).await;
        assert_eq!(difference, "--- \n+++ \n@@ -1,2 +1,3 @@\n one\n   two\n+  three\n");
        assert_eq!(fs::read_to_string(&file).unwrap(), "one\n  two\n  three\n");
        assert_eq!(
            run(json!({"content": "  three", "mode": "ensure", "after": "two"})).await,
            (json!(false), 0)
        );
        let delete = json!({"match": "three", "mode": "delete", "show_changes": false, "backup": true});
        assert_eq!(run(delete).await, (json!(true), 0));
        assert_eq!(fs::read_to_string(&file).unwrap(), "one\n  two\n");
        let kept: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        let kept = kept.iter().find(|path| **path != file).unwrap();
        assert_eq!(fs::read_to_string(kept).unwrap(), "one\n  two\n  three\n");
        assert_eq!(kept.extension().unwrap().len(), "2024-01-02-03-04-05".len());

        for (keywords, expected) in [
            (json!({"content": "x"}), "ERROR: Mode was not defined. How to process the file?"),
            (json!({"content": "x", "mode": "add"}), "ERROR: Unknown mode: \"add\""),
            (json!({"mode": "ensure"}), "ERROR: Content can only be empty if mode is \"delete\""),
            (
                json!({"content": "x", "mode": "insert", "location": "middle"}),
                "ERROR executing 'file.line': 'location' is either 'start' or 'end'",
            ),
        ] {
            assert_eq!(run(keywords).await, (json!(expected), 1));
        }
        let missing = |quiet: bool| call("file.line", json!(["/no/such", "x"]), json!({"quiet": quiet}));
        let result = returned(&[missing(false)], &context()).await;
        assert_eq!(result.value, "ERROR: File \"/no/such\" does not exists or is not a file.");
        assert_eq!(returned(&[missing(true)], &context()).await.value, false);
    }
}
