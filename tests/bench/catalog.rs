//! All that is measured: names, units, and the targets for a machine with two cores.

/// What a value should be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
    /// No less than this, and no less than this share of the limit.
    AtLeastAndShare(f64, f64),
    /// No more than the limit and this.
    AboveLimit(f64),
    /// No more than this times the limit.
    TimesLimit(f64),
    /// Memory of a master, in MB: a base, so much for each minion, and the store's cache.
    Memory {
        /// Without any minion.
        base: f64,
        /// For each.
        each: f64,
        /// The cache as configured.
        cache: f64,
    },
}

impl Target {
    /// The bound itself, for a row with this limit about so many minions. None when the bound follows
    /// from a limit that was not measured.
    #[must_use]
    pub fn bound(self, limit: Option<f64>, n: u64) -> Option<f64> {
        match self {
            Self::AtMost(most) => Some(most),
            Self::AtLeast(least) => Some(least),
            Self::AtLeastAndShare(least, share) => {
                Some(limit.map_or(least, |limit| least.max(limit * share)))
            }
            Self::AboveLimit(more) => limit.map(|limit| limit + more),
            Self::TimesLimit(times) => limit.map(|limit| limit * times),
            Self::Memory { base, each, cache } => Some(base + each * n as f64 + cache),
        }
    }

    /// Whether more is better.
    #[must_use]
    pub fn is_least(self) -> bool {
        matches!(self, Self::AtLeast(_) | Self::AtLeastAndShare(..))
    }
}

/// Something that is measured.
#[derive(Debug, PartialEq)]
pub struct Measure {
    /// Its name, for ever the same.
    pub name: &'static str,
    /// The unit of its value and of its limit.
    pub unit: &'static str,
    /// What it should be.
    pub target: Option<Target>,
}

const fn aimed(name: &'static str, unit: &'static str, target: Target) -> Measure {
    Measure { name, unit, target: Some(target) }
}

const fn plain(name: &'static str, unit: &'static str) -> Measure {
    Measure { name, unit, target: None }
}

/// An exponent that is not worse than linear. What is noise is said by the fit
/// ([`crate::numbers::Growth`]), which calls a line what a line explains.
const LINEAR: Target = Target::AtMost(1.05);

/// 40 MB, 15 kB a minion, and `store_cache_bytes` (64 MiB).
const MASTER: Target = Target::Memory { base: 40.0, each: 0.015, cache: 67.1 };

/// In the order of the table. A number in a name is the size that is asked for; what was measured is
/// the row's `n`.
pub const MEASURES: &[Measure] = &[
    aimed("cli_one_ms", "ms", Target::AtMost(10.0)),
    plain("cli_ten_ms", "ms"),
    aimed("api_rtt_p50_ms", "ms", Target::AboveLimit(1.0)),
    plain("api_rtt_p99_ms", "ms"),
    plain("jobs_per_s_1", "1/s"),
    aimed("minion_rss_mb", "MB", Target::AtMost(12.0)),
    aimed("minion_idle_cpu_pct", "%", Target::AtMost(0.1)),
    plain("jobs_per_s_100", "1/s"),
    plain("broadcast_100_s", "s"),
    plain("broadcast_1000_s", "s"),
    aimed("returns_per_s", "1/s", Target::AtLeast(20_000.0)),
    aimed("handshakes_per_s", "1/CPU s", Target::AtLeastAndShare(2500.0, 0.85)),
    plain("storm_cold_10000_s", "s"),
    aimed("storm_cold_10000_cpu_s", "CPU s", Target::AtMost(5.0)),
    plain("master_kb_per_minion", "kB"),
    aimed("idle_cpu_pct_10000", "%", Target::AtMost(3.0)),
    aimed("broadcast_10000_s", "s", Target::AtMost(1.0)),
    plain("half_10000_s", "s"),
    plain("cli_all_10000_s", "s"),
    aimed("master_mb_10000", "MB", MASTER),
    aimed("storm_10000_s", "s", Target::AtMost(15.0)),
    aimed("storm_10000_cpu_s", "CPU s", Target::AtMost(5.0)),
    aimed("growth_broadcast", "exponent", LINEAR),
    aimed("growth_arrival", "exponent", LINEAR),
    aimed("growth_storm", "exponent", LINEAR),
    aimed("growth_idle_cpu", "exponent", LINEAR),
    aimed("growth_memory", "exponent", LINEAR),
    aimed("start_1m_returns_s", "s", Target::AtMost(2.0)),
    plain("jobs_list_1m_ms", "ms"),
    plain("jobs_show_10000_ms", "ms"),
    plain("start_10000_keys_ms", "ms"),
    plain("key_list_10000_ms", "ms"),
    plain("key_list_10000_json_ms", "ms"),
    plain("key_finger_10000_ms", "ms"),
    plain("tui_first_frame_10000_ms", "ms"),
    plain("tui_filter_keystroke_10000_ms", "ms"),
    plain("ledger_replay_30000_ms", "ms"),
    aimed("retention_disk_mb", "MB", Target::TimesLimit(2.0)),
    plain("salt_cli_one_ms", "ms"),
    plain("salt_api_rtt_p50_ms", "ms"),
    plain("salt_minion_rss_mb", "MB"),
    plain("limit_fsync_ms", "ms"),
    plain("limit_sled_rows_per_s", "1/s"),
    plain("limit_echo_ms", "ms"),
    plain("limit_tell_10000_s", "s"),
    plain("limit_verify_ms", "ms"),
    plain("limit_exchange_ms", "ms"),
    plain("limit_seal_open_ms", "ms"),
];

/// What is known by this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Measure> {
    MEASURES.iter().find(|measure| measure.name == name)
}
