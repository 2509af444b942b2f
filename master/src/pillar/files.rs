//! Reading the files: found, checked for who may write them, bounded.
//!
//! **Invariant:** whoever could write to a pillar file could tell minions what they take from nobody
//! else, so one that others than root and the master's own user may write, or put another in the place
//! of, is not used; and then none is: half a pillar is worse than the one from before.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File as Handle, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use brine_local::config::yaml::Node;
use brine_local::text::escape;
use brine_local::walk::{self, Facts, VetError};
use nix::fcntl::OFlag;
use serde_json::{Map, Value};

use super::top::{self, Name, Wrong};
use super::tree::{Entry, File, Tree};
use super::{Source, shown};

/// The largest file, in bytes: more than a message holds helps no minion.
const FILE_MAX: usize = 1024 * 1024;

/// The most files, and what they may have together, in bytes.
const FILES_MAX: usize = 10_000;
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// How deep files may include others.
const DEPTH_MAX: usize = 16;

/// What reading has found.
#[derive(Debug)]
pub struct Read {
    /// The files; or what is wrong with the first that cannot be used.
    pub tree: Result<Arc<Tree>, Fault>,
    /// What an administrator should mend, in one sentence.
    pub warning: Option<String>,
}

/// Why the files cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file or folder.
    pub path: PathBuf,
    /// The line, where one is to blame.
    pub line: Option<u64>,
    /// What is wrong: no value of a file is in it.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.path))?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.what)
    }
}

pub(super) fn read(source: &Source) -> Read {
    let mut reader =
        Reader { source, tree: Tree::default(), by_name: BTreeMap::new(), bytes: 0, is_open: None };
    let tree = reader.read_all();
    Read {
        tree: tree.map(|()| Arc::new(reader.tree)),
        warning: reader.is_open.map(|path| {
            format!(
                "every user of this machine can read {}, and pillar files hold secrets; run: chmod o= {}",
                shown(&path),
                source.shown().replace(", ", " ")
            )
        }),
    }
}

struct Reader<'a> {
    source: &'a Source,
    tree: Tree,
    /// The number of each file that was read, by its name; none while it is being read.
    by_name: BTreeMap<String, Option<usize>>,
    bytes: usize,
    /// The first file that every user can read.
    is_open: Option<PathBuf>,
}

