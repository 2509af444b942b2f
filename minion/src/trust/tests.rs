use std::fs;
use std::sync::LazyLock;

use brine_pki::key::PrivateKey;

use super::*;

/// Three keys, made once: making them is what costs time here.
static KEYS: LazyLock<[PublicKey; 3]> =
    LazyLock::new(|| std::array::from_fn(|_| PrivateKey::generate(2048).unwrap().public().clone()));

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn trust(&self, finger: Option<&PublicKey>) -> Trust {
        Trust::new(self.0.path(), finger.map(PublicKey::fingerprint))
    }

    fn pin(&self, finger: Option<&PublicKey>) -> Pin {
        self.trust(finger).pin().unwrap()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Both files, to be put back as an interrupted write or a restored backup would.
    fn files(&self) -> [Option<Vec<u8>>; 2] {
        ["minion_master.pub", "minion_master.json"].map(|name| fs::read(self.file(name)).ok())
    }

    fn put(&self, files: [Option<Vec<u8>>; 2]) {
        for (name, bytes) in ["minion_master.pub", "minion_master.json"].into_iter().zip(files) {
            match bytes {
                Some(bytes) => fs::write(self.file(name), bytes).unwrap(),
                None => drop(fs::remove_file(self.file(name))),
            }
        }
    }
}

fn known(key: &PublicKey, serial: u64, successor: Option<&PublicKey>) -> Pin {
    Pin::Known { trust_key: key.fingerprint(), serial, successor: successor.map(PublicKey::fingerprint) }
}

fn exactly(key: &PublicKey) -> Pin {
    Pin::Fingerprint(key.fingerprint())
}

#[test]
fn pins_follow_what_was_seen() {
    let place = Place::new();
    let [one, two, _] = &*KEYS;
    assert_eq!(place.pin(None), Pin::FirstUse);
    assert_eq!(place.pin(Some(one)), exactly(one));

    let trust = place.trust(None);
    trust.remember(one, 5, Some(two.fingerprint())).unwrap();
    assert_eq!(
        PublicKey::from_pem(&fs::read_to_string(place.file("minion_master.pub")).unwrap()).as_ref(),
        Ok(one)
    );
    assert_eq!(place.pin(None), known(one, 5, Some(two)));
    assert_eq!(place.pin(Some(one)), known(one, 5, Some(two)));
    assert_eq!(place.pin(Some(two)), exactly(two));
    assert!(trust.remember(one, 4, None).is_err());

    // A rollover: the option may keep naming the key that announced this one.
    trust.remember(two, 1, None).unwrap();
    assert_eq!(place.pin(Some(one)), known(two, 1, None));

    // An administrator puts another key there: what was remembered of the old one is void.
    fs::write(place.file("minion_master.pub"), one.to_pem()).unwrap();
    assert_eq!(place.pin(None), known(one, 0, None));
}

#[test]
fn a_withdrawn_successor_is_forgotten() {
    let place = Place::new();
    let [one, two, _] = &*KEYS;
    place.trust(None).remember(one, 5, Some(two.fingerprint())).unwrap();
    assert_eq!(place.trust(None).successor().unwrap(), Some(two.fingerprint()));
    place.trust(None).remember(one, 6, None).unwrap();
    assert_eq!(place.pin(None), known(one, 6, None));
    assert_eq!(place.trust(None).successor().unwrap(), None);
}

/// `remember` writes two files. A kill between them, at each change that a rollover makes, leaves
/// a minion that accepts the new master, whatever its configuration names.
#[test]
fn a_kill_between_the_two_files_locks_nobody_out() {
    let place = Place::new();
    let [one, two, three] = &*KEYS;
    let trust = place.trust(None);
    let mut before = place.files();
    for (key, serial, successor) in
        [(one, 5, None), (one, 6, Some(two)), (two, 7, None), (two, 8, Some(three)), (three, 9, None)]
    {
        trust.remember(key, serial, successor.map(PublicKey::fingerprint)).unwrap();
        let after = place.files();
        place.put([after[0].clone(), before[1].clone()]);
        for finger in [None, Some(one)] {
            let Pin::Known { trust_key, serial: seen, .. } = place.pin(finger) else {
                panic!("{:?} is locked out before {serial}", finger.map(PublicKey::fingerprint));
            };
            assert_eq!(trust_key, key.fingerprint());
            assert!(seen <= serial);
        }
        // And the next session mends it.
        trust.remember(key, serial, successor.map(PublicKey::fingerprint)).unwrap();
        assert_eq!(place.files(), after);
        before = after;
    }
}

/// A backup of either file, or both, from before a rollover.
#[test]
fn old_files_that_were_put_back() {
    let place = Place::new();
    let [one, two, _] = &*KEYS;
    let trust = place.trust(None);
    trust.remember(one, 5, None).unwrap();
    let ignorant = place.files();
    trust.remember(one, 6, Some(two.fingerprint())).unwrap();
    let informed = place.files();
    trust.remember(two, 7, None).unwrap();
    let now = place.files();
    for (name, key_file, memory, pin) in [
        ("both from the grace", &informed, &informed, known(one, 6, Some(two))),
        ("the memory from the grace", &now, &informed, known(two, 0, None)),
        ("the memory from before", &now, &ignorant, known(two, 0, None)),
        // These know nothing of the new key: that it must be trusted nobody has told them.
        ("both from before", &ignorant, &ignorant, known(one, 5, None)),
        ("the key file from before", &ignorant, &now, known(one, 0, None)),
    ] {
        place.put([key_file[0].clone(), memory[1].clone()]);
        assert_eq!(place.pin(None), pin, "{name}");
    }
}

