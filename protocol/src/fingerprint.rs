//! Fingerprints of public keys, the one text an operator compares by eye.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// SHA-256 of a public key's DER SubjectPublicKeyInfo (RFC 5280, 4.1.2.7).
///
/// Shown as 32 lower-case hex pairs joined by colons, so that
/// `openssl pkey -pubin -outform DER | sha256sum` agrees digit for digit; read back without
/// regard to case or colons. Comparison is of public values and need not be constant-time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint(pub [u8; 32]);

/// Columns and rows of a fingerprint's picture.
const PICTURE: (usize, usize) = (17, 9);

/// What a field of the picture looks like by how often it was visited.
const VISITS: &[u8] = b" .o+=*BOX@%&#/^";

impl Fingerprint {
    /// A picture of the fingerprint, 9 lines of 17 characters: two that differ look different, so
    /// eyes compare them faster than digits. A bishop starts in the middle and makes a diagonal
    /// step per two bits, lowest first, leaving a mark on each field; `S` and `E` are where it
    /// starts and ends (Loss, Limmer, von Gernler: "The drunken bishop", 2009).
    #[must_use]
    pub fn picture(&self) -> [String; 9] {
        let (columns, rows) = PICTURE;
        let mut visits = [[0usize; PICTURE.0]; PICTURE.1];
        let (mut x, mut y) = (columns / 2, rows / 2);
        for byte in self.0 {
            for step in 0..4 {
                let bits = byte >> (2 * step);
                x = if bits & 1 == 0 { x.saturating_sub(1) } else { (x + 1).min(columns - 1) };
                y = if bits & 2 == 0 { y.saturating_sub(1) } else { (y + 1).min(rows - 1) };
                visits[y][x] += 1;
            }
        }
        let mark = |visits: usize| char::from(VISITS[visits.min(VISITS.len() - 1)]);
        let mut lines = visits.map(|row| row.into_iter().map(mark).collect::<Vec<char>>());
        lines[rows / 2][columns / 2] = 'S';
        lines[y][x] = 'E';
        lines.map(String::from_iter)
    }
}

/// Why a text is not a fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint is 64 hex digits, with or without colons between pairs; {0:?} is not")]
pub struct FingerprintError(pub String);

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let error = || FingerprintError(text.chars().take(128).collect());
        let digits: Vec<u8> = text
            .bytes()
            .filter(|b| *b != b':')
            .map(|b| (b as char).to_digit(16).map(|d| d as u8))
            .collect::<Option<_>>()
            .ok_or_else(error)?;
        if digits.len() != 64 {
            return Err(error());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair[0] << 4 | pair[1];
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = FingerprintError;

    fn try_from(text: String) -> Result<Self, FingerprintError> {
        text.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(":")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by an independent program that agrees with ssh-keygen.
    const PICTURE_OF_37S: &str = concat!(
        " .oo==+          \n",
        "o.++BB .         \n",
        ".=.*O+o E        \n",
        "o +=*= +         \n",
        " o.oBo* S        \n",
        "   +.Xoo         \n",
        "  o . *.         \n",
        "   o             \n",
        "                 ",
    );

    #[test]
    fn reads_back_in_any_dress() {
        let fingerprint = Fingerprint(std::array::from_fn(|i| i as u8 * 7));
        let text = fingerprint.to_string();
        assert_eq!(text.len(), 95);
        assert_eq!(text.parse(), Ok(fingerprint));
        assert_eq!(text.to_uppercase().parse(), Ok(fingerprint));
        assert_eq!(text.replace(':', "").parse(), Ok(fingerprint));
        for bad in ["", "aa", &text[3..], &format!("{text}0"), &text.replace('0', "g")] {
            assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
        }
    }

    #[test]
    fn pictures_are_the_ones_that_ssh_keygen_draws() {
        let fingerprint = Fingerprint(std::array::from_fn(|i| (i * 37) as u8));
        let lines = fingerprint.picture();
        assert!(lines.iter().all(|line| line.chars().count() == 17));
        assert_eq!(lines.join("\n"), PICTURE_OF_37S);
        let other = Fingerprint(std::array::from_fn(|i| (i * 37) as u8 ^ u8::from(i == 31)));
        assert_ne!(lines, other.picture());
        // All bits clear: it walks into the corner and stays there.
        assert!(Fingerprint([0; 32]).picture()[0].starts_with('E'));
    }
}
