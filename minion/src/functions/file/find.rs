//! `file.find`: a walk that never leaves by links, has a bound, and ends when the job does.

use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::bind::Bound;
use super::super::{Context, Fault, Function, Outcome, required};
use super::blocking::{Stop, blocking};
use super::matching::matching;
use super::path::{take, text};

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

fn walk(start: &Path, options: &Options, stop: &Stop, found: &mut Found) -> Result<(), Fault> {
    let mut open: Vec<(PathBuf, u64)> = vec![(start.to_owned(), 0)];
    while let Some((path, depth)) = open.pop() {
        stop.check()?;
        // Deleting goes on where there is no more room to tell of it.
        if found.is_cut && !options.deletes() {
            return Ok(());
        }
        let Ok(own) = fs::symlink_metadata(&path) else { continue };
        // A start that is a link to a folder is walked; links below are not.
        let is_folder = own.is_dir() || (depth == 0 && path.is_dir());
        if is_folder && options.maxdepth.is_none_or(|max| depth < max) {
            // What may not be looked into is passed over, as in Salt.
            for entry in fs::read_dir(&path).into_iter().flatten().flatten() {
                open.push((entry.path(), depth + 1));
            }
        }
        if depth >= options.mindepth {
            visit(&path, &own, options, stop, found)?;
        }
    }
    Ok(())
}

fn visit(
    path: &Path,
    own: &Metadata,
    options: &Options,
    stop: &Stop,
    found: &mut Found,
) -> Result<(), Fault> {
    // As in Salt, a link is judged by what it leads to; a link to nothing by itself.
    let followed = if own.is_symlink() { fs::metadata(path).ok() } else { None };
    let seen = followed.as_ref().unwrap_or(own);
    if !options.hold(path, own, seen, stop)? {
        return Ok(());
    }
    for value in options.act(path, own, seen, stop) {
        found.add(value);
    }
    Ok(())
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| text(Path::new(name))).unwrap_or_default()
}

#[cfg(test)]
mod tests;
