//! Zip archives, which may come from strangers.
//!
//! **Invariant:** nothing is written outside of the folder, not even by links that the archive
//! itself brings or that were there; what is unpacked has a bound in bytes and in files.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use zip::ZipArchive;

use super::super::bind::Bound;
use super::super::file::{Stop, blocking, failed, open, reason, take_path};
use super::super::{Fault, Function, Outcome, keyword, optional, required};
use super::names;

/// More files than an archive that is not made to harm has.
const ENTRIES_MAX: usize = 100_000;

/// Longer than any path that the system takes.
const LINK_MAX: u64 = 4096;

const PIECE: usize = 1024 * 1024;

pub(super) fn function() -> Function {
    Function::new(
        "archive.unzip",
        |_, bound| Box::pin(unzip(bound)),
        "Unpacks a zip archive; what would land outside of the folder is refused before anything is written.",
    )
    .takes(
        const {
            &[
                required("zip_file", "path of the archive, of at most 100000 files (text)"),
                required("dest", "folder to unpack into, made when it is not there (text)"),
                optional("excludes", "null", "names to leave out, a list or separated by commas (text or list)"),
                keyword("trim_output", "false", "how many names to return, True for 100 (integer or boolean)"),
                keyword("password", "null", "opens encrypted files (text)"),
                keyword("extract_perms", "true", "False gives files the usual mode, not the archive's (boolean)"),
                keyword("max_size", "4294967296", "what it may unpack to at most, 4 GiB when not given (bytes)"),
            ]
        },
    )
    .returns("[name…] as in the archive; fails for what is no zip archive, leads out of the folder or is too large")
    .example("archive.unzip /tmp/site.zip /srv/www excludes=secret.txt")
}

async fn unzip(mut bound: Bound) -> Result<Outcome, Fault> {
    let (archive, dest) = (take_path(&mut bound, "zip_file")?, take_path(&mut bound, "dest")?);
    let excluded = names(&bound.value("excludes"))?;
    let trim = bound.value("trim_output");
    let trim = trim.as_u64().and_then(|count| usize::try_from(count).ok()).or((trim == true).then_some(100));
    let password = bound.maybe_text("password")?;
    let (has_modes, max) = (bound.flag("extract_perms")?, bound.value("max_size").as_u64());
    let max = max.ok_or_else(|| Fault::Invocation("'max_size' needs a number of bytes".to_owned()))?;
    blocking(move |stop| {
        let mut job = Job { dest: &dest, password: password.as_deref(), has_modes, left: max, max, stop };
        let mut names = job.run(&archive, &excluded)?;
        if let Some(count) = trim.filter(|count| names.len() > *count) {
            names.truncate(count);
            names.push(format!("List trimmed after {count} files."));
        }
        Ok(Outcome::from(names))
    })
    .await
}

/// The names in an archive.
pub(super) fn list(path: &Path, stop: &Stop) -> Result<Vec<String>, Fault> {
    let archive = read(path, stop)?;
    let names =
        archive.file_names().map(|name| name.map(std::borrow::Cow::into_owned).map_err(|why| wrong(&why)));
    names.collect()
}

fn wrong(why: &dyn std::fmt::Display) -> Fault {
    Fault::Execution(format!("Exception encountered unpacking zipfile: {why}"))
}

fn read(path: &Path, stop: &Stop) -> Result<ZipArchive<File>, Fault> {
    let mut file = open(path)?;
    // Counted before the directory is held in memory: each file has this mark in it.
    let mark = regex::bytes::Regex::new(r"PK\x01\x02").expect("the mark is a regular expression");
    let (mut piece, mut count) = (Vec::new(), 0);
    loop {
        stop.check()?;
        let before = piece.len();
        (&mut file).take(PIECE as u64).read_to_end(&mut piece).map_err(failed(path))?;
        if piece.len() == before {
            break;
        }
        count += mark.find_iter(&piece).count();
        if count > ENTRIES_MAX {
            return Err(wrong(&format!("it has more than {ENTRIES_MAX} files")));
        }
        // A mark that was cut through; one that was counted is longer.
        piece.drain(..piece.len().saturating_sub(3));
    }
    ZipArchive::new(file).map_err(|why| wrong(&why))
}

