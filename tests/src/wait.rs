//! Waiting for what has to become true: the only place of the harness that sleeps.

use std::time::{Duration, Instant};

/// How often a condition is looked at.
const STEP: Duration = Duration::from_millis(10);

/// Waits until `condition` holds.
///
/// # Panics
/// It does not hold within `seconds`; the message names `what`.
pub fn eventually(seconds: f64, what: &str, mut condition: impl FnMut() -> bool) {
    within(seconds, what, || condition().then_some(()));
}

/// Waits until `attempt` gives a value, and returns it.
///
/// # Panics
/// It gives none within `seconds`; the message names `what`.
pub fn within<T>(seconds: f64, what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs_f64(seconds);
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {seconds} s in vain: {what}");
        std::thread::sleep(STEP);
    }
}

/// Watches for `seconds` that `condition` keeps holding: for what must *not* happen.
///
/// # Panics
/// It stops holding.
pub fn stays(seconds: f64, what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs_f64(seconds);
    while Instant::now() < deadline {
        assert!(condition(), "no longer true: {what}");
        std::thread::sleep(STEP);
    }
}
