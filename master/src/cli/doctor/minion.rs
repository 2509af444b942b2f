//! How one minion is, as far as the master knows.

use brine_local::checkup::Check;
use brine_protocol::MinionId;
use brine_protocol::control::{Health, Key, KeyState, KeysQuery, Minion, Presence};

use crate::cli::jobs::seconds;
use crate::cli::minions::presence_text;

pub(super) fn query(id: &MinionId) -> KeysQuery {
    KeysQuery { id: Some(id.clone()), public_key: false }
}

pub(super) fn judge(id: &MinionId, keys: &[Key], known: Option<&Minion>, health: &Health) -> Vec<Check> {
    let mut checks: Vec<Check> = keys.iter().map(key).collect();
    if keys.is_empty() {
        checks.push(Check::fail(
            "key",
            format!("no machine has come with the id {id}"),
            "on that machine: brine-minion doctor; brine-key -L lists the ids that have come",
        ));
    }
    if let Some(minion) = known {
        checks.extend(minion_of(minion));
    }
    let clash = format!("the id {id} with one key");
    let advice = "brine events --tag 'brine/minion/*/clash' shows each turn";
    let clashes = health.problems.iter().filter(|problem| problem.contains(&clash));
    checks.extend(clashes.map(|problem| Check::fail("clash", problem, advice)));
    checks
}

fn key(key: &Key) -> Check {
    let (about, id, fingerprint) = ("key", &key.id, key.fingerprint);
    let from = key.address.as_deref().unwrap_or("nowhere");
    match key.state {
        KeyState::Accepted => Check::ok(about, format!("accepted: {fingerprint}")),
        KeyState::Pending => Check::fail(
            about,
            format!("waits for a decision (pending), from {from}: {fingerprint}"),
            format!("compare it with brine-minion fingerprint there, then: brine-key -a {id}"),
        ),
        KeyState::Rejected => Check::fail(
            about,
            format!("rejected: {fingerprint}"),
            format!(
                "brine-key history {id} says who and why; brine-key -a {id} --include-rejected lets it in"
            ),
        ),
        KeyState::Suspended => Check::fail(
            about,
            format!("suspended, it gets no orders: {fingerprint}"),
            format!("brine-key history {id} says who and why; brine-key resume {id} ends it"),
        ),
        KeyState::Denied => Check::warn(
            about,
            format!("denied, because another key holds the id, from {from}: {fingerprint}"),
            format!(
                "two machines with this id: give one another id; if the machine was installed anew: \
                 brine-key -d {id}, then brine-key -a {id}"
            ),
        ),
    }
}

fn minion_of(minion: &Minion) -> Vec<Check> {
    let about = "presence";
    let from = minion.address.as_deref().map(|address| format!(", from {address}")).unwrap_or_default();
    let since = minion.since.map(|since| format!(" since {}", seconds(&since.to_string())));
    let mut checks = vec![match &minion.presence {
        Presence::Up | Presence::Running | Presence::Waiting => {
            Check::ok(about, format!("up{}{from}", since.unwrap_or_default()))
        }
        Presence::Silent { .. } => Check::warn(
            about,
            format!("{}{from}", presence_text(&minion.presence)),
            "it is given up if nothing comes; there: brine-minion doctor",
        ),
        Presence::Offline { since: None } => Check::fail(
            about,
            "never connected since its key was accepted",
            "on that machine: brine-minion doctor; systemctl status brine-minion",
        ),
        Presence::Offline { .. } => Check::fail(
            about,
            format!("{}{from}", presence_text(&minion.presence)),
            "on that machine: brine-minion doctor; systemctl status brine-minion",
        ),
    }];
    if let Some(version) = &minion.version {
        checks.push(Check::ok("version", version));
    }
    if let Some(jid) = minion.last_job {
        checks.push(Check::ok("last job", format!("{jid} (brine jobs show {jid})")));
    }
    checks
}

#[cfg(test)]
mod tests {
    use brine_local::checkup::Grade;
    use brine_protocol::time::Timestamp;

    use super::*;

    fn minion(presence: Presence) -> Minion {
        Minion {
            id: "web1".parse().expect("an id"),
            presence,
            address: Some("192.0.2.7".to_owned()),
            version: Some("1".to_owned()),
            since: Some(Timestamp(0)),
            last_job: None,
            grains: None,
        }
    }

    #[test]
    fn presence_has_its_grade() {
        let said = |presence| minion_of(&minion(presence)).remove(0);
        let up = said(Presence::Up);
        assert_eq!(
            (up.grade, up.says.as_str()),
            (Grade::Ok, "up since 1970-01-01T00:00:00Z, from 192.0.2.7")
        );
        assert_eq!(said(Presence::Silent { since: Timestamp(0) }).grade, Grade::Warn);
        let offline = said(Presence::Offline { since: Some(Timestamp(0)) });
        assert!(offline.grade == Grade::Fail && offline.says.contains("offline since"), "{offline:?}");
        assert!(said(Presence::Offline { since: None }).says.contains("never connected"));
    }
}
