//! What an engine is given at its start: bounds and times, and what the last one left.

use std::time::Duration;

use brine_protocol::target::Nodegroups;
use brine_protocol::time::Timestamp;
use brine_protocol::{Jid, MinionId};

use super::OwnKey;
use crate::store::{Facts, OpenJob};

/// Bounds and times of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The master's number in its jids.
    pub node: u8,
    /// A sign of life at least this often.
    pub heartbeat: Duration,
    /// How long a handshake may wait for the other side, each time.
    pub handshake: Duration,
    /// An order without an answer is lost this long after its minion's session ended.
    pub lost_after: Duration,
    /// How long jobs are kept, and with them the idempotency keys that made them.
    pub keep_jobs: Duration,
    /// Orders open at the same time.
    pub open_orders_max: usize,
    /// What the orders of open jobs may hold in memory, in bytes.
    pub open_bytes_max: usize,
    /// Largest message of a session.
    pub message_max: usize,
    /// What is handed at once, in bytes, to a session that begins with a backlog.
    pub hand_window: usize,
    /// Server records kept at the same time.
    pub servers_max: usize,
    /// What pillar that was compiled may hold in memory, as JSON, in bytes.
    pub pillar_cache_bytes: usize,
}

/// What an engine starts from.
#[derive(Debug)]
pub struct Memory {
    /// The store's random id.
    pub store: String,
    /// What was lost of the store, one sentence each.
    pub lost: Vec<String>,
    /// The newest jid's time.
    pub last_jid: Timestamp,
    /// Jobs that are open.
    pub open: Vec<OpenJob>,
    /// What is known of minions.
    pub facts: Vec<(MinionId, Facts)>,
    /// The id of the newest stored event.
    pub last_event: u64,
    /// Idempotency keys.
    pub idempotency: Vec<(String, [u8; 32], Jid)>,
    /// The nodegroups of the configuration.
    pub nodegroups: Nodegroups,
    /// The master's own key.
    pub own: OwnKey,
}
