//! `cron.*`: the tables of cron, through the program `crontab`.
//!
//! Jobs are written below a line that says so, with their comment and identifier above each. Below
//! Salt's line they are read as well, and written so that Salt reads them.
//!
//! **Invariant:** a table that could not be read as a whole is not written.

mod line;
mod table;
mod wanted;

use std::time::Duration;

use nix::unistd::geteuid;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use self::line::When;
use self::table::{Change, Entry, Table, without_header};
use self::wanted::{
    FIELDS, Filter, take_cmd, take_identifier, take_job, take_special, take_times, take_variable,
    take_variable_name,
};
use super::bind::Bound;
use super::tool::Tool;
use super::user::{check_name, user};
use super::{Context, Fault, Function, Outcome, Parameter, optional, required};

/// `crontab` waits for nothing but the disk and the source of users.
const LIMIT: Duration = Duration::from_secs(60);

/// A pipe takes this much at once: a job that is ended while `crontab` reads leaves no half table.
const TABLE_MAX: usize = 64 * 1024;

/// Held from reading a table until it is written, so that no job undoes what another one did.
static CHANGING: Mutex<()> = Mutex::const_new(());

const USER: Parameter = required("user", "whose table it is (text)");
const CMD: Parameter = required("cmd", "the command, one line, as cron is given it (text)");
const NAME: Parameter = required("name", "name of the variable (text)");
const COMMENTED: Parameter =
    optional("commented", "false", "True writes it switched off, behind #DISABLED# (boolean)");
const COMMENT: Parameter =
    optional("comment", "null", "what is written above it; None leaves what is there (text)");
const IDENTIFIER: Parameter = optional(
    "identifier",
    "null",
    "what names the job, so that its command can change; without one the command does (text)",
);
const TABLE: &str = "{pre: [text], env: [{name, value}], crons: [{minute, hour, daymonth, month, dayweek, cmd, \
                     comment, identifier, commented}], special: [{spec, cmd, comment, identifier, commented}]}; \
                     a user without a table has an empty one";
const SET: &str = "new, updated or present (text); fails with what crontab says";
const REMOVED: &str = "removed or absent (text); fails with what crontab says";

