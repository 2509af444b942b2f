//! What this process uses, and how many connections it may have.

use std::fs;
use std::time::Duration;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::time::TimeVal;

/// Descriptors left for everything but connections.
const RESERVED: u64 = 64;

/// A minion has a connection for its own messages and one for broadcasts.
pub const DESCRIPTORS_PER_MINION: u64 = 2;

fn used(who: UsageWho) -> Duration {
    let span = |time: TimeVal| {
        Duration::new(time.tv_sec().unsigned_abs(), 0) + Duration::from_micros(time.tv_usec().unsigned_abs())
    };
    getrusage(who).map_or(Duration::ZERO, |usage| span(usage.user_time()) + span(usage.system_time()))
}

/// CPU time of this process so far.
#[must_use]
pub fn process_cpu() -> Duration {
    used(UsageWho::RUSAGE_SELF)
}

/// CPU time of this thread so far.
#[must_use]
pub fn thread_cpu() -> Duration {
    used(UsageWho::RUSAGE_THREAD)
}

/// CPU time of any process so far; nothing when it is gone.
#[must_use]
pub fn cpu_of(pid: i32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let ticks: u64 = fields.get(11..13)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum();
    // Linux tells every program that a tick is a hundredth of a second.
    Some(Duration::from_millis(ticks * 10))
}

/// CPU time of the threads that a process has now, as exactly as the scheduler knows it; where it does
/// not say, [`cpu_of`]. Threads that have ended are missing: for differences over a time in which few do.
#[must_use]
pub fn busy_of(pid: i32) -> Option<Duration> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let busy = threads.flatten().map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
    });
    busy.sum::<Option<Duration>>().filter(|busy| !busy.is_zero()).or_else(|| cpu_of(pid))
}

/// Raises the soft limit of descriptors to the hard one, and returns what holds then.
#[must_use]
pub fn raise_descriptor_limit() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 1024 };
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    }
}

/// How many minions this limit of descriptors carries.
#[must_use]
pub fn minions_within(limit: u64) -> usize {
    usize::try_from(limit.saturating_sub(RESERVED) / DESCRIPTORS_PER_MINION).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_descriptors_a_minion_and_some_to_spare() {
        assert_eq!(minions_within(20_000), 9968);
        assert_eq!(minions_within(10), 0);
    }

    #[test]
    fn cpu_time_of_this_process_is_the_same_from_both_sides() {
        let mut sum = 0_u64;
        while thread_cpu() < Duration::from_millis(50) {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(7));
        }
        let ours = cpu_of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(
            process_cpu() >= thread_cpu() && ours <= process_cpu() + Duration::from_millis(30),
            "{ours:?}"
        );
        assert!(ours >= Duration::from_millis(20), "{ours:?}");
        let busy = busy_of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(
            (Duration::from_millis(20)..process_cpu() + Duration::from_millis(30)).contains(&busy),
            "{busy:?}"
        );
        assert_eq!(busy_of(i32::MAX), None);
    }
}
