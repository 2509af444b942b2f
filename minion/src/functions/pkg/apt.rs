//! Debian and its kin: apt-get for what changes something, dpkg-query and apt-cache for the rest.
//!
//! **Invariant:** nothing here can ask a question. Input is closed, debconf is told that nobody is
//! there, and a configuration file that was changed on the machine stays as it is.

mod holds;
mod read;

use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};

use super::super::tool::{Done, Tool};
use super::super::{Context, Fault};
use super::changes::{Versions, between, problem};
use super::wanted::{Names, Wanted};
use super::{CHANGE_MAX, Install, LIST_MAX, LOOK_AGAIN, Listed, QUESTION_MAX, REFRESH_MAX, entire, whole};

pub(super) use self::holds::{hold, unhold};

const ENVIRONMENT: [(&str, &str); 4] = [
    ("DEBIAN_FRONTEND", "noninteractive"),
    ("APT_LISTCHANGES_FRONTEND", "none"),
    ("APT_LISTBUGS_FRONTEND", "none"),
    ("UCF_FORCE_CONFFOLD", "1"),
];

/// What every call of `apt-get` says. It does not wait for locks itself: it does so for some only,
/// and says no more who holds them when it gives up.
const QUIETLY: [&str; 10] = [
    "-q",
    "-y",
    "-o",
    "DPkg::Lock::Timeout=0",
    "-o",
    "Dpkg::Use-Pty=0",
    "-o",
    "DPkg::Options::=--force-confdef",
    "-o",
    "DPkg::Options::=--force-confold",
];

/// What to do about a run that broke off.
const INTERRUPTED: &str = "dpkg was interrupted by an earlier run, and refuses any other until that one is \
                           finished: run 'dpkg --configure -a' on the minion";

/// Runs a program of apt or dpkg until no lock is in its way, but not longer than `patience`.
async fn run(context: &Context, tool: Tool, patience: Duration, limit: Duration) -> Result<Done, Fault> {
    let context = Context { output_max: LIST_MAX, ..context.clone() };
    let tool = ENVIRONMENT.iter().fold(tool.timeout(limit), |tool, (name, value)| tool.env(name, value));
    let end = Instant::now() + patience;
    loop {
        let done = tool.clone().run(&context).await?;
        if done.is_ok() {
            return Ok(done);
        }
        if done.retcode.is_none() {
            let limit = limit.as_secs();
            return Err(Fault::Execution(format!(
                "the package manager was killed after {limit} seconds; 'dpkg --configure -a' finishes what it had begun"
            )));
        }
        if read::is_interrupted(&done.stderr) {
            return Err(Fault::Execution(INTERRUPTED.to_owned()));
        }
        let Some(lock) = read::held_lock(&done.stderr) else { return Ok(done) };
        if Instant::now() + LOOK_AGAIN >= end {
            let waited = patience.as_secs();
            return Err(Fault::Execution(format!(
                "{lock}, and was for {waited} seconds: nothing was changed, try again when it is free"
            )));
        }
        sleep(LOOK_AGAIN).await;
    }
}

async fn apt_get(
    context: &Context,
    patience: Duration,
    limit: Duration,
    options: &[&str],
    words: &[String],
) -> Result<Done, Fault> {
    let fixed = QUIETLY.iter().chain(options).map(|word| (*word).to_owned());
    run(context, Tool::new("apt-get", fixed.chain(words.iter().cloned())), patience, limit).await
}

/// The command's own words, with names that cannot be taken for options.
fn command(verb: &str, names: impl IntoIterator<Item = String>) -> Vec<String> {
    [verb.to_owned(), "--".to_owned()].into_iter().chain(names).collect()
}

async fn records(context: &Context) -> Result<Vec<read::Record>, Fault> {
    let native = whole("dpkg", ["--print-architecture"], context).await?;
    let query = ["--show".to_owned(), format!("--showformat={}", read::FORMAT)];
    Ok(read::records(&whole("dpkg-query", query, context).await?, &native))
}

pub(super) async fn list(context: &Context, listed: Listed) -> Result<Versions, Fault> {
    let records = records(context).await?;
    Ok(match listed {
        Listed::Installed => read::versions(&records, read::Record::is_installed),
        Listed::Removed => read::versions(&records, |record| record.status == "config-files"),
        Listed::PurgeDesired => {
            read::versions(&records, |record| record.want == "purge" && record.is_installed())
        }
    })
}

pub(super) async fn refresh(context: &Context, patience: Duration, failhard: bool) -> Result<Value, Fault> {
    let done = apt_get(context, patience, REFRESH_MAX, &[], &["update".to_owned()]).await?;
    if !done.is_ok() {
        return Err(Fault::Execution(done.complaint().to_owned()));
    }
    let sources = read::refreshed(&entire(done)?);
    let failed: Vec<&str> =
        sources.iter().filter(|(_, got)| **got == false).map(|(source, _)| source.as_str()).collect();
    if failhard && !failed.is_empty() {
        return Err(Fault::Execution(format!("Error getting repos: {}", failed.join(", "))));
    }
    Ok(Value::Object(sources))
}

/// What came of a run, from how things were before it.
async fn outcome(
    context: &Context,
    doing: &str,
    before: &[read::Record],
    done: &Done,
) -> Result<Map<String, Value>, Fault> {
    let after = records(context).await?;
    let installed = |records: &[read::Record]| read::versions(records, read::Record::is_installed);
    let changes = between(&installed(before), &installed(&after));
    if done.is_ok() {
        return Ok(changes);
    }
    let is_new = |record: &&read::Record| record.is_unfinished() && !before.contains(record);
    let unfinished: Vec<String> = after
        .iter()
        .filter(is_new)
        .map(|record| format!("{} {} ({})", record.name, record.version, record.status))
        .collect();
    Err(problem(doing, &changes, done.complaint(), &unfinished))
}

