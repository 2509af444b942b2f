//! Files and folders as wholes: made, removed, named and linked.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink as point};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::bind::Bound;
use super::super::{Fault, Function, Outcome, optional, required};
use super::blocking::{Stop, blocking};
use super::folder::Folder;
use super::owner::{Owner, octal};
use super::path::{failed, normal, reason, take, take_absolute};

mod copy;

pub(super) fn functions() -> Vec<Function> {
    let mut all = copy::functions();
    all.extend([
        Function::new(
            "file.mkdir",
            |_, bound| Box::pin(mkdir(bound)),
            "Sees to it that a folder is there, with those above it.",
        )
        .takes(
            const {
                &[
                    required("dir_path", "the folder (text)"),
                    optional(
                        "user",
                        "null",
                        "owner of the folders that are made, name or number (text or integer)",
                    ),
                    optional(
                        "group",
                        "null",
                        "group of the folders that are made, name or number (text or integer)",
                    ),
                    optional("mode", "null", "their mode in octal digits, the umask's when not given (text)"),
                ]
            },
        )
        .returns("True; one that is there is left as it is; fails when something else has the name")
        .example("file.mkdir /srv/www/site"),
        Function::new(
            "file.makedirs",
            |_, bound| Box::pin(makedirs(bound)),
            "Makes the folders above a path; one that ends with '/' is made itself.",
        )
        .takes(
            const {
                &[
                    required("path", "the path (text)"),
                    optional(
                        "user",
                        "null",
                        "owner of the folders that are made, name or number (text or integer)",
                    ),
                    optional(
                        "group",
                        "null",
                        "group of the folders that are made, name or number (text or integer)",
                    ),
                    optional("mode", "null", "their mode in octal digits, the umask's when not given (text)"),
                ]
            },
        )
        .returns("null; a text that says so when it is there already")
        .example("file.makedirs /opt/code/"),
        Function::new(
            "file.remove",
            |_, bound| Box::pin(remove(bound)),
            "Removes a file, a link, or a folder with all that is in it.",
        )
        .takes(const { &[required("path", "absolute path; a link itself is removed, never '/' (text)")] })
        .returns("True; False when there is nothing; fails when it may not be removed")
        .example("file.remove /tmp/foo"),
        Function::new("file.rename", |_, bound| Box::pin(rename(bound)), "Renames a file or folder.")
            .takes(
                const {
                    &[
                        required("src", "absolute path as it is (text)"),
                        required(
                            "dst",
                            "path as it will be, on the same file system; a file there gives way (text)",
                        ),
                    ]
                },
            )
            .returns("True; fails when it cannot be renamed")
            .example("file.rename /path/to/src /path/to/dst"),
        Function::new("file.symlink", |_, bound| Box::pin(symlink(bound)), "Makes a symbolic link.")
            .takes(
                const {
                    &[
                        required("src", "what it points to; it need not exist (text)"),
                        required("path", "absolute path of the link (text)"),
                        optional("force", "false", "True puts it in place of a file or link (boolean)"),
                        optional("atomic", "false", "as force, and at no time is there nothing (boolean)"),
                        optional(
                            "follow_symlinks",
                            "true",
                            "taken for Salt's sake and without effect (boolean)",
                        ),
                    ]
                },
            )
            .returns("True, also when it is there already; fails when something else is there")
            .example("file.symlink /path/to/file /path/to/link"),
        Function::new("file.link", |_, bound| Box::pin(link(bound)), "Gives a file a second name.")
            .takes(
                const {
                    &[
                        required("src", "absolute path of the file (text)"),
                        required("path", "its second name, on the same file system (text)"),
                    ]
                },
            )
            .returns("True; fails when it cannot be made")
            .example("file.link /path/to/file /path/to/link"),
    ]);
    all
}

/// How a folder that is made is to look.
#[derive(Debug, Clone)]
struct Dress {
    user: Value,
    group: Value,
    mode: Option<u32>,
}

impl Dress {
    fn take(bound: &mut Bound) -> Result<Self, Fault> {
        let mode = match bound.maybe_text("mode")? {
            Some(given) => {
                let why = || Fault::Invocation(format!("'mode' needs octal digits, not {given:?}"));
                Some(octal(&given).ok_or_else(why)?)
            }
            None => None,
        };
        Ok(Self { user: bound.value("user"), group: bound.value("group"), mode })
    }
}

async fn mkdir(mut bound: Bound) -> Result<Outcome, Fault> {
    let (path, dress) = (take(&mut bound, "dir_path")?, Dress::take(&mut bound)?);
    blocking(move |_| {
        make(Path::new(&normal(&path.to_string_lossy())), &dress)?;
        Ok(Outcome::from(true))
    })
    .await
}

async fn makedirs(mut bound: Bound) -> Result<Outcome, Fault> {
    let (path, dress) = (take(&mut bound, "path")?, Dress::take(&mut bound)?);
    blocking(move |_| {
        let text = path.to_string_lossy().into_owned();
        let folder = PathBuf::from(normal(super::path::split(&text).0));
        let shown = folder.display();
        if folder.is_dir() {
            return Ok(Outcome::from(format!("Directory '{shown}' already exists")));
        }
        if folder.exists() {
            return Ok(Outcome::from(format!("The path '{shown}' already exists and is not a directory")));
        }
        make(&folder, &dress)?;
        Ok(Outcome::from(Value::Null))
    })
    .await
}

