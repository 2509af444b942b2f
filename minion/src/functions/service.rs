//! `service.*`: services, as systemd has them.
//!
//! A name without a suffix is a service; `dbus.socket` and the like work just as well. Questions
//! change nothing: only what changes a unit makes systemd read changed files first.

mod systemctl;
mod units;

use std::collections::BTreeMap;
use std::time::Duration;

use brine_protocol::glob::Glob;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};

use super::bind::Bound;
use super::{Context, Fault, Function, Outcome, Parameter, keyword, required};

/// The minion's own unit: waiting until it is stopped would never end.
const OWN_UNIT: &str = "brine-minion.service";

/// How long to wait between two looks at a unit that is about to change.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

const NAME: Parameter =
    required("name", "name of the unit; without a suffix such as .socket it is a service (text)");
const NO_BLOCK: Parameter =
    keyword("no_block", "false", "True only asks systemd to do it and does not wait for the end (boolean)");
const NO_BLOCK_FOR_ITSELF: Parameter = keyword(
    "no_block",
    "null",
    "True only asks systemd to do it and does not wait for the end; None is True for brine-minion itself, \
     and otherwise False (boolean)",
);
const UNMASK: Parameter = keyword("unmask", "false", "True removes a mask of the unit first (boolean)");
const UNMASK_RUNTIME: Parameter =
    keyword("unmask_runtime", "false", "True removes a mask that ends with the next boot first (boolean)");
const RUNTIME: Parameter =
    keyword("runtime", "false", "True is about a mask that ends with the next boot (boolean)");

const RAISES: &str = "True; what systemd says against it is an error";
const DOES_NOT_RAISE: &str = "boolean; False with systemctl's retcode when systemd does not do it";

/// What can be done to a unit.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Verb {
    Start,
    Stop,
    Restart,
    Reload,
    Enable,
    Disable,
}

pub(super) fn functions() -> Vec<Function> {
    let change = [
        Function::new("service.start", |c, b| Box::pin(change(c, b, Verb::Start)), "Starts a service.")
            .takes(const { &[NAME, NO_BLOCK, UNMASK, UNMASK_RUNTIME] })
            .returns(RAISES)
            .example("service.start nginx"),
        Function::new("service.stop", |c, b| Box::pin(change(c, b, Verb::Stop)), "Stops a service.")
            .takes(const { &[NAME, NO_BLOCK_FOR_ITSELF] })
            .returns(DOES_NOT_RAISE)
            .example("service.stop nginx"),
        Function::new(
            "service.restart",
            |c, b| Box::pin(change(c, b, Verb::Restart)),
            "Restarts a service; one that does not run is started.",
        )
        .takes(const { &[NAME, NO_BLOCK_FOR_ITSELF, UNMASK, UNMASK_RUNTIME] })
        .returns(RAISES)
        .example("service.restart nginx"),
        Function::new(
            "service.reload",
            |c, b| Box::pin(change(c, b, Verb::Reload)),
            "Has a service read its configuration anew.",
        )
        .takes(const { &[NAME, NO_BLOCK, UNMASK, UNMASK_RUNTIME] })
        .returns(RAISES)
        .example("service.reload nginx"),
        Function::new(
            "service.enable",
            |c, b| Box::pin(change(c, b, Verb::Enable)),
            "Has a service start at boot. It is not started now.",
        )
        .takes(const { &[NAME, UNMASK, UNMASK_RUNTIME] })
        .returns(RAISES)
        .example("service.enable nginx"),
        Function::new(
            "service.disable",
            |c, b| Box::pin(change(c, b, Verb::Disable)),
            "Has a service not start at boot. It is not stopped now.",
        )
        .takes(const { &[NAME] })
        .returns(DOES_NOT_RAISE)
        .example("service.disable nginx"),
        Function::new(
            "service.mask",
            |c, b| Box::pin(mask(c, b, "mask")),
            "Makes it impossible to start a service, by hand and by others.",
        )
        .takes(const { &[NAME, RUNTIME] })
        .returns("True; a unit that cannot be masked is an error")
        .example("service.mask nginx"),
        Function::new(
            "service.unmask",
            |c, b| Box::pin(mask(c, b, "unmask")),
            "Removes the mask of a service.",
        )
        .takes(const { &[NAME, RUNTIME] })
        .returns("True, also when there was no mask; what systemd says against it is an error")
        .example("service.unmask nginx"),
    ];
    change.into_iter().chain(questions()).collect()
}

