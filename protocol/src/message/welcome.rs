//! The master's first sealed frame.

use serde::{Deserialize, Serialize};

use super::{Standing, kind, read, write};
use crate::frame::{Frame, FrameError};
use crate::time::Timestamp;

/// How often both sides give a sign of life, and how much they may say at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// A sealed frame at least this often in each direction, in milliseconds.
    pub heartbeat_ms: u64,
    /// Largest message that the master takes of a live session, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_max: Option<u64>,
    /// The master's wall clock as it says this. Only told: nothing goes by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<Timestamp>,
}

/// The master's first sealed frame: its verdict on the key that the Hello was signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// Where the key stands.
    pub standing: Standing,
    /// How often to beat.
    pub pace: Pace,
}

impl Welcome {
    /// The verdict as a frame, ready to be sealed.
    #[must_use]
    pub fn to_frame(&self) -> Frame {
        write(kind::WELCOME, self)
    }

    /// Reads a frame that was opened.
    ///
    /// # Errors
    /// The frame is not a verdict.
    pub fn from_frame(frame: &Frame) -> Result<Self, FrameError> {
        match frame.kind {
            kind::WELCOME => read(frame),
            other => Err(FrameError::Kind(other)),
        }
    }
}
