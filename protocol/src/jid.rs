//! Job ids: Salt's twenty digits, made so that they never repeat.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// How far apart two jids of one master are: the last two digits name the master.
pub const STEP_MICROS: i64 = 100;

/// A job id: `YYYYMMDDhhmmssffff` in UTC, then two digits that number the master that made it.
///
/// It is text of twenty digits and sorts by time. Salt's jids have the same shape with six
/// fractional digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Jid([u8; 20]);

/// Why a text is not a jid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a jid is twenty digits, a UTC time to the microsecond; {0:?} is not")]
pub struct JidError(pub String);

impl Jid {
    /// The jid for `at`, rounded down to [`STEP_MICROS`], made by master number `node` (0 to 99).
    #[must_use]
    pub fn at(at: Timestamp, node: u8) -> Self {
        let rounded = Timestamp(at.0 - at.0.rem_euclid(STEP_MICROS) + i64::from(node % 100));
        let text = rounded.to_string();
        let mut digits = [b'0'; 20];
        for (slot, digit) in digits.iter_mut().zip(text.bytes().filter(u8::is_ascii_digit)) {
            *slot = digit;
        }
        Self(digits)
    }

    /// The digits as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a jid holds ASCII digits only")
    }

    /// The time the jid stands for; the master's number is part of the last two digits.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        parse_time(self.as_str()).expect("checked when the jid was made")
    }
}

fn parse_time(digits: &str) -> Option<Timestamp> {
    let n = |range: std::ops::Range<usize>| digits.get(range)?.parse::<i32>().ok();
    let date = jiff::civil::DateTime::new(
        i16::try_from(n(0..4)?).ok()?,
        n(4..6)? as i8,
        n(6..8)? as i8,
        n(8..10)? as i8,
        n(10..12)? as i8,
        n(12..14)? as i8,
        n(14..20)? * 1000,
    )
    .ok()?;
    let zoned = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(Timestamp(zoned.timestamp().as_microsecond()))
}

impl FromStr for Jid {
    type Err = JidError;

    fn from_str(text: &str) -> Result<Self, JidError> {
        let error = || JidError(text.chars().take(64).collect());
        let digits: [u8; 20] = text.as_bytes().try_into().map_err(|_| error())?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err(error());
        }
        parse_time(text).ok_or_else(error)?;
        Ok(Self(digits))
    }
}

impl TryFrom<String> for Jid {
    type Error = JidError;

    fn try_from(text: String) -> Result<Self, JidError> {
        text.parse()
    }
}

impl From<Jid> for String {
    fn from(jid: Jid) -> Self {
        jid.as_str().to_owned()
    }
}

impl fmt::Display for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shape_and_order() {
        let at = Timestamp(1_795_327_652_123_456);
        let jid = Jid::at(at, 7);
        assert_eq!(jid.as_str(), "20261122060732123407");
        assert_eq!(jid.as_str().parse(), Ok(jid));
        assert_eq!(jid.time(), Timestamp(1_795_327_652_123_407));
        assert!(Jid::at(at.plus_micros(STEP_MICROS), 0) > jid);
    }

    #[test]
    fn refuses_what_is_no_time() {
        for bad in [
            "",
            "2012",
            "20021225120000000000_",
            "20261322062447181384",
            "abcdefghijklmnopqrst",
            "20261122062447181384 ",
        ] {
            assert!(bad.parse::<Jid>().is_err(), "{bad}");
        }
        assert!("20131219110700123489".parse::<Jid>().is_ok());
    }
}
