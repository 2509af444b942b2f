//! Other options while the loop runs: read beside it, taken over in it.

use std::time::Instant;

use anyhow::Result;
use brine_local::log;
use tokio::sync::mpsc;

use super::{ABANDON, Driver};
use crate::engine::Input;
use crate::reload::{Next, dialer, grains_max};
use crate::session::Command;

/// Reading the configuration again, one at a time.
pub(super) struct Reload {
    read: mpsc::UnboundedSender<Result<Next>>,
    is_reading: bool,
    /// Asked for while it was being read: what was changed since may have been missed.
    is_wanted_again: bool,
}

impl Reload {
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Result<Next>>) {
        let (read, received) = mpsc::unbounded_channel();
        (Self { read, is_reading: false, is_wanted_again: false }, received)
    }
}

impl Driver {
    /// Reads the configuration on a thread that may wait for the disk.
    pub(super) fn reload(&mut self) {
        if std::mem::replace(&mut self.reload.is_reading, true) {
            self.reload.is_wanted_again = true;
            return;
        }
        let (source, grains) = (self.parts.source.clone(), self.parts.world.grains.clone());
        let was_accepted = self.parts.engine.book().store().is_some();
        let read = self.reload.read.clone();
        tokio::task::spawn_blocking(move || {
            // Nobody listens any more when the minion stops.
            let _ = read.send(source.again(&grains, was_accepted));
        });
    }

    pub(super) fn on_reloaded(&mut self, next: Result<Next>) {
        self.reload.is_reading = false;
        match next {
            Ok(next) => self.adopt(next),
            Err(error) => {
                tracing::error!("the configuration was not reloaded, everything stays as it was: {error:#}");
            }
        }
        if std::mem::take(&mut self.reload.is_wanted_again) {
            self.reload();
        }
    }

    fn adopt(&mut self, next: Next) {
        let options = &next.source.options;
        let parts = &mut self.parts;
        parts.dialer = dialer(options);
        parts.identity.trust = next.trust.clone();
        parts.identity.has_token = next.source.token.is_some();
        parts.identity.patience = options.handshake_timeout.duration();
        parts.world.output_max = options.output_max;
        // Each module is asked anew as well, whether the folder is another or not.
        parts.world.modules.move_to(options.modules_folder(&next.source.paths));
        parts.keysize = options.keysize.bits();
        parts.grains_max = grains_max(options);
        if parts.reconnect_max != options.reconnect_max.duration() {
            parts.reconnect_max = options.reconnect_max.duration();
            self.backoff.limit(parts.reconnect_max);
        }
        if next.changes.in_place.contains(&"log_level") && !next.source.has_own_log_level {
            log::set(options.log_level.as_str()).expect("a level that was checked exists");
        }
        next.say();
        let needs_session = next.needs_session();
        self.parts.source = next.source;
        let (settings, is_token_new) = (Box::new(next.settings), next.is_token_new);
        self.handle(Input::Settings { settings, is_token_new });
        if needs_session {
            self.renew_session();
        }
    }

    /// Ends the session, if there is one, and dials the next one at once. Jobs go on.
    fn renew_session(&mut self) {
        self.backoff.reset();
        self.redial_at = Instant::now();
        self.command(Command::Close);
        if let Some(link) = &mut self.link {
            link.is_renewed = true;
            link.abandon_at = Some(Instant::now() + ABANDON);
        }
    }
}
