//! Paths as users write them and as Python takes them apart.

use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{User, geteuid};

use super::super::bind::Bound;
use super::super::{Fault, Function, Outcome, required, text_of};

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new(
            "file.basename",
            |_, bound| Box::pin(basename(bound)),
            "Returns the last part of a path.",
        )
        .takes(const { &[required("path", "the path; it need not exist (text)")] })
        .returns("text; empty when the path ends with '/'")
        .example("file.basename /etc/ssh/sshd_config"),
        Function::new(
            "file.dirname",
            |_, bound| Box::pin(dirname(bound)),
            "Returns a path without its last part.",
        )
        .takes(const { &[required("path", "the path; it need not exist (text)")] })
        .returns("text")
        .example("file.dirname /etc/ssh/sshd_config"),
        Function::new(
            "file.normpath",
            |_, bound| Box::pin(normpath(bound)),
            "Returns a path without '.', '..' and doubled slashes; links are not looked at.",
        )
        .takes(const { &[required("path", "the path; it need not exist (text)")] })
        .returns("text")
        .example("file.normpath /a/./b/../c"),
        Function::new("file.join", |_, bound| Box::pin(join(bound)), "Joins parts to a path.")
            .takes_more("the parts; an absolute one drops those before it (texts)")
            .returns("text")
            .example("file.join / usr local bin"),
    ]
}

async fn basename(mut bound: Bound) -> Result<Outcome, Fault> {
    Ok(Outcome::from(split(&bound.text("path")?).1))
}

async fn dirname(mut bound: Bound) -> Result<Outcome, Fault> {
    Ok(Outcome::from(split(&bound.text("path")?).0))
}

async fn normpath(mut bound: Bound) -> Result<Outcome, Fault> {
    Ok(Outcome::from(normal(&bound.text("path")?)))
}

async fn join(bound: Bound) -> Result<Outcome, Fault> {
    if !bound.extra.is_empty() || bound.rest.is_empty() {
        return Err(Fault::Invocation("'join' needs the parts of a path, and nothing by name".to_owned()));
    }
    let mut joined = String::new();
    for part in bound.rest.iter().map(text_of) {
        if part.starts_with('/') {
            joined = part;
            continue;
        }
        if !joined.is_empty() && !joined.ends_with('/') {
            joined.push('/');
        }
        joined.push_str(&part);
    }
    Ok(Outcome::from(joined))
}

/// Folder and name, as Python's `os.path.split`.
pub(super) fn split(path: &str) -> (&str, &str) {
    let (head, tail) = path.split_at(path.rfind('/').map_or(0, |slash| slash + 1));
    let bare = head.trim_end_matches('/');
    (if bare.is_empty() { head } else { bare }, tail)
}

/// A path without `.`, `..` and doubled slashes, as Python's `os.path.normpath`.
pub(super) fn normal(path: &str) -> String {
    let root = if path.starts_with('/') { "/" } else { "" };
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        let can_go_up = parts.last().is_some_and(|last| *last != "..");
        match part {
            ".." if can_go_up => drop(parts.pop()),
            ".." if !root.is_empty() => {}
            part => parts.push(part),
        }
    }
    let normal = format!("{root}{}", parts.join("/"));
    if normal.is_empty() { ".".to_owned() } else { normal }
}

/// Takes a parameter that is a path; `~` at its start is a home.
pub(in crate::functions) fn take(bound: &mut Bound, name: &str) -> Result<PathBuf, Fault> {
    let text = bound.text(name)?;
    if text.is_empty() {
        return Err(Fault::Invocation(format!("'{name}' is empty; give a path")));
    }
    if text.contains('\0') {
        return Err(Fault::Invocation(format!("'{name}' contains a NUL byte, which no path can")));
    }
    Ok(PathBuf::from(expand(text)))
}

/// As [`take`], and one that is not absolute is refused with `message`.
pub(in crate::functions) fn take_absolute(
    bound: &mut Bound,
    name: &str,
    message: &str,
) -> Result<PathBuf, Fault> {
    let path = take(bound, name)?;
    if path.is_absolute() { Ok(path) } else { Err(Fault::Invocation(message.to_owned())) }
}

