//! Which versions of the wire this build speaks, and the rule for changing them.
//!
//! A minion offers exactly one version; a master serves [`MIN`]`..=`[`CURRENT`]. The version is
//! the first byte of every handshake message and part of the transcript, so nothing can be
//! negotiated down.
//!
//! **The rule.** What has shipped is frozen: bytes of a released version never change their
//! meaning. Fields may be added to JSON bodies (readers ignore what they do not know); anything
//! else is a new version, with its own golden frames beside the old ones, and [`MIN`] follows one
//! release later.

/// The newest version, and the one minions offer.
pub const CURRENT: u8 = 1;

/// The oldest version a master still serves.
pub const MIN: u8 = 1;

/// Whether a master of this build serves `version`.
#[must_use]
pub fn is_served(version: u8) -> bool {
    (MIN..=CURRENT).contains(&version)
}
