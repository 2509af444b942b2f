//! What an engine is told, and what it says is to be done.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use brine_pki::key::PublicKey;
use brine_pki::registry::rules::Rules;
use brine_pki::rotation::Handover;
use brine_protocol::control::{Event, JobEvent};
use brine_protocol::message::{Standing, ToMaster, ToMinion};
use brine_protocol::permission::Verb;
use brine_protocol::target::Nodegroups;
use brine_protocol::time::Timestamp;
use brine_protocol::{Fingerprint, Jid, MinionId};
use bytes::Bytes;

use super::{
    Answer, BundleDone, BundleStep, KeyStep, ModuleStep, ModulesDone, Request, RequestId, RotationCheck,
};
use crate::gate::ConnId;
use crate::pillar::Tree;
use crate::roles::Roles;
use crate::store::Record;

/// The time, on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// The wall clock: for jids, records and display.
    pub wall: Timestamp,
    /// A clock that does not go back, from any start: for every deadline.
    pub steady: Duration,
}

/// A session that proved it holds its key: its first sealed frame has opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The connection.
    pub conn: ConnId,
    /// The id its Hello was signed for, or its ticket is of.
    pub id: MinionId,
    /// DER of its public key, if it was shown.
    pub key: Vec<u8>,
    /// SHA-256 of it.
    pub fingerprint: Fingerprint,
    /// The decision that its ticket was given under, if it came with one. Its key was not shown then.
    pub resumed: Option<u64>,
    /// Where it comes from.
    pub address: IpAddr,
}

/// Everything that can wake the engine.
#[derive(Debug)]
pub enum Input {
    /// A Hello's signature is good, or a Resume's ticket; a verdict is due.
    Hello {
        /// The connection.
        conn: ConnId,
        /// The id that was signed for.
        id: MinionId,
        /// The key.
        fingerprint: Fingerprint,
    },
    /// The first sealed frame has opened.
    Opened {
        /// Who it is.
        opened: Box<Opened>,
        /// What the frame says.
        first: ToMaster,
    },
    /// A later frame.
    Frame {
        /// The connection.
        conn: ConnId,
        /// What it says.
        message: ToMaster,
    },
    /// The session's subscriber has shown its token.
    Subscribed {
        /// The session's connection.
        conn: ConnId,
    },
    /// Everything sent to the session before an [`Output::Mark`] has left.
    Drained {
        /// The session's connection.
        conn: ConnId,
    },
    /// The connection has ended.
    Closed {
        /// The connection.
        conn: ConnId,
        /// The counter's name for why.
        why: &'static str,
    },
    /// An operator asks.
    Request(Box<Request>),
    /// Somebody without a role tried an act about trust.
    Refused {
        /// Who.
        who: String,
        /// Which.
        verb: Verb,
        /// On what.
        subject: String,
    },
    /// Whether the disk takes writes; the problem in one sentence if not.
    Disk(Option<String>),
    /// What the files of automatic decisions say now.
    Rules {
        /// The rules; without any when they cannot be used.
        rules: Box<Rules>,
        /// Why they cannot, in one sentence.
        problem: Option<String>,
    },
    /// The nodegroups from now on.
    Nodegroups(Nodegroups),
    /// Who may do what from now on.
    Roles {
        /// The roles.
        roles: Arc<Roles>,
        /// The user that this master runs as, who may do everything.
        own_uid: u32,
    },
    /// The pillar files were read.
    Pillar {
        /// What they say; or why they cannot be used, in one sentence.
        tree: Result<Arc<Tree>, String>,
        /// Whether it was for [`Output::ReadPillar`].
        asked: bool,
    },
    /// Most keys that may be accepted or suspended from now on; 0 means no limit.
    MaxMinions(usize),
    /// The signatures of a session's rotation were looked at.
    RotationChecked {
        /// The session's connection.
        conn: ConnId,
        /// The key that it names.
        named: Fingerprint,
        /// What it says; or what is wrong with it, in one sentence.
        checked: Result<Handover, String>,
    },
    /// A key for this master was made and is in its file; or why not, in one sentence.
    KeyMade(Result<PublicKey, String>),
    /// This config is offered from now on: an Offer, in base64.
    Offering(String),
    /// Whether this master's key is in its file; the problem in one sentence if not.
    KeySaved(Option<String>),
    /// What was to be done about a bundle.
    Bundle(BundleDone),
    /// What was read for [`Output::Modules`].
    Modules(ModulesDone),
    /// Time has passed.
    Tick,
}

/// What is to be done, in order.
#[derive(Debug)]
pub enum Output {
    /// Write this before anything that follows.
    Persist(Record),
    /// Answer a Hello or a Resume. Waits for nothing.
    Welcome {
        /// The connection.
        conn: ConnId,
        /// The verdict.
        standing: Standing,
        /// The decision that accepted the key, if one did: a ticket from under another one is refused.
        generation: Option<u64>,
    },
    /// Give a ticket to a session that has waited.
    Grant {
        /// The session's connection.
        conn: ConnId,
        /// The decision that has let it in.
        generation: u64,
    },
    /// Tell one minion.
    Send {
        /// The session's connection.
        conn: ConnId,
        /// What.
        message: ToMinion,
    },
    /// Tell one minion what rests on nothing that is to be written. Waits for nothing.
    SendNow {
        /// The session's connection.
        conn: ConnId,
        /// What.
        message: ToMinion,
    },
    /// Tell every subscriber of a live session; sealed already.
    Broadcast(Bytes),
    /// Say [`Input::Drained`] when all that was sent to this session has left.
    Mark(ConnId),
    /// End a connection after what was sent to it.
    Close {
        /// The connection.
        conn: ConnId,
        /// The counter's name for why.
        why: &'static str,
    },
    /// End a connection at once. Waits for nothing.
    Cut {
        /// The connection.
        conn: ConnId,
        /// The counter's name for why.
        why: &'static str,
    },
    /// Answer an operator.
    Answer {
        /// The request.
        request: RequestId,
        /// The answer.
        answer: Box<Answer>,
    },
    /// Answer an operator without waiting for the disk: nothing in it is a promise.
    AnswerNow {
        /// The request.
        request: RequestId,
        /// The answer.
        answer: Box<Answer>,
    },
    /// Tell whoever follows the event stream.
    Event(Arc<Event>),
    /// Tell whoever follows this job.
    JobEvent {
        /// The job.
        jid: Jid,
        /// What happened.
        event: JobEvent,
    },
    /// Count something.
    Count(&'static str),
    /// Look at the signatures of a rotation, and say [`Input::RotationChecked`]. Waits for nothing.
    CheckRotation(RotationCheck),
    /// Something about the master's own key. Waits for nothing: what it rests on is in the ledger.
    Key(KeyStep),
    /// Something about a key for a server record. Waits for nothing, for the same reason.
    Bundle(BundleStep),
    /// Read the pillar files, and say [`Input::Pillar`]. Waits for nothing.
    ReadPillar,
    /// Read custom modules, and say [`Input::Modules`]. Waits for nothing.
    Modules(ModuleStep),
}
