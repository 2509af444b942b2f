//! What the master told everybody about its minions, and when.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use brine_tests::Fleet;

/// Longest wait for an event before the reader looks whether it is still wanted.
const LOOK: f64 = 1.0;

/// One event about a minion.
struct Entry {
    at: Instant,
    id: String,
    what: String,
}

/// The events of a master's minions, read by a thread that ends with this.
pub struct Timeline {
    entries: Arc<Mutex<Vec<Entry>>>,
    is_over: Arc<AtomicBool>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Timeline {
    pub fn of(fleet: &Fleet) -> Self {
        let (entries, is_over): (Arc<Mutex<Vec<Entry>>>, Arc<AtomicBool>) = Default::default();
        let mut events = fleet.api().events("GET", "/v1/events?tag=brine/minion/*", None);
        let reader = std::thread::spawn({
            let (entries, is_over) = (Arc::clone(&entries), Arc::clone(&is_over));
            move || {
                while !is_over.load(Ordering::SeqCst) {
                    let Some(event) = events.next_within(LOOK) else { continue };
                    let mut words = event.name.split('/').skip(2).map(str::to_owned);
                    if let (Some(id), Some(what)) = (words.next(), words.next()) {
                        let entry = Entry { at: Instant::now(), id, what };
                        entries.lock().expect("no holder panics").push(entry);
                    }
                }
            }
        });
        Self { entries, is_over, reader: Some(reader) }
    }

    /// When one of these was first told about a minion after a moment.
    pub fn first(&self, id: &str, of: &[&str], after: Instant) -> Option<Instant> {
        let entries = self.entries.lock().expect("no holder panics");
        let is_it = |entry: &&Entry| entry.at > after && entry.id == id && of.contains(&entry.what.as_str());
        entries.iter().find(is_it).map(|entry| entry.at)
    }

    /// How many sessions a minion has begun.
    pub fn starts(&self, id: &str) -> usize {
        let entries = self.entries.lock().expect("no holder panics");
        entries.iter().filter(|entry| entry.id == id && entry.what == "start").count()
    }
}

impl Drop for Timeline {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}
