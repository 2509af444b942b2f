//! Crashes at random moments while jobs flow: nothing is lost, doubled or forgotten.
//!
//! `CRASH_ROUNDS` says how many rounds (20), `CRASH_SEED` repeats the plan of a run: `plan` says what of it.

mod clients;
mod keys;
mod plan;
mod resources;
mod run;

use std::time::Instant;

use crate::run::Run;

/// Minions whose keys stay accepted.
const IDS: [&str; 4] = ["m1", "m2", "m3", "m4"];

/// The one of them that takes small messages only, and cannot detach.
const CLUMSY: &str = "m4";

/// Minions about whose keys there are decisions all the time.
const TENDED: [&str; 2] = ["m5", "m6"];

/// Rounds after which each way to end has occurred, and those after which most have.
const ROUNDS_FOR_ALL: usize = 100;
const ROUNDS_FOR_MOST: usize = 20;
const ENDINGS: usize = 9;

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

fn seed() -> u64 {
    number("CRASH_SEED").unwrap_or_else(|| {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).expect("random bytes");
        u64::from_le_bytes(bytes)
    })
}

#[test]
fn crashes_at_random_moments_lose_nothing_and_run_nothing_twice() {
    let (seed, rounds) = (seed(), usize::try_from(number("CRASH_ROUNDS").unwrap_or(20)).expect("rounds"));
    println!("crash: CRASH_SEED={seed} CRASH_ROUNDS={rounds}");
    let begun = Instant::now();
    let mut run = Run::start(seed);
    for round in 0..rounds {
        run.round(round);
        if round % 20 == 19 || round + 1 == rounds {
            run.nothing_was_set_aside();
            println!("crash: round {}: {:?} after {:?}", round + 1, run.checker.endings(), begun.elapsed());
        }
    }
    run.end();
    println!("crash: {rounds} rounds in {:?}", begun.elapsed());
    let endings = run.checker.endings();
    let wanted = match rounds {
        ROUNDS_FOR_ALL.. => ENDINGS,
        ROUNDS_FOR_MOST.. => ENDINGS - 2,
        _ => 1,
    };
    assert!(endings.len() >= wanted, "{} of {ENDINGS} endings have occurred: {endings:?}", endings.len());
}
