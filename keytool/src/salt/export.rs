//! `brine-key export --to-salt DIR`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use brine_client::Exit;
use brine_local::file;
use brine_local::output::screen::Screen;
use brine_local::output::{escape, render};
use brine_pki::key::PublicKey;
use brine_pki::salt::{salt_fingerprint, salt_key_fingerprint};
use brine_protocol::control::{Key, KeyState, KeysQuery};
use brine_protocol::{Fingerprint, MinionId};
use serde_json::{Map, Value, json};

use super::folder::SALT_STATES;
use crate::failure::Failure;
use crate::options::Common;
use crate::source::Source;

/// A file there with one key is at most this long.
const FILE_MAX: u64 = 64 * 1024;

/// A key that Salt's folder cannot say.
#[derive(Debug, PartialEq, Eq)]
struct LeftOut<'a> {
    key: &'a Key,
    why: &'static str,
}

/// What became of one file.
#[derive(Debug, PartialEq, Eq)]
enum Written {
    New,
    Same,
    /// There is another file for its id, and whether that has the same key.
    Stays {
        path: PathBuf,
        is_same_key: bool,
    },
}

/// What came of it all.
#[derive(Default)]
struct Report<'a> {
    written: Vec<&'a Key>,
    same: usize,
    left_out: Vec<LeftOut<'a>>,
    kept: Vec<Kept<'a>>,
    failed: Vec<(&'a Key, String)>,
}

/// A file that was not replaced.
struct Kept<'a> {
    key: &'a Key,
    path: PathBuf,
    is_same_key: bool,
}

pub(crate) async fn run(
    source: &mut Source,
    named: &Path,
    is_forced: bool,
    common: &Common,
    screen: &mut Screen,
) -> Result<Exit, Failure> {
    let keys = source.find(&KeysQuery::default()).await?;
    let (chosen, left_out) = choose(&keys);
    let has_master = named.join("master").is_dir() && !named.join("minions").is_dir();
    let root = if has_master { named.join("master") } else { named.to_owned() };
    file::create_dir(&root, 0o700)?;
    for state in SALT_STATES {
        folder(&root.join(state.salt_name()))?;
    }
    let mut report = Report { left_out, ..Report::default() };
    for key in chosen {
        match write(&root, key, is_forced) {
            Ok(Written::New) => report.written.push(key),
            Ok(Written::Same) => report.same += 1,
            Ok(Written::Stays { path, is_same_key }) => report.kept.push(Kept { key, path, is_same_key }),
            // One bad place must not hide what was written before it.
            Err(failure) => report.failed.push((key, failure.to_string())),
        }
    }
    report.warn();
    if common.is_for_programs() {
        screen.print(&render(&report.document(), &common.style(), 0))?;
    } else if !common.quiet {
        screen.print(&report.page(&root))?;
    }
    Ok(if report.kept.is_empty() && report.failed.is_empty() { Exit::Ok } else { Exit::Failed })
}

/// Makes a state's folder. A symlink may lead to where others write.
fn folder(path: &Path) -> Result<(), Failure> {
    if path.symlink_metadata().is_ok_and(|found| found.is_symlink()) {
        return Err(Failure::Refused(format!(
            "{} is a symlink, and nothing is written through one; put a folder in its place",
            escape(&path.display().to_string())
        )));
    }
    Ok(file::create_dir(path, 0o700)?)
}

/// Salt has one key per id, and a denied one beside an accepted one; it knows no suspended keys.
/// Pure.
fn choose(keys: &[Key]) -> (Vec<&Key>, Vec<LeftOut<'_>>) {
    let mut by_id: BTreeMap<&MinionId, Vec<&Key>> = BTreeMap::new();
    for key in keys {
        by_id.entry(&key.id).or_default().push(key);
    }
    let (mut chosen, mut left_out) = (Vec::new(), Vec::new());
    for of_id in by_id.values() {
        let count = |state| of_id.iter().filter(|key| key.state == state).count();
        let is_accepted = count(KeyState::Accepted) > 0;
        let first_denied =
            of_id.iter().filter(|key| key.state == KeyState::Denied).map(|key| key.first_seen).min();
        let mut is_denied_chosen = false;
        for key in of_id {
            let why = match key.state {
                KeyState::Suspended => Some("Salt cannot suspend a key; accept or reject it there by hand"),
                KeyState::Pending if count(KeyState::Pending) > 1 => {
                    Some("several keys wait for this id and Salt keeps one; decide first")
                }
                KeyState::Rejected if is_accepted => Some("Salt would keep the accepted minion out for it"),
                KeyState::Rejected if count(KeyState::Rejected) > 1 => {
                    Some("several keys of this id are rejected and Salt keeps one; delete all but one first")
                }
                KeyState::Denied if is_denied_chosen || Some(key.first_seen) != first_denied => {
                    Some("Salt keeps only the first denied key of an id")
                }
                KeyState::Accepted | KeyState::Pending | KeyState::Rejected | KeyState::Denied => None,
            };
            match why {
                Some(why) => left_out.push(LeftOut { key, why }),
                None => {
                    is_denied_chosen |= key.state == KeyState::Denied;
                    chosen.push(*key);
                }
            }
        }
    }
    (chosen, left_out)
}