/// A field of a job's time, where it is only asked for.
const fn time(name: &'static str) -> Parameter {
    optional(name, "null", "the time that the job has to have; None is any (text)")
}

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new(
            "cron.list_tab",
            |context, bound| Box::pin(list(context, bound)),
            "Returns the table of a user: what is managed, and the lines above that.",
        )
        .takes(const { &[USER] })
        .returns(TABLE)
        .example("cron.list_tab root"),
        Function::new("cron.ls", |context, bound| Box::pin(list(context, bound)), "Is cron.list_tab.")
            .takes(const { &[USER] })
            .returns(TABLE)
            .example("cron.ls root"),
        Function::new(
            "cron.raw_cron",
            |context, bound| Box::pin(raw(context, bound)),
            "Returns the table of a user as it is.",
        )
        .takes(const { &[USER] })
        .returns("text; empty for a user without a table")
        .example("cron.raw_cron root"),
        Function::new(
            "cron.set_job",
            |context, bound| Box::pin(set_job(context, bound)),
            "Adds a job to the table of a user, or changes the one that is there.",
        )
        .takes(
            const {
                &[
                    USER,
                    required(
                        "minute",
                        "minute, 0 to 59, as crontab(5) has it; this and the next four may be `random`, or FROM:TO \
                         for a number in between, which stays once it was drawn (text or integer)",
                    ),
                    required("hour", "hour, 0 to 23 (text or integer)"),
                    required("daymonth", "day of the month, 1 to 31 (text or integer)"),
                    required("month", "month, 1 to 12 or a name (text or integer)"),
                    required("dayweek", "day of the week, 0 to 7 or a name (text or integer)"),
                    CMD,
                    COMMENTED,
                    COMMENT,
                    IDENTIFIER,
                ]
            },
        )
        .returns(SET)
        .example("cron.set_job root '*/5' '*' '*' '*' '*' /usr/local/bin/look identifier=look"),
        Function::new(
            "cron.rm_job",
            |context, bound| Box::pin(rm_job(context, bound)),
            "Removes a job from the table of a user.",
        )
        .takes(
            const {
                &[
                    USER,
                    CMD,
                    time("minute"),
                    time("hour"),
                    time("daymonth"),
                    time("month"),
                    time("dayweek"),
                    IDENTIFIER,
                ]
            },
        )
        .returns(REMOVED)
        .example("cron.rm_job root /usr/local/bin/look identifier=look"),
        Function::new(
            "cron.set_special",
            |context, bound| Box::pin(set_special(context, bound)),
            "Adds a job of a special time to the table of a user, or changes the one that is there.",
        )
        .takes(
            const {
                &[USER, required("special", "the time, as @daily, which is typed @@daily (text)"), CMD, COMMENTED, COMMENT, IDENTIFIER]
            },
        )
        .returns(SET)
        .example("cron.set_special root @@hourly 'echo hello'"),
        Function::new(
            "cron.rm_special",
            |context, bound| Box::pin(rm_special(context, bound)),
            "Removes a job of a special time from the table of a user.",
        )
        .takes(
            const {
                &[
                    USER,
                    CMD,
                    optional("special", "null", "the time it has to have; None is any (text)"),
                    IDENTIFIER,
                ]
            },
        )
        .returns(REMOVED)
        .example("cron.rm_special root 'echo hello'"),
        Function::new(
            "cron.set_env",
            |context, bound| Box::pin(set_env(context, bound)),
            "Sets a variable for the jobs in the table of a user.",
        )
        .takes(const { &[USER, NAME, optional("value", "null", "its value, one line (text)")] })
        .returns(SET)
        .example("cron.set_env root MAILTO user@example.com"),
        Function::new(
            "cron.rm_env",
            |context, bound| Box::pin(rm_env(context, bound)),
            "Removes a variable from the table of a user.",
        )
        .takes(const { &[USER, NAME] })
        .returns(REMOVED)
        .example("cron.rm_env root MAILTO"),
    ]
}

/// `crontab` for the table of a user. Only root may name one, and needs nobody's leave.
async fn crontab(context: &Context, name: &str, what: &str) -> Result<Tool, Fault> {
    let is_own = !geteuid().is_root()
        && user(context, name).await?.is_some_and(|account| account.uid == geteuid().as_raw());
    let whose: &[&str] = if is_own { &[] } else { &["-u", name] };
    Ok(Tool::new("crontab", whose.iter().copied().chain([what])).timeout(LIMIT))
}

/// The table of a user as it is; empty when there is none.
async fn read(context: &Context, name: &str) -> Result<Vec<u8>, Fault> {
    check_name("user", name)?;
    let (done, table) = crontab(context, name, "-l").await?.run_exact(context).await?;
    if done.is_cut {
        return Err(Fault::Execution(format!("the table of '{name}' is larger than output_max")));
    }
    match done.retcode {
        Some(0) => Ok(table),
        Some(_) if has_none(&done.stderr) => Ok(Vec::new()),
        Some(code) => Err(Fault::Execution(format!("crontab ended with {code}: {}", done.complaint()))),
        None => Err(Fault::Execution("crontab was killed: it ran too long".to_owned())),
    }
}

/// What `crontab` says, of Debian and Red Hat and then of busybox, for a user without a table.
fn has_none(complaint: &str) -> bool {
    complaint.contains("no crontab for ")
        || (complaint.contains("can't open ") && complaint.contains("No such file"))
}

