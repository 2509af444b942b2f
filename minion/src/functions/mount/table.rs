//! What the kernel says is mounted: lines of mountinfo, proc_pid_mountinfo(5).

/// A mounted file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) id: String,
    pub(super) parent: String,
    pub(super) major: String,
    pub(super) minor: String,
    /// The folder of the file system that is seen at the mount point.
    pub(super) root: String,
    pub(super) point: String,
    /// The options of this place.
    pub(super) options: Vec<String>,
    pub(super) kind: String,
    pub(super) source: String,
    /// The options of the file system, wherever it is seen.
    pub(super) super_options: Vec<String>,
}

impl Mount {
    fn read(line: &[u8]) -> Option<Self> {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        // Any number of optional fields comes before the dash.
        let dash = 6 + fields.get(6..)?.iter().position(|field| field == b"-")?;
        let [id, parent, device, root, point, options] = fields.first_chunk()?;
        let [kind, source, super_options] = fields.get(dash + 1..)?.first_chunk()?;
        let device = decode(device);
        let (major, minor) = device.split_once(':')?;
        Some(Self {
            id: decode(id),
            parent: decode(parent),
            major: major.to_owned(),
            minor: minor.to_owned(),
            root: decode(root),
            point: decode(point),
            options: self::options(options),
            kind: decode(kind),
            source: decode(source),
            super_options: self::options(super_options),
        })
    }

    /// The options in one list, as `/proc/mounts` has them.
    pub(super) fn all_options(&self) -> Vec<String> {
        // In front of those of the place, as the kernel writes them.
        const FIRST: [&str; 5] = ["sync", "dirsync", "mand", "lazytime", "seclabel"];
        let is_access = |option: &&String| matches!(option.as_str(), "ro" | "rw");
        let is_read_only = self.options.iter().chain(&self.super_options).any(|option| option == "ro");
        let of_super: Vec<&String> = self.super_options.iter().filter(|option| !is_access(option)).collect();
        let first = of_super.iter().take_while(|option| FIRST.contains(&option.as_str())).count();
        let (first, last) = of_super.split_at(first);
        let here = self.options.iter().filter(|option| !is_access(option));
        let access = if is_read_only { "ro" } else { "rw" };
        std::iter::once(access.to_owned())
            .chain(first.iter().copied().chain(here).chain(last.iter().copied()).cloned())
            .collect()
    }
}

/// All that is mounted, in the kernel's order: of two at the same place the later one is seen.
/// Lines that are none are passed over.
pub(super) fn read(text: &[u8]) -> impl Iterator<Item = Mount> {
    text.split(|byte| *byte == b'\n').filter_map(Mount::read)
}

fn options(field: &[u8]) -> Vec<String> {
    field.split(|byte| *byte == b',').filter(|option| !option.is_empty()).map(decode).collect()
}

/// A field without its escapes: a backslash and three octal digits are a byte. Bytes that are no
/// UTF-8 become the replacement character.
pub(super) fn decode(field: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, behind @ ..] = rest {
        let escaped = behind.first_chunk::<3>().filter(|_| *first == b'\\').and_then(octal);
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &behind[3..] } else { behind };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn octal(digits: &[u8; 3]) -> Option<u8> {
    let is_octal = digits.iter().all(|digit| (b'0'..=b'7').contains(digit)) && digits[0] <= b'3';
    is_octal.then(|| digits.iter().fold(0, |value, digit| value * 8 + (digit - b'0')))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(line: &str) -> Mount {
        Mount::read(line.as_bytes()).unwrap_or_else(|| panic!("{line}"))
    }

    #[test]
    fn lines_of_the_kernel() {
        let mount = one(
            r"36 35 98:0 /mnt1 /mnt\0402 ro,noatime master:1 shared:7 - ext3 /dev/root rw,errors=continue",
        );
        assert_eq!(
            mount,
            Mount {
                id: "36".to_owned(),
                parent: "35".to_owned(),
                major: "98".to_owned(),
                minor: "0".to_owned(),
                root: "/mnt1".to_owned(),
                point: "/mnt 2".to_owned(),
                options: vec!["ro".to_owned(), "noatime".to_owned()],
                kind: "ext3".to_owned(),
                source: "/dev/root".to_owned(),
                super_options: vec!["rw".to_owned(), "errors=continue".to_owned()],
            }
        );
        assert_eq!(mount.all_options(), ["ro", "noatime", "errors=continue"]);
        let empty = one("1 0 0:5 / /x rw - tmpfs  rw,sync,size=4k");
        assert_eq!((empty.source.as_str(), empty.kind.as_str()), ("", "tmpfs"));
        assert_eq!(empty.all_options(), ["rw", "sync", "size=4k"]);
        let dash = one("1 0 0:5 / - rw - fuse.x - rw,nosuid");
        assert_eq!((dash.point.as_str(), dash.source.as_str()), ("-", "-"));
        for broken in
            ["", "1 0 0:5 / /x rw", "1 0 0:5 / /x rw - tmpfs", "1 0 05 / /x rw - a b rw", "- - - - - - -"]
        {
            assert_eq!(Mount::read(broken.as_bytes()), None, "{broken:?}");
        }
    }

    #[test]
    fn escapes() {
        for (field, expected) in [
            (&br"a\040b\011c\012d\134e\043"[..], "a b\tc\nd\\e#"),
            (br"\303\251", "é"),
            (br"\377", "\u{fffd}"),
            (br"\400\9\04", r"\400\9\04"),
            (br"\\040", "\\ "),
            (b"\\", "\\"),
            (b"", ""),
        ] {
            assert_eq!(decode(field), expected);
        }
    }

    proptest! {
        /// Names that the kernel escapes, whatever is in them, are what they were.
        #[test]
        fn names_come_back(point in "/[ \t\n\\\\#a-z0-9é]{0,12}", source in "[ \t\n\\\\#a-z0-9:/-]{0,12}") {
            let escape = |name: &str| -> String {
                name.chars()
                    .map(|c| match c {
                        ' ' | '\t' | '\n' | '\\' | '#' => format!("\\{:03o}", u32::from(c)),
                        c => c.to_string(),
                    })
                    .collect()
            };
            let line = format!("1 0 8:1 / {} rw shared:1 - ext4 {} rw", escape(&point), escape(&source));
            let found: Vec<Mount> = read(line.as_bytes()).collect();
            prop_assert_eq!(found.len(), 1);
            prop_assert_eq!((&found[0].point, &found[0].source), (&point, &source));
        }

        #[test]
        fn foreign_bytes_never_panic(text in prop::collection::vec(prop_oneof![
            any::<u8>(), Just(b' '), Just(b'-'), Just(b'\\'), Just(b'0'), Just(b':'),
        ], 0..80)) {
            let lines = text.split(|byte| *byte == b'\n').count();
            prop_assert!(read(&text).count() <= lines);
            prop_assert!(decode(&text).len() <= 3 * text.len());
        }
    }
}
