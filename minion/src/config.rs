//! The options of `minion.yaml`, checked: what comes out of here can be used as it is.

use std::path::PathBuf;
use std::time::Duration;

use brine_local::Paths;
use brine_local::config::{ConfigError, Environment, Fault, Loaded, load_daemon};
use brine_local::log::Format;
use brine_pki::key::{BITS_MAX, BITS_MIN};
use brine_protocol::limits::WireLimits;
use brine_protocol::message::CLAIMED_GRAINS_MAX;
use brine_protocol::{Fingerprint, MinionId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::enrolment::{Claim, Token, TokenFile};
use crate::host_id::RemoveDomain;

/// Room that sealing, framing and a message's fields take around a return.
pub(crate) const MESSAGE_OVERHEAD: usize = 16 * 1024;

/// The option that says which master is trusted. Nothing in its place would trust any, and take the
/// pin of an earlier file away.
const PIN: &str = "master_finger";

/// Every option, with its default. Names are Salt's where the meaning is Salt's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Host name or address of the master.
    pub master: Host,
    /// The master's publish port.
    pub publish_port: u16,
    /// The master's return port.
    pub ret_port: u16,
    /// Salt's name for `ret_port`.
    pub master_port: Option<u16>,
    /// This minion's id; the host name when not given.
    pub id: Option<MinionId>,
    /// Whether the host name, where it is the id, is taken in lower case.
    pub minion_id_lowercase: bool,
    /// Which domain is cut off the host name where that is the id: one by name, or with true any.
    pub minion_id_remove_domain: RemoveDomain,
    /// The domain put behind a host name without one, where that is the id.
    pub append_domain: Option<String>,
    /// Fingerprint of the master's key. Without it the first master that answers is trusted.
    pub master_finger: Option<Fingerprint>,
    /// The server record that this minion says it is, told while its key waits.
    pub server: Option<Claim>,
    /// An enrolment token: told to a pinned master while the key waits.
    pub enrolment_token: Option<Token>,
    /// A file with the enrolment token; a relative one is in the folder of the configuration.
    pub enrolment_token_file: Option<TokenFile>,
    /// Size of the key made at the first start, in bits.
    pub keysize: KeySize,
    /// Grains set by the administrator.
    pub grains: Map<String, Value>,
    /// Grains that are told to the master while the key waits, for its `autosign_grains_dir`.
    pub autosign_grains: Vec<String>,
    /// Least severe events that are logged.
    pub log_level: Level,
    /// What a line of the log looks like: text or json.
    pub log_format: Format,
    /// Longest pause before the next attempt while the master cannot be reached, in seconds.
    pub reconnect_max: Seconds,
    /// Seconds until a TCP connection has to stand, for each address of the master.
    pub connect_timeout: Seconds,
    /// Seconds until the master has to have answered each step of the opening.
    pub handshake_timeout: Seconds,
    /// Seconds without a byte, in the midst of a message, after which a connection is given up;
    /// and seconds until the master has to take what is sent to it.
    pub stall_timeout: Seconds,
    /// The folder of custom modules; a relative one is in the folder of the configuration.
    pub modules_dir: Option<PathBuf>,
    /// Most bytes kept of each output stream of a command.
    pub output_max: usize,
    /// Largest return, as JSON, in bytes. Larger ones are shortened, and say so.
    pub return_max: usize,
    /// Most bytes of returns and open orders that wait on disk for the master.
    pub spool_max: u64,
    /// Most jobs that run at a time; further ones wait.
    pub process_count_max: usize,
    /// Largest message accepted from a master, all frames together, in bytes.
    pub message_max: usize,
    /// Most frames of a message.
    pub frames_max: usize,
    /// Largest READY command, in bytes.
    pub ready_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        let wire = WireLimits::default();
        Self {
            // As Salt minions look for a host called `salt`.
            master: Host("brine".to_owned()),
            publish_port: 4505,
            ret_port: 4506,
            master_port: None,
            id: None,
            minion_id_lowercase: false,
            minion_id_remove_domain: RemoveDomain::default(),
            append_domain: None,
            master_finger: None,
            server: None,
            enrolment_token: None,
            enrolment_token_file: None,
            keysize: KeySize(4096),
            grains: Map::new(),
            autosign_grains: Vec::new(),
            log_level: Level("info".to_owned()),
            log_format: Format::default(),
            reconnect_max: Seconds(4.0),
            connect_timeout: Seconds(5.0),
            handshake_timeout: Seconds(10.0),
            stall_timeout: Seconds(10.0),
            modules_dir: None,
            output_max: 256 * 1024,
            return_max: 832 * 1024,
            spool_max: 64 * 1024 * 1024,
            process_count_max: 32,
            message_max: wire.message_max,
            frames_max: wire.frames_max,
            ready_max: wire.ready_max,
        }
    }
}

impl Options {
    /// What the codec accepts from the master.
    #[must_use]
    pub fn wire(&self) -> WireLimits {
        WireLimits {
            message_max: self.message_max,
            frames_max: self.frames_max,
            ready_max: self.ready_max,
            ..WireLimits::default()
        }
    }

