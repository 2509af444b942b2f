//! Options of running functions: whether somebody waits, in what portions the orders go out, and
//! what is shown.

use std::time::Duration;

use brine_local::clock::{seconds, span};
use brine_protocol::batch::{Batch, BatchSize};
use brine_protocol::job::Delivery;
use clap::Args;

use super::SHOWN;
use super::output::{Place, Words};

/// Where help lists what decides how orders go out.
const ORDERS: &str = "How the orders go out";

/// Where help lists how long somebody waits.
const WAITING: &str = "How long to wait";

/// How long a queued order stays good when nothing is said: until somebody looks after the weekend
/// is too long for a command that was meant for today.
const TTL: &str = "24h";

/// How to run functions and what to show of it.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Running {
    /// After so long without news, ask the minions what goes on; those that run the job are waited for [default: timeout of master.yaml, 5].
    #[arg(short, long, value_name = "SECONDS", value_parser = seconds, help_heading = WAITING)]
    pub(in crate::cli) timeout: Option<Duration>,
    /// Print the job's id and do not wait for returns.
    #[arg(long = "async", help_heading = WAITING)]
    pub(in crate::cli) is_async: bool,
    /// One document with all returns, at the end.
    #[arg(short = 's', long = "static", help_heading = SHOWN)]
    pub(in crate::cli) is_static: bool,
    /// Print the job's id first, in Salt's long form.
    #[arg(short, long, help_heading = SHOWN)]
    pub(in crate::cli) verbose: bool,
    /// Print the job's id first.
    #[arg(long, help_heading = SHOWN)]
    pub(in crate::cli) show_jid: bool,
    /// At the end, count who returned, who did not, and errors.
    #[arg(long, help_heading = SHOWN)]
    pub(in crate::cli) summary: bool,
    /// Show how far it is, in a line on stderr, if that is a terminal.
    #[arg(short, long, help_heading = SHOWN)]
    pub(in crate::cli) progress: bool,
    /// Do not print minions that gave no return. The exit code tells of them all the same.
    #[arg(long, overrides_with = "show_timeout", help_heading = SHOWN)]
    pub(in crate::cli) hide_timeout: bool,
    /// Print minions that gave no return: the default.
    #[arg(long, overrides_with = "hide_timeout", help_heading = SHOWN)]
    pub(in crate::cli) show_timeout: bool,
    /// Kill it on minions where it runs longer than this [default: never].
    #[arg(long, value_name = "SECONDS", value_parser = seconds, help_heading = WAITING)]
    pub(in crate::cli) job_timeout: Option<Duration>,
    /// It goes on when its minion is stopped, crashes or is upgraded, and the next one tells its end: for cmd.* and custom modules.
    #[arg(long, help_heading = ORDERS)]
    pub(in crate::cli) detach: bool,
    #[command(flatten)]
    pub(in crate::cli) orders: Orders,
    #[command(flatten)]
    pub(in crate::cli) words: Words,
    #[command(flatten)]
    pub(in crate::cli) place: Place,
}

/// To how many the orders go, and when.
#[derive(Debug, Clone, Default, Args)]
pub(in crate::cli) struct Orders {
    /// So many minions at a time, or that part of them: -b 10, -b 25%.
    #[arg(short = 'b', long, visible_alias = "batch-size", value_name = "N|N%", conflicts_with = "queue", help_heading = ORDERS)]
    pub(in crate::cli) batch: Option<BatchSize>,
    /// In a batch: how long after each ending the next minion waits [default: 0].
    #[arg(long, value_name = "SECONDS", value_parser = pause, help_heading = ORDERS)]
    pub(in crate::cli) batch_wait: Option<Duration>,
    /// Make it a batch if so many minions match, or more; 0: never [default: batch_safe_limit of master.yaml, 0].
    #[arg(long, value_name = "N", conflicts_with = "queue", help_heading = ORDERS)]
    pub(in crate::cli) batch_safe_limit: Option<usize>,
    /// The size of that batch [default: batch_safe_size of master.yaml, 8].
    #[arg(long, value_name = "N|N%", conflicts_with = "queue", help_heading = ORDERS)]
    pub(in crate::cli) batch_safe_size: Option<BatchSize>,
    /// In a batch: after the first failure, no further minion begins.
    #[arg(long, conflicts_with = "queue", help_heading = ORDERS)]
    pub(in crate::cli) failhard: bool,
    /// Only so many of those that match and are connected, chosen at random.
    #[arg(long, value_name = "N", conflicts_with = "queue", value_parser = clap::value_parser!(u32).range(1..), help_heading = ORDERS)]
    pub(in crate::cli) subset: Option<u32>,
    /// Minions that are not connected get the order when they are back, once.
    #[arg(long, help_heading = ORDERS)]
    pub(in crate::cli) queue: bool,
    /// How long a queued order waits for them: 30m, 2h, 7d.
    #[arg(long, value_name = "TIME", default_value = TTL, requires = "queue", value_parser = ttl, help_heading = ORDERS)]
    pub(in crate::cli) ttl: u64,
    /// Do not ask before many minions are told: see confirm_above of master.yaml.
    #[arg(short = 'y', long, help_heading = ORDERS)]
    pub(in crate::cli) yes: bool,
}

