//! What a process holds at one moment.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The names of what is sampled, with their units.
pub const NAMES: [&str; 4] = ["memory (MiB)", "descriptors", "threads", "disk (MiB)"];

/// One look at a process and the folder it writes to, in the order of [`NAMES`]; none when it is gone.
#[must_use]
pub fn take(pid: i32, folder: &Path) -> Option<[f64; 4]> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<f64>().ok()
    };
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
    let mib = 1024.0 * 1024.0;
    Some([field("VmRSS:")? / 1024.0, descriptors as f64, field("Threads:")?, disk(folder) as f64 / mib])
}

/// Bytes that a folder takes on disk. What goes away meanwhile takes none.
fn disk(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => disk(&entry.path()),
            Ok(found) => found.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_all_of_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        fs::write(folder.path().join("a/b"), vec![7; 3 * 1024 * 1024]).unwrap();
        let [memory, descriptors, threads, disk] =
            take(std::process::id().cast_signed(), folder.path()).unwrap();
        assert!(memory > 1.0 && descriptors >= 3.0 && threads >= 1.0 && (3.0..3.5).contains(&disk), "{disk}");
        assert_eq!(take(i32::MAX, folder.path()), None);
    }
}
