//! Lets a swarm's ids in beforehand: decisions in the ledger of a master that does not run, made
//! by the code that the key tool uses, a thousand to a flush.

use std::path::Path;
use std::time::Duration;

use brine_local::Paths;
use brine_local::clock::wall;
use brine_pki::registry::{Imported, Trust};
use brine_pki::waiting::WaitingLimits;
use brine_protocol::MinionId;
use brine_protocol::control::KeyState;

use super::keys::Pool;

/// Reading the waiting keys must never drop one because the master's limits are not known here.
const NO_LIMITS: WaitingLimits =
    WaitingLimits { pending_max: usize::MAX, pending_per_id: usize::MAX, pending_age_s: u64::MAX };

/// What became of the ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provisioned {
    /// Accepted now.
    pub accepted: usize,
    /// Known before, and left as they were.
    pub known: usize,
}

/// Accepts these ids, each with its key of the pool, in the ledger under a master's root.
///
/// # Errors
/// The master runs, the ledger cannot be written, or an id is refused for another reason than that
/// it is known; one sentence.
pub fn accept(
    root: &Path,
    ids: impl IntoIterator<Item = MinionId>,
    pool: &Pool,
) -> Result<Provisioned, String> {
    let paths = Paths::new(Some(root), None);
    let opened = Trust::open(&paths.ledger(), &paths.waiting(), NO_LIMITS, Duration::ZERO)
        .map_err(|error| format!("{error}; the master has to be stopped"))?;
    let mut trust = opened.trust;
    let mut wanted = Vec::new();
    let mut known = 0;
    for (number, id) in ids.into_iter().enumerate() {
        let public = pool.of(number).public();
        let fingerprint = public.fingerprint();
        if trust.registry().key(&id, fingerprint).is_some() {
            known += 1;
            continue;
        }
        wanted.push(Imported { id, fingerprint, key: public.der().to_vec(), state: KeyState::Accepted });
    }
    let results = trust.import(&wanted, "brine-swarm", Some("simulated minions"), wall());
    for (imported, result) in wanted.iter().zip(results) {
        result.map_err(|error| format!("{} is not accepted: {error}", imported.id))?;
    }
    Ok(Provisioned { accepted: wanted.len(), known })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_accepted_once_each_with_its_own_name() {
        let root = tempfile::tempdir().unwrap();
        let pool = Pool::fixed();
        let ids = |count| (0..count).map(|number| super::super::id("s", number));
        let first = accept(root.path(), ids(40), &pool).unwrap();
        assert_eq!(first, Provisioned { accepted: 40, known: 0 });
        let more = accept(root.path(), ids(50), &pool).unwrap();
        assert_eq!(more, Provisioned { accepted: 10, known: 40 });
        let ledger = std::fs::read_to_string(root.path().join("var/lib/brine/master/ledger.jsonl")).unwrap();
        assert_eq!(ledger.matches("\"act\":\"accept\"").count(), 50, "{ledger}");
    }
}