/// Writes one key, unless Salt's folder has another one for its id.
fn write(root: &Path, key: &Key, is_forced: bool) -> Result<Written, Failure> {
    let place = |state: KeyState| root.join(state.salt_name()).join(key.id.as_str());
    let path = place(key.state);
    // A denied key stands beside another one; everything else is the only word about its id.
    let others: Vec<PathBuf> = SALT_STATES
        .into_iter()
        .filter(|state| *state != key.state && *state != KeyState::Denied && key.state != KeyState::Denied)
        .map(place)
        .filter(|path| path.symlink_metadata().is_ok())
        .collect();
    let is_there = path.symlink_metadata().is_ok();
    if is_there && others.is_empty() && there(&path) == Some(key.fingerprint) {
        return Ok(Written::Same);
    }
    if !is_forced && let Some(path) = others.first().or(is_there.then_some(&path)) {
        let is_same_key = there(path) == Some(key.fingerprint);
        return Ok(Written::Stays { path: path.clone(), is_same_key });
    }
    file::replace(&path, key.public_key.as_bytes(), 0o600)?;
    for other in others {
        fs::remove_file(&other).map_err(|reason| file::FileError::System {
            doing: "remove",
            path: other.clone(),
            reason,
        })?;
    }
    Ok(Written::New)
}

fn there(path: &Path) -> Option<Fingerprint> {
    let is_file = path.symlink_metadata().is_ok_and(|found| found.is_file());
    let text = is_file.then(|| file::read_text(path, FILE_MAX).ok())??;
    PublicKey::from_pem(&text).ok().map(|key| key.fingerprint())
}

fn line(key: &Key) -> String {
    format!(
        "{}  {}\n    brine      {}\n    salt-call  {}\n    salt-key   {}\n",
        key.state.name(),
        key.id,
        key.fingerprint,
        salt_fingerprint(&key.public_key),
        salt_key_fingerprint(&key.public_key)
    )
}

impl Report<'_> {
    /// A line for everything that is not as it is here.
    fn warn(&self) {
        for LeftOut { key, why } in &self.left_out {
            let state = key.state.name();
            eprintln!("brine-key: left out {} ({state}, {}): {why}", key.id, key.fingerprint);
        }
        for kept in &self.kept {
            eprintln!("brine-key: {}", kept.sentence());
        }
        for (key, why) in &self.failed {
            eprintln!("brine-key: the key of {} was not written: {}", key.id, escape(why));
        }
    }

    fn page(&self, root: &Path) -> String {
        let lines: String = self.written.iter().map(|key| line(key)).collect();
        let failed = match self.failed.len() {
            0 => String::new(),
            count => format!(" {count} could not be written."),
        };
        format!(
            "{lines}Wrote {} keys into {}; {} were there already, {} are left out, {} files stay.{failed}\n",
            self.written.len(),
            root.display(),
            self.same,
            self.left_out.len(),
            self.kept.len()
        )
    }

    fn document(&self) -> Map<String, Value> {
        let name = |key: &Key| json!({"id": key.id, "state": key.state, "fingerprint": key.fingerprint});
        let with = |key: &Key, field: &str, value: Value| {
            let mut named = name(key);
            named[field] = value;
            named
        };
        let written = self.written.iter().map(|key| {
            let mut named = name(key);
            named["salt_fingerprint"] = json!(salt_fingerprint(&key.public_key));
            named["salt_key_fingerprint"] = json!(salt_key_fingerprint(&key.public_key));
            named
        });
        let left_out = self.left_out.iter().map(|left| with(left.key, "why", json!(left.why)));
        let kept = self.kept.iter().map(|kept| {
            let mut named = with(kept.key, "file", json!(kept.path.display().to_string()));
            named["same_key"] = json!(kept.is_same_key);
            named
        });
        let failed = self.failed.iter().map(|(key, why)| with(key, "why", json!(why)));
        let mut map = Map::new();
        map.insert("written".to_owned(), written.collect());
        map.insert("there_already".to_owned(), json!(self.same));
        map.insert("left_out".to_owned(), left_out.collect());
        map.insert("differing_files".to_owned(), kept.collect());
        map.insert("failed".to_owned(), failed.collect());
        map
    }
}

