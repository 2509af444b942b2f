//! Another key for this minion: made beside the loop, written in it, handed over by the master's
//! word only.

use brine_pki::key::PrivateKey;
use brine_pki::rotation;
use brine_protocol::message::ToMaster;
use brine_protocol::{Fingerprint, Jid};
use tokio::sync::{mpsc, oneshot};

use super::Driver;
use crate::engine::Input;
use crate::rotation::{Ask, Turned};
use crate::session::Command;

/// What the loop hears about keys.
pub(super) enum Done {
    /// A job wants another key.
    Asked(Ask),
    /// A key was made, or not.
    Made(Box<Result<PrivateKey, String>>),
}

/// Jobs that wait for another key.
pub(super) struct Rotation {
    made: mpsc::UnboundedSender<Done>,
    is_making: bool,
    /// Until the next key is on disk.
    asking: Vec<Ask>,
    /// Until the master's answer is known.
    waiting: Vec<oneshot::Sender<Result<Turned, String>>>,
}

impl Rotation {
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Done>) {
        let (made, received) = mpsc::unbounded_channel();
        (Self { made, is_making: false, asking: Vec::new(), waiting: Vec::new() }, received)
    }

    /// Makes a key on a thread of its own: nothing waits for it, and the file is written by the
    /// loop, so that a minion that ends meanwhile writes none behind its successor's back.
    fn make(&mut self, bits: usize) {
        if std::mem::replace(&mut self.is_making, true) {
            return;
        }
        let made = self.made.clone();
        let make = move || {
            let key = PrivateKey::generate(bits).map_err(|error| error.to_string());
            // Nobody listens when the minion stops.
            let _ = made.send(Done::Made(Box::new(key)));
        };
        if let Err(error) = std::thread::Builder::new().name("make-key".to_owned()).spawn(make) {
            let why = format!("cannot start a thread: {error}");
            let _ = self.made.send(Done::Made(Box::new(Err(why))));
        }
    }

    fn tell(&mut self, answer: &Result<Turned, String>) {
        for job in self.waiting.drain(..) {
            // A job that was killed no longer waits.
            let _ = job.send(answer.clone());
        }
    }
}

impl Driver {
    /// Goes on with a rotation that the last process began.
    pub(super) fn resume_rotation(&mut self) {
        if let Some(next) = self.parts.identity.keys.next() {
            let fingerprint = next.public().fingerprint();
            tracing::info!(%fingerprint, "a rotation of this minion's key is under way");
            self.handle(Input::Prepared { fingerprint, jid: None });
        }
    }

    pub(super) fn on_rotation(&mut self, done: Done) {
        match done {
            Done::Asked(ask) => {
                self.rotation.asking.push(ask);
                match self.parts.identity.keys.next() {
                    // The one that is pending is finished first; a third key would help nobody.
                    Some(next) => self.prepared(next.public().fingerprint()),
                    None => self.rotation.make(self.parts.keysize),
                }
            }
            Done::Made(made) => {
                self.rotation.is_making = false;
                let prepared = (*made).and_then(|key| {
                    self.parts.identity.keys.prepare(key).map_err(|error| format!("{error:#}"))
                });
                match prepared {
                    Ok(next) => self.prepared(next.public().fingerprint()),
                    Err(why) => {
                        for ask in self.rotation.asking.drain(..) {
                            let _ = ask.prepared.send(Err(why.clone()));
                        }
                    }
                }
            }
        }
    }

    /// The next key is on disk: from here on it is finished even if this process dies.
    fn prepared(&mut self, fingerprint: Fingerprint) {
        let mut jid = None;
        for ask in std::mem::take(&mut self.rotation.asking) {
            jid = jid.or(ask.jid);
            let _ = ask.prepared.send(Ok(fingerprint));
            self.rotation.waiting.push(ask.done);
        }
        self.handle(Input::Prepared { fingerprint, jid });
    }

    /// Signs the handover and sends it over the session that is open now.
    pub(super) fn ask_master(&self, jid: Option<Jid>) {
        let (keys, id) = (&self.parts.identity.keys, self.parts.identity.id.clone());
        let (Some(link), current, Some(next)) = (&self.link, keys.current(), keys.next()) else {
            return;
        };
        let commands = link.commands.clone();
        tokio::task::spawn_blocking(move || {
            let rotate = Box::new(rotation::sign(&id, &current, &next, jid));
            // A session that has ended meanwhile is followed by one that asks again.
            let _ = commands.send(Command::Send(ToMaster::Rotate(rotate)));
        });
    }

    /// The master knows this key as ours. Nothing happens unless it is the next one.
    pub(super) fn promote(&mut self, fingerprint: Fingerprint) {
        let is_next =
            self.parts.identity.keys.next().is_some_and(|next| next.public().fingerprint() == fingerprint);
        if !is_next {
            return;
        }
        self.handle(Input::Turned);
        let answer = match self.parts.identity.keys.promote(fingerprint) {
            Ok(Some(old)) => {
                tracing::info!(%old, new = %fingerprint, "this minion has another key");
                // The session goes on, and what is said of its key from now on is said of this one.
                if let Some(link) = &mut self.link {
                    link.key = Some(fingerprint);
                }
                Ok(Turned { old, new: fingerprint })
            }
            Ok(None) => return,
            Err(error) => {
                tracing::error!(
                    "the master has this minion's new key, but its files are not in order: {error:#}"
                );
                Err(format!(
                    "the master has the new key {fingerprint}, but its files are not in order: {error:#}; the next \
                     session tries again"
                ))
            }
        };
        self.rotation.tell(&answer);
    }

    /// The master refused the next key: the present one stays.
    pub(super) fn discard(&mut self, fingerprint: Fingerprint, why: &str) {
        tracing::warn!(%fingerprint, why, "the master refuses this minion's new key, the old one stays");
        if let Err(error) = self.parts.identity.keys.discard(fingerprint) {
            tracing::warn!("the refused key is still there: {error:#}");
        }
        self.rotation.tell(&Err(format!("the master refuses the new key: {why}")));
    }
}