fn questions() -> [Function; 8] {
    [
        Function::new("service.status", |c, b| Box::pin(status(c, b)), "Tells whether a service runs.")
            .takes(
                const {
                    &[
                        required(
                            "name",
                            "name of the unit, or a glob over all of them; without a suffix such as .socket it is \
                             a service (text)",
                        ),
                        keyword(
                            "wait",
                            "3",
                            "how long to wait for a unit that is just starting or stopping (seconds)",
                        ),
                    ]
                },
            )
            .returns("boolean; with a glob {name: boolean} of all units that match")
            .example("service.status nginx"),
        Function::new(
            "service.enabled",
            |c, b| Box::pin(enabled(c, b, true)),
            "Tells whether a service starts at boot, by itself or with another one.",
        )
        .takes(const { &[NAME] })
        .returns("boolean; False when there is no such service")
        .example("service.enabled nginx"),
        Function::new(
            "service.disabled",
            |c, b| Box::pin(enabled(c, b, false)),
            "Tells whether a service does not start at boot: the opposite of service.enabled.",
        )
        .takes(const { &[NAME] })
        .returns("boolean; True when there is no such service")
        .example("service.disabled nginx"),
        Function::new(
            "service.available",
            |c, b| Box::pin(available(c, b, true)),
            "Tells whether there is such a service.",
        )
        .takes(const { &[NAME] })
        .returns("boolean")
        .example("service.available nginx"),
        Function::new(
            "service.missing",
            |c, b| Box::pin(available(c, b, false)),
            "Tells whether there is no such service: the opposite of service.available.",
        )
        .takes(const { &[NAME] })
        .returns("boolean")
        .example("service.missing nginx"),
        Function::new("service.get_all", |c, _| Box::pin(get_all(c)), "Lists all services and other units.")
            .returns("list of names, sorted; services without their suffix")
            .example("service.get_all"),
        Function::new(
            "service.get_enabled",
            |c, _| Box::pin(get_enabled(c)),
            "Lists the services and other units that are enabled to start at boot.",
        )
        .returns("list of names, sorted; services without their suffix")
        .example("service.get_enabled"),
        Function::new(
            "service.get_running",
            |c, _| Box::pin(get_running(c)),
            "Lists the services and other units that run.",
        )
        .returns("list of names, sorted; services without their suffix")
        .example("service.get_running"),
    ]
}

impl Verb {
    fn word(self) -> &'static str {
        match self {
            Verb::Start => "start",
            Verb::Stop => "stop",
            Verb::Restart => "restart",
            Verb::Reload => "reload",
            Verb::Enable => "enable",
            Verb::Disable => "disable",
        }
    }

    /// Whether systemd makes a job of it, which one can wait for or not.
    fn is_job(self) -> bool {
        !matches!(self, Verb::Enable | Verb::Disable)
    }

    /// Whether a mask would be in its way.
    fn is_upwards(self) -> bool {
        !matches!(self, Verb::Stop | Verb::Disable)
    }
}

async fn change(context: Context, mut bound: Bound, verb: Verb) -> Result<Outcome, Fault> {
    let unit = units::unit(&bound.text("name")?)?;
    let is_unblocked = match verb {
        Verb::Start | Verb::Reload => bound.flag("no_block")?,
        Verb::Stop | Verb::Restart => match bound.value("no_block") {
            Value::Null => unit == OWN_UNIT,
            Value::Bool(flag) => flag,
            _ => return Err(Fault::Invocation("'no_block' is either True or False".to_owned())),
        },
        Verb::Enable | Verb::Disable => false,
    };
    let (unmask, unmask_runtime) = if verb.is_upwards() {
        (bound.flag("unmask")?, bound.flag("unmask_runtime")?)
    } else {
        (false, false)
    };
    systemctl::reload_if_stale(&context, &unit).await?;
    for (is_wanted, is_runtime) in [(unmask, false), (unmask_runtime, true)] {
        if is_wanted {
            set_mask(&context, "unmask", &unit, is_runtime).await?;
        }
    }
    let words = [if is_unblocked { "--no-block" } else { "" }, verb.word()];
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    let done = if verb.is_job() {
        systemctl::act(&context, &words, &unit).await?
    } else {
        systemctl::ask(&context, &words, &unit).await?
    };
    match done.retcode {
        Some(0) => Ok(Outcome::from(true)),
        // Salt says False here, and what was wrong only where it was to be started.
        Some(code) if !verb.is_upwards() => Ok(Outcome { retcode: code, ..Outcome::from(false) }),
        Some(_) | None => Err(Fault::Execution(done.complaint().to_owned())),
    }
}

