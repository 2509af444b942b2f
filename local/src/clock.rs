//! The wall clock, and durations as people write them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use brine_protocol::time::Timestamp;

/// What the wall clock shows. For records and display: no decision rests on it.
#[must_use]
pub fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// A number of seconds above 0, with or without a fraction, as a flag takes it.
///
/// # Errors
/// It is none.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<f64>().ok().filter(|n| n.is_finite() && *n > 0.0);
    parsed
        .and_then(|n| Duration::try_from_secs_f64(n).ok())
        .ok_or_else(|| "expected a number of seconds above 0".to_owned())
}

/// Seconds in the units of a [`span`].
const UNITS: [(char, u64); 5] = [('w', 604_800), ('d', 86_400), ('h', 3600), ('m', 60), ('s', 1)];

/// A time as people write it, in seconds: `7d`, `1d12h`, `30m`, `0`.
///
/// # Errors
/// It is none.
pub fn span(text: &str) -> Result<u64, String> {
    let bad = || format!("{text:?} is no time; write 7d, 12h, 1d12h, 30m or 0");
    if text == "0" {
        return Ok(0);
    }
    let (mut total, mut digits) = (0_u64, String::new());
    for c in text.chars() {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        let (_, unit) = UNITS.iter().find(|(name, _)| *name == c).ok_or_else(bad)?;
        let number: u64 = std::mem::take(&mut digits).parse().map_err(|_| bad())?;
        total = number.checked_mul(*unit).and_then(|part| total.checked_add(part)).ok_or_else(bad)?;
    }
    // A number without a unit could be seconds or days; guessing wrong costs a fleet.
    if text.is_empty() || !digits.is_empty() { Err(bad()) } else { Ok(total) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_as_people_write_them() {
        for (text, seconds) in [
            ("7d", 604_800),
            ("12h", 43_200),
            ("1d12h", 129_600),
            ("30m", 1800),
            ("90s", 90),
            ("2w", 1_209_600),
            ("0", 0),
            ("0s", 0),
        ] {
            assert_eq!(span(text), Ok(seconds), "{text}");
        }
        for bad in ["", "7", "d", "7x", "7 d", "-1d", "1.5d", "d7", "99999999999999999999d", "1d12"] {
            assert!(span(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn seconds_are_above_0() {
        assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1500)));
        for bad in ["0", "-1", "", "x", "inf", "nan", "1e300"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
