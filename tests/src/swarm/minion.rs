//! The life of one simulated minion: sessions, and the pauses between them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use brine_minion::backoff::Backoff;
use brine_pki::handshake::minion::Ticket;
use brine_protocol::MinionId;

use super::ended::Ended;
use super::executor::Executor;
use super::session::Session;
use super::{Shared, id, stopped};

/// The longest pause while the master cannot be reached; as the real minion.
const RECONNECT_MAX: Duration = Duration::from_secs(4);

/// What a minion keeps from session to session.
#[derive(Debug)]
pub(super) struct Minion {
    pub(super) number: usize,
    pub(super) id: MinionId,
    /// The random id of the journal that it would have.
    pub(super) journal: Box<str>,
    /// Where its connections come from.
    pub(super) from: Option<IpAddr>,
    /// The highest serial of the master's config that it has seen.
    pub(super) serial: u64,
    /// What its last session left to the next.
    pub(super) ticket: Option<Box<Ticket>>,
    pub(super) executor: Executor,
}

impl Minion {
    pub(super) fn new(shared: &Shared, number: usize) -> Self {
        let journal: String = brine_pki::random::bytes::<16>().iter().map(|b| format!("{b:02x}")).collect();
        Self {
            number,
            id: id(&shared.options.prefix, number),
            journal: journal.into(),
            from: shared.options.from.map(|from| from.address(number)),
            serial: 0,
            ticket: None,
            executor: Executor::new(),
        }
    }
}

/// Lives until the swarm stops.
pub(super) async fn live(shared: Arc<Shared>, number: usize) {
    let mut stop = shared.stop.subscribe();
    let mut minion = Minion::new(&shared, number);
    let mut backoff = Backoff::new(RECONNECT_MAX);
    let mut pause = shared.options.begins_after(number);
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stopped(&mut stop) => return,
        }
        let opened = tokio::select! {
            // The opening needs far more room than the session that follows.
            opened = Box::pin(Session::open(&shared, &mut minion)) => opened,
            () = stopped(&mut stop) => return,
        };
        let ended = match opened {
            Ok(mut session) => {
                let begun = Instant::now();
                let ended = session.run(&shared, &mut minion, &mut stop).await;
                if matches!(ended, Ended::Lost(_)) && begun.elapsed() > RECONNECT_MAX {
                    backoff.reset();
                }
                ended
            }
            Err(ended) => ended,
        };
        if ended == Ended::Stopped {
            return;
        }
        shared.stats.ended(ended.reason());
        pause = backoff.pause(ended.setback(), u64::from_be_bytes(brine_pki::random::bytes()));
    }
}
