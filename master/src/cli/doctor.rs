//! `brine doctor`: is the master there, and is it well? And how is one minion?

mod minion;

use std::path::Path;

use brine_client::{Client, ClientError, Exit, Unreachable};
use brine_local::Paths;
use brine_local::checkup::{self, Check, Grade};
use brine_local::file;
use brine_local::output::Style;
use brine_protocol::MinionId;
use brine_protocol::control::{Health, MasterState};
use serde_json::{Map, Value};

use super::failure::Failure;
use super::jobs::seconds;
use super::print;

/// `master.json` is far smaller.
const STATE_MAX: u64 = 64 * 1024;

/// Prints how the master is, and then how one minion is if one is named. Exit code 1 when something
/// does not work.
pub(super) async fn run(
    client: &Client,
    paths: &Paths,
    of: Option<&MinionId>,
    style: &Style,
) -> Result<Exit, Failure> {
    let checks = match client.health().await {
        Err(error) => unreachable(&error, paths),
        Ok(health) => match of {
            None => master(&health),
            Some(id) => {
                let keys = client.keys_of(&minion::query(id)).await?;
                let known = match client.minion(id).await {
                    Ok(minion) => Some(minion),
                    Err(ClientError::Refused(_)) => None,
                    Err(error) => return Err(error.into()),
                };
                minion::judge(id, &keys, known.as_ref(), &health)
            }
        },
    };
    print(&checkup::page(&checks, style, false))?;
    Ok(if checkup::has_failed(&checks) { Exit::Failed } else { Exit::Ok })
}

/// Why there is no answer.
fn unreachable(error: &ClientError, paths: &Paths) -> Vec<Check> {
    let about = "master";
    let advice = match error {
        ClientError::Unreachable { why: Unreachable::Forbidden, .. } => {
            "run this as root, or join the group (usermod -aG brine USER, then log in anew) and get a role in \
             master.yaml"
        }
        ClientError::Unreachable { why: Unreachable::NotRunning | Unreachable::NotListening, .. } => {
            "systemctl start brine-master; if it ends again, its log says why: journalctl -u brine-master"
        }
        ClientError::Unreachable { why: Unreachable::Silent(_) | Unreachable::Lost, .. } => {
            "it may be starting or stopping: try again; if not, look at its log: journalctl -u brine-master"
        }
        ClientError::Unreachable { .. } => "mend that, and try again",
        ClientError::Refused(_) => "run this as root, or get a role in master.yaml",
        ClientError::Protocol(_) => "update the older of the two",
    };
    let mut checks = vec![Check::fail(about, error.to_string(), advice)];
    if matches!(error, ClientError::Unreachable { .. }) {
        checks.extend(process(&paths.master_json(), |pid| Path::new(&format!("/proc/{pid}")).exists()));
    }
    checks
}

/// What became of the process that wrote `master.json`.
fn process(path: &Path, is_alive: impl Fn(u32) -> bool) -> Option<Check> {
    let text = file::read_text(path, STATE_MAX).ok()?;
    let state: MasterState = serde_json::from_str(&text).ok()?;
    let (pid, path) = (state.pid, path.display());
    Some(if is_alive(pid) {
        Check::warn(
            "process",
            format!("{path} names process {pid}, which runs"),
            "if that is brine-master, it is starting, stopping or stuck; its log tells",
        )
    } else {
        Check::fail(
            "process",
            format!("{path} names process {pid}, which is gone: the master crashed or was killed"),
            "start it again; nothing that was accepted is lost",
        )
    })
}

fn master(health: &Health) -> Vec<Check> {
    let about = "master";
    let mut checks = vec![
        Check::ok(
            about,
            format!(
                "{}: version {} answers since {}, with {} sessions",
                health.status,
                health.version,
                seconds(&health.since.to_string()),
                health.sessions
            ),
        ),
        Check::ok("fingerprint", health.fingerprint.to_string()),
        Check::ok("ports", format!("{} (broadcasts), {} (returns)", health.publish_port, health.ret_port)),
    ];
    let log = "its log has more: journalctl -u brine-master";
    checks.extend(health.problems.iter().map(|problem| Check::fail("health", problem, log)));
    checks.extend(health.notices.iter().map(|notice| Check {
        about: "notice",
        grade: Grade::Warn,
        says: notice.clone(),
        // The sentence says it, or there is nothing to do.
        advice: None,
    }));
    checks.extend(keys(&health.keys));
    checks.push(Check::ok("counted", counts(&health.counters, true)));
    checks
}

/// How many keys there are, and those that somebody should look at.
fn keys(keys: &Map<String, Value>) -> Vec<Check> {
    let mut checks = vec![Check::ok("keys", counts(keys, false))];
    for (state, what, advice) in [
        ("pending", "wait for a decision", "brine-key -L lists them, brine-key -a ID accepts one"),
        (
            "denied",
            "were denied because another key holds their id: two machines with one id, or one installed anew",
            "brine-key doctor shows both keys of each",
        ),
    ] {
        let count = keys.get(state).and_then(Value::as_u64).unwrap_or(0);
        if count > 0 {
            checks.push(Check::warn("keys", format!("{count} {what}"), advice));
        }
    }
    checks
}

/// `name 1, name 2`; what never happened is left out where there is much to count.
fn counts(map: &Map<String, Value>, without_zeros: bool) -> String {
    let counts: Vec<String> = map
        .iter()
        .filter(|(_, value)| !(without_zeros && value.as_u64() == Some(0)))
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    if counts.is_empty() { "nothing yet".to_owned() } else { counts.join(", ") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_master_that_was_killed_is_told_from_one_that_runs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.json");
        assert_eq!(process(&path, |_| true), None);
        let state = json!({
            "pid": 4711, "publish_port": 1, "ret_port": 2,
            "fingerprint": brine_protocol::Fingerprint([1; 32]),
        });
        std::fs::write(&path, state.to_string()).unwrap();
        let dead = process(&path, |_| false).unwrap();
        assert!(dead.grade == Grade::Fail && dead.says.contains("process 4711, which is gone"), "{dead:?}");
        assert_eq!(process(&path, |pid| pid == 4711).unwrap().grade, Grade::Warn);
    }

    #[test]
    fn keys_that_need_a_look_are_counted_with_what_shows_them() {
        let map = |value: Value| value.as_object().cloned().unwrap();
        let well = keys(&map(json!({"accepted": 3, "denied": 0, "pending": 0})));
        assert_eq!(well, [Check::ok("keys", "accepted 3, denied 0, pending 0")]);
        let said = keys(&map(json!({"accepted": 3, "denied": 2, "pending": 1})));
        assert!(said[1].says.starts_with("1 wait") && said[2].says.starts_with("2 were denied"), "{said:?}");
        assert!(said[1..].iter().all(|check| check.grade == Grade::Warn && check.advice.is_some()));
    }
}
