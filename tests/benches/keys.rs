//! How long an operator waits for a list of 10,000 keys: `brine-key -L`, the first frame of
//! `brine-tui`, and a keystroke in its filter. Prints medians; judges nothing, because machines
//! differ. `make bench` runs it on the released programs.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]

#[path = "keys/terminal.rs"]
mod terminal;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use brine_pki::key::PublicKey;
use brine_pki::ledger::{Deed, Entry, Hash};
use brine_protocol::control::Act;
use brine_protocol::time::Timestamp;
use brine_protocol::{Fingerprint, MinionId};
use brine_tests::Fleet;
use brine_tests::fixtures::key_file;
use sha2::{Digest, Sha256};
use terminal::Terminal;

const KEYS: usize = 10_000;
const RUNS: usize = 15;

fn main() {
    // cargo calls every bench with `--bench`, and tests of everything with `--test`: not this one.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let mut fleet = Fleet::prepare("");
    write_ledger(&fleet.root().join("var/lib/brine/master"));
    let begun = Instant::now();
    fleet.start_master();
    say("master_start_10000_keys_ms", &[begun.elapsed()]);

    let list = |arguments: &[&str]| {
        let mut command = fleet.command("brine-key", arguments);
        command.stdout(Stdio::null());
        timed(command)
    };
    say("key_list_10000_ms", &repeat(|| list(&["-L"])));
    say("key_list_10000_json_ms", &repeat(|| list(&["-L", "--out", "json"])));
    say("key_finger_10000_ms", &repeat(|| list(&["-F"])));

    let last = name(KEYS - 1);
    say(
        "tui_first_frame_10000_ms",
        &repeat(|| {
            let begun = Instant::now();
            let mut tui = accepted_tab(&fleet);
            tui.until(|screen| screen.contains(name(0).as_str())) - begun
        }),
    );
    let mut tui = accepted_tab(&fleet);
    tui.until(|screen| screen.contains(name(0).as_str()));
    tui.type_text("/");
    let mut keystrokes = Vec::new();
    for _ in 0..RUNS {
        for (at, letter) in last.char_indices() {
            let shown = format!("{}{letter}", &last[..at]);
            let begun = Instant::now();
            tui.type_text(&letter.to_string());
            // The frame that follows a keystroke shows the filter as it now is.
            let seen = tui.until(|screen| filter_is(screen, &shown));
            keystrokes.push(seen - begun);
        }
        for _ in 0..last.len() {
            tui.type_text("\u{7f}");
        }
        tui.until(|screen| filter_is(screen, ""));
    }
    say("tui_filter_keystroke_10000_ms", &keystrokes);
}

/// The name of key number `at`; all are of one length and in order.
fn name(at: usize) -> String {
    format!("web{at:05}")
}

/// A screen that opens where the accepted keys are.
fn accepted_tab(fleet: &Fleet) -> Terminal {
    let mut tui = Terminal::open(fleet.command("brine-tui", &[]), 120, 40);
    tui.until(|screen| screen.contains("Accepted"));
    tui.type_text("3");
    tui
}

fn filter_is(screen: &str, filter: &str) -> bool {
    screen
        .lines()
        .any(|line| line.trim_end().ends_with(&format!("/{filter}")) || line.contains(&format!("/{filter} ")))
}

/// A ledger in which 10,000 keys were accepted, written as the ledger writes it.
fn write_ledger(folder: &Path) {
    let pem = fs::read_to_string(key_file("m1.pub")).unwrap();
    let template = PublicKey::from_pem(&pem).unwrap().der().to_vec();
    let mut text = String::new();
    let mut prev = Hash::default();
    for at in 0..KEYS {
        // Another number in the middle of the modulus makes another key of the same form.
        let mut key = template.clone();
        let middle = key.len() / 2;
        key[middle..middle + 8].copy_from_slice(&(at as u64).to_be_bytes());
        let id: MinionId = name(at).parse().unwrap();
        let fingerprint = Fingerprint(Sha256::digest(&key).into());
        let entry = Entry {
            seq: at as u64 + 1,
            at: Timestamp(1_700_000_000_000_000 + at as i64),
            by: "unix:0 (root)".to_owned(),
            reason: None,
            deed: Deed::Key { act: Act::Accept, id, fingerprint, key: Some(key) },
            prev,
        };
        let line = entry.to_line();
        prev = Hash::of(line.as_bytes());
        text.push_str(&line);
        text.push('\n');
    }
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("ledger.jsonl"), text).unwrap();
}

fn timed(mut command: Command) -> Duration {
    let begun = Instant::now();
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
    begun.elapsed()
}

fn repeat(mut once: impl FnMut() -> Duration) -> Vec<Duration> {
    (0..RUNS).map(|_| once()).collect()
}

fn say(what: &str, times: &[Duration]) {
    let mut millis: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
    millis.sort_by(f64::total_cmp);
    let at = |share: f64| millis[((millis.len() - 1) as f64 * share).round() as usize];
    println!("{what:<32} median {:>8.1}  p90 {:>8.1}  n {}", at(0.5), at(0.9), millis.len());
}
