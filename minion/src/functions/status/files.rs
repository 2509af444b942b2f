//! Files of `/proc` in Salt's shapes.
//!
//! Line by line, since the shapes carry whatever names the kernel has: a parser with fields for
//! those it knows would lose the rest.

use serde_json::{Map, Value, json};

use super::super::Fault;

/// A file that has a function of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum File {
    Loadavg,
    Meminfo,
    Cpuinfo,
    Cpustats,
    Vmstats,
    Netstats,
    Netdev,
    Diskstats,
    Version,
}

impl File {
    fn path(self) -> &'static str {
        match self {
            File::Loadavg => "/proc/loadavg",
            File::Meminfo => "/proc/meminfo",
            File::Cpuinfo => "/proc/cpuinfo",
            File::Cpustats => "/proc/stat",
            File::Vmstats => "/proc/vmstat",
            File::Netstats => "/proc/net/netstat",
            File::Netdev => "/proc/net/dev",
            File::Diskstats => "/proc/diskstats",
            File::Version => "/proc/version",
        }
    }

    pub(super) fn read(self) -> Result<Value, Fault> {
        let path = self.path();
        let bytes = std::fs::read(path)
            .map_err(|error| Fault::Execution(format!("{path} cannot be read: {error}")))?;
        Ok(self.shape(&String::from_utf8_lossy(&bytes)))
    }

    fn shape(self, text: &str) -> Value {
        match self {
            File::Loadavg => loadavg(text),
            File::Meminfo => meminfo(text),
            File::Cpuinfo => cpuinfo(text),
            File::Cpustats => cpustats(text),
            File::Vmstats => pairs(text),
            File::Netstats => netstats(text),
            File::Netdev => netdev(text),
            File::Diskstats => diskstats(text),
            File::Version => json!(text.trim_end()),
        }
    }
}

/// A number where it is one, as Salt does it.
fn number(word: &str) -> Value {
    let whole = word.parse::<i64>().map(Value::from).or_else(|_| word.parse::<u64>().map(Value::from));
    whole.unwrap_or_else(|_| json!(word))
}

fn numbers<'a>(words: impl Iterator<Item = &'a str>) -> Vec<Value> {
    words.map(number).collect()
}

fn loadavg(text: &str) -> Value {
    let names = ["1-min", "5-min", "15-min"];
    let loads = text.split_whitespace().map_while(|word| word.parse::<f64>().ok());
    Value::Object(names.into_iter().zip(loads).map(|(name, load)| (name.to_owned(), json!(load))).collect())
}

fn meminfo(text: &str) -> Value {
    let entry = |line: &str| {
        let (name, rest) = line.split_once(':')?;
        let mut words = rest.split_whitespace();
        let mut entry = Map::from_iter([("value".to_owned(), json!(words.next()?))]);
        entry.extend(words.next().map(|unit| ("unit".to_owned(), json!(unit))));
        Some((name.to_owned(), Value::Object(entry)))
    };
    Value::Object(text.lines().filter_map(entry).collect())
}

fn cpuinfo(text: &str) -> Value {
    let entry = |line: &str| {
        let (name, value) = line.split_once(':')?;
        let (name, value) = (name.trim(), value.trim());
        let value =
            if name == "flags" { json!(value.split_whitespace().collect::<Vec<_>>()) } else { json!(value) };
        Some((name.to_owned(), value))
    };
    Value::Object(text.lines().filter_map(entry).collect())
}

fn cpustats(text: &str) -> Value {
    const CPU: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
    let entry = |line: &str| {
        let mut words = line.split_whitespace();
        let name = words.next()?;
        let value = match name {
            "cpu" => named(&CPU, words),
            "intr" => json!({"total": number(words.next()?), "irqs": numbers(words)}),
            "softirq" => json!({"total": number(words.next()?), "softirqs": numbers(words)}),
            _ => number(words.next()?),
        };
        Some((name.to_owned(), value))
    };
    Value::Object(text.lines().filter_map(entry).collect())
}

fn named<'a>(names: &[&str], words: impl Iterator<Item = &'a str>) -> Value {
    Value::Object(names.iter().zip(words).map(|(name, word)| ((*name).to_owned(), number(word))).collect())
}

fn pairs(text: &str) -> Value {
    let pair = |line: &str| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), number(words.next()?)))
    };
    Value::Object(text.lines().filter_map(pair).collect())
}

/// Two lines for each protocol: names, then values.
fn netstats(text: &str) -> Value {
    let lines: Vec<&str> = text.lines().collect();
    let protocol = |pair: &[&str]| {
        let [names, values] = pair else { return None };
        let (protocol, names) = names.split_once(':')?;
        let (_, values) = values.split_once(':')?;
        let names: Vec<&str> = names.split_whitespace().collect();
        Some((protocol.to_owned(), named(&names, values.split_whitespace())))
    };
    Value::Object(lines.chunks(2).filter_map(protocol).collect())
}

