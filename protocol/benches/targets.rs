//! How long a master thinks about whom a target means: ten terms of all kinds, none of which
//! spares the others, asked of 10,000 minions. Prints medians; judges nothing, because machines
//! differ. `make bench` runs it.

use std::hint::black_box;
use std::time::{Duration, Instant};

use brine_protocol::MinionId;
use brine_protocol::target::{Expression, Known, Nodegroups, Target, TargetKind};
use serde_json::{Map, Value, json};

const MINIONS: usize = 10_000;
const RUNS: usize = 31;

/// Each term is false for nearly all minions, so that all ten are asked.
const TEN_TERMS: &str = r"db*.example.org or G@os:FreeBSD or P@osfinger:^(Rocky|Alma).*-9$ or S@10.99.0.0/16
    or L@web00017.example.org,web04711.example.org,gone.example.org or E@web\d+9999\.example\.(org|net)
    or G@roles:primary or G@locale_info:timezone:CET or ( web*.example.net and G@virtual:kvm ) or not G@kernel:Linux";

fn main() {
    // cargo calls every bench with `--bench`, and tests of everything with `--test`: not this one.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let fleet: Vec<(MinionId, Map<String, Value>)> = (0..MINIONS).map(minion).collect();
    let groups = Nodegroups::new();
    let read = |text: &str| {
        let target = Target::new(TargetKind::Compound, text);
        Expression::parse(&target, &groups).unwrap_or_else(|error| panic!("{text}: {error}"))
    };
    let ask = |expression: &Expression| {
        let means = |(id, grains): &&(MinionId, Map<String, Value>)| {
            expression.matches(&Known { id, grains: Some(grains), pillar: None, record: None })
        };
        fleet.iter().filter(means).count()
    };

    let ten = read(TEN_TERMS);
    assert_eq!(ask(&ten), 5, "who is meant");
    say("target_10_terms_10000_ms", &repeat(|| ask(&ten)));
    for (name, text) in [
        ("target_glob_10000_ms", "*99.example.org"),
        ("target_grain_10000_ms", "G@os:FreeBSD"),
        ("target_pcre_10000_ms", r"E@web\d+9999\.example\.org"),
        ("target_ipcidr_10000_ms", "S@10.99.0.0/16"),
        ("target_ipcidr_v6_10000_ms", "S@2001:db8:99::/48"),
        ("target_grain_any_key_10000_ms", "G@ip4_interfaces:*:10.0.0.77"),
    ] {
        let one = read(text);
        say(name, &repeat(|| ask(&one)));
    }
    say("target_10_terms_read_ms", &repeat(|| read(TEN_TERMS).sent_max()));
}

fn minion(at: usize) -> (MinionId, Map<String, Value>) {
    let (high, low) = (at / 250, at % 250);
    let address = format!("10.{}.{high}.{low}", if at == 5000 { 99 } else { 1 });
    let grains = json!({
        "id": format!("web{at:05}.example.org"),
        "os": "Debian", "os_family": "Debian", "osfinger": "Debian-12", "osrelease": "12", "osmajorrelease": 12,
        "oscodename": "bookworm", "osarch": "amd64", "cpuarch": "x86_64", "kernel": "Linux",
        "kernelrelease": "6.1.0-28-amd64", "init": "systemd", "virtual": "kvm", "num_cpus": 8,
        "mem_total": 15_930, "swap_total": 2047, "shell": "/bin/sh", "path": "/usr/bin:/bin",
        "locale_info": {"defaultencoding": "UTF-8", "defaultlanguage": "en_GB", "timezone": "UTC"},
        "roles": ["web", "cache", if at == 7000 { "primary" } else { "replica" }],
        "ipv4": ["127.0.0.1", &address, "172.17.0.1"],
        "ipv6": ["::1", format!("2001:db8:1::{at:x}"), "fe80::5054:ff:fe12:3456"],
        "ip4_interfaces": {"lo": ["127.0.0.1"], "eth0": [&address], "docker0": ["172.17.0.1"]},
        "hwaddr_interfaces": {"lo": "00:00:00:00:00:00", "eth0": "52:54:00:12:34:56"},
        "saltversioninfo": [3008, 5], "dns": {"nameservers": ["10.0.0.53"], "search": ["example.org"]},
    });
    let Value::Object(grains) = grains else { unreachable!("written as a mapping") };
    (format!("web{at:05}.example.org").parse().expect("an id"), grains)
}

fn repeat<T>(once: impl Fn() -> T) -> Vec<Duration> {
    let timed = || {
        let begun = Instant::now();
        black_box(once());
        begun.elapsed()
    };
    (0..RUNS).map(|_| timed()).collect()
}

fn say(what: &str, times: &[Duration]) {
    let mut millis: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
    millis.sort_by(f64::total_cmp);
    let at = |share: f64| millis[((millis.len() - 1) as f64 * share).round() as usize];
    println!("{what:<32} median {:>8.2}  p90 {:>8.2}  n {}", at(0.5), at(0.9), millis.len());
}
