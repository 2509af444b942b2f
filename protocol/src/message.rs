//! What master and minion say to each other inside sealed frames.
//!
//! Each message is one JSON object; its kind is a byte in the frame's header
//! ([`crate::frame`]), so that a reader knows the type before it parses. Kinds are frozen: new
//! ones are added, none is reused. A session speaks one version ([`crate::version`]).

mod counted;
mod welcome;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::frame::{Frame, FrameError};
use crate::hex::{hex16, hex32};
use crate::job::{Call, Ending};
use crate::modules::{Module, ModuleWanted, Modules, ModulesWanted};
use crate::pillar::{Pillar, RefreshPillar};
use crate::signal::Signal;
use crate::target::{Expression, Known, Nodegroups, Target};
use crate::time::Timestamp;
use crate::{Fingerprint, Jid, Secret};
pub use counted::Counted;
pub use welcome::{Pace, Welcome};

/// What a minion says to its master.
#[derive(Debug, Clone, PartialEq)]
pub enum ToMaster {
    /// The first sealed message of a minion whose key waits: what helps an operator decide.
    Knock(Knock),
    /// The first sealed message of an accepted minion: it is ready for orders.
    Start(Box<Start>),
    /// A sign of life, with the jobs that run now.
    Beat(Beat),
    /// A job's end.
    Return(Box<Return>),
    /// Grains that changed.
    Grains(Map<String, Value>),
    /// The minion stops on purpose: presence is right at once.
    Bye,
    /// The minion wants to be known by a new key from now on.
    Rotate(Box<Rotate>),
    /// The minion has stored which key the master will have next.
    Learned(Learned),
    /// The minion wants its pillar as the master's files have it now.
    RefreshPillar(RefreshPillar),
    /// The minion wants to know which custom modules the master has.
    ModulesWanted(ModulesWanted),
    /// The minion wants one of them.
    ModuleWanted(Box<ModuleWanted>),
}

/// What a master says to a minion.
#[derive(Debug, Clone, PartialEq)]
pub enum ToMinion {
    /// The operator's decision about a waiting key, or its withdrawal.
    Standing(Standing),
    /// The key of the present epoch of broadcasts.
    Epoch(Box<Epoch>),
    /// Run this.
    Order(Box<Order>),
    /// These returns are on disk here.
    Stored(Stored),
    /// End this job.
    Cancel(Cancel),
    /// Answer with a [`Beat`] at once.
    Probe,
    /// A sign of life.
    Beat,
    /// A sign of life that says how many broadcasts there were.
    Counted(Counted),
    /// The answer to [`ToMaster::Rotate`].
    Rotated(Rotated),
    /// What a new handshake would offer: the master's config has changed during the session.
    Config(Config),
    /// The token in the minion's [`Knock`] does not let it in.
    TokenRefused(TokenRefused),
    /// The minion's own pillar; never broadcast.
    Pillar(Box<Pillar>),
    /// Signal the processes of a job.
    Signal(Signal),
    /// The custom modules that the master has.
    Modules(Box<Modules>),
    /// One of them; the only message with a binary part.
    Module(Box<Module>),
}

/// What a waiting minion claims about itself. Claims: shown escaped, used for no decision.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Knock {
    /// Host name.
    #[serde(default)]
    pub host: String,
    /// Operating system and release.
    #[serde(default)]
    pub os: String,
    /// Brine's version there.
    #[serde(default)]
    pub version: String,
    /// Grains named in the minion's `autosign_grains`, as text, for rules of the master that trust
    /// a minion's word.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub grains: BTreeMap<String, String>,
    /// The server record that it says it is: a UUID, an external id or a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The enrolment token that it was given. The master takes it out before it keeps the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
}

/// The longest claim kept of each field of a [`Knock`], in bytes.
pub const CLAIM_MAX: usize = 256;

/// The most grains kept of a [`Knock`].
pub const CLAIMED_GRAINS_MAX: usize = 8;

