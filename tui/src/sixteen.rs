//! Frames for terminals of 16 colours, each in one write.
//!
//! The backend names the 16 colours as the first of 256 (`38;5;2`), and a terminal that knows only
//! 16 takes that apart: 5 blinks and 2 dims. Here they get the numbers that every terminal knows
//! (ECMA-48 SGR 30 to 37 and 40 to 47, and the usual 90 to 97 and 100 to 107).

use std::io::{self, Write};

/// Collects what is written until it is flushed.
#[derive(Debug)]
pub(crate) struct Sixteen<W> {
    frame: Vec<u8>,
    out: W,
}

impl<W: Write> Sixteen<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { frame: Vec::new(), out }
    }
}

impl<W: Write> Write for Sixteen<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.frame.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let frame = plain(&std::mem::take(&mut self.frame));
        self.out.write_all(&frame)?;
        self.out.flush()
    }
}

/// The same output with the first 16 of 256 colours named as the 16 colours.
fn plain(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(start) = rest.windows(2).position(|two| two == b"\x1b[") {
        let (before, sequence) = rest.split_at(start);
        plain.extend_from_slice(before);
        let end = sequence.iter().skip(2).position(|byte| (0x40..=0x7e).contains(byte));
        let Some(end) = end.map(|end| end + 3) else {
            rest = sequence;
            break;
        };
        match std::str::from_utf8(&sequence[2..end - 1]) {
            Ok(numbers) if sequence[end - 1] == b'm' => {
                plain.extend_from_slice(format!("\x1b[{}m", renamed(numbers)).as_bytes());
            }
            _ => plain.extend_from_slice(&sequence[..end]),
        }
        rest = &sequence[end..];
    }
    plain.extend_from_slice(rest);
    plain
}

fn renamed(numbers: &str) -> String {
    let numbers: Vec<&str> = numbers.split(';').collect();
    let mut renamed = Vec::with_capacity(numbers.len());
    let mut rest = numbers.as_slice();
    while let [first, more @ ..] = rest {
        let colour = match more {
            ["5", colour, ..] if matches!(*first, "38" | "48") => colour.parse::<u8>().ok(),
            _ => None,
        };
        let ground = if *first == "48" { 10 } else { 0 };
        match colour {
            Some(colour @ 0..=7) => renamed.push((30 + ground + colour).to_string()),
            Some(colour @ 8..=15) => renamed.push((82 + ground + colour).to_string()),
            _ => {
                renamed.push((*first).to_owned());
                rest = more;
                continue;
            }
        }
        rest = &more[2..];
    }
    renamed.join(";")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(written: &str, expected: &str) {
        let mut sixteen = Sixteen::new(Vec::new());
        for byte in written.bytes() {
            sixteen.write_all(&[byte]).unwrap();
        }
        assert!(sixteen.out.is_empty(), "nothing is written before the frame is whole");
        sixteen.flush().unwrap();
        assert_eq!(String::from_utf8(sixteen.out).unwrap(), expected);
    }

    #[test]
    fn colours_get_their_plain_numbers() {
        check("\x1b[38;5;2mgreen\x1b[39m", "\x1b[32mgreen\x1b[39m");
        check("\x1b[38;5;12;49mblue", "\x1b[94;49mblue");
        check("\x1b[1;38;5;1;48;5;15mx", "\x1b[1;31;107mx");
        check("\x1b[48;5;0m", "\x1b[40m");
    }

    #[test]
    fn everything_else_stays() {
        for text in [
            "",
            "服务器 38;5;2m",
            "\x1b[2J\x1b[10;38H",
            "\x1b[38;5;208mx",
            "\x1b[38;2;1;2;3m",
            "\x1b[38;5m",
            "\x1b[m\x1b[0m\x1b[?1049h\x1b[?2026l",
            "cut \x1b[38;5",
            "\x1b",
        ] {
            check(text, text);
        }
    }
}
