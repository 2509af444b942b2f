//! `brine-master` from its command line to its end.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use brine_local::clock::wall;
use brine_local::{Paths, config, file, log};
use brine_pki::key::{PrivateKey, PublicKey};
use brine_pki::registry::{Opened as OpenedTrust, Trust};
use brine_pki::waiting::WaitingLimits;
use brine_protocol::control::MasterState;
use clap::Parser;
use tokio::sync::mpsc;

use crate::config::Config;
use crate::control::{self, Api};
use crate::counters::Counters;
use crate::driver::{Clock, Desk, Driver, new_agreement};
use crate::engine::{Engine, Memory, Settings};
use crate::gate::{Gate, Ports};
use crate::roles::Roles;
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
    let key = load_or_make_key(&paths, options.keysize)?;
    let fingerprint = key.public().fingerprint();
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
    let agreement = new_agreement(&mut trust, &key, wall())?;
    let events = store.events(options.events_kept)?;
    let memory = Memory {
        last_event: events.back().map_or(0, |event| event.id),
        store: store.id().to_owned(),
        last_jid: store.last_jid()?,
        open: store.open_jobs()?,
        facts: store.facts()?,
        idempotency: store.idempotency()?,
    };
    let settings = Settings {
        node: options.node,
        heartbeat: Duration::from_secs_f64(options.heartbeat),
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
    let engine = Engine::new(settings, trust, memory, random, clock.now());

    let ports = Ports::bind(&options).await?;
    let numbers = ports.numbers().context("cannot learn the bound ports")?;
    file::create_dir(&paths.run_dir(), 0o755)?;
    let listener = control::bind(&paths.control_socket())?;
    let counters = Arc::new(Counters::default());
    let (inputs, received) = mpsc::channel(INPUTS_MAX);
    let gate = Gate::new(Arc::clone(&options), Arc::clone(&counters), agreement, inputs.clone());
    let desk = Arc::new(Desk::new(options.events_kept, events, engine.last_event() + 1));
    let api = Arc::new(Api {
        inputs,
        desk: Arc::clone(&desk),
        store: Arc::clone(&store),
        roles: Roles::read(&options.roles, &options.publisher_acl).map_err(anyhow::Error::msg)?,
        counters: Arc::clone(&counters),
        own_uid: nix::unistd::geteuid().as_raw(),
        fingerprint,
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
        key,
        clock,
        disk: paths.master_state_dir(),
    };
    tokio::spawn(gate.run(ports));
    tokio::spawn(async move {
        if let Err(error) = control::serve(api, listener).await {
            tracing::error!(%error, "the control socket has failed");
        }
    });
    let state =
        MasterState { pid: std::process::id(), publish_port: numbers.0, ret_port: numbers.1, fingerprint };
    let state = serde_json::to_vec(&state).expect("plain data");
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

/// The master's own key: read, or made on the first start.
fn load_or_make_key(paths: &Paths, bits: usize) -> anyhow::Result<PrivateKey> {
    let folder = paths.pki_master();
    let path = folder.join("master.pem");
    match file::read_text(&path, 64 * 1024) {
        Ok(pem) => {
            file::check_private(&path)?;
            let key = PrivateKey::from_pem(&pem)
                .with_context(|| format!("cannot use the key in {}", path.display()))?;
            check_public(&folder.join("master.pub"), &key)?;
            Ok(key)
        }
        Err(error) if error.is_not_found() => {
            file::create_private_dir(&folder)?;
            tracing::info!(bits, "making this master's key, which takes a moment");
            let key = PrivateKey::generate(bits)?;
            file::replace(&folder.join("master.pub"), key.public().to_pem().as_bytes(), 0o644)?;
            file::replace(&path, key.to_pem().as_bytes(), 0o600)?;
            Ok(key)
        }
        Err(error) => Err(error.into()),
    }
}

/// The public half lies beside the key for people to read and to copy: it has to be the right one.
fn check_public(path: &Path, key: &PrivateKey) -> anyhow::Result<()> {
    match file::read_text(path, 64 * 1024) {
        Ok(pem) => {
            let public = PublicKey::from_pem(&pem)
                .with_context(|| format!("cannot use the key in {}", path.display()))?;
            if public != *key.public() {
                bail!(
                    "{} is not the public half of the key beside it: it is {}, and that of the key is {}; remove it to have it written anew",
                    path.display(),
                    public.fingerprint(),
                    key.public().fingerprint()
                );
            }
            Ok(())
        }
        Err(error) if error.is_not_found() => {
            Ok(file::replace(path, key.public().to_pem().as_bytes(), 0o644)?)
        }
        Err(error) => Err(error.into()),
    }
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
