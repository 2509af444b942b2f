//! `brine-master` from its command line to its end.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use brine_local::clock::wall;
use brine_local::{Paths, config, file, log};
use brine_pki::registry::{Opened as OpenedTrust, Trust};
use brine_pki::waiting::WaitingLimits;
use brine_protocol::control::MasterState;
use clap::Parser;
use tokio::sync::mpsc;

use crate::config::Config;
use crate::control::{self, Api};
use crate::counters::Counters;
use crate::driver::{Clock, Desk, Driver, new_agreement};
use crate::engine::{Engine, Input, Memory, Settings};
use crate::gate::{Gate, Ports};
use crate::master_key::KeyFiles;
use crate::roles::Roles;
use crate::rule_files::{RuleFiles, watch};
use crate::store::{Store, StoreOptions};

/// Inputs that may wait for the engine before its sources wait.
const INPUTS_MAX: usize = 8192;

/// How long a starting master waits for the key tool, or a dying predecessor, to let go.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// The master: holds the keys of minions, sends them orders, and keeps every return.
///
/// Runs in the foreground and logs to standard error. Minions connect to two ports; operators use
/// `brine` and `brine-key` on the same machine, which talk to it over a Unix socket.
#[derive(Debug, Parser)]
#[command(
    name = "brine-master",
    version,
    after_help = "\
Examples:
  brine-master                     a master with /etc/brine/master.yaml, ports 4505 and 4506
  brine-master --root-dir /tmp/m   everything under /tmp/m: no root needed

Then: point a minion here (`master:` in its minion.yaml), see its key with `brine-key -L`,
let it in with `brine-key -a ID`, and greet it with `brine '*' test.ping`."
)]
pub struct Arguments {
    /// Folder of master.yaml and master.d/ [default: /etc/brine]
    #[arg(short, long, value_name = "DIR")]
    config_dir: Option<PathBuf>,
    /// Move every default path under DIR
    #[arg(long, value_name = "DIR")]
    root_dir: Option<PathBuf>,
    /// What to log: quiet, error, warning, info, debug or trace [default: the option log_level, info]
    #[arg(short, long, value_name = "LEVEL")]
    log_level: Option<String>,
}

/// Runs a master to its end.
///
/// # Errors
/// It cannot start, or could not leave its files in order; one sentence with its causes.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let paths = Paths::new(arguments.root_dir.as_deref(), arguments.config_dir.as_deref());
    let options: Config = config::load_for(&paths, "master")?;
    if let Err(problem) = options.check() {
        bail!("{}: {problem}", paths.config_file("master").display());
    }
    log::init(arguments.log_level.as_deref().unwrap_or(&options.log_level))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(serve(paths, Arc::new(options)))
}

