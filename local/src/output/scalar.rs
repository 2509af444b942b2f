//! What a bare word means in YAML 1.1, as PyYAML resolves it and Salt users are used to:
//! `yes` is true, `1:30` is ninety, `1e3` is text.

/// The meaning of a bare word.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scalar {
    /// Itself.
    Text,
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// A whole number that is beyond any counting.
    HugeInt,
    /// A number with a fraction.
    Float(f64),
    /// Something that is neither text nor any of these: a date, `<<`, `=`.
    Other,
}

/// Resolves a bare word.
///
/// Leading zeros are dropped as Salt does: `010` is ten, where YAML 1.1 says eight.
#[must_use]
pub fn resolve(word: &str) -> Scalar {
    match word {
        "" | "~" | "null" | "Null" | "NULL" => Scalar::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Scalar::Bool(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Scalar::Bool(false),
        "<<" | "=" => Scalar::Other,
        _ => number(word).unwrap_or_else(|| if is_date(word) { Scalar::Other } else { Scalar::Text }),
    }
}

fn number(word: &str) -> Option<Scalar> {
    let unsigned = word.strip_prefix(['-', '+']).unwrap_or(word);
    let is_negative = word.starts_with('-');
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        let infinity = if is_negative { f64::NEG_INFINITY } else { f64::INFINITY };
        return Some(Scalar::Float(infinity));
    }
    if matches!(word, ".nan" | ".NaN" | ".NAN") {
        return Some(Scalar::Float(f64::NAN));
    }
    let starts_number = unsigned.starts_with(|c: char| c.is_ascii_digit()) || word.starts_with('.');
    if !starts_number {
        return None;
    }
    if unsigned.contains(':') {
        return sexagesimal(unsigned, is_negative);
    }
    if unsigned.contains('.') {
        return decimal(word, unsigned);
    }
    let sign = if is_negative { -1 } else { 1 };
    let whole = |digits: &str, base: u32| {
        let digits = digits.replace('_', "");
        match i128::from_str_radix(&digits, base) {
            Ok(value) => Scalar::Int(sign * value),
            Err(_) => Scalar::HugeInt,
        }
    };
    let all = |digits: &str, is_digit: fn(&char) -> bool| {
        digits.chars().any(|c| c != '_') && digits.chars().all(|c| c == '_' || is_digit(&c))
    };
    if let Some(digits) = unsigned.strip_prefix("0b") {
        return all(digits, |c| matches!(c, '0' | '1')).then(|| whole(digits, 2));
    }
    if let Some(digits) = unsigned.strip_prefix("0x") {
        return all(digits, char::is_ascii_hexdigit).then(|| whole(digits, 16));
    }
    if unsigned.len() > 1 && unsigned.starts_with('0') {
        return all(unsigned, |c| matches!(c, '0'..='7')).then(|| whole(unsigned, 10));
    }
    all(unsigned, char::is_ascii_digit).then(|| whole(unsigned, 10))
}

/// `1:30` counts in sixties, and so does `1:30.5`.
fn sexagesimal(unsigned: &str, is_negative: bool) -> Option<Scalar> {
    let (whole, fraction) = match unsigned.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction.replace('_', ""))),
        None => (unsigned, None),
    };
    let is_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let mut parts = whole.split(':');
    let first = parts.next()?;
    if (first.starts_with('0') && fraction.is_none()) || !is_digits(&first.replace('_', "")) {
        return None;
    }
    let mut total: i128 = first.replace('_', "").parse().ok()?;
    for part in parts {
        let value: i128 = part.parse().ok()?;
        if part.len() > 2 || !is_digits(part) || value > 59 {
            return None;
        }
        total = total.checked_mul(60)?.checked_add(value)?;
    }
    let total = if is_negative { -total } else { total };
    let Some(fraction) = fraction else {
        return Some(Scalar::Int(total));
    };
    let sign = if is_negative { "-" } else { "" };
    let is_number = is_digits(&fraction) && whole.contains(':');
    is_number.then(|| format!("{sign}{}.{fraction}0", total.abs()).parse().ok().map(Scalar::Float)).flatten()
}

/// `1.5`, `1.`, `.5`, `1.0e+3`: an exponent needs its sign, and a fraction without a whole part
/// has none.
fn decimal(word: &str, unsigned: &str) -> Option<Scalar> {
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.')?;
    let is_digits = |text: &str| text.chars().all(|c| c.is_ascii_digit() || c == '_');
    let has_shape = if whole.is_empty() {
        word.starts_with('.') && fraction.starts_with(|c: char| c.is_ascii_digit())
    } else {
        whole.starts_with(|c: char| c.is_ascii_digit())
    };
    let exponent_is_fine = exponent.is_none_or(|exponent| {
        exponent
            .strip_prefix(['-', '+'])
            .is_some_and(|digits| !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit()))
    });
    if !has_shape || !is_digits(whole) || !is_digits(fraction) || !exponent_is_fine {
        return None;
    }
    word.replace('_', "").parse().ok().map(Scalar::Float)
}

/// `2020-01-01`, alone or with a time behind it.
fn is_date(word: &str) -> bool {
    let bytes = word.as_bytes();
    let digits =
        |range: std::ops::Range<usize>| bytes.get(range).is_some_and(|b| b.iter().all(u8::is_ascii_digit));
    let is_day = bytes.len() >= 10
        && digits(0..4)
        && bytes[4] == b'-'
        && digits(5..7)
        && bytes[7] == b'-'
        && digits(8..10);
    is_day && (bytes.len() == 10 || matches!(bytes[10], b'T' | b't' | b' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_pyyaml() {
        use Scalar::{Bool, Float, HugeInt, Int, Null, Other, Text};
        for (word, expected) in [
            ("", Null),
            ("~", Null),
            ("none", Text),
            ("tRue", Text),
            ("On", Bool(true)),
            ("y", Text),
            ("0", Int(0)),
            ("-0", Int(0)),
            ("+1", Int(1)),
            ("010", Int(10)),
            ("09", Text),
            ("0o10", Text),
            ("0xff", Int(255)),
            ("0b11", Int(3)),
            ("-1_2", Int(-12)),
            ("1,000", Text),
            ("1:30", Int(90)),
            ("01:02", Text),
            ("1:2:3", Int(3723)),
            ("1:99", Text),
            ("190:20:30.15", Float(685_230.15)),
            ("-0:30.5", Float(-30.5)),
            ("1:30.x", Text),
            ("12345678901234567890", Int(12_345_678_901_234_567_890)),
            ("9999999999999999999999999999999999999999999", HugeInt),
            ("1e3", Text),
            ("1.0e3", Text),
            ("1.0e+3", Float(1000.0)),
            ("1.", Float(1.0)),
            (".5", Float(0.5)),
            ("+.5", Text),
            ("1.5_0", Float(1.5)),
            ("0.1.2", Text),
            (".inf", Float(f64::INFINITY)),
            ("inf", Text),
            ("2020-01-01", Other),
            ("2020-01-01T10:00:00Z", Other),
            ("1-2", Text),
            ("<<", Other),
            ("-", Text),
            (".", Text),
            ("0x", Text),
            ("__", Text),
        ] {
            assert_eq!(resolve(word), expected, "{word:?}");
        }
    }
}
