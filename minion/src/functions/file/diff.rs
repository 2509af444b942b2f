//! Differences between texts, in the unified form.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use similar::TextDiff;

use super::super::bind::Bound;
use super::super::{Fault, Function, Outcome, Parameter, optional, required};
use super::blocking::blocking;
use super::bytes::read_text;
use super::path::take;

/// After so long the differences are no longer made the smallest possible.
const EFFORT: Duration = Duration::from_secs(2);

/// As much of a file as is looked at to tell text from other bytes.
const LOOKED_AT: usize = 512;

const PARAMETERS: &[Parameter] = &[
    required("file1", "path of the old file on the minion (text)"),
    required("file2", "path of the new file on the minion (text)"),
    optional("saltenv", "\"base\"", "taken for Salt's sake and without effect (text)"),
    optional("show_filenames", "true", "False leaves the names out of the first two lines (boolean)"),
    optional("show_changes", "true", "False only tells that there is a difference (boolean)"),
];

pub(super) fn functions() -> Vec<Function> {
    const RETURNS: &str = "the difference in unified form; empty when there is none; '<show_changes=False>'; for \
                           files that are no text, 'Replace binary file' and the like (text)";
    let summary = "Compares two files on the minion.";
    vec![
        Function::new("file.diff", |_, bound| Box::pin(diff(bound)), summary)
            .takes(PARAMETERS)
            .returns(RETURNS)
            .example("file.diff /etc/hosts /etc/hosts.new"),
        Function::new("file.get_diff", |_, bound| Box::pin(diff(bound)), summary)
            .takes(PARAMETERS)
            .returns(RETURNS)
            .example("file.get_diff /etc/hosts /etc/hosts.new"),
    ]
}

async fn diff(mut bound: Bound) -> Result<Outcome, Fault> {
    let (old, new) = (take(&mut bound, "file1")?, take(&mut bound, "file2")?);
    for path in [&old, &new] {
        if path.to_string_lossy().contains("://") {
            let why = format!("'{}' is not on the minion; bring it there first", path.display());
            return Err(Fault::Execution(why));
        }
    }
    let (has_names, has_changes) = (bound.flag("show_filenames")?, bound.flag("show_changes")?);
    blocking(move |_| {
        let (before, after) = (read_text(&old)?, read_text(&new)?);
        if before == after {
            return Ok(Outcome::from(""));
        }
        if !has_changes {
            return Ok(Outcome::from("<show_changes=False>"));
        }
        if let Some(said) = of_binary(&before, &after) {
            return Ok(Outcome::from(said));
        }
        let names = if has_names { [shown(&old), shown(&new)] } else { Default::default() };
        Ok(Outcome::from(unified(&before, &after, [&names[0], &names[1]])))
    })
    .await
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn of_binary(before: &[u8], after: &[u8]) -> Option<&'static str> {
    match (is_binary(before), is_binary(after)) {
        (true, true) => Some("Replace binary file"),
        (true, false) => Some("Replace binary file with text file"),
        (false, true) => Some("Replace text file with binary file"),
        (false, false) => None,
    }
}

/// Whether it is no text: there is a NUL near its beginning.
pub(super) fn is_binary(bytes: &[u8]) -> bool {
    bytes.iter().take(LOOKED_AT).any(|byte| *byte == 0)
}

/// What changed, with three lines around it; empty when nothing did.
pub(super) fn unified(before: &[u8], after: &[u8], [old, new]: [&str; 2]) -> String {
    if before == after {
        return String::new();
    }
    let (before, after) = (String::from_utf8_lossy(before), String::from_utf8_lossy(after));
    let diff = TextDiff::configure().timeout(EFFORT).diff_lines(before.as_ref(), after.as_ref());
    diff.unified_diff().context_radius(3).header(old, new).missing_newline_hint(false).to_string()
}

/// The ending of a backup's name: none for False, '.bak' for True.
pub(super) fn backup(given: &Value) -> Result<Option<String>, Fault> {
    match given {
        Value::Null | Value::Bool(false) => Ok(None),
        Value::Bool(true) => Ok(Some(".bak".to_owned())),
        Value::String(ending) => Ok((!ending.is_empty()).then(|| ending.clone())),
        _ => Err(Fault::Invocation("'backup' needs an ending for the name, as '.bak', or False".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::testing::{assert_shape, call, context, returned};
    use super::*;

    #[test]
    fn the_form_is_that_of_python() {
        for (before, after, expected) in [
            ("a\nb\nc\n", "a\nx\nc\n", "--- \n+++ \n@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n"),
            ("", "a\n", "--- \n+++ \n@@ -0,0 +1 @@\n+a\n"),
            ("a\n", "", "--- \n+++ \n@@ -1 +0,0 @@\n-a\n"),
            ("a\n", "a\n", ""),
        ] {
            assert_eq!(unified(before.as_bytes(), after.as_bytes(), ["", ""]), expected);
        }
    }

    #[tokio::test]
    async fn files_are_compared() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        for (name, text) in [("a", "1\n2\n"), ("b", "1\n3\n"), ("nul", "1\0"), ("c", "1\n2\n")] {
            std::fs::write(at(name), text).unwrap();
        }
        let run = async |args: Value, keywords: Value| {
            let result = returned(&[call("file.diff", args, keywords)], &context()).await;
            if result.retcode == 0 {
                assert_shape("file.diff", &result.value);
            }
            result.value.as_str().unwrap().to_owned()
        };
        let expected = format!("--- {}\n+++ {}\n@@ -1,2 +1,2 @@\n 1\n-2\n+3\n", at("a"), at("b"));
        assert_eq!(run(json!([at("a"), at("b")]), json!({})).await, expected);
        let bare = run(json!([at("a"), at("b")]), json!({"show_filenames": false})).await;
        assert!(bare.starts_with("--- \n+++ \n@@"), "{bare}");
        assert_eq!(run(json!([at("a"), at("c")]), json!({})).await, "");
        assert_eq!(run(json!([at("a"), at("nul")]), json!({})).await, "Replace text file with binary file");
        let hidden = run(json!([at("a"), at("b")]), json!({"show_changes": false})).await;
        assert_eq!(hidden, "<show_changes=False>");
        let missing = run(json!([at("a"), at("none")]), json!({})).await;
        assert!(missing.starts_with("ERROR: [Errno 2] No such file"), "{missing}");
        let remote = run(json!(["salt://x", at("a")]), json!({})).await;
        assert_eq!(remote, "ERROR: 'salt://x' is not on the minion; bring it there first");
        let alias = call("file.get_diff", json!([at("a"), at("c")]), json!({}));
        assert_shape("file.get_diff", &returned(&[alias], &context()).await.value);
    }
}
