//! The master's files: the ledger, the waiting keys, its own key, the room that is left.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use brine_local::Paths;
use brine_local::checkup::{self, Check};
use brine_local::file::{self, FileError};
use brine_pki::key::PrivateKey;
use brine_pki::ledger::{Entry, look};
use brine_pki::registry::Registry;
use brine_protocol::Fingerprint;
use brine_protocol::control::Health;
use serde_json::Value;

use crate::source::public_key;

/// A PEM text of a private key is far shorter.
const PEM_MAX: u64 = 16 * 1024;

/// As much as the master itself reads.
const WAITING_MAX: u64 = 256 * 1024 * 1024;

/// Free bytes below which to warn, and below which the next decisions are in danger.
const ROOM: (u64, u64) = (1 << 30, 64 << 20);

/// The ledger's chain, and who holds its lock. The entries, if they can be read.
pub(super) fn ledger(paths: &Paths, is_running: bool) -> (Vec<Check>, Option<Vec<Entry>>) {
    let (about, path) = ("ledger", paths.ledger());
    if !path.exists() {
        let says = format!("there is none at {}", path.display());
        let check = if is_running {
            Check::fail(about, says, "the master runs without its record: restart it and look at its log")
        } else {
            Check::warn(about, says, "start the master, or say where it lives with --root-dir")
        };
        return (vec![check], None);
    }
    let (mut checks, entries) = match look(&path) {
        Ok(looked) => {
            let mut says = format!("{} entries, every line follows the one before", looked.entries.len());
            if looked.torn > 0 {
                says.push_str(&format!("; {} bytes of an unfinished line behind them", looked.torn));
            }
            (vec![Check::ok(about, says)], Some(looked.entries))
        }
        Err(error) => (vec![Check::fail(about, "it cannot be trusted as it is", error.to_string())], None),
    };
    checks.extend(privacy(about, &path));
    if !is_running {
        checks.extend(lock(&path.with_file_name("ledger.lock")));
    }
    (checks, entries)
}

/// A lock that somebody holds while no master answers. Only tried: nothing is written into it.
fn lock(path: &Path) -> Option<Check> {
    let pid = checkup::holder(path)?;
    Some(Check::fail(
        "lock",
        format!("no master answers, and process {pid} holds {}", path.display()),
        "a master that is starting lets go or answers within seconds; if not, stop that process",
    ))
}

pub(super) fn waiting(paths: &Paths) -> Vec<Check> {
    let (about, path) = ("waiting", paths.waiting());
    let bytes = match file::read(&path, WAITING_MAX) {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() => return vec![Check::ok(about, "no key ever waited here")],
        Err(error) => {
            return vec![Check::fail(about, "it cannot be read", error.to_string())];
        }
    };
    let parsed: Option<Value> = serde_json::from_slice(&bytes).ok();
    let keys = parsed.as_ref().and_then(|value| value.get("keys")?.as_array());
    let mut checks = vec![match keys {
        Some(keys) => Check::ok(about, format!("{} keys are kept until somebody decides", keys.len())),
        None => Check::fail(
            about,
            format!("{} is no list of keys", path.display()),
            "the next start of the master sets it aside; who still waits will knock again",
        ),
    }];
    checks.extend(privacy(about, &path));
    checks
}

fn privacy(about: &'static str, path: &Path) -> Option<Check> {
    match file::check_private(path) {
        Ok(()) => None,
        // The sentence has the command.
        Err(error @ FileError::NotPrivate { .. }) => {
            Some(Check::fail(about, format!("{} is open to others", path.display()), error.to_string()))
        }
        Err(error) => Some(Check::fail(about, "it cannot be looked at", error.to_string())),
    }
}

