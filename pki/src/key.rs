//! RSA identities. They sign (RSASSA-PSS with SHA-256, RFC 8017 §8.1) and do nothing else.
//!
//! **Invariant:** nothing in Brine is ever RSA-decrypted, so the timing of private-key operations
//! (RUSTSEC-2023-0071) has no oracle to feed; and each signature is made under its own [`Label`],
//! so that none can be passed off as another.

mod pss;

use std::fmt;

use brine_protocol::Fingerprint;
use rsa::pkcs1::DecodeRsaPrivateKey;
use rsa::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, LineEnding};
use rsa::pss::SigningKey;
use rsa::signature::{MultipartSigner, SignatureEncoding};
use rsa::traits::PublicKeyParts;
use rsa::{BoxedUint, RsaPrivateKey, RsaPublicKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// The smallest key accepted, in bits.
pub const BITS_MIN: usize = 2048;

/// The largest key accepted, in bits. Verification costs a master 0.1 ms at this size.
pub const BITS_MAX: usize = 4096;

/// A 4096-bit SubjectPublicKeyInfo has 550 bytes; anything longer is refused unparsed.
pub const DER_MAX: usize = 600;

/// PEM texts longer than this are refused unparsed.
const PEM_MAX: usize = 16 * 1024;

/// What a signature is for. The text is signed in front of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// A master's key-agreement config.
    Config,
    /// A trust key's endorsement of a signing key.
    Endorsement,
    /// A minion's Hello.
    Hello,
    /// A minion's old key hands over to a new one.
    Rotation,
}

impl Label {
    fn text(self) -> &'static [u8] {
        match self {
            Label::Config => b"brine/1 master config\0",
            Label::Endorsement => b"brine/1 signing key\0",
            Label::Hello => b"brine/1 minion hello\0",
            Label::Rotation => b"brine/1 minion key rotation\0",
        }
    }
}

/// What is wrong with a key or a signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a key in a format that is read here.
    #[error("not an RSA key in PKCS#8 or SubjectPublicKeyInfo form")]
    Format,
    /// A key of another size.
    #[error("an RSA key has {BITS_MIN} to {BITS_MAX} bits here, this one has {0}")]
    Size(usize),
    /// An exponent other than 65537.
    #[error("an RSA key's exponent is 65537 here, this one has another")]
    Exponent,
    /// The parts of a private key do not belong together.
    #[error("the parts of this RSA private key do not belong together")]
    Inconsistent,
    /// A signature that this key did not make over this message.
    #[error("the signature does not verify")]
    Signature,
    /// Key generation failed.
    #[error("cannot generate an RSA key of {0} bits")]
    Generation(usize),
}

/// The half that is published.
#[derive(Clone)]
pub struct PublicKey {
    rsa: RsaPublicKey,
    der: Vec<u8>,
    fingerprint: Fingerprint,
}

impl PublicKey {
    /// Reads DER SubjectPublicKeyInfo. Length, size and exponent are checked before anything
    /// that costs time.
    ///
    /// # Errors
    /// It is not such a key, not canonical, or of a size or exponent that is not used here.
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        if der.len() > DER_MAX {
            return Err(KeyError::Format);
        }
        let key = RsaPublicKey::from_public_key_der(der).map_err(|_| KeyError::Format)?;
        let parsed = Self::checked(key)?;
        // One key has one fingerprint: another encoding of the same key is not accepted.
        if parsed.der != der {
            return Err(KeyError::Format);
        }
        Ok(parsed)
    }

    /// Reads PEM SubjectPublicKeyInfo, as `openssl pkey -pubout` writes it.
    ///
    /// # Errors
    /// As [`PublicKey::from_der`].
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        if pem.len() > PEM_MAX {
            return Err(KeyError::Format);
        }
        let key = RsaPublicKey::from_public_key_pem(pem.trim()).map_err(|_| KeyError::Format)?;
        Self::checked(key)
    }

    fn checked(key: RsaPublicKey) -> Result<Self, KeyError> {
        let bits = key.n().bits() as usize;
        if !(BITS_MIN..=BITS_MAX).contains(&bits) {
            return Err(KeyError::Size(bits));
        }
        if key.e() != &BoxedUint::from(65_537u32) {
            return Err(KeyError::Exponent);
        }
        let der = key.to_public_key_der().map_err(|_| KeyError::Format)?.into_vec();
        let fingerprint = Fingerprint(Sha256::digest(&der).into());
        Ok(Self { rsa: key, der, fingerprint })
    }

    /// DER SubjectPublicKeyInfo.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// PEM SubjectPublicKeyInfo.
    #[must_use]
    pub fn to_pem(&self) -> String {
        self.rsa.to_public_key_pem(LineEnding::LF).expect("a parsed key can be written again")
    }

    /// SHA-256 of the DER.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Checks a signature over `parts`, in order.
    ///
    /// # Errors
    /// [`KeyError::Signature`] when this key did not make it over these bytes under this label.
    pub fn verify(&self, label: Label, parts: &[&[u8]], signature: &[u8]) -> Result<(), KeyError> {
        let mut hash = Sha256::new();
        for part in labelled(label, parts) {
            hash.update(part);
        }
        let is_signed = pss::is_signed(&self.rsa, &hash.finalize().into(), signature);
        if is_signed { Ok(()) } else { Err(KeyError::Signature) }
    }
}

fn labelled<'a>(label: Label, parts: &[&'a [u8]]) -> Vec<&'a [u8]> {
    std::iter::once(label.text()).chain(parts.iter().copied()).collect()
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint)
    }
}

/// The half that never leaves its file. Wiped from memory when dropped; not printable.
pub struct PrivateKey {
    signer: SigningKey<Sha256>,
    public: PublicKey,
    pem: Zeroizing<String>,
}

