use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;

/// Salt wrote PKCS#1 until 3007 and PKCS#8 since.
const PKCS8: &str = include_str!("../../../tests/data/keys/m1.pem");
const PKCS1: &str = include_str!("../../../tests/data/keys/m1.pkcs1.pem");
const PUBLIC: &str = include_str!("../../../tests/data/keys/m1.pub");
const OTHER: &str = include_str!("../../../tests/data/keys/m2.pem");

struct Machine(tempfile::TempDir);

impl Machine {
    /// A machine whose Salt minion has this key and these other files.
    fn with(pem: &str, files: &[(&str, &str)]) -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        machine.write("etc/salt/pki/minion/minion.pem", pem);
        let pem = machine.path("etc/salt/pki/minion/minion.pem");
        fs::set_permissions(pem, fs::Permissions::from_mode(0o400)).unwrap();
        files.iter().for_each(|(name, text)| machine.write(name, text));
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path(name)).ok()
    }

    fn paths(&self) -> Paths {
        Paths::new(Some(self.0.path()), None)
    }

    fn adopt(&self) -> Result<String, String> {
        let options = crate::config::load(&self.paths()).map_err(|error| error.to_string())?;
        let source = Source::new(self.0.path(), None, None);
        run(&self.paths(), &options, &source).map_err(|error| format!("{error:#}"))
    }

    fn id(&self) -> Option<String> {
        Some(crate::config::load(&self.paths()).unwrap().id?.to_string())
    }
}

const MINION_ID: (&str, &str) = ("etc/salt/minion_id", "web1\n");

