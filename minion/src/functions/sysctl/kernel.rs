//! The kernel's parameters themselves: files that hold a value as long as the machine runs.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::super::Fault;
use super::super::file::{Stop, failed, read_text};
use super::key::Key;

/// Left out of the list: two that the kernel warns about, and one that is an order when read.
const NOT_LISTED: [&str; 3] = ["base_reachable_time", "retrans_time", "stat_refresh"];

/// The folder that holds a file for each parameter.
#[derive(Debug, Clone)]
pub(super) struct Kernel {
    root: PathBuf,
}

impl Kernel {
    /// The parameters of this machine.
    pub(super) fn new() -> Self {
        Self::at("/proc/sys")
    }

    pub(super) fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The value of a parameter, without white space at its end.
    pub(super) fn read(&self, key: &Key) -> Result<String, Fault> {
        let path = key.path(&self.root);
        match self.check(&path, key) {
            Err(Refusal::Missing) => {
                let why = format!("sysctl: cannot stat {}: No such file or directory", path.display());
                return Err(Fault::Execution(why));
            }
            Err(Refusal::Other(fault)) => return Err(fault),
            Ok(()) => {}
        }
        // Some may only be written, by anybody.
        if let Err(error) = fs::File::open(&path) {
            return Err(match error.kind() {
                io::ErrorKind::PermissionDenied => denied(key),
                _ => failed(&path)(error),
            });
        }
        let value = read_text(&path)?;
        Ok(String::from_utf8_lossy(&value).trim_end().to_owned())
    }

    /// Gives a parameter a value, which is one line of text.
    pub(super) fn write(&self, key: &Key, value: &str) -> Result<(), Fault> {
        let path = key.path(&self.root);
        match self.check(&path, key) {
            Err(Refusal::Missing) => {
                return Err(Fault::Execution(format!("sysctl {} does not exist", key.dotted())));
            }
            Err(Refusal::Other(fault)) => return Err(fault),
            Ok(()) => {}
        }
        let line = format!("{value}\n");
        // In one piece: the kernel takes a second one for another value.
        let written = OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(&path)
            .and_then(|mut file| file.write(line.as_bytes()));
        let why = match written {
            Ok(taken) if taken >= value.len() => return Ok(()),
            Ok(taken) => format!("the kernel took {taken} of {} bytes", value.len()),
            Err(error) => match error.raw_os_error() {
                Some(number) => Errno::from_raw(number).desc().to_owned(),
                None => error.to_string(),
            },
        };
        Err(Fault::Execution(format!("sysctl -w failed: setting key \"{}\": {why}", key.dotted())))
    }

    /// All parameters that can be read, sorted by their files.
    pub(super) fn all(&self, stop: &Stop) -> Result<Vec<(Key, String)>, Fault> {
        let mut found = Vec::new();
        let mut waiting: Vec<Vec<String>> = vec![Vec::new()];
        while let Some(parts) = waiting.pop() {
            stop.check()?;
            let path = parts.iter().fold(self.root.clone(), |path, part| path.join(part));
            // What is being removed, or not for us, is not a reason to show nothing.
            let Ok(kind) = fs::symlink_metadata(&path).map(|found| found.file_type()) else { continue };
            if kind.is_dir() {
                let names = fs::read_dir(&path).into_iter().flatten().flatten();
                let names = names.filter_map(|entry| entry.file_name().into_string().ok());
                let mut names: Vec<String> =
                    names.filter(|name| !NOT_LISTED.contains(&name.as_str())).collect();
                names.sort_by(|a, b| b.cmp(a));
                waiting.extend(names.into_iter().map(|name| [parts.as_slice(), &[name]].concat()));
            } else if kind.is_file()
                && let Some(key) = Key::of(parts)
                && let Ok(value) = self.read(&key)
            {
                found.push((key, value));
            }
        }
        Ok(found)
    }

    /// That the file is a parameter. A link could lead out of the folder.
    fn check(&self, path: &Path, key: &Key) -> Result<(), Refusal> {
        let there = fs::canonicalize(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Refusal::Missing,
            io::ErrorKind::PermissionDenied => Refusal::Other(denied(key)),
            _ => Refusal::Other(failed(path)(error)),
        })?;
        let root = fs::canonicalize(&self.root).map_err(|error| Refusal::Other(failed(&self.root)(error)))?;
        let found = fs::metadata(&there).map_err(|error| Refusal::Other(failed(path)(error)))?;
        let name = key.dotted();
        let why = if !there.starts_with(&root) {
            format!("'{name}' leads out of {}, so it is left alone", self.root.display())
        } else if found.is_dir() {
            format!("'{name}' is a group of parameters; name one of them, sysctl.show lists them")
        } else if !found.is_file() {
            format!("'{name}' is not a parameter")
        } else {
            return Ok(());
        };
        Err(Refusal::Other(Fault::Execution(why)))
    }
}

enum Refusal {
    Missing,
    Other(Fault),
}

fn denied(key: &Key) -> Fault {
    Fault::Execution(format!("sysctl: permission denied on key '{}'", key.dotted()))
}