impl PrivateKey {
    /// Makes a new key. At 4096 bits this takes about a second.
    ///
    /// # Errors
    /// `bits` is outside [`BITS_MIN`]`..=`[`BITS_MAX`], or generation failed.
    pub fn generate(bits: usize) -> Result<Self, KeyError> {
        if !(BITS_MIN..=BITS_MAX).contains(&bits) {
            return Err(KeyError::Size(bits));
        }
        let mut random = rand_core::UnwrapErr(getrandom::SysRng);
        let key = RsaPrivateKey::new(&mut random, bits).map_err(|_| KeyError::Generation(bits))?;
        Self::checked(key)
    }

    /// Reads PEM PKCS#8, or the older PKCS#1 that Salt wrote.
    ///
    /// # Errors
    /// It is not such a key, its parts disagree, or its size or exponent is not used here.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        if pem.len() > PEM_MAX {
            return Err(KeyError::Format);
        }
        let pem = pem.trim();
        let key = RsaPrivateKey::from_pkcs8_pem(pem)
            .or_else(|_| RsaPrivateKey::from_pkcs1_pem(pem))
            .map_err(|_| KeyError::Format)?;
        key.validate().map_err(|_| KeyError::Inconsistent)?;
        Self::checked(key)
    }

    fn checked(key: RsaPrivateKey) -> Result<Self, KeyError> {
        let public = PublicKey::checked(key.to_public_key())?;
        let pem = key.to_pkcs8_pem(LineEnding::LF).map_err(|_| KeyError::Format)?;
        Ok(Self { signer: SigningKey::new(key), public, pem })
    }

    /// PEM PKCS#8, as `openssl pkey` reads it.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        self.pem.clone()
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs `parts`, in order. Takes about 10 ms at 4096 bits.
    #[must_use]
    pub fn sign(&self, label: Label, parts: &[&[u8]]) -> Vec<u8> {
        self.signer
            .try_multipart_sign(&labelled(label, parts))
            .expect("a checked key of at least 2048 bits signs a SHA-256 digest")
            .to_vec()
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey(of {})", self.public.fingerprint)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Two fixed keys, made once with openssl, so that tests need not wait for key generation.
    pub(crate) fn fixed(name: &str) -> PrivateKey {
        let pem = match name {
            "master" => include_str!("../tests/keys/master.pem"),
            "minion" => include_str!("../tests/keys/minion.pem"),
            "other" => include_str!("../tests/keys/other.pem"),
            _ => panic!("no fixed key {name}"),
        };
        PrivateKey::from_pem(pem).expect("a fixed key is a key")
    }

    #[test]
    fn signs_under_a_label() {
        let key = fixed("minion");
        let signature = key.sign(Label::Hello, &[b"ab", b"c"]);
        assert_eq!(key.public().verify(Label::Hello, &[b"abc"], &signature), Ok(()));
        for (label, message) in [(Label::Config, b"abc"), (Label::Hello, b"abd")] {
            let refused = key.public().verify(label, &[message], &signature);
            assert_eq!(refused, Err(KeyError::Signature));
        }
        assert!(fixed("other").public().verify(Label::Hello, &[b"abc"], &signature).is_err());
        assert!(key.public().verify(Label::Hello, &[b"abc"], b"").is_err());
    }

    #[test]
    fn pem_and_der_read_back() {
        let key = fixed("minion");
        let again = PrivateKey::from_pem(&key.to_pem()).expect("own PEM");
        assert_eq!(again.public(), key.public());
        assert_eq!(PublicKey::from_pem(&key.public().to_pem()).expect("own PEM"), *key.public());
        assert_eq!(PublicKey::from_der(key.public().der()).expect("own DER"), *key.public());
    }

    #[test]
    fn refuses_what_is_no_key() {
        let der = fixed("minion").public().der().to_vec();
        assert_eq!(PublicKey::from_der(&[]).expect_err("empty"), KeyError::Format);
        assert_eq!(PublicKey::from_der(&der[..der.len() - 1]).expect_err("cut"), KeyError::Format);
        let longer = [&der[..], b"\0"].concat();
        assert_eq!(PublicKey::from_der(&longer).expect_err("trailing"), KeyError::Format);
        assert_eq!(PublicKey::from_der(&vec![0x30; 5000]).expect_err("long"), KeyError::Format);
        assert!(
            PrivateKey::from_pem("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----").is_err()
        );
        assert_eq!(PrivateKey::generate(1024).expect_err("small"), KeyError::Size(1024));
        assert_eq!(PrivateKey::generate(8192).expect_err("large"), KeyError::Size(8192));
        let small = include_str!("../tests/keys/small.pub");
        assert_eq!(PublicKey::from_pem(small).expect_err("1024 bits"), KeyError::Size(1024));
        let exponent = include_str!("../tests/keys/exponent3.pub");
        assert_eq!(PublicKey::from_pem(exponent).expect_err("e = 3"), KeyError::Exponent);
    }

    #[test]
    fn says_nothing_secret() {
        let key = fixed("minion");
        let shown = format!("{key:?}");
        assert!(shown.starts_with("PrivateKey(of "), "{shown}");
        assert!(shown.len() < 120, "{shown}");
    }

    /// The digest is of the DER, so that openssl agrees; the value was made with
    /// `openssl pkey -pubin -in minion.pub -outform DER | sha256sum`.
    #[test]
    fn fingerprint_is_what_openssl_says() {
        let expected = include_str!("../tests/keys/minion.sha256").trim();
        let public = PublicKey::from_pem(include_str!("../tests/keys/minion.pub")).expect("a key");
        assert_eq!(public.fingerprint().to_string().replace(':', ""), expected);
    }
}