async fn serve(paths: Paths, options: Arc<Config>) -> anyhow::Result<()> {
    let clock = Clock::start();
    let limits = WaitingLimits {
        pending_max: options.pending_max,
        pending_per_id: options.pending_per_id,
        pending_age_s: options.pending_age,
    };
    brine_client::check_socket_path(&paths.control_socket())?;
    let OpenedTrust { mut trust, warnings } =
        Trust::open(&paths.ledger(), &paths.waiting(), limits, LOCK_WAIT)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    trust.set_max_minions(options.max_minions);
    let mut rule_files = RuleFiles::new(&options, &paths.config_dir());
    let rules = Box::new(rule_files.read()?);
    let (keys, own) = KeyFiles::open(&paths.pki_master(), options.keysize, trust.registry().master_keys())?;
    let fingerprint = own.fingerprint;
    let store_options = StoreOptions {
        keep_jobs_seconds: options.keep_jobs_seconds,
        cache_bytes: options.store_cache_bytes,
        orphans_per_minion: options.orphans_per_minion,
        // New orders stop first; what runs already may still end.
        room_min: options.disk_free_min / 4,
    };
    let (store, warnings) = Store::open(&paths.store_dir(), &paths.jid_ceiling(), store_options)?;
    for warning in warnings {
        tracing::error!("{warning}");
    }
    let store = Arc::new(store);
    let announced = trust.registry().master_keys().announced.filter(|_| own.problem.is_none());
    let agreement = new_agreement(&mut trust, keys.key(), announced.map(|announced| announced.to), wall())?;
    let events = store.events(options.events_kept)?;
    let memory = Memory {
        last_event: events.back().map_or(0, |event| event.id),
        store: store.id().to_owned(),
        last_jid: store.last_jid()?,
        open: store.open_jobs()?,
        facts: store.facts()?,
        idempotency: store.idempotency()?,
        own,
    };
    let settings = Settings {
        node: options.node,
        heartbeat: Duration::from_secs_f64(options.heartbeat),
        handshake: Duration::from_millis(options.handshake_timeout_ms),
        lost_after: Duration::from_secs(options.lost_after),
        keep_jobs: Duration::from_secs(options.keep_jobs_seconds),
        open_orders_max: options.open_orders_max,
        open_bytes_max: options.open_orders_bytes_max,
        message_max: options.message_max,
        hand_window: options.hand_window(),
    };
    let random = Box::new(|bytes: &mut [u8]| {
        for chunk in bytes.chunks_mut(32) {
            chunk.copy_from_slice(&brine_pki::random::bytes::<32>()[..chunk.len()]);
        }
    });
    let mut engine = Engine::new(settings, trust, memory, random, clock.now());
    engine.handle(Input::Rules { rules, problem: None }, clock.now());
    for notice in engine.notices() {
        tracing::warn!("{notice}");
    }

    let ports = Ports::bind(&options).await?;
    let numbers = ports.numbers().context("cannot learn the bound ports")?;
    file::create_dir(&paths.run_dir(), 0o755)?;
    let listener = control::bind(&paths.control_socket())?;
    let counters = Arc::new(Counters::default());
    let (inputs, received) = mpsc::channel(INPUTS_MAX);
    tokio::spawn(watch(rule_files, inputs.clone()));
    let gate = Gate::new(Arc::clone(&options), Arc::clone(&counters), agreement, inputs.clone());
    let desk = Arc::new(Desk::new(options.events_kept, events, engine.last_event() + 1));
    let api = Arc::new(Api {
        inputs,
        desk: Arc::clone(&desk),
        store: Arc::clone(&store),
        roles: Roles::read(&options.roles, &options.publisher_acl).map_err(anyhow::Error::msg)?,
        counters: Arc::clone(&counters),
        own_uid: nix::unistd::geteuid().as_raw(),
        ports: numbers,
        since: wall(),
        request_max: options.request_max,
    });
    let mut driver = Driver {
        engine,
        gate: Arc::clone(&gate),
        store: Arc::clone(&store),
        desk,
        config: Arc::clone(&options),
        counters,
        keys,
        state: MasterState {
            pid: std::process::id(),
            publish_port: numbers.0,
            ret_port: numbers.1,
            fingerprint,
        },
        state_file: paths.master_json(),
        clock,
        disk: paths.master_state_dir(),
    };
    tokio::spawn(gate.run(ports));
    tokio::spawn(async move {
        if let Err(error) = control::serve(api, listener).await {
            tracing::error!(%error, "the control socket has failed");
        }
    });
    let state = serde_json::to_vec(&driver.state).expect("plain data");
    file::replace(&paths.master_json(), &state, 0o644)?;
    tracing::info!(%fingerprint, publish_port = numbers.0, ret_port = numbers.1, "listening");

    let result = driver.run(received, stopped()).await;
    // The socket goes first: whoever sees it gone knows that nobody answers. The driver holds the
    // ledger's lock until then, so that these are not a successor's files.
    let _ = std::fs::remove_file(paths.control_socket());
    let _ = std::fs::remove_file(paths.master_json());
    tracing::info!("stopped");
    drop(driver);
    if result.is_err() {
        // A database that broke does not end: dropping it would wait for ever.
        std::mem::forget(store);
    }
    result
}

/// Ready when the process is asked to stop.
async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        // Without handlers the signals end the process, which loses nothing that was promised.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
