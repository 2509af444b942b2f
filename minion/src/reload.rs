//! SIGHUP: the configuration read again, and what of it can change while the minion runs.
//!
//! Jobs do not belong to a session, so what a session is made of changes by ending it and dialling
//! anew, and no job notices. What changes when is one pure function, [`decide`], which names every
//! option: a new one does not compile before it is in one of the three lists. **Invariant:** a
//! configuration that is faulty anywhere changes nothing at all.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use brine_local::Paths;
use brine_local::config::Environment;
use brine_protocol::message::Knock;
use brine_protocol::{MinionId, Secret};
use serde_json::{Map, Value};

use crate::boot;
use crate::config::{self, Options};
use crate::daemon::knock;
use crate::engine::Settings;
use crate::enrolment;
use crate::grains::{Grains, VERSION};
use crate::net::Dialer;
use crate::relay::Bounds;
use crate::trust::Trust;

/// What another configuration changes, by option.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Changes {
    /// What is different from now on.
    pub in_place: Vec<&'static str>,
    /// What is different from the next session on, which is dialled at once.
    pub session: Vec<&'static str>,
    /// What stays as it is until the minion is started again.
    pub restart: Vec<&'static str>,
}

macro_rules! decide {
    (in_place: $($here:ident),+; session: $($next:ident),+; restart: $($later:ident),+ $(,)?) => {
        /// What `wanted` changes, and the options that are in effect then: the present ones with
        /// all that needs no restart.
        #[must_use]
        pub fn decide(present: &Options, wanted: Options) -> (Changes, Options) {
            let (mut changes, mut after) = (Changes::default(), present.clone());
            // Every option by name.
            let Options { $($here,)+ $($next,)+ $($later,)+ } = wanted;
            $(if after.$here != $here {
                changes.in_place.push(stringify!($here));
                after.$here = $here;
            })+
            $(if after.$next != $next {
                changes.session.push(stringify!($next));
                after.$next = $next;
            })+
            $(if after.$later != $later {
                changes.restart.push(stringify!($later));
            })+
            (changes, after)
        }
    };
}

decide! {
    in_place: grains, log_level, keysize, reconnect_max, output_max, process_count_max, modules_dir;
    // The limits are told to the master, or hold for a connection, when a session begins.
    session: master, publish_port, ret_port, master_port, master_finger, server, enrolment_token,
        enrolment_token_file, autosign_grains, connect_timeout, handshake_timeout, stall_timeout, return_max,
        message_max, frames_max, ready_max;
    // The id is who the minion is; the journal is opened with room for the spool.
    restart: log_format, id, minion_id_lowercase, minion_id_remove_domain, append_domain, spool_max,
}

/// Where the configuration comes from, and what of it is in effect.
#[derive(Debug, Clone)]
pub struct Source {
    /// The files.
    pub paths: Paths,
    /// The environment, which cannot change while a process runs.
    pub environment: Environment,
    /// Whether the level of the log was given on the command line, which wins.
    pub has_own_log_level: bool,
    /// The minion's id.
    pub id: MinionId,
    /// The options in effect.
    pub options: Options,
    /// The enrolment token that they gave, used or not.
    pub token: Option<Secret>,
    /// What of the files was there.
    pub read: Vec<PathBuf>,
}

/// Other options, with all that could fail behind them.
#[derive(Debug)]
pub struct Next {
    /// What they change.
    pub changes: Changes,
    /// Where they come from, and they themselves.
    pub source: Source,
    /// For the engine.
    pub settings: Settings,
    /// Whether they bring another enrolment token than before.
    pub is_token_new: bool,
    /// Which master is trusted under them.
    pub trust: Arc<Trust>,
}

impl Source {
    /// Reads the configuration again. The grains that it sets are in `grains` then.
    ///
    /// # Errors
    /// One sentence naming file and line, or the variable; nothing has changed.
    pub fn again(&self, grains: &Grains, was_accepted: bool) -> Result<Next> {
        let loaded = config::load_with(&self.paths, &self.environment)?;
        loaded.has_all_of(&self.read)?;
        let (changes, options) = decide(&self.options, loaded.options);
        // They were checked as they are written; this is what will run.
        options.check().map_err(anyhow::Error::msg).context("together with options that need a restart")?;
        let trust = Arc::new(Trust::new(&self.paths.pki_minion(), options.master_finger));
        let token = enrolment::token(&options, &self.paths.config_dir(), was_accepted)?;
        enrolment::check(token.is_some(), &trust.pin()?)?;
        let all = grains.under(&options.grains)?;
        check_size(&all, &options, &self.paths)?;
        // The last that can fail, so that it is all or nothing.
        grains.configure(options.grains.clone())?;
        let is_token_new = token != self.token;
        let settings = settings(&self.id, &options, &self.paths, &all, token.clone());
        Ok(Next {
            changes,
            settings,
            is_token_new,
            trust,
            source: Source { options, token, read: loaded.read, ..self.clone() },
        })
    }
}

