//! A master's sign of life, and what it may say besides.

use serde::{Deserialize, Serialize};

use super::{ToMinion, kind, write};
use crate::frame::Frame;
use crate::hex::hex16;

/// How many broadcasts an epoch has had. A broadcast that was taken off the wire leaves no trace
/// there until the next one of the same epoch, which may never come; this comes over the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Id of the epoch.
    #[serde(with = "hex16")]
    pub epoch: [u8; 16],
    /// The sequence number of its next broadcast.
    pub next: u64,
}

/// The body of a beat. A minion that does not know the field takes it as a sign of life.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Body {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    broadcasts: Option<Counted>,
}

impl Counted {
    pub(super) fn to_frame(self) -> Frame {
        write(kind::MASTER_BEAT, &Body { broadcasts: Some(self) })
    }
}

/// A beat is a sign of life whatever is in it.
pub(super) fn read_beat(frame: &Frame) -> ToMinion {
    let body: Body = serde_json::from_slice(&frame.json).unwrap_or_default();
    body.broadcasts.map_or(ToMinion::Beat, ToMinion::Counted)
}