/// Where an entry goes, below the folder.
fn inside(name: &str) -> Result<PathBuf, Fault> {
    let path = Path::new(name);
    let is_plain = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if name.is_empty() || name.contains('\0') || !is_plain {
        return Err(wrong(&format!("the name {name:?} leads out of the folder; nothing was unpacked")));
    }
    Ok(path.components().filter(|part| matches!(part, Component::Normal(_))).collect())
}

/// Whether a link at `path` stays below the folder, told from its text alone. It may go up first, from
/// folders that are none but folders, and not again behind a name: that may be another link, and going up
/// from where it leads is no longer where it seems to be.
fn stays_inside(path: &Path, target: &str) -> bool {
    let mut above = path.components().count().saturating_sub(1);
    let mut has_name = false;
    for part in Path::new(target).components() {
        match part {
            Component::Normal(_) => has_name = true,
            Component::CurDir => {}
            Component::ParentDir if above > 0 && !has_name => above -= 1,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    !target.is_empty() && !target.contains('\0')
}

/// Whether what is there already on the way to `target` is below the folder: links from before the archive
/// came may lead anywhere.
fn leads_inside(dest: &Path, target: &Path) -> bool {
    let Ok(dest) = dest.canonicalize() else { return false };
    let there = target.ancestors().find_map(|path| path.canonicalize().ok());
    there.is_some_and(|there| there.starts_with(dest))
}

struct Entry {
    index: usize,
    name: String,
    path: PathBuf,
    mode: Option<u32>,
}

struct Job<'a> {
    dest: &'a Path,
    password: Option<&'a str>,
    has_modes: bool,
    /// How many bytes may still be written.
    left: u64,
    max: u64,
    stop: &'a Stop,
}

impl Job<'_> {
    fn run(&mut self, path: &Path, excluded: &[String]) -> Result<Vec<String>, Fault> {
        let mut archive = read(path, self.stop)?;
        let (mut folders, mut files, mut links) = (Vec::new(), Vec::new(), Vec::new());
        let (mut declared, mut names) = (0_u64, Vec::new());
        // All are judged before anything is written.
        for index in 0..archive.len() {
            let found = archive.by_index_data(index).map_err(|why| wrong(&why))?;
            let name = found.name().map_err(|why| wrong(&why))?.into_owned();
            if excluded.contains(&name) {
                continue;
            }
            declared = declared.saturating_add(found.size());
            let mode = found.unix_mode().filter(|mode| mode & 0o777 != 0).map(|mode| mode & 0o777);
            let entry = Entry { index, path: inside(&name)?, name: name.clone(), mode };
            names.push(name);
            match (found.is_dir(), found.is_symlink()) {
                (true, _) => folders.push(entry),
                (false, true) => links.push(entry),
                (false, false) => files.push(entry),
            }
        }
        if declared > self.max {
            return Err(self.too_large());
        }
        fs::create_dir_all(self.dest).map_err(failed(self.dest))?;
        for entry in &folders {
            self.folder(&entry.path)?;
        }
        for entry in &files {
            self.file(&mut archive, entry)?;
        }
        // Behind the files, so that none of them is written through one.
        for entry in &links {
            self.link(&mut archive, entry)?;
        }
        // Last, and from the inside: a folder may be one that nobody may write to.
        for entry in folders.iter().rev().filter(|_| self.has_modes) {
            if let Some(mode) = entry.mode {
                let path = self.folder(&entry.path)?;
                fs::set_permissions(&path, Permissions::from_mode(mode)).map_err(failed(&path))?;
            }
        }
        Ok(names)
    }

    fn too_large(&self) -> Fault {
        wrong(&format!("it unpacks to more than {} bytes; max_size= allows more", self.max))
    }

    /// The folder at `path` below the destination, made where it is not there; never by a link.
    fn folder(&self, path: &Path) -> Result<PathBuf, Fault> {
        let mut folder = self.dest.to_owned();
        for part in path.components() {
            folder.push(part);
            match fs::symlink_metadata(&folder) {
                Ok(found) if found.is_dir() => {}
                Ok(_) => return Err(wrong(&format!("'{}' is there and is no folder", folder.display()))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    DirBuilder::new().create(&folder).map_err(failed(&folder))?;
                }
                Err(error) => return Err(failed(&folder)(error)),
            }
        }
        Ok(folder)
    }

    fn file(&mut self, archive: &mut ZipArchive<File>, entry: &Entry) -> Result<(), Fault> {
        let folder = self.folder(entry.path.parent().unwrap_or(Path::new("")))?;
        let path = self.dest.join(&entry.path);
        let unable = |error: io::Error| wrong(&reason(&error, &path));
        let mut new = tempfile::Builder::new()
            .prefix(".brine-")
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)
            .map_err(unable)?;
        let mut from = self.open(archive, entry)?;
        let mut buffer = vec![0; 256 * 1024];
        loop {
            self.stop.check()?;
            let count = from.read(&mut buffer).map_err(unable)?;
            if count == 0 {
                break;
            }
            // What it says of its size may be a lie.
            self.left = self.left.checked_sub(count as u64).ok_or_else(|| self.too_large())?;
            new.write_all(&buffer[..count]).map_err(unable)?;
        }
        if let Some(mode) = entry.mode.filter(|_| self.has_modes) {
            new.as_file().set_permissions(Permissions::from_mode(mode)).map_err(unable)?;
        }
        // A link of that name is replaced, not followed.
        new.persist(&path).map_err(|error| unable(error.error))?;
        Ok(())
    }

    fn open<'z>(&self, archive: &'z mut ZipArchive<File>, entry: &Entry) -> Result<impl Read + 'z, Fault> {
        let opened = match self.password {
            Some(password) => archive.by_index_decrypt(entry.index, password.as_bytes()),
            None => archive.by_index(entry.index),
        };
        opened.map_err(|why| wrong(&format!("{:?}: {why}", entry.name)))
    }

    fn link(&self, archive: &mut ZipArchive<File>, entry: &Entry) -> Result<(), Fault> {
        let folder = self.folder(entry.path.parent().unwrap_or(Path::new("")))?;
        let path = self.dest.join(&entry.path);
        let unable = |error: io::Error| wrong(&reason(&error, &path));
        let mut target = String::new();
        self.open(archive, entry)?.take(LINK_MAX).read_to_string(&mut target).map_err(unable)?;
        if !stays_inside(&entry.path, &target) || !leads_inside(self.dest, &folder.join(&target)) {
            let why = format!("the link {:?} to {target:?} leads out of the folder", entry.name);
            return Err(wrong(&why));
        }
        let new = tempfile::Builder::new()
            .prefix(".brine-")
            .make_in(folder, |new| symlink(&target, new))
            .map_err(unable)?;
        new.persist(&path).map_err(|error| unable(error.error))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_links_that_lead_out() {
        for (name, expected) in
            [("a/b", Some("a/b")), ("./a", Some("a")), ("a//b/", Some("a/b")), ("-x", Some("-x"))]
        {
            assert_eq!(inside(name).ok(), expected.map(PathBuf::from), "{name}");
        }
        for name in ["", "/etc/passwd", "../a", "a/../../b", "a/..", "a\0b"] {
            assert!(inside(name).is_err(), "{name:?}");
        }
        for (path, target, expected) in [
            ("a/link", "b", true),
            ("a/link", "../b", true),
            ("a/link", "../../b", false),
            ("link", "..", false),
            ("link", "/etc/passwd", false),
            ("link", "", false),
            ("a/b/link", "../../d", true),
            ("a/b/link", "../c/../../d", false),
            ("link", "l/l/l/../../../../etc/passwd", false),
        ] {
            assert_eq!(stays_inside(Path::new(path), target), expected, "{path} {target}");
        }
    }
}