#[test]
fn takes_over_either_form_once() {
    for pem in [PKCS8, PKCS1] {
        let machine = Machine::with(pem, &[MINION_ID]);
        let said = machine.adopt().unwrap();
        let key = PrivateKey::from_pem(pem).unwrap();
        assert!(said.starts_with("Taken over from "), "{said}");
        for part in [
            "web1",
            &key.public().fingerprint().to_string(),
            &salt_fingerprint(PUBLIC),
            &salt_key_fingerprint(PUBLIC.trim()),
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        let own = machine.path("etc/brine/pki/minion/minion.pem");
        assert_eq!(fs::metadata(&own).unwrap().mode() & 0o777, 0o600);
        let written = machine.read("etc/brine/pki/minion/minion.pem").unwrap();
        assert!(written.starts_with("-----BEGIN PRIVATE KEY-----"), "PKCS#8");
        assert_eq!(PrivateKey::from_pem(&written).unwrap().public(), key.public());
        assert_eq!(machine.read("etc/brine/pki/minion/minion.pub").unwrap(), key.public().to_pem());
        assert_eq!(machine.id().as_deref(), Some("web1"));
        assert_eq!(machine.read("etc/salt/pki/minion/minion.pem").as_deref(), Some(pem), "left as it is");

        let again = machine.adopt().unwrap();
        assert!(again.starts_with("Taken over already"), "{again}");
        assert_eq!(machine.read("etc/brine/pki/minion/minion.pem").unwrap(), written);
        // What a crash left out is made up for.
        fs::remove_file(machine.path("etc/brine/minion.d/adopted.yaml")).unwrap();
        machine.adopt().unwrap();
        assert_eq!(machine.id().as_deref(), Some("web1"));
    }
}

#[test]
fn the_id_is_what_salt_says() {
    let minion = |text| ("etc/salt/minion", text);
    let more = |text| ("etc/salt/minion.d/id.conf", text);
    for (files, expected) in [
        (vec![MINION_ID], Ok("web1")),
        (vec![minion("master: salt\nid: web2\n")], Ok("web2")),
        (vec![minion("id: web2\n"), MINION_ID], Ok("web2")),
        (vec![minion("id: web2\n"), more("id: web3\n"), MINION_ID], Ok("web3")),
        (vec![minion("# nothing\n"), MINION_ID], Ok("web1")),
        (vec![("etc/salt/minion.d/readme.txt", "id: no\n"), MINION_ID], Ok("web1")),
        (vec![minion("id: 17\n")], Ok("17")),
        (vec![("etc/brine/minion.yaml", "id: web7\n")], Ok("web7")),
        (vec![("etc/brine/minion.yaml", "id: web1\n"), MINION_ID], Ok("web1")),
        (vec![], Err("says what this machine is called")),
        (vec![("etc/salt/minion_id", "a b\n")], Err("minion_id names this machine \"a b\"")),
        (vec![minion("id: [\n")], Err("cannot read")),
        (vec![("etc/brine/minion.yaml", "id: web9\n"), MINION_ID], Err("the configuration here says web9")),
    ] {
        let machine = Machine::with(PKCS8, &files);
        match (machine.adopt(), expected) {
            (Ok(_), Ok(id)) => assert_eq!(machine.id().as_deref(), Some(id), "{files:?}"),
            (Err(why), Err(part)) => {
                assert!(why.contains(part) && !why.contains('\n'), "{files:?}: {why}");
                assert_eq!(machine.read("etc/brine/pki/minion/minion.pem"), None, "{files:?}");
                assert_eq!(machine.read("etc/brine/minion.d/adopted.yaml"), None, "{files:?}");
            }
            (found, _) => panic!("{files:?}: {found:?}"),
        }
    }
}

#[test]
fn refuses_with_one_sentence_and_changes_nothing() {
    let machine = Machine::with(PKCS8, &[MINION_ID]);
    machine.write("etc/brine/pki/minion/minion.pem", OTHER);
    fs::set_permissions(machine.path("etc/brine/pki/minion/minion.pem"), fs::Permissions::from_mode(0o600))
        .unwrap();
    let why = machine.adopt().unwrap_err();
    assert!(why.contains("another key already") && !why.contains('\n'), "{why}");
    assert_eq!(machine.read("etc/brine/pki/minion/minion.pem").as_deref(), Some(OTHER));
    assert_eq!(machine.read("etc/brine/minion.d/adopted.yaml"), None);

    let machine = Machine::with(PKCS8, &[MINION_ID, ("etc/brine/pki/minion/minion.next.pem", OTHER)]);
    assert!(machine.adopt().unwrap_err().contains("minion.next.pem is there"));

    let machine = Machine::with("junk", &[MINION_ID]);
    let why = machine.adopt().unwrap_err();
    assert!(why.contains("cannot be taken over") && why.contains("not an RSA key"), "{why}");

    let machine = Machine::with(PKCS8, &[MINION_ID]);
    file::create_private_dir(&machine.paths().minion_state_dir()).unwrap();
    let lock = Lock::take(&machine.paths().minion_state_dir().join("lock")).unwrap();
    let why = machine.adopt().unwrap_err();
    assert!(why.contains("stop brine-minion"), "{why}");
    drop(lock);
    machine.adopt().unwrap();

    let machine = Machine(tempfile::tempdir().unwrap());
    let why = machine.adopt().unwrap_err();
    assert!(why.contains("etc/salt/pki/minion/minion.pem"), "{why}");
}

#[test]
fn a_key_that_others_could_read_is_taken_with_a_warning() {
    let machine = Machine::with(PKCS8, &[MINION_ID]);
    let salts = machine.path("etc/salt/pki/minion/minion.pem");
    fs::set_permissions(&salts, fs::Permissions::from_mode(0o644)).unwrap();
    let said = machine.adopt().unwrap();
    assert!(said.contains("open to other users") && said.contains("brine web1 brine.rotate_key"), "{said}");
}

#[test]
fn folders_can_be_named() {
    let root = Path::new("/r");
    let salt = Source::new(root, None, None);
    assert_eq!((salt.pki, salt.config), ("/r/etc/salt/pki/minion".into(), "/r/etc/salt".into()));
    let named = Source::new(root, Some("/a/b/c/d".into()), None);
    assert_eq!((named.pki, named.config), ("/a/b/c/d".into(), "/a/b".into()));
    let both = Source::new(root, Some("/a".into()), Some("/c".into()));
    assert_eq!((both.pki, both.config), ("/a".into(), "/c".into()));
}

#[test]
fn nothing_is_taken_over_into_a_folder_that_is_not_ours() {
    let machine = Machine::with(PKCS8, &[MINION_ID]);
    let folder = machine.path("etc/brine/pki/minion");
    fs::create_dir_all(folder.parent().unwrap()).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), &folder).unwrap();
    let error = machine.adopt().unwrap_err();
    assert!(error.contains("symbolic link"), "{error}");
    if nix::unistd::Uid::effective().is_root() {
        fs::remove_file(&folder).unwrap();
        fs::create_dir(&folder).unwrap();
        std::os::unix::fs::chown(&folder, Some(54_321), None).unwrap();
        let error = machine.adopt().unwrap_err();
        assert!(error.contains("sudo -u #54321"), "{error}");
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    assert_eq!(machine.id(), None);
    assert!(!machine.path("var/lib/brine/minion").exists(), "nothing was written");
}