fn netdev(text: &str) -> Value {
    const COLUMNS: [&str; 16] = [
        "rx_bytes",
        "rx_packets",
        "rx_errs",
        "rx_drop",
        "rx_fifo",
        "rx_frame",
        "rx_compressed",
        "rx_multicast",
        "tx_bytes",
        "tx_packets",
        "tx_errs",
        "tx_drop",
        "tx_fifo",
        "tx_colls",
        "tx_carrier",
        "tx_compressed",
    ];
    let entry = |line: &str| {
        let (name, counters) = line.rsplit_once(':')?;
        let mut entry = Map::from_iter([("iface".to_owned(), json!(name.trim()))]);
        if let Value::Object(counters) = named(&COLUMNS, counters.split_whitespace()) {
            entry.extend(counters);
        }
        Some((name.trim().to_owned(), Value::Object(entry)))
    };
    Value::Object(text.lines().filter_map(entry).collect())
}

fn diskstats(text: &str) -> Value {
    const COLUMNS: [&str; 14] = [
        "major",
        "minor",
        "device",
        "reads_issued",
        "reads_merged",
        "sectors_read",
        "ms_spent_reading",
        "writes_completed",
        "writes_merged",
        "sectors_written",
        "ms_spent_writing",
        "io_in_progress",
        "ms_spent_in_io",
        "weighted_ms_spent_in_io",
    ];
    let entry = |line: &str| {
        let device = line.split_whitespace().nth(2)?;
        let mut entry = named(&COLUMNS, line.split_whitespace());
        // Also where the device has digits for a name.
        entry["device"] = json!(device);
        Some((device.to_owned(), entry))
    };
    Value::Object(text.lines().filter_map(entry).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(file: File, text: &str, expected: &Value) {
        assert_eq!(&file.shape(text), expected, "{file:?}");
    }

    #[test]
    fn salts_shapes() {
        check(
            File::Loadavg,
            "0.32 1.07 0.77 1/1001 31417\n",
            &json!({"1-min": 0.32, "5-min": 1.07, "15-min": 0.77}),
        );
        check(
            File::Meminfo,
            "MemTotal:  16303436 kB\nHugePages_Total:       0\n",
            &json!({"MemTotal": {"value": "16303436", "unit": "kB"}, "HugePages_Total": {"value": "0"}}),
        );
        check(
            File::Cpuinfo,
            "processor\t: 0\nflags\t\t: fpu sse2\n\nprocessor\t: 1\npower management: a:b\nflags\t\t: fpu\n",
            &json!({"processor": "1", "flags": ["fpu"], "power management": "a:b"}),
        );
        check(
            File::Cpustats,
            "cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 2 3\nintr 9 1 0\nctxt 77\nsoftirq 5 4 1\n",
            &json!({
                "cpu": {"user": 1, "nice": 2, "system": 3, "idle": 4, "iowait": 5, "irq": 6, "softirq": 7, "steal": 8},
                "cpu0": 1, "intr": {"total": 9, "irqs": [1, 0]}, "ctxt": 77, "softirq": {"total": 5, "softirqs": [4, 1]},
            }),
        );
        check(File::Vmstats, "nr_free_pages 12\npswpin 0\n", &json!({"nr_free_pages": 12, "pswpin": 0}));
        check(
            File::Netstats,
            "TcpExt: SyncookiesSent X\nTcpExt: 3 -1\nIpExt: InOctets\nIpExt: 18446744073709551615\n",
            &json!({"TcpExt": {"SyncookiesSent": 3, "X": -1}, "IpExt": {"InOctets": u64::MAX}}),
        );
        let netdev = File::Netdev.shape(
            "Inter-|   Receive  |  Transmit\n face |bytes packets |bytes\n  eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n",
        );
        let eth0 = &netdev["eth0"];
        assert_eq!(netdev.as_object().unwrap().len(), 1);
        assert_eq!(
            (&eth0["iface"], &eth0["rx_multicast"], &eth0["tx_bytes"]),
            (&json!("eth0"), &json!(8), &json!(9))
        );
        let disks =
            File::Diskstats.shape("   8       0 sda 1 2 3 4 5 6 7 8 9 10 11 12 13\n 9 1 7 1 2\nshort\n");
        let (sda, seven) = (&disks["sda"], &disks["7"]);
        assert_eq!((&sda["reads_issued"], &sda["weighted_ms_spent_in_io"]), (&json!(1), &json!(11)));
        assert_eq!((&seven["device"], disks.as_object().unwrap().len()), (&json!("7"), 2));
        check(File::Version, "Linux version 6.1 (a)\n", &json!("Linux version 6.1 (a)"));
    }

    #[test]
    fn nothing_is_no_reason_to_fail() {
        for file in
            [File::Loadavg, File::Meminfo, File::Cpuinfo, File::Cpustats, File::Netstats, File::Diskstats]
        {
            check(file, "", &json!({}));
            check(file, "\n\n:\n", &file.shape("\n\n:\n"));
        }
    }
}