/// Whether these grains fit into a message.
///
/// # Errors
/// They do not; the sentence has both sizes.
pub fn check_size(grains: &Map<String, Value>, options: &Options, paths: &Paths) -> Result<()> {
    let size = serde_json::to_vec(grains).map_or(usize::MAX, |json| json.len());
    let max = grains_max(options);
    if size > max {
        bail!(
            "the grains have {size} bytes as JSON, more than the {max} that fit into a message; shorten `grains` or {}",
            paths.grains_file().display()
        );
    }
    Ok(())
}

/// Grains larger than this are not sent.
#[must_use]
pub fn grains_max(options: &Options) -> usize {
    options.return_max / 2
}

/// What the engine has to know of the options.
#[must_use]
pub fn settings(
    id: &MinionId,
    options: &Options,
    paths: &Paths,
    grains: &Map<String, Value>,
    token: Option<Secret>,
) -> Settings {
    Settings {
        id: id.clone(),
        knock: Knock {
            server: options.server.as_ref().map(|claim| claim.as_str().to_owned()),
            token,
            ..knock(grains, &options.autosign_grains)
        },
        version: VERSION.to_owned(),
        return_max: options.return_max,
        message_max: options.message_max,
        spool_max: options.spool_max,
        process_count_max: options.process_count_max,
        boot: boot::id(paths.root()),
    }
}

/// How the options say that a session is dialled.
#[must_use]
pub fn dialer(options: &Options) -> Dialer {
    Dialer {
        host: options.master.as_str().to_owned(),
        publish_port: options.publish_port,
        ret_port: options.return_port(),
        bounds: Bounds {
            wire: options.wire(),
            connect: options.connect_timeout.duration(),
            handshake: options.handshake_timeout.duration(),
            stall: options.stall_timeout.duration(),
        },
    }
}

impl Next {
    /// Says in the log what has changed.
    pub fn say(&self) {
        let Changes { in_place, session, restart } = &self.changes;
        let mut changed: Vec<&str> = in_place.iter().chain(session).copied().collect();
        if self.is_token_new && !changed.iter().any(|option| option.starts_with("enrolment_token")) {
            changed.push("the enrolment token");
        }
        let changed = if changed.is_empty() { "nothing".to_owned() } else { changed.join(", ") };
        let file = self.source.paths.config_file("minion");
        tracing::info!(changed, file = %file.display(), "the configuration was reloaded");
        if !restart.is_empty() {
            tracing::warn!(
                options = restart.join(", "),
                "these options have changed and take effect when the minion is started again"
            );
        }
    }

