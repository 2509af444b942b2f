//! Against a master in memory and a folder on a real disk.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use brine_protocol::modules::{Listed, Refused};
use bytes::Bytes;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

struct Rig {
    folder: tempfile::TempDir,
    syncs: Arc<Syncs>,
    asks: mpsc::UnboundedReceiver<Ask>,
    has: BTreeMap<FileName, Bytes>,
    refused: Vec<Refused>,
}

fn name(text: &str) -> FileName {
    text.parse().unwrap()
}

impl Rig {
    fn new() -> Self {
        let (syncs, asks) = channel();
        Self { folder: tempfile::tempdir().unwrap(), syncs, asks, has: BTreeMap::new(), refused: Vec::new() }
    }

    fn has(&mut self, files: &[(&str, &str)]) {
        self.has = files.iter().map(|(file, text)| (name(file), Bytes::from((*text).to_owned()))).collect();
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join("modules").join(file)
    }

    fn text(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.path(file)).ok()
    }

    fn start(&self) -> tokio::task::JoinHandle<Result<Synced, String>> {
        let (syncs, folder) = (Arc::clone(&self.syncs), self.path(""));
        tokio::spawn(async move { syncs.sync(folder, PATIENCE, |module| module == "test").await })
    }

    fn answer(&self, wish: &Wish) -> Answer {
        match wish {
            Wish::List => {
                let listed = |bytes: &Bytes| Listed { sha256: folder::digest(bytes), size: bytes.len() };
                let files = self.has.iter().map(|(file, bytes)| (file.clone(), listed(bytes))).collect();
                Answer::Listed(Box::new(Modules {
                    files,
                    refused: self.refused.clone(),
                    ..Modules::default()
                }))
            }
            Wish::Fetch(file, sha256) => {
                let body = self.has[file].clone();
                let (name, sha256, size) = (file.clone(), *sha256, body.len());
                Answer::Fetched(Box::new(Module { ask: 0, name, sha256, size, refused: None, body }))
            }
        }
    }

    /// Synchronises; the master's answers go through `change`. Gives what was fetched besides.
    async fn sync_with(&mut self, change: impl Fn(&mut Answer)) -> (Result<Synced, String>, Vec<String>) {
        let mut job = self.start();
        let mut fetched = Vec::new();
        loop {
            let ask = tokio::select! {
                done = &mut job => return (done.unwrap(), fetched),
                ask = self.asks.recv() => ask.unwrap(),
            };
            if let Wish::Fetch(file, _) = &ask.wish {
                fetched.push(file.to_string());
            }
            let mut answer = self.answer(&ask.wish);
            change(&mut answer);
            ask.answer.send(answer).unwrap();
        }
    }

    /// What has changed, and what was noticed.
    async fn sync(&mut self) -> (Vec<String>, Vec<String>) {
        let synced = self.sync_with(|_| {}).await.0.unwrap();
        (synced.changed, synced.notices)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.path(""))
            .map(|entries| entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect())
            .unwrap_or_default();
        names.sort();
        names
    }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[tokio::test]
async fn they_become_those_of_the_master() {
    let mut rig = Rig::new();
    assert_eq!(rig.sync().await, (vec![], vec![]));
    assert!(!rig.path("").exists(), "nothing to make a folder for");
    rig.has(&[("foo.py", "one"), ("bar", "two")]);
    assert_eq!(rig.sync().await, (texts(&["bar", "foo"]), vec![]));
    let mode = |file: &str| fs::metadata(rig.path(file)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(""), mode("foo.py"), mode("bar"), mode(".from-master")), (0o700, 0o700, 0o700, 0o600));
    assert_eq!((rig.text("foo.py"), rig.text("bar")), (Some("one".into()), Some("two".into())));
    assert_eq!(rig.sync_with(|_| {}).await, (Ok(Synced::default()), vec![]), "there is nothing to do");
    rig.has(&[("foo.py", "three")]);
    let (synced, fetched) = rig.sync_with(|_| {}).await;
    assert_eq!((synced.unwrap().changed, fetched), (texts(&["foo"]), texts(&["foo.py"])));
    assert_eq!((rig.text("foo.py"), rig.text("bar")), (Some("three".into()), None));
    rig.has(&[("foo.sh", "four")]);
    assert_eq!(rig.sync().await.0, ["foo"]);
    assert_eq!(rig.names(), [".from-master", "foo.sh"], "the same module under another extension");
    rig.has(&[]);
    assert_eq!(rig.sync().await, (vec![], vec![]));
    assert_eq!(rig.names(), [".from-master"]);
}