/// A path with `~` or `~user` at its start replaced by that home, where there is one.
pub(in crate::functions) fn expand(path: String) -> String {
    let Some(behind) = path.strip_prefix('~') else { return path };
    let (user, rest) = behind.split_at(behind.find('/').unwrap_or(behind.len()));
    let home = if user.is_empty() {
        let own = || User::from_uid(geteuid()).ok().flatten().map(|user| user.dir);
        std::env::var_os("HOME").map(PathBuf::from).or_else(own)
    } else {
        User::from_name(user).ok().flatten().map(|user| user.dir)
    };
    match home {
        Some(home) => format!("{}{rest}", home.display().to_string().trim_end_matches('/')),
        None => path,
    }
}

/// A path as text; bytes that are no UTF-8 become the replacement character.
pub(in crate::functions) fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// The system's reason with the path it is about, in Python's words, which Salt's users know.
pub(in crate::functions) fn reason(error: &io::Error, path: &Path) -> String {
    // The library for temporary files wraps the system's error to name its file, which was never
    // seen by anybody; the kind stays.
    let by_kind = match error.kind() {
        io::ErrorKind::NotFound => Some(Errno::ENOENT),
        io::ErrorKind::PermissionDenied => Some(Errno::EACCES),
        io::ErrorKind::NotADirectory => Some(Errno::ENOTDIR),
        io::ErrorKind::ReadOnlyFilesystem => Some(Errno::EROFS),
        io::ErrorKind::StorageFull => Some(Errno::ENOSPC),
        _ => None,
    };
    match error.raw_os_error().or(by_kind.map(|errno| errno as i32)) {
        Some(number) => {
            format!("[Errno {number}] {}: '{}'", Errno::from_raw(number).desc(), path.display())
        }
        None => format!("{error}: '{}'", path.display()),
    }
}

/// What the system refused, as the failure of a function.
pub(in crate::functions) fn failed(path: &Path) -> impl Fn(io::Error) -> Fault + '_ {
    move |error| Fault::Execution(reason(&error, path))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::testing::{assert_shape, call, context, returned};
    use super::*;

    #[tokio::test]
    async fn parts_are_those_of_python() {
        let context = context();
        for (name, args, expected) in [
            ("file.basename", json!(["/a/b"]), "b"),
            ("file.basename", json!(["/a/b/"]), ""),
            ("file.basename", json!(["b"]), "b"),
            ("file.basename", json!([""]), ""),
            ("file.dirname", json!(["/a/b"]), "/a"),
            ("file.dirname", json!(["/a/b/"]), "/a/b"),
            ("file.dirname", json!(["/b"]), "/"),
            ("file.dirname", json!(["//b"]), "//"),
            ("file.dirname", json!(["a//b"]), "a"),
            ("file.dirname", json!(["b"]), ""),
            ("file.normpath", json!(["/a/./b//../c/"]), "/a/c"),
            ("file.normpath", json!(["/../a"]), "/a"),
            ("file.normpath", json!(["../../a"]), "../../a"),
            ("file.normpath", json!(["a/.."]), "."),
            ("file.normpath", json!([""]), "."),
            ("file.join", json!(["/", "usr", "local"]), "/usr/local"),
            ("file.join", json!(["usr", "/local", "bin/", "x"]), "/local/bin/x"),
            ("file.join", json!(["a", ""]), "a/"),
            ("file.join", json!(["a", 1]), "a/1"),
        ] {
            let result = returned(&[call(name, args.clone(), json!({}))], &context).await;
            assert_eq!((result.value.clone(), result.retcode), (json!(expected), 0), "{name} {args}");
            assert_shape(name, &result.value);
        }
        assert_eq!(returned(&[call("file.join", json!([]), json!({}))], &context).await.retcode, 1);
    }

    #[test]
    fn homes() {
        let home = User::from_name("root").unwrap().unwrap().dir;
        assert_eq!(expand("~root/x".to_owned()), format!("{}/x", home.display()));
        assert_eq!(expand("~no-such-user/x".to_owned()), "~no-such-user/x");
        assert_eq!(expand("/a/~".to_owned()), "/a/~");
        assert!(expand("~/x".to_owned()).ends_with("/x"));
    }

    #[test]
    fn reasons() {
        let missing = std::fs::read("/no/such").unwrap_err();
        assert_eq!(
            reason(&missing, Path::new("/no/such")),
            "[Errno 2] No such file or directory: '/no/such'"
        );
        assert_eq!(reason(&io::Error::other("odd"), Path::new("/x")), "odd: '/x'");
    }
}
