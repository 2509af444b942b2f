//! Names of kernel parameters, and the files that they are.

use std::path::{Path, PathBuf};

use super::super::Fault;

/// The way to a parameter below `/proc/sys`, part by part. No part leads up or elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key(Vec<String>);

impl Key {
    /// Reads a name by the rule of sysctl(8): whichever of `.` and `/` comes first separates the
    /// parts, and the other one stands for it within a part.
    pub(super) fn read(name: &str) -> Option<Self> {
        let is_dotted = name.find(['.', '/']).is_none_or(|at| name.as_bytes()[at] == b'.');
        if is_dotted {
            Self::of(name.split('.').map(|part| part.replace('/', ".")))
        } else {
            Self::of(name.split('/').map(str::to_owned))
        }
    }

    /// The key of these parts, each the name of a file.
    pub(super) fn of(parts: impl IntoIterator<Item = String>) -> Option<Self> {
        let parts: Vec<String> = parts.into_iter().collect();
        let is_name = |part: &String| {
            let is_odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '=');
            !matches!(part.as_str(), "" | "." | "..") && !part.contains(is_odd)
        };
        // In a file of parameters these begin a comment, or ask for errors to be passed over. A dot
        // in the first part could not be told from one behind it.
        let is_first = |part: &String| !part.starts_with(['#', ';', '-']) && !part.contains('.');
        (parts.iter().all(is_name) && parts.first().is_some_and(is_first)).then_some(Self(parts))
    }

    /// As [`Key::read`], for a name that somebody typed.
    pub(super) fn typed(name: &str) -> Result<Self, Fault> {
        Self::read(name).ok_or_else(|| {
            let name = brine_local::text::escape(name);
            let why =
                format!("'{name}' is not the name of a kernel parameter; write it as net.ipv4.ip_forward");
            Fault::Invocation(why)
        })
    }

    /// The name with dots.
    pub(super) fn dotted(&self) -> String {
        self.0.iter().map(|part| part.replace('.', "/")).collect::<Vec<_>>().join(".")
    }

    pub(super) fn path(&self, root: &Path) -> PathBuf {
        self.0.iter().fold(root.to_owned(), |path, part| path.join(part))
    }
}

/// Whether two values are the same to the kernel, which takes any white space between numbers.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    one.split_whitespace().eq(other.split_whitespace())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_those_of_sysctl() {
        for (name, path, dotted) in [
            ("kernel.hostname", "kernel/hostname", "kernel.hostname"),
            ("kernel/hostname", "kernel/hostname", "kernel.hostname"),
            (
                "net.ipv4.conf.eth0/100.rp_filter",
                "net/ipv4/conf/eth0.100/rp_filter",
                "net.ipv4.conf.eth0/100.rp_filter",
            ),
            (
                "net/ipv4/conf/eth0.100/rp_filter",
                "net/ipv4/conf/eth0.100/rp_filter",
                "net.ipv4.conf.eth0/100.rp_filter",
            ),
            ("hostname", "hostname", "hostname"),
        ] {
            let key = Key::read(name).unwrap();
            assert_eq!(key.path(Path::new("/r")), Path::new("/r").join(path), "{name}");
            assert_eq!(key.dotted(), dotted, "{name}");
        }
        for bad in [
            "",
            ".",
            "..",
            "/",
            "a..b",
            ".a",
            "a.",
            "/etc/passwd",
            "a/../b",
            "a/./b",
            "a.//.b",
            "../x",
            "a b",
            "a\nb",
            "a\0b",
            "a=b",
            "-w",
            "--all",
            "#a",
            ";a",
            "kernel/",
        ] {
            assert_eq!(Key::read(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn white_space_is_all_the_same() {
        assert!(is_same("4096\t131072  6291456\n", "4096 131072 6291456"));
        assert!(is_same("", " "));
        assert!(!is_same("12", "1 2"));
    }

    proptest! {
        /// Whatever is typed: no file but one below the folder.
        #[test]
        fn nothing_leads_out(name in "[a-z./\\-= \n\0é]{0,12}") {
            if let Some(key) = Key::read(&name) {
                let path = key.path(Path::new("/proc/sys"));
                let below = path.strip_prefix("/proc/sys").unwrap();
                prop_assert!(below.components().all(|part| matches!(part, std::path::Component::Normal(_))));
                prop_assert!(below.components().count() > 0);
            }
        }

        /// A file's name and the dotted one are each other's.
        #[test]
        fn dotted_names_lead_back(parts in prop::collection::vec("[a-z0-9][a-z0-9.:@-]{0,6}", 0..5)) {
            let key = Key::of(std::iter::once("net".to_owned()).chain(parts)).unwrap();
            prop_assert_eq!(Key::read(&key.dotted()), Some(key));
        }
    }
}
