//! Why a peer's bytes are refused. Each reason has a counter of its own.

macro_rules! refusals {
    ($($(#[doc = $doc:literal])* $variant:ident, $name:literal, $message:literal;)*) => {
        /// Why a peer's bytes are refused. The connection ends; nothing the peer sent is logged.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
        pub enum Refusal {
            $($(#[doc = $doc])* #[error($message)] $variant,)*
        }

        /// The names of all refusals, for counters.
        pub const REFUSALS: &[&str] = &[$($name),*];

        impl Refusal {
            /// The name of the counter.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

refusals! {
    /// The first bytes are no ZMTP signature.
    NotZmtp, "not_zmtp", "the first bytes are no ZMTP greeting";
    /// ZMTP 1.x or 2.x.
    OldVersion, "old_version", "the peer speaks a ZMTP before 3.0";
    /// Not NULL.
    Mechanism, "mechanism", "the peer asks for a security mechanism other than NULL";
    /// Something else came before READY.
    FirstNotReady, "first_not_ready", "the first frame is no READY command";
    /// READY above its limit.
    ReadyTooLarge, "ready_too_large", "the READY command is larger than ready_max";
    /// READY that cannot be read.
    ReadyMalformed, "ready_malformed", "the READY command is malformed";
    /// READY again.
    SecondReady, "second_ready", "the peer sent READY twice";
    /// A socket that ours cannot talk to.
    SocketMismatch, "socket_mismatch", "the peer's socket type does not fit ours";
    /// Bits that ZMTP 3 reserves, or a command with MORE.
    BadFlags, "bad_flags", "a frame has flags that ZMTP 3 does not know";
    /// One frame above the message limit.
    FrameTooLarge, "frame_too_large", "a frame is larger than message_max";
    /// All frames together above the message limit.
    MessageTooLarge, "message_too_large", "the frames of a message are larger than message_max";
    /// More frames than allowed.
    TooManyFrames, "too_many_frames", "a message has more frames than frames_max";
    /// A command above its limit.
    CommandTooLarge, "command_too_large", "a command is larger than any that is known";
    /// A command that cannot be read.
    CommandMalformed, "command_malformed", "a command is malformed";
    /// A command that this side does not know.
    UnknownCommand, "unknown_command", "the peer sent an unknown command";
    /// A subscriber sent something else than a subscription.
    NotASubscription, "not_a_subscription", "a subscriber sent something other than a subscription";
    /// One subscription too many.
    TooManySubscriptions, "too_many_subscriptions", "a subscriber has more subscriptions than subscriptions_max";
    /// A subscription above its limit.
    SubscriptionTooLong, "subscription_too_long", "a subscription is longer than subscription_bytes_max";
}
