//! The machine's date and time.

use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};

use super::super::bind::Bound;
use super::super::{Fault, Outcome};

/// What is told, in Salt's format.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    DateTime,
    Date,
    Time,
}

pub(super) async fn tell(mut bound: Bound, shape: Shape) -> Result<Outcome, Fault> {
    let zone = match bound.maybe_text("utc_offset")? {
        None => TimeZone::system(),
        Some(written) => offset(&written).map(TimeZone::fixed).ok_or_else(|| {
            let why = "'utc_offset' needs a sign and four digits in quotes, as '+0200'";
            Fault::Invocation(format!("{why}, not {written:?}"))
        })?,
    };
    Ok(Outcome::from(show(&Timestamp::now().to_zoned(zone), shape)))
}

fn show(now: &Zoned, shape: Shape) -> String {
    let format = match shape {
        Shape::DateTime => "%Y-%m-%d %H:%M:%S",
        Shape::Date => "%a %m/%d/%Y",
        Shape::Time => "%I:%M:%S %p",
    };
    now.strftime(format).to_string()
}

fn offset(written: &str) -> Option<Offset> {
    let (sign, digits) = match written.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    if digits.len() != 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes): (i32, i32) = (digits[..2].parse().ok()?, digits[2..].parse().ok()?);
    let is_offset = hours < 24 && minutes < 60;
    is_offset.then(|| Offset::from_seconds(sign * (hours * 60 + minutes) * 60).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn salts_formats() {
        let at =
            |offset: Offset| Timestamp::from_second(1_795_363_445).unwrap().to_zoned(TimeZone::fixed(offset));
        let utc = at(Offset::UTC);
        let shown = [Shape::DateTime, Shape::Date, Shape::Time].map(|shape| show(&utc, shape));
        assert_eq!(shown, ["2026-11-22 16:04:05", "Sun 11/22/2026", "04:04:05 PM"]);
        assert_eq!(show(&at(offset("-1605").unwrap()), Shape::DateTime), "2026-11-21 23:59:05");
    }

    #[test]
    fn offsets() {
        assert_eq!(offset("+0530").map(Offset::seconds), Some(19_800));
        assert_eq!(offset("-0100").map(Offset::seconds), Some(-3600));
        for bad in ["", "+", "0200", "+02", "+02:00", "+2400", "+0060", "é0200", "+é00"] {
            assert_eq!(offset(bad), None, "{bad}");
        }
    }
}
