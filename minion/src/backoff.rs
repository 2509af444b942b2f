//! How long to wait before the next attempt: full jitter, so that a crowd spreads by itself.

use std::time::Duration;

/// The first ceiling after a lost or refused connection.
const FIRST: Duration = Duration::from_millis(200);

/// The first ceiling after an answer that says no.
const FIRST_SLOW: Duration = Duration::from_secs(2);

/// The longest pause after an answer that says no.
pub const SLOW_MAX: Duration = Duration::from_secs(30);

/// A pause is never shorter, so that a master that hangs up at once is not hammered.
const FLOOR: Duration = Duration::from_millis(20);

/// The ceiling of pauses is never below this, whatever heartbeat the master wants: a whole fleet dials.
const CEILING_MIN: Duration = Duration::from_secs(1);

/// A step of an attempt gets at least this much time, whatever heartbeat the master wants: it takes so long to
/// say that it is busy, and a lost packet is repeated after seconds.
const PATIENCE_MIN: Duration = Duration::from_secs(5);

/// What ended an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setback {
    /// No connection, or it was lost.
    Lost,
    /// Somebody answered, and the answer was busy, no, or not to be trusted.
    Slow {
        /// What was asked for: the pause is at least this long, but never above [`SLOW_MAX`].
        at_least: Duration,
    },
}

/// The pauses of one minion.
#[derive(Debug)]
pub struct Backoff {
    reconnect_max: Duration,
    heartbeat: Option<Duration>,
    attempts: u32,
    slow: u32,
}

impl Backoff {
    /// Pauses of at most `reconnect_max` while the master cannot be reached.
    #[must_use]
    pub fn new(reconnect_max: Duration) -> Self {
        Self { reconnect_max, heartbeat: None, attempts: 0, slow: 0 }
    }

    /// Another longest pause; the next setback starts from the smallest one.
    pub fn limit(&mut self, reconnect_max: Duration) {
        *self = Self { heartbeat: self.heartbeat, ..Self::new(reconnect_max) };
    }

    /// The master wants a beat this often. What keeps a minion away when the network is well again is an attempt
    /// that began before and waits for what was lost, and the pause after it. Both are bounded by this, so that
    /// down to a heartbeat of three seconds a minion is back within three of them.
    pub fn follow(&mut self, heartbeat: Duration) {
        self.heartbeat = Some(heartbeat);
    }

    /// How long a step of an attempt may take, where an option says `limit`.
    #[must_use]
    pub fn patience(&self, limit: Duration) -> Duration {
        self.heartbeat.map_or(limit, |heartbeat| limit.min(heartbeat.max(PATIENCE_MIN)))
    }

    /// A session was good: the next setback starts from the smallest pause.
    pub fn reset(&mut self) {
        self.attempts = 0;
        self.slow = 0;
    }

    /// The pause after a setback. `random` is any random number.
    pub fn pause(&mut self, setback: Setback, random: u64) -> Duration {
        match setback {
            Setback::Lost => {
                self.slow = 0;
                let beat = self.heartbeat.map_or(Duration::MAX, |heartbeat| heartbeat.max(CEILING_MIN));
                let ceiling = grown(FIRST, self.attempts, self.reconnect_max.min(beat));
                self.attempts = self.attempts.saturating_add(1);
                jitter(ceiling, random).max(FLOOR.min(ceiling))
            }
            Setback::Slow { at_least } => {
                let ceiling = grown(FIRST_SLOW, self.slow, SLOW_MAX);
                self.slow = self.slow.saturating_add(1);
                // Half of it is sure, because a master that said no means it.
                let pause = at_least + ceiling / 2 + jitter(ceiling / 2, random);
                pause.min(SLOW_MAX)
            }
        }
    }
}

fn grown(first: Duration, doublings: u32, max: Duration) -> Duration {
    first.saturating_mul(1 << doublings.min(16)).min(max)
}

/// Evenly between zero and `ceiling`.
fn jitter(ceiling: Duration, random: u64) -> Duration {
    ceiling.mul_f64(random as f64 / u64::MAX as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(backoff: &mut Backoff, random: u64) -> u128 {
        backoff.pause(Setback::Lost, random).as_millis()
    }

    #[test]
    fn lost_connections_grow_to_reconnect_max() {
        let mut backoff = Backoff::new(Duration::from_secs(4));
        let highest: Vec<u128> = (0..8).map(|_| lost(&mut backoff, u64::MAX)).collect();
        assert_eq!(highest, [200, 400, 800, 1600, 3200, 4000, 4000, 4000]);
        assert_eq!(lost(&mut backoff, 0), 20);
        assert_eq!(lost(&mut backoff, u64::MAX / 2), 2000);
        backoff.reset();
        assert_eq!(lost(&mut backoff, u64::MAX), 200);
        for _ in 0..200 {
            assert!(lost(&mut backoff, u64::MAX) <= 4000);
        }
    }

    #[test]
    fn a_small_reconnect_max_is_obeyed() {
        let mut backoff = Backoff::new(Duration::from_millis(10));
        assert_eq!(lost(&mut backoff, u64::MAX), 10);
    }

    #[test]
    fn answers_that_say_no_slow_down_to_half_a_minute() {
        let mut backoff = Backoff::new(Duration::from_secs(4));
        let mut slow = |at_least, random| {
            let at_least = Duration::from_secs(at_least);
            backoff.pause(Setback::Slow { at_least }, random).as_millis()
        };
        assert_eq!(
            (0..6).map(|_| slow(0, u64::MAX)).collect::<Vec<_>>(),
            [2000, 4000, 8000, 16000, 30000, 30000]
        );
        assert_eq!(slow(0, 0), 15000);
        assert_eq!(slow(3600, u64::MAX), 30000);
    }

    #[test]
    fn asked_for_time_is_granted() {
        let mut backoff = Backoff::new(Duration::from_secs(4));
        let at_least = Duration::from_secs(5);
        assert!(backoff.pause(Setback::Slow { at_least }, 0) >= at_least);
    }

    #[test]
    fn a_stuck_attempt_and_the_longest_pause_leave_room_in_three_heartbeats() {
        let (handshake_timeout, reconnect_max) = (Duration::from_secs(10), Duration::from_secs(4));
        for (heartbeat, stuck, pause) in [(1, 5, 1), (3, 5, 3), (10, 10, 4), (60, 10, 4)] {
            let mut backoff = Backoff::new(reconnect_max);
            assert_eq!(backoff.patience(handshake_timeout), handshake_timeout);
            backoff.follow(Duration::from_secs(heartbeat));
            backoff.limit(reconnect_max);
            let longest = (0..9).map(|_| lost(&mut backoff, u64::MAX)).max();
            assert_eq!(backoff.patience(handshake_timeout), Duration::from_secs(stuck));
            assert_eq!(backoff.patience(Duration::from_secs(2)), Duration::from_secs(2));
            assert_eq!(longest, Some(u128::from(pause) * 1000));
            assert!(heartbeat < 3 || stuck + pause < 3 * heartbeat);
        }
    }

    #[test]
    fn a_hasty_heartbeat_does_not_make_a_fleet_dial_without_pause() {
        let mut backoff = Backoff::new(Duration::from_secs(4));
        backoff.follow(Duration::from_millis(100));
        assert_eq!((0..9).map(|_| lost(&mut backoff, u64::MAX)).max(), Some(1000));
    }
}
