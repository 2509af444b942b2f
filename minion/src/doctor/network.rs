//! The way to the master, step by step, up to its verdict on this minion's key.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use brine_local::checkup::Check;
use brine_local::{Paths, clock};
use brine_pki::handshake::minion::{Offered, Pin};
use brine_pki::handshake::{HANDSHAKE_MAX, HandshakeError};
use brine_pki::key::PrivateKey;
use brine_protocol::limits::WireLimits;
use brine_protocol::message::{Standing, Welcome};
use brine_protocol::time::Timestamp;
use brine_protocol::zmtp::SocketType;
use brine_protocol::{MinionId, version};
use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::Options;
use crate::enrolment;
use crate::host_id::id;
use crate::net::Dialer;
use crate::probe::Call;
use crate::relay::{self, Bounds, RelayError};
use crate::trust::Trust;

/// Clocks may differ by so many seconds before anybody is told.
const SKEW_MAX: i64 = 60;

/// What to go by.
pub(super) struct Way<'a> {
    pub(super) paths: &'a Paths,
    pub(super) options: &'a Options,
    /// The minion's keys, the one of a rotation first.
    pub(super) keys: &'a [Arc<PrivateKey>],
    /// How long each step may take.
    pub(super) patience: Duration,
}

/// Why a step of the opening failed.
#[derive(Debug, thiserror::Error)]
enum Stopped {
    #[error(transparent)]
    Relay(#[from] RelayError),
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    #[error("the master's {0} did not come within {1:?}")]
    Late(&'static str, Duration),
}

/// Goes as far as it leads. Each step that works and the one that does not has its line.
pub(super) async fn look(way: &Way<'_>) -> Vec<Check> {
    let mut checks = Vec::new();
    let (ret_port, publish_port) = (way.options.return_port(), way.options.publish_port);
    let Some(addresses) = way.addresses(ret_port, &mut checks).await else { return checks };
    let returns = way.port("return port", "ret_port", &addresses, &mut checks).await;
    let broadcasts: Vec<SocketAddr> = match &returns {
        // The same machine as the other connection, whatever other addresses the name has.
        Some((_, address)) => vec![SocketAddr::new(address.ip(), publish_port)],
        None => addresses.iter().map(|address| SocketAddr::new(address.ip(), publish_port)).collect(),
    };
    let publish = way.port("publish port", "publish_port", &broadcasts, &mut checks).await;
    if let Some((stream, address)) = publish {
        let opened = way.within("greeting", Call::open(stream, limits(), SocketType::Sub)).await;
        checks.extend(opened.err().map(|error| stopped("publish port", address, &error)));
    }
    let Some((stream, address)) = returns else { return checks };
    let pin = match Trust::new(&way.paths.pki_minion(), way.options.master_finger).pin() {
        Ok(pin) => pin,
        Err(error) => {
            let advice = "mend or remove that file, then run: brine-minion trust-master FINGERPRINT";
            checks.push(Check::fail("master key", format!("{error:#}"), advice));
            return checks;
        }
    };
    let has_token = way.options.enrolment_token.is_some() || way.options.enrolment_token_file.is_some();
    if let Err(error) = enrolment::check(has_token, &pin) {
        checks.push(Check::warn(
            "token",
            error.to_string(),
            "put the master's fingerprint into master_finger",
        ));
    }
    match way.offer(stream, &pin).await {
        Ok((_, offered)) => checks.push(known(&pin, &offered)),
        Err(error) => {
            checks.push(stopped("master", address, &error));
            return checks;
        }
    }
    if let Ok(id) = id(way.options) {
        checks.extend(way.verdict(&id, address, &pin).await);
    }
    checks
}

impl Way<'_> {
    async fn addresses(&self, port: u16, checks: &mut Vec<Check>) -> Option<Vec<SocketAddr>> {
        let host = self.options.master.as_str();
        if let Ok(address) = host.parse::<IpAddr>() {
            return Some(vec![SocketAddr::new(address, port)]);
        }
        let bounds =
            Bounds { wire: limits(), connect: self.patience, handshake: self.patience, stall: self.patience };
        let dialer = Dialer { host: host.to_owned(), publish_port: port, ret_port: port, bounds };
        match dialer.addresses(port).await {
            Ok(addresses) => {
                let shown: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
                checks.push(Check::ok("name", format!("{host} is {}", shown.join(", "))));
                Some(addresses)
            }
            Err(error) => {
                let advice = "correct the option master, or what answers for names here: DNS \
                              (/etc/resolv.conf) or /etc/hosts";
                checks.push(Check::fail("name", error.to_string(), advice));
                None
            }
        }
    }

    async fn port(
        &self,
        about: &'static str,
        option: &str,
        addresses: &[SocketAddr],
        checks: &mut Vec<Check>,
    ) -> Option<(TcpStream, SocketAddr)> {
        let connected = relay::connect(addresses, self.patience).await;
        match connected.and_then(|stream| {
            let address = stream.peer_addr().map_err(|error| RelayError::Lost(error.to_string()))?;
            Ok((stream, address))
        }) {
            Ok(connected) => {
                checks.push(Check::ok(about, format!("{} takes connections", connected.1)));
                Some(connected)
            }
            Err(error) => {
                let advice = format!(
                    "see that brine-master runs there, that the option {option} is its port, and that no \
                     firewall is between"
                );
                checks.push(Check::fail(about, error.to_string(), advice));
                None
            }
        }
    }

    async fn within<T>(
        &self,
        what: &'static str,
        step: impl Future<Output = Result<T, RelayError>>,
    ) -> Result<T, Stopped> {
        match timeout(self.patience, step).await {
            Ok(done) => Ok(done?),
            Err(_) => Err(Stopped::Late(what, self.patience)),
        }
    }

    async fn offer(&self, stream: TcpStream, pin: &Pin) -> Result<(Call, Offered), Stopped> {
        let mut call = self.within("greeting", Call::open(stream, limits(), SocketType::Dealer)).await?;
        let offer: Bytes = self.within("Offer", call.message()).await?;
        Ok((call, Offered::read(&offer, pin)?))
    }

    /// What the master says of the first key that it lets in, or else of the last.
    async fn verdict(&self, id: &MinionId, address: SocketAddr, pin: &Pin) -> Vec<Check> {
        let mut said = Vec::new();
        for key in self.keys {
            match self.ask(id, key, address, pin).await {
                Ok(welcome) => {
                    said = vec![standing(welcome.standing, id, key)];
                    let skew = welcome.pace.clock.map(|theirs| skew(clock::wall(), theirs));
                    said.extend(skew);
                    if matches!(welcome.standing, Standing::Accepted { .. } | Standing::Suspended) {
                        break;
                    }
                }
                Err(error) => said = vec![stopped("key", address, &error)],
            }
        }
        said
    }

    /// A Hello, and the verdict. Nothing is sealed and sent: the master files nothing.
    async fn ask(
        &self,
        id: &MinionId,
        key: &PrivateKey,
        address: SocketAddr,
        pin: &Pin,
    ) -> Result<Welcome, Stopped> {
        let stream = relay::connect(&[address], self.patience).await?;
        let (mut call, offered) = self.offer(stream, pin).await?;
        let (hello, waiting) = offered.hello(key, id, brine_pki::random::bytes());
        self.within("attention", call.say(&hello)).await?;
        let (welcome, _) = waiting.welcome(&self.within("verdict", call.message()).await?)?;
        Ok(welcome)
    }
}

fn limits() -> WireLimits {
    WireLimits { message_max: HANDSHAKE_MAX, frames_max: 2, ..WireLimits::default() }
}

fn known(pin: &Pin, offered: &Offered) -> Check {
    let got = offered.trust_key().fingerprint();
    match pin {
        Pin::FirstUse => Check::warn(
            "master key",
            format!("no master is pinned here: the first that answers is trusted, now {got}"),
            "compare it with brine-key -F master there, then run: brine-minion trust-master FINGERPRINT",
        ),
        Pin::Fingerprint(_) | Pin::Known { .. } => Check::ok("master key", format!("{got}, as pinned")),
    }
}

/// What to do about an opening that failed.
fn stopped(about: &'static str, address: SocketAddr, error: &Stopped) -> Check {
    match error {
        Stopped::Handshake(HandshakeError::Pin { got, pinned }) => Check::fail(
            "master key",
            format!(
                "the master at {address} has the key {got}, and {pinned} is pinned here; nothing was sent to it"
            ),
            format!(
                "if its key was changed on purpose, compare with brine-key -F master there, then run: \
                 brine-minion trust-master {got}"
            ),
        ),
        Stopped::Handshake(HandshakeError::Version(theirs)) => {
            let which =
                if *theirs < version::CURRENT { "the master's is too old" } else { "this one is too old" };
            Check::fail(
                "protocol",
                format!(
                    "the master at {address} speaks version {theirs} of the protocol and this minion {}: {which}",
                    version::CURRENT
                ),
                "update the older of the two",
            )
        }
        Stopped::Handshake(error @ HandshakeError::Busy { .. }) => Check::fail(
            about,
            error.to_string(),
            "the running minion comes back by itself; on the master: brine doctor",
        ),
        Stopped::Handshake(error) => Check::fail(
            about,
            format!("the master at {address} is not to be trusted: {error}"),
            "see that this is the right machine; a restored backup of a master needs brine-minion trust-master",
        ),
        Stopped::Relay(_) | Stopped::Late(..) => Check::fail(
            about,
            format!("no brine-master answers at {address}: {error}"),
            "see that this is the master's port and not another program's; on the master: brine doctor",
        ),
    }
}

fn standing(standing: Standing, id: &MinionId, key: &PrivateKey) -> Check {
    let (about, fingerprint) = ("key", key.public().fingerprint());
    match standing {
        Standing::Accepted { .. } => Check::ok(about, format!("the master has accepted it for {id}")),
        Standing::Pending => Check::fail(
            about,
            format!("it waits on the master until somebody accepts it (pending): {fingerprint}"),
            format!(
                "on the master, compare brine-key -f {id}, then: brine-key -a {id}; if it is not listed there, \
                 start brine-minion here, which knocks"
            ),
        ),
        Standing::Rejected => Check::fail(
            about,
            format!("the master has rejected this minion's key: {fingerprint}"),
            format!(
                "on the master, brine-key history {id} says who did that and why; \
                 brine-key -a {id} --include-rejected lets it in"
            ),
        ),
        Standing::Denied => Check::fail(
            about,
            format!(
                "denied: another key holds the id {id}; another machine has the same id, or this one was \
                 installed anew"
            ),
            format!(
                "give one of two machines another id (the option id); if this one replaces the other, on the \
                 master: brine-key -d {id}, then brine-key -a {id} once this key waits"
            ),
        ),
        Standing::Suspended => Check::fail(
            about,
            format!("the master has suspended {id}: it gets no orders"),
            format!("on the master: brine-key history {id} says why, brine-key resume {id} ends it"),
        ),
    }
}

fn skew(ours: Timestamp, theirs: Timestamp) -> Check {
    let seconds = ours.0.saturating_sub(theirs.0) / 1_000_000;
    if seconds.abs() <= SKEW_MAX {
        return Check::ok("clock", "agrees with the master's");
    }
    let way = if seconds > 0 { "ahead of" } else { "behind" };
    Check::warn(
        "clock",
        format!("this machine's clock is {} {way} the master's", span(seconds.unsigned_abs())),
        "set it (timedatectl set-ntp true); jobs run all the same, and times in logs will not fit together",
    )
}

/// A time that people can grasp, rounded: a clock that is a day off is not 23 hours off.
fn span(seconds: u64) -> String {
    let rounded = |unit: u64| (seconds + unit / 2) / unit;
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} minutes", rounded(60)),
        7_200..=172_799 => format!("{} hours", rounded(3600)),
        _ => format!("{} days", rounded(86_400)),
    }
}

