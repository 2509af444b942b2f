//! SIGHUP: the configuration read again, and what can change while the master runs.
//!
//! What changes in place and what has to wait for a restart is one pure function, [`decide`],
//! which names every option: a new one does not compile before it is in one of the two lists.
//! **Invariant:** a configuration that is faulty anywhere changes nothing at all.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use brine_local::config::{Environment, Loaded, load_daemon};
use brine_local::{Paths, log};
use brine_pki::registry::rules::Rules;
use brine_protocol::control::Caution;
use tokio::signal::unix::Signal;
use tokio::sync::{mpsc, watch};

use crate::config::Config;
use crate::engine::Input;
use crate::hook;
use crate::modules;
use crate::pillar;
use crate::roles::Roles;
use crate::rule_files::RuleFiles;

/// What another configuration changes, by option.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Changes {
    /// What is different from now on.
    pub in_place: Vec<&'static str>,
    /// What stays as it is until the master is started again.
    pub restart: Vec<&'static str>,
}

impl Changes {
    fn has_any(&self, options: &[&str]) -> bool {
        self.in_place.iter().any(|changed| options.contains(changed))
    }
}

macro_rules! decide {
    (in_place: $($here:ident),+; restart: $($later:ident),+ $(,)?) => {
        /// What `wanted` changes, and the configuration that is in effect then: the present one
        /// with what can change in place.
        #[must_use]
        pub fn decide(present: &Config, wanted: Config) -> (Changes, Config) {
            let (mut changes, mut next) = (Changes::default(), present.clone());
            // Every option by name.
            let Config { $($here,)+ $($later,)+ } = wanted;
            $(if next.$here != $here {
                changes.in_place.push(stringify!($here));
                next.$here = $here;
            })+
            $(if next.$later != $later {
                changes.restart.push(stringify!($later));
            })+
            (changes, next)
        }
    };
}

decide! {
    // `timeout` is here because only `brine` heeds it, which reads it each time.
    in_place: timeout, confirm_above, batch_safe_limit, batch_safe_size, log_level, roles, publisher_acl, publisher_acl_blacklist, zones_see_unclaimed, auto_accept, autosign_file,
        autoreject_file, autosign_grains_dir, max_minions, server_created_hook, nodegroups,
        pillar_roots, modules_dir;
    restart: log_format, pillar_cache_bytes, interface, publish_port, ret_port, master_address, servers_max, keysize, keep_jobs_seconds, lost_after, heartbeat, config_rotation,
        node, open_mode, pending_max, pending_per_id, pending_age, max_minions_connected, connections_per_address,
        connect_rate_per_address, connect_burst_per_address, exempt_addresses, waiting_share_percent,
        descriptors_reserved, handshake_timeout_ms, message_timeout_ms, write_stall_ms, send_queue_max,
        subscriber_token_ms, verify_queue_max, verify_queue_per_address, verify_deadline_ms, message_max,
        stranger_message_max, frames_max, ready_max, subscriptions_max, subscription_bytes_max, open_orders_max,
        open_orders_bytes_max, orphans_per_minion, events_kept, request_max, store_cache_bytes, disk_free_min,
}

/// The options behind the rules of automatic decisions.
const RULES: [&str; 4] = ["auto_accept", "autosign_file", "autoreject_file", "autosign_grains_dir"];

/// The options behind the roles.
const ROLES: [&str; 4] = ["roles", "publisher_acl", "publisher_acl_blacklist", "zones_see_unclaimed"];

/// Where the configuration comes from.
#[derive(Debug, Clone)]
pub struct Source {
    /// The files.
    pub paths: Paths,
    /// The environment, which cannot change while a process runs.
    pub environment: Environment,
    /// The user this master runs as.
    pub own_uid: u32,
}

impl Source {
    /// Reads and checks the configuration.
    ///
    /// # Errors
    /// One sentence naming file and line, or the variable.
    pub fn read(&self) -> anyhow::Result<Loaded<Config>> {
        let loaded = load_daemon::<Config>(&self.paths, "master", &self.environment)?;
        match loaded.options.check() {
            Ok(()) => Ok(loaded),
            Err(problem) => {
                Err(anyhow::Error::msg(problem).context(loaded.place(&self.paths.config_file("master"))))
            }
        }
    }
}

