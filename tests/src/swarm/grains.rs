//! The grains of a simulated minion: as many and as long as those of a plain server.

use std::sync::LazyLock;

use brine_protocol::MinionId;
use serde_json::{Map, Value, json};

/// What is the same on all of them.
const PLAIN: &str = r##"{
"simulated": true, "domain": "swarm.example", "os": "Debian", "os_family": "Debian", "osarch": "amd64",
"oscodename": "trixie", "osfinger": "Debian-13", "osfullname": "Debian GNU/Linux", "osmajorrelease": 13,
"osrelease": "13.1", "osrelease_info": [13, 1], "lsb_distrib_id": "Debian", "kernel": "Linux",
"kernelrelease": "6.12.48+deb13-amd64", "kernelversion": "#1 SMP PREEMPT_DYNAMIC Debian 6.12.48-1 (2025-09-20)",
"cpuarch": "x86_64", "cpu_model": "AMD EPYC 7443P 24-Core Processor", "num_cpus": 4, "mem_total": 7953,
"cpu_flags": ["fpu", "vme", "de", "pse", "tsc", "msr", "pae", "mce", "cx8", "apic", "sep", "mtrr", "pge", "mca",
"cmov", "pat", "clflush", "mmx", "fxsr", "sse", "sse2", "ht", "syscall", "nx", "rdtscp", "lm", "rep_good", "nopl",
"cpuid", "pni", "pclmulqdq", "ssse3", "fma", "cx16", "sse4_1", "sse4_2", "popcnt", "aes", "xsave", "avx", "f16c"],
"swap_total": 1023, "virtual": "kvm", "manufacturer": "QEMU", "productname": "Standard PC (Q35 + ICH9, 2009)",
"biosversion": "1.16.3-debian-1.16.3-2", "init": "systemd", "shell": "/bin/sh",
"path": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "ipv6": ["::1"],
"locale_info": {"defaultlanguage": "en_US", "defaultencoding": "UTF-8", "timezone": "UTC"},
"disks": ["vda", "vdb"], "ssds": []
}"##;

static SAME: LazyLock<Map<String, Value>> =
    LazyLock::new(|| serde_json::from_str(PLAIN).expect("the text above is an object"));

const ROLES: [&str; 4] = ["web", "cache", "db", "build"];

/// The grains of minion `number`.
#[must_use]
pub fn of(id: &MinionId, number: usize) -> Map<String, Value> {
    let [_, high, middle, low] = u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes();
    let address = format!("10.{high}.{middle}.{low}");
    let hardware = format!("52:54:00:{high:02x}:{middle:02x}:{low:02x}");
    let mut grains = SAME.clone();
    for (name, value) in [
        ("id", json!(id)),
        ("host", json!(id)),
        ("nodename", json!(id)),
        ("fqdn", json!(format!("{id}.swarm.example"))),
        ("number", json!(number)),
        ("roles", json!([ROLES[number % ROLES.len()]])),
        ("serialnumber", json!(format!("{number:012}"))),
        ("uuid", json!(format!("6f1d3c1e-6a53-4b35-9a2e-{number:012}"))),
        ("ipv4", json!(["127.0.0.1", address])),
        ("ip_interfaces", json!({"lo": ["127.0.0.1", "::1"], "ens18": [address]})),
        ("hwaddr_interfaces", json!({"lo": "00:00:00:00:00:00", "ens18": hardware})),
        ("version", json!(env!("CARGO_PKG_VERSION"))),
    ] {
        grains.insert(name.to_owned(), value);
    }
    grains
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_own_and_as_much_as_a_server() {
        let (a, b) = (of(&"a".parse().unwrap(), 0), of(&"b".parse().unwrap(), 70_001));
        assert_eq!(
            (&b["id"], &b["ipv4"][1], &b["roles"][0]),
            (&json!("b"), &json!("10.1.17.113"), &json!("cache"))
        );
        assert_ne!(a["uuid"], b["uuid"]);
        let size = Value::Object(a).to_string().len();
        assert!((1500..4000).contains(&size), "{size}");
    }
}
