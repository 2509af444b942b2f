//! Copies of files and trees, and moves, which are copies between file systems.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use serde_json::json;

use super::super::super::bind::Bound;
use super::super::super::{Fault, Function, Outcome, optional, required};
use super::super::blocking::{Stop, blocking};
use super::super::bytes::{follow, kind, open};
use super::super::folder::{Folder, is_same};
use super::super::path::{failed, reason, take, take_absolute};
use super::{could_not, take_away};

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new(
            "file.copy",
            |_, bound| Box::pin(copy(bound)),
            "Copies a file, or a folder with all that is in it, with owners and modes.",
        )
        .takes(
            const {
                &[
                    required("src", "absolute path of the file or folder (text)"),
                    required("dst", "path of the copy; a file there is replaced (text)"),
                    optional("recurse", "false", "True copies folders, into one that is there (boolean)"),
                    optional(
                        "remove_existing",
                        "false",
                        "True removes a folder that is there first (boolean)",
                    ),
                ]
            },
        )
        .returns("True; fails when something cannot be copied")
        .example("file.copy /path/to/src /path/to/dst"),
        Function::new("file.move", |_, bound| Box::pin(shift(bound)), "Moves a file or folder.")
            .takes(
                const {
                    &[
                        required("src", "absolute path as it is (text)"),
                        required("dst", "absolute path as it will be, or a folder to move it into (text)"),
                        optional(
                            "disallow_copy_and_unlink",
                            "false",
                            "True renames only, and fails between file systems (boolean)",
                        ),
                    ]
                },
            )
            .returns("{result: True, comment: text}; fails when it cannot be moved")
            .example("file.move /path/to/src /path/to/dst"),
    ]
}

async fn copy(mut bound: Bound) -> Result<Outcome, Fault> {
    let src = take_absolute(&mut bound, "src", "File path must be absolute.")?;
    let dst = take(&mut bound, "dst")?;
    let (is_tree, is_fresh) = (bound.flag("recurse")?, bound.flag("remove_existing")?);
    blocking(move |stop| {
        let Ok(found) = fs::metadata(&src) else {
            return Err(Fault::Execution(format!("No such file or directory '{}'", src.display())));
        };
        if !found.is_dir() && !dst.is_dir() {
            copy_file(&src, &dst, stop)?;
            return Ok(Outcome::from(true));
        }
        if !is_tree {
            let why = "Cannot copy overwriting a directory without recurse flag set to true!";
            return Err(Fault::Invocation(why.to_owned()));
        }
        if !found.is_dir() {
            return Err(could_not("copy", &src, &dst, &io::Error::from_raw_os_error(nix::libc::EISDIR)));
        }
        check_apart(&src, &dst)?;
        if is_fresh {
            take_away(&dst, stop).map_err(|error| could_not("copy", &src, &dst, &error))??;
        }
        copy_tree(&src, &dst, stop)?;
        Ok(Outcome::from(true))
    })
    .await
}

/// A folder copied into itself has no end.
fn check_apart(src: &Path, dst: &Path) -> Result<(), Fault> {
    let real = |path: &Path| fs::canonicalize(path);
    let src_real = real(src).map_err(failed(src))?;
    // What is not there yet counts as in the nearest folder above it that is.
    let above = dst.ancestors().find_map(|path| real(path).ok()).unwrap_or_default();
    if above.starts_with(&src_real) || (dst.exists() && src_real.starts_with(&above)) {
        return Err(Fault::Execution(format!(
            "Could not copy '{}' to '{}': one is inside of the other",
            src.display(),
            dst.display()
        )));
    }
    Ok(())
}

/// Copies a regular file beside `dst` and renames it. Links at the end of both paths are followed.
fn copy_file(src: &Path, dst: &Path, stop: &Stop) -> Result<(), Fault> {
    let from = open(src)?;
    let (folder, name) = Folder::above(&follow(dst)?).map_err(|error| could_not("copy", src, dst, &error))?;
    copy_open(from, &folder, &name, Way { src, dst }, stop)
}

/// What is copied where, for what goes wrong.
#[derive(Clone, Copy)]
struct Way<'a> {
    src: &'a Path,
    dst: &'a Path,
}

impl Way<'_> {
    fn failed(self, error: &io::Error) -> Fault {
        could_not("copy", self.src, self.dst, error)
    }
}

