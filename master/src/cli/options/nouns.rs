//! Words of `brine jobs`, `brine minions` and `brine events`.

use brine_local::clock;
use brine_local::completion::ArgValueCompleter;
use brine_protocol::signal::SignalName;
use brine_protocol::time::Timestamp;
use brine_protocol::{Jid, MinionId};
use clap::{Args, Subcommand};

use crate::cli::complete::{jids, minion_ids};

/// Examples of `brine jobs`.
pub(in crate::cli) const JOBS_EXAMPLES: &str = "\
Examples:
  brine jobs                                     the 50 newest
  brine jobs list --failed --since 2h            what went wrong in the last two hours
  brine jobs list --function 'pkg.*' --user ana --minion web1
  brine jobs list --since 2026-11-01 --until 2026-11-07 --limit 500
  brine jobs last                                the newest, with everything that came back
  brine jobs show 20261122060732123407 --out json
  brine jobs signal 20261122060732123407 HUP     its processes, wherever it runs";

/// Examples of `brine minions`.
pub(in crate::cli) const MINIONS_EXAMPLES: &str = "\
Examples:
  brine minions                    all that are accepted: since when, address, version, last job
  brine minions status             who is up, who is down, and why
  brine minions down --out json | jq -r '.[].id'
  brine minions show web1          one minion with its grains";

/// Examples of `brine events`.
pub(in crate::cli) const EVENTS_EXAMPLES: &str = "\
Examples:
  brine events --tag 'brine/key/*' --tag 'brine/server/*'
  brine events --minion web1
  brine events --jid 20261122060732123407 --count 3
  brine events --out json          one JSON document a line";

/// `brine jobs …`
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum JobsVerb {
    /// The latest jobs, newest first.
    List(JobFilters),
    /// Jobs that some minion has not answered yet, newest first.
    Active(JobFilters),
    /// The newest job with everything that came back.
    Last(JobFilters),
    /// One job with everything that came back.
    Show {
        /// The job's id.
        #[arg(add = ArgValueCompleter::new(jids))]
        jid: Jid,
    },
    /// End a job wherever it is open: what waits is called off, what runs is killed.
    Kill {
        /// The job's id.
        #[arg(add = ArgValueCompleter::new(jids))]
        jid: Jid,
    },
    /// Ask a job's processes to end (SIGTERM), wherever it runs.
    Term {
        /// The job's id.
        #[arg(add = ArgValueCompleter::new(jids))]
        jid: Jid,
    },
    /// Send a signal to a job's processes, wherever it runs.
    Signal {
        /// The job's id.
        #[arg(add = ArgValueCompleter::new(jids))]
        jid: Jid,
        /// By name or number: TERM, HUP, USR1, 15.
        signal: SignalName,
    },
}

/// Which jobs; all that is said has to hold.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Which jobs")]
pub(in crate::cli) struct JobFilters {
    /// With this function, or one that the glob matches.
    #[arg(long, value_name = "GLOB")]
    pub(in crate::cli) function: Option<String>,
    /// Submitted by this user: a name, a part of what BY shows, or a glob.
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) user: Option<String>,
    /// With this target as it was written, or one that the glob matches.
    #[arg(long, value_name = "TARGET")]
    pub(in crate::cli) target: Option<String>,
    /// For this minion, among others.
    #[arg(long, value_name = "ID", add = ArgValueCompleter::new(minion_ids))]
    pub(in crate::cli) minion: Option<MinionId>,
    /// Submitted then or later: an age such as 2h or 7d, a date, or a time in RFC 3339; dates are UTC.
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub(in crate::cli) since: Option<Timestamp>,
    /// Submitted then or earlier; a date is that whole day.
    #[arg(long, value_name = "TIME", value_parser = until)]
    pub(in crate::cli) until: Option<Timestamp>,
    /// Where a minion ended with a retcode other than 0, or gave no return.
    #[arg(long)]
    pub(in crate::cli) failed: bool,
    /// At most so many [default: 50].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(in crate::cli) limit: Option<u32>,
}

/// `brine minions …`
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum MinionsVerb {
    /// All accepted minions.
    List,
    /// Who is up, who is down and why, as two lists.
    Status,
    /// Minions that are up.
    Up,
    /// Minions that are not: offline, or connected and silent.
    Down,
    /// One minion with its grains.
    Show {
        /// The minion's id.
        #[arg(add = ArgValueCompleter::new(minion_ids))]
        id: MinionId,
    },
}

/// Which events; of each kind of filter one has to hold.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Which events")]
pub(in crate::cli) struct EventFilters {
    /// Whose tag matches this glob; may be given several times.
    #[arg(long = "tag", value_name = "GLOB")]
    pub(in crate::cli) tags: Vec<String>,
    /// About this minion: its key, its sessions, its returns, the record that it is linked to.
    #[arg(long, value_name = "ID", add = ArgValueCompleter::new(minion_ids))]
    pub(in crate::cli) minion: Option<MinionId>,
    /// About this job.
    #[arg(long, value_name = "JID", add = ArgValueCompleter::new(jids))]
    pub(in crate::cli) jid: Option<Jid>,
    /// End behind so many events.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(in crate::cli) count: Option<u64>,
}

fn since(text: &str) -> Result<Timestamp, String> {
    moment(text, "T00:00:00Z", clock::wall())
}

fn until(text: &str) -> Result<Timestamp, String> {
    moment(text, "T23:59:59.999999Z", clock::wall())
}

/// An instant as people write it; of a day the part that is given.
fn moment(text: &str, time_of_day: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(age) = clock::span(text) {
        let micros = i64::try_from(age).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        return Ok(now.plus_micros(micros.saturating_neg()));
    }
    Timestamp::try_from(text.to_owned()).or_else(|_| {
        Timestamp::try_from(format!("{text}{time_of_day}"))
            .map_err(|_| "write an age such as 2h or 7d, a date such as 2026-11-22, or a time such as 2026-11-22T06:07:32Z".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_people_write_them() {
        let now = Timestamp::try_from("2026-11-22T06:00:00Z".to_owned()).expect("a time");
        for (text, begin, end) in [
            ("2h", "2026-11-22T04:00:00.000000Z", "2026-11-22T04:00:00.000000Z"),
            ("1d12h", "2026-11-20T18:00:00.000000Z", "2026-11-20T18:00:00.000000Z"),
            ("0", "2026-11-22T06:00:00.000000Z", "2026-11-22T06:00:00.000000Z"),
            ("2026-11-01", "2026-11-01T00:00:00.000000Z", "2026-11-01T23:59:59.999999Z"),
            ("2026-11-01T05:00:00+01:00", "2026-11-01T04:00:00.000000Z", "2026-11-01T04:00:00.000000Z"),
        ] {
            assert_eq!(moment(text, "T00:00:00Z", now).map(String::from), Ok(begin.to_owned()), "{text}");
            assert_eq!(
                moment(text, "T23:59:59.999999Z", now).map(String::from),
                Ok(end.to_owned()),
                "{text}"
            );
        }
        // An age without end is before everything, and none that wraps round into the future.
        assert!(moment("9999999999999999w", "", now).is_err_and(|why| why.contains("2h")));
        assert!(moment("300000000000w", "", now).is_ok_and(|at| at < now));
        for bad in ["", "yesterday", "2026-13-01", "5", "-2h", "2026-11-01T25:00:00Z"] {
            assert!(since(bad).is_err(), "{bad}");
        }
    }
}
