//! Paths with wildcards, as Python's `glob` finds them.

use std::path::{Path, PathBuf};

use glob::MatchOptions;

use super::super::Fault;
use super::blocking::Stop;

/// More paths than a job handles.
const MAX: usize = 100_000;

/// The paths that exist and match; a path without wildcards is itself, when it is there.
pub(in crate::functions) fn matching(path: &Path, stop: &Stop) -> Result<Vec<PathBuf>, Fault> {
    if !path.to_string_lossy().contains(['*', '?', '[']) {
        return Ok(if path.symlink_metadata().is_ok() { vec![path.to_owned()] } else { Vec::new() });
    }
    // Hidden names are judged below: the library would leave them out even where they are asked for.
    let options = MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: false,
    };
    let mut pattern = path.to_string_lossy().into_owned();
    while pattern.contains("**") {
        pattern = pattern.replace("**", "*");
    }
    let found = glob::glob_with(&pattern, options).map_err(|error| {
        Fault::Invocation(format!("'{}' is no path with wildcards: {}", path.display(), error.msg))
    })?;
    let mut paths = Vec::new();
    // What may not be looked into is passed over, as a shell does.
    for path in found.flatten() {
        stop.check()?;
        if is_hidden(&path, Path::new(&pattern)) {
            continue;
        }
        if paths.len() == MAX {
            return Err(Fault::Execution(format!("more than {MAX} paths match; name fewer of them")));
        }
        paths.push(path);
    }
    Ok(paths)
}

/// Whether a wildcard stands for a leading dot, which it does not in a shell.
fn is_hidden(path: &Path, pattern: &Path) -> bool {
    let begins = |part: std::path::Component<'_>| part.as_os_str().as_encoded_bytes().starts_with(b".");
    path.components().zip(pattern.components()).any(|(part, wanted)| begins(part) && !begins(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "b", ".hidden", "[x]", "a b"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let names = |pattern: &str| -> Vec<String> {
            let found = matching(&folder.path().join(pattern), &Stop::default()).unwrap();
            found.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
        };
        assert_eq!(names("*"), ["[x]", "a", "a b", "b"]);
        assert_eq!(names("?"), ["a", "b"]);
        assert_eq!(names("[!a]"), ["b"]);
        assert_eq!(names(".h*"), [".hidden"]);
        assert_eq!(names("a b"), ["a b"]);
        assert_eq!(names("none"), [] as [&str; 0]);
        assert_eq!(names("***"), names("*"));
        assert!(matching(&folder.path().join("[a"), &Stop::default()).is_err());
    }
}
