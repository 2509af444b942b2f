//! Disks that fail, lie and lose power: nothing that was acknowledged is lost, and nothing is lost in silence.
//!
//! `DISK_ROUNDS` says how often the power fails (10), `DISK_SEED` repeats the plan of a run.

mod buckets;
mod clients;
mod cuts;
mod faults;
mod packing;

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

/// The seed of this run, printed so that it can be repeated.
fn seed() -> u64 {
    let seed = number("DISK_SEED").unwrap_or_else(|| {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).expect("random bytes");
        u64::from_le_bytes(bytes)
    });
    println!("disk: DISK_SEED={seed}");
    seed
}
