//! What a look at the disk tells before anything is written to it.

use std::path::Path;

use nix::sys::statvfs::{FsFlags, statvfs};

/// Why the file system of this folder takes no new orders, if it does not.
pub(super) fn problem(folder: &Path, free_min: u64) -> Option<String> {
    read_only(folder).or_else(|| {
        let stat = statvfs(folder).ok()?;
        let free = stat.blocks_available().saturating_mul(stat.fragment_size());
        (free < free_min).then(|| {
            format!(
                "the disk under {} has {free} bytes left, new orders need {free_min} (disk_free_min)",
                folder.display()
            )
        })
    })
}

/// That the file system of this folder is read-only, if it is: as the kernel makes it after an error of the
/// disk.
pub(super) fn read_only(folder: &Path) -> Option<String> {
    let is_read_only = statvfs(folder).is_ok_and(|stat| stat.flags().contains(FsFlags::ST_RDONLY));
    is_read_only.then(|| {
        format!(
            "the file system of {} is read-only: dmesg may say why; mount it writable again",
            folder.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_with_room_that_can_be_written_is_fine() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(problem(folder.path(), 1), None);
        let said = problem(folder.path(), u64::MAX).expect("never so much");
        assert!(said.contains("disk_free_min"), "{said}");
    }

    #[test]
    fn a_read_only_file_system_is_told_from_a_full_one() {
        // Nobody may write there.
        let said = problem(Path::new("/sys"), u64::MAX).unwrap_or_default();
        let is_read_only = statvfs("/sys").is_ok_and(|stat| stat.flags().contains(FsFlags::ST_RDONLY));
        assert_eq!(said.contains("is read-only"), is_read_only, "{said}");
    }
}
