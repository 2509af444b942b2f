//! `master.yaml`: every option with its default and the reason for it.
//!
//! Names are Salt's where the meaning is Salt's. Times are in seconds unless the name says
//! otherwise, sizes in bytes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use brine_local::log::Format;
use brine_protocol::batch::BatchSize;
use brine_protocol::control::Caution;
use brine_protocol::limits::WireLimits;
use brine_protocol::target::{Expression, Nodegroups, Target, TargetKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bundles::check_address;
use crate::hook;
use crate::pillar;
use crate::roles::{Blacklist, RoleEntry, Roles};

/// The longest pace of beats, in seconds. Minions take none that is slower.
const HEARTBEAT_MAX: f64 = 600.0;

/// The options of a master.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address to listen on.
    pub interface: IpAddr,
    /// Port of broadcasts; 0 lets the system choose.
    pub publish_port: u16,
    /// Port of returns; 0 lets the system choose.
    pub ret_port: u16,
    /// Where minions reach this master: a host name or an address, for bundles of keys that are made
    /// for server records. When it is not said, `interface` if that is one address, else the host name.
    pub master_address: Option<String>,
    /// Bits of the master's own key, when it is made, and of keys that are made for server records.
    pub keysize: usize,
    /// How long the CLI waits without news before it asks what is going on.
    pub timeout: f64,
    /// Jobs for more minions than this are confirmed by a person before `brine` submits them; 0 means
    /// that none is.
    pub confirm_above: usize,
    /// Jobs for so many minions or more become batches; 0 means that none does.
    pub batch_safe_limit: usize,
    /// How many minions of such a batch run at the same time: a number, or a percentage.
    pub batch_safe_size: BatchSize,
    /// How long jobs and their returns are kept.
    pub keep_jobs_seconds: u64,
    /// A handed-over order without an answer is `lost` this long after its minion's session ended.
    pub lost_after: u64,
    /// A sign of life in each direction at least this often.
    pub heartbeat: f64,
    /// How old the master's key-agreement config may become before it is replaced.
    pub config_rotation: u64,
    /// The master's number, 0 to 99: the last two digits of every jid.
    pub node: u8,
    /// What gets logged: quiet, error, warning, info, debug, trace.
    pub log_level: String,
    /// What a line of the log looks like: text or json.
    pub log_format: Format,
    /// Who may do what, besides root and the master's own user.
    pub roles: BTreeMap<String, RoleEntry>,
    /// Salt's form of operator entries: user to a list of functions, or of `{target: functions}`.
    pub publisher_acl: BTreeMap<String, Value>,
    /// Users and functions that no entry of `publisher_acl` allows anything.
    pub publisher_acl_blacklist: Blacklist,
    /// Whether who is limited to zones sees waiting keys that name no server record: such a key may
    /// be a machine of any zone.
    pub zones_see_unclaimed: bool,

    /// Folders with the pillar files, as a list or under Salt's `base:`; `pillar` beside this file when
    /// none is named, which need not be there.
    pub pillar_roots: pillar::Roots,
    /// Folder of the modules that minions get with `brine.sync_modules`; `modules` beside the folder of
    /// keys (`/etc/brine/modules`) when none is named, which need not be there.
    pub modules_dir: Option<PathBuf>,
    /// Names for sets of minions, for `-N` and `N@`: a compound target each, or the list of its words.
    pub nodegroups: Nodegroups,

    /// A program that runs for each server record that is created, with the event on its standard
    /// input: its absolute path, or a list of that and its arguments.
    pub server_created_hook: Option<hook::Command>,

    /// Lets in every minion that knocks, unseen. For a laboratory.
    pub auto_accept: bool,
    /// File of ids that are let in: one exact id, glob or regular expression a line.
    pub autosign_file: Option<PathBuf>,
    /// File of ids that are turned away, in the same form. It comes before all that lets in.
    pub autoreject_file: Option<PathBuf>,
    /// Folder with a file per grain, one value a line: whoever claims one is let in.
    pub autosign_grains_dir: Option<PathBuf>,
    /// Most keys that are accepted or suspended; 0 means no limit.
    pub max_minions: usize,
    /// Salt's way to let every key pass. Refused here, with the reason.
    pub open_mode: bool,

    /// Most keys that wait for a decision.
    pub pending_max: usize,
    /// Most waiting keys of one minion id.
    pub pending_per_id: usize,
    /// A waiting key that has not knocked for so long is forgotten.
    pub pending_age: u64,

    /// Most minions that are connected at the same time; 0 means what the descriptor limit carries.
    pub max_minions_connected: usize,
    /// Most connections without a live session from one address.
    pub connections_per_address: usize,
    /// New connections without a live session per second from one address, after a burst of
    /// `connect_burst_per_address`.
    pub connect_rate_per_address: u32,
    /// How many may come at once: a site behind one NAT reconnects as a crowd.
    pub connect_burst_per_address: u32,
    /// Addresses that have no cap and no rate.
    pub exempt_addresses: Vec<IpAddr>,
    /// Of a hundred connections, how many may belong to minions whose key waits.
    pub waiting_share_percent: usize,
    /// Descriptors kept free for the control socket, the ledger and the store.
    pub descriptors_reserved: usize,
    /// Each step of a handshake has to come within this many milliseconds: greeting and READY, the
    /// Hello, the first sealed frame.
    pub handshake_timeout_ms: u64,
    /// A message that has begun has to be complete within this many milliseconds.
    pub message_timeout_ms: u64,
    /// A peer that takes none of its bytes for this many milliseconds is disconnected.
    pub write_stall_ms: u64,
    /// Most bytes queued for one peer.
    pub send_queue_max: usize,
    /// A subscriber has to show a live session's token within this many milliseconds.
    pub subscriber_token_ms: u64,
    /// Handshakes waiting for their signature to be verified, in all.
    pub verify_queue_max: usize,
    /// The same for one address.
    pub verify_queue_per_address: usize,
    /// A handshake that waited so many milliseconds for its verification is told to come back.
    pub verify_deadline_ms: u64,
    /// Largest message of a live session.
    pub message_max: usize,
    /// Largest message of a connection without one.
    pub stranger_message_max: usize,
    /// Most frames of a message.
    pub frames_max: usize,
    /// Largest READY command.
    pub ready_max: usize,
    /// Most subscriptions of one subscriber.
    pub subscriptions_max: usize,
    /// Longest subscription.
    pub subscription_bytes_max: usize,

    /// Server records kept at the same time.
    pub servers_max: usize,
    /// What pillar that was put together may hold in memory, as JSON, in bytes.
    pub pillar_cache_bytes: usize,
    /// Orders open at the same time, in all.
    pub open_orders_max: usize,
    /// What the arguments of jobs that are open may hold in memory, in bytes.
    pub open_orders_bytes_max: usize,
    /// Returns kept of jobs that this master does not know, per minion and bucket of time.
    pub orphans_per_minion: usize,
    /// Events that can be resumed from.
    pub events_kept: usize,
    /// Largest body of a control request.
    pub request_max: usize,
    /// Memory for the store's cache.
    pub store_cache_bytes: u64,
    /// New orders are refused when the disk has less room than this.
    pub disk_free_min: u64,
}