#[test]
fn an_administrator_names_the_key() {
    let [one, two, three] = &*KEYS;
    // Whatever is there before: nothing, a pinned master, junk in either file.
    for (name, prepare) in [
        ("nothing", (|_| {}) as fn(&Place)),
        ("a pinned master", |place| place.trust(None).remember(&KEYS[0], 5, None).unwrap()),
        ("a damaged memory", |place| {
            place.trust(None).remember(&KEYS[0], 5, None).unwrap();
            fs::write(place.file("minion_master.json"), "{").unwrap();
        }),
        ("a damaged key", |place| fs::write(place.file("minion_master.pub"), "junk").unwrap()),
    ] {
        let place = Place::new();
        prepare(&place);
        let told = place.trust(None).trust_only(two.fingerprint()).unwrap();
        assert!(matches!(told, Told::Pinned { .. }), "{name}");
        assert_eq!(place.pin(None), exactly(two), "{name}: neither the old one nor anybody");
        assert_eq!(place.pin(Some(three)), exactly(three), "{name}: the configuration has the last word");
        assert_eq!(place.trust(None).trust_only(two.fingerprint()).unwrap(), Told::Already, "{name}");
        place.trust(None).remember(two, 1, None).unwrap();
        assert_eq!(place.pin(None), known(two, 1, None), "{name}");
        assert_eq!(place.trust(None).trust_only(two.fingerprint()).unwrap(), Told::Already, "{name}");
    }

    let place = Place::new();
    place.trust(None).remember(one, 5, None).unwrap();
    assert_eq!(
        place.trust(None).trust_only(two.fingerprint()).unwrap(),
        Told::Pinned { instead: Some(one.fingerprint()) }
    );
    // Then he changes his mind, and puts a key file there.
    fs::write(place.file("minion_master.pub"), three.to_pem()).unwrap();
    assert_eq!(place.pin(None), known(three, 0, None));

    let before = place.files();
    let error = place.trust(Some(one)).trust_only(two.fingerprint()).unwrap_err().to_string();
    assert!(error.contains("master_finger") && error.contains(&one.fingerprint().to_string()), "{error}");
    assert!(error.contains(&two.fingerprint().to_string()), "{error}");
    assert_eq!(place.files(), before);
}

/// A handshake under way, and a session, of the master that is to be shut out: both end in
/// `remember`, with a pin that was read before.
#[test]
fn what_an_administrator_names_is_not_undone_by_the_old_master() {
    let [one, two, three] = &*KEYS;
    let place = Place::new();
    let trust = place.trust(None);
    trust.remember(one, 5, Some(three.fingerprint())).unwrap();
    for (key, is_admitted) in [(one, true), (two, false), (three, true)] {
        assert_eq!(trust.admits(key.fingerprint()).unwrap(), is_admitted);
    }
    trust.trust_only(two.fingerprint()).unwrap();
    for key in [one, three] {
        assert!(!trust.admits(key.fingerprint()).unwrap());
        let error = trust.remember(key, 6, None).unwrap_err().to_string();
        assert!(error.contains(&key.fingerprint().to_string()), "{error}");
    }
    assert_eq!(place.pin(None), exactly(two));
    trust.remember(two, 1, None).unwrap();
    assert_eq!(place.pin(None), known(two, 1, None));
}

/// Nor by one that is being remembered while the administrator names another.
#[test]
fn remembering_and_naming_do_not_mix() {
    let [one, two, _] = &*KEYS;
    for _ in 0..50 {
        let place = Place::new();
        place.trust(None).remember(one, 1, None).unwrap();
        let (remembering, naming) = (place.trust(None), place.trust(None));
        std::thread::scope(|threads| {
            threads.spawn(move || {
                (2..12).map_while(|serial| remembering.remember(one, serial, None).ok()).count()
            });
            naming.trust_only(two.fingerprint()).unwrap();
        });
        assert_eq!(place.pin(None), exactly(two));
    }
}

/// As root for a minion that runs as another user, files would be out of its reach.
#[test]
fn nothing_is_written_for_another_user_or_through_a_link() {
    let [one, ..] = &*KEYS;
    let place = Place::new();
    let theirs = if nix::unistd::Uid::effective().is_root() {
        std::os::unix::fs::chown(place.0.path(), Some(54_321), None).unwrap();
        place.0.path().to_owned()
    } else {
        PathBuf::from("/usr")
    };
    let error = Trust::new(&theirs, None).trust_only(one.fingerprint()).unwrap_err().to_string();
    assert!(error.contains("sudo -u"), "{error}");
    assert_eq!(place.files(), [None, None]);

    let (real, place) = (Place::new(), Place::new());
    let link = place.file("link");
    std::os::unix::fs::symlink(real.0.path(), &link).unwrap();
    let error = Trust::new(&link, None).trust_only(one.fingerprint()).unwrap_err().to_string();
    assert!(error.contains("symbolic link"), "{error}");
    assert_eq!(real.files(), [None, None]);
}
