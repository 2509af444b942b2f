//! The running master: its socket, what it says of itself, its key's rotation.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use brine_client::ClientError;
use brine_local::Paths;
use brine_local::checkup::Check;
use brine_protocol::control::{Health, MasterRotation};
use nix::unistd::{Gid, Group};

use super::Said;
use crate::long::seen;

/// The group whose members may use the socket, where there is one.
const GROUP: &str = "brine";

pub(super) fn socket(paths: &Paths, said: &Said) -> Vec<Check> {
    let about = "master";
    let answers = match said {
        Ok(health) => Check::ok(
            about,
            format!(
                "version {} answers since {}; {} sessions",
                health.version,
                seen(health.since),
                health.sessions
            ),
        ),
        Err(ClientError::Refused(problem)) => Check::warn(
            about,
            format!("it answers, and refuses to tell how it is: {}", problem.detail),
            "run this as root or as the master's user, or get a role in master.yaml",
        ),
        // The sentence says what to do.
        Err(error) => Check::fail(about, "no answer", error.to_string()),
    };
    let mut checks = vec![answers];
    if let Ok(found) = fs::metadata(paths.control_socket()) {
        let group = Group::from_name(GROUP).ok().flatten().map(|group| group.gid);
        checks.push(permissions(found.permissions().mode() & 0o777, Gid::from_raw(found.gid()), group));
    }
    checks
}

fn permissions(mode: u32, owner: Gid, group: Option<Gid>) -> Check {
    let about = "socket";
    if mode & 0o007 != 0 {
        return Check::fail(
            about,
            format!("every user may connect (mode {mode:04o})"),
            "restart the master: it makes the socket anew with mode 0660",
        );
    }
    match group {
        Some(group) if group != owner => Check::warn(
            about,
            format!("it belongs to the group {owner} though there is a group {GROUP}"),
            "restart the master: it gives the socket to that group when it starts",
        ),
        Some(_) => Check::ok(about, format!("open to root, the master's user and the group {GROUP}")),
        None => Check::ok(about, "open to root and the master's user; there is no group brine"),
    }
}

pub(super) fn health(health: &Health) -> Vec<Check> {
    let problems = health.problems.iter().map(|problem| {
        Check::fail("health", problem, "the master's log has more; brine doctor shows counters")
    });
    let notices = health.notices.iter().map(|notice| Check::warn("notice", notice, "see master.yaml"));
    problems.chain(notices).collect()
}

pub(super) fn rotation(current: Result<Option<MasterRotation>, ClientError>) -> Vec<Check> {
    let about = "rotation";
    match current {
        Ok(None) => vec![Check::ok(about, "the master's key is not being rotated")],
        Ok(Some(rotation)) => vec![Check::warn(
            about,
            format!(
                "the key {} takes over at {}; {} minions have learned it, {} have not",
                rotation.to,
                seen(rotation.until),
                rotation.learned,
                rotation.missing.len()
            ),
            "brine-key rotate-master --status names those that have not",
        )],
        // Whoever may not know is not told; that is nothing ill.
        Err(ClientError::Refused(_)) => Vec::new(),
        Err(error) => vec![Check::fail(about, "it cannot be looked at", error.to_string())],
    }
}

#[cfg(test)]
mod tests {
    use brine_protocol::Fingerprint;
    use brine_protocol::time::Timestamp;

    use super::*;
    use brine_local::checkup::Grade;

    #[test]
    fn a_socket_is_for_few() {
        let (mine, brine) = (Gid::from_raw(0), Gid::from_raw(7));
        for (mode, owner, group, expected) in [
            (0o660, mine, None, Grade::Ok),
            (0o660, brine, Some(brine), Grade::Ok),
            (0o660, mine, Some(brine), Grade::Warn),
            (0o666, brine, Some(brine), Grade::Fail),
        ] {
            assert_eq!(permissions(mode, owner, group).grade, expected, "{mode:o} {owner} {group:?}");
        }
    }

    #[test]
    fn a_rotation_is_no_fault_but_told() {
        let rotation = |missing: &[&str]| MasterRotation {
            from: Fingerprint([1; 32]),
            to: Fingerprint([2; 32]),
            since: Timestamp(0),
            until: Timestamp(0),
            learned: 3,
            missing: missing.iter().map(|id| id.parse().expect("an id")).collect(),
        };
        let said = super::rotation(Ok(Some(rotation(&["web1"]))));
        assert_eq!(said[0].grade, Grade::Warn);
        assert!(said[0].says.contains("3 minions have learned it, 1 have not"), "{said:?}");
        assert_eq!(super::rotation(Ok(None))[0].grade, Grade::Ok);
    }
}
