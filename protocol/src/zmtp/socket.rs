//! Socket types and which of them may talk to each other.

use std::fmt;

/// A socket type, as named in READY.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are the protocol's own")]
pub enum SocketType {
    Pub,
    Sub,
    XPub,
    XSub,
    Router,
    Dealer,
    Req,
    Rep,
    Push,
    Pull,
    Pair,
}

impl SocketType {
    const ALL: [Self; 11] = [
        Self::Pub,
        Self::Sub,
        Self::XPub,
        Self::XSub,
        Self::Router,
        Self::Dealer,
        Self::Req,
        Self::Rep,
        Self::Push,
        Self::Pull,
        Self::Pair,
    ];

    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pub => "PUB",
            Self::Sub => "SUB",
            Self::XPub => "XPUB",
            Self::XSub => "XSUB",
            Self::Router => "ROUTER",
            Self::Dealer => "DEALER",
            Self::Req => "REQ",
            Self::Rep => "REP",
            Self::Push => "PUSH",
            Self::Pull => "PULL",
            Self::Pair => "PAIR",
        }
    }

    /// The type with this name, which is written in capitals.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|socket| socket.name().as_bytes() == name)
    }

    /// Whether RFC 23 lets a socket of this type talk to one of `other`.
    #[must_use]
    pub fn compatible(self, other: Self) -> bool {
        use SocketType::{Dealer, Pair, Pub, Pull, Push, Rep, Req, Router, Sub, XPub, XSub};
        match self {
            Pub | XPub => matches!(other, Sub | XSub),
            Sub | XSub => matches!(other, Pub | XPub),
            Router => matches!(other, Req | Dealer | Router),
            Dealer => matches!(other, Rep | Dealer | Router),
            Req => matches!(other, Rep | Router),
            Rep => matches!(other, Req | Dealer),
            Push => other == Pull,
            Pull => other == Push,
            Pair => other == Pair,
        }
    }

    /// Whether peers of this type receive subscriptions instead of messages.
    #[must_use]
    pub(super) fn is_publisher(self) -> bool {
        matches!(self, Self::Pub | Self::XPub)
    }
}

impl fmt::Display for SocketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_pairs_are_symmetric() {
        for a in SocketType::ALL {
            assert_eq!(SocketType::from_name(a.name().as_bytes()), Some(a));
            for b in SocketType::ALL {
                assert_eq!(a.compatible(b), b.compatible(a), "{a} {b}");
            }
        }
        assert_eq!(SocketType::from_name(b"pub"), None);
    }
}
