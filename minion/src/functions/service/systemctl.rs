//! Asking systemd: every call of `systemctl` that this module makes.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::super::tool::{Done, Tool};
use super::super::{Context, Fault};
use super::units;

/// How long a question may take: systemd answers at once, or it hangs.
const ASK_MAX: Duration = Duration::from_secs(30);

/// How long a unit may take to start or stop. systemd's own limit is 90 s for each, a restart
/// does both, and units may ask for more.
const JOB_MAX: Duration = Duration::from_secs(300);

/// Cap of a listing, in bytes: it is read whole, and a machine with thousands of units has one of
/// a few hundred KiB.
const LISTING_MAX: usize = 16 * 1024 * 1024;

/// Where administrators put units.
const LOCAL_UNITS: &str = "/etc/systemd/system";

/// Asks something about a unit; how it ended is part of the answer.
pub(super) async fn ask(context: &Context, words: &[&str], unit: &str) -> Result<Done, Fault> {
    run(context, words, Some(unit), ASK_MAX).await
}

/// Has something done to a unit, and waits until it is done.
pub(super) async fn act(context: &Context, words: &[&str], unit: &str) -> Result<Done, Fault> {
    run(context, words, Some(unit), JOB_MAX).await
}

/// Every unit file, by the unit's short name, with its state.
pub(super) async fn files(context: &Context) -> Result<BTreeMap<String, String>, Fault> {
    Ok(units::files(&listing(context, &["list-unit-files", "--full", "--no-legend"]).await?))
}

/// Every unit that systemd has loaded.
pub(super) async fn loaded(context: &Context) -> Result<BTreeMap<String, units::Loaded>, Fault> {
    let words = ["list-units", "--all", "--full", "--plain", "--no-legend"];
    Ok(units::loaded(&listing(context, &words).await?))
}

async fn listing(context: &Context, words: &[&str]) -> Result<String, Fault> {
    let context = Context { output_max: LISTING_MAX, ..context.clone() };
    let done = run(&context, words, None, ASK_MAX).await?;
    if !done.is_ok() {
        return Err(Fault::Execution(format!("systemctl {} failed: {}", words[0], done.complaint())));
    }
    if done.is_cut {
        return Err(Fault::Execution(format!("systemd lists more units than {LISTING_MAX} bytes hold")));
    }
    Ok(done.stdout)
}

/// Lets systemd read its files anew when the unit's are newer than what it knows.
///
/// What goes wrong with the question is left to the command that follows, which says it better.
pub(super) async fn reload_if_stale(context: &Context, unit: &str) -> Result<(), Fault> {
    let words = ["show", "--property=LoadState", "--property=NeedDaemonReload"];
    let shown = run_unchecked(context, &words, Some(unit), ASK_MAX).await?;
    let is_unknown = units::property(&shown.stdout, "LoadState") == "not-found"
        && Path::new(LOCAL_UNITS).join(unit).exists();
    if !shown.is_ok() || (units::property(&shown.stdout, "NeedDaemonReload") != "yes" && !is_unknown) {
        return Ok(());
    }
    let done = run(context, &["daemon-reload"], None, JOB_MAX).await?;
    if !done.is_ok() {
        let why = done.complaint();
        return Err(Fault::Execution(format!("Problem performing systemctl daemon-reload: {why}")));
    }
    Ok(())
}

async fn run(context: &Context, words: &[&str], unit: Option<&str>, limit: Duration) -> Result<Done, Fault> {
    let done = run_unchecked(context, words, unit, limit).await?;
    match unavailable(&done, words, limit) {
        Some(why) => Err(Fault::Execution(why)),
        None => Ok(done),
    }
}

async fn run_unchecked(
    context: &Context,
    words: &[&str],
    unit: Option<&str>,
    limit: Duration,
) -> Result<Done, Fault> {
    let mut arguments = vec!["--no-pager", "--no-ask-password"];
    arguments.extend(words);
    if let Some(unit) = unit {
        // The root's own mount unit begins with a dash.
        arguments.extend(["--", unit]);
    }
    Tool::new("systemctl", arguments).timeout(limit).run(context).await
}

/// Why there is no answer: systemd does not run, or not fast enough.
fn unavailable(done: &Done, words: &[&str], limit: Duration) -> Option<String> {
    let absent = ["not been booted with systemd", "Failed to connect to bus", "Running in chroot, ignoring"];
    let line = done.complaint().lines().find(|line| absent.iter().any(|words| line.contains(words)));
    if let Some(line) = line {
        return Some(format!(
            "systemd does not run on this machine, so there are no services to ask or to change: {line}"
        ));
    }
    let verb = words.iter().find(|word| !word.starts_with('-'))?;
    done.retcode.is_none().then(|| {
        let limit = limit.as_secs();
        format!("systemctl {verb} took longer than {limit} seconds: systemd goes on with what it has begun")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(retcode: Option<i32>, stderr: &str) -> Done {
        Done { retcode, stdout: String::new(), stderr: stderr.to_owned(), is_cut: false }
    }

    #[test]
    fn why_there_is_no_answer() {
        let why = |retcode, said: &str| unavailable(&done(retcode, said), &["--no-block", "start"], JOB_MAX);
        assert_eq!(why(Some(0), ""), None);
        assert_eq!(why(Some(5), "Unit x.service not found."), None);
        assert_eq!(
            why(
                Some(1),
                "System has not been booted with systemd as init system (PID 1). Can't operate.\n\
                 Failed to connect to bus: Host is down"
            )
            .unwrap(),
            "systemd does not run on this machine, so there are no services to ask or to change: System has not \
             been booted with systemd as init system (PID 1). Can't operate."
        );
        // It ends with 0, and has done nothing.
        assert!(why(Some(0), "Running in chroot, ignoring command 'start'").is_some());
        assert_eq!(
            why(None, "").unwrap(),
            "systemctl start took longer than 300 seconds: systemd goes on with what it has begun"
        );
    }
}
