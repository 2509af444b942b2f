//! What the system knows about a file, without its contents.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, Gid, Group, Uid, User, access as may};
use serde_json::{Map, Value, json};

use super::super::bind::Bound;
use super::super::hashutil::Algorithm;
use super::super::{Fault, Function, Outcome, Parameter, optional, required};
use super::blocking::blocking;
use super::bytes::kind;
use super::digest::of_file;
use super::path::{failed, normal, take, take_absolute, text};

const PATH: &[Parameter] = &[required("path", "the path; links are followed (text)")];
const FOLLOWED: &[Parameter] = &[
    required("path", "the file (text)"),
    optional("follow_symlinks", "true", "False looks at a link itself, not at what it leads to (boolean)"),
];

pub(super) fn functions() -> Vec<Function> {
    macro_rules! one_field {
        ($name:literal, $field:literal, $summary:literal, $returns:literal) => {
            Function::new($name, |_, bound| Box::pin(field(bound, $field)), $summary)
                .takes(FOLLOWED)
                .returns($returns)
                .example(concat!($name, " /etc/passwd"))
        };
    }
    vec![
        Function::new(
            "file.file_exists",
            |_, bound| Box::pin(is(bound, Path::is_file)),
            "Tells whether a path is a regular file.",
        )
        .takes(PATH)
        .returns("boolean; False for what may not be looked at")
        .example("file.file_exists /etc/passwd"),
        Function::new(
            "file.directory_exists",
            |_, bound| Box::pin(is(bound, Path::is_dir)),
            "Tells whether a path is a folder.",
        )
        .takes(PATH)
        .returns("boolean; False for what may not be looked at")
        .example("file.directory_exists /etc"),
        Function::new(
            "file.is_link",
            |_, bound| Box::pin(is(bound, Path::is_symlink)),
            "Tells whether a path is a symbolic link.",
        )
        .takes(const { &[required("path", "the path itself, not what it leads to (text)")] })
        .returns("boolean")
        .example("file.is_link /etc/localtime"),
        Function::new(
            "file.access",
            |_, bound| Box::pin(access(bound)),
            "Tells whether the minion may do something with a file.",
        )
        .takes(
            const {
                &[
                    required("path", "absolute path (text)"),
                    required("mode", "'f' is there, 'r' read, 'w' write, 'x' run or enter (text)"),
                ]
            },
        )
        .returns("boolean")
        .example("file.access /etc/shadow r"),
        Function::new(
            "file.stats",
            |_, bound| Box::pin(stats(bound)),
            "Returns what the system knows about a file.",
        )
        .takes(
            const {
                &[
                    required("path", "the file (text)"),
                    optional("hash_type", "null", "adds 'sum', a digest by this algorithm, as sha256 (text)"),
                    optional(
                        "follow_symlinks",
                        "true",
                        "False looks at a link itself, not at what it leads to (boolean)",
                    ),
                ]
            },
        )
        .returns(
            "{inode, uid, gid, group, user, atime, mtime, ctime (seconds since 1970), size (bytes), mode \
             (octal digits), sum, type (file, dir, link, char, block, pipe or socket), target (the path without \
             links)}; a user or group without a name is its number; fails when there is no such file",
        )
        .example("file.stats /etc/passwd"),
        one_field!("file.get_mode", "mode", "Returns the mode of a file.", "octal digits, as '0644' (text)"),
        one_field!("file.get_user", "user", "Returns the owner of a file.", "name, or number without one"),
        one_field!("file.get_group", "group", "Returns the group of a file.", "name, or number without one"),
        one_field!("file.get_uid", "uid", "Returns the number of a file's owner.", "integer"),
        one_field!("file.get_gid", "gid", "Returns the number of a file's group.", "integer"),
        Function::new(
            "file.readlink",
            |_, bound| Box::pin(readlink(bound)),
            "Returns what a symbolic link points to.",
        )
        .takes(
            const {
                &[
                    required("path", "absolute path of the link (text)"),
                    optional("canonicalize", "false", "True follows all links on the way (boolean)"),
                ]
            },
        )
        .returns("path (text); fails for what is no link")
        .example("file.readlink /etc/localtime"),
        Function::new("file.readdir", |_, bound| Box::pin(readdir(bound)), "Lists the names in a folder.")
            .takes(const { &[required("path", "absolute path of the folder (text)")] })
            .returns(
                "[name…], with '.' and '..' first and the rest in order; bytes that are no UTF-8 are shown as \
                 U+FFFD",
            )
            .example("file.readdir /etc/ssh"),
    ]
}

async fn is(mut bound: Bound, test: fn(&Path) -> bool) -> Result<Outcome, Fault> {
    let path = take(&mut bound, "path")?;
    blocking(move |_| Ok(Outcome::from(test(&path)))).await
}

