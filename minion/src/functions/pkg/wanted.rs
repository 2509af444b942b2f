//! Which packages a call means, from `name` and `pkgs`.

use brine_protocol::glob::Glob;
use serde_json::Value;

use super::super::bind::Bound;
use super::super::{Fault, text_of};

/// The longest name of a package; Debian's own are below 70 characters.
const NAME_MAX: usize = 200;

/// A package that somebody named.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wanted {
    pub(super) name: String,
    /// Exactly this version, or a glob over versions.
    pub(super) version: Option<String>,
}

impl Wanted {
    /// The package with its version, joined as the package manager wants it.
    pub(super) fn joined(&self, by: char) -> String {
        match &self.version {
            Some(version) => format!("{}{by}{version}", self.name),
            None => self.name.clone(),
        }
    }
}

/// Takes `name` and `pkgs`: one of them is needed, and `pkgs` wins.
pub(super) fn take(bound: &mut Bound) -> Result<Vec<Wanted>, Fault> {
    read(&bound.value("name"), &bound.value("pkgs"), None)
}

/// As [`take`], with `version` for a single name.
pub(super) fn take_with_version(bound: &mut Bound) -> Result<Vec<Wanted>, Fault> {
    let version = bound.maybe_text("version")?;
    read(&bound.value("name"), &bound.value("pkgs"), version.as_deref())
}

fn read(name: &Value, pkgs: &Value, version: Option<&str>) -> Result<Vec<Wanted>, Fault> {
    let mut wanted = Vec::new();
    match (name, pkgs) {
        (Value::Null, Value::Null) => return Err(invalid("One of name or pkgs must be specified.")),
        (_, Value::Array(list)) => {
            for entry in list {
                add_entry(&mut wanted, entry)?;
            }
        }
        (_, Value::Object(_)) => add_entry(&mut wanted, pkgs)?,
        (Value::Array(_) | Value::Object(_), Value::Null) => {
            return Err(invalid("'name' needs a text; several packages are given as pkgs='[one, two]'"));
        }
        (name, Value::Null) => {
            for name in text_of(name).split(',') {
                add(&mut wanted, name.trim(), None)?;
            }
        }
        _ => return Err(invalid("'pkgs' needs a list of names, or of {name: version}")),
    }
    match (version, wanted.as_mut_slice()) {
        (None, _) => {}
        (Some(version), [one]) if one.version.is_none() && pkgs.is_null() => one.version = exact(version)?,
        // Salt ignores it then, and installs whatever there is.
        (Some(_), _) => {
            return Err(invalid(
                "'version' is for one package; several are given as pkgs='[{name: version}]'",
            ));
        }
    }
    Ok(wanted)
}

fn add_entry(wanted: &mut Vec<Wanted>, entry: &Value) -> Result<(), Fault> {
    match entry {
        Value::Object(versions) => versions.iter().try_for_each(|(name, version)| match version {
            Value::Null => add(wanted, name, None),
            Value::Array(_) | Value::Object(_) => {
                Err(invalid(&format!("the version of {name:?} in 'pkgs' needs a text")))
            }
            version => add(wanted, name, Some(&text_of(version))),
        }),
        Value::Null | Value::Array(_) => Err(invalid("'pkgs' needs a list of names, or of {name: version}")),
        name => add(wanted, &text_of(name), None),
    }
}

fn add(wanted: &mut Vec<Wanted>, name: &str, version: Option<&str>) -> Result<(), Fault> {
    let (name, version) = match (name.split_once('='), version) {
        (Some((name, version)), None) => (name, Some(version)),
        _ => (name, version),
    };
    let version = match version {
        Some(version) => exact(version)?,
        None => None,
    };
    wanted.push(Wanted { name: checked(name)?.to_owned(), version });
    Ok(())
}

/// A name that no package manager takes for an option, or for a wish to remove something.
pub(super) fn checked(name: &str) -> Result<&str, Fault> {
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || "=,<>".contains(c);
    if name.is_empty() || name.starts_with('-') || name.ends_with('-') || name.contains(is_odd) {
        return Err(invalid(&format!("{name:?} is no name of a package")));
    }
    if name.len() > NAME_MAX {
        return Err(invalid(&format!("the name of a package has at most {NAME_MAX} bytes")));
    }
    Ok(name)
}