    /// The port that the minion's own messages go to.
    #[must_use]
    pub fn return_port(&self) -> u16 {
        self.master_port.unwrap_or(self.ret_port)
    }

    /// Where the custom modules are.
    #[must_use]
    pub fn modules_folder(&self, paths: &Paths) -> PathBuf {
        match &self.modules_dir {
            Some(folder) => paths.config_dir().join(folder),
            None => paths.minion_state_dir().join("modules"),
        }
    }

    /// Checks what types alone cannot say.
    ///
    /// # Errors
    /// One sentence naming the option.
    pub fn check(&self) -> Result<(), String> {
        if let Some(port) = self.master_port
            && port != self.ret_port
            && self.ret_port != Self::default().ret_port
        {
            return Err(format!(
                "master_port ({port}) is another name of ret_port ({}); give one of them",
                self.ret_port
            ));
        }
        if self.publish_port == 0 || self.return_port() == 0 {
            return Err("a master's port cannot be 0 here".to_owned());
        }
        if self.return_max < 4096 || self.return_max + MESSAGE_OVERHEAD > self.message_max {
            return Err(format!(
                "return_max ({}) has to be at least 4096 and {MESSAGE_OVERHEAD} below message_max ({})",
                self.return_max, self.message_max
            ));
        }
        let values = self.output_max.saturating_mul(3).saturating_add(4096);
        if self.output_max < 1024 || values > self.return_max {
            return Err(format!(
                "output_max ({}) has to be at least 1024, and three times that 4096 below return_max ({})",
                self.output_max, self.return_max
            ));
        }
        if self.spool_max < 2 * self.return_max as u64 {
            return Err(format!(
                "spool_max ({}) has to hold at least two returns of return_max ({}) bytes",
                self.spool_max, self.return_max
            ));
        }
        if self.autosign_grains.len() > CLAIMED_GRAINS_MAX {
            return Err(format!(
                "autosign_grains names {} grains, and a master reads at most {CLAIMED_GRAINS_MAX}",
                self.autosign_grains.len()
            ));
        }
        if self.enrolment_token.is_some() && self.enrolment_token_file.is_some() {
            return Err(
                "enrolment_token and enrolment_token_file are two ways to one token; give one of them"
                    .to_owned(),
            );
        }
        if self.process_count_max == 0 || self.frames_max < 2 {
            return Err("process_count_max has to be at least 1, and frames_max at least 2".to_owned());
        }
        Ok(())
    }
}

/// Reads and checks the options of the files alone.
///
/// # Errors
/// One sentence with file, line and option.
pub fn load(paths: &Paths) -> Result<Options, ConfigError> {
    load_with(paths, &Environment::default()).map(|loaded| loaded.options)
}

/// Reads and checks the options of the files and the environment.
///
/// # Errors
/// One sentence with file, line and option, or with the variable.
pub fn load_with(paths: &Paths, environment: &Environment) -> Result<Loaded<Options>, ConfigError> {
    let loaded: Loaded<Options> = load_daemon(paths, "minion", environment)?;
    if let Some((file, line)) = loaded.says_nothing(PIN) {
        let what = "expected the fingerprint of the master's key, found nothing: leave the line out to trust the \
                    first master that answers";
        let fault = Fault::IllTyped { option: PIN.to_owned(), what: what.to_owned() };
        return Err(ConfigError::Line { file: file.clone(), line: *line, fault });
    }
    match loaded.options.check() {
        Ok(()) => Ok(loaded),
        Err(what) => Err(ConfigError::Together { from: loaded.place(&paths.config_file("minion")), what }),
    }
}

/// A host name or address, without a port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Host(String);

impl Host {
    /// The name, or the address without brackets.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.trim_start_matches('[').trim_end_matches(']')
    }
}

impl TryFrom<String> for Host {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_v6 = text.trim_matches(['[', ']']).parse::<std::net::Ipv6Addr>().is_ok();
        let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if is_v6 || (!text.is_empty() && text.len() <= 253 && text.bytes().all(is_name)) {
            return Ok(Self(text));
        }
        Err(match text.rsplit_once(':') {
            Some((_, port)) if port.parse::<u16>().is_ok() => {
                "expected a host name or address without a port; the ports are publish_port and ret_port"
                    .to_owned()
            }
            _ => "expected a host name or address".to_owned(),
        })
    }
}

/// A time span in seconds, above zero and at most a day.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64")]
pub struct Seconds(f64);

impl Seconds {
    /// As a duration.
    #[must_use]
    pub fn duration(self) -> Duration {
        Duration::from_secs_f64(self.0)
    }
}

impl TryFrom<f64> for Seconds {
    type Error = String;

    fn try_from(seconds: f64) -> Result<Self, String> {
        if (0.01..=86_400.0).contains(&seconds) {
            Ok(Self(seconds))
        } else {
            Err(format!("expected seconds from 0.01 to 86400, found {seconds}"))
        }
    }
}

/// The size of an RSA key that is used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "usize")]
pub struct KeySize(usize);