async fn access(mut bound: Bound) -> Result<Outcome, Fault> {
    let path = take_absolute(&mut bound, "path", "Path to link must be absolute.")?;
    // Salt's numbers are those of the system.
    let flags = match bound.text("mode")?.as_str() {
        "f" | "0" => AccessFlags::F_OK,
        "r" | "4" => AccessFlags::R_OK,
        "w" | "2" => AccessFlags::W_OK,
        "x" | "1" => AccessFlags::X_OK,
        _ => return Err(Fault::Invocation("Invalid mode specified.".to_owned())),
    };
    blocking(move |_| Ok(Outcome::from(may(&path, flags).is_ok()))).await
}

async fn stats(mut bound: Bound) -> Result<Outcome, Fault> {
    let path = take(&mut bound, "path")?;
    let algorithm = match bound.maybe_text("hash_type")? {
        Some(name) => Some(Algorithm::named(&name)?),
        None => None,
    };
    let is_followed = bound.flag("follow_symlinks")?;
    blocking(move |stop| {
        let mut map = of(&path, is_followed)?;
        if let Some(algorithm) = algorithm {
            map.insert("sum".to_owned(), json!(of_file(&path, algorithm, stop)?));
        }
        Ok(Outcome::from(Value::Object(map)))
    })
    .await
}

async fn field(mut bound: Bound, field: &'static str) -> Result<Outcome, Fault> {
    let (path, is_followed) = (take(&mut bound, "path")?, bound.flag("follow_symlinks")?);
    blocking(move |_| Ok(Outcome::from(of(&path, is_followed)?.remove(field)))).await
}

fn of(path: &Path, is_followed: bool) -> Result<Map<String, Value>, Fault> {
    let found = look(path, is_followed).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Fault::Execution(format!("Path not found: {}", path.display())),
        _ => failed(path)(error),
    })?;
    let seconds = |whole: i64, nanos: i64| whole as f64 + nanos as f64 / 1e9;
    let user = owner(found.uid());
    let group = group(found.gid());
    let stats = json!({
        "inode": found.ino(),
        "uid": found.uid(),
        "gid": found.gid(),
        "group": group,
        "user": user,
        "atime": seconds(found.atime(), found.atime_nsec()),
        "mtime": seconds(found.mtime(), found.mtime_nsec()),
        "ctime": seconds(found.ctime(), found.ctime_nsec()),
        "size": found.size(),
        "mode": mode(&found),
        "type": kind(found.file_type()),
        "target": text(&target(path, is_followed)),
    });
    match stats {
        Value::Object(map) => Ok(map),
        other => unreachable!("a map was written down, not {other}"),
    }
}

/// A link to nothing is looked at itself, as in Salt.
pub(super) fn look(path: &Path, is_followed: bool) -> io::Result<Metadata> {
    let own = || fs::symlink_metadata(path);
    if is_followed { fs::metadata(path).or_else(|_| own()) } else { own() }
}

/// The permission bits in four octal digits.
pub(super) fn mode(found: &Metadata) -> String {
    format!("{:04o}", found.mode() & 0o7777)
}

/// The name of a user; the number of one without.
pub(super) fn owner(uid: u32) -> Value {
    User::from_uid(Uid::from_raw(uid)).ok().flatten().map_or(json!(uid), |user| json!(user.name))
}

/// The name of a group; the number of one without.
pub(super) fn group(gid: u32) -> Value {
    Group::from_gid(Gid::from_raw(gid)).ok().flatten().map_or(json!(gid), |group| json!(group.name))
}

fn target(path: &Path, is_followed: bool) -> PathBuf {
    let absolute = || {
        let whole = std::env::current_dir().unwrap_or_default().join(path);
        PathBuf::from(normal(&whole.to_string_lossy()))
    };
    let followed = is_followed.then(|| fs::canonicalize(path).ok()).flatten();
    followed.unwrap_or_else(absolute)
}

async fn readlink(mut bound: Bound) -> Result<Outcome, Fault> {
    let path = take(&mut bound, "path")?;
    let is_canonical = bound.flag("canonicalize")?;
    blocking(move |_| {
        let shown = path.display();
        if !path.is_absolute() {
            return Err(Fault::Invocation(format!("Path to link must be absolute: {shown}")));
        }
        if !path.is_symlink() {
            return Err(Fault::Invocation(format!("A valid link was not specified: {shown}")));
        }
        let read = if is_canonical { fs::canonicalize(&path) } else { fs::read_link(&path) };
        Ok(Outcome::from(text(&read.map_err(failed(&path))?)))
    })
    .await
}

