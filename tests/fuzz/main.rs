//! Strangers' bytes against every decoder: the kept corpus, and what chance makes of it.
//!
//! ```sh
//! cargo test --profile ci -p brine-tests --test fuzz                     # a second or so each
//! FUZZ_SECONDS=600 FUZZ_SEED=7 cargo test --profile ci -p brine-tests --test fuzz zmtp
//! FUZZ_TARGET=frame FUZZ_INPUT=file cargo test --profile ci -p brine-tests --test fuzz replay
//! ```
//!
//! The targets are in `brine_tests::fuzzed`, their corpus is `tests/data/corpus`. Each runs in a
//! process of its own, with the stack of a worker thread, so that also what ends a process is found
//! with its input: a stack that overflows, memory that the system does not give, a loop without end.
//! `FUZZ_SEED` is 1 unless it is said: a run of CI repeats itself. `make torture-fuzz` draws one.

mod child;
mod corpus;
#[allow(dead_code, reason = "the simulation rolls it in more ways")]
#[path = "../sim/dice.rs"]
mod dice;
mod hunt;
mod judge;
mod mutate;
mod planted;
mod shrink;

use std::process::ExitCode;

use brine_tests::fuzzed::TARGETS;
use libtest_mimic::{Arguments, Trial};

use hunt::Hunt;

fn main() -> ExitCode {
    if let Some(name) = std::env::var_os("FUZZ_CHILD") {
        return child::run(&name.into_string().expect("a name"));
    }
    let arguments = Arguments::from_args();
    if !arguments.list {
        println!("fuzz: FUZZ_SEED={} and {} ms for each target", hunt::seed(), hunt::millis());
    }
    let mut trials = Vec::new();
    for target in TARGETS {
        trials.push(Trial::test(format!("{}_takes_anything", target.name), || {
            let told = Hunt::of(target.name).run()?;
            println!("{told}");
            Ok(())
        }));
    }
    if let (Ok(target), Some(input)) = (std::env::var("FUZZ_TARGET"), std::env::var_os("FUZZ_INPUT")) {
        trials.push(Trial::test("replay", move || {
            println!("{}", Hunt::of(&target).replay(input.as_ref())?);
            Ok(())
        }));
    }
    trials.extend(corpus::trials());
    trials.extend(mutate::trials());
    trials.extend(planted::trials());
    libtest_mimic::run(&arguments, trials).exit_code()
}