pub(super) async fn install(
    context: &Context,
    wanted: &[Wanted],
    how: &Install,
) -> Result<Map<String, Value>, Fault> {
    let before = records(context).await?;
    let is_wanted = |record: &read::Record| {
        wanted.iter().any(|Wanted { name, .. }| [&record.name, &record.full_name].contains(&name))
    };
    // One that is named is meant, held or not; others that are held stay as they are.
    let held: Vec<&str> = before
        .iter()
        .filter(|record| record.want == "hold" && is_wanted(record))
        .map(|record| record.name.as_str())
        .collect();
    let mut options = Vec::new();
    match how.install_recommends {
        Some(true) => options.push("--install-recommends"),
        Some(false) => options.push("--no-install-recommends"),
        None => {}
    }
    if how.only_upgrade {
        options.push("--only-upgrade");
    }
    if let Some(release) = &how.fromrepo {
        options.extend(["-t", release]);
    }
    if wanted.iter().any(|wanted| wanted.version.is_some()) {
        options.push("--allow-downgrades");
    }
    let words = command("install", wanted.iter().map(|wanted| wanted.joined('=')));
    holds::select(context, &held, "install", how.patience).await?;
    let done = apt_get(context, how.patience, CHANGE_MAX, &options, &words).await;
    let held_again = holds::select(context, &held, "hold", how.patience).await;
    let changes = outcome(context, "installing package(s)", &before, &done?).await?;
    held_again?;
    Ok(changes)
}

/// Removes what is there of the packages; with `purge` also what is left of those removed earlier.
pub(super) async fn remove(
    context: &Context,
    wanted: &[Wanted],
    purge: bool,
    patience: Duration,
) -> Result<Map<String, Value>, Fault> {
    let before = records(context).await?;
    let is_left = |record: &&read::Record| {
        record.is_installed() || record.is_unfinished() || (purge && record.status == "config-files")
    };
    let names = Names::of(wanted);
    let is_named = |record: &&read::Record| names.contain(&record.name) || names.contain(&record.full_name);
    let there = before.iter().filter(is_left).filter(is_named);
    let names: Vec<String> = there.map(|record| record.name.clone()).collect();
    if names.is_empty() {
        return Ok(Map::new());
    }
    let verb = if purge { "purge" } else { "remove" };
    let done = apt_get(context, patience, CHANGE_MAX, &[], &command(verb, names)).await?;
    let installed = outcome(context, "removing package(s)", &before, &done).await?;
    if !purge {
        return Ok(installed);
    }
    let config_files = |record: &read::Record| record.status == "config-files";
    let left = read::versions(&records(context).await?, config_files);
    let removed = between(&read::versions(&before, config_files), &left);
    Ok(Map::from_iter([
        ("installed".to_owned(), Value::Object(installed)),
        ("removed".to_owned(), Value::Object(removed)),
    ]))
}

fn upgrade_verb(is_dist: bool) -> &'static str {
    if is_dist { "dist-upgrade" } else { "upgrade" }
}

pub(super) async fn list_upgrades(context: &Context, is_dist: bool) -> Result<Value, Fault> {
    let words = ["--just-print".to_owned(), upgrade_verb(is_dist).to_owned()];
    let done = apt_get(context, Duration::ZERO, QUESTION_MAX, &[], &words).await?;
    if !done.is_ok() {
        return Err(Fault::Execution(format!("Failed to get upgrades: {}", done.complaint())));
    }
    Ok(json!(read::upgrades(&entire(done)?)))
}

pub(super) async fn upgrade(
    context: &Context,
    is_dist: bool,
    patience: Duration,
) -> Result<Map<String, Value>, Fault> {
    let before = records(context).await?;
    let words = [upgrade_verb(is_dist).to_owned()];
    let done = apt_get(context, patience, CHANGE_MAX, &[], &words).await?;
    outcome(context, "upgrading packages", &before, &done).await
}

/// The version each would be installed or upgraded to; empty when there is none, or none newer.
pub(super) async fn latest(context: &Context, names: &[String]) -> Result<Vec<String>, Fault> {
    let words = ["-q".to_owned()].into_iter().chain(command("policy", names.iter().cloned()));
    let policies = read::policies(&whole("apt-cache", words, context).await?);
    let native = whole("dpkg", ["--print-architecture"], context).await?;
    let mut latest = Vec::new();
    for name in names {
        // A package of this machine's own architecture is shown without it.
        let short = name.strip_suffix(&format!(":{native}")).unwrap_or(name);
        let policy = policies.get(short).cloned().unwrap_or_default();
        latest.push(if is_newer(context, &policy).await? { policy.candidate } else { String::new() });
    }
    Ok(latest)
}

async fn is_newer(context: &Context, policy: &read::Policy) -> Result<bool, Fault> {
    let read::Policy { installed, candidate } = policy;
    if candidate.is_empty() || installed.is_empty() || installed == candidate {
        return Ok(!candidate.is_empty() && installed.is_empty());
    }
    // A pin can make an older one the candidate.
    let compare = Tool::new("dpkg", ["--compare-versions", candidate, "gt", installed]);
    Ok(compare.timeout(QUESTION_MAX).run(context).await?.is_ok())
}
