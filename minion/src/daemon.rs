//! From files to a running minion.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use brine_local::config::Environment;
use brine_local::file::{self, FileError, Lock};
use brine_local::{Paths, completion, init, log};
use brine_protocol::Jid;
use brine_protocol::message::{CLAIM_MAX, Knock};
use clap::CommandFactory;
use serde_json::{Map, Value};

use crate::adopt;
use crate::boot;
use crate::cli::{Cli, Command};
use crate::config;
use crate::detached::{self, Detached};
use crate::driver::{self, Parts, Signals};
use crate::engine::Engine;
use crate::enrolment;
use crate::functions::Modules;
use crate::grains::{Grains, VERSION};
use crate::host_id::id;
use crate::identity::Keyring;
use crate::journal::{Found, Journal};
use crate::probe::{self, Probe};
use crate::reload::{self, Source};
use crate::running::World;
use crate::session::Identity;
use crate::trust::Trust;
use crate::{call, doctor, leftovers, pillar, rotation, sync, tell};

/// Does what the command line says. Gives the exit code.
///
/// # Errors
/// One sentence for the operator; nothing was changed that a second attempt would trip over.
pub fn main(cli: Cli) -> Result<u8> {
    let common = cli.common;
    // What is started for a job has a working folder of its own.
    let absolute = |dir: Option<PathBuf>| dir.map(std::path::absolute).transpose();
    let (root_dir, config_dir) = (absolute(common.root_dir)?, absolute(common.config_dir)?);
    let paths = Paths::new(root_dir.as_deref(), config_dir.as_deref());
    let environment = Environment::of_process();
    let options = || config::load_with(&paths, &environment).map(|loaded| loaded.options);
    if cli.command.is_some() {
        init::hear_hangups();
    }
    match cli.command {
        // On a machine that is about to be configured, whatever is configured there now.
        Some(Command::ProbeMaster { host, publish_port, ret_port, expect, timeout }) => {
            probe_master(&paths, &Probe { host, publish_port, ret_port, expect, timeout })
        }
        Some(Command::Fingerprint) => {
            let options = options()?;
            print(&tell::fingerprint(&paths, &options, &id(&options)?)?)
        }
        Some(Command::TrustMaster { fingerprint }) => {
            print(&tell::trust_master(&paths, &options()?, fingerprint)?)
        }
        Some(Command::AdoptSalt { pki, config }) => {
            let source = adopt::Source::new(paths.root(), pki, config);
            print(&adopt::run(&paths, &options()?, &source)?)
        }
        Some(Command::Doctor { out, timeout }) => {
            let (text, has_failed) = doctor::run(&paths, &environment, out, timeout)?;
            print(&text)?;
            Ok(u8::from(has_failed))
        }
        Some(Command::Supervise { folder }) => detached::serve(&folder).map(|()| 0),
        Some(Command::Completion { shell }) => print(&completion::script("brine-minion", shell)?),
        Some(Command::Man(pages)) => print(&pages.write([Cli::command()])?),
        Some(Command::Call { out, args_stdin, function, arguments }) => {
            let options = options()?;
            log::init(common.log_level.as_deref().unwrap_or("warning"), log::Format::Text)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let line =
                call::Line { function: &function, words: arguments, has_more: args_stdin, format: out };
            runtime.block_on(call::run(&paths, &options, id(&options)?, line))
        }
        None => {
            leftovers::shed_marks();
            let loaded = config::load_with(&paths, &environment)?;
            let options = &loaded.options;
            let level = common.log_level.as_deref().unwrap_or(options.log_level.as_str());
            log::init(level, options.log_format)?;
            loaded.log();
            let id = id(options)?;
            let has_own_log_level = common.log_level.is_some();
            serve(Source {
                paths,
                environment,
                has_own_log_level,
                id,
                options: loaded.options,
                token: None,
                read: loaded.read,
            })?;
            Ok(0)
        }
    }
}

fn probe_master(paths: &Paths, probe: &Probe) -> Result<u8> {
    let found = probe::run(paths, probe)?;
    if let Some(caution) = found.caution {
        eprintln!("brine-minion: {caution}");
    }
    print(&found.text)
}

fn print(text: &str) -> Result<u8> {
    std::io::stdout().write_all(text.as_bytes()).context("cannot write the output")?;
    Ok(0)
}

