//! One run: what is wanted, how much of it, and what came out so far.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use brine_tests::swarm::Pool;

use crate::args::Args;
use crate::catalog;
use crate::limits::Limits;
use crate::numbers::{median, percentile};
use crate::row::{Limit, Row, shown};
use crate::scale::Scale;

/// How often a condition is looked at.
const STEP: Duration = Duration::from_micros(500);

/// A run of the bench.
pub struct Bench {
    /// How much of everything.
    pub scale: Scale,
    /// What this machine can do.
    pub limits: Limits,
    /// Rows so far.
    pub rows: Vec<Row>,
    /// Costs by number of minions, for the names of the rows about growth.
    pub costs: BTreeMap<&'static str, Vec<(f64, f64)>>,
    only: Vec<String>,
    key_dir: PathBuf,
    keys: OnceCell<Pool>,
}

impl Bench {
    /// A run in which nothing has been measured.
    #[must_use]
    pub fn new(args: &Args) -> Self {
        let scale = if args.quick { Scale::quick() } else { Scale::full() };
        Self {
            limits: Limits::new(scale.limit_s),
            scale,
            rows: Vec::new(),
            costs: BTreeMap::new(),
            only: args.only.clone(),
            key_dir: args.key_dir.clone(),
            keys: OnceCell::new(),
        }
    }

    /// What all rows have in common: one sentence.
    #[must_use]
    pub fn stage(&self) -> String {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let asked = self.scale.crowds[self.scale.crowds.len() - 1];
        let fit = self.scale.minions(self.scale.crowds.len() - 1);
        let descriptors = if fit < asked {
            format!("the descriptor limit carries {fit} of {asked} simulated minions (`ulimit -Hn`)")
        } else {
            format!("at most {asked} simulated minions")
        };
        let keys = match self.scale.key_pool {
            (bits, 0) => format!("the test keys of {bits} bits"),
            (bits, count) => format!("{count} key pairs of {bits} bits"),
        };
        format!("{cores} cores; {descriptors}, which share {keys}")
    }

    /// Whether this is to be in the table.
    #[must_use]
    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|wanted| wanted == name)
    }

    /// Whether one of these is.
    #[must_use]
    pub fn wants_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.wants(name))
    }

    /// Takes a measured value into the table, if it is wanted.
    ///
    /// # Panics
    /// The catalog does not know the name, or the value is no number.
    pub fn put(&mut self, name: &str, value: f64, limit: Option<Limit>, n: usize) {
        self.put_row(name, value, None, limit, n);
    }

    /// Takes the median of several runs into the table, with their spread.
    ///
    /// # Panics
    /// The catalog does not know the name, or there are no values.
    pub fn put_runs(&mut self, name: &str, values: &[f64], limit: Option<Limit>, n: usize) {
        let spread = (percentile(values, 0.0), percentile(values, 1.0));
        self.put_row(name, median(values), Some(spread).filter(|_| values.len() > 1), limit, n);
    }

    fn put_row(
        &mut self,
        name: &str,
        value: f64,
        spread: Option<(f64, f64)>,
        limit: Option<Limit>,
        n: usize,
    ) {
        let measure = catalog::find(name).expect("what is measured is in the catalog");
        assert!(value.is_finite(), "{name} is {value}");
        if !self.wants(name) {
            return;
        }
        let row = Row { measure, value, limit, spread, n: n as u64 };
        eprintln!("{name:<32} {:>10} {:<9} {}", shown(value), measure.unit, row.shown_spread());
        self.rows.push(row);
    }

    /// What was asked for by name and is not in the table.
    #[must_use]
    pub fn missing(&self) -> Vec<&str> {
        self.not_there(self.only.iter().map(String::as_str))
    }

    /// Which of these are not in the table.
    pub fn not_there<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
        names.filter(|name| !self.rows.iter().any(|row| row.measure.name == *name)).collect()
    }

    /// Brings the rows into the order of the catalog.
    pub fn sort(&mut self) {
        let place = |row: &Row| catalog::MEASURES.iter().position(|measure| *measure == *row.measure);
        self.rows.sort_by_key(place);
    }

    /// The key pairs of simulated minions; made when they are first needed, and kept for the next run.
    ///
    /// # Panics
    /// The folder of keys cannot be used.
    #[must_use]
    pub fn keys(&self) -> &Pool {
        self.keys.get_or_init(|| match self.scale.key_pool {
            (_, 0) => Pool::fixed(),
            (bits, count) => Pool::in_folder(&self.key_dir, count, bits).expect("a folder for keys"),
        })
    }
}

/// How long this takes, in seconds.
pub fn timed(what: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    what();
    begun.elapsed().as_secs_f64()
}

/// Waits until a condition holds, looking more often than the suites do: it is timed.
///
/// # Panics
/// It does not hold within `seconds`; the message names `what`.
pub fn until(seconds: f64, what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs_f64(seconds);
    while !condition() {
        assert!(Instant::now() < deadline, "waited {seconds} s in vain: {what}");
        std::thread::sleep(STEP);
    }
}
