//! What is mounted, and which of it `df` would list.

use procfs::process::Process;

use super::super::Fault;

/// A mounted file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::functions) struct Mount {
    /// What is mounted: a device, a server's folder, or a name.
    pub(in crate::functions) source: String,
    /// Where.
    pub(in crate::functions) point: String,
    /// The type of the file system.
    pub(in crate::functions) kind: String,
    /// The kernel's number of the device.
    pub(super) device: String,
    /// The folder of the file system that is seen at the mount point.
    pub(super) root: String,
    /// Whether its answers come from elsewhere.
    pub(in crate::functions) is_remote: bool,
}

/// Types of file systems that are asked over a network, or that another process answers for.
const REMOTE: [&str; 15] = [
    "9p",
    "acfs",
    "afs",
    "autofs",
    "ceph",
    "cifs",
    "coda",
    "fuse",
    "glusterfs",
    "gfs2",
    "lustre",
    "ncpfs",
    "nfs",
    "smb3",
    "smbfs",
];

/// All that is mounted, in the order of mounting. What is hidden under a later mount at the same
/// place is left out.
pub(in crate::functions) fn all() -> Result<Vec<Mount>, Fault> {
    let listed = Process::myself().and_then(|process| process.mountinfo());
    let listed =
        listed.map_err(|error| Fault::Execution(format!("the list of mounts cannot be read: {error}")))?;
    let mounts = listed.0.into_iter().map(|info| {
        let source = info.mount_source.unwrap_or_else(|| "none".to_owned());
        Mount {
            is_remote: is_remote(&info.fs_type, &source),
            source,
            point: info.mount_point.display().to_string(),
            kind: info.fs_type,
            device: info.majmin,
            root: info.root,
        }
    });
    Ok(uppermost(mounts.collect()))
}

fn is_remote(kind: &str, source: &str) -> bool {
    let family = kind.split('.').next().unwrap_or_default().trim_end_matches('4');
    REMOTE.contains(&family)
        || source.starts_with("//")
        || (source.contains(":/") && !source.starts_with('/'))
}

fn uppermost(mounts: Vec<Mount>) -> Vec<Mount> {
    let points: Vec<String> = mounts.iter().map(|mount| mount.point.clone()).collect();
    let is_hidden = |at: usize, point: &str| points[at + 1..].iter().any(|later| later == point);
    mounts
        .into_iter()
        .enumerate()
        .filter(|(at, mount)| !is_hidden(*at, &mount.point))
        .map(|(_, m)| m)
        .collect()
}

/// One mount for each device, as `df` chooses it: one with a path as its source, then the one
/// nearest to the root folder.
pub(super) fn without_doubles(mounts: Vec<Mount>) -> Vec<Mount> {
    let mut chosen: Vec<Mount> = Vec::new();
    for mount in mounts {
        let Some(seen) = chosen.iter_mut().find(|seen| seen.device == mount.device) else {
            chosen.push(mount);
            continue;
        };
        if mount.is_remote && seen.is_remote && mount.source != seen.source {
            chosen.push(mount);
            continue;
        }
        let is_path = |mount: &Mount| mount.source.contains('/');
        let is_nearer = mount.point.len() < seen.point.len() && mount.root.len() <= seen.root.len();
        if (is_path(&mount) && !is_path(seen)) || is_nearer {
            *seen = mount;
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(source: &str, point: &str, kind: &str, device: &str, root: &str) -> Mount {
        let (source, kind) = (source.to_owned(), kind.to_owned());
        let is_remote = is_remote(&kind, &source);
        Mount { source, point: point.into(), kind, device: device.into(), root: root.into(), is_remote }
    }

    #[test]
    fn one_for_each_device() {
        let disk = |point: &str, root: &str| mount("/dev/sda1", point, "ext4", "8:1", root);
        let points = |mounts: Vec<Mount>| -> Vec<String> {
            without_doubles(mounts).into_iter().map(|mount| mount.point).collect()
        };
        assert_eq!(points(vec![disk("/", "/"), disk("/srv/bind", "/data")]), ["/"]);
        assert_eq!(points(vec![disk("/var/lib/x", "/"), disk("/x", "/")]), ["/x"]);
        assert_eq!(points(vec![disk("/mnt/long", "/"), disk("/b", "/data")]), ["/mnt/long"]);
        let overlay = |source: &str, point: &str| mount(source, point, "overlay", "0:42", "/");
        assert_eq!(points(vec![overlay("none", "/a"), overlay("/dev/x", "/longer")]), ["/longer"]);
        let nfs = |source: &str, point: &str| mount(source, point, "nfs4", "0:50", "/");
        assert_eq!(points(vec![nfs("a:/x", "/a"), nfs("a:/y", "/b")]), ["/a", "/b"]);
        assert_eq!(points(vec![nfs("a:/x", "/a/b"), nfs("a:/x", "/c")]), ["/c"]);
    }

    #[test]
    fn what_is_hidden_is_left_out() {
        let one = |source: &str, point: &str| mount(source, point, "tmpfs", "0:1", "/");
        let seen = uppermost(vec![one("a", "/x"), one("b", "/y"), one("c", "/x")]);
        assert_eq!(seen.iter().map(|mount| mount.source.as_str()).collect::<Vec<_>>(), ["b", "c"]);
    }

    #[test]
    fn what_is_asked_elsewhere() {
        for (kind, source, expected) in [
            ("ext4", "/dev/sda1", false),
            ("tmpfs", "tmpfs", false),
            ("zfs", "pool/data", false),
            ("nfs", "server:/data", true),
            ("nfs4", "server:/data", true),
            ("cifs", "//server/share", true),
            ("fuse.sshfs", "me@host:", true),
            ("unheard-of", "server:/data", true),
            ("ext4", "/dev/disk/by-path/pci:0/x", false),
        ] {
            assert_eq!(is_remote(kind, source), expected, "{kind} {source}");
        }
    }

    #[test]
    fn this_machine_has_a_root() {
        assert!(all().unwrap().iter().any(|mount| mount.point == "/"));
    }
}
