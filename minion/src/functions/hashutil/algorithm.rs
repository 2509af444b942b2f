//! The digests there are.

use md5::Md5;
use sha1::Sha1;
use sha2::digest::DynDigest;
use sha2::{Sha224, Sha256, Sha384, Sha512};

use super::super::Fault;

/// A digest. MD5 and SHA-1 are for comparing with what others publish: both can be forged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::functions) enum Algorithm {
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl Algorithm {
    pub(in crate::functions) const ALL: [Self; 6] =
        [Self::Md5, Self::Sha1, Self::Sha224, Self::Sha256, Self::Sha384, Self::Sha512];

    pub(in crate::functions) fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha224 => "sha224",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// How many hexadecimal digits it has.
    pub(in crate::functions) fn digits(self) -> usize {
        match self {
            Self::Md5 => 32,
            Self::Sha1 => 40,
            Self::Sha224 => 56,
            Self::Sha256 => 64,
            Self::Sha384 => 96,
            Self::Sha512 => 128,
        }
    }

    /// The algorithm of that name.
    ///
    /// # Errors
    /// There is none.
    pub(in crate::functions) fn named(name: &str) -> Result<Self, Fault> {
        Self::find(name).ok_or_else(|| Fault::Execution(format!("Invalid hash type: {name}")))
    }

    pub(in crate::functions) fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// A digest that takes its bytes piece by piece; [`hex`] ends it.
    pub(in crate::functions) fn start(self) -> Box<dyn DynDigest + Send> {
        match self {
            Self::Md5 => Box::new(Md5::default()),
            Self::Sha1 => Box::new(Sha1::default()),
            Self::Sha224 => Box::new(Sha224::default()),
            Self::Sha256 => Box::new(Sha256::default()),
            Self::Sha384 => Box::new(Sha384::default()),
            Self::Sha512 => Box::new(Sha512::default()),
        }
    }

    /// The digest of `bytes` in hexadecimal digits.
    pub(in crate::functions) fn of(self, bytes: &[u8]) -> String {
        let mut digest = self.start();
        digest.update(bytes);
        hex(digest)
    }
}

/// A finished digest in hexadecimal digits.
pub(in crate::functions) fn hex(digest: Box<dyn DynDigest + Send>) -> String {
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_standards() {
        // "abc" in RFC 1321, FIPS 180-4.
        for (name, starts) in [
            ("md5", "900150983cd24fb0d6963f7d28e17f72"),
            ("sha1", "a9993e364706816aba3e25717850c26c9cd0d89d"),
            ("sha224", "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"),
            ("sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            ("sha384", "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded163"),
            ("sha512", "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea2"),
        ] {
            let algorithm = Algorithm::named(name).unwrap();
            let digest = algorithm.of(b"abc");
            assert!(digest.starts_with(starts), "{name}: {digest}");
            assert_eq!(digest.len(), algorithm.digits());
        }
        assert_eq!(Algorithm::named("crc"), Err(Fault::Execution("Invalid hash type: crc".to_owned())));
    }
}
