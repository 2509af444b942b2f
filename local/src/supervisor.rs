//! What a daemon tells the service manager that started it: sd_notify(3), and its watchdog.
//!
//! Started by anything else, all of it does nothing.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// The service manager, if one listens.
///
/// A message that cannot be delivered is left out: a daemon does not end because of who watches it.
#[derive(Debug)]
pub struct Supervisor {
    /// How often it wants to hear that the daemon is alive.
    pace: Option<Duration>,
    due: Option<Instant>,
}

impl Supervisor {
    /// The manager that this process was started by: `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`.
    #[must_use]
    pub fn of_process() -> Self {
        Self::with_pace(sd_notify::watchdog_enabled())
    }

    fn with_pace(longest: Option<Duration>) -> Self {
        // Three beats in the time that it allows, so that a late one is none that is missing.
        let pace = longest.map(|longest| longest / 3);
        Self { pace, due: pace.map(|pace| Instant::now() + pace) }
    }

    /// The daemon does its work from now on.
    pub fn ready(&self) {
        tell(&[NotifyState::Ready]);
    }

    /// What it does at the moment: one line for `systemctl status`.
    pub fn status(&self, text: &str) {
        tell(&[NotifyState::Status(&crate::text::escape(text))]);
    }

    /// It has begun to stop.
    pub fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }

    /// When the next sign of life is due; to be given by [`Supervisor::beat`], and by the loop that it
    /// is to be a sign of.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Gives the sign of life if it is due.
    pub fn beat(&mut self, now: Instant) {
        if let (Some(pace), Some(due)) = (self.pace, self.due)
            && now >= due
        {
            tell(&[NotifyState::Watchdog]);
            self.due = Some(now + pace);
        }
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager cannot be told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beats_come_three_times_in_what_is_allowed() {
        let mut supervisor = Supervisor::with_pace(Some(Duration::from_secs(30)));
        let first = supervisor.due().unwrap();
        supervisor.beat(first - Duration::from_millis(1));
        assert_eq!(supervisor.due(), Some(first), "not yet");
        supervisor.beat(first + Duration::from_secs(2));
        assert_eq!(supervisor.due(), Some(first + Duration::from_secs(12)));
    }

    #[test]
    fn without_a_watchdog_nothing_is_due() {
        let mut supervisor = Supervisor::with_pace(None);
        supervisor.beat(Instant::now());
        assert_eq!(supervisor.due(), None);
    }
}