fn copy_open(mut from: File, folder: &Folder, name: &OsStr, way: Way<'_>, stop: &Stop) -> Result<(), Fault> {
    let failed = |error: io::Error| way.failed(&error);
    let found = from.metadata().map_err(failed)?;
    if folder.look(name).is_ok_and(|old| is_same(&old, &found)) {
        let why = format!("'{}' and '{}' are the same file", way.src.display(), way.dst.display());
        return Err(Fault::Execution(why));
    }
    let to = folder.new_file().map_err(failed)?;
    let mut buffer = vec![0; 1024 * 1024];
    loop {
        stop.check()?;
        match from.read(&mut buffer).map_err(failed)? {
            0 => break,
            count => to.as_file().write_all(&buffer[..count]).map_err(failed)?,
        }
    }
    dress(&from, to.as_file(), &found).map_err(failed)?;
    to.keep(name).map_err(failed)
}

/// Gives a copy what the original has. Only root can give files away; for others it is their own.
fn dress(original: &File, copy: &File, found: &Metadata) -> io::Result<()> {
    use xattr::FileExt;
    let mut mode = found.mode() & 0o7777;
    if geteuid().is_root() {
        fchown(copy, Some(found.uid()), Some(found.gid()))?;
    } else if copy.metadata()?.uid() != found.uid() {
        mode &= 0o777;
    }
    // As far as the system lets us.
    for name in original.list_xattr().into_iter().flatten() {
        if let Ok(Some(value)) = original.get_xattr(&name) {
            let _ = copy.set_xattr(&name, &value);
        }
    }
    copy.set_permissions(Permissions::from_mode(mode))
}

/// A folder and its copy, both held open; the entries that are still to be copied.
struct Level {
    src: (Folder, PathBuf),
    dst: (Folder, PathBuf),
    names: Vec<OsString>,
}

impl Level {
    fn open(src: (Folder, PathBuf), dst: (Folder, PathBuf)) -> Result<Self, Fault> {
        let names = src.0.names(usize::MAX);
        let names = names.map_err(|error| could_not("copy", &src.1, &dst.1, &error))?;
        Ok(Self { src, dst, names })
    }
}

/// Copies a folder into `dst`, which may be a link to a folder. Links in it are copied as links,
/// and links in the way give way or are an error: they are never followed.
fn copy_tree(src: &Path, dst: &Path, stop: &Stop) -> Result<(), Fault> {
    let failed = |error: io::Error| could_not("copy", src, dst, &error);
    let from = Folder::open(src).map_err(failed)?;
    let to = if dst.is_dir() {
        Folder::open(dst)
    } else {
        Folder::above(dst).and_then(|(above, name)| above.make(&name, FILLED))
    };
    let top = Level::open((from, src.to_owned()), (to.map_err(failed)?, dst.to_owned()))?;
    let mut levels = vec![top];
    while let Some(level) = levels.last_mut() {
        stop.check()?;
        if let Some(name) = level.names.pop() {
            let inner = copy_entry(level, &name, stop)?;
            levels.extend(inner);
            continue;
        }
        // When it is full: a folder may be one that its owner cannot write to.
        let (original, copy) = (level.src.0.as_file(), level.dst.0.as_file());
        original
            .metadata()
            .and_then(|found| dress(original, copy, &found))
            .map_err(|error| could_not("copy", &level.src.1, &level.dst.1, &error))?;
        levels.pop();
    }
    Ok(())
}

/// The mode of a folder until it is full and has its owner.
const FILLED: u32 = 0o700;

/// Copies one entry; a folder is made and left to be filled.
fn copy_entry(level: &Level, name: &OsStr, stop: &Stop) -> Result<Option<Level>, Fault> {
    let (src, dst) = (&level.src.0, &level.dst.0);
    let (from, to) = (level.src.1.join(name), level.dst.1.join(name));
    let way = Way { src: &from, dst: &to };
    let failed = |error: io::Error| way.failed(&error);
    let found = src.look(name).map_err(failed)?;
    match kind(found.file_type()) {
        "dir" => {
            let inner = src.folder(name).map_err(failed)?;
            let copy = match dst.make(name, FILLED) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => dst.folder(name),
                made => made,
            };
            let copy = copy.map_err(failed)?;
            return Level::open((inner, from), (copy, to)).map(Some);
        }
        "link" => copy_link((src, name), (dst, name), way)?,
        "file" => copy_open(src.contents(name, &found).map_err(failed)?, dst, name, way, stop)?,
        other => {
            let why = format!("'{}' is a {other}, which is not copied", from.display());
            return Err(Fault::Execution(why));
        }
    }
    Ok(None)
}

