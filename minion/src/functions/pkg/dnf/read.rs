//! What rpm and dnf say, read. Nothing here runs anything.

use std::collections::{BTreeMap, BTreeSet};

use super::super::changes::Versions;

/// The format that [`installed`] reads, for `rpm --query`.
pub(super) const FORMAT: &str = "%{NAME}\\t%{EPOCH}\\t%{VERSION}\\t%{RELEASE}\\t%{ARCH}\\n";

/// Architectures as they end the names in listings.
const ARCHITECTURES: [&str; 17] = [
    "noarch",
    "x86_64",
    "x86_64_v2",
    "x86_64_v3",
    "aarch64",
    "ppc64le",
    "ppc64",
    "s390x",
    "s390",
    "riscv64",
    "armv7hl",
    "loongarch64",
    "i386",
    "i486",
    "i586",
    "i686",
    "athlon",
];

/// Whether a word is the name of an architecture.
pub(super) fn is_architecture(word: &str) -> bool {
    ARCHITECTURES.contains(&word)
}

/// The name, with its architecture behind a dot when that is a foreign one.
fn resolved(name: &str, arch: &str, native: &str) -> String {
    if arch == native || matches!(arch, "noarch" | "(none)") {
        name.to_owned()
    } else {
        format!("{name}.{arch}")
    }
}

/// The packages of `rpm --query --all`.
pub(super) fn installed(listing: &str, native: &str) -> Versions {
    let mut versions = Versions::new();
    for line in listing.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, epoch, version, release, arch] = fields[..] else { continue };
        let epoch = if matches!(epoch, "(none)" | "0") { String::new() } else { format!("{epoch}:") };
        versions.entry(resolved(name, arch, native)).or_default().push(format!("{epoch}{version}-{release}"));
    }
    versions.values_mut().for_each(|all| all.sort());
    versions
}

/// The packages of `dnf list`. A long name stands on a line of its own, its version on the next.
pub(super) fn listed(output: &str, native: &str) -> BTreeMap<String, String> {
    let mut packages = BTreeMap::new();
    let mut words = Vec::new();
    // What is obsoleted is listed behind, and is no upgrade.
    for line in output.lines().take_while(|line| !line.starts_with("Obsoleting")) {
        let name = line.split_whitespace().next().and_then(|word| word.rsplit_once('.'));
        if words.is_empty() && !name.is_some_and(|(_, arch)| is_architecture(arch)) {
            continue;
        }
        words.extend(line.split_whitespace());
        if let [name, version, _, ..] = words[..] {
            if let Some((name, arch)) = name.rsplit_once('.') {
                packages.insert(resolved(name, arch, native), version.trim_end_matches('-').to_owned());
            }
            words.clear();
        }
    }
    packages
}

/// The names of `dnf versionlock list`, as dnf 4 (`nginx-1:1.20.1-14.el9.*`) and dnf 5
/// (`Package name: nginx`) write them.
pub(super) fn locked(output: &str) -> BTreeSet<String> {
    let read = |line: &str| {
        let line = line.trim();
        if let Some(name) = line.strip_prefix("Package name:") {
            return Some(name.trim().to_owned());
        }
        // One that begins with ! is excluded, not locked.
        if line.contains(' ') || line.starts_with(['#', '!']) {
            return None;
        }
        let (rest, _release) = line.rsplit_once('-')?;
        let (name, _version) = rest.rsplit_once('-')?;
        Some(name.to_owned())
    };
    output.lines().filter_map(read).collect()
}