fn make(folder: &Path, dress: &Dress) -> Result<(), Fault> {
    let missing: Vec<&Path> =
        folder.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()).collect();
    let owner =
        Owner::find(&dress.user, &dress.group).map_err(|why| Fault::Execution(why.trim_end().to_owned()))?;
    let Some(first) = missing.last() else { return Ok(()) };
    let (mut above, _) = Folder::above(first).map_err(failed(first))?;
    for folder in missing.into_iter().rev() {
        let name = folder.file_name().ok_or_else(|| failed(folder)(io::ErrorKind::NotFound.into()))?;
        // Closed until it has its owner, where it is to have another mode than usual.
        let made = above.make(name, dress.mode.map_or(0o777, |_| 0o700)).map_err(failed(folder))?;
        owner.set_open(made.as_file(), folder)?;
        if let Some(mode) = dress.mode {
            made.as_file().set_permissions(Permissions::from_mode(mode)).map_err(failed(folder))?;
        }
        above = made;
    }
    Ok(())
}

async fn remove(mut bound: Bound) -> Result<Outcome, Fault> {
    let path = take(&mut bound, "path")?;
    if !path.is_absolute() {
        return Err(Fault::Invocation(format!("File path must be absolute: {}", path.display())));
    }
    blocking(move |stop| {
        // Links at the end are removed themselves; `/x/../..` is the root under another name.
        let is_root = !path.is_symlink() && fs::canonicalize(&path).is_ok_and(|path| path == Path::new("/"));
        if is_root || matches!(normal(&path.to_string_lossy()).as_str(), "/" | "//") {
            let why = "Could not remove '/': the root of the file system is not removed";
            return Err(Fault::Invocation(why.to_owned()));
        }
        match take_away(&path, stop) {
            Ok(is_removed) => is_removed.map(Outcome::from),
            Err(error) => {
                let shown = path.display();
                Err(Fault::Execution(format!("Could not remove '{shown}': {}", reason(&error, &path))))
            }
        }
    })
    .await
}

/// False when there is nothing. A folder goes entry by entry, so that a cancelled job stops.
fn take_away(path: &Path, stop: &Stop) -> io::Result<Result<bool, Fault>> {
    let found =
        Folder::above(path).and_then(|(folder, name)| folder.look(&name).map(|found| (folder, name, found)));
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Ok(false)),
        Err(error) => Err(error),
        Ok((folder, name, found)) => Ok(folder.remove(&name, &found, stop)?.map(|()| true)),
    }
}

async fn rename(mut bound: Bound) -> Result<Outcome, Fault> {
    let src = take_absolute(&mut bound, "src", "File path must be absolute.")?;
    let dst = take(&mut bound, "dst")?;
    blocking(move |_| match fs::rename(&src, &dst) {
        Ok(()) => Ok(Outcome::from(true)),
        Err(error) => Err(could_not("rename", &src, &dst, &error)),
    })
    .await
}

fn could_not(what: &str, src: &Path, dst: &Path, error: &io::Error) -> Fault {
    let (from, to) = (src.display(), dst.display());
    Fault::Execution(format!("Could not {what} '{from}' to '{to}': {}", reason(error, src)))
}

async fn symlink(mut bound: Bound) -> Result<Outcome, Fault> {
    let (src, path) = (bound.text("src")?, take(&mut bound, "path")?);
    let replaces = bound.flag("force")? | bound.flag("atomic")?;
    if !path.is_absolute() {
        return Err(Fault::Invocation(format!("Link path must be absolute: {}", path.display())));
    }
    blocking(move |_| {
        let shown = path.display();
        let created = |error: io::Error| {
            Fault::Execution(format!("Could not create '{shown}': {}", reason(&error, &path)))
        };
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_symlink() => {
                let points_to = fs::read_link(&path).map_err(failed(&path))?;
                if normal(&points_to.to_string_lossy()) == normal(&src) {
                    return Ok(Outcome::from(true));
                }
                if !replaces {
                    return Err(Fault::Execution(format!("Found existing symlink: {shown}")));
                }
            }
            Ok(_) if !replaces => {
                return Err(Fault::Execution(format!("Existing path is not a symlink: {shown}")));
            }
            Ok(_) => {}
            Err(_) => return point(&src, &path).map_err(created).map(|()| Outcome::from(true)),
        }
        // Beside it and renamed, so that at no time there is nothing.
        let folder = path.parent().unwrap_or(Path::new("/"));
        let new = tempfile::Builder::new()
            .prefix(".brine-")
            .make_in(folder, |new| point(&src, new))
            .map_err(created)?;
        new.persist(&path).map_err(|error| created(error.error))?;
        Ok(Outcome::from(true))
    })
    .await
}

async fn link(mut bound: Bound) -> Result<Outcome, Fault> {
    let src = take_absolute(&mut bound, "src", "File path must be absolute.")?;
    let path = take(&mut bound, "path")?;
    blocking(move |_| match fs::hard_link(&src, &path) {
        Ok(()) => Ok(Outcome::from(json!(true))),
        Err(error) => {
            let shown = path.display();
            Err(Fault::Execution(format!("Could not create '{shown}': {}", reason(&error, &src))))
        }
    })
    .await
}

#[cfg(test)]
mod tests;
