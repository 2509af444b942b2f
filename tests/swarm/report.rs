//! What is told while a swarm runs, and at its end.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use brine_tests::process::rss_kib;
use brine_tests::swarm::{Options, Pool, Swarm};
use serde_json::{Value, json};

/// How often a line goes to the terminal.
const TOLD_EVERY: u64 = 5;

/// The lines and the summary.
pub struct Report {
    file: Option<File>,
    begun: Instant,
    seconds: u64,
    asked: usize,
    minions: usize,
    keys: (usize, usize),
    rss_before_kib: u64,
    before: (f64, u64, u64),
    /// Seconds until all were in for the first time.
    all_live_s: Option<f64>,
    /// Seconds until all were in again for the last time, and whether they were when last looked at.
    all_back: (Option<f64>, bool),
    fastest: (f64, f64),
    rss_all_live_kib: Option<u64>,
}

fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or(0)
}

impl Report {
    /// A report about a swarm that has just been started.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn new(
        path: Option<&Path>,
        options: &Options,
        asked: usize,
        keys: &Pool,
        rss_before_kib: u64,
    ) -> Result<Self, String> {
        let open = |path: &Path| {
            let file = File::options().create(true).append(true).open(path);
            file.map_err(|error| format!("cannot write {}: {error}", path.display()))
        };
        Ok(Self {
            file: path.map(open).transpose()?,
            begun: Instant::now(),
            seconds: 0,
            asked,
            minions: options.minions,
            keys: (keys.count(), keys.bits()),
            rss_before_kib,
            before: (0.0, 0, 0),
            all_live_s: None,
            all_back: (None, false),
            fastest: (0.0, 0.0),
            rss_all_live_kib: None,
        })
    }

    fn line(&mut self, swarm: &Swarm) -> Value {
        let mut line = swarm.stats().to_json();
        let at = self.begun.elapsed().as_secs_f64();
        let (before, handshakes, answered) = self.before;
        let rate = |now: u64, then: u64| (now - then) as f64 / (at - before).max(0.001);
        let rates =
            (rate(number(&line, "handshakes"), handshakes), rate(number(&line, "answered"), answered));
        if at - before > 0.5 {
            self.fastest = (self.fastest.0.max(rates.0), self.fastest.1.max(rates.1));
        }
        self.before = (at, number(&line, "handshakes"), number(&line, "answered"));
        let are_all_in = swarm.stats().live() == self.minions;
        if are_all_in && !self.all_back.1 {
            self.all_back.0 = self.all_live_s.map(|_| at);
        }
        self.all_back.1 = are_all_in;
        if self.all_live_s.is_none() && are_all_in {
            self.all_live_s = Some(at);
            self.rss_all_live_kib = Some(rss_kib(std::process::id().cast_signed()));
        }
        line["at_s"] = json!((at * 1000.0).round() / 1000.0);
        line["minions"] = json!(self.minions);
        line["handshakes_per_s"] = json!(rates.0.round());
        line["answers_per_s"] = json!(rates.1.round());
        line["broadcasts_checked"] = json!(swarm.broadcasts_checked());
        line
    }

    fn write(&mut self, line: &Value) -> Result<(), String> {
        match &mut self.file {
            Some(file) => {
                writeln!(file, "{line}").map_err(|error| format!("cannot write the report: {error}"))
            }
            None => Ok(()),
        }
    }

    /// Tells what has become of the last second.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn second(&mut self, swarm: &Swarm) -> Result<(), String> {
        let line = self.line(swarm);
        if self.seconds.is_multiple_of(TOLD_EVERY) {
            eprintln!(
                "{:>6.0} s  {}/{} in, {} connected, {} handshakes/s, {} answers/s, {} MiB",
                self.begun.elapsed().as_secs_f64(),
                line["live"],
                self.minions,
                line["connected"],
                line["handshakes_per_s"],
                line["answers_per_s"],
                number(&line, "rss_kib") / 1024,
            );
        }
        self.seconds += 1;
        self.write(&line)
    }

    /// Tells what it all came to.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn end(&mut self, swarm: &Swarm) -> Result<(), String> {
        let mut line = self.line(swarm);
        let rss = self.rss_all_live_kib.unwrap_or_else(|| number(&line, "rss_kib"));
        let live = if self.rss_all_live_kib.is_some() { self.minions } else { swarm.stats().live() };
        let each = rss.saturating_sub(self.rss_before_kib) as f64 / live.max(1) as f64;
        line["end"] = json!(true);
        line["asked"] = json!(self.asked);
        line["key_pairs"] = json!(self.keys.0);
        line["key_bits"] = json!(self.keys.1);
        line["all_live_s"] = json!(self.all_live_s);
        line["all_back_s"] = json!(self.all_back.0);
        line["fastest_handshakes_per_s"] = json!(self.fastest.0.round());
        line["fastest_answers_per_s"] = json!(self.fastest.1.round());
        line["kib_per_minion"] = json!((each * 10.0).round() / 10.0);
        let signing = line["signing_cpu_s"].as_f64().unwrap_or(0.0);
        let cpu = line["cpu_s"].as_f64().unwrap_or(0.0);
        let rows = [
            (
                "minions",
                format!(
                    "{} of {} asked for; at the end {} in, {} connected and not in",
                    self.minions,
                    self.asked,
                    line["live"],
                    number(&line, "connected").saturating_sub(number(&line, "live"))
                ),
            ),
            ("key pairs", format!("{} of {} bits, shared", self.keys.0, self.keys.1)),
            ("all in after", self.all_live_s.map_or("never".to_owned(), |s| format!("{s:.1} s"))),
            ("all back after", self.all_back.0.map_or("never away".to_owned(), |s| format!("{s:.1} s"))),
            ("handshakes", format!("{}, at most {:.0} in a second", line["handshakes"], self.fastest.0)),
            ("opening", format!("{} ms median, {} ms p99", line["opening_p50_ms"], line["opening_p99_ms"])),
            ("answers", format!("{}, at most {:.0} in a second", line["answered"], self.fastest.1)),
            ("stored", format!("{}", line["stored"])),
            ("repeated", format!("{} orders, {} declined", line["repeated"], line["refused"])),
            ("CPU", format!("{:.1} s, and {signing:.1} s for signing", cpu - signing)),
            (
                "memory",
                format!("{:.0} MiB, {each:.1} KiB a minion", number(&line, "rss_kib") as f64 / 1024.0),
            ),
            ("sessions lost", format!("{}", line["ends"])),
        ];
        for (name, value) in rows {
            println!("{name:<15} {value}");
        }
        self.write(&line)
    }
}