/// The master's own key: there, private, and the same in all places that name it.
pub(super) fn master_keys(paths: &Paths, health: Option<&Health>, entries: Option<&[Entry]>) -> Vec<Check> {
    let (about, folder) = ("master key", paths.pki_master());
    let private_path = folder.join("master.pem");
    let pem = match file::read_text(&private_path, PEM_MAX) {
        Ok(pem) => pem,
        Err(error) if error.is_not_found() => {
            let says = format!("there is no {}", private_path.display());
            return vec![Check::warn(about, says, "the first start of the master makes one")];
        }
        Err(error) => {
            let says = format!("{} cannot be read", private_path.display());
            return vec![Check::warn(
                about,
                says,
                format!("{error}; run this as root or as the master's user"),
            )];
        }
    };
    let mut checks = Vec::new();
    let files = fs::read_dir(&folder).map(|entries| entries.flatten().map(|entry| entry.path()));
    for path in files.into_iter().flatten().filter(|path| path.extension().is_some_and(|end| end == "pem")) {
        checks.extend(privacy(about, &path));
    }
    if let Ok(found) = fs::metadata(&folder)
        && found.permissions().mode() & 0o022 != 0
    {
        let says = format!("others may write into {}", folder.display());
        checks.push(Check::fail(about, says, format!("run: chmod 700 {}", folder.display())));
    }
    let private = match PrivateKey::from_pem(&pem) {
        Ok(private) => private.public().fingerprint(),
        Err(error) => {
            let says = format!("{} is no key: {error}", private_path.display());
            checks.push(Check::fail(about, says, "put the master's key back from a backup"));
            return checks;
        }
    };
    let public = public_key(&folder.join("master.pub"));
    let named = [
        ("master.pub", public.ok().flatten().map(|key| key.fingerprint())),
        ("the running master", health.map(|health| health.fingerprint)),
        ("the ledger", entries.and_then(|entries| Registry::fold(entries).master_keys().current)),
    ];
    checks.push(agreement(private, &named));
    checks
}

/// Whether everything that names the master's key names the one in `master.pem`.
fn agreement(private: Fingerprint, named: &[(&str, Option<Fingerprint>)]) -> Check {
    let others: Vec<String> = named
        .iter()
        .filter_map(|(who, fingerprint)| Some((who, fingerprint.filter(|other| *other != private)?)))
        .map(|(who, other)| format!("{who} has {other}"))
        .collect();
    if others.is_empty() {
        return Check::ok("master key", private.to_string());
    }
    Check::fail(
        "master key",
        format!("master.pem has {private}, but {}", others.join(", and ")),
        "restart the master, which writes master.pub anew; if it still differs, put master.pem back from a \
         backup: minions trust only the key that they know",
    )
}

pub(super) fn room(paths: &Paths) -> Option<Check> {
    let folder = paths.master_state_dir();
    let free = checkup::free(&folder)?;
    let advice = "make room: without it the master takes no decisions and no orders";
    Some(checkup::room(&folder.display().to_string(), free, ROOM, advice))
}

#[cfg(test)]
mod tests {
    use brine_local::checkup::Grade;

    use super::*;

    #[test]
    fn keys_that_disagree_are_named() {
        let (a, b) = (Fingerprint([1; 32]), Fingerprint([2; 32]));
        assert_eq!(agreement(a, &[("master.pub", Some(a)), ("the ledger", None)]).grade, Grade::Ok);
        let check = agreement(a, &[("master.pub", Some(a)), ("the running master", Some(b))]);
        assert_eq!(check.grade, Grade::Fail);
        assert!(check.says.contains("but the running master has 02:02:"), "{}", check.says);
    }

    #[test]
    fn a_lock_that_somebody_holds_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.lock");
        assert_eq!(lock(&path), None, "never locked");
        let held = file::Lock::take(&path).unwrap();
        let said = lock(&path).expect("it is held");
        assert!(said.says.contains(&std::process::id().to_string()), "{said:?}");
        drop(held);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(lock(&path), None, "let go");
        assert_eq!(fs::read_to_string(&path).unwrap(), text, "only looked at");
    }
}
