//! The handshake of a session: by ticket where there is one, by signature where not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use brine_pki::channel::Channel;
use brine_pki::handshake::HandshakeError;
use brine_pki::handshake::minion::{Answer, Offered, Pin, Ticket, Waiting, Welcomed};
use brine_pki::key::PrivateKey;
use brine_pki::random;
use brine_pki::ticket::Resumption;
use brine_protocol::Fingerprint;
use brine_protocol::message::Standing;
use bytes::Bytes;
use tokio::time::timeout;

use super::{Event, Identity, SessionError};
use crate::enrolment;
use crate::link::{Control, Dial};

/// A session that is open.
pub(super) struct Open<D: Dial> {
    pub(super) control: D::Control,
    pub(super) channel: Channel,
    pub(super) address: SocketAddr,
    pub(super) own: Fingerprint,
    pub(super) master: Fingerprint,
    pub(super) standing: Standing,
    pub(super) heartbeat: Duration,
    pub(super) resumption: Resumption,
    pub(super) event: Event,
}

/// Opens a session with the key that the master knows. Of two it is the next one if the master
/// was told of it: only the holder of that key could tell, so the answer to a rotation was lost.
pub(super) async fn open<D: Dial>(dial: &D, identity: &Identity) -> Result<Open<D>, SessionError> {
    if let Some(next) = identity.keys.next() {
        match open_with(dial, identity, &next).await {
            Ok(opened) if matches!(opened.standing, Standing::Accepted { .. } | Standing::Suspended) => {
                return Ok(opened);
            }
            // Nothing sealed was sent, so the master has filed nothing under it.
            Ok(_) => {}
            // A master may have no room for a key that it does not know, and all for the other.
            Err(error) => tracing::debug!("no session with the next key: {error}"),
        }
    }
    open_with(dial, identity, &identity.keys.current()).await
}

async fn open_with<D: Dial>(
    dial: &D,
    identity: &Identity,
    key: &Arc<PrivateKey>,
) -> Result<Open<D>, SessionError> {
    let pin: Pin = identity.trust.pin().map_err(SessionError::Trust)?;
    enrolment::check(identity.has_token, &pin)?;
    let (mut control, address) = dial.control().await?;
    let offer = step(&mut control, "Offer", identity.patience).await?;
    let offered = Offered::read(&offer, &pin)?;
    let (trust_key, serial, successor) = (offered.trust_key().clone(), offered.serial(), offered.successor());
    let (own, master) = (key.public().fingerprint(), trust_key.fingerprint());
    let answer = match identity.ticket.take(own, master) {
        Some(ticket) => resume(&mut control, identity, offered, ticket).await?,
        None => Answer::Refused(offered),
    };
    let welcomed = match answer {
        Answer::Welcome(welcomed) => welcomed,
        Answer::Refused(offered) => sign(&mut control, identity, offered, key).await?,
    };
    let Welcomed { welcome, channel, ticket, resumption } = *welcomed;
    // Only now is it certain that the holder of that key is there.
    identity.trust.remember(&trust_key, serial, successor).map_err(SessionError::Trust)?;
    identity.ticket.put(Ticket::new(own, master, &ticket, resumption.clone()));
    let standing = welcome.standing;
    let heartbeat = heartbeat(welcome.pace.heartbeat_ms);
    let event = Event::Opened {
        standing,
        heartbeat,
        message_max: welcome.pace.message_max.map(|max| usize::try_from(max).unwrap_or(usize::MAX)),
        key: own,
        master,
        successor,
        address,
    };
    Ok(Open { control, channel, address, own, master, standing, heartbeat, resumption, event })
}

/// Shows a ticket. It is gone whatever comes of it, unless the master is only busy: one that is older than
/// tickets closes the connection, and gets a Hello over the next.
async fn resume(
    control: &mut impl Control,
    identity: &Identity,
    offered: Offered,
    ticket: Ticket,
) -> Result<Answer, SessionError> {
    let (message, waiting) = offered.resume(&ticket, random::bytes());
    let answer = exchange(control, identity, message, waiting).await;
    if matches!(answer, Err(SessionError::Handshake(HandshakeError::Busy { .. }))) {
        identity.ticket.put(Some(ticket));
    }
    answer
}

async fn sign(
    control: &mut impl Control,
    identity: &Identity,
    offered: Offered,
    key: &Arc<PrivateKey>,
) -> Result<Box<Welcomed>, SessionError> {
    let (key, id) = (Arc::clone(key), identity.id.clone());
    let signing = tokio::task::spawn_blocking(move || offered.hello(&key, &id, random::bytes()));
    let (message, waiting) = signing.await.expect("signing with a checked key does not fail");
    match exchange(control, identity, message, waiting).await? {
        Answer::Welcome(welcomed) => Ok(welcomed),
        Answer::Refused(_) => Err(HandshakeError::Malformed("Welcome").into()),
    }
}

async fn exchange(
    control: &mut impl Control,
    identity: &Identity,
    message: Vec<u8>,
    waiting: Waiting,
) -> Result<Answer, SessionError> {
    control.window().reserve().await;
    control.send(Bytes::from(message)).await?;
    Ok(waiting.answer(&step(control, "verdict", identity.patience).await?)?)
}

/// What the master asks for, within reason.
fn heartbeat(millis: u64) -> Duration {
    Duration::from_millis(millis.clamp(50, 10 * 60 * 1000))
}

async fn step(
    control: &mut impl Control,
    what: &'static str,
    within: Duration,
) -> Result<Bytes, SessionError> {
    match timeout(within, control.recv()).await {
        Ok(message) => Ok(message?),
        Err(_) => Err(SessionError::Late { what, within }),
    }
}
