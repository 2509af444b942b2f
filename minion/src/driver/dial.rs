//! Beginning a session: on a thread and a runtime of its own.

use std::time::Instant;

use tokio::sync::mpsc;

use super::{Driver, EVENTS, Link, random};
use crate::backoff::Setback;
use crate::session::{self, SessionError};

impl Driver {
    pub(super) fn dial(&mut self) {
        self.sessions += 1;
        let number = self.sessions;
        let (commands, mut from_driver) = mpsc::unbounded_channel();
        let (tell, events) = mpsc::channel(EVENTS);
        let (mut dialer, mut identity, ends) =
            (self.parts.dialer.clone(), self.parts.identity.clone(), self.ends.clone());
        for limit in [&mut dialer.bounds.connect, &mut dialer.bounds.handshake, &mut identity.patience] {
            *limit = self.backoff.patience(*limit);
        }
        let session = move || {
            // The crate's sockets deadlock on a runtime of several threads, and all that a
            // session leaves behind goes away with its runtime.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let end = match runtime {
                Ok(runtime) => {
                    let end = runtime.block_on(session::run(&dialer, &identity, &tell, &mut from_driver));
                    runtime.shutdown_background();
                    end
                }
                Err(error) => {
                    SessionError::Trust(anyhow::Error::new(error).context("cannot start a session"))
                }
            };
            // Nobody listens any more when the minion stops.
            let _ = ends.send((number, end));
        };
        if let Err(error) = std::thread::Builder::new().name("brine-session".to_owned()).spawn(session) {
            self.say(format!("cannot start a session: {error}"), false);
            self.redial_at = Instant::now() + self.backoff.pause(Setback::Lost, random());
            return;
        }
        self.link = Some(Link {
            number,
            commands,
            events,
            since: Instant::now(),
            standing: None,
            key: None,
            ended: false,
            is_renewed: false,
            abandon_at: None,
        });
    }
}
