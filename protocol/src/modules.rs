//! Custom modules on their way from a master to its minions.
//!
//! A minion asks for the list, and then for one file at a time, so that neither side ever holds
//! more than one of them for the other. A file is the binary part of its frame; the JSON part says
//! which one it is, and its hash. **Invariant:** a [`FileName`] names a file in a folder and
//! nothing outside of it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::hex::hex32;

/// The largest module, in bytes: one binary part of one frame.
pub const MODULE_MAX: usize = 1024 * 1024;

/// The most modules of a master.
pub const MODULES_MAX: usize = 256;

/// What a frame has around the bytes of a module.
pub const MODULE_OVERHEAD: usize = 4096;

/// The longest name of a module and the longest extension of its file.
const NAME_MAX: usize = 64;
const EXTENSION_MAX: usize = 16;

/// The name of a module's file: the module's, which is `[a-z][a-z0-9_]{0,63}`, and at most one
/// extension of letters, digits and `_`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileName(String);

/// Why a text is no name of a module's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a module's file is called as the module, which has at most {NAME_MAX} small letters, digits and _ and begins \
     with a letter, and may have one extension of at most {EXTENSION_MAX} letters, digits and _"
)]
pub struct FileNameError;

impl FileName {
    /// The whole name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The module's name: without the extension.
    #[must_use]
    pub fn module(&self) -> &str {
        self.0.split('.').next().unwrap_or_default()
    }
}

impl FromStr for FileName {
    type Err = FileNameError;

    fn from_str(text: &str) -> Result<Self, FileNameError> {
        let (module, extension) = text.split_once('.').unwrap_or((text, "x"));
        let is_module = (1..=NAME_MAX).contains(&module.len())
            && module.starts_with(|c: char| c.is_ascii_lowercase())
            && module.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        let is_extension = (1..=EXTENSION_MAX).contains(&extension.len())
            && extension.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if is_module && is_extension { Ok(Self(text.to_owned())) } else { Err(FileNameError) }
    }
}

impl TryFrom<String> for FileName {
    type Error = FileNameError;

    fn try_from(text: String) -> Result<Self, FileNameError> {
        text.parse()
    }
}

impl From<FileName> for String {
    fn from(name: FileName) -> Self {
        name.0
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The SHA-256 of a module's bytes; hex in JSON.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(#[serde(with = "hex32")] pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A minion asks which modules there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModulesWanted {
    /// Ascends within a session, over both askings.
    pub ask: u64,
}

/// A minion asks for one module, as it was listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleWanted {
    /// Ascends within a session, over both askings.
    pub ask: u64,
    /// Its file.
    pub name: FileName,
    /// The hash that it was listed with.
    pub sha256: Digest,
}

/// What a master says of one module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its hash.
    pub sha256: Digest,
    /// Its size, in bytes.
    pub size: usize,
}

/// A file of the master's that is not handed out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Its name, which need not be one of a module.
    pub name: String,
    /// Why, in one sentence.
    pub why: String,
}

/// The answer to [`ModulesWanted`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Modules {
    /// The asking that this answers.
    pub ask: u64,
    /// All modules that there are for this minion.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<FileName, Listed>,
    /// What is there and not handed out: the minion keeps what it has under these names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refused>,
    /// Why there is no list, in one sentence: the minion keeps all that it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// The answer to [`ModuleWanted`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module {
    /// The asking that this answers.
    pub ask: u64,
    /// Its file.
    pub name: FileName,
    /// The hash of its bytes.
    pub sha256: Digest,
    /// How many they are.
    pub size: usize,
    /// Why there are none of them, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// The bytes: the binary part of the frame.
    #[serde(skip)]
    pub body: Bytes,
}

/// Without the bytes, which may be many.
impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module")
            .field("ask", &self.ask)
            .field("name", &self.name)
            .field("size", &self.size)
            .field("refused", &self.refused)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names() {
        for name in ["a", "foo.py", "foo_2.sh", "f0.X_1"] {
            assert_eq!(name.parse::<FileName>().map(String::from), Ok(name.to_owned()));
        }
        let long = "a".repeat(65);
        for name in [
            "",
            ".",
            ".foo",
            "foo.",
            "Foo",
            "2foo",
            "_foo",
            "foo.py~",
            "foo.py.old",
            "..",
            "../foo",
            "a/b",
            "a b",
            "é",
            "foo.sïx",
            "foo\0",
            &long,
            "foo.aaaaaaaaaaaaaaaaa",
        ] {
            assert_eq!(name.parse::<FileName>(), Err(FileNameError), "{name:?}");
        }
        assert_eq!("foo.py".parse::<FileName>().map(|name| name.module().to_owned()), Ok("foo".to_owned()));
    }

    #[test]
    fn bytes_do_not_show() {
        let module = Module {
            ask: 1,
            name: "foo".parse().expect("a name"),
            sha256: Digest([7; 32]),
            size: 6,
            refused: None,
            body: Bytes::from_static(b"canary"),
        };
        assert!(!format!("{module:?}").contains("canary"));
    }

    proptest! {
        #[test]
        fn a_name_stays_in_its_folder(text in "\\PC{0,12}") {
            if let Ok(name) = text.parse::<FileName>() {
                let path = std::path::Path::new(name.as_str());
                prop_assert_eq!(path.components().count(), 1);
                prop_assert_eq!(path.file_name().and_then(|name| name.to_str()), Some(name.as_str()));
                prop_assert!(!name.as_str().starts_with('.'));
            }
        }
    }
}
