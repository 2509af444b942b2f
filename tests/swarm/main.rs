//! `brine-swarm`: thousands of simulated minions against a real master.

mod args;
mod report;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use brine_tests::process::rss_kib;
use brine_tests::swarm::{Pool, Swarm, provision, usage};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use args::Args;
use report::Report;

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("brine-swarm: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), String> {
    let mut options = args.options()?;
    let begun = Instant::now();
    let keys = Pool::in_folder(&args.key_dir, args.keys.into(), args.key_bits.into())?;
    if begun.elapsed() > Duration::from_secs(1) {
        eprintln!(
            "brine-swarm: made keys in {:.1} s: {}",
            begun.elapsed().as_secs_f64(),
            args.key_dir.display()
        );
    }
    if let Some(root) = &args.provision {
        let begun = Instant::now();
        let done = provision::accept(root, Swarm::ids(&options), &keys)?;
        println!(
            "accepted {} ids in {:.2} s, {} were known: {}",
            done.accepted,
            begun.elapsed().as_secs_f64(),
            done.known,
            root.display()
        );
        return Ok(());
    }
    let limit = usage::raise_descriptor_limit();
    let fits = usage::minions_within(limit);
    let asked = options.minions;
    if fits < asked {
        eprintln!(
            "brine-swarm: {limit} descriptors carry {fits} minions, {asked} were asked for; raise `ulimit -Hn` for more"
        );
        options.minions = fits;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    let rss_before = rss_kib(std::process::id().cast_signed());
    let swarm = Swarm::start(options.clone(), keys.clone())
        .map_err(|error| format!("cannot start threads: {error}"))?;
    let mut report = Report::new(args.report.as_deref(), &options, asked, &keys, rss_before)?;
    runtime.block_on(watch(&swarm, &mut report, args.seconds))?;
    report.end(&swarm)?;
    swarm.stop();
    Ok(())
}

/// Tells once a second until the time is over or a signal says so.
async fn watch(swarm: &Swarm, report: &mut Report, seconds: Option<f64>) -> Result<(), String> {
    let listen = |kind| signal(kind).map_err(|error| format!("cannot listen to signals: {error}"));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let begun = tokio::time::Instant::now();
    let end = seconds.map(|seconds| begun + Duration::from_secs_f64(seconds));
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        let over = async {
            match end {
                Some(end) => tokio::time::sleep_until(end).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            () = over => return Ok(()),
            _ = second.tick() => report.second(swarm)?,
        }
    }
}
