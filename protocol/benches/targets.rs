//! How long a master thinks about whom a target means: ten terms of all kinds, none of which
//! spares the others, and single ones, asked of 10,000 minions.

use std::hint::black_box;

use brine_protocol::MinionId;
use brine_protocol::target::{Expression, Known, Nodegroups, Target, TargetKind};
use criterion::Criterion;
use serde_json::{Map, Value, json};

const MINIONS: usize = 10_000;

/// Each term is false for nearly all minions, so that all ten are asked.
const TEN_TERMS: &str = r"db*.example.org or G@os:FreeBSD or P@osfinger:^(Rocky|Alma).*-9$ or S@10.99.0.0/16
    or L@web00017.example.org,web04711.example.org,gone.example.org or E@web\d+9999\.example\.(org|net)
    or G@roles:primary or G@locale_info:timezone:CET or ( web*.example.net and G@virtual:kvm ) or not G@kernel:Linux";

fn main() {
    let mut criterion = Criterion::default().configure_from_args().sample_size(20);
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
    let mut group = criterion.benchmark_group("target, 10,000 minions");
    group.bench_function("ten terms", |bencher| bencher.iter(|| ask(black_box(&ten))));
    for (name, text) in [
        ("glob", "*99.example.org"),
        ("grain", "G@os:FreeBSD"),
        ("regular expression", r"E@web\d+9999\.example\.org"),
        ("IPv4 network", "S@10.99.0.0/16"),
        ("IPv6 network", "S@2001:db8:99::/48"),
        ("grain under any key", "G@ip4_interfaces:*:10.0.0.77"),
    ] {
        let one = read(text);
        group.bench_function(name, |bencher| bencher.iter(|| ask(black_box(&one))));
    }
    group.finish();
    criterion.bench_function("target, ten terms read", |bencher| bencher.iter(|| read(black_box(TEN_TERMS))));
    criterion.final_summary();
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
