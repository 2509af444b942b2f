//! `brine-master` from its command line to its end.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use brine_local::clock::wall;
use brine_local::config::{Environment, Loaded};
use brine_local::supervisor::Supervisor;
use brine_local::{Paths, file, init, log};
use brine_pki::registry::{Opened as OpenedTrust, Trust};
use brine_pki::waiting::WaitingLimits;
use brine_protocol::control::MasterState;
use clap::Parser;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::bundles::{self, Bundles};
use crate::config::Config;
use crate::control::{self, Api};
use crate::counters::Counters;
use crate::driver::{Clock, Desk, Driver, new_agreement};
use crate::engine::{Engine, Input, Memory, Settings};
use crate::gate::{Gate, Ports};
use crate::hook;
use crate::master_key::KeyFiles;
use crate::modules;
use crate::pillar;
use crate::reload::{Reach, Reloader, Source};
use crate::rule_files::{self, RuleFiles};
use crate::store::{self, Store, StoreOptions};
use crate::tickets::Tickets;

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
let it in with `brine-key -a ID`, and greet it with `brine '*' test.ping`.

Each option may be given in the environment as well, which wins over the files: BRINE_RET_PORT=5506
is `ret_port: 5506`. Lists and maps are written as in YAML; an empty variable counts as none.

SIGHUP reads files and rules again: roles, nodegroups, pillar, modules_dir, rules of acceptance, max_minions,
server_created_hook and log_level change at once, and the log names what needs a restart. SIGTERM and SIGINT stop the master."
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
    let source = Source {
        paths: Paths::new(arguments.root_dir.as_deref(), arguments.config_dir.as_deref()),
        environment: Environment::of_process(),
        own_uid: nix::unistd::geteuid().as_raw(),
    };
    let loaded = source.read()?;
    let level = arguments.log_level.as_deref().unwrap_or(&loaded.options.log_level);
    log::init(level, loaded.options.log_format)?;
    loaded.log();
    let signals = Signals::listen()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(serve(source, loaded, arguments.log_level.is_some(), signals))
}

