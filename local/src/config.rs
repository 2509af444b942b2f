//! Options from YAML files, checked so that every error names file, line and option.
//!
//! Later files win per top-level option, and a daemon's environment wins over the files; what
//! nobody says is the default. The options that exist
//! are the fields that `T::default()` serialises, so `T` has to serialise all of them. A struct
//! inside `T` is filled up from its default as well; a map inside `T` takes any key if it is empty
//! by default. Structs within such maps should say `deny_unknown_fields` themselves.

mod environment;
pub mod yaml;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::Paths;
use crate::file::{self, FileError};
use crate::text::escape;
pub use environment::{Environment, Loaded, load_daemon};
use yaml::Node;

/// The largest configuration file, in bytes. Ten thousand nodegroup lines fit.
const FILE_MAX: u64 = 1024 * 1024;

/// Why the options cannot be used: one sentence that names the place.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The folder given with `--config-dir` is not there.
    #[error("the configuration folder {} does not exist", .0.display())]
    NoFolder(PathBuf),
    /// A file or folder cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// Something in a file is wrong.
    #[error("{}:{line}: {fault}", .file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What is wrong there.
        fault: Fault,
    },
    /// A variable of the environment is wrong.
    #[error("the environment variable {name}: {fault}")]
    Variable {
        /// The variable.
        name: String,
        /// What is wrong with its value.
        fault: Fault,
    },
    /// What was read before is not there any more.
    #[error(
        "{} was read before and is gone, and its options would be the defaults: put it back, or start again \
         to do without it", .0.display()
    )]
    Gone(PathBuf),
    /// The options are fine one by one but not together.
    #[error("{from}: {what}")]
    Together {
        /// The main file, and the environment where options come from there too.
        from: String,
        /// What does not fit.
        what: String,
    },
}

/// What can be wrong on a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not YAML, or more of it than is reasonable.
    #[error("{0}")]
    Syntax(String),
    /// The file holds something else than options.
    #[error("expected `option: value` lines, found {0}")]
    NoOptions(&'static str),
    /// No such option.
    #[error("unknown option \"{option}\"{}", nearest.as_ref().map(|n| format!("; did you mean {n:?}?")).unwrap_or_default())]
    Unknown {
        /// As written, with the options around it.
        option: String,
        /// The closest that exists.
        nearest: Option<String>,
    },
    /// The value is not what the option takes.
    #[error("option \"{option}\": {what}")]
    IllTyped {
        /// The option, with the options around it.
        option: String,
        /// What was expected and found.
        what: String,
    },
}

/// Reads the options of `program` (`master` or `minion`) from where `paths` says.
///
/// # Errors
/// As [`load`], and when the folder was given but does not exist.
pub fn load_for<T>(paths: &Paths, program: &str) -> Result<T, ConfigError>
where
    T: Default + Serialize + DeserializeOwned,
{
    folder_is_there(paths)?;
    load(&paths.config_file(program), &paths.config_folder(program))
}

fn folder_is_there(paths: &Paths) -> Result<(), ConfigError> {
    if paths.is_config_dir_given() && !paths.config_dir().is_dir() {
        return Err(ConfigError::NoFolder(paths.config_dir()));
    }
    Ok(())
}

/// Reads options from `file`, then from the `*.yaml` in `folder` in the order of their names.
/// What does not exist is empty.
///
/// # Errors
/// The first thing found wrong, with its place.
pub fn load<T>(file: &Path, folder: &Path) -> Result<T, ConfigError>
where
    T: Default + Serialize + DeserializeOwned,
{
    let defaults = defaults::<T>();
    together(from_files::<T>(&defaults, file, folder)?.options, file)
}

fn defaults<T: Default + Serialize>() -> Map<String, Value> {
    match serde_json::to_value(T::default()) {
        Ok(Value::Object(defaults)) => defaults,
        _ => panic!("options are a struct whose default can be serialised"),
    }
}

/// What files say.
struct Said {
    /// Every option: what the files say, over the defaults.
    options: Map<String, Value>,
    /// The main file and the folder of further ones, as far as something was read there.
    read: Vec<PathBuf>,
    /// Where the last file that names an option says nothing for it.
    nothing: BTreeMap<String, (PathBuf, u64)>,
}

fn from_files<T: DeserializeOwned>(
    defaults: &Map<String, Value>,
    file: &Path,
    folder: &Path,
) -> Result<Said, ConfigError> {
    let mut said = Said { options: defaults.clone(), read: Vec::new(), nothing: BTreeMap::new() };
    for path in files(file, folder)? {
        let Some(text) = read(&path)? else { continue };
        let place = if path == file { file } else { folder };
        if said.read.last().is_none_or(|last| last != place) {
            said.read.push(place.to_owned());
        }
        let at = |line, fault| ConfigError::Line { file: path.clone(), line, fault };
        for (name, node) in yaml::parse(&text).map_err(|(line, fault)| at(line, fault))? {
            let (name, value) =
                check::<T>(defaults, &name, &node).map_err(|(line, fault)| at(line, fault))?;
            if value.is_null() {
                said.nothing.insert(name.clone(), (path.clone(), node.line()));
            } else {
                said.nothing.remove(&name);
            }
            said.options.insert(name, value);
        }
    }
    Ok(said)
}

fn together<T: DeserializeOwned>(options: Map<String, Value>, file: &Path) -> Result<T, ConfigError> {
    serde_json::from_value(Value::Object(options)).map_err(|error| ConfigError::Together {
        from: file.display().to_string(),
        what: escape(&error.to_string()),
    })
}

