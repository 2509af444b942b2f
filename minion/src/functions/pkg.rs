//! `pkg.*`: packages, by apt where `os_family` is Debian and by dnf where it is RedHat.
//!
//! What changes something answers with `{name: {old, new}}`, from the lists of what is installed
//! before and after: not from what the package manager says it does.

mod apt;
mod changes;
mod dnf;
mod table;
mod wanted;

use std::time::Duration;

use brine_protocol::glob::Glob;
use serde_json::{Map, Value, json};

use self::changes::{Versions, shown};
use self::wanted::checked;
use super::bind::Bound;
use super::tool::{Done, Tool};
use super::{Context, Fault, Function, Outcome, text_of};

/// How long a question to the package manager may take.
const QUESTION_MAX: Duration = Duration::from_secs(120);

/// How long fetching the lists of packages may take, on a slow line.
const REFRESH_MAX: Duration = Duration::from_secs(1800);

/// How long a change may take. A whole release can be upgraded in that, and what takes longer hangs.
const CHANGE_MAX: Duration = Duration::from_secs(4 * 3600);

/// How long to wait between two tries for a lock.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Cap of a list of packages, in bytes: it is read whole. Ten thousand packages have one of a MiB.
const LIST_MAX: usize = 16 * 1024 * 1024;

/// Which packages are asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Listed {
    Installed,
    /// Removed, but for their configuration.
    Removed,
    /// Installed, and to be purged.
    PurgeDesired,
}

/// How to install.
#[derive(Debug)]
struct Install {
    /// A release of apt, or a repository of dnf.
    fromrepo: Option<String>,
    only_upgrade: bool,
    install_recommends: Option<bool>,
    /// How long to wait for a lock.
    patience: Duration,
}

/// The package managers.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Manager {
    Apt,
    Dnf,
}

pub(super) fn functions() -> Vec<Function> {
    table::functions()
}

/// The machine's package manager.
fn manager(context: &Context) -> Result<Manager, Fault> {
    let grains = context.grains.all();
    match grains.get("os_family").and_then(Value::as_str) {
        Some("Debian") => Ok(Manager::Apt),
        Some("RedHat") => Ok(Manager::Dnf),
        other => {
            let family = other.unwrap_or("unknown");
            Err(Fault::Execution(format!(
                "packages are handled with apt (os_family Debian) and with dnf (RedHat), and the os_family of this \
                 machine is {family}"
            )))
        }
    }
}

/// The whole output of a program that lists something.
async fn whole<S: Into<String>>(
    program: &str,
    arguments: impl IntoIterator<Item = S>,
    context: &Context,
) -> Result<String, Fault> {
    let context = Context { output_max: LIST_MAX, ..context.clone() };
    let done = Tool::new(program, arguments).timeout(QUESTION_MAX).run(&context).await?;
    if done.retcode.is_none() {
        let limit = QUESTION_MAX.as_secs();
        return Err(Fault::Execution(format!("{program} gave no answer within {limit} seconds")));
    }
    if !done.is_ok() {
        return Err(Fault::Execution(format!("{program} failed: {}", done.complaint())));
    }
    entire(done)
}

/// What a program said, if that is all.
fn entire(done: Done) -> Result<String, Fault> {
    if done.is_cut {
        return Err(Fault::Execution(format!("the package manager lists more than {LIST_MAX} bytes")));
    }
    Ok(done.stdout)
}

fn patience(bound: &mut Bound) -> Result<Duration, Fault> {
    Ok(bound.seconds("lock_timeout")?.map_or(Duration::ZERO, |(limit, _)| limit.min(CHANGE_MAX)))
}

/// The names a variadic function was given. It has no further keywords.
fn names(bound: &Bound) -> Result<Vec<String>, Fault> {
    if !bound.extra.is_empty() {
        let list: Vec<String> =
            bound.extra.iter().map(|(key, value)| format!("{key}={}", text_of(value))).collect();
        let list = list.join(", ");
        return Err(Fault::Invocation(format!("The following keyword arguments are not valid: {list}")));
    }
    bound.rest.iter().map(|name| checked(&text_of(name)).map(str::to_owned)).collect()
}

fn as_values(versions: Versions, is_list: bool) -> Map<String, Value> {
    let value = |all: Vec<String>| if is_list { json!(all) } else { json!(shown(&all)) };
    versions.into_iter().map(|(name, all)| (name, value(all))).collect()
}

async fn installed(context: &Context, manager: Manager, listed: Listed) -> Result<Versions, Fault> {
    match manager {
        Manager::Apt => apt::list(context, listed).await,
        Manager::Dnf => dnf::list(context, listed).await,
    }
}

async fn list_pkgs(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let is_list = bound.flag("versions_as_list")?;
    let listed = match (bound.flag("removed")?, bound.flag("purge_desired")?) {
        (true, _) => Listed::Removed,
        (false, true) => Listed::PurgeDesired,
        (false, false) => Listed::Installed,
    };
    let versions = installed(&context, manager(&context)?, listed).await?;
    Ok(Outcome::from(Value::Object(as_values(versions, is_list))))
}

async fn version(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let (is_list, names) = (bound.flag("versions_as_list")?, names(&bound)?);
    if names.is_empty() {
        return Ok(Outcome::from(json!({})));
    }
    let there = installed(&context, manager(&context)?, Listed::Installed).await?;
    let mut found = Versions::new();
    for name in &names {
        if name.contains('*') {
            let glob = Glob::new(name);
            found.extend(
                there.iter().filter(|(name, _)| glob.matches(name)).map(|(n, v)| (n.clone(), v.clone())),
            );
        } else {
            found.insert(name.clone(), there.get(name).cloned().unwrap_or_default());
        }
    }
    let is_one = found.len() == 1 && !names.iter().any(|name| name.contains('*'));
    let mut values = as_values(found, is_list);
    let one = if is_one { values.remove(&names[0]) } else { None };
    Ok(Outcome::from(one.unwrap_or(Value::Object(values))))
}

