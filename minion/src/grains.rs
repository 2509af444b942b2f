//! Grains: the facts a minion knows about its machine.
//!
//! Three sources, a later one wins: what is collected from the system, the file that
//! `grains.setval` writes (`etc/brine/grains`), and `grains:` of the minion's configuration. The
//! grain `id` is the minion's id whatever the others say: targets rest on it.
//!
//! **Invariant:** collecting runs no other program, asks no name server and never fails; what
//! cannot be found out is an empty text or a missing grain. Grains are claims of the machine
//! about itself: they steer targeting and grant nothing.

mod hardware;
mod network;
mod release;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use brine_local::file::{self, FileError};
use brine_protocol::MinionId;
use serde_json::{Map, Value, json};
use tokio::sync::watch;

/// The largest grains file that is read or written, in bytes. Grains travel whole in the message
/// that starts a session, which has to stay well below the largest message.
pub const FILE_MAX: u64 = 256 * 1024;

/// The version told in the grain `brineversion` and by `test.version`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Why grains could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum GrainsError {
    /// The grains file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The grains file is no YAML map.
    #[error("{} is not a YAML map of grains: {reason}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What the parser says, on one line.
        reason: String,
    },
    /// Writing the grain would have no effect.
    #[error(
        "the grain {0:?} is set in the minion's configuration, which wins over grains.setval; change it there"
    )]
    Configured(String),
    /// The grain cannot be chosen.
    #[error("the grain \"id\" is the minion's id and cannot be set")]
    Id,
    /// A grain has no name.
    #[error("a grain needs a name")]
    Nameless,
    /// The minion has no file to keep grains in.
    #[error("this minion keeps no grains file")]
    NoFile,
    /// The file would exceed [`FILE_MAX`].
    #[error("the grains file would grow beyond {FILE_MAX} bytes")]
    TooLarge,
}

/// The grains of one minion: collected, from its file, from its configuration.
///
/// Shared by everything that reads or changes them; whoever has to know of changes watches
/// [`Grains::changes`].
pub struct Grains {
    id: MinionId,
    configured: Mutex<Map<String, Value>>,
    file: Option<PathBuf>,
    merged: watch::Sender<Arc<Map<String, Value>>>,
    /// Held while the file is read, changed and written, so that two changes never lose one.
    writing: Mutex<()>,
}

impl Grains {
    /// Collects the grains and merges in those of `file` (which need not exist) and those
    /// `configured`.
    ///
    /// # Errors
    /// The file exists and cannot be read, or is no YAML map.
    pub fn load(
        id: MinionId,
        configured: Map<String, Value>,
        file: Option<PathBuf>,
    ) -> Result<Self, GrainsError> {
        let grains = Self {
            id,
            configured: Mutex::new(configured),
            file,
            merged: watch::Sender::new(Arc::default()),
            writing: Mutex::new(()),
        };
        grains.refresh()?;
        Ok(grains)
    }

    /// Grains that are these, and stay so.
    #[must_use]
    pub fn fixed(id: MinionId, all: Map<String, Value>) -> Self {
        Self {
            id,
            configured: Mutex::default(),
            file: None,
            merged: watch::Sender::new(Arc::new(all)),
            writing: Mutex::new(()),
        }
    }

    /// Collects and merges again. True when something is different from before.
    ///
    /// # Errors
    /// As for [`Grains::load`]; the grains are then as they were.
    pub fn refresh(&self) -> Result<bool, GrainsError> {
        let merged = self.under(&self.configured())?;
        Ok(self.merged.send_if_modified(|present| {
            let is_new = **present != merged;
            if is_new {
                *present = Arc::new(merged);
            }
            is_new
        }))
    }

    /// What the grains would be if the configuration set these.
    ///
    /// # Errors
    /// As for [`Grains::load`].
    pub fn under(&self, configured: &Map<String, Value>) -> Result<Map<String, Value>, GrainsError> {
        Ok(merge(collect(&self.id), self.read_file()?, configured, &self.id))
    }

    /// Takes over what the configuration sets now.
    ///
    /// # Errors
    /// As for [`Grains::load`]; what the configuration set before holds on.
    pub fn configure(&self, configured: Map<String, Value>) -> Result<(), GrainsError> {
        let before = std::mem::replace(&mut *self.configured(), configured);
        self.refresh().map(drop).inspect_err(|_| *self.configured() = before)
    }

    fn configured(&self) -> MutexGuard<'_, Map<String, Value>> {
        // It is replaced whole.
        self.configured.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All grains as they are now.
    #[must_use]
    pub fn all(&self) -> Arc<Map<String, Value>> {
        self.merged.borrow().clone()
    }