fn copy_link(from: (&Folder, &OsStr), to: (&Folder, &OsStr), way: Way<'_>) -> Result<(), Fault> {
    let failed = |error: io::Error| way.failed(&error);
    let found = from.0.look(from.1).map_err(failed)?;
    let target = from.0.points_to(from.1).map_err(failed)?;
    if let Ok(old) = to.0.look(to.1)
        && old.is_symlink()
    {
        to.0.remove(to.1, &old, &Stop::default()).map_err(failed)??;
    }
    let owner = geteuid().is_root().then(|| (found.uid(), found.gid()));
    to.0.link(to.1, &target, owner).map_err(failed)
}

async fn shift(mut bound: Bound) -> Result<Outcome, Fault> {
    let is_rename = bound.flag("disallow_copy_and_unlink")?;
    let src = take_absolute(&mut bound, "src", "Source path must be absolute.")?;
    let dst = take_absolute(&mut bound, "dst", "Destination path must be absolute.")?;
    blocking(move |stop| {
        if is_rename {
            let renamed = fs::rename(&src, &dst).map_err(|error| could_not("rename", &src, &dst, &error));
            return renamed.map(|()| Outcome::from(true));
        }
        let (from, to) = (src.display(), dst.display());
        let unable = |why: String| Fault::Execution(format!("Unable to move '{from}' to '{to}': {why}"));
        let target = match src.file_name() {
            Some(name) if dst.is_dir() => dst.join(name),
            _ => dst.clone(),
        };
        if target != dst && target.symlink_metadata().is_ok() {
            return Err(unable(format!("Destination path '{}' already exists", target.display())));
        }
        match fs::rename(&src, &target) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                carry(&src, &target, stop)?;
            }
            Err(error) => return Err(unable(reason(&error, &src))),
        }
        Ok(Outcome::from(json!({"result": true, "comment": format!("'{from}' moved to '{to}'")})))
    })
    .await
}

/// To another file system: copied whole, then removed.
fn carry(src: &Path, dst: &Path, stop: &Stop) -> Result<(), Fault> {
    let found = fs::symlink_metadata(src).map_err(failed(src))?;
    match kind(found.file_type()) {
        "dir" => {
            check_apart(src, dst)?;
            copy_tree(src, dst, stop)?;
        }
        "link" => {
            let (from, to) =
                (Folder::above(src).map_err(failed(src))?, Folder::above(dst).map_err(failed(dst))?);
            copy_link((&from.0, &from.1), (&to.0, &to.1), Way { src, dst })?;
        }
        _ => copy_file(src, dst, stop)?,
    }
    take_away(src, stop).map_err(failed(src))?.map(drop)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    /// What a move between file systems does, wherever the scratch folder is.
    #[test]
    fn what_is_carried_is_gone_where_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("src/in -ner")).unwrap();
        fs::write(at("src/in -ner/file"), "x").unwrap();
        fs::set_permissions(at("src/in -ner/file"), Permissions::from_mode(0o604)).unwrap();
        fs::set_permissions(at("src/in -ner"), Permissions::from_mode(0o710)).unwrap();
        symlink("nowhere", at("src/link")).unwrap();
        carry(&at("src"), &at("dst"), &Stop::default()).unwrap();
        assert!(!at("src").exists());
        assert_eq!(fs::read(at("dst/in -ner/file")).unwrap(), b"x");
        assert_eq!(fs::metadata(at("dst/in -ner/file")).unwrap().mode() & 0o7777, 0o604);
        assert_eq!(fs::metadata(at("dst/in -ner")).unwrap().mode() & 0o7777, 0o710);
        assert_eq!(fs::read_link(at("dst/link")).unwrap(), Path::new("nowhere"));
        fs::set_permissions(at("dst/in -ner"), Permissions::from_mode(0o700)).unwrap();
        carry(&at("dst/link"), &at("alone"), &Stop::default()).unwrap();
        assert!(at("alone").is_symlink() && !at("dst/link").is_symlink());
    }
}
