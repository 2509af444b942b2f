//! A search for what is left of a secret, in whatever form a file may hold it.
//!
//! Any [`PIECE`] bytes in a row of any written form are enough: a torn block, a wrapped line or the
//! middle of a larger text give a secret away like the whole of it. Only what is secret is looked
//! for: a private key has its public half in it, which may be anywhere.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// How many bytes in a row are no chance.
const PIECE: usize = 16;

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What is looked for, and what it is called.
#[derive(Debug, Clone)]
pub struct Hunt {
    forms: Vec<(String, Vec<u8>)>,
    pieces: HashMap<[u8; PIECE], usize>,
    /// Which three bytes some piece begins with: nearly every place in a file is none.
    begins: Vec<bool>,
}

impl Hunt {
    fn of(forms: Vec<(String, Vec<u8>)>) -> Self {
        let (mut pieces, mut begins) = (HashMap::new(), vec![false; 1 << 24]);
        for (at, (_, form)) in forms.iter().enumerate() {
            for piece in form.windows(PIECE) {
                begins[begin(piece)] = true;
                pieces.entry(piece.try_into().expect("a piece")).or_insert(at);
            }
        }
        Self { forms, pieces, begins }
    }

    /// For a private key: the lines of its PEM, its DER, and every secret number of it raw, in hex
    /// and in base64.
    ///
    /// # Panics
    /// There is no RSA key in PKCS#8 in the text.
    #[must_use]
    pub fn private_key(text: &str) -> Self {
        let lines: Vec<&str> = text
            .lines()
            .skip_while(|line| *line != "-----BEGIN PRIVATE KEY-----")
            .skip(1)
            .take_while(|line| *line != "-----END PRIVATE KEY-----")
            .collect();
        let der = decode(&lines.concat());
        let numbers = numbers(&der);
        // Behind version, modulus and public exponent everything is secret.
        let secret_from = numbers[3].as_ptr() as usize - der.as_ptr() as usize;
        let mut forms = vec![("DER".to_owned(), der[secret_from..].to_vec())];
        let mut at = 0;
        for (number, line) in lines.iter().enumerate() {
            // A line is secret as a whole when its first byte is.
            if at * 6 / 8 >= secret_from {
                forms.push((format!("PEM line {number}"), line.as_bytes().to_vec()));
            }
            at += line.len();
        }
        for (name, number) in ["d", "p", "q", "dP", "dQ", "qInv"].iter().zip(&numbers[3..]) {
            forms.extend(written(name, number.strip_prefix(&[0]).unwrap_or(number)));
        }
        Self::of(forms)
    }

    /// For an enrolment token: its text and the bytes that it stands for, each raw, in hex and in
    /// base64.
    ///
    /// # Panics
    /// The text is no `brt_` and hex digits.
    #[must_use]
    pub fn token(text: &str) -> Self {
        let digits = text.strip_prefix("brt_").expect("a token");
        let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex digits");
        let bytes: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect();
        Self::of([written("text", text.as_bytes()), written("bytes", &bytes)].concat())
    }

    /// The first form of the secret that some bytes have a piece of.
    #[must_use]
    pub fn find(&self, bytes: &[u8]) -> Option<&str> {
        bytes.windows(PIECE).filter(|piece| self.begins[begin(piece)]).find_map(|piece| {
            let at = *self.pieces.get(<&[u8; PIECE]>::try_from(piece).expect("a piece"))?;
            Some(self.forms[at].0.as_str())
        })
    }

    /// Every file below a folder that has a piece of the secret, and in which form.
    ///
    /// # Panics
    /// The folder cannot be read, or a planted piece of the secret is not found in it: a search that
    /// finds nothing has to have looked.
    #[must_use]
    pub fn search(&self, root: &Path) -> Vec<(PathBuf, String)> {
        let planted = root.join("planted");
        fs::create_dir(&planted).expect("the folder is writable");
        for (at, (_, form)) in self.forms.iter().enumerate() {
            let piece = &form[form.len() / 2 - PIECE / 2..][..PIECE];
            let text = [&b"x".repeat(1001), piece, b"x"].concat();
            fs::write(planted.join(at.to_string()), text).expect("the folder is writable");
        }
        let mut found = self.look(root);
        for (at, (name, _)) in self.forms.iter().enumerate() {
            let path = planted.join(at.to_string());
            assert!(found.iter().any(|(found, _)| *found == path), "a piece of {name} is not found");
        }
        fs::remove_dir_all(&planted).expect("it was made here");
        found.retain(|(path, _)| !path.starts_with(&planted));
        found
    }