#[tokio::test]
async fn what_is_not_the_masters_is_left_alone_and_named() {
    let mut rig = Rig::new();
    rig.has(&[("own.sh", "master"), ("link", "master"), ("edited", "master")]);
    fs::create_dir(rig.path("")).unwrap();
    fs::set_permissions(rig.path(""), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(rig.path("own.sh"), "hand").unwrap();
    fs::write(rig.path("other.sh"), "hand").unwrap();
    symlink(rig.path("other.sh"), rig.path("link")).unwrap();
    let (changed, notices) = rig.sync().await;
    assert_eq!((changed, notices.len()), (texts(&["edited"]), 2));
    assert!(notices[0].starts_with("link: another file") && notices[1].starts_with("own.sh: another file"));
    fs::write(rig.path("edited"), "by hand").unwrap();
    rig.has(&[("own.sh", "master"), ("test.sh", "built in")]);
    rig.refused = vec![Refused { name: "big".into(), why: "it is too large".into() }];
    let (changed, notices) = rig.sync().await;
    assert_eq!((changed, notices.len()), (vec![], 3));
    assert_eq!(notices[0], "big: not handed out by the master: it is too large");
    assert_eq!(rig.text("own.sh").as_deref(), Some("hand"));
    assert_eq!(rig.text("edited").as_deref(), Some("by hand"), "it is no longer the master's");
    assert_eq!(rig.names(), [".from-master", "edited", "link", "other.sh", "own.sh"]);
}

/// What a master makes of an answer.
type Change = fn(&mut Module);

#[tokio::test]
async fn what_is_not_as_it_was_listed_replaces_nothing() {
    let mut rig = Rig::new();
    rig.has(&[("foo", "old")]);
    rig.sync().await;
    rig.has(&[("bar", "fine"), ("foo", "new")]);
    let changes: [(Change, &str); 4] = [
        (|module| module.body = Bytes::from_static(b"bad"), "another SHA-256"),
        (|module| module.body = Bytes::from_static(b"longer"), "6 bytes of foo and had listed 3"),
        (|module| module.name = "bar".parse().unwrap(), "3 bytes of bar"),
        (|module| module.refused = Some("it has changed".into()), "foo: it has changed"),
    ];
    for (change, said) in changes {
        let (synced, _) = rig
            .sync_with(|answer| match answer {
                Answer::Fetched(module) if module.name.as_str() == "foo" => change(module),
                Answer::Fetched(_) | Answer::Listed(_) => {}
            })
            .await;
        let synced = synced.unwrap();
        assert!(synced.notices[0].contains(said), "{synced:?}");
        assert_eq!((rig.text("foo").as_deref(), rig.text("bar").as_deref()), (Some("old"), Some("fine")));
    }
    assert_eq!(rig.sync().await, (texts(&["foo"]), vec![]), "it is still the master's to replace");
}

#[tokio::test]
async fn after_a_crash_it_goes_on() {
    let mut rig = Rig::new();
    rig.has(&[("a", "one"), ("b", "one")]);
    rig.sync().await;
    rig.has(&[("a", "two"), ("b", "two"), ("c", "two")]);
    // Killed once `a` is in place.
    let job = rig.start();
    for _ in 0..2 {
        let ask = rig.asks.recv().await.unwrap();
        ask.answer.send(rig.answer(&ask.wish)).unwrap();
    }
    assert!(matches!(rig.asks.recv().await.unwrap().wish, Wish::Fetch(file, _) if file.as_str() == "b"));
    job.abort();
    assert!(job.await.unwrap_err().is_cancelled());
    // What a process leaves that is killed while it writes.
    for unfinished in [".b.4711-0.new", "..from-master.4711-1.new"] {
        fs::write(rig.path(unfinished), "tw").unwrap();
    }
    fs::write(rig.path(".swp"), "an editor's").unwrap();
    assert_eq!((rig.text("a").as_deref(), rig.text("b").as_deref()), (Some("two"), Some("one")));
    let (synced, fetched) = rig.sync_with(|_| {}).await;
    assert_eq!((synced.unwrap().changed, fetched), (texts(&["b", "c"]), texts(&["b", "c"])));
    assert_eq!(rig.names(), [".from-master", ".swp", "a", "b", "c"]);
    rig.has(&[]);
    rig.sync().await;
    assert_eq!(rig.names(), [".from-master", ".swp"]);
}

#[tokio::test]
async fn a_file_that_appears_meanwhile_is_not_replaced() {
    let mut rig = Rig::new();
    rig.has(&[("foo", "master")]);
    let path = rig.path("foo");
    let (synced, _) = rig
        .sync_with(|answer| {
            if matches!(answer, Answer::Fetched(_)) {
                fs::write(&path, "hand").unwrap();
            }
        })
        .await;
    assert!(synced.unwrap().notices[0].contains("meanwhile"));
    assert_eq!(rig.text("foo").as_deref(), Some("hand"));
    rig.has(&[]);
    rig.sync().await;
    assert_eq!(rig.text("foo").as_deref(), Some("hand"));
}

#[tokio::test]
async fn jobs_take_turns() {
    let mut rig = Rig::new();
    rig.has(&[("foo", "one")]);
    let jobs = [rig.start(), rig.start(), rig.start()];
    let mut fetched = 0;
    let mut asked = 0;
    while jobs.iter().any(|job| !job.is_finished()) {
        let Ok(Some(ask)) = timeout(Duration::from_millis(20), rig.asks.recv()).await else { continue };
        assert!(rig.asks.try_recv().is_err(), "one asks at a time");
        fetched += usize::from(ask.wish != Wish::List);
        asked += 1;
        ask.answer.send(rig.answer(&ask.wish)).unwrap();
    }
    assert_eq!((asked, fetched), (4, 1));
    let mut changed = Vec::new();
    for job in jobs {
        changed.extend(job.await.unwrap().unwrap().changed);
    }
    assert_eq!(changed, ["foo"]);
}

#[tokio::test]
async fn a_master_that_does_not_answer_or_hands_out_nothing_changes_nothing() {
    let mut rig = Rig::new();
    rig.has(&[("foo", "one")]);
    rig.sync().await;
    let folder = rig.path("");
    let waited = rig.syncs.sync(folder.clone(), Duration::from_millis(20), |_| false).await.unwrap_err();
    assert_eq!(
        waited,
        "the master has not sent the list of its modules within 0.02 s; what was not replaced until now stays as it was"
    );
    assert!(rig.asks.recv().await.unwrap().answer.is_closed());
    let (problem, _) = rig
        .sync_with(|answer| {
            let problem = Some("others could change its folder".to_owned());
            *answer = Answer::Listed(Box::new(Modules { problem, ..Modules::default() }));
        })
        .await;
    assert!(problem.unwrap_err().ends_with("those here stay: others could change its folder"));
    assert_eq!(rig.text("foo").as_deref(), Some("one"));
    let alone = Syncs::default().sync(folder, PATIENCE, |_| false).await.unwrap_err();
    assert!(alone.contains("no master to ask"), "{alone}");
}

#[tokio::test]
async fn a_folder_that_others_may_change_and_a_broken_manifest_are_refused() {
    let mut rig = Rig::new();
    rig.has(&[("foo", "one")]);
    rig.sync().await;
    rig.has(&[("foo", "two")]);
    fs::set_permissions(rig.path(""), fs::Permissions::from_mode(0o770)).unwrap();
    let refused = rig.sync_with(|_| {}).await.0.unwrap_err();
    assert!(refused.contains("(mode 0770)") && refused.contains("chmod go-w"), "{refused}");
    fs::set_permissions(rig.path(""), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(rig.path(".from-master"), "{\"files\":{\"../x\":[]}}").unwrap();
    let refused = rig.sync_with(|_| {}).await.0.unwrap_err();
    assert!(refused.contains(".from-master") && refused.contains("remove it"), "{refused}");
    assert_eq!(rig.text("foo").as_deref(), Some("one"));
}
