//! `brine-minion doctor`: whether this minion can work, and what to do if not.
//!
//! It needs no running minion and disturbs none: it takes no lock, makes no key, and goes with the master
//! as far as the verdict on its own key. **Invariant:** nothing sealed is sent, so the master files no
//! session, counts no knock, and the session of a minion that runs here goes on.

mod files;
mod network;
mod sockets;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use brine_local::Paths;
use brine_local::checkup::{self, Check};
use brine_local::config::{Environment, Loaded};
use brine_local::output::{Format, Style, wants_colours};
use brine_pki::key::PrivateKey;

use crate::config::{self, Options};
use crate::host_id::id;
use crate::{enrolment, identity};

/// Looks at everything and gives the text for standard output, and whether something does not work.
///
/// # Errors
/// The system gives no runtime; whatever else is wrong is part of the answer.
pub fn run(
    paths: &Paths,
    environment: &Environment,
    format: Format,
    patience: Duration,
) -> Result<(String, bool)> {
    let loaded = config::load_with(paths, environment);
    let mut checks = options(paths, &loaded);
    let (keys, of_keys) = own_keys(&paths.pki_minion());
    checks.extend(files::permissions(paths));
    checks.extend(of_keys);
    checks.extend(files::state(paths));
    let daemon = checkup::holder(&paths.minion_state_dir().join("lock"));
    checks.push(running(daemon.as_deref()));
    if let Ok(loaded) = loaded {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let way = network::Way { paths, options: &loaded.options, keys: &keys, patience };
        let found = runtime.block_on(network::look(&way));
        // A resolver that still searches is not waited for.
        runtime.shutdown_background();
        checks.extend(found);
        let pid = daemon.and_then(|pid| pid.parse::<u32>().ok());
        checks.extend(pid.and_then(|pid| session(pid, loaded.options.return_port())));
    }
    let style = Style { format, indent: None, colours: wants_colours(false, false) };
    Ok((checkup::page(&checks, &style, false), checkup::has_failed(&checks)))
}

/// What the configuration says, and who this machine is by it.
fn options(paths: &Paths, loaded: &Result<Loaded<Options>, brine_local::config::ConfigError>) -> Vec<Check> {
    let about = "config";
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(error) => {
            return vec![Check::fail(about, error.to_string(), "mend it; docs/options.md has every option")];
        }
    };
    let mut checks = vec![match &loaded.read[..] {
        [] => Check::ok(
            about,
            format!("no {}: every option has its default", paths.config_file("minion").display()),
        ),
        read => {
            let read: Vec<String> = read.iter().map(|path| path.display().to_string()).collect();
            Check::ok(about, format!("read from {}", read.join(" and ")))
        }
    }];
    let notices = loaded.notices.iter();
    checks.extend(notices.map(|notice| Check::warn(about, notice, "see docs/options.md")));
    checks.push(match id(&loaded.options) {
        Ok(id) => Check::ok("id", id.to_string()),
        Err(error) => Check::fail("id", format!("{error:#}"), "name this machine with the option id"),
    });
    if let Err(error) = enrolment::token(&loaded.options, &paths.config_dir(), true) {
        checks.push(Check::fail("token", format!("{error:#}"), "mend the option enrolment_token_file"));
    }
    checks
}

/// The keys of this minion, the one that a rotation is to put in place first.
fn own_keys(folder: &Path) -> (Vec<Arc<PrivateKey>>, Vec<Check>) {
    let about = "own key";
    let (mut keys, mut checks) = (Vec::new(), Vec::new());
    for name in ["minion.next.pem", "minion.pem"] {
        let path = folder.join(name);
        match identity::read(&path) {
            Ok(None) => {}
            Ok(Some(Ok(key))) => {
                let which = if name == "minion.pem" { "" } else { " (the next key of a rotation)" };
                checks.push(Check::ok(about, format!("{}{which}", key.public().fingerprint())));
                keys.push(Arc::new(key));
            }
            Ok(Some(Err(error))) => checks.push(Check::fail(
                about,
                format!("{} is no key: {error}", path.display()),
                "put it back from a backup, or move it away: the next start makes a new key, which the master \
                 then has to accept",
            )),
            Err(error) => checks.push(Check::fail(
                about,
                format!("{error:#}"),
                "the key is for the minion's user alone: run this as that user or as root, and see what it says",
            )),
        }
    }
    if keys.is_empty() && checks.is_empty() {
        checks.push(Check::fail(
            about,
            format!("there is no key in {}", folder.display()),
            "start brine-minion once, which makes one; brine-minion adopt-salt takes over Salt's",
        ));
    }
    (keys, checks)
}

fn running(pid: Option<&str>) -> Check {
    match pid {
        Some(pid) => Check::ok("daemon", format!("brine-minion runs here as process {pid}")),
        None => Check::warn(
            "daemon",
            "brine-minion does not run here",
            "systemctl start brine-minion, or run brine-minion to see why it ends",
        ),
    }
}

/// Whether the running minion is connected. Nothing where that cannot be seen.
fn session(pid: u32, port: u16) -> Option<Check> {
    Some(if sockets::is_connected(pid, port)? {
        Check::ok("session", "the running minion is connected to its master")
    } else {
        Check::warn(
            "session",
            format!("the running minion, process {pid}, has no connection to its master's port {port} now"),
            "it tries again by itself; its log says why the last attempt failed: journalctl -u brine-minion",
        )
    })
}

#[cfg(test)]
mod tests {
    use brine_local::checkup::Grade;

    use super::*;

    fn look(root: &Path, yaml: &str) -> Vec<Check> {
        let paths = Paths::new(Some(root), None);
        std::fs::create_dir_all(paths.config_dir()).unwrap();
        std::fs::write(paths.config_file("minion"), yaml).unwrap();
        let environment = Environment::default();
        options(&paths, &config::load_with(&paths, &environment))
    }

    #[test]
    fn a_configuration_is_named_with_what_is_wrong() {
        let root = tempfile::tempdir().unwrap();
        let well = look(root.path(), "id: web1\n");
        assert!(well.iter().all(|check| check.grade == Grade::Ok), "{well:?}");
        assert!(well[0].says.contains("minion.yaml") && well[1].says == "web1", "{well:?}");
        let ill = look(root.path(), "id: web1\nmastr: x\n");
        assert_eq!((ill.len(), ill[0].grade), (1, Grade::Fail));
        assert!(ill[0].says.contains("mastr"), "{ill:?}");
    }

    #[test]
    fn a_key_is_looked_at_and_never_made() {
        let folder = tempfile::tempdir().unwrap();
        let (keys, checks) = own_keys(folder.path());
        assert!(keys.is_empty());
        assert_eq!((checks.len(), checks[0].grade), (1, Grade::Fail));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let key = PrivateKey::generate(2048).unwrap();
        brine_local::file::replace(&folder.path().join("minion.pem"), key.to_pem().as_bytes(), 0o600)
            .unwrap();
        let (keys, checks) = own_keys(folder.path());
        assert_eq!((keys.len(), checks[0].grade), (1, Grade::Ok));
        assert_eq!(checks[0].says, key.public().fingerprint().to_string());
    }
}
