//! Verification of RSASSA-PSS with SHA-256 and a salt of 32 bytes (RFC 8017 §8.1.2 and §9.1.2).
//!
//! Ours, because it is what a master spends most of a cold handshake on, and the `rsa` crate raises to the
//! power as if the exponent were a secret: a table of sixteen powers and twenty squarings, where 65537 takes
//! sixteen squarings and one multiplication. That halves the time. All that goes in here is public, so how
//! long it takes tells nothing. The crate still makes the signatures, and the tests hold both against each
//! other.

use crypto_bigint::BoxedUint;
use crypto_bigint::modular::BoxedMontyForm;
use rsa::RsaPublicKey;
use rsa::traits::PublicKeyParts;
use sha2::{Digest, Sha256};

/// Bytes of a SHA-256, and of the salt.
const HASH: usize = 32;

/// The last byte of an encoded message.
const TRAILER: u8 = 0xbc;

/// Whether `key`, whose exponent has to be 65537, made `signature` over a message with this hash.
pub(super) fn is_signed(key: &RsaPublicKey, hash: &[u8; HASH], signature: &[u8]) -> bool {
    encoded(key, signature).is_some_and(|encoded| is_encoding(&encoded, key.n().bits() - 1, hash))
}

/// The encoded message inside a signature (RSAVP1), as long as the modulus; none of one that is too long, too
/// short, or not below the modulus.
fn encoded(key: &RsaPublicKey, signature: &[u8]) -> Option<Box<[u8]>> {
    if signature.len() != key.size() {
        return None;
    }
    let signature = BoxedUint::from_be_slice(signature, key.n().bits_precision()).ok()?;
    if signature >= **key.n() {
        return None;
    }
    let base = BoxedMontyForm::new(signature, key.n_params());
    let mut power = base.clone();
    for _ in 0..16 {
        power = power.square();
    }
    let bytes = power.mul(&base).retrieve().to_be_bytes();
    // As long as the words of the modulus, which may be more than its bytes.
    let (padding, bytes) = bytes.split_at_checked(bytes.len().checked_sub(key.size())?)?;
    padding.iter().all(|byte| *byte == 0).then(|| bytes.into())
}

/// EMSA-PSS-VERIFY: whether `encoded`, of which `bits` count, is an encoding of `hash`.
fn is_encoding(encoded: &[u8], bits: u32, hash: &[u8; HASH]) -> bool {
    let len = bits.div_ceil(8) as usize;
    let Some((above, encoded)) = encoded.split_at_checked(encoded.len().saturating_sub(len)) else {
        return false;
    };
    let Some((masked, rest)) = encoded.split_at_checked(len.saturating_sub(HASH + 1)) else { return false };
    let Some((mark, [TRAILER])) = rest.split_at_checked(HASH) else { return false };
    // Bits of the first byte that count.
    let first = 0xff >> (8 * len as u32 - bits);
    if above.iter().any(|byte| *byte != 0) || masked.first().is_none_or(|byte| byte & !first != 0) {
        return false;
    }
    let mut block: Vec<u8> = masked.iter().zip(mask(mark)).map(|(byte, mask)| byte ^ mask).collect();
    block[0] &= first;
    let Some((padding, salt)) = block.split_at_checked(block.len().saturating_sub(HASH)) else {
        return false;
    };
    let Some((one, zeros)) = padding.split_last() else { return false };
    if *one != 1 || zeros.iter().any(|byte| *byte != 0) {
        return false;
    }
    let expected = Sha256::new().chain_update([0; 8]).chain_update(hash).chain_update(salt).finalize();
    expected.as_slice() == mark
}