impl Default for Config {
    fn default() -> Self {
        let wire = WireLimits::default();
        let caution = Caution::default();
        Self {
            interface: IpAddr::from([0, 0, 0, 0]),
            publish_port: 4505,
            ret_port: 4506,
            master_address: None,
            keysize: 4096,
            timeout: 5.0,
            confirm_above: caution.confirm_above,
            batch_safe_limit: caution.batch_safe_limit,
            batch_safe_size: caution.batch_safe_size,
            keep_jobs_seconds: 86_400,
            lost_after: 3600,
            heartbeat: 10.0,
            config_rotation: 86_400,
            node: 0,
            log_level: "info".to_owned(),
            log_format: Format::default(),
            roles: BTreeMap::new(),
            publisher_acl: BTreeMap::new(),
            publisher_acl_blacklist: Blacklist::default(),
            zones_see_unclaimed: false,
            pillar_roots: pillar::Roots::default(),
            modules_dir: None,
            nodegroups: Nodegroups::new(),
            server_created_hook: None,
            auto_accept: false,
            autosign_file: None,
            autoreject_file: None,
            autosign_grains_dir: None,
            max_minions: 0,
            open_mode: false,
            pending_max: 10_000,
            pending_per_id: 8,
            pending_age: 7 * 86_400,
            max_minions_connected: 0,
            connections_per_address: 1024,
            connect_rate_per_address: 200,
            connect_burst_per_address: 1000,
            exempt_addresses: Vec::new(),
            waiting_share_percent: 10,
            descriptors_reserved: 64,
            handshake_timeout_ms: 5000,
            message_timeout_ms: 30_000,
            write_stall_ms: 10_000,
            send_queue_max: 8 * 1024 * 1024,
            subscriber_token_ms: 5000,
            verify_queue_max: 8192,
            verify_queue_per_address: 2048,
            verify_deadline_ms: 4000,
            message_max: wire.message_max,
            stranger_message_max: 16 * 1024,
            frames_max: wire.frames_max,
            ready_max: wire.ready_max,
            subscriptions_max: wire.subscriptions_max,
            subscription_bytes_max: wire.subscription_bytes_max,
            servers_max: 100_000,
            pillar_cache_bytes: 64 * 1024 * 1024,
            open_orders_max: 1_000_000,
            open_orders_bytes_max: 256 * 1024 * 1024,
            orphans_per_minion: 100,
            events_kept: 10_000,
            request_max: 16 * 1024 * 1024,
            store_cache_bytes: 64 * 1024 * 1024,
            disk_free_min: 64 * 1024 * 1024,
        }
    }
}