    fn look(&self, root: &Path) -> Vec<(PathBuf, String)> {
        let (mut found, mut folders) = (Vec::new(), vec![root.to_owned()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("a folder").flatten() {
                let kind = entry.file_type().expect("a file");
                if kind.is_dir() {
                    folders.push(entry.path());
                } else if kind.is_file() {
                    // What goes away meanwhile is gone.
                    let bytes = fs::read(entry.path()).unwrap_or_default();
                    found.extend(self.find(&bytes).map(|form| (entry.path(), form.to_owned())));
                }
            }
        }
        found
    }
}

fn begin(piece: &[u8]) -> usize {
    usize::from(piece[0]) << 16 | usize::from(piece[1]) << 8 | usize::from(piece[2])
}

/// The forms in which bytes may be written.
fn written(name: &str, bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let little: Vec<u8> = bytes.iter().rev().copied().collect();
    let mut forms = Vec::new();
    for (order, bytes) in [("big endian", bytes), ("little endian", &little)] {
        let mut add = |form: &str, bytes| forms.push((format!("{name}, {order}, {form}"), bytes));
        add("raw", bytes.to_vec());
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        add("upper hex", hex.to_ascii_uppercase().into_bytes());
        add("hex", hex.into_bytes());
        for skip in 0..3 {
            add(&format!("base64 behind {skip}"), encode(STANDARD, bytes, skip));
            add(&format!("base64url behind {skip}"), encode(URL, bytes, skip));
        }
    }
    forms
}

/// Base64 of what stands behind `skip` other bytes, without the digits that those have a part in.
fn encode(digits: &[u8; 64], bytes: &[u8], skip: usize) -> Vec<u8> {
    let whole = [&[0; 2][..skip], bytes].concat();
    let (mut text, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for byte in whole {
        bits = bits << 8 | u32::from(byte);
        count += 8;
        while count >= 6 {
            count -= 6;
            text.push(digits[(bits >> count) as usize & 63]);
        }
    }
    text.split_off((skip * 8).div_ceil(6))
}

fn decode(text: &str) -> Vec<u8> {
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for digit in text.bytes().filter(|digit| *digit != b'=') {
        let six = STANDARD.iter().position(|other| *other == digit).expect("base64");
        bits = bits << 6 | u32::try_from(six).expect("six bits");
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}

/// The nine numbers of an RSA key in PKCS#8 (RFC 5958, RFC 8017 A.1.2): version, n, e, d, p, q and
/// the three that follow from these.
fn numbers(der: &[u8]) -> Vec<&[u8]> {
    let (info, _) = element(der, 0x30);
    let (_version, rest) = element(info, 0x02);
    let (_algorithm, rest) = element(rest, 0x30);
    let (key, _) = element(rest, 0x04);
    let (mut rest, _) = element(key, 0x30);
    let mut numbers = Vec::new();
    while !rest.is_empty() {
        let (number, after) = element(rest, 0x02);
        numbers.push(number);
        rest = after;
    }
    assert_eq!(numbers.len(), 9, "an RSA key of two primes");
    numbers
}

/// What is in the first element, and what is behind it.
fn element(der: &[u8], tag: u8) -> (&[u8], &[u8]) {
    assert_eq!(der[0], tag, "another element");
    let (len, at) = match der[1] {
        short @ ..0x80 => (usize::from(short), 2),
        long => {
            let digits = usize::from(long & 0x7f);
            (der[2..2 + digits].iter().fold(0, |len, byte| len << 8 | usize::from(*byte)), 2 + digits)
        }
    };
    der[at..].split_at(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{key_file, short_dir};

    fn key() -> (String, Hunt) {
        let text = fs::read_to_string(key_file("m1.pem")).expect("a key");
        let hunt = Hunt::private_key(&text);
        (text, hunt)
    }

    #[test]
    fn every_form_is_found_wherever_it_begins() {
        let (text, hunt) = key();
        let q = hunt.forms.iter().find(|(name, _)| name == "q, big endian, raw").expect("q").1.clone();
        for skip in 0..4 {
            let other = vec![7; skip];
            let hex: String = q.iter().map(|byte| format!("{byte:02X}")).collect();
            for bytes in [
                [other.clone(), q.clone()].concat(),
                encode(STANDARD, &[other.clone(), q.clone()].concat(), 0),
                [other.clone(), hex.into_bytes()].concat(),
                [other.clone(), q.iter().rev().copied().collect()].concat(),
                [other.clone(), q[40..60].to_vec()].concat(),
                [other, text.lines().nth(12).expect("a line").as_bytes().to_vec()].concat(),
            ] {
                assert!(hunt.find(&bytes).is_some(), "behind {skip}: {bytes:?}");
            }
        }
        assert_eq!(hunt.find(&q[40..55]), None, "15 bytes are no piece");
    }

    #[test]
    fn the_public_half_and_other_keys_are_no_find() {
        let (_, hunt) = key();
        for name in ["m1.pub", "m2.pem", "master.pem"] {
            assert_eq!(hunt.find(&fs::read(key_file(name)).expect("a key")), None, "{name}");
        }
    }

    #[test]
    fn a_copy_is_found_among_files() {
        let (text, hunt) = key();
        let folder = short_dir();
        fs::create_dir_all(folder.path().join("a/b")).expect("a folder");
        assert_eq!(hunt.search(folder.path()), []);
        let copy = folder.path().join("a/b/.copy");
        fs::write(&copy, decode(&text.lines().filter(|line| !line.starts_with('-')).collect::<String>()))
            .expect("a file");
        let found = hunt.search(folder.path());
        assert_eq!((found.len(), &found[0].0), (1, &copy), "{found:?}");
    }

    #[test]
    fn a_token_is_found_by_its_text_and_by_its_bytes() {
        let hunt = Hunt::token(&format!("brt_{}", "0123456789abcdef".repeat(4)));
        for text in [&b"x4567-- 0123456789ABCDEF"[..], b"BRT_0123456789abcdef", &[7, 1, 0x23, 0x45, 0x67]] {
            let bytes =
                [text, &[0x89, 0xab, 0xcd, 0xef, 1, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef]].concat();
            assert!(hunt.find(&bytes).is_some(), "{text:?}");
        }
        assert_eq!(hunt.find(b"brt_0123456789a-cdef"), None);
    }

    #[test]
    fn base64_there_and_back() {
        assert_eq!(encode(STANDARD, b"any carnal pleas", 0), b"YW55IGNhcm5hbCBwbGVhc");
        assert_eq!(decode("YW55IGNhcm5hbCBwbGVhcw=="), b"any carnal pleas");
        assert_eq!(encode(STANDARD, b"carnal", 2), &encode(STANDARD, b"\0\0carnal", 0)[3..]);
    }
}
