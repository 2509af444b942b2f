//! What a swarm counts, and how it is told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::usage::process_cpu;
use crate::process::rss_kib;

/// Different reasons that are counted by name.
const REASONS_MAX: usize = 32;

/// Openings whose time is remembered, the last ones.
const OPENINGS_MAX: usize = 20_000;

/// Counters of a running swarm. What begins with "now" goes up and down.
#[derive(Debug, Default)]
pub struct Stats {
    /// Minions with a sealed session now.
    pub connected: AtomicUsize,
    /// Of these, minions that are in: they know the store's numbers and hear broadcasts.
    pub live: AtomicUsize,
    /// Handshakes done.
    pub handshakes: AtomicU64,
    /// Of these, the ones that took a ticket in place of a signature.
    pub resumed: AtomicU64,
    /// Of the handshakes, the ones in which the key was accepted.
    pub authenticated: AtomicU64,
    /// Orders taken for the first time.
    pub orders: AtomicU64,
    /// Orders that were known already.
    pub repeated: AtomicU64,
    /// Orders declined.
    pub refused: AtomicU64,
    /// Returns sent.
    pub answered: AtomicU64,
    /// Returns that the master has stored.
    pub stored: AtomicU64,
    /// Nanoseconds of CPU time spent on signing.
    pub signing_ns: AtomicU64,
    ends: Mutex<BTreeMap<String, u64>>,
    openings_ms: Mutex<VecDeque<u32>>,
}

/// Counts one up while it lives.
#[derive(Debug)]
pub(super) struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    pub(super) fn new(gauge: &'a AtomicUsize) -> Self {
        gauge.fetch_add(1, Ordering::Relaxed);
        Self(gauge)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(super) fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

impl Stats {
    /// Minions that are in now.
    #[must_use]
    pub fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// Returns sent so far.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Handshakes done so far.
    #[must_use]
    pub fn handshakes(&self) -> u64 {
        self.handshakes.load(Ordering::Relaxed)
    }

    /// Handshakes done so far with a ticket.
    #[must_use]
    pub fn resumed(&self) -> u64 {
        self.resumed.load(Ordering::Relaxed)
    }

    pub(super) fn ended(&self, why: &str) {
        let mut ends = self.ends.lock().expect("no holder panics");
        let why = if ends.contains_key(why) || ends.len() < REASONS_MAX { why } else { "something else" };
        *ends.entry(why.to_owned()).or_default() += 1;
    }

    pub(super) fn opened(&self, took: Duration) {
        let mut openings = self.openings_ms.lock().expect("no holder panics");
        if openings.len() == OPENINGS_MAX {
            openings.pop_front();
        }
        openings.push_back(u32::try_from(took.as_millis()).unwrap_or(u32::MAX));
    }

    /// How long openings took from the first byte to the verdict, in milliseconds: the median and
    /// the 99th of a hundred.
    #[must_use]
    pub fn opening_ms(&self) -> (u32, u32) {
        let mut sorted: Vec<u32> =
            self.openings_ms.lock().expect("no holder panics").iter().copied().collect();
        sorted.sort_unstable();
        let at = |share: f64| {
            let index = (sorted.len().saturating_sub(1) as f64 * share).round() as usize;
            sorted.get(index).copied().unwrap_or(0)
        };
        (at(0.5), at(0.99))
    }

    /// All of it as JSON, with what the process uses.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let number = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (opening_p50, opening_p99) = self.opening_ms();
        let pid = i32::try_from(std::process::id()).expect("process ids are small");
        json!({
            "connected": self.connected.load(Ordering::Relaxed),
            "live": self.live(),
            "handshakes": number(&self.handshakes),
            "resumed": number(&self.resumed),
            "authenticated": number(&self.authenticated),
            "orders": number(&self.orders),
            "repeated": number(&self.repeated),
            "refused": number(&self.refused),
            "answered": number(&self.answered),
            "stored": number(&self.stored),
            "opening_p50_ms": opening_p50,
            "opening_p99_ms": opening_p99,
            "signing_cpu_s": Duration::from_nanos(number(&self.signing_ns)).as_secs_f64(),
            "cpu_s": process_cpu().as_secs_f64(),
            "rss_kib": rss_kib(pid),
            "ends": *self.ends.lock().expect("no holder panics"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gauges_go_back_and_reasons_are_bounded() {
        let stats = Stats::default();
        {
            let _one = Counted::new(&stats.live);
            assert_eq!(stats.live(), 1);
        }
        assert_eq!(stats.live(), 0);
        for n in 0..100 {
            stats.ended(&format!("reason {n}"));
        }
        let ends = stats.to_json()["ends"].as_object().unwrap().clone();
        assert_eq!((ends.len(), ends["something else"].as_u64()), (REASONS_MAX + 1, Some(68)));
        for n in 1..=100 {
            stats.opened(Duration::from_millis(n));
        }
        assert_eq!(stats.opening_ms(), (51, 99));
    }
}
