//! Who this minion is: files in the `pki/minion` folder.
//!
//! ```text
//! minion.pem          the private key, 0600, made at the first start
//! minion.pub          the public half, for people
//! minion.next.pem     while the key rotates: the next one, from before the master is asked until
//!                     its answer is known
//! ```
//! **Invariant:** a key that the master may have accepted is never removed: whatever a crash
//! leaves, one of the keys here is the one that the master knows.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use brine_local::file;
use brine_pki::key::{KeyError, PrivateKey};
use brine_protocol::Fingerprint;

const KEY_FILE_MAX: u64 = 16 * 1024;

/// Generating a key longer than this is told on standard error.
const PATIENCE: Duration = Duration::from_secs(1);

/// What was found in place of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Nothing,
    Key(Fingerprint),
    /// A file that is no key.
    Junk,
}

/// What the key files mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    /// The first start.
    Make,
    /// Use `minion.pem`; whatever else is there is of no use.
    Keep,
    /// The master knows one of the two.
    Both,
    /// Only the next key is left.
    Promote,
    /// `minion.pem` is no key: a person has to look.
    Refuse,
}

/// From any files that a crash, or a person, can leave.
fn plan(pem: Found, next: Found) -> Plan {
    match (pem, next) {
        (Found::Junk, _) => Plan::Refuse,
        (Found::Nothing, Found::Key(_)) => Plan::Promote,
        (Found::Nothing, Found::Nothing | Found::Junk) => Plan::Make,
        (Found::Key(pem), Found::Key(next)) if pem != next => Plan::Both,
        (Found::Key(_), Found::Nothing | Found::Key(_) | Found::Junk) => Plan::Keep,
    }
}

#[derive(Debug, Clone)]
struct Keys {
    current: Arc<PrivateKey>,
    next: Option<Arc<PrivateKey>>,
}

/// The minion's keys, on disk and in memory. Only the driver changes them.
#[derive(Debug)]
pub struct Keyring {
    folder: PathBuf,
    keys: Mutex<Keys>,
}

impl Keyring {
    /// Reads the minion's keys, or makes the first one.
    ///
    /// # Errors
    /// A key cannot be read or is open to others, or a new one cannot be made or written.
    pub fn open(folder: &Path, bits: usize) -> Result<Self> {
        file::create_private_dir(folder)?;
        let (pem, next) = (folder.join("minion.pem"), folder.join("minion.next.pem"));
        let (current, following) = (read(&pem)?, read(&next)?);
        let keys = match (plan(found(&current), found(&following)), current, following) {
            (Plan::Both, Some(Ok(current)), Some(Ok(next))) => {
                Keys { current: Arc::new(current), next: Some(Arc::new(next)) }
            }
            (Plan::Promote, _, Some(Ok(key))) => {
                file::replace(&pem, key.to_pem().as_bytes(), 0o600)?;
                remove(&next)?;
                Keys { current: Arc::new(key), next: None }
            }
            (Plan::Keep, Some(Ok(current)), _) => {
                remove(&next)?;
                Keys { current: Arc::new(current), next: None }
            }
            (_, Some(Err(error)), _) => {
                return Err(error).with_context(|| format!("cannot use {}", pem.display()));
            }
            (Plan::Make | Plan::Keep | Plan::Both | Plan::Promote | Plan::Refuse, ..) => {
                let key = make_key(bits)?;
                file::replace(&pem, key.to_pem().as_bytes(), 0o600)?;
                remove(&next)?;
                Keys { current: Arc::new(key), next: None }
            }
        };
        let keyring = Self { folder: folder.to_owned(), keys: Mutex::new(keys) };
        keyring.write_public(&keyring.current())?;
        Ok(keyring)
    }

    fn lock(&self) -> MutexGuard<'_, Keys> {
        // Keys are whole at every point where a panic could happen.
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key in `minion.pem`.
    #[must_use]
    pub fn current(&self) -> Arc<PrivateKey> {
        Arc::clone(&self.lock().current)
    }

    /// The key that is to follow, as long as the master's answer is not known.
    #[must_use]
    pub fn next(&self) -> Option<Arc<PrivateKey>> {
        self.lock().next.clone()
    }

    /// Keeps a key that the master may be asked to accept then.
    ///
    /// # Errors
    /// It cannot be written; nothing has changed.
    pub fn prepare(&self, next: PrivateKey) -> Result<Arc<PrivateKey>> {
        file::replace(&self.next_file(), next.to_pem().as_bytes(), 0o600)?;
        let next = Arc::new(next);
        self.lock().next = Some(Arc::clone(&next));
        Ok(next)
    }

