//! `random.*`: random values from the system's source, and digests of values.

use base64ct::{Base64, Encoding};
use serde_json::Value;

use super::bind::Bound;
use super::hashutil::Algorithm;
use super::{Fault, Function, Outcome, optional, required};

/// Longer texts are no passwords.
const LENGTH_MAX: u64 = 64 * 1024;

const LOWERCASE: &str = "abcdefghijklmnopqrstuvwxyz";
const UPPERCASE: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &str = "0123456789";
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
const WHITESPACE: &str = " \t\n\r\u{b}\u{c}";

pub(super) fn functions() -> Vec<Function> {
    vec![
        Function::new(
            "random.get_str",
            |_, bound| Box::pin(get_str(bound)),
            "Returns a random text, fit for a password.",
        )
        .takes(
            const {
                &[
                    optional("length", "20", "how many characters, 65536 at most (integer)"),
                    optional(
                        "chars",
                        "null",
                        "the characters to choose from; the following then do not count (text)",
                    ),
                    optional("lowercase", "true", "whether there are a to z (boolean)"),
                    optional("uppercase", "true", "whether there are A to Z (boolean)"),
                    optional("digits", "true", "whether there are 0 to 9 (boolean)"),
                    optional("punctuation", "true", "whether there are the signs of ASCII (boolean)"),
                    optional(
                        "whitespace",
                        "false",
                        "whether there are spaces, tabs and line breaks (boolean)",
                    ),
                    optional("printable", "false", "True is all of these (boolean)"),
                ]
            },
        )
        .returns("text; fails when there is nothing to choose from")
        .example("random.get_str 32 punctuation=False"),
        Function::new("random.hash", |_, bound| Box::pin(hash(bound)), "Returns the digest of a value.")
            .takes(
                const {
                    &[
                        required("value", "the text, as UTF-8 (text)"),
                        optional(
                            "algorithm",
                            "\"sha512\"",
                            "md5, sha1, sha224, sha256, sha384 or sha512 (text)",
                        ),
                    ]
                },
            )
            .returns("hexadecimal digits (text); fails for another algorithm")
            .example("random.hash 'I am a string' md5"),
        Function::new(
            "random.rand_int",
            |_, bound| Box::pin(rand_int(bound)),
            "Returns a random whole number.",
        )
        .takes(
            const {
                &[
                    optional("start", "1", "the smallest there can be (integer)"),
                    optional("end", "10", "the largest there can be (integer)"),
                    optional("seed", "null", "the same seed gives the same number, though not Salt's (any)"),
                ]
            },
        )
        .returns("integer; fails when end is less than start")
        .example("random.rand_int 1 100"),
        Function::new("random.str_encode", |_, bound| Box::pin(str_encode(bound)), "Encodes a text.")
            .takes(
                const {
                    &[
                        required("value", "the text, as UTF-8 (text)"),
                        optional("encoder", "\"base64\"", "only base64 (text)"),
                    ]
                },
            )
            .returns("base64 (text)")
            .example("random.str_encode 'I am a new string'"),
    ]
}

async fn get_str(mut bound: Bound) -> Result<Outcome, Fault> {
    let length = whole(&bound.value("length")).and_then(|length| u64::try_from(length).ok());
    let Some(length) = length.filter(|length| *length <= LENGTH_MAX) else {
        return Err(Fault::Invocation(format!("'length' needs a whole number from 0 to {LENGTH_MAX}")));
    };
    let mut chars = bound.maybe_text("chars")?.unwrap_or_default();
    let is_printable = bound.flag("printable")?;
    let mut named = String::new();
    for (name, set) in [
        ("lowercase", LOWERCASE),
        ("uppercase", UPPERCASE),
        ("digits", DIGITS),
        ("punctuation", PUNCTUATION),
        ("whitespace", WHITESPACE),
    ] {
        // Each is looked at, since a wrong one is wrong even where it does not count.
        if bound.flag(name)? || is_printable {
            named.push_str(set);
        }
    }
    if chars.is_empty() || is_printable {
        chars = named;
    }
    let mut chars: Vec<char> = chars.chars().collect();
    chars.sort_unstable();
    chars.dedup();
    if chars.is_empty() {
        return Err(Fault::Invocation("there are no characters to choose from".to_owned()));
    }
    let mut text = String::new();
    for _ in 0..length {
        text.push(chars[below(chars.len() as u64, &mut from_system)? as usize]);
    }
    Ok(Outcome::from(text))
}

fn from_system() -> Result<u64, Fault> {
    getrandom::u64().map_err(|reason| Fault::Execution(format!("no random numbers: {reason}")))
}

/// A number below `count`, each as likely as any other; `count` is not 0.
fn below(count: u64, source: &mut dyn FnMut() -> Result<u64, Fault>) -> Result<u64, Fault> {
    // The last part of all numbers, where some of the smaller ones would be met once more.
    let end = u64::MAX - u64::MAX % count;
    loop {
        let number = source()?;
        if number < end {
            return Ok(number % count);
        }
    }
}

async fn hash(mut bound: Bound) -> Result<Outcome, Fault> {
    let (value, name) = (bound.text("value")?, bound.text("algorithm")?);
    let Some(algorithm) = Algorithm::find(&name) else {
        return Err(Fault::Invocation("You must specify a valid algorithm.".to_owned()));
    };
    Ok(Outcome::from(algorithm.of(value.as_bytes())))
}

fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