impl Orders {
    /// What minions that are away get.
    pub(in crate::cli) fn delivery(&self) -> Delivery {
        match self.queue {
            true => Delivery::Queue { ttl_ms: self.ttl.saturating_mul(1000) },
            false => Delivery::Now,
        }
    }

    /// The batch that was asked for.
    pub(in crate::cli) fn batch(&self) -> Option<Batch> {
        self.batch.clone().map(|size| self.batch_of(size))
    }

    /// A batch of this size, and otherwise as the options say.
    pub(in crate::cli) fn batch_of(&self, size: BatchSize) -> Batch {
        let wait = self.batch_wait.unwrap_or_default();
        Batch { size, wait_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX), failhard: self.failhard }
    }

    /// The option that means nothing without a batch, if one was given.
    pub(in crate::cli) fn only_in_a_batch(&self) -> Option<&'static str> {
        match (self.failhard, self.batch_wait) {
            (true, _) => Some("--failhard"),
            (false, Some(_)) => Some("--batch-wait"),
            (false, None) => None,
        }
    }
}

fn ttl(text: &str) -> Result<u64, String> {
    span(text).and_then(|ttl| match ttl {
        0 => Err("an order that waits for no time reaches nobody; write 30m, 2h or 7d".to_owned()),
        ttl => Ok(ttl),
    })
}

fn pause(text: &str) -> Result<Duration, String> {
    let number = text.parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0);
    number
        .and_then(|n| Duration::try_from_secs_f64(n).ok())
        .ok_or_else(|| "expected a number of seconds, 0 or more".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::options::RunLine;

    fn parse(line: &str) -> Result<Running, clap::Error> {
        let words = format!("brine web1 test.ping {line}");
        RunLine::try_parse_from(words.split_whitespace()).map(|line| line.running)
    }

    fn orders(line: &str) -> Orders {
        parse(line).expect("a good line").orders
    }

    #[test]
    fn batches_are_as_they_were_written() {
        let size = |text: &str| text.parse::<BatchSize>().expect("a size");
        for line in ["-b 25%", "-b25%", "--batch 25%", "--batch-size=25%"] {
            let expected = Batch { size: size("25%"), wait_ms: 0, failhard: false };
            assert_eq!(orders(line).batch(), Some(expected), "{line}");
        }
        let full = orders("-b 2 --batch-wait 1.5 --failhard");
        assert_eq!(full.batch(), Some(Batch { size: size("2"), wait_ms: 1500, failhard: true }));
        assert_eq!(orders("").batch(), None);
        let safe = orders("--batch-safe-limit 5 --batch-safe-size 3");
        assert_eq!(
            (safe.batch(), safe.batch_safe_limit, safe.batch_safe_size),
            (None, Some(5), Some(size("3")))
        );
    }

    #[test]
    fn queues_have_an_end() {
        assert_eq!(orders("").delivery(), Delivery::Now);
        assert_eq!(orders("--queue").delivery(), Delivery::Queue { ttl_ms: 86_400_000 });
        assert_eq!(orders("--queue --ttl 2h").delivery(), Delivery::Queue { ttl_ms: 7_200_000 });
    }

    #[test]
    fn the_last_word_on_missing_minions_counts() {
        let hidden = |line| parse(line).expect("a good line").hide_timeout;
        assert!(hidden("--hide-timeout"));
        assert!(!hidden("--hide-timeout --show-timeout"));
        assert!(hidden("--show-timeout --hide-timeout"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "-b x",
            "-b 1.5",
            "-b 2 --queue",
            "--subset 2 --queue",
            "--batch-safe-limit 2 --queue",
            "--failhard --queue",
            "--subset 0",
            "--subset -1",
            "--ttl 2h",
            "--queue --ttl 0",
            "--queue --ttl 2",
            "-b 2 --batch-wait -1",
            "-b 2 --batch-wait inf",
            "--batch-safe-limit x",
        ] {
            assert_eq!(parse(line).map(|_| ()).map_err(|e| e.exit_code()), Err(2), "{line}");
        }
    }
}