/// Where changes go.
pub struct Reach {
    /// Who may what.
    pub roles: watch::Sender<Arc<Roles>>,
    /// The files of automatic decisions.
    pub rule_files: mpsc::UnboundedSender<(RuleFiles, Rules)>,
    /// Where pillar is read from, and when: at each change, though it be to the same.
    pub pillar: watch::Sender<pillar::Source>,
    /// Where custom modules are read from.
    pub modules: watch::Sender<modules::Source>,
    /// What clients are asked to heed.
    pub caution: watch::Sender<Caution>,
    /// The hook.
    pub hook: watch::Sender<Option<hook::Command>>,
    /// The engine.
    pub inputs: mpsc::Sender<Input>,
}

/// Reads the configuration again at each signal.
pub struct Reloader {
    /// Where from.
    pub source: Source,
    /// What is in effect.
    pub present: Config,
    /// What of the files was there.
    pub read: Vec<PathBuf>,
    /// Whether the level of the log was given on the command line, which wins.
    pub has_own_log_level: bool,
    /// What can be changed.
    pub reach: Reach,
}

/// Another configuration, with all that could fail behind it.
struct Next {
    changes: Changes,
    config: Config,
    read: Vec<PathBuf>,
    roles: Roles,
    rules: Option<(RuleFiles, Rules)>,
}

fn prepare(source: &Source, present: &Config, read: &[PathBuf]) -> anyhow::Result<Next> {
    let loaded = source.read()?;
    loaded.has_all_of(read)?;
    let (changes, config) = decide(present, loaded.options);
    // Each option was checked together with the others as they are written; this is what will run.
    config.check().map_err(anyhow::Error::msg).context("together with options that need a restart")?;
    let roles = config.read_roles().map_err(anyhow::Error::msg)?;
    let mut rules = None;
    if changes.has_any(&RULES) {
        let mut files = RuleFiles::new(&config, &source.paths.config_dir());
        let read = files.read()?;
        rules = Some((files, read));
    }
    if changes.has_any(&["server_created_hook"])
        && let Some(hook) = &config.server_created_hook
    {
        hook.vet(source.own_uid).map_err(anyhow::Error::msg)?;
    }
    Ok(Next { changes, config, read: loaded.read, roles, rules })
}

impl Reloader {
    /// Does so for as long as the master runs.
    pub async fn run(mut self, mut hangups: Signal) {
        while hangups.recv().await.is_some() {
            self.reload().await;
        }
    }

    async fn reload(&mut self) {
        let (source, present, read) = (self.source.clone(), self.present.clone(), self.read.clone());
        // A disk may be slow.
        let prepared = tokio::task::spawn_blocking(move || prepare(&source, &present, &read)).await;
        match prepared.map_err(anyhow::Error::from).and_then(|prepared| prepared) {
            Ok(next) => self.adopt(next).await,
            Err(error) => {
                tracing::error!("the configuration was not reloaded, everything stays as it was: {error:#}");
            }
        }
    }

    async fn adopt(&mut self, next: Next) {
        let Next { changes, config, read, roles, rules } = next;
        if changes.has_any(&ROLES) {
            let roles = Arc::new(roles);
            let told = Input::Roles { roles: Arc::clone(&roles), own_uid: self.source.own_uid };
            let _ = self.reach.inputs.send(told).await;
            self.reach.roles.send_replace(roles);
        }
        // The bound before the rules: those must not let in more than it allows. An engine that is
        // gone needs neither.
        if changes.has_any(&["max_minions"]) {
            let _ = self.reach.inputs.send(Input::MaxMinions(config.max_minions)).await;
        }
        if let Some(rules) = rules
            && self.reach.rule_files.send(rules).is_err()
        {
            tracing::error!("the files of automatic decisions are no longer looked at: restart the master");
        }
        if changes.has_any(&["nodegroups"]) {
            let _ = self.reach.inputs.send(Input::Nodegroups(config.nodegroups.clone())).await;
        }
        self.reach.pillar.send_replace(pillar::Source::new(&config, &self.source.paths));
        self.reach.modules.send_replace(modules::Source::new(&config, &self.source.paths));
        self.reach.caution.send_replace(config.caution());
        if changes.has_any(&["server_created_hook"]) {
            self.reach.hook.send_replace(config.server_created_hook.clone());
        }
        if changes.has_any(&["log_level"]) && !self.has_own_log_level {
            log::set(&config.log_level).expect("a checked configuration has a level that exists");
        }
        (self.present, self.read) = (config, read);
        say(&changes, &self.source.paths.config_file("master"));
    }
}

