//! The keys themselves: how many there are, and which need a look.

use std::collections::BTreeMap;

use brine_client::ClientError;
use brine_local::checkup::Check;
use brine_pki::ledger::Entry;
use brine_pki::registry::Registry;
use brine_protocol::MinionId;
use brine_protocol::control::{KEY_STATES, Key, KeyState, KeysQuery};

use crate::long::seen;

pub(super) const QUERY: KeysQuery = KeysQuery { id: None, public_key: false };

/// So many ids get a line each; the rest is counted.
const LINES_MAX: usize = 20;

pub(super) fn judge(keys: Result<Vec<Key>, ClientError>) -> Vec<Check> {
    let keys = match keys {
        Ok(keys) => keys,
        Err(error) => return vec![Check::fail("keys", "they cannot be listed", error.to_string())],
    };
    let mut by_id: BTreeMap<&MinionId, Vec<&Key>> = BTreeMap::new();
    for key in &keys {
        by_id.entry(&key.id).or_default().push(key);
    }
    let mut checks = vec![counts(|state| keys.iter().filter(|key| key.state == state).count())];
    let several = by_id.iter().filter_map(|(id, of_id)| candidates(id, of_id));
    checks.extend(bounded("candidates", several.collect()));
    let denied = by_id.iter().flat_map(|(id, of_id)| beside_holder(id, of_id));
    checks.extend(bounded("denied", denied.collect()));
    checks
}

/// Without a master: what the ledger alone says.
pub(super) fn of_ledger(entries: &[Entry]) -> Check {
    let registry = Registry::fold(entries);
    counts(|state| registry.keys().filter(|(_, key)| key.state == state).count())
}

fn counts(count: impl Fn(KeyState) -> usize) -> Check {
    let counts: Vec<String> =
        KEY_STATES.into_iter().map(|state| format!("{} {}", count(state), state.name())).collect();
    Check::ok("keys", counts.join(", "))
}

fn candidates(id: &MinionId, of_id: &[&Key]) -> Option<Check> {
    let waiting: Vec<&&Key> = of_id.iter().filter(|key| key.state == KeyState::Pending).collect();
    (waiting.len() > 1).then(|| {
        let shown: Vec<String> = waiting
            .iter()
            .map(|key| format!("{} from {}", key.fingerprint, key.address.as_deref().unwrap_or("nowhere")))
            .collect();
        Check::warn(
            "candidates",
            format!("{id} is claimed by {} keys: {}", waiting.len(), shown.join("; ")),
            format!("compare them with the machine, then: brine-key -a {id} --expect FINGERPRINT"),
        )
    })
}

/// Both fingerprints, side by side.
fn beside_holder(id: &MinionId, of_id: &[&Key]) -> Vec<Check> {
    let holder = of_id.iter().find(|key| key.state != KeyState::Denied && key.state != KeyState::Pending);
    let of_holder = holder.map_or_else(
        || "another key".to_owned(),
        |holder| format!("the {} key {}", holder.state.name(), holder.fingerprint),
    );
    let denied = of_id.iter().filter(|key| key.state == KeyState::Denied);
    denied
        .map(|key| {
            let from = key.address.as_deref().unwrap_or("nowhere");
            Check::warn(
                "denied",
                format!(
                    "{id} has {of_holder}; denied is {} from {from}, first seen {}",
                    key.fingerprint,
                    seen(key.first_seen)
                ),
                format!(
                    "if the machine was set up anew: brine-key -d {id} --expect OLD, then -a {id}; \
                     if not, somebody claims its name"
                ),
            )
        })
        .collect()
}

fn bounded(about: &'static str, mut checks: Vec<Check>) -> Vec<Check> {
    let more = checks.len().saturating_sub(LINES_MAX);
    checks.truncate(LINES_MAX);
    if more > 0 {
        checks.push(Check::warn(about, format!("and {more} more"), "see: brine-key -L --long"));
    }
    checks
}

#[cfg(test)]
mod tests {
    use KeyState::{Accepted, Denied, Pending};

    use super::*;
    use crate::select::tests::key;
    use brine_local::checkup::Grade;

    #[test]
    fn what_needs_a_look_has_a_line() {
        let checks = judge(Ok(vec![
            key("ok", Accepted, 1),
            key("web1", Pending, 2),
            key("web1", Pending, 3),
            key("web2", Accepted, 4),
            key("web2", Denied, 5),
        ]));
        assert_eq!(checks[0], Check::ok("keys", "2 accepted, 1 denied, 2 pending, 0 rejected, 0 suspended"));
        assert_eq!(checks.len(), 3, "{checks:#?}");
        assert!(checks[1].says.contains("web1 is claimed by 2 keys: 02:02:"), "{checks:#?}");
        assert!(checks[2].says.starts_with("web2 has the accepted key 04:04:"), "{checks:#?}");
        assert!(checks[2].says.contains("denied is 05:05:"), "{checks:#?}");
        assert!(checks[1..].iter().all(|check| check.grade == Grade::Warn));
        assert_eq!(judge(Ok(vec![key("ok", Accepted, 1)])).len(), 1);
        let crowd: Vec<Key> = (0..60).map(|i| key(&format!("m{}", i / 2), Pending, i)).collect();
        assert_eq!(judge(Ok(crowd)).len(), 1 + LINES_MAX + 1);
    }
}