    /// The master knows the next key: it takes the present one's place, whose fingerprint is
    /// returned. `None` when this is not the next key.
    ///
    /// # Errors
    /// A file cannot be written; both keys stay, and the next session tries again.
    pub fn promote(&self, fingerprint: Fingerprint) -> Result<Option<Fingerprint>> {
        let Some(next) = self.next().filter(|next| next.public().fingerprint() == fingerprint) else {
            return Ok(None);
        };
        file::replace(&self.folder.join("minion.pem"), next.to_pem().as_bytes(), 0o600)?;
        let old = {
            let mut keys = self.lock();
            keys.next = None;
            std::mem::replace(&mut keys.current, Arc::clone(&next))
        };
        // From here on nothing is lost: the next start mends what is left.
        self.write_public(&next)?;
        remove(&self.next_file())?;
        Ok(Some(old.public().fingerprint()))
    }

    /// The master refused the next key: the present one stays.
    ///
    /// # Errors
    /// Its file cannot be removed.
    pub fn discard(&self, fingerprint: Fingerprint) -> Result<()> {
        let mut keys = self.lock();
        if keys.next.as_ref().is_some_and(|next| next.public().fingerprint() == fingerprint) {
            remove(&self.next_file())?;
            keys.next = None;
        }
        Ok(())
    }

    fn next_file(&self) -> PathBuf {
        self.folder.join("minion.next.pem")
    }

    fn write_public(&self, key: &PrivateKey) -> Result<()> {
        let public = self.folder.join("minion.pub");
        let pem = key.public().to_pem();
        if file::read_text(&public, KEY_FILE_MAX).ok().as_deref() != Some(&pem) {
            file::replace(&public, pem.as_bytes(), 0o644)?;
        }
        Ok(())
    }
}

