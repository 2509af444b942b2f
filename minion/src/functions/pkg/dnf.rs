//! Red Hat and its kin: dnf for what changes something, rpm for what is there.
//!
//! Proved by argument vectors and recorded output only: the tests run no real dnf.

mod read;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};

use super::super::tool::{Done, Tool};
use super::super::{Context, Fault};
use super::changes::{Versions, between, problem};
use super::wanted::{Names, Wanted};
use super::{CHANGE_MAX, Install, LIST_MAX, LOOK_AGAIN, Listed, REFRESH_MAX, entire, whole};

/// What `check-update` ends with when there is something newer.
const HAS_UPDATES: i32 = 100;

/// Runs `dnf` until no lock is in its way, but not longer than `patience`. Left alone, it would
/// wait for ever.
async fn dnf(
    context: &Context,
    patience: Duration,
    limit: Duration,
    words: impl IntoIterator<Item = String>,
) -> Result<Done, Fault> {
    let fixed = ["--quiet", "--assumeyes", "--setopt=exit_on_lock=True"].map(str::to_owned);
    let tool = Tool::new("dnf", fixed.into_iter().chain(words)).timeout(limit);
    let context = Context { output_max: LIST_MAX, ..context.clone() };
    let end = Instant::now() + patience;
    loop {
        let done = tool.clone().run(&context).await?;
        if done.retcode.is_none() {
            return Err(Fault::Execution(format!("dnf was killed after {} seconds", limit.as_secs())));
        }
        let Some(lock) = read::held_lock(&done.stderr).filter(|_| !done.is_ok()) else { return Ok(done) };
        if Instant::now() + LOOK_AGAIN >= end {
            let waited = patience.as_secs();
            return Err(Fault::Execution(format!(
                "dnf's lock was held by another process for {waited} seconds: nothing was changed, try again \
                 when it is free ({lock})"
            )));
        }
        sleep(LOOK_AGAIN).await;
    }
}

fn words(fixed: &[&str], names: impl IntoIterator<Item = String>) -> Vec<String> {
    fixed.iter().map(|word| (*word).to_owned()).chain(names).collect()
}

/// The architecture that packages of this machine need not name.
async fn native(context: &Context) -> Result<String, Fault> {
    whole("rpm", ["--eval", "%{_host_cpu}"], context).await
}

pub(super) async fn list(context: &Context, listed: Listed) -> Result<Versions, Fault> {
    match listed {
        Listed::Installed => installed(context).await,
        // rpm leaves nothing behind that it would still know of.
        Listed::Removed | Listed::PurgeDesired => Ok(Versions::new()),
    }
}

async fn installed(context: &Context) -> Result<Versions, Fault> {
    let format = format!("--queryformat={}", read::FORMAT);
    let query = ["--query", "--all", "--nodigest", "--nosignature", &format];
    Ok(read::installed(&whole("rpm", query, context).await?, &native(context).await?))
}

async fn expire(context: &Context, patience: Duration) -> Result<(), Fault> {
    let done = dnf(context, patience, REFRESH_MAX, words(&["clean", "expire-cache"], [])).await?;
    if !done.is_ok() {
        return Err(Fault::Execution(done.complaint().to_owned()));
    }
    Ok(())
}

/// True when there is something newer, null when there is not.
pub(super) async fn refresh(context: &Context, patience: Duration) -> Result<Value, Fault> {
    expire(context, patience).await?;
    let done = dnf(context, patience, REFRESH_MAX, words(&["check-update"], [])).await?;
    match done.retcode {
        Some(HAS_UPDATES) => Ok(Value::Bool(true)),
        Some(0) => Ok(Value::Null),
        // Salt says False, and nothing of why.
        Some(_) | None => Err(Fault::Execution(done.complaint().to_owned())),
    }
}

async fn outcome(
    context: &Context,
    doing: &str,
    before: &Versions,
    done: &Done,
) -> Result<Map<String, Value>, Fault> {
    let changes = between(before, &installed(context).await?);
    if done.is_ok() { Ok(changes) } else { Err(problem(doing, &changes, done.complaint(), &[])) }
}

pub(super) async fn install(
    context: &Context,
    wanted: &[Wanted],
    how: &Install,
) -> Result<Map<String, Value>, Fault> {
    let before = installed(context).await?;
    let is_meant = |wanted: &&Wanted| !how.only_upgrade || before.contains_key(&wanted.name);
    let names: Vec<String> = wanted.iter().filter(is_meant).map(nevra).collect();
    if names.is_empty() {
        return Ok(Map::new());
    }
    let mut options = Vec::new();
    if let Some(repository) = &how.fromrepo {
        options.extend(["--disablerepo=*".to_owned(), format!("--enablerepo={repository}")]);
    }
    if let Some(is_weak) = how.install_recommends {
        let flag = if is_weak { "True" } else { "False" };
        options.push(format!("--setopt=install_weak_deps={flag}"));
    }
    options.push(if how.only_upgrade { "upgrade" } else { "install" }.to_owned());
    let done = dnf(context, how.patience, CHANGE_MAX, options.into_iter().chain(names)).await?;
    outcome(context, "installing package(s)", &before, &done).await
}

