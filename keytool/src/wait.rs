//! `--wait-for N`: until so many keys wait for a decision. Waits for the master as well, and never
//! works on its files: keys only arrive while it runs.

use std::time::{Duration, Instant};

use brine_client::{Client, ClientError};
use brine_protocol::control::{Key, KeyState};

use crate::failure::Failure;
use crate::options::{Action, Line};
use crate::source::Source;

/// The first look comes after this, later ones less often.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// Looks come at least this often.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Silence up to here is what one expects of a command.
const QUIET_AT_FIRST: Duration = Duration::from_secs(1);

pub(crate) async fn until_pending(line: &Line, action: &Action, wanted: u64) -> Result<Source, Failure> {
    let client = Client::new(&line.paths().control_socket()).acting_as(line.act_as.clone());
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut said = None;
    loop {
        let state = match client.keys().await {
            Ok(keys) => State::Pending(count(&keys, action)),
            Err(error @ ClientError::Unreachable { .. }) if may_pass(&error) => State::NoMaster(error),
            Err(error) => return Err(error.into()),
        };
        if matches!(state, State::Pending(found) if found >= wanted) {
            return Ok(Source::Online(client));
        }
        if start.elapsed() >= line.timeout {
            return Err(match state {
                State::NoMaster(error) => error.into(),
                State::Pending(found) => Failure::NotInTime(format!(
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

/// Pending keys that the action is about.
fn count(keys: &[Key], action: &Action) -> u64 {
    let is_meant = |key: &&Key| {
        key.state == KeyState::Pending
            && match action {
                Action::Act { whom, .. } => {
                    whom.pattern.matches(&key.id) && whom.expect.is_none_or(|expected| key.fingerprint == expected)
                }
                Action::Print(pattern) | Action::Finger { pattern, .. } => pattern.matches(&key.id),
                Action::List(_) | Action::Generate { .. } | Action::LedgerVerify | Action::LedgerRepair => true,
            }
    };
    keys.iter().filter(is_meant).count() as u64
}