/// The key in a file; none if there is no file, and why if it is no key.
///
/// # Errors
/// The file cannot be read, or is open to others.
pub fn read(path: &Path) -> Result<Option<Result<PrivateKey, KeyError>>> {
    match file::read_text(path, KEY_FILE_MAX).map(zeroize_later) {
        Ok(pem) => {
            file::check_private(path)?;
            Ok(Some(PrivateKey::from_pem(&pem)))
        }
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn found(read: &Option<Result<PrivateKey, KeyError>>) -> Found {
    match read {
        None => Found::Nothing,
        Some(Ok(key)) => Found::Key(key.public().fingerprint()),
        Some(Err(_)) => Found::Junk,
    }
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(file::sync_folder(path)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot remove {}", path.display())),
    }
}

fn zeroize_later(pem: String) -> zeroize::Zeroizing<String> {
    zeroize::Zeroizing::new(pem)
}

fn make_key(bits: usize) -> Result<PrivateKey> {
    let started = Instant::now();
    let (done, is_done) = mpsc::channel::<()>();
    let told = std::thread::spawn(move || {
        let is_slow = is_done.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout);
        if is_slow {
            eprintln!(
                "making this minion's RSA key of {bits} bits, once; a slow machine needs up to a minute ..."
            );
        }
        is_slow
    });
    let key = PrivateKey::generate(bits).context("cannot make this minion's key")?;
    drop(done);
    if told.join().unwrap_or(false) {
        eprintln!("... made in {:.1} s", started.elapsed().as_secs_f64());
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    use std::sync::LazyLock;

    use super::*;

    /// Two keys, made once: making them is what costs time here.
    static PEMS: LazyLock<[String; 2]> =
        LazyLock::new(|| std::array::from_fn(|_| PrivateKey::generate(2048).unwrap().to_pem().to_string()));

    fn key(at: usize) -> PrivateKey {
        PrivateKey::from_pem(&PEMS[at]).unwrap()
    }

    fn finger(at: usize) -> Fingerprint {
        key(at).public().fingerprint()
    }

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        /// Files with these texts: `minion.pem`, `minion.next.pem`.
        fn with(texts: [Option<&str>; 2]) -> Self {
            let place = Self::new();
            for (name, text) in ["minion.pem", "minion.next.pem"].into_iter().zip(texts) {
                if let Some(text) = text {
                    file::replace(&place.0.path().join(name), text.as_bytes(), 0o600).unwrap();
                }
            }
            place
        }

        fn open(&self) -> Result<Keyring> {
            Keyring::open(self.0.path(), 2048)
        }

        /// The keys in the files: present, next, public half.
        fn on_disk(&self) -> [Option<Fingerprint>; 3] {
            let read = |name: &str| fs::read_to_string(self.0.path().join(name)).ok();
            let private = |name| read(name).and_then(|pem| PrivateKey::from_pem(&pem).ok());
            let public = read("minion.pub").and_then(|pem| brine_pki::key::PublicKey::from_pem(&pem).ok());
            [
                private("minion.pem").map(|key| key.public().fingerprint()),
                private("minion.next.pem").map(|key| key.public().fingerprint()),
                public.map(|key| key.fingerprint()),
            ]
        }
    }

    #[test]
    fn a_key_is_made_once_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("pki/minion");
        let first = Keyring::open(&folder, 2048).unwrap();
        let again = Keyring::open(&folder, 4096).unwrap();
        assert_eq!(first.current().public(), again.current().public());
        assert_eq!(fs::metadata(folder.join("minion.pem")).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        fs::write(folder.join("minion.pem"), "junk").unwrap();
        let error = format!("{:#}", Keyring::open(&folder, 2048).unwrap_err());
        assert!(error.contains("minion.pem"), "{error}");
    }

    #[test]
    fn every_plan() {
        let (a, b) = (Found::Key(Fingerprint([1; 32])), Found::Key(Fingerprint([2; 32])));
        for (pem, next, expected) in [
            (Found::Nothing, Found::Nothing, Plan::Make),
            (Found::Nothing, Found::Junk, Plan::Make),
            (Found::Nothing, b, Plan::Promote),
            (a, Found::Nothing, Plan::Keep),
            (a, Found::Junk, Plan::Keep),
            (a, a, Plan::Keep),
            (a, b, Plan::Both),
            (Found::Junk, Found::Nothing, Plan::Refuse),
            (Found::Junk, Found::Junk, Plan::Refuse),
            (Found::Junk, b, Plan::Refuse),
        ] {
            assert_eq!(plan(pem, next), expected, "{pem:?}, {next:?}");
        }
    }

    #[test]
    fn a_start_makes_sense_of_what_a_kill_left() {
        let (one, two) = (PEMS[0].as_str(), PEMS[1].as_str());
        let (a, b) = (Some(finger(0)), Some(finger(1)));
        for (texts, current, next) in [
            ([Some(one), None], a, None),
            ([Some(one), Some(two)], a, b),
            ([Some(one), Some(one)], a, None),
            ([None, Some(two)], b, None),
            ([Some(one), Some("")], a, None),
        ] {
            let place = Place::with(texts);
            for round in ["first", "second"] {
                let keys = place.open().unwrap();
                assert_eq!(Some(keys.current().public().fingerprint()), current, "{texts:?}, {round}");
                assert_eq!(keys.next().map(|key| key.public().fingerprint()), next, "{texts:?}, {round}");
                assert_eq!(place.on_disk(), [current, next, current], "{texts:?}, {round}");
            }
        }
        // A key that was there is never replaced by a fresh one.
        for texts in [[Some("junk"), None], [Some("junk"), Some(two)]] {
            let place = Place::with(texts);
            assert!(place.open().is_err());
            assert_eq!(place.on_disk()[1].is_some(), texts[1].is_some());
        }
    }

    #[test]
    fn the_next_key_takes_over_or_goes() {
        let (a, b) = (finger(0), finger(1));
        let place = Place::with([Some(&PEMS[0]), None]);
        let keys = place.open().unwrap();
        keys.prepare(key(1)).unwrap();
        let mode = fs::metadata(place.0.path().join("minion.next.pem")).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(place.on_disk(), [Some(a), Some(b), Some(a)]);
        assert_eq!(keys.promote(a).unwrap(), None, "only the next key");
        keys.discard(a).unwrap();
        assert_eq!(place.on_disk(), [Some(a), Some(b), Some(a)]);
        keys.discard(b).unwrap();
        assert_eq!((place.on_disk(), keys.next().is_none()), ([Some(a), None, Some(a)], true));

        keys.prepare(key(1)).unwrap();
        assert_eq!(keys.promote(b).unwrap(), Some(a));
        assert_eq!(keys.promote(b).unwrap(), None, "once");
        assert_eq!((place.on_disk(), keys.next().is_none()), ([Some(b), None, Some(b)], true));
        assert_eq!(keys.current().public().fingerprint(), b);
    }

    #[test]
    fn a_next_key_that_others_can_read_is_not_used() {
        let place = Place::with([Some(&PEMS[0]), Some(&PEMS[1])]);
        use std::os::unix::fs::PermissionsExt;
        let next = place.0.path().join("minion.next.pem");
        fs::set_permissions(&next, fs::Permissions::from_mode(0o644)).unwrap();
        let error = place.open().unwrap_err().to_string();
        assert!(error.contains("minion.next.pem") && error.contains("chmod 600"), "{error}");
    }
}