/// What the files of `program` say, later ones over earlier ones and nothing checked: for a program
/// that has to heed a few options of another one.
///
/// # Errors
/// A file cannot be read or is no YAML.
pub fn said(paths: &Paths, program: &str) -> Result<Map<String, Value>, ConfigError> {
    folder_is_there(paths)?;
    let mut options = Map::new();
    for path in files(&paths.config_file(program), &paths.config_folder(program))? {
        let Some(text) = read(&path)? else { continue };
        let parsed = yaml::parse(&text).map_err(|(line, fault)| ConfigError::Line {
            file: path.clone(),
            line,
            fault,
        })?;
        options.extend(parsed.into_iter().map(|((name, _), node)| (name, node.value())));
    }
    Ok(options)
}

fn files(file: &Path, folder: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let mut found = Vec::new();
    let failed = |reason| FileError::System { doing: "list", path: folder.to_owned(), reason };
    match fs::read_dir(folder) {
        Ok(entries) => {
            for entry in entries {
                let path = entry.map_err(failed)?.path();
                let is_hidden =
                    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
                if path.extension().is_some_and(|e| e == "yaml") && !is_hidden {
                    found.push(path);
                }
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error).into()),
    }
    found.sort();
    found.insert(0, file.to_owned());
    Ok(found)
}

fn read(path: &Path) -> Result<Option<String>, ConfigError> {
    let text = match file::read_text(path, FILE_MAX) {
        Ok(text) => text,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if fs::metadata(path).is_ok_and(|meta| meta.mode() & 0o002 != 0) {
        tracing::warn!(file = %path.display(), "every user can change this configuration file");
    }
    Ok(Some(text))
}

/// Checks one option as if it were the only one given, so that the error is about it.
fn check<T: DeserializeOwned>(
    defaults: &Map<String, Value>,
    name: &(String, u64),
    node: &Node,
) -> Result<(String, Value), (u64, Fault)> {
    let (name, line) = name;
    let Some(default) = defaults.get(name) else {
        return Err((*line, unknown(name, name, defaults)));
    };
    let value = over(default, node, name)?;
    let mut alone = defaults.clone();
    alone.insert(name.clone(), value.clone());
    match serde_path_to_error::deserialize::<_, T>(Value::Object(alone)) {
        Ok(_) => Ok((name.clone(), value)),
        Err(error) => {
            let (option, line) = place(error.path(), name, *line, node);
            let what = explain(&error.inner().to_string());
            Err((line, Fault::IllTyped { option, what }))
        }
    }
}

/// What the file says, filled up from the default where that is a struct.
fn over(default: &Value, node: &Node, path: &str) -> Result<Value, (u64, Fault)> {
    let (Value::Object(default), Node::Map { entries, .. }) = (default, node) else {
        return Ok(node.value());
    };
    if default.is_empty() {
        return Ok(node.value());
    }
    let mut filled = default.clone();
    for ((name, line), node) in entries {
        let path = format!("{path}.{name}");
        let Some(inner) = default.get(name) else {
            return Err((*line, unknown(&path, name, default)));
        };
        filled.insert(name.clone(), over(inner, node, &path)?);
    }
    Ok(Value::Object(filled))
}

fn unknown(path: &str, name: &str, known: &Map<String, Value>) -> Fault {
    Fault::Unknown { option: escape(path), nearest: nearest(name, known).cloned() }
}

/// The option that was probably meant.
fn nearest<'a>(name: &str, known: &'a Map<String, Value>) -> Option<&'a String> {
    known
        .keys()
        .map(|key| (strsim::damerau_levenshtein(key, name), key))
        .min()
        // Further apart than this it is another word, and naming it would mislead.
        .filter(|(distance, key)| *distance <= 1.max(key.len().min(name.len()) / 3))
        .map(|(_, key)| key)
}

/// The option that an error path is about, as far as the file has it, and its line.
fn place(path: &serde_path_to_error::Path, name: &str, line: u64, node: &Node) -> (String, u64) {
    use serde_path_to_error::Segment;
    let (mut option, mut line, mut node) = (name.to_owned(), line, node);
    // The first segment is the option itself.
    for segment in path.iter().skip(1) {
        let inner = match (segment, node) {
            (Segment::Map { key }, Node::Map { entries, .. }) => {
                let Some(((_, at), inner)) = entries.iter().find(|((k, _), _)| k == key) else {
                    break;
                };
                option = format!("{option}.{key}");
                line = *at;
                inner
            }
            (Segment::Seq { index }, Node::Seq { items, .. }) => {
                let Some(inner) = items.get(*index) else {
                    break;
                };
                option = format!("{option}[{index}]");
                line = inner.line();
                inner
            }
            _ => break,
        };
        node = inner;
    }
    (escape(&option), line)
}

/// Serde's message in an administrator's words.
fn explain(message: &str) -> String {
    let parts = ["invalid type: ", "invalid value: "]
        .iter()
        .find_map(|start| message.strip_prefix(start))
        .and_then(|rest| rest.rsplit_once(", expected "));
    let Some((found, expected)) = parts else {
        return escape(message);
    };
    let expected = match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number that is not negative",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" | "string" => "text",
        "a sequence" => "a list",
        "a map" => "a mapping",
        other if other.starts_with("struct ") => "a mapping",
        other => other,
    };
    let hint = if expected == "text" && !matches!(found, "sequence" | "map" | "null") {
        " (quote it to make it text)"
    } else {
        ""
    };
    let found = match found {
        "null" | "unit value" => "nothing".to_owned(),
        "sequence" => "a list".to_owned(),
        "map" => "a mapping".to_owned(),
        other => {
            let other = other.strip_prefix("string ").unwrap_or(other);
            let other = other.strip_prefix("integer ").unwrap_or(other);
            other.strip_prefix("floating point ").unwrap_or(other).to_owned()
        }
    };
    escape(&format!("expected {expected}, found {found}{hint}"))
}

#[cfg(test)]
mod tests;
