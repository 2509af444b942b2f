//! Minions whose clock is off. Nothing goes by their clocks; people who compare logs do.

use brine_pki::ledger::Log;
use brine_protocol::MinionId;

use super::Engine;
use crate::roles::Principal;

/// Clocks may differ by so many seconds before anybody is told.
const SKEW_MAX: u64 = 60;

/// So many minions are named; the rest is counted.
const NAMED_MAX: usize = 5;

impl<L: Log> Engine<L> {
    /// One sentence about all live minions whose clock is off, of those that this caller may see.
    pub(super) fn clock_notice(&self, by: &Principal) -> Option<String> {
        let off: Vec<(&MinionId, i64)> = self
            .by_id
            .iter()
            .filter(|(id, _)| self.sees_minion(by, id))
            .filter_map(|(id, conn)| Some((id, self.sessions.get(conn)?.skew?)))
            .filter(|(_, skew)| skew.unsigned_abs() > SKEW_MAX)
            .collect();
        sentence(&off)
    }
}

fn sentence(off: &[(&MinionId, i64)]) -> Option<String> {
    let way = |skew: i64| if skew > 0 { "ahead" } else { "behind" };
    let named: Vec<String> = off
        .iter()
        .take(NAMED_MAX)
        .map(|(id, skew)| format!("{id} is {} s {}", skew.unsigned_abs(), way(*skew)))
        .collect();
    let more = off.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    (!off.is_empty()).then(|| {
        format!(
            "clocks differ from the master's: {}{more}; jobs run all the same, set the clocks so that logs fit \
             together",
            named.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_is_counted() {
        let ids: Vec<MinionId> = (0..8).map(|n| format!("m{n}").parse().expect("an id")).collect();
        let off: Vec<(&MinionId, i64)> = ids.iter().map(|id| (id, -86_400)).collect();
        let said = sentence(&off).expect("some are off");
        assert!(said.contains("m4 is 86400 s behind, and 3 more;"), "{said}");
        assert!(!said.contains("m5"), "{said}");
        assert_eq!(sentence(&[]), None);
    }
}
