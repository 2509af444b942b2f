//! `file.find`: a walk that never leaves by links, has a bound, and ends when the job does.

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde_json::Value;

use super::super::bind::Bound;
use super::super::{Context, Fault, Function, Outcome, required};
use super::blocking::{Stop, blocking};
use super::folder::Folder;
use super::matching::matching;
use super::path::{failed, take, text};

mod options;

use self::options::{Options, compare};

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new(
            "file.find",
            |context, bound| Box::pin(find(context, bound)),
            "Finds files by their name, kind, size, age, owner or contents.",
        )
        .takes(const { &[required("path", "where to begin; '*', '?' and '[…]' stand for several (text)")] })
        .takes_more(
            "'delete' or 'print'; and by keyword what has to hold: name, iname (wildcards), regex, iregex, type (of \
             bcdflps), user, group (names or numbers), size (as 10k, +1M or -1G; b, k, m, g, t), mtime (as 3d for \
             older, -1h for younger; w, d, h, m, s), grep (a regular expression), mindepth, maxdepth (integers); and \
             what to do: print (of name, path, size, type, mode, mtime, user, group, md5; a list of these), delete \
             (kinds as in type, or a), test=True to delete nothing (texts)",
        )
        .returns(
            "[path…] in order, or what print names of each: a value, or a list of several; bytes of names that are no \
             UTF-8 are shown as U+FFFD; cut at the minion's output_max; with the retcode 1, 'error: …' for a wrong \
             option",
        )
        .example("file.find /var/log name='*.gz' mtime=+30d size=+10m print=size,path"),
    ]
}

async fn find(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let path = take(&mut bound, "path")?;
    let rest: Vec<String> = bound.rest.iter().map(super::super::text_of).collect();
    let extra = std::mem::take(&mut bound.extra);
    blocking(move |stop| {
        let now = brine_local::clock::wall().seconds();
        let options = match Options::read(&rest, &extra, now) {
            Ok(options) => options,
            Err(why) => return Ok(Outcome { retcode: 1, ..Outcome::from(format!("error: {why}")) }),
        };
        let mut found = Found { values: Vec::new(), room: context.output_max, is_cut: false };
        for start in matching(&path, stop)? {
            walk(&start, &options, stop, &mut found)?;
        }
        found.values.sort_by(compare);
        Ok(Outcome { truncated: found.is_cut, ..Outcome::from(found.values) })
    })
    .await
}

/// What was found, within a bound.
struct Found {
    values: Vec<Value>,
    /// How many bytes of JSON there is room for.
    room: usize,
    is_cut: bool,
}

impl Found {
    fn add(&mut self, value: Value) {
        // With the comma.
        let size = value.to_string().len() + 1;
        if size > self.room {
            self.is_cut = true;
            self.room = 0;
            return;
        }
        self.room -= size;
        self.values.push(value);
    }
}

/// A name in an open folder, and the path it was found by.
struct Entry {
    path: PathBuf,
    folder: Rc<Folder>,
    name: OsString,
}

/// An entry that was looked at.
struct Seen<'a> {
    entry: &'a Entry,
    own: Metadata,
    /// What it leads to: as in Salt, a link is judged by that, and a link to nothing by itself.
    followed: Option<Metadata>,
}

impl Seen<'_> {
    fn seen(&self) -> &Metadata {
        self.followed.as_ref().unwrap_or(&self.own)
    }

    /// Opens the file that was looked at, and no other.
    fn contents(&self) -> io::Result<File> {
        let Entry { folder, name, .. } = self.entry;
        match &self.followed {
            Some(followed) => folder.contents_followed(name, followed),
            None => folder.contents(name, &self.own),
        }
    }

    fn remove(&self, stop: &Stop) -> bool {
        matches!(self.entry.folder.remove(&self.entry.name, &self.own, stop), Ok(Ok(())))
    }
}

fn walk(start: &Path, options: &Options, stop: &Stop, found: &mut Found) -> Result<(), Fault> {
    let Ok((folder, name)) = Folder::above(start) else { return Ok(()) };
    let mut open = vec![(Entry { path: start.to_owned(), folder: Rc::new(folder), name }, 0)];
    while let Some((entry, depth)) = open.pop() {
        stop.check()?;
        // Deleting goes on where there is no more room to tell of it.
        if found.is_cut && !options.deletes() {
            return Ok(());
        }
        let own = match entry.folder.look(&entry.name) {
            Ok(own) => own,
            Err(error) if is_short(&error) => return Err(failed(&entry.path)(error)),
            Err(_) => continue,
        };
        if options.maxdepth.is_none_or(|max| depth < max) {
            list(&entry, &own, depth, &mut open)?;
        }
        if depth >= options.mindepth {
            let followed = own.is_symlink().then(|| entry.folder.look_followed(&entry.name).ok()).flatten();
            let seen = Seen { entry: &entry, own, followed };
            if options.hold(&seen, stop)? {
                options.act(&seen, stop).into_iter().for_each(|value| found.add(value));
            }
        }
    }
    Ok(())
}

/// Adds what is in an entry that is a folder.
fn list(entry: &Entry, own: &Metadata, depth: u64, open: &mut Vec<(Entry, u64)>) -> Result<(), Fault> {
    // A start that is a link to a folder is walked; links below are not.
    let folder = match own {
        own if own.is_dir() => entry.folder.folder(&entry.name),
        own if own.is_symlink() && depth == 0 => entry.folder.folder_followed(&entry.name),
        _ => return Ok(()),
    };
    let inner = match folder.and_then(|folder| folder.names(usize::MAX).map(|names| (folder, names))) {
        Ok(inner) => inner,
        Err(error) if is_short(&error) => return Err(failed(&entry.path)(error)),
        // What may not be looked into is passed over, as in Salt.
        Err(_) => return Ok(()),
    };
    let folder = Rc::new(inner.0);
    open.extend(inner.1.into_iter().map(|name| {
        let path = entry.path.join(&name);
        (Entry { path, folder: Rc::clone(&folder), name }, depth + 1)
    }));
    Ok(())
}

/// Whether there are no more descriptors: one is held for each folder above.
fn is_short(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(nix::libc::EMFILE | nix::libc::ENFILE))
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| text(Path::new(name))).unwrap_or_default()
}

#[cfg(test)]
mod tests;
