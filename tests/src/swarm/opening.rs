//! How a simulated minion answers an Offer: with its ticket, or with a signature.

use std::sync::Arc;

use brine_pki::handshake::HandshakeError;
use brine_pki::handshake::minion::{Answer, Offered, Ticket};
use brine_pki::random;
use brine_pki::ticket::Resumption;
use brine_protocol::Fingerprint;
use tokio::sync::SemaphorePermit;

use super::Shared;
use super::ended::Ended;
use super::minion::Minion;
use super::stats::count;
use super::usage::thread_cpu;
use super::wire::Wire;

/// What the tickets of a session are for.
pub(super) struct Tickets {
    pub(super) own: Fingerprint,
    pub(super) master: Fingerprint,
    pub(super) resumption: Resumption,
}

impl Tickets {
    pub(super) fn put(&self, minion: &mut Minion, sealed: &[u8]) {
        if let Some(ticket) = Ticket::new(self.own, self.master, sealed, self.resumption.clone()) {
            minion.ticket = Some(Box::new(ticket));
        }
    }
}

/// Shows a ticket; as the real minion, which has it no more then unless the master is only busy.
pub(super) async fn resume(
    dealer: &mut Wire,
    minion: &mut Minion,
    offered: Offered,
    ticket: Box<Ticket>,
) -> Result<Answer, Ended> {
    let (message, waiting) = offered.resume(&ticket, random::bytes());
    dealer.send(&message);
    dealer.flush()?;
    let answer = waiting.answer(&dealer.message("verdict").await?);
    if matches!(answer, Err(HandshakeError::Busy { .. })) {
        minion.ticket = Some(ticket);
    }
    Ok(answer?)
}

pub(super) async fn sign(
    dealer: &mut Wire,
    shared: &Shared,
    minion: &Minion,
    offered: Offered,
    turn: SemaphorePermit<'_>,
) -> Result<Answer, Ended> {
    let (key, id) = (Arc::clone(shared.keys.of(minion.number)), minion.id.clone());
    let signing = tokio::task::spawn_blocking(move || {
        let before = thread_cpu();
        let (hello, waiting) = offered.hello(&key, &id, random::bytes());
        (hello, waiting, thread_cpu().saturating_sub(before))
    });
    // The runtime drops its threads when the swarm stops.
    let (hello, waiting, took) = signing.await.map_err(|_| Ended::Stopped)?;
    count(&shared.stats.signing_ns, u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    dealer.send(&hello);
    drop(turn);
    shared.start_line.wait().await;
    dealer.flush()?;
    Ok(waiting.answer(&dealer.message("verdict").await?)?)
}