    /// Whether the session is to be dialled anew.
    #[must_use]
    pub fn needs_session(&self) -> bool {
        !self.changes.session.is_empty() || self.is_token_new
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn options(options: Value) -> Options {
        serde_json::from_value(options).unwrap()
    }

    #[test]
    fn what_is_of_a_session_what_is_not_and_what_has_to_wait() {
        let present = options(json!({"master": "a", "id": "m1"}));
        let wanted = options(json!({
            "master": "b", "id": "m2", "process_count_max": 3, "grains": {"role": "web"}, "spool_max": 99_000_000,
        }));
        let (changes, after) = decide(&present, wanted.clone());
        assert_eq!(changes.in_place, ["grains", "process_count_max"]);
        assert_eq!(changes.session, ["master"]);
        assert_eq!(changes.restart, ["id", "spool_max"]);
        let Options { id, spool_max, .. } = present.clone();
        assert_eq!(after, Options { id, spool_max, ..wanted });
        assert_eq!(decide(&present, present.clone()), (Changes::default(), present));
    }

    #[test]
    fn every_option_is_in_one_list() {
        let Ok(Value::Object(defaults)) = serde_json::to_value(Options::default()) else { panic!("options") };
        for (name, value) in &defaults {
            let other = match (name.as_str(), value) {
                ("master_finger", _) => json!("ab".repeat(32)),
                ("master_port", _) => json!(7),
                ("log_level", _) => json!("debug"),
                ("log_format", _) => json!("json"),
                (_, Value::Null | Value::String(_)) => json!("other"),
                ("keysize", _) => json!(2048),
                (_, Value::Number(number)) => json!(number.as_f64().unwrap() as u64 + 1),
                (_, Value::Array(_)) => json!(["x"]),
                (_, Value::Object(_)) => json!({"x": 1}),
                (_, Value::Bool(truth)) => json!(!truth),
            };
            let wanted = options(Value::Object(Map::from_iter([(name.clone(), other)])));
            let (changes, _) = decide(&Options::default(), wanted);
            assert_eq!([changes.in_place, changes.session, changes.restart].concat(), [name.as_str()]);
        }
    }

    struct Rig {
        _root: tempfile::TempDir,
        source: Source,
        grains: Grains,
    }

    impl Rig {
        fn new(yaml: &str) -> Self {
            let root = tempfile::tempdir().unwrap();
            let paths = Paths::new(Some(root.path()), None);
            std::fs::create_dir_all(paths.etc()).unwrap();
            std::fs::write(paths.config_file("minion"), yaml).unwrap();
            let (environment, id) = (Environment::default(), "m1".parse::<MinionId>().unwrap());
            let loaded = config::load_with(&paths, &environment).unwrap();
            let (options, read) = (loaded.options, loaded.read);
            let grains = Grains::load(id.clone(), options.grains.clone(), None).unwrap();
            let token = enrolment::token(&options, &paths.config_dir(), false).unwrap();
            let source = Source { paths, environment, has_own_log_level: false, id, options, token, read };
            Self { _root: root, source, grains }
        }

        fn again(&self, yaml: &str) -> Result<Next, String> {
            std::fs::write(self.source.paths.config_file("minion"), yaml).unwrap();
            self.source.again(&self.grains, false).map_err(|error| format!("{error:#}"))
        }
    }

    #[test]
    fn a_faulty_configuration_changes_nothing() {
        let rig = Rig::new(
            "grains: {role: web}
",
        );
        let long = "x".repeat(500_000);
        for (yaml, part) in [
            (
                "grains: {role: db}
ret_port: x
",
                "minion.yaml:2: option \"ret_port\"",
            ),
            (
                "grains: {role: db}
return_max: 1
",
                "return_max",
            ),
            (
                "grains: {role: db}
enrolment_token: brt_1
",
                "pinned master only",
            ),
            (
                &format!(
                    "grains: {{role: db, long: {long}}}
"
                ),
                "shorten `grains`",
            ),
        ] {
            let error = rig.again(yaml).unwrap_err();
            assert!(error.contains(part), "{error}");
            assert_eq!(rig.grains.all()["role"], "web");
        }
        std::fs::remove_file(rig.source.paths.config_file("minion")).unwrap();
        let error = rig.source.again(&rig.grains, false).unwrap_err().to_string();
        assert!(error.contains("minion.yaml was read before and is gone"), "{error}");
        assert_eq!(rig.grains.all()["role"], "web");
        let next = rig
            .again(
                "grains: {role: db}
process_count_max: 2
",
            )
            .unwrap();
        assert_eq!((rig.grains.all()["role"].as_str(), next.settings.process_count_max), (Some("db"), 2));
        assert!(!next.needs_session());
    }

    #[test]
    fn another_token_is_told_and_the_same_one_is_not() {
        let finger = format!(
            "master_finger: {}
",
            "ab".repeat(32)
        );
        let mut rig = Rig::new(&format!(
            "{finger}enrolment_token: brt_1
"
        ));
        let next = rig
            .again(&format!(
                "{finger}enrolment_token: brt_1
process_count_max: 2
"
            ))
            .unwrap();
        assert!(!next.is_token_new && !next.needs_session());
        let file = rig.source.paths.etc().join("token");
        brine_local::file::replace(&file, b"brt_2", 0o600).unwrap();
        let yaml = format!(
            "{finger}enrolment_token_file: token
"
        );
        let next = rig.again(&yaml).unwrap();
        assert!(next.is_token_new && next.needs_session());
        rig.source = next.source;
        assert!(!rig.again(&yaml).unwrap().needs_session());
        brine_local::file::replace(&file, b"brt_3", 0o600).unwrap();
        let next = rig.again(&yaml).unwrap();
        assert!(next.needs_session() && next.changes.session.is_empty(), "another text in the same file");
    }
}
