//! The names that devices have beside the kernel's.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::table::Mount;

/// The folders in which the kernel and udev name devices.
#[derive(Debug, Clone)]
pub(super) struct Devices {
    sys: PathBuf,
    dev: PathBuf,
}

/// What file systems are called by their own words, by device.
pub(super) type Tags = HashMap<PathBuf, String>;

impl Devices {
    pub(super) fn new() -> Self {
        Self::at("/sys", "/dev")
    }

    pub(super) fn at(sys: impl Into<PathBuf>, dev: impl Into<PathBuf>) -> Self {
        Self { sys: sys.into(), dev: dev.into() }
    }

    /// The name that people know a mount's device by: the one under `/dev/mapper`, and the real one
    /// of the root that the boot loader named.
    pub(super) fn known_name(&self, mount: &Mount) -> String {
        if mount.source != "/dev/root" && !mount.source.starts_with("/dev/dm-") {
            return mount.source.clone();
        }
        let folder = self.sys.join(format!("dev/block/{}:{}", mount.major, mount.minor));
        let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
        let mapped = text("dm/name");
        if !mapped.trim().is_empty() {
            return format!("/dev/mapper/{}", mapped.trim());
        }
        let about = text("uevent");
        let name = about.lines().find_map(|line| line.strip_prefix("DEVNAME="));
        name.map_or_else(|| mount.source.clone(), |name| format!("/dev/{name}"))
    }

    /// What udev found on the devices: links from `kind` (`uuid`, `label`). None without udev.
    pub(super) fn tags(&self, kind: &str) -> Tags {
        let links = fs::read_dir(self.dev.join(format!("disk/by-{kind}"))).into_iter().flatten().flatten();
        links
            .filter_map(|link| {
                let device = fs::canonicalize(link.path()).ok()?;
                Some((device, unhex(&link.file_name().to_string_lossy())))
            })
            .collect()
    }
}

/// The tag of a mount's device.
pub(super) fn tag<'a>(tags: &'a Tags, mount: &Mount) -> Option<&'a str> {
    let device = Path::new(&mount.source);
    if !device.is_absolute() || tags.is_empty() {
        return None;
    }
    let found = tags.get(device).or_else(|| tags.get(&fs::canonicalize(device).ok()?));
    found.map(String::as_str)
}

/// A name of udev's: `\x` and two hexadecimal digits are a byte.
fn unhex(name: &str) -> String {
    let mut parts = name.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let byte = part.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match byte.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend_from_slice(&part.as_bytes()[2..]);
            }
            None => bytes.extend_from_slice(format!("\\x{part}").as_bytes()),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::table::read;
    use super::*;

    fn mount(device: &str, source: &str) -> Mount {
        read(format!("1 0 {device} / /x rw - ext4 {source} rw").as_bytes()).next().unwrap()
    }

    #[test]
    fn devices_have_the_names_that_people_know() {
        let folder = tempfile::tempdir().unwrap();
        for (file, text) in
            [("253:0/dm/name", "vg-data\n"), ("8:1/uevent", "MAJOR=8\nDEVNAME=sda1\nDEVTYPE=partition\n")]
        {
            let file = folder.path().join("dev/block").join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        let devices = Devices::at(folder.path(), "/nowhere");
        for (device, source, expected) in [
            ("253:0", "/dev/dm-0", "/dev/mapper/vg-data"),
            ("8:1", "/dev/root", "/dev/sda1"),
            ("9:9", "/dev/root", "/dev/root"),
            ("8:1", "/dev/sdb", "/dev/sdb"),
            ("0:1", "server:/data", "server:/data"),
        ] {
            assert_eq!(devices.known_name(&mount(device, source)), expected);
        }
    }

    #[test]
    fn file_systems_have_tags() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for kind in ["uuid", "label"] {
            fs::create_dir_all(path(&format!("disk/by-{kind}"))).unwrap();
        }
        fs::write(path("sda1"), "").unwrap();
        symlink("../../sda1", path("disk/by-uuid/AB-12")).unwrap();
        symlink("../../sda1", path("disk/by-label/a\\x20b\\xc3\\xa9\\x2\\xzz")).unwrap();
        symlink("../../gone", path("disk/by-label/gone")).unwrap();
        symlink("sda1", path("same")).unwrap();
        let devices = Devices::at("/nowhere", folder.path());
        let (ids, labels) = (devices.tags("uuid"), devices.tags("label"));
        for name in ["sda1", "same"] {
            let mount = mount("8:1", path(name).to_str().unwrap());
            assert_eq!((tag(&ids, &mount), tag(&labels, &mount)), (Some("AB-12"), Some("a bé\\x2\\xzz")));
        }
        assert_eq!(tag(&ids, &mount("8:1", "tmpfs")), None);
        assert_eq!(Devices::at("/nowhere", "/nowhere").tags("uuid"), Tags::new());
    }
}
