//! Grains about the distribution: `os`, `os_family`, `osrelease` and their kin.
//!
//! Everything comes from `/etc/os-release`; the words are Salt's, since states and targets of
//! people who come from there compare with them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// `ID` of os-release, then Salt's words for `os` and `os_family`.
const KNOWN: [(&str, &str, &str); 32] = [
    ("almalinux", "AlmaLinux", "RedHat"),
    ("alpine", "Alpine", "Alpine"),
    ("amzn", "Amazon", "RedHat"),
    ("arch", "Arch", "Arch"),
    ("archarm", "Arch ARM", "Arch"),
    ("centos", "CentOS", "RedHat"),
    ("cloudlinux", "CloudLinux", "RedHat"),
    ("debian", "Debian", "Debian"),
    ("devuan", "Devuan", "Debian"),
    ("fedora", "Fedora", "RedHat"),
    ("gentoo", "Gentoo", "Gentoo"),
    ("kali", "Kali", "Debian"),
    ("linuxmint", "Mint", "Debian"),
    ("manjaro", "Manjaro", "Arch"),
    ("neon", "KDE neon", "Debian"),
    ("nixos", "NixOS", "NixOS"),
    ("ol", "OEL", "RedHat"),
    ("openeuler", "openEuler", "openEuler"),
    ("openEuler", "openEuler", "openEuler"),
    ("opensuse-leap", "SUSE", "Suse"),
    ("opensuse-tumbleweed", "SUSE", "Suse"),
    ("pop", "Pop", "Debian"),
    ("proxmox", "Proxmox", "Debian"),
    ("raspbian", "Raspbian", "Debian"),
    ("rhel", "RedHat", "RedHat"),
    ("rocky", "Rocky", "RedHat"),
    ("scientific", "ScientificLinux", "RedHat"),
    ("sle_hpc", "SUSE", "Suse"),
    ("sled", "SUSE", "Suse"),
    ("sles", "SUSE", "Suse"),
    ("ubuntu", "Ubuntu", "Debian"),
    ("void", "Void", "Void"),
];

/// Grains of this machine's distribution.
pub(super) fn collect() -> Map<String, Value> {
    let mut text = super::read("/etc/os-release");
    if text.is_empty() {
        text = super::read("/usr/lib/os-release");
    }
    grains(&parse(&text))
}

/// Reads os-release: `NAME=value` lines, quoted as a shell would quote them.
fn parse(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| {
            let line = line.trim();
            let (name, value) = line.split_once('=').filter(|_| !line.starts_with('#'))?;
            let words = shlex::split(value).unwrap_or_else(|| vec![value.to_owned()]);
            Some((name.to_owned(), words.join(" ")))
        })
        .collect()
}

fn grains(release: &BTreeMap<String, String>) -> Map<String, Value> {
    let field = |name: &str| release.get(name).map_or("", String::as_str);
    let (id, name) = (field("ID"), field("NAME"));
    let (os, family) = names(id, field("ID_LIKE"), name);
    let full_name = match id {
        "opensuse-leap" => "Leap",
        "opensuse-tumbleweed" => "Tumbleweed",
        _ if name.is_empty() => os,
        _ => name,
    };
    // Rolling distributions have no version; Arch writes BUILD_ID=rolling.
    let version = [field("VERSION_ID"), field("BUILD_ID"), field("VERSION_CODENAME")]
        .into_iter()
        .find(|text| !text.is_empty())
        .unwrap_or_default();
    let major = version.split('.').next().unwrap_or_default();
    let finger_name = if matches!(os, "Debian" | "Raspbian") { os } else { full_name };
    // Ubuntu's releases differ by their minor number.
    let finger_version = if matches!(os, "Ubuntu" | "Pop") { version } else { major };
    let mut grains = Map::new();
    grains.insert("os".to_owned(), json!(os));
    grains.insert("os_family".to_owned(), json!(family));
    grains.insert("osrelease".to_owned(), json!(version));
    grains.insert("osfullname".to_owned(), json!(full_name));
    grains.insert("oscodename".to_owned(), json!(codename(release)));
    if let Ok(major) = major.parse::<u64>() {
        grains.insert("osmajorrelease".to_owned(), json!(major));
    }
    grains.insert("osfinger".to_owned(), json!(format!("{finger_name}-{finger_version}")));
    grains
}

fn names<'a>(id: &str, like: &str, name: &'a str) -> (&'a str, &'a str) {
    // CentOS kept its ID when it became Stream; Salt tells them apart by name.
    if id == "centos" && name == "CentOS Stream" {
        return (name, "RedHat");
    }
    let known = |word: &str| KNOWN.iter().find(|(known, ..)| *known == word);
    if let Some((_, os, family)) = known(id) {
        return (os, family);
    }
    let os = if name.is_empty() { "Linux" } else { name };
    // A derivative that is not listed belongs to the family it says it is like.
    let family = like.split_whitespace().find_map(|word| match word {
        "suse" | "opensuse" => Some("Suse"),
        word => known(word).map(|(.., family)| *family),
    });
    (os, family.unwrap_or(os))
}

