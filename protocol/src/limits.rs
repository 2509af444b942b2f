//! The limits of a connection, each under its own name.
//!
//! The numbers are defaults; every one is an option of `master.yaml` or `minion.yaml`.

use serde::{Deserialize, Serialize};

/// What the ZMTP codec accepts from a peer. Checked before anything is allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireLimits {
    /// Largest message, all frames together, in bytes. A return with a full output cap fits
    /// several times.
    pub message_max: usize,
    /// Most frames of one message. Ours have one or two; libzmq users rarely more.
    pub frames_max: usize,
    /// Largest READY command, in bytes. Real ones have 30 to 60; an identity adds at most 255.
    pub ready_max: usize,
    /// Most subscriptions of one subscriber. Ours make two.
    pub subscriptions_max: usize,
    /// Longest subscription, in bytes. Ours have at most 78.
    pub subscription_bytes_max: usize,
}

impl Default for WireLimits {
    fn default() -> Self {
        Self {
            message_max: 1024 * 1024,
            frames_max: 8,
            ready_max: 512,
            subscriptions_max: 16,
            subscription_bytes_max: 128,
        }
    }
}
