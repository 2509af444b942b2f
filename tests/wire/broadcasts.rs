//! A man in the middle who takes broadcasts off the wire and leaves no gap behind.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use brine_protocol::message::{Knock, ToMaster};
use brine_tests::eventually;
use brine_tests::fixtures::fingerprint;
use brine_tests::fleet::Fleet;
use brine_tests::peer::{ALL, Peer};
use brine_tests::proxy::Proxy;
use brine_tests::wait::stays;
use serde_json::json;

/// A count within a heartbeat, another one in which the broadcast may still come, and the way back.
const SOON: Duration = Duration::from_secs(5);

struct Between {
    fleet: Fleet,
    m1: brine_tests::Minion,
    proxy: Proxy,
    counter: PathBuf,
}

impl Between {
    /// A master and a minion that gets its broadcasts through a proxy.
    fn new() -> Self {
        let fleet = Fleet::start_with("heartbeat: 0.5\n");
        let proxy = Proxy::before(fleet.publish_port);
        let mut m1 = fleet.prepare_minion("m1");
        m1.dial(proxy.port, fleet.ret_port);
        m1.start();
        fleet.until_key(&m1, "pending");
        fleet.act("accept", "m1", &m1.fingerprint());
        fleet.until_up("m1");
        eventually(5.0, "orders for all are broadcast", || {
            fleet.ping("m1");
            broadcasts(&proxy) > 0
        });
        let counter = fleet.dir().join("counter");
        Self { fleet, m1, proxy, counter }
    }

    /// Has the next broadcast disappear, and tells which job that was and when.
    fn lose_one(&self) -> (String, Instant) {
        let before = broadcasts(&self.proxy);
        self.proxy.take(true);
        let jid =
            self.fleet.submit("*", "cmd.run", &[json!(format!("echo ran >> {}", self.counter.display()))]);
        eventually(5.0, "it was broadcast", || broadcasts(&self.proxy) > before);
        (jid, Instant::now())
    }

    fn check_that_it_ran_once_and_soon(mut self, jid: &str, since: Instant) {
        assert_eq!(self.fleet.ending(jid, "m1", 30.0)["state"], "returned");
        assert!(since.elapsed() < SOON, "after {:?}", since.elapsed());
        println!("noticed and run after {:?}", since.elapsed());
        let log = self.m1.log();
        assert!(log.contains("counted did not arrive"), "{log}");
        stays(1.0, "it has run once", || self.lines() == 1);
        self.fleet.until_up("m1");
        self.fleet.ping("m1");
        assert!(self.m1.process().is_alive());
    }

    fn lines(&self) -> usize {
        fs::read_to_string(&self.counter).map_or(0, |text| text.lines().count())
    }
}

fn broadcasts(proxy: &Proxy) -> usize {
    proxy.to_client().windows(ALL.len()).filter(|window| *window == ALL).count()
}

#[test]
fn the_last_broadcast_of_an_epoch_taken_off_the_wire_runs_exactly_once_and_soon() {
    let between = Between::new();
    let (jid, since) = between.lose_one();
    // Somebody is let in: the epoch is over before anything of it could show the gap.
    let mut other = Peer::open(between.fleet.ret_port, "m2", "m2");
    other.send(&ToMaster::Knock(Knock::default()));
    eventually(5.0, "the key waits", || between.fleet.key_state("m2", &fingerprint("m2")).is_some());
    between.fleet.act("accept", "m2", &fingerprint("m2"));
    between.proxy.take(false);
    between.check_that_it_ran_once_and_soon(&jid, since);
}

#[test]
fn a_broadcast_that_no_other_one_follows_is_missed_by_its_count() {
    let between = Between::new();
    let (jid, since) = between.lose_one();
    between.proxy.take(false);
    between.check_that_it_ran_once_and_soon(&jid, since);
}

#[test]
fn a_subscription_that_swallows_everything_holds_no_order_back() {
    let between = Between::new();
    // For good: the minion's next subscription is swallowed too, and its orders come another way.
    let (jid, since) = between.lose_one();
    between.check_that_it_ran_once_and_soon(&jid, since);
}

#[test]
fn a_minion_that_misses_nothing_stays_where_it_is() {
    let between = Between::new();
    let sessions = || between.fleet.health()["sessions"].clone();
    let before = between.m1.log();
    for _ in 0..5 {
        between.fleet.ping("m1");
    }
    stays(2.0, "the session goes on", || sessions() == 1 && between.fleet.presence("m1") == "up");
    let after = between.m1.log();
    assert!(!after[before.len()..].contains("closed") && !after.contains("did not arrive"), "{after}");
}