/// A minion's opening of a live session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// Brine's version there.
    pub version: String,
    /// The journal's random id. Another one than last time means that the journal was lost.
    pub journal: String,
    /// The store whose delivery numbers the journal knows, if any.
    #[serde(default)]
    pub store: Option<String>,
    /// Delivery numbers that the journal holds at or above the last floor: taken, not yet
    /// acknowledged as stored.
    #[serde(default)]
    pub open: Vec<u64>,
    /// Largest message that the minion takes, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_max: Option<u64>,
    /// The trust key that the minion knows to follow this master's, if it was told of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<Fingerprint>,
    /// The minion's grains.
    pub grains: Map<String, Value>,
}

/// A sign of life.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Beat {
    /// Jobs that run now; at most [`RUNNING_MAX`] are named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub running: Vec<Jid>,
    /// The minion's wall clock as it says this. Only told: nothing goes by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<Timestamp>,
}

/// How many running jobs a [`Beat`] names.
pub const RUNNING_MAX: usize = 256;

/// An order: one job for this minion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// The job.
    pub jid: Jid,
    /// Its delivery number in the store named at session start: the same number is the same
    /// order, however often it arrives.
    pub number: u64,
    /// What to run.
    pub calls: Vec<Call>,
    /// The target, so that the minion can check that it is meant.
    pub target: Target,
    /// After so many milliseconds of running, everything it started is killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_timeout_ms: Option<u64>,
    /// Remaining validity in milliseconds; none means it does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_ms: Option<u64>,
    /// Who asked, for the minion's log.
    pub principal: String,
    /// Whether what it starts goes on without the minion, to be found by the next one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub detach: bool,
}

/// A job's end, as the minion saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Return {
    /// The job.
    pub jid: Jid,
    /// The order's delivery number.
    pub number: u64,
    /// The functions, for a return whose job the master no longer knows.
    pub functions: String,
    /// How it ended.
    pub ending: Ending,
}

/// A master's decision about the minion's key, told over a session that is already sealed.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Standing {
    /// Accepted: the minion may start, and connect its subscriber with this token.
    Accepted {
        /// One-time subscription token, hex in JSON.
        #[serde(with = "hex32")]
        token: [u8; 32],
    },
    /// An operator has to decide.
    Pending,
    /// Refused by an operator or a rule.
    Rejected,
    /// Another key holds this id.
    Denied,
    /// Known, and cut off for now.
    Suspended,
}

/// Without the token, which is a secret.
impl std::fmt::Debug for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Standing::Accepted { .. } => "Accepted",
            Standing::Pending => "Pending",
            Standing::Rejected => "Rejected",
            Standing::Denied => "Denied",
            Standing::Suspended => "Suspended",
        })
    }
}

/// The keys of one epoch of broadcasts.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epoch {
    /// Random id of the epoch.
    #[serde(with = "hex16")]
    pub id: [u8; 16],
    /// The AES-256 group key.
    #[serde(with = "hex32")]
    pub key: [u8; 32],
    /// The Ed25519 key that verifies the epoch's broadcasts.
    #[serde(with = "hex32")]
    pub verify: [u8; 32],
    /// The sequence number of the next broadcast.
    pub next: u64,
}

impl std::fmt::Debug for Epoch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Epoch").field("next", &self.next).finish_non_exhaustive()
    }
}

/// Returns that are safely stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// The random id of the store that numbers this minion's deliveries.
    pub store: String,
    /// Delivery numbers whose returns are on disk.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub numbers: Vec<u64>,
    /// No number below this one will ever be sent again: the journal may forget them.
    pub floor: u64,
}

/// The end of a job before its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// The job.
    pub jid: Jid,
    /// Its delivery number.
    pub number: u64,
    /// Who ended it.
    pub by: String,
}

/// A minion's new key, vouched for by both keys. Binary fields are base64.
///
/// Both signatures are over the id, the old key's fingerprint and the new key, under the label
/// of rotations: the old key hands over, the new one proves that it is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotate {
    /// DER of the new public key.
    pub key: String,
    /// The old key's signature.
    pub by_old: String,
    /// The new key's signature.
    pub by_new: String,
    /// The job that asked for it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jid: Option<Jid>,
}