impl Config {
    /// Checks what types alone cannot say.
    ///
    /// # Errors
    /// One sentence naming the option.
    pub fn check(&self) -> Result<(), String> {
        let positive = |name: &str, ok: bool| {
            if ok { Ok(()) } else { Err(format!("option {name:?} has to be greater than 0")) }
        };
        if self.open_mode {
            return Err(
                "option \"open_mode\" is refused: it would hand the fleet's orders to keys that were \
                        rejected and to any machine that claims a known id; \"auto_accept: true\" lets in \
                        new minions unseen and keeps those out"
                    .to_owned(),
            );
        }
        positive("timeout", self.timeout > 0.0)?;
        positive("keep_jobs_seconds", self.keep_jobs_seconds > 0)?;
        positive("batch_safe_size", self.batch_safe_size.of(1) > 0)?;
        positive("connections_per_address", self.connections_per_address > 0)?;
        positive("verify_queue_max", self.verify_queue_max > 0)?;
        positive("pending_max", self.pending_max > 0)?;
        positive("pending_per_id", self.pending_per_id > 0)?;
        if !(0.1..=HEARTBEAT_MAX).contains(&self.heartbeat) {
            return Err(format!(
                "option \"heartbeat\" is between 0.1 and {HEARTBEAT_MAX} seconds, not {}",
                self.heartbeat
            ));
        }
        if self.node > 99 {
            return Err(format!("option \"node\" is between 0 and 99, not {}", self.node));
        }
        if !(1..=100).contains(&self.waiting_share_percent) {
            return Err("option \"waiting_share_percent\" is between 1 and 100".to_owned());
        }
        if !(2048..=4096).contains(&self.keysize) {
            return Err(format!("option \"keysize\" is between 2048 and 4096, not {}", self.keysize));
        }
        let largest = 16 * 1024 * 1024;
        if !(64 * 1024..=largest).contains(&self.message_max) {
            return Err(format!(
                "option \"message_max\" is between 65536 and {largest}, not {}",
                self.message_max
            ));
        }
        if !(8 * 1024..=self.message_max).contains(&self.stranger_message_max) {
            return Err("option \"stranger_message_max\" is between 8192 and message_max".to_owned());
        }
        // Less would lock every minion out: a token's topic has 78 bytes, and there are two topics.
        let room = [
            ("ready_max", self.ready_max, 64),
            ("frames_max", self.frames_max, 2),
            ("subscriptions_max", self.subscriptions_max, 2),
            ("subscription_bytes_max", self.subscription_bytes_max, 78),
        ];
        if let Some((name, _, min)) = room.iter().find(|(_, value, min)| value < min) {
            return Err(format!("option {name:?} has to be at least {min}"));
        }
        if self.send_queue_max < self.message_max {
            return Err(
                "option \"send_queue_max\" has to hold at least one message of message_max".to_owned()
            );
        }
        if let Some(address) = &self.master_address {
            check_address(address).map_err(|error| format!("option \"master_address\": {error}"))?;
        }
        brine_local::log::check(&self.log_level).map_err(|error| format!("option \"log_level\": {error}"))?;
        self.server_created_hook.as_ref().map_or(Ok(()), hook::Command::check)?;
        self.check_nodegroups()?;
        self.read_roles().map(drop)
    }