    /// A receiver that wakes when grains have changed.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Arc<Map<String, Value>>> {
        self.merged.subscribe()
    }

    /// Writes one grain into the grains file, keeps the others there, and refreshes. `None` takes
    /// the grain out of the file.
    ///
    /// # Errors
    /// The grain cannot be set, or the file cannot be read, understood or written. Nothing has
    /// changed then.
    pub fn set(&self, key: &str, value: Option<Value>) -> Result<(), GrainsError> {
        if key.is_empty() {
            return Err(GrainsError::Nameless);
        }
        if key == "id" {
            return Err(GrainsError::Id);
        }
        if self.configured().contains_key(key) {
            return Err(GrainsError::Configured(key.to_owned()));
        }
        let path = self.file.as_deref().ok_or(GrainsError::NoFile)?;
        {
            // A panic while the lock was held left the file old or new, never a part of it.
            let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
            let mut kept = self.read_file()?;
            match value {
                Some(value) => drop(kept.insert(key.to_owned(), value)),
                None => drop(kept.shift_remove(key)),
            }
            let text = serde_saphyr::to_string(&kept).map_err(|error| self.malformed(&error))?;
            if text.len() as u64 > FILE_MAX {
                return Err(GrainsError::TooLarge);
            }
            if let Some(folder) = path.parent() {
                file::create_dir(folder, 0o755)?;
            }
            file::replace(path, text.as_bytes(), 0o644)?;
        }
        self.refresh().map(drop)
    }

    fn read_file(&self) -> Result<Map<String, Value>, GrainsError> {
        let Some(path) = &self.file else {
            return Ok(Map::new());
        };
        let text = match file::read_text(path, FILE_MAX) {
            Ok(text) => text,
            Err(error) if error.is_not_found() => return Ok(Map::new()),
            Err(error) => return Err(error.into()),
        };
        if text.trim().is_empty() {
            return Ok(Map::new());
        }
        serde_saphyr::from_str::<Option<Map<String, Value>>>(&text)
            .map(Option::unwrap_or_default)
            .map_err(|error| self.malformed(&error))
    }

    fn malformed(&self, error: &dyn std::fmt::Display) -> GrainsError {
        GrainsError::Malformed {
            path: self.file.clone().unwrap_or_default(),
            // The parser draws the place over several lines; its first one names it.
            reason: error.to_string().lines().next().unwrap_or_default().to_owned(),
        }
    }
}

fn merge(
    mut grains: Map<String, Value>,
    kept: Map<String, Value>,
    configured: &Map<String, Value>,
    id: &MinionId,
) -> Map<String, Value> {
    grains.extend(kept);
    grains.extend(configured.iter().map(|(key, value)| (key.clone(), value.clone())));
    grains.insert("id".to_owned(), json!(id.as_str()));
    grains
}

/// What the machine says about itself, under Salt's names and with Salt's values.
#[must_use]
pub fn collect(id: &MinionId) -> Map<String, Value> {
    let mut grains = Map::new();
    grains.insert("id".to_owned(), json!(id.as_str()));
    grains.extend(release::collect());
    grains.extend(hardware::collect());
    grains.extend(network::collect());
    let uid = nix::unistd::geteuid().as_raw();
    grains.insert("uid".to_owned(), json!(uid));
    grains.insert("username".to_owned(), json!(user_name(&read("/etc/passwd"), uid)));
    grains.insert("pid".to_owned(), json!(std::process::id()));
    grains.insert("brineversion".to_owned(), json!(VERSION));
    grains
}

/// The name of `uid` in the text of `/etc/passwd`; the number itself for a user from elsewhere,
/// since asking a directory service could block the start.
pub(crate) fn user_name(passwd: &str, uid: u32) -> String {
    passwd
        .lines()
        .find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
        })
        .unwrap_or_else(|| uid.to_string())
}

