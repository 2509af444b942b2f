use std::os::unix::fs::PermissionsExt;

use super::*;

struct Rig {
    folder: tempfile::TempDir,
    files: RuleFiles,
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("own file");
}

impl Rig {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        chmod(folder.path(), 0o755);
        let config = Config {
            autosign_file: Some("autosign.conf".into()),
            autoreject_file: Some("autoreject.conf".into()),
            autosign_grains_dir: Some("grains".into()),
            ..Config::default()
        };
        let rig = Self { files: RuleFiles::new(&config, folder.path()), folder };
        fs::create_dir(rig.path("grains")).expect("a folder");
        chmod(&rig.path("grains"), 0o755);
        rig.write("autosign.conf", "web1\n");
        rig.write("autoreject.conf", "");
        rig.write("grains/uuid", "u-1\n# u-2\n\n u-3 \n");
        rig
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file");
        chmod(&self.path(name), 0o644);
    }

    /// What a look says after the files have rested.
    fn settled(&mut self) -> Option<Result<Rules, String>> {
        self.files.is_settled = true;
        self.files.changed().map(|read| read.map_err(|error| error.to_string()))
    }
}

#[test]
fn says_what_the_files_say() {
    let mut rig = Rig::new();
    let rules = rig.files.read().expect("readable");
    assert_eq!(rules.autosign.find("web1"), Some("web1"));
    assert!(rules.autoreject.is_empty() && !rules.auto_accept);
    let values: Vec<&str> = rules.autosign_grains["uuid"].iter().map(String::as_str).collect();
    assert_eq!(values, ["u-1", "u-3"]);
}

#[test]
fn a_change_is_seen_and_nothing_is_read_without_one() {
    let mut rig = Rig::new();
    rig.files.read().expect("readable");
    assert!(!rig.files.is_settled, "written a moment ago: another write could look the same");
    assert!(rig.settled().is_none());
    rig.write("autosign.conf", "web1\nweb2\n");
    assert!(rig.settled().expect("changed").expect("readable").autosign.find("web2").is_some());
    // As an editor does it: another file gets the name.
    rig.write("new", "web3\nweb2\n");
    fs::rename(rig.path("new"), rig.path("autosign.conf")).expect("renamed");
    assert!(rig.settled().expect("changed").expect("readable").autosign.find("web3").is_some());
    rig.write("grains/serial", "s-1\n");
    assert!(rig.settled().expect("changed").expect("readable").autosign_grains.contains_key("serial"));
    rig.write("unrelated", "");
    assert!(rig.settled().is_none());
}

#[test]
fn what_others_may_write_is_not_used() {
    let mut rig = Rig::new();
    for (name, mode, mend) in [
        ("autosign.conf", 0o664, "chmod go-w"),
        ("autoreject.conf", 0o646, "chmod go-w"),
        ("grains/uuid", 0o666, "chmod go-w"),
        ("grains", 0o775, "chmod go-w"),
        (".", 0o777, "chmod go-w"),
    ] {
        let path = rig.path(name);
        let before = fs::metadata(&path).expect("there").mode();
        assert!(rig.files.read().is_ok(), "{name}");
        chmod(&path, mode);
        let refused = rig.settled().expect("changed").expect_err("open to others");
        assert!(refused.contains("could be written by others") && refused.contains(mend), "{refused}");
        assert!(refused.contains(&format!("{mode:04o}")) && !refused.contains('\n'), "{refused}");
        chmod(&path, before);
    }
    chmod(rig.folder.path(), 0o1777);
    assert!(rig.files.read().is_ok(), "in a sticky folder nobody replaces another's file");
}

#[test]
fn what_is_missing_or_no_text_is_named() {
    let mut rig = Rig::new();
    let mut refused = |change: &dyn Fn(&Rig)| {
        change(&rig);
        let error = rig.files.read().expect_err("not usable").to_string();
        rig.write("autosign.conf", "");
        error
    };
    let large = "x\n".repeat(BYTES_MAX / 2 + 1);
    for (change, text) in [
        (&(|rig: &Rig| rig.write("autosign.conf", &"w*\n".repeat(1001))) as &dyn Fn(&Rig), "1000 lines"),
        (&|rig: &Rig| rig.write("autosign.conf", &large), "1048576 bytes"),
        (&|rig: &Rig| fs::write(rig.path("autosign.conf"), b"\xff\n").expect("written"), "utf-8"),
        (&|rig: &Rig| fs::remove_file(rig.path("autosign.conf")).expect("removed"), "cannot read"),
    ] {
        let error = refused(change);
        assert!(error.contains(text) && error.contains("autosign_file"), "{error}");
    }
    let pipe = rig.path("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).expect("a pipe");
    fs::rename(&pipe, rig.path("autosign.conf")).expect("renamed");
    assert!(rig.files.read().expect_err("no file").to_string().contains("it is not a file"));
}
