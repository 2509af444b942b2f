//! Fingerprints as Salt shows them, for comparing a key that is taken over.
//!
//! Salt hashes PEM texts, Brine the DER inside: one key has several fingerprints there, and
//! another one here. These are Salt's, so that an operator can compare with what Salt's tools
//! print; nothing is decided by them.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// What `salt-call key.finger` prints for a key file with this text, and what `master_finger` of
/// Salt means: the lines between the first and the last that are not blank, line feeds included.
#[must_use]
pub fn salt_fingerprint(pem: &str) -> String {
    let lines: Vec<&str> = pem.split_inclusive('\n').filter(|line| !line.trim().is_empty()).collect();
    let body = match lines.as_slice() {
        [_, body @ .., _] => body,
        [] | [_] => &[],
    };
    digest(&body.concat())
}

/// What `salt-key -f` of Salt 3008 prints for a key file of its master with this text: it hashes
/// the whole of it, so that the two disagree about every key. A minion's key is there as it was
/// sent, without a last line feed.
#[must_use]
pub fn salt_key_fingerprint(pem: &str) -> String {
    digest(pem)
}

/// SHA-256 as Salt writes it, of a text whose lines end in LF.
fn digest(text: &str) -> String {
    let mut shown = String::new();
    for byte in Sha256::digest(text.replace("\r\n", "\n")) {
        let separator = if shown.is_empty() { "" } else { ":" };
        write!(shown, "{separator}{byte:02x}").expect("a String takes any text");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEM: &str = include_str!("../tests/keys/minion.pub");

    /// Worked out with `pem_finger` of Salt 3008.5 on files with these texts.
    #[test]
    fn is_what_salt_says() {
        let of_file =
            "42:13:87:61:12:71:f4:b0:85:7a:c3:34:10:e7:62:2b:d0:df:b8:89:7b:2c:45:0b:12:ad:ff:4d:29:d1:8d:f2";
        for text in [
            PEM.to_owned(),
            PEM.trim_end().to_owned(),
            format!("\r\n\n{}", PEM.trim_end().replace('\n', "\r\n")),
        ] {
            assert_eq!(salt_fingerprint(&text), of_file, "{text:?}");
        }
        for (text, whole) in [
            (
                PEM,
                "30:7d:3a:af:18:0f:8b:19:0c:bd:c6:aa:35:fa:b1:16:c5:90:2b:45:0d:62:eb:c1:c3:b1:33:63:12:cc:52:ef",
            ),
            (
                PEM.trim_end(),
                "4a:37:f0:74:fd:50:bc:2d:3c:16:54:5e:e8:07:9c:73:b9:23:d2:fb:9c:79:a8:61:f7:b3:4a:44:20:02:66:1d",
            ),
        ] {
            assert_eq!(salt_key_fingerprint(text), whole);
        }
        let of_nothing =
            "e3:b0:c4:42:98:fc:1c:14:9a:fb:f4:c8:99:6f:b9:24:27:ae:41:e4:64:9b:93:4c:a4:95:99:1b:78:52:b8:55";
        for text in ["", "\n", "one line", "two\nlines\n"] {
            assert_eq!(salt_fingerprint(text), of_nothing, "{text:?}");
        }
    }
}
