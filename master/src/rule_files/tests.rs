use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};

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
    chmod(rig.folder.path(), 0o755);
    chmod(&rig.path("grains"), 0o1777);
    let refused = rig.files.read().expect_err("but anybody adds one to it").to_string();
    assert!(refused.contains("1777") && refused.contains("grains"), "{refused}");
}

impl Rig {
    /// Others get hold of something on the way, and lose it again: the next look sees both.
    fn refused_while(&mut self, name: &str, open: impl Fn(&Path), close: impl Fn(&Path), why: &str) {
        assert!(self.files.read().is_ok(), "{name}");
        assert!(self.settled().is_none(), "{name}");
        open(&self.path(name));
        let refused = self.settled().expect("changed").expect_err(name);
        assert!(refused.contains(why) && refused.contains(name), "{name}: {refused}");
        assert!(refused.contains("could be written by others"), "{refused}");
        close(&self.path(name));
        assert!(self.settled().expect("changed again").is_ok(), "{name}");
    }
}

#[test]
fn whoever_could_change_the_way_to_a_file_could_change_the_file() {
    let mut rig = Rig::new();
    for folder in ["up", "up/here", "links", "far", "far/away"] {
        fs::create_dir(rig.path(folder)).expect("a folder");
        chmod(&rig.path(folder), 0o755);
    }
    rig.write("far/away/rejected", "evil\n");
    rig.write("far/away/uuid", "u-9\n");
    // autoreject.conf -> up/here/../link -> links/now -> far/away/rejected
    let link = |to: &str, name: &str| symlink(to, rig.path(name)).expect("a link");
    fs::remove_file(rig.path("autoreject.conf")).expect("removed");
    link("up/here/../link", "autoreject.conf");
    link("../links/now", "up/link");
    link(rig.path("far/away/rejected").to_str().expect("a text"), "links/now");
    link("../far/away/uuid", "grains/serial");
    let rules = rig.files.read().expect("readable");
    assert_eq!(rules.autoreject.find("evil"), Some("evil"));
    assert!(rules.autosign_grains["serial"].contains("u-9"));

    let (open, close) = (|path: &Path| chmod(path, 0o777), |path: &Path| chmod(path, 0o755));
    for folder in ["up", "up/here", "links", "far", "far/away", "grains"] {
        rig.refused_while(folder, open, close, "mode 0777");
    }
    // A link that is pointed elsewhere is a change, whatever it points to.
    fs::remove_file(rig.path("links/now")).expect("removed");
    rig.write("other", "evil2\n");
    symlink(rig.path("other"), rig.path("links/now")).expect("a link");
    let rules = rig.settled().expect("changed").expect("readable");
    assert_eq!((rules.autoreject.find("evil2"), rules.autoreject.find("evil")), (Some("evil2"), None));
    fs::remove_file(rig.path("other")).expect("removed");
    symlink("../links/now", rig.path("links/now.new")).expect("a link");
    fs::rename(rig.path("links/now.new"), rig.path("links/now")).expect("renamed");
    let refused = rig.settled().expect("changed").expect_err("it leads to itself");
    assert!(refused.contains("symbolic link"), "{refused}");
}

#[test]
fn a_folder_of_grains_is_checked_though_it_is_empty() {
    let mut rig = Rig::new();
    fs::remove_file(rig.path("grains/uuid")).expect("removed");
    rig.refused_while("grains", |path| chmod(path, 0o777), |path| chmod(path, 0o755), "mode 0777");
}

#[test]
fn what_belongs_to_somebody_else_is_his_to_change() {
    let mut rig = Rig::new();
    let own = rig.files.own_uid;
    if own == 0 {
        fs::create_dir(rig.path("up")).expect("a folder");
        fs::create_dir(rig.path("up/here")).expect("a folder");
        rig.write("up/here/rejected", "evil\n");
        fs::remove_file(rig.path("autoreject.conf")).expect("removed");
        symlink("up/here/rejected", rig.path("autoreject.conf")).expect("a link");
        let give = |uid| move |path: &Path| lchown(path, Some(uid), None).expect("root");
        for name in ["up", "up/here", "up/here/rejected", "autoreject.conf", "grains", "grains/uuid"] {
            rig.refused_while(name, give(12345), give(0), "it belongs to user 12345");
        }
    } else {
        // What is ours belongs to somebody else as far as another user's master can tell.
        rig.files.own_uid = own + 1;
        let refused = rig.files.read().expect_err("ours").to_string();
        assert!(refused.contains(&format!("it belongs to user {own}")), "{refused}");
    }
}

#[test]
fn who_may_change_a_step_depends_on_what_it_is() {
    let rig = Rig::new();
    symlink("autosign.conf", rig.path("link")).expect("a link");
    let facts = |name| Facts::of(&fs::symlink_metadata(rig.path(name)).expect("there"));
    let (folder, file, link) = (facts("grains"), facts("autosign.conf"), facts("link"));
    for (facts, mode, uid, is_end, why) in [
        (folder, 0o755, 0, false, None),
        (folder, 0o755, 7, false, None),
        (folder, 0o755, 8, false, Some("it belongs to user 8")),
        (folder, 0o775, 0, false, Some("mode 0775")),
        (folder, 0o757, 7, true, Some("mode 0757")),
        // Like /tmp: fine to pass through, and nowhere to read names from.
        (folder, 0o1777, 0, false, None),
        (folder, 0o1777, 7, false, None),
        (folder, 0o1777, 8, false, Some("it belongs to user 8")),
        (folder, 0o1777, 0, true, Some("mode 1777")),
        (file, 0o600, 7, true, None),
        (file, 0o644, 8, true, Some("it belongs to user 8")),
        (file, 0o1666, 0, true, Some("mode 1666")),
        (link, 0o777, 0, false, None),
        (link, 0o777, 8, false, Some("it belongs to user 8")),
    ] {
        let weakness = facts.with(mode, uid).weakness(Path::new("x"), 7, is_end);
        assert_eq!(weakness.as_ref().map(|(why, _)| why.as_str()), why, "{facts:?} {mode:o} {uid} {is_end}");
    }
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
        (&|rig: &Rig| rig.write("autosign.conf", "web1\n(?!prod-).*\n"), "line 2 is neither"),
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