async fn mask(context: Context, mut bound: Bound, verb: &str) -> Result<Outcome, Fault> {
    let (unit, is_runtime) = (units::unit(&bound.text("name")?)?, bound.flag("runtime")?);
    systemctl::reload_if_stale(&context, &unit).await?;
    set_mask(&context, verb, &unit, is_runtime).await?;
    Ok(Outcome::from(true))
}

async fn set_mask(context: &Context, verb: &str, unit: &str, is_runtime: bool) -> Result<(), Fault> {
    let words: &[&str] = if is_runtime { &[verb, "--runtime"] } else { &[verb] };
    let done = systemctl::ask(context, words, unit).await?;
    // What is not there has no mask.
    let is_nothing = verb == "unmask" && done.complaint().contains("does not exist");
    if done.is_ok() || is_nothing {
        return Ok(());
    }
    Err(Fault::Execution(format!("Failed to {verb} service '{unit}': {}", done.complaint())))
}

async fn status(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let name = bound.text("name")?;
    let wait = bound.seconds("wait")?.map_or(Duration::ZERO, |(wait, _)| wait);
    let end = Instant::now().checked_add(wait);
    loop {
        let states = states(&context, &name).await?;
        let is_settled = !states.values().any(|state| units::is_passing(state));
        if is_settled || end.is_some_and(|end| Instant::now() >= end) {
            let active = |(name, state): (String, String)| (name, json!(units::is_active(&state)));
            let mut active: Map<String, Value> = states.into_iter().map(active).collect();
            let one = if units::is_glob(&name) { None } else { active.remove(&name) };
            return Ok(Outcome::from(one.unwrap_or(Value::Object(active))));
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// The state of the unit that is named, or of each that the glob matches.
async fn states(context: &Context, name: &str) -> Result<BTreeMap<String, String>, Fault> {
    if units::is_glob(name) {
        let (glob, files) = (Glob::new(name), systemctl::files(context).await?);
        let loaded = systemctl::loaded(context).await?;
        let state = |name: &str| loaded.get(name).map_or_else(String::new, |unit| unit.active.clone());
        let matching = files.into_keys().filter(|name| glob.matches(name));
        return Ok(matching.map(|name| (name.clone(), state(&name))).collect());
    }
    let unit = units::unit(name)?;
    let done = systemctl::ask(context, &["is-active"], &unit).await?;
    Ok(BTreeMap::from([(name.to_owned(), done.stdout)]))
}

async fn enabled(context: Context, mut bound: Bound, wanted: bool) -> Result<Outcome, Fault> {
    let unit = units::unit(&bound.text("name")?)?;
    let done = systemctl::ask(&context, &["is-enabled"], &unit).await?;
    Ok(Outcome::from(done.is_ok() == wanted))
}

async fn available(context: Context, mut bound: Bound, wanted: bool) -> Result<Outcome, Fault> {
    let unit = units::unit(&bound.text("name")?)?;
    let is_there = if units::is_template(&unit) {
        // systemd knows nothing of a template but its file.
        let name = unit.strip_suffix(".service").unwrap_or(&unit);
        systemctl::files(&context).await?.contains_key(name)
    } else {
        let done = systemctl::ask(&context, &["show", "--property=LoadState"], &unit).await?;
        if !done.is_ok() {
            let why = done.complaint();
            return Err(Fault::Execution(format!("Failed to get information on unit '{unit}': {why}")));
        }
        units::property(&done.stdout, "LoadState") != "not-found"
    };
    Ok(Outcome::from(is_there == wanted))
}

async fn get_all(context: Context) -> Result<Outcome, Fault> {
    Ok(Outcome::from(systemctl::files(&context).await?.into_keys().collect::<Vec<_>>()))
}

async fn get_enabled(context: Context) -> Result<Outcome, Fault> {
    let files = systemctl::files(&context).await?.into_iter();
    let enabled = files.filter(|(_, state)| state == "enabled").map(|(name, _)| name);
    Ok(Outcome::from(enabled.collect::<Vec<_>>()))
}

async fn get_running(context: Context) -> Result<Outcome, Fault> {
    let loaded = systemctl::loaded(&context).await?.into_iter();
    let running = loaded.filter(|(_, unit)| unit.sub == "running").map(|(name, _)| name);
    Ok(Outcome::from(running.collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests;
