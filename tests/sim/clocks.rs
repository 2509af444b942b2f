//! What has to hold however clocks are set: jids ascend, and an order is good, and given up, for as
//! long as a clock that nobody sets says.

use std::collections::BTreeMap;
use std::time::Duration;

use brine_protocol::Jid;
use brine_protocol::job::{Delivery, Ending, Job};
use brine_protocol::message::Order;

/// What was made when, on the steady clock of the master.
#[derive(Debug, Default)]
pub struct Clocks {
    /// The master's process, and when it began.
    life: (u64, Duration),
    last: Option<(Jid, u64)>,
    /// By which process, when, and for how many milliseconds.
    made: BTreeMap<Jid, (u64, Duration, Option<u64>)>,
}

impl Clocks {
    /// A process of the master's begins.
    pub fn on_life(&mut self, life: u64, steady: Duration) {
        self.life = (life, steady);
    }

    /// A job is made.
    pub fn on_made(&mut self, job: &Job, steady: Duration) {
        let ttl = match job.delivery {
            Delivery::Now => None,
            Delivery::Queue { ttl_ms } => Some(ttl_ms),
        };
        self.made.insert(job.jid, (self.life.0, steady, ttl));
    }

    /// A job is on disk: what was made before and got lost was told to nobody.
    pub fn on_stored(&mut self, job: &Job) -> Result<(), String> {
        match self.last.replace((job.jid, job.number)) {
            Some((jid, number)) if jid >= job.jid || number >= job.number => {
                Err(format!("{} ({}) was made after {jid} ({number})", job.jid, job.number))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The master ends an order by itself.
    pub fn on_given_up(
        &self,
        jid: Jid,
        ending: &Ending,
        steady: Duration,
        lost_after: Duration,
    ) -> Result<(), String> {
        let Some((life, made, ttl)) = self.made.get(&jid) else { return Ok(()) };
        let is_same = *life == self.life.0;
        let waited = steady.saturating_sub((*made).max(self.life.1));
        match ending {
            Ending::Expired if is_same && waited < Duration::from_millis(ttl.unwrap_or(u64::MAX)) => {
                Err(format!("{jid} has expired after {waited:?}, it is good for {ttl:?} ms"))
            }
            Ending::Lost { .. } if waited < lost_after => Err(format!("{jid} is lost after {waited:?}")),
            _ => Ok(()),
        }
    }

    /// An order is sealed in a session.
    pub fn on_handed(&self, order: &Order, steady: Duration) -> Result<(), String> {
        let Some((life, made, ttl)) = self.made.get(&order.jid) else { return Ok(()) };
        let waited = u64::try_from(steady.saturating_sub(*made).as_millis()).unwrap_or(u64::MAX);
        let left = ttl.map(|ttl| ttl.saturating_sub(waited));
        let (jid, said) = (order.jid, order.expires_in_ms);
        let is_right = match (left, said) {
            (Some(left), Some(said)) if *life == self.life.0 => left.abs_diff(said) <= 1,
            // What went by before this process only the wall knows.
            (Some(_), Some(said)) => said <= ttl.unwrap_or_default(),
            (left, said) => left == said,
        };
        if is_right {
            Ok(())
        } else {
            Err(format!("{jid} is good for {left:?} ms still, and handed with {said:?}"))
        }
    }
}
