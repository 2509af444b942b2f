//! What signatures, exchanges and sealing cost one core, with nothing around them. The verification is
//! ours: it takes half as long as that of the `rsa` crate, and a limit is what is possible.

use std::hint::black_box;

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use brine_pki::key::Label;
use brine_tests::swarm::Pool;
use brine_tests::swarm::usage::thread_cpu;
use x25519_dalek::{PublicKey, StaticSecret};

/// A return of this many bytes is sealed and opened: one of 500 bytes in its frame.
pub const SEALED: usize = 700;

/// Processor time of one operation, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Crypto {
    /// Bits of the signatures' key.
    pub bits: usize,
    /// Verifying a signature.
    pub verify_s: f64,
    /// Making one.
    pub sign_s: f64,
    /// One X25519 exchange.
    pub exchange_s: f64,
    /// The public half of an X25519 key.
    pub key_s: f64,
    /// Sealing a return by AES-256-GCM, and opening it.
    pub seal_open_s: f64,
}

impl Crypto {
    /// Measures each for about so many seconds.
    ///
    /// # Panics
    /// A key of the pool is none.
    #[must_use]
    pub fn measure(keys: &Pool, seconds: f64) -> Self {
        let key = keys.of(0);
        let public = key.public();
        let message: &[u8] = &[7; 256];
        let sign = || key.sign(Label::Hello, &[message]);
        let signature = sign();
        let (ours, theirs) = (StaticSecret::from([3; 32]), PublicKey::from(&StaticSecret::from([5; 32])));
        let cipher = Aes256Gcm::new(&Key::<Aes256Gcm>::from([9; 32]));
        let nonce = Nonce::from([1; 12]);
        let mut sealed = bytes::BytesMut::with_capacity(SEALED + 16);
        Self {
            bits: keys.bits(),
            verify_s: cost(seconds, || {
                let verified = public.verify(Label::Hello, &[black_box(message)], &signature);
                assert!(verified.is_ok(), "its own signature");
            }),
            sign_s: cost(seconds, || {
                black_box(sign());
            }),
            exchange_s: cost(seconds, || {
                black_box(ours.diffie_hellman(black_box(&theirs)));
            }),
            key_s: cost(seconds, || {
                black_box(PublicKey::from(black_box(&ours)));
            }),
            seal_open_s: cost(seconds, || {
                sealed.clear();
                sealed.resize(SEALED, 7);
                cipher.encrypt_in_place(&nonce, b"", &mut sealed).expect("room for the tag");
                cipher.decrypt_in_place(&nonce, b"", &mut sealed).expect("what was just sealed");
            }),
        }
    }

    /// What a master cannot do without in a cold handshake: one verification, two exchanges, one key.
    #[must_use]
    pub fn handshake_s(&self) -> f64 {
        self.verify_s + self.resumption_s()
    }

    /// The same with a ticket: two exchanges, one key.
    #[must_use]
    pub fn resumption_s(&self) -> f64 {
        2.0 * self.exchange_s + self.key_s
    }

    /// A cold handshake of both sides: the minion signs and exchanges as often.
    #[must_use]
    pub fn both_sides_s(&self) -> f64 {
        self.handshake_s() + self.sign_s + self.resumption_s()
    }
}

/// Processor time of this thread for one call: other processes do not count, and asking for the time
/// does not either, because it is asked once for twice as many calls as the last time.
fn cost(seconds: f64, mut once: impl FnMut()) -> f64 {
    let mut calls = 1_u32;
    loop {
        let begun = thread_cpu();
        for _ in 0..calls {
            once();
        }
        let used = (thread_cpu() - begun).as_secs_f64();
        if used >= seconds {
            return used / f64::from(calls);
        }
        calls = calls.saturating_mul(2);
    }
}
