//! Clocks that are a day off, and jump while jobs run: what runs, runs once, and people are told.

use std::time::{SystemTime, UNIX_EPOCH};

use brine_protocol::time::Timestamp;
use brine_tests::eventually;
use serde_json::Value;

use crate::machine::{Machine, World, assert_says};

const DAY: i64 = 86_400;

/// How far a time may be from what the clock of its machine shows, in seconds.
const NEAR: i64 = 30;

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Master,
    Minion,
}

impl World {
    fn set(&self, side: Side, seconds: i64) {
        let machine: &Machine = match side {
            Side::Master => &self.of_master,
            Side::Minion => &self.of_minion,
        };
        machine.tell("clock", &seconds.to_string());
    }

    /// An order has returned, and the master's times of it are what the master's clock showed.
    #[track_caller]
    fn returned_at(&self, jid: &str, off: i64) {
        let ending = self.fleet.ending(jid, "m1", 15.0);
        assert_eq!(ending["state"], "returned", "{ending}");
        let took = ending["duration_ms"].as_i64().unwrap();
        assert!((0..NEAR * 1000).contains(&took), "no clock that jumps measures this: {ending}");
        let view = self.fleet.api().get(&format!("/v1/jobs/{jid}")).expect(200).json();
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
        for shown in [&view["submitted"], &view["rows"][0]["at"]] {
            let at: Timestamp = serde_json::from_value(shown.clone()).unwrap();
            assert!((at.0 / 1_000_000 - now - off).abs() < NEAR, "{shown} with a clock that is {off} s off");
        }
    }

    /// Both doctors warn of a difference, and call nothing else wrong.
    fn is_warned_of(&self, ahead: bool) {
        let way = if ahead { "24 hours ahead of" } else { "24 hours behind" };
        let said = self.minion_doctor();
        assert_says(&said, "clock", "warn", way);
        assert_eq!(said.code, 0, "{}", said.stdout);
        let way = if ahead { "s ahead" } else { "s behind" };
        eventually(10.0, "the master has heard the minion's clock", || {
            let notices = self.fleet.health()["notices"].clone();
            let said = |notice: &Value| {
                notice.as_str().is_some_and(|text| text.contains("clocks differ") && text.contains(way))
            };
            notices.as_array().is_some_and(|notices| notices.iter().any(said))
        });
        let said = self.doctor();
        assert_says(&said, "notice", "warn", "clocks differ");
        assert_eq!(said.code, 0, "{}", said.stdout);
    }

    fn restart_minion(&mut self) {
        self.minion.kill();
        eventually(10.0, "the minion is gone", || self.fleet.presence("m1") != "up");
        self.start_minion();
        self.fleet.until_up("m1");
    }
}

/// One side's clock is a day ahead, jumps back to the right time, back to a day behind, and two days forth,
/// each time while a job runs; then minion and master are killed and started.
fn through_all(side: Side) {
    let mut world = World::prepare("", 0, 0);
    world.set(side, DAY);
    world.start();
    let mut last = String::new();
    for (n, (from, to)) in [(DAY, 0), (0, -DAY), (-DAY, DAY)].into_iter().enumerate() {
        let masters = if side == Side::Master { from } else { 0 };
        let first = world.order(&format!("{n}-first"));
        world.returned_at(&first, masters);
        if from != 0 {
            world.is_warned_of((from > 0) == (side == Side::Minion));
        }
        let across = world.order_that_waits(&format!("{n}-across"));
        world.set(side, to);
        let during = world.order(&format!("{n}-during"));
        let _ = world.fleet.ending(&during, "m1", 15.0);
        world.let_go(&format!("{n}-across"));
        let ending = world.fleet.ending(&across, "m1", 15.0);
        assert!(ending["duration_ms"].as_i64().unwrap() < NEAR * 1000, "{ending}");
        world.restart_minion();
        let again = world.order(&format!("{n}-again"));
        let _ = world.fleet.ending(&again, "m1", 15.0);
        world.fleet.kill_master();
        world.start_master();
        world.fleet.until_up("m1");
        let after = world.order(&format!("{n}-after"));
        for jid in [&first, &across, &during, &again, &after] {
            assert!(*jid > last, "{jid} comes after {last}");
            last.clone_from(jid);
        }
        world.settle();
    }
}

#[test]
fn a_master_whose_clock_is_a_day_off_and_jumps_runs_each_order_once() {
    through_all(Side::Master);
}

#[test]
fn a_minion_whose_clock_is_a_day_off_and_jumps_runs_each_order_once() {
    through_all(Side::Minion);
}
