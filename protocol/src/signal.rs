//! Signals to the processes of a job.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Jid;

/// The names by number, from 1, as Linux has them on nearly all machines. What crosses the wire is
/// the name, so that a machine with other numbers gets the signal that was meant.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// A signal; in JSON its name without `SIG`.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "String")]
pub struct SignalName(u8);

/// An operator, or Salt's functions, may say the number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(i64),
    Text(String),
}

/// Why something is no signal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a signal is a name or a number from 1 to 31, as TERM or 15; {0:?} is neither")]
pub struct SignalError(pub String);

impl SignalName {
    /// What asks a process to end.
    pub const TERM: Self = Self(15);
    /// What ends it.
    pub const KILL: Self = Self(9);

    /// The name, as `TERM`.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES[usize::from(self.0) - 1]
    }

    /// The number that most machines have for it.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }

    /// Whether it is there to end a process: what has no process of its own is ended by it as well.
    #[must_use]
    pub fn is_for_ending(self) -> bool {
        matches!(self.name(), "HUP" | "INT" | "QUIT" | "KILL" | "TERM")
    }

    fn at(number: i64) -> Option<Self> {
        u8::try_from(number).ok().filter(|number| (1..=NAMES.len()).contains(&usize::from(*number))).map(Self)
    }
}

impl FromStr for SignalName {
    type Err = SignalError;

    fn from_str(text: &str) -> Result<Self, SignalError> {
        let error = || SignalError(text.chars().take(64).collect());
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().ok().and_then(Self::at).ok_or_else(error);
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        (1..).map(Self).take(NAMES.len()).find(|signal| signal.name() == name).ok_or_else(error)
    }
}

impl TryFrom<Written> for SignalName {
    type Error = SignalError;

    fn try_from(written: Written) -> Result<Self, SignalError> {
        match written {
            Written::Number(number) => Self::at(number).ok_or_else(|| SignalError(number.to_string())),
            Written::Text(text) => text.parse(),
        }
    }
}

impl From<SignalName> for String {
    fn from(signal: SignalName) -> Self {
        signal.name().to_owned()
    }
}

impl fmt::Display for SignalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for SignalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A signal for the processes of a job, if it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal {
    /// The job.
    pub jid: Jid,
    /// Its delivery number.
    pub number: u64,
    /// Which.
    pub signal: SignalName,
    /// Who sends it.
    pub by: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for (text, name, number) in [
            ("TERM", "TERM", 15),
            ("SIGTERM", "TERM", 15),
            ("sigkill", "KILL", 9),
            ("9", "KILL", 9),
            ("usr1", "USR1", 10),
            ("1", "HUP", 1),
            ("31", "SYS", 31),
        ] {
            let signal: SignalName = text.parse().expect(text);
            assert_eq!((signal.name(), signal.number()), (name, number), "{text}");
        }
        for bad in ["", "0", "32", "-9", "SIG", "SIGSIGTERM", "TERMINATE", "99999999999999999999"] {
            assert!(bad.parse::<SignalName>().is_err(), "{bad}");
        }
        let read = |json: &str| serde_json::from_str::<SignalName>(json).ok().map(SignalName::name);
        assert_eq!(read("15"), Some("TERM"));
        assert_eq!(read("\"INT\""), Some("INT"));
        assert_eq!((read("0"), read("-1"), read("null")), (None, None, None));
    }
}
