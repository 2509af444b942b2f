//! Copies of files and trees, and moves, which are copies between file systems.

use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use serde_json::json;

use super::super::super::bind::Bound;
use super::super::super::{Fault, Function, Outcome, optional, required};
use super::super::blocking::{Stop, blocking};
use super::super::bytes::{follow, kind, open};
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

/// Copies a regular file beside `dst` and renames it.
fn copy_file(src: &Path, dst: &Path, stop: &Stop) -> Result<(), Fault> {
    let failed = |error: io::Error| could_not("copy", src, dst, &error);
    let mut from = open(src)?;
    let there = follow(dst)?;
    let folder = there.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let found = from.metadata().map_err(failed)?;
    if fs::metadata(&there).is_ok_and(|old| (old.dev(), old.ino()) == (found.dev(), found.ino())) {
        let why = format!("'{}' and '{}' are the same file", src.display(), dst.display());
        return Err(Fault::Execution(why));
    }
    let mut to = tempfile::Builder::new().prefix(".brine-").tempfile_in(folder).map_err(failed)?;
    let mut buffer = vec![0; 1024 * 1024];
    loop {
        stop.check()?;
        match from.read(&mut buffer).map_err(failed)? {
            0 => break,
            count => to.write_all(&buffer[..count]).map_err(failed)?,
        }
    }
    dress(src, to.path(), &found).map_err(failed)?;
    to.as_file().sync_all().map_err(failed)?;
    to.persist(&there).map_err(|error| failed(error.error))?;
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

/// Gives a copy what the original has. Only root can give files away; for others it is their own.
fn dress(src: &Path, copy: &Path, found: &Metadata) -> io::Result<()> {
    let mut mode = found.mode() & 0o7777;
    if geteuid().is_root() {
        chown(copy, Some(found.uid()), Some(found.gid()))?;
    } else if fs::metadata(copy)?.uid() != found.uid() {
        mode &= 0o777;
    }
    // As far as the system lets us.
    for name in xattr::list(src).into_iter().flatten() {
        if let Ok(Some(value)) = xattr::get(src, &name) {
            let _ = xattr::set(copy, &name, &value);
        }
    }
    fs::set_permissions(copy, Permissions::from_mode(mode))
}

/// Copies a folder into `dst`. Links are copied as links.
fn copy_tree(src: &Path, dst: &Path, stop: &Stop) -> Result<(), Fault> {
    let mut folders = vec![(src.to_owned(), dst.to_owned())];
    let mut made: Vec<(PathBuf, PathBuf, Metadata)> = Vec::new();
    while let Some((src, dst)) = folders.pop() {
        let failed = |error: io::Error| could_not("copy", &src, &dst, &error);
        if !dst.is_dir() {
            fs::create_dir(&dst).map_err(failed)?;
        }
        for entry in fs::read_dir(&src).map_err(failed)? {
            stop.check()?;
            let entry = entry.map_err(failed)?;
            let (from, to) = (entry.path(), dst.join(entry.file_name()));
            match kind(entry.file_type().map_err(failed)?) {
                "dir" => folders.push((from, to)),
                "link" => copy_link(&from, &to)?,
                "file" => copy_file(&from, &to, stop)?,
                other => {
                    let why = format!("'{}' is a {other}, which is not copied", from.display());
                    return Err(Fault::Execution(why));
                }
            }
        }
        made.push((src.clone(), dst.clone(), fs::metadata(&src).map_err(failed)?));
    }
    // Last, and from the inside: a folder may be one that its owner cannot write to.
    for (src, dst, found) in made.iter().rev() {
        dress(src, dst, found).map_err(|error| could_not("copy", src, dst, &error))?;
    }
    Ok(())
}

fn copy_link(from: &Path, to: &Path) -> Result<(), Fault> {
    let failed = |error: io::Error| could_not("copy", from, to, &error);
    let target = fs::read_link(from).map_err(failed)?;
    if to.is_symlink() {
        fs::remove_file(to).map_err(failed)?;
    }
    symlink(target, to).map_err(failed)?;
    if geteuid().is_root() {
        let found = fs::symlink_metadata(from).map_err(failed)?;
        lchown(to, Some(found.uid()), Some(found.gid())).map_err(failed)?;
    }
    Ok(())
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
        "link" => copy_link(src, dst)?,
        _ => copy_file(src, dst, stop)?,
    }
    take_away(src, stop).map_err(failed(src))?.map(drop)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

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
