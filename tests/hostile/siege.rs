//! A master under attack and the healthy minion beside it.

use brine_protocol::zmtp::REFUSALS;
use brine_tests::fleet::Fleet;
use brine_tests::{Minion, eventually};

/// How much resident memory an attack may cost the master, in KiB. An attack that gets through
/// the limits asks for gigabytes; what the healthy minion's own work costs stays far below this.
const GROWTH_KIB: u64 = 48 * 1024;

/// How long a whole `brine` process may take for a ping while the attack goes on, in seconds: an
/// unoptimised build on a machine that runs other tests.
const PING_MAX: f64 = 3.0;

/// A master with one healthy minion, and how both were before the attack.
pub struct Siege {
    pub fleet: Fleet,
    pub healthy: Minion,
    pid: i32,
    minion_pid: i32,
    rss: u64,
    refusals: u64,
}

impl Siege {
    pub fn lay(options: &str) -> Self {
        Self::around(Fleet::start_with(options))
    }

    /// Around a master that is already running.
    pub fn around(mut fleet: Fleet) -> Self {
        let mut healthy = fleet.minion("m1");
        fleet.ping("m1");
        Self {
            pid: fleet.master().pid(),
            minion_pid: healthy.process().pid(),
            rss: fleet.master().rss_kib(),
            refusals: refusals(&fleet),
            fleet,
            healthy,
        }
    }

    /// The two ports, each with the socket type that a minion uses there.
    pub fn ports(&self) -> [(u16, &'static str); 2] {
        [(self.fleet.publish_port, "SUB"), (self.fleet.ret_port, "DEALER")]
    }

    /// Checks that nobody but the attacker notices: to be called while the attack goes on.
    #[track_caller]
    pub fn holds(&mut self, what: &str) {
        let took = self.fleet.ping("m1");
        assert!(took < PING_MAX, "{what}: a ping took {took} s");
        assert!(self.fleet.master().is_alive(), "{what}: the master died");
        assert_eq!(self.fleet.master().pid(), self.pid);
        assert!(self.healthy.process().is_alive(), "{what}: the healthy minion died");
        assert_eq!(self.healthy.process().pid(), self.minion_pid);
        let rss = self.fleet.master().rss_kib();
        assert!(rss < self.rss + GROWTH_KIB, "{what}: {} KiB before, {rss} KiB now", self.rss);
        assert_eq!(self.fleet.health()["status"], "ok", "{what}");
        assert!(!self.fleet.log().contains("panicked"), "{what}: {}", self.fleet.log());
    }

    /// Checks that refusals were counted since the last call.
    #[track_caller]
    pub fn counted(&mut self, what: &str, at_least: u64) {
        let before = self.refusals;
        eventually(5.0, &format!("{what}: {at_least} refusals are counted"), || {
            refusals(&self.fleet) >= before + at_least
        });
        self.refusals = refusals(&self.fleet);
    }

    /// Checks that the counter of one reason is at least `at_least`.
    #[track_caller]
    pub fn reason(&self, name: &str, at_least: u64) {
        eventually(5.0, &format!("{name} is counted {at_least} times"), || {
            by_name(&self.fleet, name) >= at_least
        });
    }
}

fn counters(fleet: &Fleet) -> Vec<(String, u64)> {
    let health = fleet.health();
    let counters = health["counters"].as_object().unwrap();
    counters.iter().filter_map(|(name, n)| Some((name.clone(), n.as_u64()?))).collect()
}

/// Whether a counter says that a connection was refused or cut off, rather than left by its peer.
fn is_refusal(name: &str) -> bool {
    const GATE: [&str; 17] = [
        "accept_failed",
        "busy",
        "frame_malformed",
        "handshake_timeout",
        "hello_",
        "message_",
        "not_accepted",
        "not_sealed",
        "peer_error",
        "refused_",
        "resume_malformed",
        "sealed_",
        "send_queue",
        "silent",
        "subscriber_token",
        "subscriber_without_token",
        "write_stalled",
    ];
    name != "hello_verified"
        && (REFUSALS.contains(&name) || GATE.iter().any(|prefix| name.starts_with(prefix)))
}

fn refusals(fleet: &Fleet) -> u64 {
    counters(fleet).iter().filter(|(name, _)| is_refusal(name)).map(|(_, n)| n).sum()
}

fn by_name(fleet: &Fleet, wanted: &str) -> u64 {
    counters(fleet).iter().filter(|(name, _)| name == wanted).map(|(_, n)| n).sum()
}