fn say(changes: &Changes, file: &Path) {
    let changed =
        if changes.in_place.is_empty() { "nothing".to_owned() } else { changes.in_place.join(", ") };
    tracing::info!(changed, file = %file.display(), "the configuration was reloaded");
    if !changes.restart.is_empty() {
        tracing::warn!(
            options = changes.restart.join(", "),
            "these options have changed and take effect when the master is started again"
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::*;

    /// The defaults with these options.
    fn config(options: Value) -> Config {
        serde_json::from_value(options).expect("options")
    }

    #[test]
    fn a_file_that_is_gone_lifts_no_limit() {
        let root = tempfile::tempdir().expect("a folder");
        let paths = Paths::new(Some(root.path()), None);
        let file = paths.config_file("master");
        std::fs::create_dir_all(paths.config_dir()).expect("a folder");
        std::fs::write(&file, "max_minions: 3\n").expect("a file");
        let source = Source { paths, environment: Environment::default(), own_uid: 0 };
        let loaded = source.read().expect("a configuration");
        let prepare = || prepare(&source, &loaded.options, &loaded.read);
        assert_eq!(prepare().map(|next| next.changes).ok(), Some(Changes::default()));
        std::fs::remove_file(&file).expect("a file");
        let refused = prepare().err().expect("refused").to_string();
        assert!(refused.contains("master.yaml was read before and is gone"), "{refused}");
        // Emptied is meant so.
        std::fs::write(&file, "").expect("a file");
        assert_eq!(prepare().expect("a configuration").changes.in_place, ["max_minions"]);
    }

    #[test]
    fn nothing_changes_nothing() {
        let present = config(json!({"auto_accept": true}));
        assert_eq!(decide(&present, present.clone()), (Changes::default(), present));
    }

    #[test]
    fn what_needs_a_restart_stays_and_the_rest_changes() {
        let present = config(json!({"ret_port": 1, "max_minions": 5}));
        let wanted = config(json!({
            "ret_port": 2, "node": 3, "max_minions": 6, "roles": {"vera": {"role": "viewer"}},
            "server_created_hook": "/bin/true",
        }));
        let (changes, next) = decide(&present, wanted.clone());
        assert_eq!(changes.in_place, ["roles", "max_minions", "server_created_hook"]);
        assert_eq!(changes.restart, ["ret_port", "node"]);
        assert_eq!(next, Config { ret_port: 1, node: 0, ..wanted.clone() });
        // Said again at the next signal: it is still so.
        assert_eq!(decide(&next, wanted).0, Changes { in_place: vec![], ..changes });
    }

    #[test]
    fn every_option_is_in_one_list() {
        let Ok(Value::Object(defaults)) = serde_json::to_value(Config::default()) else { panic!("options") };
        for (name, value) in &defaults {
            let other = match value {
                Value::Null => json!("/other"),
                Value::Bool(truth) => json!(!truth),
                Value::Number(number) => json!(number.as_f64().expect("a number") as u64 + 1),
                Value::String(text) if text.parse::<std::net::IpAddr>().is_ok() => json!("127.0.0.9"),
                Value::String(_) if name == "batch_safe_size" => json!("9"),
                Value::String(_) if name == "log_format" => json!("json"),
                Value::String(_) => json!("debug"),
                Value::Array(_) => json!(["127.0.0.9"]),
                Value::Object(_) if name == "publisher_acl_blacklist" => json!({"users": ["x"]}),
                Value::Object(_) if name == "roles" => json!({"x": {"role": "viewer"}}),
                Value::Object(_) => json!({"x": []}),
            };
            let wanted = config(Value::Object(Map::from_iter([(name.clone(), other)])));
            let (changes, _) = decide(&Config::default(), wanted);
            let named = [changes.in_place, changes.restart].concat();
            assert_eq!(named, [name.as_str()]);
        }
        for name in RULES.iter().chain(&ROLES) {
            assert!(defaults.contains_key(*name), "{name}");
        }
    }
}
