//! A disk that fails, and a power cut: what programs wrote under a folder and did not flush is
//! taken back.
//!
//! `disk/shim.c` is preloaded into the programs and writes down what they do. The model is strict,
//! as POSIX is: a file that was flushed in a folder that was not has no name after the cut. A flush
//! that failed loses what it should have written, also if a later one says that all is well, unless
//! the page was written again in between.

mod replay;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use replay::{Event, Names};

/// A rule by which calls fail.
#[derive(Debug, Clone)]
pub struct Rule {
    /// What it is called in [`Disk::fired`]; it is counted under this name.
    pub id: &'static str,
    /// `write`, `sync`, `truncate`, `create`, `rename` or `unlink`.
    pub call: &'static str,
    /// The files, as a glob in which `*` also matches slashes.
    pub pattern: String,
    /// Calls that succeed before.
    pub skip: i64,
    /// Calls that fail then; -1 for all.
    pub times: i64,
    /// With what they fail; 0 writes [`Self::short`] bytes.
    pub errno: i32,
    /// Bytes that are written of a write that does not fail.
    pub short: u64,
}

impl Rule {
    /// The first call on such a file fails.
    #[must_use]
    pub fn once(id: &'static str, call: &'static str, pattern: &str, errno: nix::errno::Errno) -> Self {
        Self { id, call, pattern: pattern.to_owned(), skip: 0, times: 1, errno: errno as i32, short: 0 }
    }
}

/// What a power cut took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taken {
    /// Writes of which nothing is left.
    pub writes: usize,
    /// Writes of which a part is left.
    pub torn: usize,
    /// Names that are as they were before.
    pub names: usize,
}

impl std::ops::AddAssign for Taken {
    fn add_assign(&mut self, more: Self) {
        self.writes += more.writes;
        self.torn += more.torn;
        self.names += more.names;
    }
}

/// The disk under one folder.
#[derive(Debug)]
pub struct Disk {
    root: PathBuf,
    state: PathBuf,
    slow_us: u64,
}

impl Disk {
    /// Watches the folder `root`, with its notes in the new folder `state` on the same disk.
    ///
    /// # Panics
    /// The folders cannot be made, or the shim cannot be compiled.
    #[must_use]
    pub fn under(root: &Path, state: &Path, slow_us: u64) -> Self {
        fs::create_dir_all(root).expect("the watched folder");
        fs::create_dir_all(state.join("grave")).expect("the folder of notes");
        let [root, state] = [root, state].map(|path| path.canonicalize().expect("it was just made"));
        let _ = shim();
        Self { root, state, slow_us }
    }

    /// Has a command work on this disk.
    pub fn give_to(&self, command: &mut Command) {
        command.env("LD_PRELOAD", shim()).env("BRINE_DISK_ROOT", &self.root);
        command.env("BRINE_DISK_STATE", &self.state).env("BRINE_DISK_SLOW_US", self.slow_us.to_string());
    }

    /// Replaces the rules.
    ///
    /// # Panics
    /// They cannot be written.
    pub fn rule(&self, rules: &[Rule]) {
        let mut text = String::new();
        for Rule { id, call, pattern, skip, times, errno, short } in rules {
            text += &format!("{id} {call} {pattern} {skip} {times} {errno} {short}\n");
        }
        let new = self.state.join("control.new");
        fs::write(&new, text).expect("the folder of notes");
        fs::rename(&new, self.state.join("control")).expect("the folder of notes");
    }

    /// How often a rule has come true.
    #[must_use]
    pub fn fired(&self, id: &str) -> usize {
        let text = fs::read_to_string(self.state.join("fired")).unwrap_or_default();
        text.lines().filter(|line| line.split(' ').next() == Some(id)).count()
    }

    /// The power fails: what was not flushed is gone, or, where `chance` says so, there in part. No
    /// program may run on this disk.
    ///
    /// # Panics
    /// The notes cannot be read, or a file cannot be put back.
    pub fn cut(&self, mut chance: Option<&mut Chance>) -> Taken {
        let events = self.events();
        let mut taken = Taken::default();
        let paths = self.inodes();
        for ino in replay::written(&events) {
            if let Some(path) = paths.get(&ino) {
                let bytes = fs::read(path).expect("a file of ours");
                let chance = chance.as_deref_mut();
                let left = replay::after_cut(&events, ino, bytes, chance, &mut taken);
                fs::write(path, left).expect("a file of ours");
            }
        }
        for undo in replay::undone(&events, chance) {
            taken.names += 1;
            self.undo(&undo);
        }
        self.forget();
        taken
    }

