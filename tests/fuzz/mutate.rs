//! Inputs that look like good ones and are not.

use libtest_mimic::Trial;

use crate::dice::Dice;

/// Most inputs are short, so that there are many of them; some are long.
const SHORT_MAX: usize = 8 * 1024;
const LONG_MAX: usize = 320 * 1024;
const LONG_PERCENT: u64 = 2;

/// How many inputs are kept that took a new way.
const POOL_MAX: usize = 2048;

const NUMBERS: [u64; 16] = [
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0xffff_ffff,
    0x1_0000_0000,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];

/// What the grammars here are made of, and what has hurt decoders elsewhere.
const TOKENS: &[&str] = &[
    "\0",
    "\n",
    "\r\n",
    "\t",
    " ",
    "\"",
    "'",
    "\\",
    "\\u0000",
    "\\ud800",
    "\u{feff}",
    "\u{202e}",
    "\u{1f980}",
    "é",
    "[",
    "]",
    "{",
    "}",
    "(",
    ")",
    ",",
    ":",
    ";",
    "=",
    ":=",
    "|",
    ">",
    "&a",
    "*a",
    "&a [*a]",
    "<<: ",
    "<<: *a",
    "!!str ",
    "!!int ",
    "!!binary ",
    "!x ",
    "---\n",
    "...\n",
    "? ",
    "- ",
    "# ",
    "{% ",
    "{{ ",
    "include: [web, db]\n",
    "base:\n",
    "null",
    "true",
    "NaN",
    ".inf",
    "-0",
    "1e400",
    "1e-400",
    "0x7fffffffffffffff",
    "018",
    "1_000",
    "9223372036854775808",
    "18446744073709551616",
    "99999999999999999999",
    "2026-02-30T25:61:61Z",
    "-9999-01-01T00:00:00Z",
    " and ",
    " or ",
    "not ",
    "E@",
    "G@",
    "P@",
    "L@",
    "I@",
    "J|",
    "S@",
    "N@g2",
    "N@loop",
    "Z@zone:",
    "C@",
    "*",
    "?",
    "[!a]",
    "[a-z]",
    "**",
    ".*",
    "(?i)",
    "(?:",
    "(?=",
    "\\1",
    "\\w{30}",
    "{1000}",
    "{,9}",
    "+*",
    "[[:alpha:]]",
    "10.0.0.0/8",
    "::/0",
    "/33",
    "../",
    "web1",
    "READY",
    "Socket-Type",
    "SUBSCRIBE",
    "PING",
    "\u{7f}",
    "@",
    "@@",
    "%",
    "label.",
    "name,model\n",
    "\"v\":",
    "\"seq\":",
    "\"prev\":",
    "\"kind\":",
    "-----BEGIN PRIVATE KEY-----",
    "-----END PRIVATE KEY-----",
    "==",
];

const BRACKETS: [(&str, &str); 8] = [
    ("[", "]"),
    ("{", "}"),
    ("(", ")"),
    ("{\"a\":", "}"),
    ("[{\"a\":", "}]"),
    ("not ", ""),
    ("- ", ""),
    ("{a: ", "}"),
];

/// Deeper than any limit here, and than a stack that nobody guards.
const DEPTHS: [usize; 7] = [1, 2, 33, 65, 129, 1000, 20_000];

/// Makes inputs from others.
pub struct Mutator {
    dice: Dice,
    pool: Vec<Vec<u8>>,
    /// The first ones are the corpus and stay.
    kept: usize,
}

impl Mutator {
    /// Begins with these. The same seed makes the same inputs as long as the same ones are kept.
    pub fn new(seed: u64, corpus: Vec<Vec<u8>>) -> Self {
        Self { dice: Dice::new(seed), kept: corpus.len(), pool: corpus }
    }

    /// Goes on from this one as well.
    pub fn keep(&mut self, input: Vec<u8>) {
        if self.pool.len() < POOL_MAX {
            self.pool.push(input);
        } else {
            let at = self.kept + self.dice.below(POOL_MAX - self.kept);
            self.pool[at] = input;
        }
    }

    /// The next input.
    pub fn make(&mut self) -> Vec<u8> {
        let max = if self.dice.percent(LONG_PERCENT) { LONG_MAX } else { SHORT_MAX };
        // Half of the time from the corpus: what was kept may be worse and worse.
        let among = if self.dice.percent(50) { self.kept } else { self.pool.len() };
        let mut input = self.pool[self.dice.below(among)].clone();
        loop {
            self.change(&mut input, max);
            input.truncate(max);
            if self.dice.percent(50) {
                return input;
            }
        }
    }

    fn place(&mut self, input: &[u8]) -> usize {
        self.dice.below(input.len() + 1)
    }

