//! One input: what it did.

use std::fmt;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use brine_tests::fuzzed::Target;
use nix::unistd::{Pid, gettid};

/// How often a slow one is tried, its first time apart: then caches are warm.
const TRIES: usize = 3;

/// What a decoder did that it must not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It panicked, or a promise was found broken.
    Panic(String),
    /// It had more memory than is stated.
    Memory { had: u64, allowed: u64 },
    /// It took too long, each time.
    Time { took: Duration, allowed: Duration },
}

impl Fault {
    /// Whether both are of one kind: what is shrunk stays what it was.
    pub fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Panic(what) => write!(f, "it panics: {what}"),
            Fault::Memory { had, allowed } => {
                write!(f, "it has {had} bytes at one time, and {allowed} are stated")
            }
            Fault::Time { took, allowed } => {
                write!(f, "it takes {} ms, and has {}", took.as_millis(), allowed.as_millis())
            }
        }
    }
}

/// What a good input cost.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Allocations: inputs with different numbers take different ways.
    pub allocations: u64,
    /// The most bytes at one time.
    pub peak: u64,
    /// How long it took.
    pub took: Duration,
}

static SAID: Mutex<String> = Mutex::new(String::new());

/// Keeps what a panic says, instead of printing it.
pub fn listen() {
    std::panic::set_hook(Box::new(|panic| {
        *SAID.lock().expect("no holder panics") = panic.to_string();
    }));
}

/// Feeds one input.
pub fn judge(target: &Target, input: &[u8]) -> Result<Cost, Fault> {
    let mut cost = once(target, input)?;
    let allowed = (target.room + target.per_byte * input.len()) as u64;
    if cost.peak > allowed {
        return Err(Fault::Memory { had: cost.peak, allowed });
    }
    let allowed = Duration::from_millis(target.millis);
    for _ in 1..TRIES {
        if cost.took <= allowed {
            break;
        }
        let again = once(target, input)?;
        cost.took = cost.took.min(again.took);
    }
    if cost.took > allowed { Err(Fault::Time { took: cost.took, allowed }) } else { Ok(cost) }
}

/// How long a thread of this process has been on a processor: what others do on a busy machine is
/// not its fault.
pub fn worked(thread: Pid) -> Option<Duration> {
    let text = fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

fn once(target: &Target, input: &[u8]) -> Result<Cost, Fault> {
    let mut outcome = Ok(());
    let (began, before) = (Instant::now(), worked(gettid()));
    let counted = allocation_counter::measure(|| {
        outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    });
    let took = match (before, worked(gettid())) {
        (Some(before), Some(after)) => after.saturating_sub(before),
        _ => began.elapsed(),
    };
    outcome.map_err(|_| Fault::Panic(SAID.lock().expect("no holder panics").clone()))?;
    Ok(Cost { allocations: counted.count_total, peak: counted.bytes_max, took })
}