/// Has the table of a user changed.
async fn change(
    context: &Context,
    name: &str,
    change: impl FnOnce(&mut Table) -> Change,
) -> Result<Outcome, Fault> {
    let _held = CHANGING.lock().await;
    let Ok(text) = String::from_utf8(read(context, name).await?) else {
        let why = format!("the table of '{name}' holds bytes that are no UTF-8; change it with crontab -e");
        return Err(Fault::Execution(why));
    };
    let mut table = Table::of(&text);
    let before = table.text();
    let done = change(&mut table);
    let text = table.text();
    if text.len() > TABLE_MAX {
        return Err(Fault::Execution(format!(
            "the table of '{name}' would be larger than {TABLE_MAX} bytes"
        )));
    }
    if text != before {
        crontab(context, name, "-").await?.stdin(text).output(context).await?;
    }
    Ok(Outcome::from(done.word()))
}

fn show(entry: &Entry) -> Value {
    let mut shown = match &entry.job.when {
        When::Special(special) => json!({"spec": special}),
        When::Times(times) => {
            FIELDS.iter().zip(times).map(|((name, ..), time)| (*name, json!(time))).collect()
        }
    };
    shown["cmd"] = json!(entry.job.cmd);
    shown["comment"] = json!(entry.comment);
    shown["identifier"] = json!(entry.identifier);
    shown["commented"] = json!(entry.job.is_disabled);
    shown
}

async fn list(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let text = read(&context, &bound.text("user")?).await?;
    let table = Table::of(&String::from_utf8_lossy(&text));
    let managed = table.managed();
    let (special, crons): (Vec<&Entry>, Vec<&Entry>) =
        managed.entries.iter().partition(|entry| entry.job.when.is_special());
    let variable = |variable: &table::Variable| json!({"name": variable.name, "value": variable.value});
    Ok(Outcome::from(json!({
        "pre": table.pre().collect::<Vec<_>>(),
        "crons": crons.into_iter().map(show).collect::<Vec<_>>(),
        "special": special.into_iter().map(show).collect::<Vec<_>>(),
        "env": managed.variables.iter().map(variable).collect::<Vec<_>>(),
    })))
}

async fn raw(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let text = read(&context, &bound.text("user")?).await?;
    Ok(Outcome::from(without_header(&String::from_utf8_lossy(&text))))
}

/// A number from the first to the second: for the machines of a fleet not to begin all at once.
fn draw(low: u32, high: u32, random: u32) -> u32 {
    low + random % (high - low + 1)
}

async fn set_job(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let (user, wanted) = (bound.text("user")?, take_job(&mut bound)?);
    let mut numbers = [0; FIELDS.len()];
    for number in &mut numbers {
        *number =
            getrandom::u32().map_err(|reason| Fault::Execution(format!("no random numbers: {reason}")))?;
    }
    let mut numbers = numbers.into_iter();
    let mut dice = |low, high| draw(low, high, numbers.next().unwrap_or_default());
    change(&context, &user, |table| table.set_job(wanted, &mut dice)).await
}

async fn set_special(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let (user, wanted) = (bound.text("user")?, take_special(&mut bound)?);
    change(&context, &user, |table| table.set_job(wanted, &mut |low, _| low)).await
}

async fn rm_job(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let (user, cmd, times) = (bound.text("user")?, take_cmd(&mut bound)?, take_times(&mut bound)?);
    let identifier = take_identifier(&mut bound)?;
    change(&context, &user, |table| table.remove_job(false, &cmd, identifier.as_deref(), &times)).await
}

async fn rm_special(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let (user, cmd) = (bound.text("user")?, take_cmd(&mut bound)?);
    let special = Filter { special: bound.maybe_text("special")?, ..Filter::default() };
    let identifier = take_identifier(&mut bound)?;
    change(&context, &user, |table| table.remove_job(true, &cmd, identifier.as_deref(), &special)).await
}

async fn set_env(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let (user, (name, value)) = (bound.text("user")?, take_variable(&mut bound)?);
    change(&context, &user, |table| table.set_variable(&name, &value)).await
}

async fn rm_env(context: Context, mut bound: Bound) -> Result<Outcome, Fault> {
    let (user, name) = (bound.text("user")?, take_variable_name(&mut bound)?);
    change(&context, &user, |table| table.remove_variable(&name)).await
}

#[cfg(test)]
mod tests;
