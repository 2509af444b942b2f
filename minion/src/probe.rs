//! `brine-minion probe-master`: who is there, before anything is trusted, sent or written.
//!
//! It goes as far as an opening goes without saying who asks: greeting, READY, the master's Offer.
//! **Invariant:** no Hello and no file, whatever the answer is.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use brine_local::Paths;
use brine_pki::handshake::minion::{Offered, Pin};
use brine_pki::handshake::{HANDSHAKE_MAX, HandshakeError};
use brine_protocol::Fingerprint;
use brine_protocol::limits::WireLimits;
use brine_protocol::zmtp::{self, Decoder, Event, Refusal, SocketType};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::Host;
use crate::net::Dialer;
use crate::relay::{self, Bounds, RelayError};
use crate::trust::Trust;

/// Bytes asked of a socket at a time.
const CHUNK: usize = 4096;

/// What is to be found out.
#[derive(Debug, Clone)]
pub struct Probe {
    /// Where the master should be.
    pub host: Host,
    /// Its publish port.
    pub publish_port: u16,
    /// Its return port.
    pub ret_port: u16,
    /// The fingerprint it should have.
    pub expect: Option<Fingerprint>,
    /// How long all of it may take.
    pub timeout: Duration,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// For standard output.
    pub text: String,
    /// For standard error.
    pub caution: Option<&'static str>,
}

/// Asks a master who it is.
///
/// # Errors
/// One sentence: it does not answer on both ports, or is another one than was expected.
pub fn run(paths: &Paths, probe: &Probe) -> Result<Found> {
    let pin = pin(paths, probe.expect);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asked = runtime.block_on(async { timeout(probe.timeout, ask(probe, &pin)).await });
    // A resolver that still searches is not waited for.
    runtime.shutdown_background();
    let host = probe.host.as_str();
    let Ok(offered) = asked else {
        bail!(
            "{host} did not answer on its ports {} and {} within {:?}",
            probe.ret_port,
            probe.publish_port,
            probe.timeout
        );
    };
    let got = offered?.trust_key().fingerprint();
    Ok(match probe.expect {
        None => Found {
            text: format!("{got}\n"),
            caution: Some(
                "nothing was verified: whoever answers can show a key; compare this fingerprint with what \
                 `brine-key -F master` shows on the master",
            ),
        },
        Some(expected) => {
            let how = if got == expected {
                "as expected".to_owned()
            } else {
                format!("which {expected} announced")
            };
            let ports = format!("{} and {}", probe.ret_port, probe.publish_port);
            Found {
                text: format!("the master at {host}, ports {ports}, has the key {got}, {how}\n"),
                caution: None,
            }
        }
    })
}

/// What the minion itself would go by with this `master_finger`: the key that the expected one
/// announced counts if this machine was told so. What cannot be read here tells nothing.
fn pin(paths: &Paths, expect: Option<Fingerprint>) -> Pin {
    let Some(expected) = expect else { return Pin::FirstUse };
    let trust = Trust::new(&paths.pki_minion(), Some(expected));
    trust.pin().unwrap_or(Pin::Fingerprint(expected))
}

async fn ask(probe: &Probe, pin: &Pin) -> Result<Offered> {
    let host = probe.host.as_str();
    let wire = WireLimits { message_max: HANDSHAKE_MAX, frames_max: 2, ..WireLimits::default() };
    // A name may have an address that leads nowhere, before one that does not.
    let (limit, ports) = (probe.timeout / 2, (probe.publish_port, probe.ret_port));
    let bounds = Bounds { wire, connect: limit, handshake: limit, stall: limit };
    let dialer = Dialer { host: host.to_owned(), publish_port: ports.0, ret_port: ports.1, bounds };

    let addresses = dialer.addresses(probe.ret_port).await?;
    let stream = relay::connect(&addresses, limit).await?;
    let address = stream.peer_addr().context("the connection is gone")?;
    let offer = offer(stream, wire).await.with_context(|| format!("no master at {address}"))?;
    let offered = Offered::read(&offer, pin).map_err(|error| refused(host, probe.ret_port, &offer, error))?;

    // The same machine as the other connection, whatever other addresses the name has.
    let address = SocketAddr::new(address.ip(), probe.publish_port);
    let subscribed =
        async { Call::open(relay::connect(&[address], limit).await?, wire, SocketType::Sub).await };
    subscribed.await.with_context(|| {
        format!("the master answers on its return port {} and not on its publish port", probe.ret_port)
    })?;
    Ok(offered)
}