    /// A part of the input, seldom a large one.
    fn part(&mut self, input: &[u8]) -> std::ops::Range<usize> {
        let start = self.place(input);
        let most = if self.dice.percent(70) { 16 } else { input.len() };
        let length = self.dice.below(most + 1);
        start..(start + length).min(input.len())
    }

    fn insert(input: &mut Vec<u8>, at: usize, bytes: &[u8]) {
        input.splice(at..at, bytes.iter().copied());
    }

    fn change(&mut self, input: &mut Vec<u8>, max: usize) {
        let part = self.part(input);
        let at = part.start;
        match self.dice.below(14) {
            0 => {
                let bit = 1 << self.dice.below(8);
                input.get_mut(at).into_iter().for_each(|byte| *byte ^= bit);
            }
            1 => {
                let any = self.dice.bytes::<1>()[0];
                input.get_mut(at).into_iter().for_each(|byte| *byte = any);
            }
            2 => input.truncate(at),
            3 => drop(input.drain(part)),
            4 => {
                let copy = input[part].to_vec();
                let fits = max.saturating_sub(input.len()) / copy.len().max(1);
                let most = if self.dice.percent(80) { 3 } else { fits };
                let times = self.dice.below(most.min(fits) + 1);
                Self::insert(input, at, &copy.repeat(times));
            }
            5 => Self::insert(input, at, self.token().as_bytes()),
            6 => drop(input.splice(part, self.token().bytes())),
            7 => {
                let other = self.pool[self.dice.below(self.pool.len())].clone();
                let from = self.part(&other);
                input.splice(part, other[from].iter().copied());
            }
            8 => {
                let other = self.pool[self.dice.below(self.pool.len())].clone();
                let from = self.place(&other);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            9 => self.lie(input, at),
            10 => self.number(input, at),
            11 => self.nest(input, part, max),
            12 => {
                let bytes = self.dice.bytes::<8>();
                Self::insert(input, at, &bytes[..=self.dice.below(8)]);
            }
            _ => input[part].reverse(),
        }
    }

    fn token(&mut self) -> &'static str {
        self.dice.pick(TOKENS)
    }

    fn interesting(&mut self, input: &[u8]) -> u64 {
        match self.dice.below(4) {
            0 => (input.len() as u64).wrapping_add(self.dice.below(5) as u64).wrapping_sub(2),
            _ => self.dice.pick(&NUMBERS),
        }
    }

    /// A length, where one may be, that is not true.
    fn lie(&mut self, input: &mut [u8], at: usize) {
        let width = self.dice.pick(&[1, 2, 4, 8]);
        let number = self.interesting(input);
        let bytes =
            if self.dice.percent(80) { number.to_be_bytes() } else { number.swap_bytes().to_be_bytes() };
        let rest = &mut input[at..];
        let width = width.min(rest.len());
        rest[..width].copy_from_slice(&bytes[8 - width..]);
    }

    /// Another number in place of the next one that is written in digits.
    fn number(&mut self, input: &mut Vec<u8>, at: usize) {
        let start = at + input[at..].iter().take_while(|byte| !byte.is_ascii_digit()).count();
        let end = start + input[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = self.interesting(input);
        let sign = if self.dice.percent(20) { "-" } else { "" };
        input.splice(start..end, format!("{sign}{number}").bytes());
    }

    /// Brackets around a part; now and then they are not closed.
    fn nest(&mut self, input: &mut Vec<u8>, part: std::ops::Range<usize>, max: usize) {
        let (open, close) = self.dice.pick(&BRACKETS);
        let depth = self.dice.pick(&DEPTHS).min(max / (open.len() + close.len()));
        if self.dice.percent(70) {
            Self::insert(input, part.end, close.repeat(depth).as_bytes());
        }
        Self::insert(input, part.start, open.repeat(depth).as_bytes());
    }
}

/// What is checked about it.
pub fn trials() -> Vec<Trial> {
    vec![Trial::test("the_same_seed_makes_the_same_inputs", || {
        let corpus = || vec![b"one: [1, 2]".to_vec(), Vec::new()];
        let inputs = |seed: u64| {
            let mut mutator = Mutator::new(seed, corpus());
            (0..5000).map(|_| mutator.make()).collect::<Vec<_>>()
        };
        let (these, others) = (inputs(1), inputs(2));
        assert_eq!(these, inputs(1));
        assert_ne!(these, others);
        assert!(these.iter().all(|input| input.len() <= LONG_MAX));
        assert!(these.iter().any(|input| input.len() > SHORT_MAX), "some are long");
        assert!(these.iter().filter(|input| input.len() < 64).count() > 1000, "most are short");
        Ok(())
    })]
}
