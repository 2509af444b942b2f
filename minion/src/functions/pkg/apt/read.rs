//! What dpkg and apt say, read. Nothing here runs anything.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::super::changes::Versions;

/// The format that [`records`] reads, for `dpkg-query --show`.
pub(super) const FORMAT: &str = "${Status}\\t${Package}\\t${Version}\\t${Architecture}\\n";

/// A package as dpkg has it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record {
    /// With its architecture behind a colon when that is a foreign one.
    pub(super) name: String,
    /// With its architecture in any case.
    pub(super) full_name: String,
    pub(super) version: String,
    /// What the administrator wants: `install`, `hold`, `deinstall` or `purge`.
    pub(super) want: String,
    /// How far dpkg got: `installed`, `config-files`, `half-configured`, …
    pub(super) status: String,
}

impl Record {
    /// Whether it is there and works. One that waits for triggers does: it is configured.
    pub(super) fn is_installed(&self) -> bool {
        matches!(self.status.as_str(), "installed" | "triggers-awaited" | "triggers-pending")
    }

    /// Whether dpkg began something with it and did not get to the end.
    pub(super) fn is_unfinished(&self) -> bool {
        matches!(self.status.as_str(), "half-installed" | "unpacked" | "half-configured")
    }
}

/// The packages of `dpkg-query`, in its order.
pub(super) fn records(listing: &str, native: &str) -> Vec<Record> {
    let read = |line: &str| {
        let mut fields = line.split('\t');
        let (status, name, version, arch) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let mut words = status.split(' ');
        let (want, _, status) = (words.next()?, words.next()?, words.next()?);
        let is_own = arch == "all" || arch == native || arch.is_empty();
        Some(Record {
            name: if is_own { name.to_owned() } else { format!("{name}:{arch}") },
            full_name: format!("{name}:{arch}"),
            version: version.to_owned(),
            want: want.to_owned(),
            status: status.to_owned(),
        })
    };
    listing.lines().filter_map(read).collect()
}

/// Names and versions of those that `keep` picks.
pub(super) fn versions(records: &[Record], keep: impl Fn(&Record) -> bool) -> Versions {
    let mut versions = Versions::new();
    for record in records.iter().filter(|record| keep(record)) {
        versions.entry(record.name.clone()).or_default().push(record.version.clone());
    }
    versions
}

/// `{source: result}` of `apt-get update`: true is fetched anew, null is unchanged, false could not
/// be had or was passed over.
pub(super) fn refreshed(output: &str) -> Map<String, Value> {
    let mut sources = Map::new();
    for line in output.lines() {
        let Some((mark, source)) = line.trim().split_once(' ') else { continue };
        let result = match mark.split(':').next() {
            Some("Get") => Value::Bool(true),
            Some("Hit") => Value::Null,
            Some("Ign" | "Err") => Value::Bool(false),
            _ => continue,
        };
        // The size at the end differs every time: `[1,234 B]`.
        let source = match source.rsplit_once(" [") {
            Some((name, size)) if size.ends_with("B]") => name,
            _ => source,
        };
        sources.insert(source.trim().to_owned(), result);
    }
    sources
}

/// `{name: version}` of what a simulated upgrade would configure.
pub(super) fn upgrades(output: &str) -> BTreeMap<String, String> {
    // Conf libxfont1 (1:1.4.5-1 Debian:testing [i386])
    let read = |line: &str| {
        let (name, rest) = line.strip_prefix("Conf ")?.split_once(" (")?;
        Some((name.to_owned(), rest.split([' ', ')']).next()?.to_owned()))
    };
    output.lines().filter_map(read).collect()
}

/// What apt would install of a package.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Policy {
    /// Empty when it is not installed.
    pub(super) installed: String,
    /// Empty when there is none to be had.
    pub(super) candidate: String,
}

/// The packages of `apt-cache policy`, by name.
pub(super) fn policies(output: &str) -> BTreeMap<String, Policy> {
    let mut policies = BTreeMap::<String, Policy>::new();
    let mut name = None;
    let version =
        |text: &str| Some(text.trim().to_owned()).filter(|text| text != "(none)").unwrap_or_default();
    for line in output.lines() {
        if !line.starts_with(' ') {
            name = line.strip_suffix(':');
        }
        let Some(name) = name else { continue };
        let policy = policies.entry(name.to_owned()).or_default();
        if let Some(text) = line.strip_prefix("  Installed:") {
            policy.installed = version(text);
        } else if let Some(text) = line.strip_prefix("  Candidate:") {
            policy.candidate = version(text);
        }
    }
    policies
}

/// `{name: state}` of `dpkg --get-selections`.
pub(super) fn selections(output: &str) -> BTreeMap<String, String> {
    let read =
        |line: &str| line.split_once('\t').map(|(name, state)| (name.to_owned(), state.trim().to_owned()));
    output.lines().filter_map(read).collect()
}

/// Which lock somebody else holds, and who, when that is what `said` complains of.
pub(super) fn held_lock(said: &str) -> Option<String> {
    for line in said.lines() {
        if let Some((_, rest)) = line.split_once("Could not get lock ") {
            let (path, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            let path = path.trim_end_matches('.');
            // Process 0 is one that cannot be seen from here.
            let holder = rest.split_once("held by ").map(|(_, who)| who.trim_end_matches('.'));
            return Some(match holder.filter(|who| *who != "process 0") {
                Some(who) => format!("the lock {path} is held by {who}"),
                None => format!("the lock {path} is held by another process"),
            });
        }
        if let Some((_, rest)) = line.split_once("Unable to acquire the dpkg frontend lock (") {
            let path = rest.split(')').next().filter(|_| rest.contains("is another process using it"))?;
            return Some(format!("the lock {path} is held by another process"));
        }
        // dpkg: error: dpkg frontend lock was locked by another process with pid 123
        if let Some((lock, who)) = line.split_once(" locked by another process") {
            let lock = lock.rsplit(": ").next().unwrap_or(lock);
            let lock = lock.trim_end_matches(" was").trim_end_matches(" is");
            let who = who.split_whitespace().last().filter(|pid| pid.parse::<u32>().is_ok());
            return Some(match who {
                Some(pid) => format!("the {lock} is held by process {pid}"),
                None => format!("the {lock} is held by another process"),
            });
        }
    }
    None
}

/// Whether a run before this one broke off, so that dpkg refuses any other.
pub(super) fn is_interrupted(said: &str) -> bool {
    said.contains("dpkg was interrupted")
}

#[cfg(test)]
mod tests;