/// Name and version as dnf wants them: an architecture stands at the end.
fn nevra(wanted: &Wanted) -> String {
    match (&wanted.version, wanted.name.rsplit_once('.')) {
        (Some(version), Some((name, arch))) if read::is_architecture(arch) => {
            format!("{name}-{version}.{arch}")
        }
        _ => wanted.joined('-'),
    }
}

pub(super) async fn remove(
    context: &Context,
    wanted: &[Wanted],
    patience: Duration,
) -> Result<Map<String, Value>, Fault> {
    let before = installed(context).await?;
    let all = Names::of(wanted);
    let names: Vec<String> = before.keys().filter(|name| all.contain(name)).cloned().collect();
    if names.is_empty() {
        return Ok(Map::new());
    }
    let done = dnf(context, patience, CHANGE_MAX, words(&["remove"], names)).await?;
    outcome(context, "removing package(s)", &before, &done).await
}

pub(super) async fn list_upgrades(context: &Context, patience: Duration) -> Result<Value, Fault> {
    Ok(json!(listed(context, patience, &["list", "--upgrades"], &[]).await?))
}

/// A listing; there being nothing to list is an error of dnf's, but not here.
async fn listed(
    context: &Context,
    patience: Duration,
    fixed: &[&str],
    names: &[String],
) -> Result<BTreeMap<String, String>, Fault> {
    let done = dnf(context, patience, REFRESH_MAX, words(fixed, names.iter().cloned())).await?;
    if !done.is_ok() && !done.complaint().contains("No matching") {
        return Err(Fault::Execution(format!("Failed to get upgrades: {}", done.complaint())));
    }
    Ok(read::listed(&entire(done)?, &native(context).await?))
}

pub(super) async fn upgrade(context: &Context, patience: Duration) -> Result<Map<String, Value>, Fault> {
    let before = installed(context).await?;
    let done = dnf(context, patience, CHANGE_MAX, words(&["upgrade"], [])).await?;
    outcome(context, "upgrading packages", &before, &done).await
}

/// The version each would be installed or upgraded to; empty when there is none, or none newer.
pub(super) async fn latest(
    context: &Context,
    names: &[String],
    patience: Duration,
) -> Result<Vec<String>, Fault> {
    let installed = installed(context).await?;
    let (there, new): (Vec<String>, Vec<String>) =
        names.iter().cloned().partition(|name| installed.contains_key(name));
    let mut found = BTreeMap::new();
    for (list, names) in [("--upgrades", there), ("--available", new)] {
        if !names.is_empty() {
            found.extend(listed(context, patience, &["list", list], &names).await?);
        }
    }
    Ok(names.iter().map(|name| found.get(name).cloned().unwrap_or_default()).collect())
}

/// Runs the plugin that keeps packages at their version.
async fn versionlock(context: &Context, patience: Duration, words: &[&str]) -> Result<Done, Fault> {
    let all = ["versionlock"].iter().chain(words).map(|word| (*word).to_owned());
    let done = dnf(context, patience, REFRESH_MAX, all).await?;
    let said = done.complaint();
    if !done.is_ok() && (said.contains("No such command") || said.contains("Unknown argument")) {
        return Err(Fault::Execution(
            "holding packages needs the plugin versionlock of dnf, which is not installed: its package is \
             python3-dnf-plugin-versionlock"
                .to_owned(),
        ));
    }
    Ok(done)
}

pub(super) async fn hold(
    context: &Context,
    wanted: &[Wanted],
    patience: Duration,
    is_held: bool,
) -> Result<Vec<(String, Value)>, Fault> {
    let list = versionlock(context, patience, &["list"]).await?;
    if !list.is_ok() {
        return Err(Fault::Execution(list.complaint().to_owned()));
    }
    let locked = read::locked(&entire(list)?);
    let mut answers = Vec::new();
    for Wanted { name, .. } in wanted {
        let (result, changes, comment) = if locked.contains(name) == is_held {
            let now = if is_held { "is already set to be held" } else { "is not being held" };
            (true, json!({}), format!("Package {name} {now}."))
        } else {
            let verb = if is_held { "add" } else { "delete" };
            let done = versionlock(context, patience, &[verb, name]).await?;
            let (old, new) = if is_held { ("", "hold") } else { ("hold", "") };
            let now = if is_held { "is now being held" } else { "is no longer held" };
            let not = if is_held { "held" } else { "unheld" };
            if done.is_ok() {
                (true, json!({"old": old, "new": new}), format!("Package {name} {now}."))
            } else {
                let why = done.complaint();
                (false, json!({}), format!("Package {name} was unable to be {not}: {why}"))
            }
        };
        let answer = json!({"name": name, "changes": changes, "result": result, "comment": comment});
        answers.push((name.clone(), answer));
    }
    Ok(answers)
}
