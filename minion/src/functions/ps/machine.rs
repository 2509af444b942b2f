//! What processes share: processors, memory, the boot.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::super::bind::Bound;
use super::super::{Fault, Function, Outcome, optional};
use super::info::total_memory;

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new(
            "ps.total_physical_memory",
            |_, _| Box::pin(total_physical_memory()),
            "Returns how much memory the machine has.",
        )
        .returns("integer, in bytes"),
        Function::new("ps.num_cpus", |_, _| Box::pin(num_cpus()), "Returns how many processors are online.")
            .returns("integer"),
        Function::new(
            "ps.boot_time",
            |_, bound| Box::pin(boot_time(bound)),
            "Returns when the machine booted.",
        )
        .takes(
            const {
                &[optional(
                    "time_format",
                    "null",
                    "a format as of strftime, for the machine's time zone (text)",
                )]
            },
        )
        .returns("integer, in seconds since 1970, or a text; an error for a format that is none")
        .example("ps.boot_time time_format='%Y-%m-%d %H:%M:%S'"),
    ]
}

async fn total_physical_memory() -> Result<Outcome, Fault> {
    let unknown = || Fault::Execution("/proc/meminfo does not tell the machine's memory".to_owned());
    Ok(Outcome::from(total_memory().ok_or_else(unknown)?))
}

async fn num_cpus() -> Result<Outcome, Fault> {
    Ok(Outcome::from(online()?))
}

/// How many processors are online, whatever share of them this process has.
pub(super) fn online() -> Result<usize, Fault> {
    let cpus: procfs::KernelStats = procfs::CurrentSI::current()
        .map_err(|error| Fault::Execution(format!("/proc/stat does not tell the processors: {error}")))?;
    Ok(cpus.cpu_time.len())
}

async fn boot_time(mut bound: Bound) -> Result<Outcome, Fault> {
    let format = bound.maybe_text("time_format")?;
    let seconds = procfs::boot_time_secs().map_err(|error| {
        Fault::Execution(format!("/proc/stat does not tell when the machine booted: {error}"))
    })?;
    let Some(format) = format else { return Ok(Outcome::from(seconds)) };
    let at = Timestamp::from_second(i64::try_from(seconds).unwrap_or(i64::MAX))
        .map_err(|error| Fault::Execution(format!("the kernel's boot time is beyond all times: {error}")))?;
    let text = jiff::fmt::strtime::format(&format, &at.to_zoned(TimeZone::system()))
        .map_err(|error| Fault::Invocation(format!("'time_format' cannot be used: {error}")))?;
    Ok(Outcome::from(text))
}