/// A version as it goes on a command line. An empty one is none.
fn exact(version: &str) -> Result<Option<String>, Fault> {
    let version = version.trim_start_matches('=').trim();
    if version.starts_with(['<', '>', '!']) {
        let why = "needs an exact version, or a glob such as 1.2*: there is no comparing with < and > here";
        return Err(invalid(&format!("{version:?} {why}")));
    }
    // Behind a whole wish apt reads these as "remove it" and "install it".
    if version.starts_with('-')
        || version.ends_with(['-', '+'])
        || version.contains(|c: char| c.is_whitespace() || c.is_control())
    {
        return Err(invalid(&format!("{version:?} is no version of a package")));
    }
    Ok(Some(version.to_owned()).filter(|version| !version.is_empty()))
}

/// The names as globs, which match what is there.
pub(super) struct Names(Vec<Glob>);

impl Names {
    pub(super) fn of(wanted: &[Wanted]) -> Self {
        Self(wanted.iter().map(|wanted| Glob::new(&wanted.name)).collect())
    }

    pub(super) fn contain(&self, name: &str) -> bool {
        self.0.iter().any(|glob| glob.matches(name))
    }
}

fn invalid(why: &str) -> Fault {
    Fault::Invocation(why.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wanted(name: &str, version: Option<&str>) -> Wanted {
        Wanted { name: name.to_owned(), version: version.map(str::to_owned) }
    }

    #[test]
    fn names_lists_and_versions() {
        for (name, pkgs, version, expected) in [
            (json!("vim"), json!(null), None, vec![wanted("vim", None)]),
            (json!("vim"), json!(null), Some("2:9.0*"), vec![wanted("vim", Some("2:9.0*"))]),
            (json!("vim"), json!(null), Some("==1"), vec![wanted("vim", Some("1"))]),
            (json!("a,b"), json!(null), None, vec![wanted("a", None), wanted("b", None)]),
            (json!("a=1.0"), json!(null), None, vec![wanted("a", Some("1.0"))]),
            (json!("x"), json!(["a", {"b": "1-2"}, {"c": null}]), None, {
                vec![wanted("a", None), wanted("b", Some("1-2")), wanted("c", None)]
            }),
            (
                json!(null),
                json!({"a": 1.5, "g++": ""}),
                None,
                vec![wanted("a", Some("1.5")), wanted("g++", None)],
            ),
            (json!(null), json!([]), None, vec![]),
        ] {
            assert_eq!(read(&name, &pkgs, version), Ok(expected), "{name} {pkgs}");
        }
        assert_eq!(wanted("a", Some("1")).joined('='), "a=1");
        assert_eq!(wanted("a", None).joined('-'), "a");
    }

    #[test]
    fn what_makes_no_sense() {
        for (name, pkgs, version, words) in [
            (json!(null), json!(null), None, "One of name or pkgs must be specified."),
            (json!(["a"]), json!(null), None, "pkgs='[one, two]'"),
            (json!(null), json!("a"), None, "needs a list"),
            (json!(null), json!([["a"]]), None, "needs a list"),
            (json!(null), json!([{"a": [1]}]), None, "needs a text"),
            (json!("-oDir=/x"), json!(null), None, "\"-oDir\" is no name"),
            (json!("vim-"), json!(null), None, "no name"),
            (json!("a b"), json!(null), None, "no name"),
            (json!("a,,b"), json!(null), None, "no name"),
            (json!("a".repeat(201)), json!(null), None, "at most 200"),
            (json!("a,b"), json!(null), Some("1"), "'version' is for one package"),
            (json!(null), json!(["a"]), Some("1"), "'version' is for one package"),
            (json!("a"), json!(null), Some(">=1"), "exact version"),
            (json!(null), json!([{"a": "1 2"}]), None, "no version"),
            (json!(null), json!([{"a": "1.2-"}]), None, "no version"),
            (json!("a=1.2-"), json!(null), None, "no"),
            (json!("a"), json!(null), Some("1.2-"), "no version"),
            (json!("a"), json!(null), Some("1.2+"), "no version"),
        ] {
            let Err(Fault::Invocation(why)) = read(&name, &pkgs, version) else { panic!("{name} {pkgs}") };
            assert!(why.contains(words), "{why}");
        }
    }

    #[test]
    fn globs_over_what_is_there() {
        let names = Names::of(&[wanted("vim*", None), wanted("nano", None)]);
        assert!(["vim", "vim-tiny", "nano"].into_iter().all(|name| names.contain(name)));
        assert!(!["libvim", "nan"].into_iter().any(|name| names.contain(name)));
    }
}
