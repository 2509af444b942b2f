//! One line of the table: a value beside its limit and its target.

use serde_json::{Value, json};

use crate::catalog::{Measure, Target};

/// What this machine would do if nothing but the named work were done.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    /// In the unit of the value.
    pub value: f64,
    /// What was done.
    pub name: String,
}

impl Limit {
    /// A limit that was measured in this run.
    #[must_use]
    pub fn of(value: f64, name: impl Into<String>) -> Option<Self> {
        Some(Self { value, name: name.into() })
    }
}

/// A measured value.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What.
    pub measure: &'static Measure,
    /// How much.
    pub value: f64,
    /// Beside what.
    pub limit: Option<Limit>,
    /// The least and the most of the runs that the value is the median of; nothing where there was one.
    pub spread: Option<(f64, f64)>,
    /// Of how many: minions, keys, runs or whatever the name says.
    pub n: u64,
}

impl Row {
    /// The value in parts of the limit: for a time, how many times as long; for a rate, which share.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        self.limit.as_ref().map(|limit| self.value / limit.value)
    }

    fn bound(&self) -> Option<(Target, f64)> {
        let target = self.measure.target?;
        Some((target, target.bound(self.limit.as_ref().map(|limit| limit.value), self.n)?))
    }

    /// The spread, as the table says it.
    #[must_use]
    pub fn shown_spread(&self) -> String {
        self.spread.map_or(String::new(), |(least, most)| format!("{}..{}", shown(least), shown(most)))
    }

    /// The target, as the table says it.
    #[must_use]
    pub fn target(&self) -> String {
        self.bound().map_or(String::new(), |(target, bound)| {
            format!("{} {}", if target.is_least() { ">=" } else { "<=" }, shown(bound))
        })
    }

    /// How a missed target is said: by which factor. Nothing when there is none.
    #[must_use]
    pub fn verdict(&self) -> String {
        let Some((target, bound)) = self.bound() else { return String::new() };
        let times = if target.is_least() { bound / self.value } else { self.value / bound };
        if times <= 1.0 { "yes".to_owned() } else { format!("NO, {times:.2}x") }
    }

    /// As it is written for programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "name": self.measure.name,
            "value": self.value,
            "unit": self.measure.unit,
            "limit": self.limit.as_ref().map(|limit| limit.value),
            "limit_name": self.limit.as_ref().map(|limit| &limit.name),
            "ratio": self.ratio(),
            "n": self.n,
        })
    }
}

/// A number with as many digits as mean something.
#[must_use]
pub fn shown(value: f64) -> String {
    let digits = match value.abs() {
        1000.0.. => 0,
        100.0.. => 1,
        1.0.. => 2,
        0.0 => 0,
        0.01.. => 4,
        _ => 6,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::find;

    fn row(name: &str, value: f64, limit: Option<f64>, n: u64) -> Row {
        let limit = limit.map(|value| Limit { value, name: "the least".to_owned() });
        Row { measure: find(name).unwrap(), value, limit, spread: None, n }
    }

    #[test]
    fn targets_of_every_kind_are_judged() {
        for (name, value, limit, n, target, verdict) in [
            ("cli_one_ms", 9.0, None, 1, "<= 10.00", "yes"),
            ("cli_one_ms", 11.0, None, 1, "<= 10.00", "NO, 1.10x"),
            ("returns_per_s", 19_000.0, Some(40_000.0), 1, ">= 20000", "NO, 1.05x"),
            ("handshakes_per_s", 2600.0, Some(3000.0), 1, ">= 2550", "yes"),
            ("handshakes_per_s", 2600.0, Some(4000.0), 1, ">= 3400", "NO, 1.31x"),
            ("handshakes_per_s", 2400.0, Some(2000.0), 1, ">= 2500", "NO, 1.04x"),
            ("api_rtt_p50_ms", 1.9, Some(1.0), 1, "<= 2.00", "yes"),
            ("api_rtt_p50_ms", 1.9, None, 1, "", ""),
            ("retention_disk_mb", 30.0, Some(10.0), 1, "<= 20.00", "NO, 1.50x"),
            ("master_mb_10000", 250.0, None, 10_000, "<= 257.1", "yes"),
            ("master_mb_10000", 120.0, None, 100, "<= 108.6", "NO, 1.10x"),
            ("cli_ten_ms", 1.0, None, 1, "", ""),
        ] {
            let row = row(name, value, limit, n);
            assert_eq!((row.target().as_str(), row.verdict().as_str()), (target, verdict), "{name} {value}");
        }
    }

    #[test]
    fn a_row_for_programs_has_all_seven_fields() {
        let said = row("broadcast_100_s", 0.5, Some(0.25), 100).to_json();
        let expected = json!({"name": "broadcast_100_s", "value": 0.5, "unit": "s", "limit": 0.25,
            "limit_name": "the least", "ratio": 2.0, "n": 100});
        assert_eq!(said, expected);
        let without = row("broadcast_100_s", 0.5, None, 100).to_json();
        assert_eq!(
            (&without["limit"], &without["limit_name"], &without["ratio"]),
            (&Value::Null, &Value::Null, &Value::Null)
        );
    }

    #[test]
    fn digits_follow_the_size() {
        for (value, text) in [
            (12345.6, "12346"),
            (123.45, "123.5"),
            (1.234, "1.23"),
            (0.5, "0.5000"),
            (0.00123, "0.001230"),
            (0.0, "0"),
        ] {
            assert_eq!(shown(value), text);
        }
    }
}
