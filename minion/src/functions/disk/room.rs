//! How much room file systems have, without ever waiting for one that does not answer.
//!
//! The question can hang in the kernel for as long as a server is gone, and nothing ends it. So
//! threads of their own ask, and whoever wants to know waits for a while only. A file system that
//! did not answer in that time is not asked again until it does, so that threads do not pile up.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::statvfs::{Statvfs, statvfs};
use tokio::sync::mpsc;

/// How long all answers are awaited.
const PATIENCE: Duration = Duration::from_secs(10);

/// Most threads of one call. Those that answer at once are asked first, so that the others cannot
/// take all of them.
const THREADS: usize = 8;

/// What a file system says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::functions) struct Room {
    /// The unit of all blocks here, in bytes.
    pub(in crate::functions) unit: u64,
    /// All blocks.
    pub(in crate::functions) blocks: u64,
    /// Free ones, with those that are kept for root.
    pub(in crate::functions) free: u64,
    /// Free ones for everybody.
    pub(in crate::functions) available: u64,
    /// All inodes; 0 where they are not counted.
    pub(in crate::functions) inodes: u64,
    /// Free inodes.
    pub(in crate::functions) inodes_free: u64,
}

impl From<Statvfs> for Room {
    fn from(found: Statvfs) -> Self {
        Self {
            unit: found.fragment_size(),
            blocks: found.blocks(),
            free: found.blocks_free(),
            available: found.blocks_available(),
            inodes: found.files(),
            inodes_free: found.files_free(),
        }
    }
}

type Answer = Result<Room, Errno>;

/// Asks for each path; with it stands whether its answer comes over a network. Paths without an
/// answer in time are missing in what comes back.
pub(in crate::functions) async fn ask(paths: Vec<(String, bool)>) -> BTreeMap<String, Answer> {
    ask_by(paths, PATIENCE, |path| statvfs(path).map(Room::from)).await
}

/// Paths that have not answered, and since when they are asked.
static UNANSWERED: Mutex<BTreeMap<String, Instant>> = Mutex::new(BTreeMap::new());

fn unanswered() -> MutexGuard<'static, BTreeMap<String, Instant>> {
    // A map of names is whole at every point where a panic could happen.
    UNANSWERED.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn ask_by(
    mut paths: Vec<(String, bool)>,
    patience: Duration,
    question: impl Fn(&str) -> Answer + Clone + Send + 'static,
) -> BTreeMap<String, Answer> {
    paths.sort_by_key(|(_, is_remote)| *is_remote);
    let count = THREADS.min(paths.len());
    let queue: VecDeque<String> = paths.into_iter().map(|(path, _)| path).collect();
    let queue = Arc::new(Mutex::new(queue));
    let (tell, mut told) = mpsc::unbounded_channel();
    for _ in 0..count {
        let (queue, tell, question) = (Arc::clone(&queue), tell.clone(), question.clone());
        let work = move || {
            let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            while let Some(path) = next() {
                let since = *unanswered().entry(path.clone()).or_insert_with(Instant::now);
                if since.elapsed() >= patience {
                    continue;
                }
                let answer = question(&path);
                unanswered().remove(&path);
                if tell.send((path, answer)).is_err() {
                    // Nobody waits any more.
                    return;
                }
            }
        };
        // With fewer threads it takes longer, and with none nothing answers.
        if std::thread::Builder::new().name("brine-statvfs".to_owned()).spawn(work).is_err() {
            break;
        }
    }
    drop(tell);
    let mut answers = BTreeMap::new();
    let collect = async {
        while let Some((path, answer)) = told.recv().await {
            answers.insert(path, answer);
        }
    };
    let _ = tokio::time::timeout(patience, collect).await;
    answers
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    const ROOM: Room = Room { unit: 1, blocks: 2, free: 1, available: 1, inodes: 0, inodes_free: 0 };

    #[tokio::test]
    async fn one_that_hangs_holds_up_nothing_and_is_not_asked_again() {
        let (asked, heard): (Sender<()>, Receiver<()>) = channel();
        let (release, gate): (Sender<()>, Receiver<()>) = channel();
        let (gate, asked) = (Arc::new(Mutex::new(gate)), Arc::new(Mutex::new(asked)));
        let question = move |path: &str| {
            if path == "test:/hangs" {
                asked.lock().unwrap().send(()).unwrap();
                // Until the sender is gone.
                let _ = gate.lock().unwrap().recv();
            }
            if path == "test:/denied" { Err(Errno::EACCES) } else { Ok(ROOM) }
        };
        let paths =
            || ["test:/a", "test:/hangs", "test:/denied"].map(|path| (path.to_owned(), false)).to_vec();
        let others: BTreeMap<String, Answer> =
            [("test:/a".to_owned(), Ok(ROOM)), ("test:/denied".to_owned(), Err(Errno::EACCES))].into();
        for _ in 0..3 {
            let answers = ask_by(paths(), Duration::from_millis(300), question.clone()).await;
            assert_eq!(answers, others);
        }
        assert_eq!(heard.try_iter().count(), 1, "it was asked once, and the others were not lost");
        drop(release);
        while unanswered().contains_key("test:/hangs") {
            tokio::task::yield_now().await;
        }
        let answers = ask_by(paths(), Duration::from_secs(10), question).await;
        assert_eq!(answers["test:/hangs"], Ok(ROOM));
    }

    #[tokio::test]
    async fn what_is_near_is_asked_first() {
        let order = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&order);
        let question = move |path: &str| {
            seen.lock().unwrap().push(path.to_owned());
            Ok(ROOM)
        };
        let mut paths: Vec<(String, bool)> = (0..40).map(|n| (format!("near:{n}"), false)).collect();
        paths.insert(0, ("far:".to_owned(), true));
        assert_eq!(ask_by(paths, Duration::from_secs(10), question).await.len(), 41);
        let at = order.lock().unwrap().iter().position(|path| path == "far:").unwrap();
        assert!(at > 40 - THREADS, "{at}");
    }
}
