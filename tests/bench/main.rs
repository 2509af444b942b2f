//! `brine-bench`: how fast the real programs are and what they need, each figure beside what this
//! machine can do at best, measured in the same run.
//!
//! ```text
//! main ─ groups (alone, crowd, stock, keys, ledger, retention, salt) ─ Bench ─ rows ─ report
//!                                                   limits ┘
//! ```
//! Nothing here judges a build: machines differ. A target that is missed is said in the table, and
//! the program ends well all the same; it fails when something could not be measured.

mod alone;
mod args;
mod bench;
mod catalog;
mod crowd;
mod jobs;
mod keys;
mod ledger;
mod limits;
mod numbers;
mod program;
mod report;
mod retention;
mod row;
mod salt;
mod scale;
mod stock;
mod terminal;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use brine_tests::swarm::usage;
use clap::Parser;

use args::Args;
use bench::Bench;

fn main() -> ExitCode {
    let args = Args::parse();
    let _ = usage::raise_descriptor_limit();
    let done = if args.raw_server {
        limits::raw::serve().map_err(|error| format!("the raw server cannot serve: {error}"))
    } else {
        run(&args)
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("brine-bench: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), String> {
    if std::env::var_os("BRINE_BIN_DIR").is_none() {
        return Err("BRINE_BIN_DIR names the folder of the programs; `make bench` sets it".to_owned());
    }
    if let Some(python) = &args.salt_python {
        salt::check(python)?;
    }
    let begun = Instant::now();
    let mut bench = Bench::new(args);
    eprintln!("{}", bench.stage());
    let (mut failed, mut times) = (Vec::new(), Vec::new());
    let mut group = |bench: &mut Bench, name: &str, names: &[&str], measure: &dyn Fn(&mut Bench)| {
        if !bench.wants_any(names) {
            return;
        }
        let begun = Instant::now();
        // What one group cannot measure takes nothing from the others.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| measure(bench))) {
            let wanted = names.iter().copied().filter(|name| bench.wants(name));
            let missing = bench.not_there(wanted).join(", ");
            failed.push(format!("{missing}, because {}", why(panic.as_ref())));
        }
        times.push(format!("{name} {:.0} s", begun.elapsed().as_secs_f64()));
    };
    group(&mut bench, "alone", alone::NAMES, &alone::measure);
    for step in 0..bench.scale.crowds.len() {
        let name = format!("crowd of {}", bench.scale.crowds[step]);
        let names = [crowd::NAMES[step], crowd::GROWTH].concat();
        group(&mut bench, &name, &names, &|bench: &mut Bench| crowd::measure(bench, step));
    }
    group(&mut bench, "growth", crowd::GROWTH, &crowd::grown);
    group(&mut bench, "keys", keys::NAMES, &keys::measure);
    group(&mut bench, "ledger", ledger::NAMES, &ledger::measure);
    group(&mut bench, "retention", retention::NAMES, &retention::measure);
    group(&mut bench, "stock", stock::NAMES, &stock::measure);
    if let Some(python) = &args.salt_python {
        group(&mut bench, "salt", salt::NAMES, &|bench: &mut Bench| salt::measure(bench, python));
    }
    group(&mut bench, "limits", limits::NAMES, &limits::measure);
    if failed.is_empty() && !bench.missing().is_empty() {
        failed.push(bench.missing().join(", "));
    }
    bench.sort();
    report::write(&args.out, &bench.rows)?;
    println!("{}", report::table(&bench.rows));
    println!("{}", bench.stage());
    let took = begun.elapsed().as_secs_f64();
    println!("{} rows in {took:.0} s ({}): {}", bench.rows.len(), times.join(", "), args.out.display());
    if failed.is_empty() { Ok(()) } else { Err(format!("could not be measured: {}", failed.join("; "))) }
}

/// What a panic says, on one line.
fn why(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it says nothing");
    text.lines().next().unwrap_or_default().to_owned()
}