async fn serve(
    source: Source,
    loaded: Loaded<Config>,
    has_own_log_level: bool,
    signals: Signals,
) -> anyhow::Result<()> {
    let options = Arc::new(loaded.options);
    let paths = source.paths.clone();
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
    if let Some(hook) = &options.server_created_hook {
        hook.vet(source.own_uid).map_err(anyhow::Error::msg)?;
    }
    let (keys, own) = KeyFiles::open(&paths.pki_master(), options.keysize, trust.registry().master_keys())?;
    let fingerprint = own.fingerprint;
    let bundles = open_bundles(&paths, &trust)?;
    let store_options = StoreOptions {
        keep_jobs_seconds: options.keep_jobs_seconds,
        cache_bytes: options.store_cache_bytes,
        orphans_per_minion: options.orphans_per_minion,
        // New orders stop first; what runs already may still end.
        room_min: options.disk_free_min / 4,
    };
    let (store, warnings) = Store::open(&paths.store_dir(), &paths.jid_ceiling(), store_options)?;
    for warning in &warnings {
        tracing::error!("{warning}");
    }
    let store = Arc::new(store);
    let announced = trust.registry().master_keys().announced.filter(|_| own.problem.is_none());
    let agreement = new_agreement(&mut trust, keys.key(), announced.map(|announced| announced.to), wall())?;
    let events = store.events(options.events_kept)?;
    let memory = Memory {
        last_event: events.back().map_or(0, |event| event.id),
        store: store.id().to_owned(),
        lost: warnings.into_iter().filter(|said| store::is_loss(said)).collect(),
        last_jid: store.last_jid()?,
        open: store.open_jobs()?,
        facts: store.facts()?,
        idempotency: store.idempotency()?,
        nodegroups: options.nodegroups.clone(),
        own,
    };
    let settings = Settings {
        node: options.node,
        heartbeat: Duration::from_secs_f64(options.heartbeat),
        handshake: Duration::from_millis(options.handshake_timeout_ms),
        lost_after: Duration::from_secs(options.lost_after),
        keep_jobs: Duration::from_secs(options.keep_jobs_seconds),
        servers_max: options.servers_max,
        pillar_cache_bytes: options.pillar_cache_bytes,
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
    let roles = Arc::new(options.read_roles().map_err(anyhow::Error::msg)?);
    let told = Input::Roles { roles: Arc::clone(&roles), own_uid: source.own_uid };
    engine.handle(told, clock.now());
    let pillar_source = pillar::Source::new(&options, &paths);
    let mut pillar_said = pillar::Said::default();
    engine.handle(pillar_said.input(pillar_source.read(), false), clock.now());
    for notice in engine.notices() {
        tracing::warn!("{notice}");
    }

    let ports = Ports::bind(&options).await?;
    let numbers = ports.numbers().context("cannot learn the bound ports")?;
    file::create_dir(&paths.run_dir(), 0o755)?;
    let listener = control::bind(&paths.control_socket())?;
    let counters = Arc::new(Counters::default());
    let (inputs, received) = mpsc::channel(INPUTS_MAX);
    let (other_rule_files, rule_files_changed) = mpsc::unbounded_channel();
    tokio::spawn(rule_files::watch(rule_files, rule_files_changed, inputs.clone()));
    let tickets = Arc::new(Tickets::open(&paths.pki_master()));
    tokio::spawn(Arc::clone(&tickets).keep());
    let gate = Gate::new(Arc::clone(&options), Arc::clone(&counters), agreement, tickets, inputs.clone());
    let desk = Arc::new(Desk::new(options.events_kept, events, engine.last_event() + 1));
    let reach = Reach {
        roles: watch::Sender::new(Arc::clone(&roles)),
        rule_files: other_rule_files,
        pillar: watch::Sender::new(pillar_source),
        modules: watch::Sender::new(modules::Source::new(&options, &paths)),
        caution: watch::Sender::new(options.caution()),
        hook: watch::Sender::new(options.server_created_hook.clone()),
        inputs: inputs.clone(),
    };
    let (pillar_asks, asked) = mpsc::unbounded_channel();
    tokio::spawn(pillar::watch(reach.pillar.subscribe(), asked, pillar_said, inputs.clone()));
    let (module_steps, steps) = mpsc::unbounded_channel();
    tokio::spawn(modules::watch(reach.modules.subscribe(), steps, inputs.clone()));
    let hooked = reach.hook.subscribe();
    hook::start(Arc::clone(&desk), engine.last_event(), Arc::clone(&counters), hooked, source.own_uid);
    let api = Arc::new(Api {
        inputs,
        desk: Arc::clone(&desk),
        store: Arc::clone(&store),
        roles: reach.roles.subscribe(),
        caution: reach.caution.subscribe(),
        pillar: reach.pillar.subscribe(),
        counters: Arc::clone(&counters),
        own_uid: source.own_uid,
        ports: numbers,
        master_address: bundles::master_address(&options),
        since: wall(),
        request_max: options.request_max,
        minions_max: gate.minions_max(),
    });
    let mut driver = Driver {
        engine,
        gate: Arc::clone(&gate),
        store: Arc::clone(&store),
        desk,
        config: Arc::clone(&options),
        counters,
        keys,
        bundles,
        pillar: pillar_asks,
        modules: module_steps,
        master_address: bundles::master_address(&options),
        state: MasterState {
            pid: std::process::id(),
            publish_port: numbers.0,
            ret_port: numbers.1,
            fingerprint,
        },
        state_file: paths.master_json(),
        clock,
        disk: paths.master_state_dir(),
        supervisor: Supervisor::of_process(),
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
    driver.supervisor.ready();
    driver.supervisor.status(&format!("listening on ports {} and {}", numbers.0, numbers.1));

    let present = (*options).clone();
    let reloader = Reloader { source, present, read: loaded.read, has_own_log_level, reach };
    tokio::spawn(reloader.run(signals.hangup));
    let result = driver.run(received, stopped(signals.terminate, signals.interrupt)).await;
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

/// The bundles that wait to be fetched; what else a crash left of them is wiped.
fn open_bundles(paths: &Paths, trust: &Trust) -> anyhow::Result<Bundles> {
    let bundles = Bundles::open(&paths.bundles())?;
    let waits = |server, key| {
        let link = trust.registry().servers().get(server).and_then(|entry| entry.link.as_ref());
        let preseed = link.filter(|link| link.fingerprint == key).and_then(|link| link.preseed);
        preseed.is_some_and(|preseed| !preseed.is_fetched)
    };
    match bundles.sweep(waits)? {
        0 => {}
        wiped => tracing::warn!(wiped, "bundles that the ledger does not name were removed"),
    }
    Ok(bundles)
}

/// What comes from outside to the process itself.
///
/// Listened to before anything else is done: the first process of a container gets no signal that
/// it does not listen to, and one that comes during the start then counts after it.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Listens, and lets SIGHUP in, which was held back until now. To be called before any other thread
    /// is made, that of a runtime too.
    fn listen() -> anyhow::Result<Self> {
        // The handlers are the process's, and outlive the runtime that they are made in.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let _within = runtime.enter();
        let listen = |kind| signal(kind).context("cannot listen to signals");
        let signals = Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        };
        init::hear_hangups();
        Ok(signals)
    }
}

/// Ready when the process is asked to stop.
async fn stopped(mut terminate: Signal, mut interrupt: Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
