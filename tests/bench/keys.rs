//! How long an operator waits for a list of ten thousand keys: `brine-key`, the first frame of
//! `brine-tui`, and a keystroke in its filter.

use brine_local::Paths;
use brine_protocol::control::Act;
use brine_tests::Fleet;

use crate::bench::{Bench, timed};
use crate::ledger;
use crate::numbers::median;
use crate::program::{runs_ms, start_s};
use crate::row::Limit;
use crate::terminal::Terminal;

/// What this group measures.
pub const NAMES: &[&str] = &[
    "start_10000_keys_ms",
    "key_list_10000_ms",
    "key_list_10000_json_ms",
    "key_finger_10000_ms",
    "tui_first_frame_10000_ms",
    "tui_filter_keystroke_10000_ms",
];

/// Measures with a master of its own, which no minion knows.
pub fn measure(bench: &mut Bench) {
    let keys = bench.scale.keys;
    let mut fleet = Fleet::prepare("");
    let file = Paths::new(Some(&fleet.root()), None).ledger();
    ledger::write(&file, keys, &[Act::Accept]);
    let read = Limit::of(ledger::read_s(&file) * 1e3, "the ledger read, each line hashed and parsed");
    let start = start_s(&mut fleet) * 1e3;
    bench.put("start_10000_keys_ms", start, read, keys);
    lists(bench, &fleet);
    if bench.wants_any(&["tui_first_frame_10000_ms", "tui_filter_keystroke_10000_ms"]) {
        screen(bench, &fleet);
    }
}

fn lists(bench: &mut Bench, fleet: &Fleet) {
    let names: [(&str, &[&str]); 3] = [
        ("key_list_10000_ms", &["-L"]),
        ("key_list_10000_json_ms", &["-L", "--out", "json"]),
        ("key_finger_10000_ms", &["-F"]),
    ];
    if !names.iter().any(|(name, _)| bench.wants(name)) {
        return;
    }
    let (start, _) = runs_ms(bench, || fleet.command("brine-key", &["--version"]));
    let api = fleet.api();
    let gets: Vec<f64> = (0..bench.scale.runs)
        .map(|_| timed(|| drop(api.get("/v1/keys?public_key=false").expect(200))) * 1e3)
        .collect();
    let limit = Limit::of(start + median(&gets), "`brine-key --version`, and the list by plain HTTP, unread");
    for (name, arguments) in names {
        let (value, _) = runs_ms(bench, || fleet.command("brine-key", arguments));
        bench.put(name, value, limit.clone(), bench.scale.keys);
    }
}

fn screen(bench: &mut Bench, fleet: &Fleet) {
    let keys = bench.scale.keys;
    let first = ledger::name(0).to_string();
    let frames: Vec<f64> = (0..bench.scale.runs)
        .map(|_| {
            timed(|| {
                let mut tui = accepted_tab(fleet);
                tui.until(|screen| screen.contains(&first));
            }) * 1e3
        })
        .collect();
    bench.put("tui_first_frame_10000_ms", median(&frames), None, keys);

    let last = ledger::name(keys - 1).to_string();
    let mut tui = accepted_tab(fleet);
    tui.until(|screen| screen.contains(&first));
    tui.type_text("/");
    let mut strokes = Vec::new();
    for _ in 0..bench.scale.runs {
        for at in 1..=last.len() {
            let begun = std::time::Instant::now();
            tui.type_text(&last[at - 1..at]);
            // The frame that follows a keystroke shows the filter as it now is.
            let seen = tui.until(|screen| filter_is(screen, &last[..at]));
            strokes.push((seen - begun).as_secs_f64() * 1e3);
        }
        for _ in 0..last.len() {
            tui.type_text("\u{7f}");
        }
        tui.until(|screen| filter_is(screen, ""));
    }
    bench.put("tui_filter_keystroke_10000_ms", median(&strokes), None, keys);
}

/// A screen that opens where the accepted keys are.
fn accepted_tab(fleet: &Fleet) -> Terminal {
    let mut tui = Terminal::open(fleet.command("brine-tui", &[]), 120, 40);
    tui.until(|screen| screen.contains("Accepted"));
    tui.type_text("3");
    tui
}

fn filter_is(screen: &str, filter: &str) -> bool {
    let is_end = |line: &str| line.trim_end().ends_with(&format!("/{filter}"));
    screen.lines().any(|line| is_end(line) || line.contains(&format!("/{filter} ")))
}
