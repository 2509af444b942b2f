//! The bench runs, in little: what it measures is there by name and unit, and is a number. How large
//! the numbers are is nobody's business here.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use brine_tests::binaries::program;
use brine_tests::fixtures::short_dir;
use brine_tests::{Done, Process};
use serde_json::Value;

/// What everybody may rely on, with its unit.
const PROMISED: [(&str, &str); 18] = [
    ("cli_one_ms", "ms"),
    ("cli_ten_ms", "ms"),
    ("api_rtt_p50_ms", "ms"),
    ("api_rtt_p99_ms", "ms"),
    ("jobs_per_s_100", "1/s"),
    ("returns_per_s", "1/s"),
    ("broadcast_100_s", "s"),
    ("broadcast_1000_s", "s"),
    ("broadcast_10000_s", "s"),
    ("half_10000_s", "s"),
    ("handshakes_per_s", "1/CPU s"),
    ("storm_10000_s", "s"),
    ("master_mb_10000", "MB"),
    ("minion_rss_mb", "MB"),
    ("idle_cpu_pct_10000", "%"),
    ("start_1m_returns_s", "s"),
    ("key_list_10000_ms", "ms"),
    ("ledger_replay_30000_ms", "ms"),
];

/// The fields of a row, in alphabetical order.
const FIELDS: [&str; 7] = ["limit", "limit_name", "n", "name", "ratio", "unit", "value"];

/// Half a minute is enough when nothing else runs.
const PATIENCE: f64 = 240.0;

fn bench(arguments: &[&str]) -> Command {
    let path = program("brine-bench");
    let mut command = Command::new(&path);
    command.env_remove("RUST_LOG").env_remove("BENCH_QUICK");
    command.env("BRINE_BIN_DIR", path.parent().expect("a program lies in a folder")).args(arguments);
    command
}

/// Runs a little of these, or of everything; the rows by name, and the table.
fn rows(only: Option<&str>) -> (BTreeMap<String, Value>, String) {
    let folder = short_dir();
    let out = folder.path().join("bench.json");
    let keys = folder.path().join("keys");
    let mut command =
        bench(&["--quick", "--out", out.to_str().unwrap(), "--key-dir", keys.to_str().unwrap()]);
    if let Some(only) = only {
        command.args(["--only", only]);
    }
    let mut process = Process::start(command, &folder.path().join("bench.log"));
    let status = process.wait(PATIENCE);
    assert!(status.success(), "{status}:\n{}", process.log());
    let list: Vec<Value> = serde_json::from_str(&fs::read_to_string(out).unwrap()).unwrap();
    let count = list.len();
    let rows: BTreeMap<String, Value> =
        list.into_iter().map(|row| (row["name"].as_str().unwrap().to_owned(), row)).collect();
    assert_eq!(rows.len(), count, "each name is there once");
    (rows, process.log())
}

#[test]
fn a_little_of_everything_gives_rows_that_are_numbers_beside_their_limits() {
    let (rows, table) = rows(None);
    for (name, unit) in PROMISED {
        let row = rows.get(name).unwrap_or_else(|| panic!("{name} is missing: {:?}", rows.keys()));
        assert_eq!(row["unit"], unit, "{name}");
        assert!(row["limit"].is_number() && row["limit_name"].is_string(), "{row}");
        assert!(table.contains(name), "{table}");
    }
    for (name, row) in &rows {
        let mut fields: Vec<&String> = row.as_object().unwrap().keys().collect();
        fields.sort();
        assert_eq!(fields, FIELDS, "{name}");
        let number = |field: &str| row[field].as_f64().unwrap_or_else(|| panic!("{field} of {row}"));
        // A slope through the costs of a handful of minions may be anything.
        assert!(
            number("value").is_finite() && (number("value") > 0.0 || name.starts_with("growth_")),
            "{row}"
        );
        assert!(row["n"].as_u64().unwrap() > 0 && !row["unit"].as_str().unwrap().is_empty(), "{row}");
        if row["limit"].is_null() {
            assert!(row["limit_name"].is_null() && row["ratio"].is_null(), "{row}");
        } else {
            assert!(number("limit") > 0.0 && number("limit").is_finite(), "{row}");
            assert!((number("ratio") - number("value") / number("limit")).abs() < 1e-9, "{row}");
            assert!(!row["limit_name"].as_str().unwrap().is_empty(), "{row}");
        }
    }
}

#[test]
fn some_are_measured_alone_and_unknown_names_are_refused_by_the_list() {
    let (rows, _) = rows(Some("ledger_replay_30000_ms,limit_fsync_ms"));
    assert_eq!(rows.keys().collect::<Vec<_>>(), ["ledger_replay_30000_ms", "limit_fsync_ms"]);
    Done::run(bench(&["--only", "speed"])).refused(2, &["'speed'", "ledger_replay_30000_ms"]);
    let folder = short_dir();
    let out = folder.path().join("bench.json");
    let nobody = bench(&["--quick", "--only", "salt_cli_one_ms", "--out", out.to_str().unwrap()]);
    let done = Done::run(nobody).expect(1);
    assert!(done.stderr.contains("could not be measured: salt_cli_one_ms"), "{}", done.stderr);
}