fn serve(mut source: Source) -> Result<()> {
    let signals = Signals::listen()?;
    // Two: a job that computes must not hold up the loop that answers for it.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (paths, options, id) = (&source.paths, &source.options, source.id.clone());
    file::create_private_dir(&paths.minion_state_dir())?;
    let _only_one = lock(paths)?;
    let keys = Arc::new(Keyring::open(&paths.pki_minion(), options.keysize.bits())?);
    let fingerprint = keys.current().public().fingerprint();
    tracing::info!(%id, version = VERSION, %fingerprint, "brine-minion starts");
    let trust = Trust::new(&paths.pki_minion(), options.master_finger);
    trust.pin().context("cannot tell which master to trust")?;

    let grains = Arc::new(Grains::load(id.clone(), options.grains.clone(), Some(paths.grains_file()))?);
    let all = grains.all();
    reload::check_size(&all, options, paths)?;

    let fresh = uuid::Uuid::new_v4().simple().to_string();
    // Settled jobs may take as much again before the file is written anew.
    let size_max = options.spool_max.saturating_mul(4).saturating_add(64 * 1024 * 1024);
    let (journal, book, found) = Journal::open(&paths.journal(), &fresh, size_max)?;
    say_found(&found);
    if let Found::Damaged { old, .. } = &found {
        end_leftovers(old, &BTreeSet::new());
    }
    let detached = Detached::of(paths.minion_state_dir().join("detached"));
    let boot = boot::id(paths.root());
    let going_on = detached.found(&book, boot.as_ref());
    end_leftovers(&book, &going_on);
    detached.sweep(&going_on);
    let token = enrolment::token(options, &paths.config_dir(), book.store().is_some())?;
    enrolment::check(token.is_some(), &trust.pin()?)?;
    if options.enrolment_token.is_some() {
        enrolment::say_readable(paths);
    }

    let settings = reload::settings(&id, options, paths, &all, token.clone());
    let (rotator, asks) = rotation::channel();
    let (pillar, pillar_asks) = pillar::channel();
    let (syncs, modules_asks) = sync::channel();
    let world = World {
        id: id.clone(),
        grains,
        output_max: options.output_max,
        journal: book.id().to_owned(),
        keys: Arc::new(rotator),
        pillar,
        modules: Modules::of(options.modules_folder(paths)),
        syncs,
        detached,
    };
    let parts = Parts {
        engine: Engine::resuming(settings, book, (*all).clone(), &going_on),
        journal,
        identity: Identity {
            id,
            keys,
            trust: Arc::new(trust),
            ticket: Arc::default(),
            has_token: token.is_some(),
            patience: options.handshake_timeout.duration(),
        },
        dialer: reload::dialer(options),
        world,
        asks,
        pillar_asks,
        modules_asks,
        keysize: options.keysize.bits(),
        reconnect_max: options.reconnect_max.duration(),
        grains_max: reload::grains_max(options),
        source: {
            source.token = token;
            source
        },
    };
    runtime.block_on(driver::run(parts, signals));
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    Ok(())
}

fn lock(paths: &Paths) -> Result<Lock> {
    let path = paths.minion_state_dir().join("lock");
    // A minion that is being restarted may still be letting go.
    match Lock::take_within(&path, std::time::Duration::from_secs(5)) {
        Ok(lock) => Ok(lock),
        Err(error @ FileError::Locked { .. }) => {
            bail!(
                "{error}: a minion runs here already; a second one on this machine needs its own --root-dir"
            )
        }
        Err(error) => Err(error.into()),
    }
}

fn say_found(found: &Found) {
    match found {
        Found::Nothing | Found::Whole => {}
        Found::Torn(bytes) => {
            tracing::warn!(
                bytes,
                "the journal's last line was being written when the machine stopped; cut off"
            );
        }
        Found::Damaged { aside, line, .. } => tracing::error!(
            line,
            aside = %aside.display(),
            "the journal is damaged and was set aside; a new one begins, and the master will call orders of the old one interrupted"
        ),
    }
}

fn end_leftovers(book: &crate::book::Book, going_on: &BTreeSet<Jid>) {
    let (found, left) = leftovers::kill_leftovers(book, going_on);
    if !found.is_empty() {
        tracing::warn!(processes = ?found, "killed what was left of jobs from before");
    }
    if !left.is_empty() {
        tracing::error!(processes = ?left, "these processes of earlier jobs cannot be killed");
    }
}

pub(crate) fn knock(grains: &Map<String, Value>, claimed: &[String]) -> Knock {
    let text = |name: &str| grains.get(name).and_then(Value::as_str).unwrap_or_default();
    let cut = |text: String| text.chars().take(64).collect();
    let named = |name: &String| {
        let value = grains.get(name).and_then(claim).filter(|value| value.len().max(name.len()) <= CLAIM_MAX);
        if value.is_none() {
            tracing::warn!(
                grain = name,
                "autosign_grains names a grain that is no text, number or truth here, or too long"
            );
        }
        Some((name.clone(), value?))
    };
    Knock {
        host: cut(text("host").to_owned()),
        os: cut(format!("{} {}", text("os"), text("osrelease")).trim().to_owned()),
        version: VERSION.to_owned(),
        grains: claimed.iter().filter_map(named).collect(),
        ..Knock::default()
    }
}

/// A grain as text, written as Salt writes it, so that a folder of allowed values can move here.
fn claim(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(true) => Some("True".to_owned()),
        Value::Bool(false) => Some("False".to_owned()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_knock_claims_the_grains_that_are_named() {
        let Value::Object(grains) = json!({
            "host": "web1", "os": "Debian", "uuid": "u-1", "num_cpus": 4, "virtual": true,
            "ips": ["192.0.2.1"], "long": "x".repeat(CLAIM_MAX + 1), "secret": "s",
        }) else {
            panic!("an object")
        };
        let named = ["uuid", "num_cpus", "virtual", "ips", "long", "none"].map(str::to_owned);
        let claimed: Vec<_> = knock(&grains, &named).grains.into_iter().collect();
        let expected = [("num_cpus", "4"), ("uuid", "u-1"), ("virtual", "True")];
        assert_eq!(claimed, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert!(knock(&grains, &[]).grains.is_empty(), "nothing that nobody asked for");
    }
}
