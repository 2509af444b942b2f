//! The limits of what engines hold in memory, and that in the end it is nothing.

use brine_minion::engine::{Engine, Load as MinionLoad};

use crate::gate::MESSAGE_MAX;
use crate::machine::{Machine, SPOOL_MAX};
use crate::master::{ORDER_BYTES_MAX, ORDERS_MAX};
use crate::world::World;

/// `QUEUE_MAX`, `OWED_MAX`, `EARLY_MAX` and `WINDOW` of the minion's engine.
const QUEUED_MAX: usize = 1024;
const OWED_MAX: usize = 2 * 256;
const EARLY_MAX: usize = 256 + 1;
const WINDOW: usize = 64;

/// A full spool takes nothing more. What is open in it (320 bytes each) still grows by its return,
/// which has no more than 300 bytes here, and so does the last order that was taken.
const HELD_BYTES_MAX: u64 = SPOOL_MAX + (SPOOL_MAX / 320 + 2) * 300 + 320;

/// Probes last two seconds, and the plan asks for few.
const PROBES_MAX: usize = 100;

impl World {
    /// The master, at the end of a turn.
    pub fn check_master(&mut self) {
        let Some(engine) = &self.master.engine else { return };
        let load = engine.load();
        // A connection that has ended is one that the engine is about to hear of.
        let connections = self.gate.doors.len() + self.master.inbox.len();
        let is_within = load.orders <= ORDERS_MAX
            && load.jobs <= ORDERS_MAX
            && load.order_bytes < ORDER_BYTES_MAX + MESSAGE_MAX
            && load.sessions <= connections
            && load.early_subscribers <= connections
            // A session that was displaced keeps what it had until its end is heard of.
            && load.backlog <= ORDERS_MAX * load.sessions
            && load.probes <= PROBES_MAX;
        if !is_within {
            self.model.broke(8, format!("the master, with {connections} connections, holds {load:?}"));
        }
    }

    /// A minion, after what it handled.
    pub fn check_minion(&mut self, minion: usize, load: &MinionLoad) {
        let is_within = load.running <= ORDERS_MAX
            && load.queued <= QUEUED_MAX
            && load.fleeting <= OWED_MAX
            && load.early <= EARLY_MAX
            && load.in_flight <= WINDOW
            && load.held_bytes <= HELD_BYTES_MAX;
        if !is_within {
            self.model.broke(8, format!("web{minion} holds {load:?}"));
        }
    }

    /// All is well again: everything has ended, and nobody remembers anything as open.
    pub fn check_end(&mut self) {
        self.model.check_end(&self.store);
        if let Some(left) = self.left() {
            self.model.broke(6, format!("in the end {left}"));
        }
    }

    /// Whether waiting for the end any longer would change nothing.
    pub fn is_settled(&self) -> bool {
        self.store.open.is_empty() && self.left().is_none()
    }

    /// What an engine still holds, or who is missing.
    fn left(&self) -> Option<String> {
        let Some(engine) = &self.master.engine else { return Some("there is no master".to_owned()) };
        let load = engine.load();
        let open = load.jobs + load.orders + load.order_bytes + load.backlog + load.early_subscribers;
        if open + load.probes > 0 || load.sessions != self.machines.len() {
            return Some(format!("the master holds {load:?}"));
        }
        let left = |machine: &Machine| match machine.engine.as_ref().map(Engine::load) {
            Some(load) if load == MinionLoad::default() => None,
            Some(load) => Some(format!("{} holds {load:?}", machine.name)),
            None => Some(format!("{} is down", machine.name)),
        };
        self.machines.iter().find_map(left)
    }
}
