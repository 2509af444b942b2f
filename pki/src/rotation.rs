//! How a minion's key hands over to a new one.
//!
//! Both keys sign the same bytes under [`Label::Rotation`]: the minion's id, the old key's
//! fingerprint and the new public key. The old key's signature says that its holder wants this,
//! the new one's that the new key is held as well, so that nobody can be moved to a key that is
//! somebody else's. The bytes name both keys, so neither signature is good for anything else.

use base64ct::{Base64, Encoding};
use brine_protocol::message::Rotate;
use brine_protocol::{Fingerprint, Jid, MinionId};
use sha2::{Digest, Sha256};

use crate::key::{BITS_MAX, DER_MAX, KeyError, Label, PrivateKey, PublicKey};
use crate::wire::Writer;

/// The longest base64 text of a key, and of a signature; longer ones are refused undecoded.
const KEY_TEXT_MAX: usize = DER_MAX.div_ceil(3) * 4;
const SIGNATURE_TEXT_MAX: usize = (BITS_MAX / 8).div_ceil(3) * 4;

/// Why a handover is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RotationError {
    /// A field is not base64, or longer than any key or signature.
    #[error("the rotation's {0} is malformed")]
    Malformed(&'static str),
    /// The new key is none that is used here.
    #[error("the new key cannot be used: {0}")]
    Key(#[source] KeyError),
    /// A signature does not verify.
    #[error("the {0} key's signature does not verify")]
    Signature(&'static str),
}

fn message(id: &MinionId, old: Fingerprint, new_der: &[u8]) -> Vec<u8> {
    let mut message = Writer::default();
    message.short(id.as_str().as_bytes()).raw(&old.0).long(new_der);
    message.0
}

/// Signs the handover of `id` from `old` to `new`. Takes two signatures' time.
#[must_use]
pub fn sign(id: &MinionId, old: &PrivateKey, new: &PrivateKey, jid: Option<Jid>) -> Rotate {
    let message = message(id, old.public().fingerprint(), new.public().der());
    let signed = |key: &PrivateKey| Base64::encode_string(&key.sign(Label::Rotation, &[&message]));
    Rotate { key: Base64::encode_string(new.public().der()), by_old: signed(old), by_new: signed(new), jid }
}

/// The fingerprint of the key that a handover names, whatever that key is worth.
///
/// # Errors
/// The key is not base64, or too long.
pub fn named(rotate: &Rotate) -> Result<Fingerprint, RotationError> {
    Ok(Fingerprint(Sha256::digest(decode(&rotate.key, KEY_TEXT_MAX, "key")?).into()))
}

/// A handover whose signatures are good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handover {
    /// The new key.
    pub key: PublicKey,
    /// The key that gives way.
    pub from: Fingerprint,
    /// Its signature.
    pub by_old: Vec<u8>,
    /// The job that asked for it.
    pub jid: Option<Jid>,
}

/// Checks a handover of `id` from the key with this DER. Takes two verifications' time.
///
/// # Errors
/// A field is malformed, the new key is too weak, or a signature does not verify.
pub fn verify(id: &MinionId, old_der: &[u8], rotate: &Rotate) -> Result<Handover, RotationError> {
    let der = decode(&rotate.key, KEY_TEXT_MAX, "key")?;
    let by_old = decode(&rotate.by_old, SIGNATURE_TEXT_MAX, "signature")?;
    let by_new = decode(&rotate.by_new, SIGNATURE_TEXT_MAX, "signature")?;
    let old = PublicKey::from_der(old_der).map_err(|_| RotationError::Signature("old"))?;
    let key = PublicKey::from_der(&der).map_err(RotationError::Key)?;
    let message = message(id, old.fingerprint(), &der);
    for (name, key, signature) in [("old", &old, &by_old), ("new", &key, &by_new)] {
        key.verify(Label::Rotation, &[&message], signature).map_err(|_| RotationError::Signature(name))?;
    }
    Ok(Handover { key, from: old.fingerprint(), by_old, jid: rotate.jid })
}

fn decode(text: &str, max: usize, what: &'static str) -> Result<Vec<u8>, RotationError> {
    if text.len() > max {
        return Err(RotationError::Malformed(what));
    }
    Base64::decode_vec(text).map_err(|_| RotationError::Malformed(what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::tests::fixed;

    #[test]
    fn a_handover_is_good_for_these_two_keys_and_this_id_only() {
        let (old, new, other) = (fixed("minion"), fixed("other"), fixed("master"));
        let web1: MinionId = "web1".parse().unwrap();
        let good = sign(&web1, &old, &new, None);
        let handover = verify(&web1, old.public().der(), &good).unwrap();
        assert_eq!((handover.key.clone(), handover.from), (new.public().clone(), old.public().fingerprint()));
        assert_eq!(named(&good), Ok(new.public().fingerprint()));
        assert_eq!(handover.by_old.len(), 256);

        let check = |id: &str, from: &PrivateKey, rotate: &Rotate, expected: RotationError| {
            assert_eq!(verify(&id.parse().unwrap(), from.public().der(), rotate), Err(expected));
        };
        check("web2", &old, &good, RotationError::Signature("old"));
        check("web1", &other, &good, RotationError::Signature("old"));
        let taken = Rotate { by_old: sign(&web1, &old, &other, None).by_old, ..good.clone() };
        check("web1", &old, &taken, RotationError::Signature("old"));
        // Nobody is moved to a key that only somebody else holds.
        let not_held = Rotate { by_new: good.by_old.clone(), ..good.clone() };
        check("web1", &old, &not_held, RotationError::Signature("new"));
    }

    #[test]
    fn foreign_fields_give_an_error() {
        let (old, new) = (fixed("minion"), fixed("other"));
        let id: MinionId = "web1".parse().unwrap();
        let good = sign(&id, &old, &new, None);
        let check = |rotate: Rotate| verify(&id, old.public().der(), &rotate).unwrap_err();
        let small = PublicKey::from_pem(include_str!("../tests/keys/small.pub")).unwrap_err();
        assert_eq!(small, KeyError::Size(1024));
        for text in ["", "AAAA", "?", &"A".repeat(1 << 20)] {
            let text = text.to_owned();
            for rotate in [
                Rotate { key: text.clone(), ..good.clone() },
                Rotate { by_old: text.clone(), ..good.clone() },
                Rotate { by_new: text, ..good.clone() },
            ] {
                check(rotate);
            }
        }
        assert_eq!(
            check(Rotate { key: "A".repeat(KEY_TEXT_MAX + 1), ..good.clone() }),
            RotationError::Malformed("key")
        );
        assert_eq!(
            check(Rotate { by_old: "A".repeat(SIGNATURE_TEXT_MAX + 1), ..good }),
            RotationError::Malformed("signature")
        );
    }

    #[test]
    fn a_weak_key_is_refused_before_its_signature_is_looked_at() {
        let old = fixed("minion");
        let id: MinionId = "web1".parse().unwrap();
        let small: String =
            include_str!("../tests/keys/small.pub").lines().filter(|line| !line.starts_with('-')).collect();
        let rotate = Rotate { key: small, by_old: String::new(), by_new: String::new(), jid: None };
        assert_eq!(verify(&id, old.public().der(), &rotate), Err(RotationError::Key(KeyError::Size(1024))));
    }
}
