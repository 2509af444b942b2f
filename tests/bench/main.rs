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
    let mut failed = Vec::new();
    let mut group = |bench: &mut Bench, name: &str, names: &[&str], measure: &dyn Fn(&mut Bench)| {
        // What one group cannot measure takes nothing from the others.
        if bench.wants_any(names) && catch_unwind(AssertUnwindSafe(|| measure(bench))).is_err() {
            failed.push(name.to_owned());
        }
    };
    group(&mut bench, "alone", alone::NAMES, &alone::measure);
    group(&mut bench, "crowd", &crowd::NAMES.concat(), &crowd::measure);
    group(&mut bench, "keys", keys::NAMES, &keys::measure);
    group(&mut bench, "ledger", ledger::NAMES, &ledger::measure);
    group(&mut bench, "retention", retention::NAMES, &retention::measure);
    group(&mut bench, "stock", stock::NAMES, &stock::measure);
    if let Some(python) = &args.salt_python {
        group(&mut bench, "salt", salt::NAMES, &|bench: &mut Bench| salt::measure(bench, python));
    }
    group(&mut bench, "limits", limits::NAMES, &limits::measure);
    failed.extend(bench.missing());
    bench.sort();
    report::write(&args.out, &bench.rows)?;
    println!("{}", report::table(&bench.rows));
    println!("{} rows in {:.0} s: {}", bench.rows.len(), begun.elapsed().as_secs_f64(), args.out.display());
    if failed.is_empty() { Ok(()) } else { Err(format!("could not be measured: {}", failed.join(", "))) }
}
