//! Keys that give way to others: this minion's, and its master's.
//!
//! ```text
//! Prepared --live--> asked --Rotated--> promoted, or discarded
//!     ^                '--- Lost ---'
//! ```
//! A next key is asked for once in each live session, until the answer is known. A session that
//! the master opened under the next key is the answer as well ([`super::Input::Turned`]).

use brine_protocol::message::{Learned, Rotated, ToMaster};
use brine_protocol::{Fingerprint, Jid};

use super::{Engine, Output, Session};

/// A next key that the master has not answered about.
#[derive(Debug)]
pub(super) struct Next {
    fingerprint: Fingerprint,
    jid: Option<Jid>,
    /// Whether it was asked for in the present session.
    is_asked: bool,
}

impl Engine {
    /// Another job that asks while a key is prepared gets the same key.
    pub(super) fn on_prepared(&mut self, fingerprint: Fingerprint, jid: Option<Jid>) {
        if self.next.as_ref().is_none_or(|next| next.fingerprint != fingerprint) {
            self.next = Some(Next { fingerprint, jid, is_asked: false });
        }
        if matches!(self.session, Session::Live(..)) {
            self.ask_for_next();
        }
    }

    /// The session is live: what is prepared is asked for, behind the Start.
    pub(super) fn ask_for_next(&mut self) {
        if let Some(next) = self.next.as_mut().filter(|next| !next.is_asked) {
            next.is_asked = true;
            let jid = next.jid;
            self.put(Output::Rotate { jid });
        }
    }

    pub(super) fn forget_asking(&mut self) {
        if let Some(next) = &mut self.next {
            next.is_asked = false;
        }
    }

    /// The master has answered. An answer about another key is none.
    pub(super) fn on_rotated(&mut self, rotated: Rotated) {
        let Rotated { fingerprint, refused } = rotated;
        if self.next.as_ref().is_none_or(|next| next.fingerprint != fingerprint) {
            return;
        }
        self.next = None;
        self.put(match refused {
            None => Output::Promote(fingerprint),
            Some(why) => Output::Discard { fingerprint, why },
        });
    }

    /// It is on disk which key follows the master's: told where it counts. A session that is not
    /// live yet says it in its Start.
    pub(super) fn on_learned(&mut self, successor: Option<Fingerprint>) {
        self.successor = successor;
        if matches!(self.session, Session::Live(..)) {
            self.send(ToMaster::Learned(Learned { successor }));
        }
    }
}
