//! New jids: ascending, whatever the wall clock does.

use brine_protocol::Jid;
use brine_protocol::jid::STEP_MICROS;
use brine_protocol::time::Timestamp;

/// How far ahead jids are reserved on disk, so that not every job needs a write for it.
const RESERVE_MICROS: i64 = 10_000_000;

/// Makes jids.
#[derive(Debug)]
pub(super) struct Mint {
    node: u8,
    last: Timestamp,
    ceiling: Timestamp,
}

impl Mint {
    /// Goes on after `last`.
    pub(super) fn new(node: u8, last: Timestamp) -> Self {
        Self { node, last, ceiling: last }
    }

    /// The next jid, and the new ceiling if it has to be on disk before this jid is used.
    pub(super) fn next(&mut self, wall: Timestamp) -> (Jid, Option<Timestamp>) {
        let jid = Jid::at(wall.max(self.last.plus_micros(STEP_MICROS)), self.node);
        self.last = jid.time();
        let raised = (self.last > self.ceiling).then(|| {
            self.ceiling = self.last.plus_micros(RESERVE_MICROS);
            self.ceiling
        });
        (jid, raised)
    }

    /// No delivery number up to this one will be made again.
    pub(super) fn last_number(&self) -> u64 {
        number(self.last)
    }
}

/// A jid's delivery number: its time. Jids of one store never repeat, so neither do numbers.
fn number(at: Timestamp) -> u64 {
    u64::try_from(at.0).unwrap_or(0)
}

/// The delivery number of a job.
pub(super) fn delivery_number(jid: Jid) -> u64 {
    number(jid.time())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ascends_through_clock_jumps_and_restarts() {
        let t = 1_795_327_652_000_000;
        let mut mint = Mint::new(3, Timestamp::default());
        let walls = [t, t, t + 50, t - 3_600_000_000, t + 20_000_000, t];
        let mut last = None;
        let mut ceiling = Timestamp::default();
        for wall in walls {
            let (jid, raised) = mint.next(Timestamp(wall));
            ceiling = raised.unwrap_or(ceiling);
            assert!(Some(jid) > last, "{jid} after {last:?}");
            assert!(jid.time() <= ceiling, "{jid} is reserved");
            assert!(jid.as_str().ends_with("03"));
            last = Some(jid);
        }
        // A restart knows only the ceiling.
        let (jid, _) = Mint::new(3, ceiling).next(Timestamp(t));
        assert!(Some(jid) > last);
    }

    #[test]
    fn one_write_reserves_many() {
        let t = Timestamp(1_795_327_652_000_000);
        let mut mint = Mint::new(0, Timestamp::default());
        let raised = (0..1000).filter(|_| mint.next(t).1.is_some()).count();
        assert_eq!(raised, 1);
    }
}