impl Kept<'_> {
    fn sentence(&self) -> String {
        let path = escape(&self.path.display().to_string());
        let Key { id, state, .. } = self.key;
        if self.is_same_key {
            let state = state.name();
            format!("{path} has the key of {id}, which is {state} here, and stays; --force moves it")
        } else {
            format!("{path} has another key for {id} and stays; --force replaces it")
        }
    }
}

#[cfg(test)]
mod tests {
    use KeyState::{Accepted, Denied, Pending, Rejected, Suspended};
    use brine_pki::key::PrivateKey;
    use brine_protocol::time::Timestamp;

    use super::*;
    use crate::select::tests::key;

    #[test]
    fn what_salt_cannot_say_is_left_out() {
        let mut late = key("dup", Denied, 9);
        late.first_seen = Timestamp(5);
        let keys = [
            key("a", Accepted, 1),
            key("a", Rejected, 2),
            key("dup", Accepted, 3),
            late,
            key("dup", Denied, 4),
            key("p", Pending, 5),
            key("q", Pending, 6),
            key("q", Pending, 7),
            key("r", Rejected, 8),
            key("s", Suspended, 10),
        ];
        let (chosen, left_out) = choose(&keys);
        let number = |key: &Key| key.fingerprint.0[0];
        assert_eq!(chosen.iter().map(|key| number(key)).collect::<Vec<_>>(), [1, 3, 4, 5, 8]);
        let mut left: Vec<u8> = left_out.iter().map(|left| number(left.key)).collect();
        left.sort_unstable();
        assert_eq!(left, [2, 6, 7, 9, 10]);
    }

    #[test]
    fn no_other_key_is_replaced_unless_told_to() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        for state in SALT_STATES {
            fs::create_dir(folder.path().join(state.salt_name())).unwrap();
        }
        let real = |state| {
            let made = PrivateKey::generate(2048).unwrap().public().clone();
            Key { fingerprint: made.fingerprint(), public_key: made.to_pem(), ..key("web1", state, 1) }
        };
        let (first, second) = (real(Accepted), real(Accepted));
        let path = folder.path().join("minions/web1");
        let stays = |path: &Path, is_same_key| Written::Stays { path: path.to_owned(), is_same_key };
        assert_eq!(write(folder.path(), &first, false).unwrap(), Written::New);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(write(folder.path(), &first, false).unwrap(), Written::Same);
        assert_eq!(write(folder.path(), &second, false).unwrap(), stays(&path, false));
        assert_eq!(there(&path), Some(first.fingerprint));
        assert_eq!(write(folder.path(), &second, true).unwrap(), Written::New);
        assert_eq!(there(&path), Some(second.fingerprint));

        // Salt looks at minions_pre first: a file left there would lock the accepted minion out.
        let stray = folder.path().join("minions_pre/web1");
        fs::write(&stray, &first.public_key).unwrap();
        assert_eq!(write(folder.path(), &second, false).unwrap(), stays(&stray, false));
        fs::write(&stray, &second.public_key).unwrap();
        let kept = write(folder.path(), &second, false).unwrap();
        assert_eq!(kept, stays(&stray, true));
        let kept = Kept { key: &second, path: stray.clone(), is_same_key: true };
        assert!(kept.sentence().contains("has the key of web1, which is accepted here"));
        let denied = Key { state: Denied, ..real(Denied) };
        assert_eq!(write(folder.path(), &denied, false).unwrap(), Written::New);
        assert_eq!(write(folder.path(), &second, true).unwrap(), Written::New);
        assert!(!stray.exists() && folder.path().join("minions_denied/web1").exists());

        let elsewhere = folder.path().join("elsewhere");
        fs::write(&elsewhere, "mine").unwrap();
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert_eq!(write(folder.path(), &second, true).unwrap(), Written::New);
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "mine", "a symlink is replaced, not followed");
    }
}