#[cfg(test)]
mod tests {
    use brine_local::checkup::Grade;

    use super::*;

    #[test]
    fn a_clock_that_is_a_day_off_is_a_warning() {
        let at = |seconds: i64| Timestamp(1_795_327_652_000_000 + seconds * 1_000_000);
        for (ours, expected) in
            [(86_400, "24 hours ahead of"), (-86_399, "24 hours behind"), (90, "90 s ahead")]
        {
            let check = skew(at(ours), at(0));
            assert_eq!(check.grade, Grade::Warn);
            assert!(check.says.contains(expected), "{check:?}");
        }
        assert_eq!(skew(at(59), at(0)).grade, Grade::Ok);
        assert!(skew(at(-86_400 * 30), at(0)).says.contains("30 days behind"));
        // Nobody's clock is too wrong to be told of.
        assert_eq!(skew(Timestamp(i64::MIN), Timestamp(i64::MAX)).grade, Grade::Warn);
    }

    #[test]
    fn of_two_versions_the_older_is_named() {
        let address = "192.0.2.1:4506".parse().unwrap();
        for (theirs, expected) in [(0, "the master's is too old"), (9, "this one is too old")] {
            let check = stopped("master", address, &HandshakeError::Version(theirs).into());
            assert_eq!((check.about, check.grade), ("protocol", Grade::Fail));
            assert!(check.says.contains(expected), "{check:?}");
        }
    }
}