/// MGF1 with SHA-256 (RFC 8017 §B.2.1), without end.
fn mask(seed: &[u8]) -> impl Iterator<Item = u8> {
    let seeded = Sha256::new_with_prefix(seed);
    (0u32..).flat_map(move |counter| {
        let block: [u8; HASH] = seeded.clone().chain_update(counter.to_be_bytes()).finalize().into();
        block
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rsa::pss::{Signature, VerifyingKey};
    use rsa::signature::{MultipartSigner, SignatureEncoding, hazmat::PrehashVerifier};

    use super::*;
    use crate::key::tests::fixed;
    use crate::key::{Label, PublicKey};

    fn theirs(key: &RsaPublicKey, hash: &[u8; HASH], signature: &[u8]) -> bool {
        let Ok(signature) = Signature::try_from(signature) else { return false };
        VerifyingKey::<Sha256>::new(key.clone()).verify_prehash(hash, &signature).is_ok()
    }

    fn public(name: &str) -> RsaPublicKey {
        fixed(name).public().rsa.clone()
    }

    fn signed(name: &str, message: &[u8]) -> Vec<u8> {
        fixed(name).signer.try_multipart_sign(&[message]).expect("a key signs").to_vec()
    }

    #[test]
    fn every_bit_of_a_signature_and_of_a_hash_counts() {
        let key = public("minion");
        let hash: [u8; HASH] = Sha256::digest(b"message").into();
        let signature = signed("minion", b"message");
        assert!(is_signed(&key, &hash, &signature));
        for at in (0..signature.len() * 8).step_by(5) {
            let mut other = signature.clone();
            other[at / 8] ^= 1 << (at % 8);
            assert!(!is_signed(&key, &hash, &other), "bit {at}");
        }
        for at in 0..HASH * 8 {
            let mut other = hash;
            other[at / 8] ^= 1 << (at % 8);
            assert!(!is_signed(&key, &other, &signature), "bit {at}");
        }
        assert!(!is_signed(&public("other"), &hash, &signature));
    }

    #[test]
    fn numbers_of_another_length_or_not_below_the_modulus_are_refused() {
        let key = public("minion");
        let hash: [u8; HASH] = Sha256::digest(b"message").into();
        let signature = signed("minion", b"message");
        for other in [&signature[1..], &[&[0], &signature[..]].concat(), &[], &[0], &vec![0; signature.len()]]
        {
            assert!(!is_signed(&key, &hash, other));
        }
        assert!(!is_signed(&key, &hash, &vec![0xff; signature.len()]));
    }

    #[test]
    fn the_same_number_once_round_the_modulus_is_refused() {
        let key = public("minion");
        let hash: [u8; HASH] = Sha256::digest(b"message").into();
        let precision = key.n().bits_precision() + 64;
        let number = |bytes: &[u8]| BoxedUint::from_be_slice(bytes, precision).expect("it fits");
        let modulus = number(&key.n().to_be_bytes());
        let round = (0..10_000).find_map(|_| {
            let round = number(&signed("minion", b"message")).wrapping_add(&modulus).to_be_bytes();
            let (above, round) = round.split_at(round.len() - key.size());
            above.iter().all(|byte| *byte == 0).then(|| round.to_vec())
        });
        let round = round.expect("signatures are random, and some are small enough");
        assert!(!is_signed(&key, &hash, &round) && !theirs(&key, &hash, &round));
    }

    /// A modulus whose bits leave one over: the encoding is a byte shorter than the signature.
    #[test]
    fn keys_of_odd_sizes_agree_with_the_crate() {
        let mut random = rand_core::UnwrapErr(getrandom::SysRng);
        for bits in [1025, 1031, 1032, 1033] {
            let key = rsa::RsaPrivateKey::new(&mut random, bits).expect("a key");
            let signer = rsa::pss::SigningKey::<Sha256>::new(key.clone());
            let signature = signer.try_multipart_sign(&[b"message"]).expect("a key signs").to_vec();
            let hash: [u8; HASH] = Sha256::digest(b"message").into();
            let public = key.to_public_key();
            assert!(is_signed(&public, &hash, &signature) && theirs(&public, &hash, &signature), "{bits}");
            let mut other = signature;
            other[0] ^= 0x80;
            assert!(!is_signed(&public, &hash, &other), "{bits}");
        }
    }

    /// What no signer makes: another trailer, another padding, bits where none belong.
    #[test]
    fn encodings_that_are_almost_right_are_refused() {
        let hash: [u8; HASH] = Sha256::digest(b"message").into();
        let key = public("minion");
        let bits = key.n().bits() - 1;
        let good = encoded(&key, &signed("minion", b"message")).expect("a signature");
        assert!(is_encoding(&good, bits, &hash));
        for at in 0..good.len() * 8 {
            let mut other = good.clone();
            other[at / 8] ^= 1 << (at % 8);
            assert!(!is_encoding(&other, bits, &hash), "bit {at}");
        }
        for len in 0..good.len() {
            assert!(!is_encoding(&good[..len], bits, &hash), "{len} bytes");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn both_think_the_same_of_any_number(
            message in prop::collection::vec(any::<u8>(), 0..200),
            number in prop::collection::vec(any::<u8>(), 256),
            at in 0usize..256, flip in any::<u8>(),
        ) {
            let key = public("minion");
            let hash: [u8; HASH] = Sha256::digest(&message).into();
            let mut signature = signed("minion", &message);
            prop_assert!(is_signed(&key, &hash, &signature) && theirs(&key, &hash, &signature));
            prop_assert_eq!(is_signed(&key, &hash, &number), theirs(&key, &hash, &number));
            let at = at % signature.len();
            signature[at] ^= flip;
            prop_assert_eq!(is_signed(&key, &hash, &signature), theirs(&key, &hash, &signature));
        }
    }

    #[test]
    fn a_label_is_part_of_what_is_signed() {
        let key = fixed("minion");
        let signature = key.sign(Label::Hello, &[b"abc"]);
        let again = PublicKey::from_der(key.public().der()).expect("own DER");
        assert!(again.verify(Label::Hello, &[b"a", b"bc"], &signature).is_ok());
        assert!(again.verify(Label::Rotation, &[b"abc"], &signature).is_err());
    }
}