async fn rand_int(mut bound: Bound) -> Result<Outcome, Fault> {
    let (start, end) = (whole(&bound.value("start")), whole(&bound.value("end")));
    let seed = bound.value("seed");
    let (Some(start), Some(end)) = (start, end) else {
        return Err(Fault::Invocation("'start' and 'end' need whole numbers".to_owned()));
    };
    if end < start {
        return Err(Fault::Invocation(format!("there is no number from {start} to {end}")));
    }
    let count = start.abs_diff(end).checked_add(1);
    let mut seeded = seeded(&seed);
    let mut source = || if seed.is_null() { from_system() } else { Ok(seeded()) };
    let offset = match count {
        Some(count) => below(count, &mut source)?,
        None => source()?,
    };
    Ok(Outcome::from(start.wrapping_add_unsigned(offset)))
}

/// Numbers that follow from a value alone.
fn seeded(seed: &Value) -> impl FnMut() -> u64 {
    let mut state = seed.to_string();
    move || {
        state = Algorithm::Sha256.of(state.as_bytes());
        u64::from_str_radix(&state[..16], 16).expect("a digest is hexadecimal digits")
    }
}

async fn str_encode(mut bound: Bound) -> Result<Outcome, Fault> {
    let (value, encoder) = (bound.text("value")?, bound.text("encoder")?);
    if encoder != "base64" {
        return Err(Fault::Invocation("You must specify a valid encoder".to_owned()));
    }
    Ok(Outcome::from(Base64::encode_string(value.as_bytes())))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::super::testing::{assert_shape, call, context, returned};
    use super::*;

    async fn run(function: &str, args: Value, keywords: Value) -> (Value, i32) {
        let result = returned(&[call(function, args, keywords)], &context()).await;
        if result.retcode == 0 {
            assert_shape(function, &result.value);
        }
        (result.value, result.retcode)
    }

    #[tokio::test]
    async fn texts_have_what_was_asked_for() {
        let only = |off: &[&str]| {
            let all = ["lowercase", "uppercase", "digits", "punctuation"];
            let off = all.iter().filter(|name| off.contains(name));
            Value::Object(off.map(|name| ((*name).to_owned(), json!(false))).collect())
        };
        for (args, keywords, allowed) in [
            (json!([2000]), json!({}), [LOWERCASE, UPPERCASE, DIGITS, PUNCTUATION].concat()),
            (json!([2000]), only(&["punctuation", "digits"]), [LOWERCASE, UPPERCASE].concat()),
            (json!(["500"]), json!({"chars": "aab"}), "ab".to_owned()),
            (
                json!([3000]),
                json!({"printable": true}),
                [LOWERCASE, UPPERCASE, DIGITS, PUNCTUATION, WHITESPACE].concat(),
            ),
        ] {
            let (value, retcode) = run("random.get_str", args.clone(), keywords).await;
            assert_eq!(retcode, 0);
            let text = value.as_str().unwrap();
            // In so many characters every one is met, but once in a universe.
            assert_eq!(
                text.chars().collect::<BTreeSet<_>>(),
                allowed.chars().collect::<BTreeSet<_>>(),
                "{args}"
            );
        }
        let (one, two) = (
            run("random.get_str", json!([]), json!({})).await,
            run("random.get_str", json!([]), json!({})).await,
        );
        assert!(one != two && one.0.as_str().unwrap().len() == 20);
        let none = only(&["lowercase", "uppercase", "digits", "punctuation"]);
        assert_eq!(run("random.get_str", json!([]), none).await.1, 1);
        assert_eq!(run("random.get_str", json!([-1]), json!({})).await.1, 1);
        assert_eq!(run("random.get_str", json!([65537]), json!({})).await.1, 1);
    }

    #[tokio::test]
    async fn numbers_are_within_their_bounds() {
        let mut seen = BTreeSet::new();
        for _ in 0..300 {
            let (value, _) = run("random.rand_int", json!([-1, 1]), json!({})).await;
            seen.insert(value.as_i64().unwrap());
        }
        assert_eq!(seen, BTreeSet::from([-1, 0, 1]));
        let seeded = json!([1, 1_000_000_000, "seed"]);
        let first = run("random.rand_int", seeded.clone(), json!({})).await;
        assert_eq!(run("random.rand_int", seeded, json!({})).await, first);
        assert_eq!(run("random.rand_int", json!([i64::MIN, i64::MAX]), json!({})).await.1, 0);
        assert_eq!(run("random.rand_int", json!([2, 1]), json!({})).await.1, 1);
        assert_eq!(run("random.rand_int", json!(["x", 1]), json!({})).await.1, 1);
    }

    #[test]
    fn no_number_is_more_likely() {
        let mut given = [u64::MAX, u64::MAX - 1, 7].into_iter();
        // 2^64 - 1 is a multiple of 3, of 5 and of 17.
        assert_eq!(below(3, &mut || Ok(given.next().unwrap())), Ok((u64::MAX - 1) % 3));
        assert_eq!(below(10, &mut || Ok(7)), Ok(7));
    }

    #[tokio::test]
    async fn digests_and_base64() {
        let (value, _) = run("random.hash", json!(["I am a string", "md5"]), json!({})).await;
        assert_eq!(value, Algorithm::Md5.of(b"I am a string"));
        let (value, _) = run("random.hash", json!(["I am a string"]), json!({})).await;
        assert_eq!(value, Algorithm::Sha512.of(b"I am a string"));
        assert_eq!(run("random.hash", json!(["x", "crc"]), json!({})).await.1, 1);
        assert_eq!(
            run("random.str_encode", json!(["get salted"]), json!({})).await,
            (json!("Z2V0IHNhbHRlZA=="), 0)
        );
        let wrong = run("random.str_encode", json!(["x", "rot13"]), json!({})).await;
        assert_eq!(
            wrong,
            (json!("ERROR executing 'random.str_encode': You must specify a valid encoder"), 1)
        );
    }
}