fn codename(release: &BTreeMap<String, String>) -> String {
    let field = |name: &str| release.get(name).map_or("", String::as_str);
    if !field("VERSION_CODENAME").is_empty() {
        return field("VERSION_CODENAME").to_owned();
    }
    // Older releases have it only as in VERSION="8.4 (Green Obsidian)" or "14.04.6 LTS, Trusty Tahr".
    let version = field("VERSION");
    let inside = version.split_once('(').and_then(|(_, rest)| rest.split_once(')'));
    match inside {
        Some((name, _)) if !name.is_empty() => name.to_owned(),
        _ => field("PRETTY_NAME").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// os, os_family, osrelease, osfullname, oscodename, osfinger.
    fn check(text: &str, expected: [&str; 6]) {
        let grains = grains(&parse(text));
        let names = ["os", "os_family", "osrelease", "osfullname", "oscodename", "osfinger"];
        let found = names.map(|name| grains[name].as_str().unwrap());
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn distributions() {
        check(
            "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\n\
             VERSION=\"12 (bookworm)\"\nVERSION_CODENAME=bookworm\nID=debian\n",
            ["Debian", "Debian", "12", "Debian GNU/Linux", "bookworm", "Debian-12"],
        );
        check(
            "NAME=\"Ubuntu\"\nVERSION_ID=\"24.04\"\nVERSION=\"24.04.1 LTS (Noble Numbat)\"\n\
             VERSION_CODENAME=noble\nID=ubuntu\nID_LIKE=debian\n",
            ["Ubuntu", "Debian", "24.04", "Ubuntu", "noble", "Ubuntu-24.04"],
        );
        check(
            "NAME=\"CentOS Stream\"\nVERSION=\"9\"\nID=\"centos\"\nID_LIKE=\"rhel fedora\"\nVERSION_ID=\"9\"\n\
             PRETTY_NAME=\"CentOS Stream 9\"\n",
            ["CentOS Stream", "RedHat", "9", "CentOS Stream", "CentOS Stream 9", "CentOS Stream-9"],
        );
        check(
            "NAME=\"CentOS Linux\"\nVERSION=\"7 (Core)\"\nID=\"centos\"\nVERSION_ID=\"7\"\n",
            ["CentOS", "RedHat", "7", "CentOS Linux", "Core", "CentOS Linux-7"],
        );
        check(
            "NAME=\"Red Hat Enterprise Linux\"\nVERSION=\"9.4 (Plow)\"\nID=\"rhel\"\nVERSION_ID=\"9.4\"\n",
            ["RedHat", "RedHat", "9.4", "Red Hat Enterprise Linux", "Plow", "Red Hat Enterprise Linux-9"],
        );
        check(
            "NAME=\"Rocky Linux\"\nVERSION=\"8.4 (Green Obsidian)\"\nID=\"rocky\"\nVERSION_ID=\"8.4\"\n",
            ["Rocky", "RedHat", "8.4", "Rocky Linux", "Green Obsidian", "Rocky Linux-8"],
        );
        check(
            "NAME=\"openSUSE Leap\"\nVERSION=\"15.6\"\nID=\"opensuse-leap\"\nVERSION_ID=\"15.6\"\n\
             PRETTY_NAME=\"openSUSE Leap 15.6\"\n",
            ["SUSE", "Suse", "15.6", "Leap", "openSUSE Leap 15.6", "Leap-15"],
        );
        check(
            "NAME=\"Arch Linux\"\nPRETTY_NAME=\"Arch Linux\"\nID=arch\nBUILD_ID=rolling\n",
            ["Arch", "Arch", "rolling", "Arch Linux", "Arch Linux", "Arch Linux-rolling"],
        );
        check(
            "NAME=\"Alpine Linux\"\nID=alpine\nVERSION_ID=3.20.3\nPRETTY_NAME=\"Alpine Linux v3.20\"\n",
            ["Alpine", "Alpine", "3.20.3", "Alpine Linux", "Alpine Linux v3.20", "Alpine Linux-3"],
        );
        check(
            "NAME=\"Amazon Linux\"\nID=\"amzn\"\nVERSION=\"2023\"\nVERSION_ID=\"2023\"\nPRETTY_NAME='Amazon Linux 2023'\n",
            ["Amazon", "RedHat", "2023", "Amazon Linux", "Amazon Linux 2023", "Amazon Linux-2023"],
        );
        check(
            "# a derivative nobody listed\nNAME=\"Zorin OS\"\nID=zorin\nID_LIKE=\"ubuntu debian\"\nVERSION_ID=\"17\"\n\
             VERSION_CODENAME=jammy\n",
            ["Zorin OS", "Debian", "17", "Zorin OS", "jammy", "Zorin OS-17"],
        );
        check("", ["Linux", "Linux", "", "Linux", "", "Linux-"]);
    }

    #[test]
    fn quoting_and_rubbish() {
        let parsed = parse("A=\"x \\\"y\\\"\"\nB='it is'\n#C=1\nno equals\nD=\"unclosed\n = \n");
        assert_eq!(parsed["A"], "x \"y\"");
        assert_eq!(parsed["B"], "it is");
        assert!(!parsed.contains_key("#C") && !parsed.contains_key("C"));
        assert_eq!(parsed["D"], "\"unclosed");
    }

    #[test]
    fn the_major_release_is_a_number() {
        assert_eq!(grains(&parse("ID=ubuntu\nVERSION_ID=\"24.04\""))["osmajorrelease"], 24);
        assert!(!grains(&parse("ID=arch\nBUILD_ID=rolling")).contains_key("osmajorrelease"));
    }
}