async fn readdir(mut bound: Bound) -> Result<Outcome, Fault> {
    let path = take_absolute(&mut bound, "path", "Dir path must be absolute.")?;
    blocking(move |stop| {
        if !path.is_dir() {
            return Err(Fault::Invocation("A valid directory was not specified.".to_owned()));
        }
        let mut names = Vec::new();
        for entry in fs::read_dir(&path).map_err(failed(&path))? {
            stop.check()?;
            names.push(entry.map_err(failed(&path))?.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        let all: Vec<String> = [".", ".."].map(str::to_owned).into_iter().chain(names).collect();
        Ok(Outcome::from(all))
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::super::super::testing::{assert_shape, call, context, returned};
    use super::*;

    async fn get(function: &str, args: Value) -> Value {
        let result = returned(&[call(function, args, json!({}))], &context()).await;
        assert_eq!(result.retcode, 0, "{}", result.value);
        assert_shape(function, &result.value);
        result.value
    }

    #[tokio::test]
    async fn what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        fs::write(at("a b"), "12345").unwrap();
        fs::set_permissions(at("a b"), fs::Permissions::from_mode(0o640)).unwrap();
        symlink("a b", at("link")).unwrap();
        symlink("nowhere", at("dangling")).unwrap();

        for (function, name, expected) in [
            ("file.file_exists", "a b", true),
            ("file.file_exists", "link", true),
            ("file.file_exists", "dangling", false),
            ("file.file_exists", "", false),
            ("file.directory_exists", "", true),
            ("file.directory_exists", "a b", false),
            ("file.is_link", "link", true),
            ("file.is_link", "dangling", true),
            ("file.is_link", "a b", false),
        ] {
            assert_eq!(get(function, json!([at(name)])).await, expected, "{function} {name}");
        }
        assert_eq!(get("file.access", json!([at("a b"), "f"])).await, true);
        assert_eq!(get("file.access", json!([at("none"), "r"])).await, false);
        assert_eq!(get("file.access", json!([at("a b"), 4])).await, true);

        let stats = get("file.stats", json!([at("link"), "md5"])).await;
        assert_eq!(
            (&stats["size"], &stats["mode"], &stats["type"]),
            (&json!(5), &json!("0640"), &json!("file"))
        );
        assert_eq!(stats["sum"], "827ccb0eea8a706c4c34a16891f84e7b");
        assert_eq!(stats["target"], text(&fs::canonicalize(at("a b")).unwrap()));
        assert_eq!(stats["uid"], nix::unistd::geteuid().as_raw());
        let link = get("file.stats", json!([at("link"), null, false])).await;
        assert_eq!((&link["type"], &link["target"]), (&json!("link"), &json!(at("link"))));
        assert_eq!(get("file.stats", json!([at("dangling")])).await["type"], "link");
        assert_eq!(get("file.stats", json!([at("")])).await["type"], "dir");
        assert_eq!(get("file.stats", json!(["/dev/null"])).await["type"], "char");
        assert_eq!(get("file.get_mode", json!([at("a b")])).await, "0640");
        assert_eq!(get("file.get_uid", json!([at("a b")])).await, stats["uid"]);
        assert_eq!(get("file.get_gid", json!([at("a b")])).await, stats["gid"]);
        assert_eq!(get("file.get_user", json!([at("a b")])).await, stats["user"]);
        assert_eq!(get("file.get_group", json!([at("a b")])).await, stats["group"]);
        assert_eq!(get("file.readlink", json!([at("link")])).await, "a b");
        assert_eq!(get("file.readlink", json!([at("link"), true])).await, stats["target"]);
    }

    #[tokio::test]
    async fn names_that_are_no_text_are_listed() {
        let folder = tempfile::tempdir().unwrap();
        for name in [b"\xff".as_slice(), b"-x", b"two\nlines", b"a b"] {
            fs::write(folder.path().join(OsStr::from_bytes(name)), "").unwrap();
        }
        let names = get("file.readdir", json!([folder.path()])).await;
        assert_eq!(names, json!([".", "..", "-x", "a b", "two\nlines", "\u{fffd}"]));
    }

    #[tokio::test]
    async fn refusals_have_salts_words() {
        for (function, args, expected) in [
            ("file.stats", json!(["/no/such"]), "ERROR: Path not found: /no/such"),
            ("file.get_mode", json!(["/no/such"]), "ERROR: Path not found: /no/such"),
            ("file.stats", json!(["/", "crc"]), "ERROR: Invalid hash type: crc"),
            (
                "file.readlink",
                json!(["x"]),
                "ERROR executing 'file.readlink': Path to link must be absolute: x",
            ),
            (
                "file.readlink",
                json!(["/"]),
                "ERROR executing 'file.readlink': A valid link was not specified: /",
            ),
            ("file.readdir", json!(["x"]), "ERROR executing 'file.readdir': Dir path must be absolute."),
            (
                "file.readdir",
                json!(["/dev/null"]),
                "ERROR executing 'file.readdir': A valid directory was not specified.",
            ),
            ("file.access", json!(["/", "q"]), "ERROR executing 'file.access': Invalid mode specified."),
            (
                "file.file_exists",
                json!([""]),
                "ERROR executing 'file.file_exists': 'path' is empty; give a path",
            ),
            (
                "file.file_exists",
                json!(["a\0b"]),
                "ERROR executing 'file.file_exists': 'path' contains a NUL byte, which no path can",
            ),
        ] {
            let result = returned(&[call(function, args, json!({}))], &context()).await;
            assert_eq!((result.value, result.retcode), (json!(expected), 1));
        }
    }
}
