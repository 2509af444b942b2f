//! Trust: who may speak, and how it is sealed.
//!
//! [`key`]s sign, the [`handshake`] turns two of them into a sealed [`channel`], [`publish`] seals
//! broadcasts, a [`ticket`] spares the next session a signature, and the `registry` folds the
//! decisions in the `ledger` into what each key is allowed. **Invariant:** no sockets, and no
//! clock or random source in `handshake`, `registry`, `ticket` or `publish`: time and randomness
//! come in as arguments.

pub mod channel;
pub mod handshake;
pub mod key;
pub mod ledger;
pub mod publish;
pub mod random;
pub mod registry;
pub mod rotation;
pub mod salt;
pub mod ticket;
pub mod waiting;
mod wire;