/// What became of a [`Rotate`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotated {
    /// The new key.
    pub fingerprint: Fingerprint,
    /// Why the master keeps the old key; none when the new one is in its ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// The master's config, told in mid-session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// An Offer as in the handshake, base64: signed by the key that the minion pins, so that no
    /// session has to be trusted with it.
    pub offer: String,
}

/// Why an enrolment token was not taken. The key waits like any other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRefused {
    /// One sentence.
    pub why: String,
}

/// What a minion has stored about the master's next key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learned {
    /// The trust key that it will accept as well; none when the announcement was withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<Fingerprint>,
}

macro_rules! kinds {
    ($($name:ident = $value:literal),* $(,)?) => {
        /// The kinds of message, as in the frame header.
        pub mod kind {
            $(#[doc = concat!("`", stringify!($name), "`.")] pub const $name: u8 = $value;)*
        }
    };
}

kinds! {
    KNOCK = 1, START = 2, BEAT = 3, RETURN = 4, GRAINS = 5, BYE = 6, ROTATE = 7, LEARNED = 8, REFRESH_PILLAR = 9,
    MODULES_WANTED = 10, MODULE_WANTED = 11,
    WELCOME = 32, STANDING = 33, EPOCH = 34, ORDER = 35, STORED = 36, CANCEL = 37, PROBE = 38, MASTER_BEAT = 39,
    ROTATED = 40, CONFIG = 41, TOKEN_REFUSED = 42, PILLAR = 43, SIGNAL = 44, MODULES = 45, MODULE = 46,
}

fn write<T: Serialize>(kind: u8, body: &T) -> Frame {
    Frame::control(kind, serde_json::to_vec(body).expect("messages hold nothing JSON cannot say"))
}

fn read<T: DeserializeOwned>(frame: &Frame) -> Result<T, FrameError> {
    serde_json::from_slice(&frame.json)
        .map_err(|error| FrameError::Json { kind: frame.kind, at: error.column() })
}

impl ToMaster {
    /// The message as a frame, ready to be sealed.
    #[must_use]
    pub fn to_frame(&self) -> Frame {
        match self {
            ToMaster::Knock(body) => write(kind::KNOCK, body),
            ToMaster::Start(body) => write(kind::START, body),
            ToMaster::Beat(body) => write(kind::BEAT, body),
            ToMaster::Return(body) => write(kind::RETURN, body),
            ToMaster::Grains(body) => write(kind::GRAINS, body),
            ToMaster::Bye => write(kind::BYE, &Map::new()),
            ToMaster::Rotate(body) => write(kind::ROTATE, body),
            ToMaster::Learned(body) => write(kind::LEARNED, body),
            ToMaster::RefreshPillar(body) => write(kind::REFRESH_PILLAR, body),
            ToMaster::ModulesWanted(body) => write(kind::MODULES_WANTED, body),
            ToMaster::ModuleWanted(body) => write(kind::MODULE_WANTED, body),
        }
    }

    /// Reads a frame that was opened.
    ///
    /// # Errors
    /// The kind is unknown or the body is not what the kind says.
    pub fn from_frame(frame: &Frame) -> Result<Self, FrameError> {
        Ok(match frame.kind {
            kind::KNOCK => ToMaster::Knock(read(frame)?),
            kind::START => ToMaster::Start(read(frame)?),
            kind::BEAT => ToMaster::Beat(read(frame)?),
            kind::RETURN => ToMaster::Return(read(frame)?),
            kind::GRAINS => ToMaster::Grains(read(frame)?),
            kind::BYE => ToMaster::Bye,
            kind::ROTATE => ToMaster::Rotate(read(frame)?),
            kind::LEARNED => ToMaster::Learned(read(frame)?),
            kind::REFRESH_PILLAR => ToMaster::RefreshPillar(read(frame)?),
            kind::MODULES_WANTED => ToMaster::ModulesWanted(read(frame)?),
            kind::MODULE_WANTED => ToMaster::ModuleWanted(Box::new(read(frame)?)),
            other => return Err(FrameError::Kind(other)),
        })
    }
}

impl ToMinion {
    /// The message as a frame, ready to be sealed.
    #[must_use]
    pub fn to_frame(&self) -> Frame {
        match self {
            ToMinion::Standing(body) => write(kind::STANDING, body),
            ToMinion::Epoch(body) => write(kind::EPOCH, body),
            ToMinion::Order(body) => write(kind::ORDER, body),
            ToMinion::Stored(body) => write(kind::STORED, body),
            ToMinion::Cancel(body) => write(kind::CANCEL, body),
            ToMinion::Probe => write(kind::PROBE, &Map::new()),
            ToMinion::Beat => write(kind::MASTER_BEAT, &Map::new()),
            ToMinion::Counted(counted) => counted.to_frame(),
            ToMinion::Rotated(body) => write(kind::ROTATED, body),
            ToMinion::Config(body) => write(kind::CONFIG, body),
            ToMinion::TokenRefused(body) => write(kind::TOKEN_REFUSED, body),
            ToMinion::Pillar(body) => write(kind::PILLAR, body),
            ToMinion::Signal(body) => write(kind::SIGNAL, body),
            ToMinion::Modules(body) => write(kind::MODULES, body),
            ToMinion::Module(module) => Frame { body: module.body.clone(), ..write(kind::MODULE, module) },
        }
    }

    /// Reads a frame that was opened.
    ///
    /// # Errors
    /// The kind is unknown or the body is not what the kind says.
    pub fn from_frame(frame: &Frame) -> Result<Self, FrameError> {
        Ok(match frame.kind {
            kind::STANDING => ToMinion::Standing(read(frame)?),
            kind::EPOCH => ToMinion::Epoch(read(frame)?),
            kind::ORDER => ToMinion::Order(read(frame)?),
            kind::STORED => ToMinion::Stored(read(frame)?),
            kind::CANCEL => ToMinion::Cancel(read(frame)?),
            kind::PROBE => ToMinion::Probe,
            kind::MASTER_BEAT => counted::read_beat(frame),
            kind::ROTATED => ToMinion::Rotated(read(frame)?),
            kind::CONFIG => ToMinion::Config(read(frame)?),
            kind::TOKEN_REFUSED => ToMinion::TokenRefused(read(frame)?),
            kind::PILLAR => ToMinion::Pillar(Box::new(read(frame)?)),
            kind::SIGNAL => ToMinion::Signal(read(frame)?),
            kind::MODULES => ToMinion::Modules(Box::new(read(frame)?)),
            kind::MODULE => ToMinion::Module(Box::new(Module { body: frame.body.clone(), ..read(frame)? })),
            other => return Err(FrameError::Kind(other)),
        })
    }
}

/// Whether a function's name is marked repeatable: running it twice does no harm, so it is neither
/// journaled nor spooled on the minion, and is simply run again when its answer was lost.
#[must_use]
pub fn is_repeatable(function: &str) -> bool {
    matches!(
        function,
        "test.ping"
            | "test.version"
            | "test.echo"
            | "test.arg"
            | "grains.items"
            | "grains.get"
            | "grains.ls"
            | "sys.doc"
            | "sys.list_functions"
            | "sys.list_modules"
            | "brine.running"
            | "brine.find_job"
            | "brine.is_running"
            | "pillar.items"
            | "pillar.item"
            | "pillar.get"
            | "pillar.keys"
            | "pillar.ls"
            | "pillar.raw"
            | "file.file_exists"
            | "file.directory_exists"
            | "file.is_link"
            | "file.get_mode"
            | "file.access"
            | "environ.get"
            | "environ.item"
            | "environ.items"
            | "environ.has_value"
    )
}

/// Whether this minion is meant by an order's target, as far as it can tell. A target that it
/// cannot read is not for it.
#[must_use]
pub fn is_meant(order: &Order, minion: &Known<'_>) -> bool {
    Expression::parse(&order.target, &Nodegroups::new()).is_ok_and(|expression| expression.matches(minion))
}