    /// Reads each nodegroup, with those that it names.
    fn check_nodegroups(&self) -> Result<(), String> {
        for name in self.nodegroups.keys() {
            let group = Target::new(TargetKind::Nodegroup, name);
            // What is wrong names the group and the column in its text.
            Expression::parse(&group, &self.nodegroups).map_err(|error| {
                format!("option \"nodegroups\": {}", brine_local::text::escape(&error.what))
            })?;
        }
        Ok(())
    }

    /// Who may do what.
    ///
    /// # Errors
    /// One sentence naming the entry.
    pub fn read_roles(&self) -> Result<Roles, String> {
        Roles::read(&self.roles, &self.publisher_acl, &self.publisher_acl_blacklist, self.zones_see_unclaimed)
    }

    /// What clients are asked to heed.
    #[must_use]
    pub fn caution(&self) -> Caution {
        Caution {
            confirm_above: self.confirm_above,
            batch_safe_limit: self.batch_safe_limit,
            batch_safe_size: self.batch_safe_size.clone(),
        }
    }

    /// What is handed at once of a backlog, in bytes. The last order of it may go over by a whole
    /// message, and a queue that this fills would end every session of that minion the same way.
    #[must_use]
    pub fn hand_window(&self) -> usize {
        (self.send_queue_max.saturating_sub(self.message_max) / 2).max(1)
    }

    /// Limits of a connection without a live session.
    #[must_use]
    pub fn stranger_limits(&self) -> WireLimits {
        WireLimits {
            message_max: self.stranger_message_max,
            frames_max: self.frames_max,
            ready_max: self.ready_max,
            subscriptions_max: self.subscriptions_max,
            subscription_bytes_max: self.subscription_bytes_max,
        }
    }

    /// Limits of a connection with one.
    #[must_use]
    pub fn session_limits(&self) -> WireLimits {
        WireLimits { message_max: self.message_max, ..self.stranger_limits() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_pass_their_own_check() {
        assert_eq!(Config::default().check(), Ok(()));
    }

    #[test]
    fn a_backlog_fits_the_send_queue_however_small_that_is() {
        for send_queue_max in [1024 * 1024, 1_500_000, 8 * 1024 * 1024] {
            let config = Config { send_queue_max, message_max: 1024 * 1024, ..Config::default() };
            assert_eq!(config.check(), Ok(()));
            assert!(config.hand_window() >= 1, "or nothing is ever handed");
            // The last order begins below the window and has at most a message.
            assert!(config.hand_window() - 1 + config.message_max <= send_queue_max);
        }
    }

    #[test]
    fn nonsense_is_named() {
        let refused = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            config.check().expect_err("nonsense")
        };
        assert!(refused(|c| c.heartbeat = 0.0).contains("heartbeat"));
        let open = refused(|c| c.open_mode = true);
        assert!(open.contains("open_mode") && open.contains("auto_accept") && !open.contains("  "), "{open}");
        assert!(refused(|c| c.node = 100).contains("node"));
        assert!(refused(|c| c.keysize = 1024).contains("keysize"));
        assert!(refused(|c| c.message_max = 1).contains("message_max"));
        assert!(refused(|c| c.log_level = "loud".to_owned()).contains("log_level"));
        assert!(refused(|c| c.master_address = Some("a b".to_owned())).contains("master_address"));
    }
}