async fn refresh_db(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let (failhard, patience) = (bound.flag("failhard")?, patience(&mut bound)?);
    Ok(Outcome::from(match manager(&context)? {
        Manager::Apt => apt::refresh(&context, patience, failhard).await?,
        Manager::Dnf => dnf::refresh(&context, patience).await?,
    }))
}

/// Refreshes before something else is done, if it is wanted.
async fn refresh_first(
    context: &Context,
    manager: Manager,
    is_wanted: bool,
    patience: Duration,
) -> Result<(), Fault> {
    if is_wanted {
        match manager {
            Manager::Apt => apt::refresh(context, patience, false).await?,
            Manager::Dnf => dnf::refresh(context, patience).await?,
        };
    }
    Ok(())
}

async fn install(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let wanted = wanted::take_with_version(&mut bound)?;
    let (refresh, fromrepo) = (bound.flag("refresh")?, bound.maybe_text("fromrepo")?);
    if let Some(name) = &fromrepo {
        checked(name)
            .map_err(|_| Fault::Invocation(format!("{name:?} is no name of a release or repository")))?;
    }
    let install_recommends = match bound.value("install_recommends") {
        Value::Null => None,
        Value::Bool(flag) => Some(flag),
        _ => return Err(Fault::Invocation("'install_recommends' is either True or False".to_owned())),
    };
    let (only_upgrade, patience) = (bound.flag("only_upgrade")?, patience(&mut bound)?);
    let how = Install { fromrepo, only_upgrade, install_recommends, patience };
    let manager = manager(&context)?;
    if wanted.is_empty() {
        return Ok(Outcome::from(json!({})));
    }
    refresh_first(&context, manager, refresh, patience).await?;
    let changes = match manager {
        Manager::Apt => apt::install(&context, &wanted, &how).await?,
        Manager::Dnf => dnf::install(&context, &wanted, &how).await?,
    };
    Ok(Outcome::from(Value::Object(changes)))
}

async fn remove(context: Context, mut bound: Bound, purge: bool) -> Result<Outcome, Fault> {
    let (wanted, patience) = (wanted::take(&mut bound)?, patience(&mut bound)?);
    let changes = match manager(&context)? {
        Manager::Apt => apt::remove(&context, &wanted, purge, patience).await?,
        Manager::Dnf => dnf::remove(&context, &wanted, patience).await?,
    };
    Ok(Outcome::from(Value::Object(changes)))
}

async fn list_upgrades(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let (refresh, is_dist) = (bound.flag("refresh")?, bound.flag("dist_upgrade")?);
    let (patience, manager) = (patience(&mut bound)?, manager(&context)?);
    refresh_first(&context, manager, refresh, patience).await?;
    Ok(Outcome::from(match manager {
        Manager::Apt => apt::list_upgrades(&context, is_dist).await?,
        Manager::Dnf => dnf::list_upgrades(&context, patience).await?,
    }))
}

async fn upgrade(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let (refresh, is_dist) = (bound.flag("refresh")?, bound.flag("dist_upgrade")?);
    let (patience, manager) = (patience(&mut bound)?, manager(&context)?);
    refresh_first(&context, manager, refresh, patience).await?;
    let changes = match manager {
        Manager::Apt => apt::upgrade(&context, is_dist, patience).await?,
        Manager::Dnf => dnf::upgrade(&context, patience).await?,
    };
    Ok(Outcome::from(Value::Object(changes)))
}

/// The latest versions of packages, in their order.
async fn latest(context: &Context, bound: &mut Bound, names: &[String]) -> Result<Vec<String>, Fault> {
    let (refresh, patience) = (bound.flag("refresh")?, patience(bound)?);
    let manager = manager(context)?;
    if names.is_empty() {
        return Ok(Vec::new());
    }
    refresh_first(context, manager, refresh, patience).await?;
    match manager {
        Manager::Apt => apt::latest(context, names).await,
        Manager::Dnf => dnf::latest(context, names, patience).await,
    }
}

async fn latest_version(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let names = names(&bound)?;
    let versions = latest(&context, &mut bound, &names).await?;
    Ok(Outcome::from(match versions.as_slice() {
        [] => json!(""),
        [one] => json!(one),
        all => Value::Object(names.into_iter().zip(all.iter().map(|version| json!(version))).collect()),
    }))
}

async fn upgrade_available(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let name = checked(&bound.text("name")?)?.to_owned();
    let versions = latest(&context, &mut bound, &[name]).await?;
    Ok(Outcome::from(versions.iter().any(|version| !version.is_empty())))
}

async fn hold(context: Context, mut bound: Bound, is_held: bool) -> Result<Outcome, Fault> {
    let (wanted, patience) = (wanted::take(&mut bound)?, patience(&mut bound)?);
    let answers = match (manager(&context)?, is_held) {
        (Manager::Apt, true) => apt::hold(&context, &wanted, patience).await?,
        (Manager::Apt, false) => apt::unhold(&context, &wanted, patience).await?,
        (Manager::Dnf, is_held) => dnf::hold(&context, &wanted, patience, is_held).await?,
    };
    let retcode = i32::from(answers.iter().any(|(_, answer)| answer["result"] != true));
    Ok(Outcome { retcode, ..Outcome::from(Value::Object(answers.into_iter().collect())) })
}

#[cfg(test)]
mod tests;
