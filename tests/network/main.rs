//! Bad networks while jobs flow: whatever a link goes through, every order ends as it should, and a minion is
//! back within three heartbeats of the moment at which its link works again.
//!
//! Each minion has a fault proxy of its own in front of both ports, and a plan that runs beside those of the
//! others, so that the suite takes as long as its longest plan. `NETWORK_SEED` repeats the chances of a run,
//! `NETWORK_ROUNDS` (1) runs all plans so many times, `NETWORK_HEARTBEAT` (3) is the master's heartbeat in seconds.

mod flow;
mod lane;
mod plans;
mod probe;
mod timeline;

use std::time::Instant;

use brine_tests::Fleet;

use crate::flow::Flow;
use crate::lane::Lane;
use crate::plans::Step;
use crate::timeline::Timeline;

/// The minion whose network is never touched: it has to notice nothing.
const HEALTHY: &str = "m6";

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

fn seed() -> u64 {
    number("NETWORK_SEED").unwrap_or_else(|| {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).expect("random bytes");
        u64::from_le_bytes(bytes)
    })
}

/// Seconds between two signs of life, as the master tells it. The minions run with their own defaults; with
/// those, three is the shortest heartbeat for which all is promised that is checked here.
fn heartbeat() -> u32 {
    number("NETWORK_HEARTBEAT").map_or(3, |seconds| u32::try_from(seconds).expect("seconds"))
}

/// Runs these plans, one for each minion beside the healthy one, on a fleet of their own.
fn run(name: &str, plans: &[Vec<Step>], seed: u64) {
    let (begun, heartbeat) = (Instant::now(), heartbeat());
    let fleet = Fleet::start_with(&format!("heartbeat: {heartbeat}\n"));
    let timeline = Timeline::of(&fleet);
    let flow = Flow::new(&fleet, seed);
    let lanes: Vec<Lane<'_>> = plans
        .iter()
        .enumerate()
        .map(|(number, _)| Lane::start(&fleet, &timeline, &flow, number, heartbeat, seed))
        .collect();
    let healthy = flow.start_minion(&fleet, fleet.prepare_minion(HEALTHY));
    let ids: Vec<&str> = lanes.iter().map(|lane| lane.minion.id.as_str()).chain([HEALTHY]).collect();
    let slowest = std::thread::scope(|scope| {
        let orders = scope.spawn(|| flow.give_orders(&ids));
        let pings = scope.spawn(|| flow.ping(HEALTHY));
        let lanes: Vec<_> =
            lanes.iter().zip(plans).map(|(lane, plan)| scope.spawn(|| lane.run(plan))).collect();
        let ends: Vec<_> = lanes.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        flow.stop();
        orders.join().expect("orders are given");
        for end in ends {
            end.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        pings.join().expect("the healthy minion answers")
    });
    let endings = flow.check(&ids);
    assert_eq!(timeline.starts(HEALTHY), 1, "the healthy minion lost its session");
    drop(healthy);
    println!(
        "network: {name}: {endings:?}; the healthy minion answered within {slowest:.2} s; {:.0?}",
        begun.elapsed()
    );
}

#[test]
fn whatever_a_link_goes_through_every_order_ends_as_it_should() {
    println!("{}", probe::choose());
    let (seed, rounds) = (seed(), number("NETWORK_ROUNDS").unwrap_or(1));
    for round in 0..rounds {
        let seed = seed.wrapping_add(round);
        println!(
            "network: NETWORK_SEED={seed}, heartbeat {} s, round {} of {rounds}",
            heartbeat(),
            round + 1
        );
        let (long, short) = (plans::long(), plans::short(heartbeat()));
        std::thread::scope(|scope| {
            let fleets = [
                scope.spawn(|| run("outages of two minutes", &long, seed)),
                scope.spawn(|| run("short outages and bad weather", &short, !seed)),
            ];
            for fleet in fleets {
                fleet.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            }
        });
    }
}