impl Reader<'_> {
    fn read_all(&mut self) -> Result<(), Fault> {
        for root in &self.source.roots {
            match walk::vet(root, self.source.own_uid) {
                Err(VetError::Read(error)) if self.source.is_default && is_absent(&error) => return Ok(()),
                Err(error) => return Err(vetted(root, error)),
                Ok(_) => {}
            }
        }
        let Some(path) = self.find(&["top.yaml".to_owned(), "top.sls".to_owned()])? else { return Ok(()) };
        let text = self.text(&path)?;
        let lines = top::read(&text, &self.source.nodegroups).map_err(at(&path))?;
        for line in lines {
            let files = line.names.iter().map(|name| self.file(name, &path, 0)).collect::<Result<_, _>>()?;
            self.tree.top.push(Entry { expression: line.expression, files });
        }
        Ok(())
    }

    /// The number of the file of this name, which stands in the file `by`.
    fn file(&mut self, wanted: &Name, by: &Path, depth: usize) -> Result<usize, Fault> {
        let Name { line, name } = wanted;
        let blame = |what: String| Fault { path: by.to_owned(), line: Some(*line), what };
        match self.by_name.get(name) {
            Some(Some(number)) => return Ok(*number),
            Some(None) => return Err(blame(format!("{name:?} includes itself, over one or more files"))),
            None => {}
        }
        if depth > DEPTH_MAX {
            return Err(blame(format!("files include each other more than {DEPTH_MAX} deep")));
        }
        if self.by_name.len() >= FILES_MAX {
            return Err(blame(format!("there are more than {FILES_MAX} pillar files")));
        }
        let stem = name.replace('.', "/");
        let candidates =
            ["{}.yaml", "{}.sls", "{}/init.yaml", "{}/init.sls"].map(|form| form.replace("{}", &stem));
        let Some(path) = self.find(&candidates)? else {
            let [first, others @ .., last] = &candidates;
            return Err(blame(format!(
                "there is no pillar file {name:?} in {}: expected {first}, {} or {last}",
                self.source.shown(),
                others.join(", ")
            )));
        };
        self.by_name.insert(name.clone(), None);
        let text = self.text(&path)?;
        let (includes, data) = content(&text).map_err(at(&path))?;
        let includes =
            includes.iter().map(|name| self.file(name, &path, depth + 1)).collect::<Result<_, _>>()?;
        let number = self.tree.files.len();
        self.tree.files.push(File { path, includes, data });
        self.by_name.insert(name.clone(), Some(number));
        Ok(number)
    }

    /// The first of these files that is there.
    fn find(&self, names: &[String]) -> Result<Option<PathBuf>, Fault> {
        for root in &self.source.roots {
            for path in names.iter().map(|name| root.join(name)) {
                match path.symlink_metadata() {
                    Ok(_) => return Ok(Some(path)),
                    Err(error) if is_absent(&error) => {}
                    Err(error) => return Err(Fault { what: unreadable(&error), path, line: None }),
                }
            }
        }
        Ok(None)
    }

    /// A file's text, once it is known that nobody else could have written it.
    fn text(&mut self, path: &Path) -> Result<String, Fault> {
        let failed = |error: io::Error| Fault { path: path.to_owned(), line: None, what: unreadable(&error) };
        let real = walk::vet(path, self.source.own_uid).map_err(|error| vetted(path, error))?;
        // Without waiting: the name may have become a pipe.
        let file = OpenOptions::new()
            .read(true)
            .custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW).bits())
            .open(&real)
            .map_err(failed)?;
        let found = file.metadata().map_err(failed)?;
        if !found.is_file() {
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file")));
        }
        if let Some((why, mend)) = Facts::of(&found).weakness(&real, self.source.own_uid, true) {
            return Err(vetted(path, VetError::Open { path: real, why, mend }));
        }
        if self.is_open.is_none() && found.mode() & 0o004 != 0 && self.are_roots_open() {
            self.is_open = Some(path.to_owned());
        }
        let text =
            self.bounded(file, &found).map_err(|what| Fault { path: path.to_owned(), line: None, what })?;
        self.bytes += text.len();
        Ok(text)
    }

    fn bounded(&self, file: Handle, found: &Metadata) -> Result<String, String> {
        let mut bytes = Vec::with_capacity(usize::try_from(found.len()).unwrap_or(0).min(FILE_MAX));
        file.take(FILE_MAX as u64 + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
        if bytes.len() > FILE_MAX {
            return Err(format!("it is larger than {FILE_MAX} bytes"));
        }
        if self.bytes + bytes.len() > BYTES_MAX {
            return Err(format!("the pillar files up to this one have more than {BYTES_MAX} bytes"));
        }
        String::from_utf8(bytes).map_err(|error| escape(&error.utf8_error().to_string()))
    }

    /// Whether everybody gets through to the files at all.
    fn are_roots_open(&self) -> bool {
        let is_open = |folder: &Path| folder.metadata().is_ok_and(|found| found.mode() & 0o001 != 0);
        self.source.roots.iter().flat_map(|root| root.ancestors()).all(is_open)
    }
}

/// What a file includes, and what it says itself.
fn content(text: &str) -> Result<(Vec<Name>, Map<String, Value>), Wrong> {
    let entries = match top::document(text)? {
        Node::Map { entries, .. } => entries,
        Node::Scalar { value: Value::Null, .. } => Vec::new(),
        other => return Err((other.line(), "expected keys and values".to_owned())),
    };
    let (mut includes, mut data) = (Vec::new(), Map::new());
    for ((key, _), node) in entries {
        if key == "include" {
            includes = top::included(&node)?;
        } else {
            data.insert(key, node.value());
        }
    }
    Ok((includes, data))
}

fn at(path: &Path) -> impl Fn(Wrong) -> Fault {
    move |(line, what)| Fault { path: path.to_owned(), line: Some(line), what }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn unreadable(error: &io::Error) -> String {
    format!("it cannot be read: {error}")
}

fn vetted(wanted: &Path, error: VetError) -> Fault {
    match error {
        VetError::Read(error) => Fault { path: wanted.to_owned(), line: None, what: unreadable(&error) },
        VetError::Open { path, why, mend } => Fault {
            path,
            line: None,
            what: format!(
                "it could be written by others than root and this master ({why}), who could tell minions what \
                 they like; run: {mend}"
            ),
        },
    }
}