/// Whether somebody else holds a lock, when that is what `said` complains of: its line.
pub(super) fn held_lock(said: &str) -> Option<&str> {
    let words = [
        "another copy is running",
        "create transaction lock",
        "obtain rpm transaction lock",
        "obtain the transaction lock",
        "another process holding",
    ];
    said.lines().find(|line| words.iter().any(|words| line.contains(words))).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installed_packages() {
        let listing = "bash\t(none)\t5.1.8\t9.el9\tx86_64\nglibc\t0\t2.34\t100.el9\tx86_64\n\
                       glibc\t(none)\t2.34\t100.el9\ti686\nkernel-core\t(none)\t5.14.0\t427.el9\tx86_64\n\
                       kernel-core\t(none)\t5.14.0\t362.el9\tx86_64\nNetworkManager\t1\t1.46.0\t8.el9_4\tx86_64\n\
                       tzdata\t(none)\t2024a\t1.el9\tnoarch\ngpg-pubkey\t(none)\t8483c65d\t5ccc5b19\t(none)\nodd\n";
        let packages = installed(listing, "x86_64");
        let shown: Vec<(&str, String)> =
            packages.iter().map(|(name, versions)| (name.as_str(), versions.join(","))).collect();
        let expected = [
            ("NetworkManager", "1:1.46.0-8.el9_4"),
            ("bash", "5.1.8-9.el9"),
            ("glibc", "2.34-100.el9"),
            ("glibc.i686", "2.34-100.el9"),
            ("gpg-pubkey", "8483c65d-5ccc5b19"),
            ("kernel-core", "5.14.0-362.el9,5.14.0-427.el9"),
            ("tzdata", "2024a-1.el9"),
        ];
        assert_eq!(shown, expected.map(|(name, version)| (name, version.to_owned())));
    }

    #[test]
    fn listings() {
        let dnf4 = "\
Last metadata expiration check: 0:12:11 ago on Mon 03 Mar 2025 10:00:00 AM UTC.
Available Upgrades
NetworkManager.x86_64                1:1.46.0-8.el9_4                     baseos
containers-common-extra-very-long-name.noarch
                                     2:1-91.el9_4                         appstream
glibc.i686                           2.34-100.el9_4.2                     baseos
Obsoleting Packages
grub2-tools.x86_64                   1:2.06-80.el9                        baseos
";
        let packages = listed(dnf4, "x86_64");
        let found: Vec<(&str, &str)> = packages.iter().map(|(name, v)| (name.as_str(), v.as_str())).collect();
        let expected = [
            ("NetworkManager", "1:1.46.0-8.el9_4"),
            ("containers-common-extra-very-long-name", "2:1-91.el9_4"),
            ("glibc.i686", "2.34-100.el9_4.2"),
        ];
        assert_eq!(found, expected);
        let dnf5 = "Available upgrades\nbash.x86_64  5.2.26-3.fc40  updates\n";
        assert_eq!(listed(dnf5, "x86_64")["bash"], "5.2.26-3.fc40");
        assert!(listed("", "x86_64").is_empty());
        assert!(listed("Error: No matching Packages to list\nx.x86_64 1\n", "x86_64").is_empty());
    }

    #[test]
    fn version_locks() {
        let dnf4 = "Last metadata expiration check: 0:00:10 ago.\nnginx-1:1.20.1-14.el9.*\nkernel-core-0:5.14.0-427.*\n\
                    !bash-0:5.1-1.*\n";
        assert_eq!(locked(dnf4).into_iter().collect::<Vec<_>>(), ["kernel-core", "nginx"]);
        let dnf5 =
            "# Added by 'versionlock add' command on 2024-09-01\nPackage name: acl\nevr = 2.3.2-1.fc40\n";
        assert_eq!(locked(dnf5).into_iter().collect::<Vec<_>>(), ["acl"]);
        assert!(locked("").is_empty());
    }

    #[test]
    fn locks() {
        let said =
            "Existing lock /var/cache/dnf/metadata_lock.pid: another copy is running as pid 123.\nError: x";
        let line = "Existing lock /var/cache/dnf/metadata_lock.pid: another copy is running as pid 123.";
        assert_eq!(held_lock(said), Some(line));
        let rpm = "error: can't create transaction lock on /var/lib/rpm/.rpm.lock (Resource temporarily unavailable)";
        assert_eq!(held_lock(rpm), Some(rpm));
        assert_eq!(held_lock("Error: Unable to find a match: nosuch"), None);
    }
}
