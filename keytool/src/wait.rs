//! `--wait-for N`: until so many keys wait for a decision. Waits for the master as well, and never
//! works on its files: keys only arrive while it runs.

use std::time::{Duration, Instant};

use brine_client::{Client, ClientError};
use brine_protocol::control::{Key, KeyState, KeysQuery};

use crate::failure::Failure;
use crate::options::Common;
use crate::source::Source;

/// The first look comes after this, later ones less often.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// Looks come at least this often.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Silence up to here is what one expects of a command.
const QUIET_AT_FIRST: Duration = Duration::from_secs(1);

pub(crate) async fn until_pending(line: &Common, wanted: u64) -> Result<Source, Failure> {
    let client = Client::new(&line.paths().control_socket()).acting_as(line.act_as.clone());
    let query = KeysQuery { id: None, public_key: false };
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut said = None;
    loop {
        let state = match client.keys_of(&query).await {
            Ok(keys) => State::Pending(count(&keys)),
            Err(error @ ClientError::Unreachable { .. }) if may_pass(&error) => State::NoMaster(error),
            Err(error) => return Err(error.into()),
        };
        if matches!(state, State::Pending(found) if found >= wanted) {
            let health = client.health().await.ok();
            return Ok(Source::online(client, health));
        }
        if start.elapsed() >= line.timeout {
            return Err(match state {
                State::NoMaster(error) => error.into(),
                State::Pending(found) => Failure::Nothing(format!(
                    "after {} s {found} of {wanted} keys wait; nothing was changed",
                    line.timeout.as_secs_f64()
                )),
            });
        }
        let progress = match &state {
            State::NoMaster(_) => "no master yet".to_owned(),
            State::Pending(found) => format!("{found} of {wanted} keys wait"),
        };
        if start.elapsed() >= QUIET_AT_FIRST && said.as_ref() != Some(&progress) {
            eprintln!("brine-key: {progress} …");
            said = Some(progress);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

enum State {
    NoMaster(ClientError),
    Pending(u64),
}

fn may_pass(error: &ClientError) -> bool {
    matches!(error, ClientError::Unreachable { why, .. } if why.may_pass())
}

/// Keys that wait, whatever the action is about.
fn count(keys: &[Key]) -> u64 {
    keys.iter().filter(|key| key.state == KeyState::Pending).count() as u64
}

#[cfg(test)]
mod tests {
    use brine_client::Exit;
    use brine_local::Paths;
    use clap::Parser;

    use super::*;
    use crate::act::tests::serve;
    use crate::select::tests::key;

    fn line(root: &std::path::Path, words: &str) -> Common {
        let root = root.to_str().expect("a path of text");
        let words = ["brine-key", "--root-dir", root].into_iter().chain(words.split_whitespace());
        crate::options::Line::try_parse_from(words).expect("a good line").common
    }

    #[tokio::test]
    async fn for_the_master_and_for_keys() {
        let root = tempfile::tempdir().expect("a folder");
        let line = line(root.path(), "-a web* --wait-for 2 --timeout 20");
        let later = async {
            tokio::time::sleep(Duration::from_millis(60)).await;
            let (_, keys) =
                serve(root.path(), vec![key("web1", KeyState::Pending, 1), key("db1", KeyState::Pending, 2)]);
            tokio::time::sleep(Duration::from_millis(60)).await;
            keys.lock().expect("unpoisoned").push(key("web2", KeyState::Pending, 3));
        };
        let (source, ()) = tokio::join!(until_pending(&line, 3), later);
        assert!(matches!(source, Ok(Source::Online(_))));
    }

    #[tokio::test]
    async fn not_for_ever() {
        let root = tempfile::tempdir().expect("a folder");
        let line = line(root.path(), "-A --wait-for 1 --timeout 0.1");
        let failure = until_pending(&line, 1).await.err().expect("no master");
        assert_eq!(failure.exit(), Exit::Unreachable);
        // Files of a stopped master are no place where keys arrive.
        let paths = Paths::new(Some(root.path()), None);
        std::fs::create_dir_all(paths.master_state_dir()).expect("a folder");
        std::fs::write(paths.ledger(), "").expect("a file");
        let failure = until_pending(&line, 1).await.err().expect("no master");
        assert_eq!(failure.exit(), Exit::Unreachable);
        serve(root.path(), vec![key("web1", KeyState::Accepted, 1)]);
        let failure = until_pending(&line, 1).await.err().expect("no keys");
        assert_eq!(
            (failure.exit(), failure.to_string().as_str()),
            (Exit::Failed, "after 0.1 s 0 of 1 keys wait; nothing was changed")
        );
    }
}