    /// Memory is given back as well: of what a failed flush lost nothing can be read any more. True to
    /// life only where the next start asks for that; says which files it was about.
    ///
    /// # Panics
    /// As [`Self::cut`] does.
    #[must_use]
    pub fn reveal(&self) -> Vec<PathBuf> {
        let events = self.events();
        let paths = self.inodes();
        let mut revealed = Vec::new();
        for ino in replay::failed(&events) {
            if let Some(path) = paths.get(&ino) {
                let bytes = fs::read(path).expect("a file of ours");
                let left = replay::without_lost(&events, ino, bytes.clone());
                if left != bytes {
                    fs::write(path, left).expect("a file of ours");
                    let notes = fs::File::options().append(true).open(self.state.join("events"));
                    let noted = notes.and_then(|mut notes| notes.write_all(&replay::revealed(ino)));
                    noted.expect("the folder of notes");
                    revealed.push(path.clone());
                }
            }
        }
        revealed
    }

    /// Whether a program asked to read this file from the disk, and not from memory.
    #[must_use]
    pub fn was_read_anew(&self, path: &Path) -> bool {
        let ino = fs::metadata(path).map_or(0, |found| found.ino());
        self.events().iter().any(|event| event.kind == b'N' && event.ino == ino)
    }

    /// Takes what is there as being on the disk, and drops the rules.
    ///
    /// # Panics
    /// The notes cannot be removed.
    pub fn forget(&self) {
        for name in ["events", "fired", "control"] {
            let _ = fs::remove_file(self.state.join(name));
        }
        fs::remove_dir_all(self.state.join("grave")).expect("the folder of notes");
        fs::create_dir(self.state.join("grave")).expect("the folder of notes");
    }

    fn events(&self) -> Vec<Event> {
        replay::read(&fs::read(self.state.join("events")).unwrap_or_default())
    }

    /// Where each file is, also those that were removed.
    fn inodes(&self) -> BTreeMap<u64, PathBuf> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.state.join("grave"), self.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                match entry.metadata() {
                    Ok(about) if about.is_dir() => folders.push(entry.path()),
                    Ok(about) if about.is_file() => drop(found.insert(about.ino(), entry.path())),
                    _ => {}
                }
            }
        }
        found
    }

    fn undo(&self, names: &Names) {
        let grave = |ino: u64| self.state.join("grave").join(ino.to_string());
        // What is in the way was made by something that is undone as well, or is gone with its folder.
        let _ = match names {
            Names::Created(path) => fs::remove_file(path),
            Names::Removed(path, ino) => fs::hard_link(grave(*ino), path),
            Names::Renamed { from, to, replaced } => fs::rename(to, from)
                .and_then(|()| if *replaced > 0 { fs::hard_link(grave(*replaced), to) } else { Ok(()) }),
            Names::FolderMade(path) => fs::remove_dir_all(path),
            Names::FolderRemoved(path) => fs::create_dir(path),
        };
    }
}

/// Chance that can be repeated: splitmix64.
#[derive(Debug, Clone)]
pub struct Chance(pub u64);

impl Chance {
    /// A number below this one.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % (end as u64)).expect("below a usize")
    }
}

/// The compiled shim, made once for each state of its source.
fn shim() -> &'static Path {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    SHIM.get_or_init(|| {
        let source = include_bytes!("../disk/shim.c");
        let name = source.iter().fold(0_u64, |sum, byte| sum.rotate_left(5) ^ u64::from(*byte) ^ sum << 1);
        let folder = std::env::current_exe().expect("a running test knows its file");
        let folder = folder.parent().expect("a file is in a folder");
        let path = folder.join(format!("brine-disk-{name:016x}.so"));
        if !path.exists() {
            let own = folder.join(format!("brine-disk-{}.so", std::process::id()));
            let done = Command::new("cc")
                .args(["-O1", "-shared", "-fPIC", "-o"])
                .arg(&own)
                .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/disk/shim.c"))
                .output()
                .expect("cc runs");
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            fs::rename(&own, &path).expect("the folder of the tests is writable");
        }
        path
    })
}