async fn offer(stream: TcpStream, wire: WireLimits) -> Result<Bytes, RelayError> {
    Call::open(stream, wire, SocketType::Dealer).await?.message().await
}

/// One sentence for a master that is not the one.
fn refused(host: &str, port: u16, offer: &[u8], error: HandshakeError) -> anyhow::Error {
    let HandshakeError::Pin { got, pinned } = error else {
        return anyhow::Error::new(error)
            .context(format!("the master at {host} port {port} is not to be trusted"));
    };
    let announces = Offered::read(offer, &Pin::FirstUse).is_ok_and(|read| read.successor() == Some(pinned));
    let hint = if announces { ", which it announces as its next key and does not use yet" } else { "" };
    anyhow::anyhow!(
        "the master at {host} port {port} has the key {got}, and {pinned} was expected{hint}; nothing was sent to it"
    )
}

/// A connection on which both sides have said READY.
pub(crate) struct Call {
    stream: TcpStream,
    decoder: Decoder,
    buf: BytesMut,
}

impl Call {
    pub(crate) async fn open(
        stream: TcpStream,
        wire: WireLimits,
        ours: SocketType,
    ) -> Result<Self, RelayError> {
        let mut call = Self { stream, decoder: Decoder::new(wire, ours), buf: BytesMut::new() };
        let opening = [&zmtp::greeting()[..], &zmtp::ready(ours)].concat();
        call.stream.write_all(&opening).await.map_err(lost)?;
        while !call.decoder.is_ready() {
            call.next().await?;
        }
        Ok(call)
    }

    /// The next message, which has one frame.
    pub(crate) async fn message(&mut self) -> Result<Bytes, RelayError> {
        loop {
            if let Event::Message(mut parts) = self.next().await? {
                let only = if parts.len() == 1 { parts.pop() } else { None };
                return only.ok_or(RelayError::Refused(Refusal::TooManyFrames));
            }
        }
    }

    /// Sends a message of one frame.
    pub(crate) async fn say(&mut self, message: &[u8]) -> Result<(), RelayError> {
        let mut bytes = BytesMut::new();
        zmtp::encode_message(&[message], &mut bytes);
        self.stream.write_all(&bytes).await.map_err(lost)
    }

    async fn next(&mut self) -> Result<Event, RelayError> {
        loop {
            match self.decoder.decode(&mut self.buf).map_err(RelayError::Refused)? {
                Some(Event::Error { reason }) => {
                    let reason = String::from_utf8_lossy(&reason);
                    return Err(RelayError::Told(brine_local::text::escape(&reason)));
                }
                Some(event) => return Ok(event),
                None => {}
            }
            self.buf.reserve(CHUNK);
            if self.stream.read_buf(&mut self.buf).await.map_err(lost)? == 0 {
                return Err(RelayError::Closed);
            }
        }
    }
}

fn lost(error: impl std::fmt::Display) -> RelayError {
    RelayError::Lost(error.to_string())
}

#[cfg(test)]
mod tests {
    use brine_pki::key::PrivateKey;

    use super::*;

    #[test]
    fn what_this_machine_was_told_counts() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::new(Some(root.path()), None);
        let keys = [1, 2].map(|_| PrivateKey::generate(2048).unwrap().public().clone());
        let [old, new] = [keys[0].fingerprint(), keys[1].fingerprint()];
        assert_eq!(pin(&paths, None), Pin::FirstUse);
        assert_eq!(pin(&paths, Some(old)), Pin::Fingerprint(old));

        std::fs::create_dir_all(paths.pki_minion()).unwrap();
        let trust = Trust::new(&paths.pki_minion(), None);
        trust.remember(&keys[0], 4, Some(new)).unwrap();
        let known = |trust_key, serial, successor| Pin::Known { trust_key, serial, successor };
        assert_eq!(pin(&paths, Some(old)), known(old, 4, Some(new)));
        assert_eq!(pin(&paths, Some(new)), Pin::Fingerprint(new));
        trust.remember(&keys[1], 5, None).unwrap();
        assert_eq!(pin(&paths, Some(old)), known(new, 5, None));
        assert_eq!(pin(&paths, None), Pin::FirstUse, "nothing is verified unless somebody asks");

        std::fs::write(paths.pki_minion().join("minion_master.pub"), "junk").unwrap();
        assert_eq!(pin(&paths, Some(old)), Pin::Fingerprint(old));
    }
}
