//! From the Offer to the Welcome: what a Hello or a Resume is worth.

use std::time::Instant;

use brine_pki::handshake::master::{NotResumed, Offer, refused};
use brine_pki::handshake::{HandshakeError, busy};
use brine_protocol::message::{Pace, Standing, Welcome};

use super::{Connection, Open, Phase};
use crate::engine::Input;
use crate::gate::claim::Claim;
use crate::gate::verifier::Refused;
use crate::gate::wire::Ended;
use crate::tickets::wall_s;

impl Connection {
    pub(super) fn on_verdict(&mut self, standing: Standing, generation: Option<u64>) -> Result<(), Ended> {
        let Phase::Judged(claim) = std::mem::replace(&mut self.phase, Phase::Greeting) else {
            return Err("engine_spoke_too_early");
        };
        let claim = match claim.under(generation) {
            Ok(claim) => claim,
            Err(offer) => {
                self.refuse_ticket(offer);
                return Ok(());
            }
        };
        self.take_place(standing)?;
        if self.closing.is_some() {
            return Ok(());
        }
        let opened = claim.opened(self.conn, self.ticket.address);
        let pace = Pace {
            heartbeat_ms: self.heartbeat.as_millis() as u64,
            message_max: Some(self.gate.config.message_max as u64),
            clock: Some(brine_local::clock::wall()),
        };
        let (opening, mut grants) = claim.open(generation).map_err(|_| "hello_degenerate")?;
        let ticket = grants.next(&self.gate.tickets, wall_s());
        let (welcome, channel) = opening.welcome(&Welcome { standing, pace }, &ticket, self.gate.now_s());
        if opened.resumed.is_some() {
            self.gate.counters.count("resumed");
        }
        self.wire.write_message(&welcome);
        self.stage_since = Instant::now();
        self.phase = Phase::Open(Box::new(Open { channel, unproven: Some(opened), grants }));
        Ok(())
    }

    pub(super) async fn on_hello(&mut self, offer: Offer, message: &[u8]) -> Result<(), Ended> {
        let hello = offer.read_hello(message).map_err(|error| refusal(&error))?;
        match self.gate.verifier.verify(self.ticket.address, hello).await {
            Ok(verified) => {
                self.gate.counters.count("hello_verified");
                self.have_judged(Claim::Signed(verified)).await
            }
            Err(Refused::Busy { retry_after_ms }) => {
                self.wire.write_message(&busy(retry_after_ms));
                self.closing = Some("busy");
                Ok(())
            }
            Err(Refused::Handshake(error)) => Err(refusal(&error)),
        }
    }

    /// Microseconds of work, so that it takes no turn behind signatures.
    pub(super) async fn on_resume(&mut self, offer: Offer, message: &[u8]) -> Result<(), Ended> {
        match self.gate.tickets.read(offer, message) {
            Ok(resumed) => self.have_judged(Claim::Resumed(resumed)).await,
            Err(NotResumed::Refused(offer)) => {
                self.refuse_ticket(offer);
                Ok(())
            }
            Err(NotResumed::Malformed(_)) => Err("resume_malformed"),
        }
    }

    /// Has the engine say where the key stands now.
    async fn have_judged(&mut self, claim: Claim) -> Result<(), Ended> {
        let (id, fingerprint) = (claim.id().clone(), claim.fingerprint());
        self.phase = Phase::Judged(Box::new(claim));
        self.stage_since = Instant::now();
        self.known_to_engine = true;
        let input = Input::Hello { conn: self.conn, id, fingerprint };
        self.gate.inputs.send(input).await.map_err(|_| "stopping")
    }

    fn refuse_ticket(&mut self, offer: Offer) {
        self.gate.counters.count("resume_refused");
        self.wire.write_message(&refused());
        self.phase = Phase::Offered { offer, may_resume: false };
        self.stage_since = Instant::now();
    }
}

fn refusal(error: &HandshakeError) -> Ended {
    match error {
        HandshakeError::Version(_) => "hello_version",
        HandshakeError::Id => "hello_id",
        HandshakeError::Key(_) => "hello_key",
        HandshakeError::Signature(_) => "hello_signature",
        HandshakeError::Degenerate => "hello_degenerate",
        HandshakeError::Malformed(_)
        | HandshakeError::Pin { .. }
        | HandshakeError::Serial { .. }
        | HandshakeError::Busy { .. }
        | HandshakeError::Verdict(_) => "hello_malformed",
    }
}