/// The text of a small system file; empty when there is none.
fn read(path: &str) -> String {
    std::fs::read(path).map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> MinionId {
        "web1".parse().unwrap()
    }

    fn map(value: Value) -> Map<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn every_promised_grain_is_there() {
        let grains = collect(&id());
        let names = "id os os_family osrelease osfullname oscodename kernel kernelrelease cpuarch num_cpus \
            mem_total host fqdn domain ipv4 ipv6 ip4_interfaces ip6_interfaces virtual machine_id uid username pid \
            brineversion";
        for name in names.split_whitespace() {
            assert!(grains.contains_key(name), "{name} is missing");
        }
        assert_eq!(grains["kernel"], "Linux");
        assert_eq!(grains["pid"], std::process::id());
        assert!(grains["num_cpus"].as_u64().unwrap() > 0);
        assert!(grains["mem_total"].as_u64().unwrap() > 0);
        assert!(!grains["host"].as_str().unwrap().is_empty());
        assert!(!grains["kernelrelease"].as_str().unwrap().is_empty());
    }

    #[test]
    fn later_sources_win_and_the_id_stays() {
        let merged = merge(
            map(json!({"os": "Debian", "a": 1, "b": 1, "id": "web1"})),
            map(json!({"a": 2, "b": 2, "id": "file"})),
            &map(json!({"b": 3, "id": "config"})),
            &id(),
        );
        assert_eq!(Value::Object(merged), json!({"os": "Debian", "a": 2, "b": 3, "id": "web1"}));
    }

    #[test]
    fn set_keeps_the_others_and_survives_a_reload() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("etc/brine/grains");
        let grains = Grains::load(id(), Map::new(), Some(path.clone())).unwrap();
        let mut changes = grains.changes();
        changes.mark_unchanged();
        let values = json!({
            "roles": ["web", "db"], "number": 7, "fraction": 1.5, "yes": "yes", "octal": "012", "null": null,
            "text": "a: b # c\n'\"", "nested": {"a": {"b": [1, {"c": "d"}]}}, "empty": "", "date": "2020-01-01",
            "tilde": "~", "wörter": "ü\u{1f600}", "true": true, "like true": "true", "none": [], "nil": {},
        });
        for (key, value) in values.as_object().unwrap() {
            grains.set(key, Some(value.clone())).unwrap();
        }
        assert!(changes.has_changed().unwrap());
        let again = Grains::load(id(), Map::new(), Some(path.clone())).unwrap();
        for (key, value) in values.as_object().unwrap() {
            assert_eq!(grains.all().get(key), Some(value), "{key}");
            assert_eq!(again.all().get(key), Some(value), "{key} read again");
        }
        grains.set("roles", None).unwrap();
        assert!(!grains.all().contains_key("roles"));
        assert_eq!(grains.all()["number"], 7);
        let left: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 1, "no unfinished file is left beside it");
    }

    #[test]
    fn what_cannot_be_set_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("grains");
        std::fs::write(&path, "a: 1\n").unwrap();
        let grains = Grains::load(id(), map(json!({"role": "web"})), Some(path.clone())).unwrap();
        assert!(matches!(grains.set("role", Some(json!("db"))), Err(GrainsError::Configured(_))));
        assert!(matches!(grains.set("id", Some(json!("db"))), Err(GrainsError::Id)));
        assert!(matches!(grains.set("", Some(json!("db"))), Err(GrainsError::Nameless)));
        let long = "x".repeat(FILE_MAX as usize);
        assert!(matches!(grains.set("long", Some(json!(long))), Err(GrainsError::TooLarge)));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "a: 1\n");

        std::fs::write(&path, "a: [1\nb").unwrap();
        let error = grains.set("c", Some(json!(1))).unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()) && !error.contains('\n'), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "a: [1\nb");
        assert_eq!(grains.all()["a"], 1, "the last good grains stay");
        assert!(Grains::load(id(), Map::new(), Some(path.clone())).is_err());
        std::fs::write(&path, "- a\n").unwrap();
        assert!(Grains::load(id(), Map::new(), Some(path.clone())).is_err());
        for empty in ["", "\n", "# only a comment\n", "---\n"] {
            std::fs::write(&path, empty).unwrap();
            assert!(Grains::load(id(), Map::new(), Some(path.clone())).is_ok(), "{empty:?}");
        }
    }

    #[test]
    fn concurrent_changes_lose_none() {
        let folder = tempfile::tempdir().unwrap();
        let grains = Grains::load(id(), Map::new(), Some(folder.path().join("grains"))).unwrap();
        std::thread::scope(|scope| {
            for n in 0..8 {
                let grains = &grains;
                scope.spawn(move || grains.set(&format!("key{n}"), Some(json!(n))).unwrap());
            }
        });
        for n in 0..8 {
            assert_eq!(grains.all()[&format!("key{n}")], n);
        }
    }

    #[test]
    fn user_names() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nalice:x:1000:1000::/home/alice:/bin/sh\n";
        assert_eq!(user_name(passwd, 0), "root");
        assert_eq!(user_name(passwd, 1000), "alice");
        assert_eq!(user_name(passwd, 7), "7");
    }
}