impl KeySize {
    /// In bits.
    #[must_use]
    pub fn bits(self) -> usize {
        self.0
    }
}

impl TryFrom<usize> for KeySize {
    type Error = String;

    fn try_from(bits: usize) -> Result<Self, String> {
        if (BITS_MIN..=BITS_MAX).contains(&bits) {
            Ok(Self(bits))
        } else {
            Err(format!("expected {BITS_MIN} to {BITS_MAX} bits, found {bits}"))
        }
    }
}

/// A log level that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Level(String);

impl Level {
    /// The word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Level {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match brine_local::log::check(&text) {
            Ok(()) => Ok(Self(text)),
            Err(error) => Err(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Result<Options, String> {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::new(Some(root.path()), None);
        std::fs::create_dir_all(paths.etc()).unwrap();
        std::fs::write(paths.config_file("minion"), yaml).unwrap();
        load(&paths).map_err(|error| error.to_string())
    }

    #[test]
    fn the_default_is_valid() {
        assert_eq!(read(""), Ok(Options::default()));
    }

    #[test]
    fn no_more_grains_are_claimed_than_a_master_reads() {
        let options = read("autosign_grains: [uuid, serialnumber]\n").unwrap();
        assert_eq!(options.autosign_grains, ["uuid", "serialnumber"]);
        let refused = read("autosign_grains: [a, b, c, d, e, f, g, h, i]\n").unwrap_err();
        assert!(refused.contains("autosign_grains") && refused.contains("at most 8"), "{refused}");
    }

    #[test]
    fn a_pin_is_not_taken_away_by_nothing() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::new(Some(root.path()), None);
        let (file, later) = (paths.config_file("minion"), paths.config_folder("minion").join("60.yaml"));
        std::fs::create_dir_all(paths.config_folder("minion")).unwrap();
        let pin = format!("master_finger: {}\n", "ab".repeat(32));
        std::fs::write(&file, &pin).unwrap();
        for nothing in ["master_finger:\n", "master_finger: ~\n", "master_finger: null\n"] {
            std::fs::write(&later, format!("id: web1\n{nothing}")).unwrap();
            let error = load(&paths).unwrap_err().to_string();
            assert!(
                error.contains("60.yaml:2: option \"master_finger\": expected the fingerprint"),
                "{error}"
            );
        }
        // Of the environment it does not count.
        std::fs::remove_file(&later).unwrap();
        let environment = Environment::new([("BRINE_MASTER_FINGER".into(), "# none".into())]);
        let loaded = load_with(&paths, &environment).unwrap();
        assert!(loaded.options.master_finger.is_some() && loaded.notices.len() == 1);
        // A template that something fills in later.
        std::fs::write(&file, "master_finger:\n").unwrap();
        assert!(load(&paths).is_err());
        std::fs::write(&later, pin).unwrap();
        assert!(load(&paths).unwrap().master_finger.is_some());
    }

    #[test]
    fn what_people_write() {
        let options = read(
            "master: 10.0.0.1\nmaster_port: 5506\nid: web1\nkeysize: 2048\nreconnect_max: 0.5\ngrains:\n  role: [a, b]\n",
        )
        .unwrap();
        assert_eq!((options.master.as_str(), options.return_port()), ("10.0.0.1", 5506));
        assert_eq!(options.reconnect_max.duration(), Duration::from_millis(500));
        assert_eq!(options.grains["role"], serde_json::json!(["a", "b"]));
        assert_eq!(read("master: '[::1]'\n").unwrap().master.as_str(), "::1");
    }

    #[test]
    fn where_custom_modules_are() {
        let paths = Paths::new(Some("/r".as_ref()), None);
        for (yaml, folder) in [
            ("", "/r/var/lib/brine/minion/modules"),
            ("modules_dir: own\n", "/r/etc/brine/own"),
            ("modules_dir: /srv/modules\n", "/srv/modules"),
        ] {
            assert_eq!(read(yaml).unwrap().modules_folder(&paths), PathBuf::from(folder), "{yaml}");
        }
    }

    #[test]
    fn errors_name_the_line() {
        for (yaml, part) in [
            ("id: web1\nmaster: 'a:4506'\n", "minion.yaml:2: option \"master\""),
            ("master: ''\n", "host name"),
            ("id: 'a b'\n", "minion.yaml:1: option \"id\""),
            ("keysize: 1024\n", "2048 to 4096"),
            ("log_level: loud\n", "minion.yaml:1"),
            ("connect_timeout: 0\n", "0.01"),
            ("connect_timeout: .nan\n", "minion.yaml:1"),
            ("master_finger: abc\n", "minion.yaml:1"),
            ("ret_port: 5000\nmaster_port: 5001\n", "another name"),
            ("ret_port: 0\n", "cannot be 0"),
            ("return_max: 2000000\n", "message_max"),
            ("spool_max: 1000\n", "spool_max"),
            ("output_max: 1000000\n", "output_max"),
            ("retport: 1\n", "did you mean \"ret_port\""),
        ] {
            let error = read(yaml).unwrap_err();
            assert!(error.contains(part), "{yaml:?}: {error}");
        }
    }
}
