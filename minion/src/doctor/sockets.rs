//! Whether another process is connected to a port, from `/proc`.

use std::collections::BTreeSet;
use std::fs;

/// Whether the process has a connection to this port of any machine; nothing where `/proc` does not tell.
pub(super) fn is_connected(pid: u32, port: u16) -> Option<bool> {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
    let links = links.filter_map(|entry| fs::read_link(entry.path()).ok());
    let sockets: BTreeSet<u64> = links.filter_map(|link| inode(link.to_str()?)).collect();
    // Its own network namespace, which may not be ours.
    let tables = ["tcp", "tcp6"].map(|name| fs::read_to_string(format!("/proc/{pid}/net/{name}")));
    let tables: Vec<String> = tables.into_iter().flatten().collect();
    (!tables.is_empty()).then(|| {
        let mut established = tables.iter().flat_map(|table| connections(table, port));
        established.any(|inode| sockets.contains(&inode))
    })
}

/// `socket:[123]`.
fn inode(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// The inodes of established connections to this port in a table of proc(5).
fn connections(table: &str, port: u16) -> impl Iterator<Item = u64> {
    table.lines().skip(1).filter_map(move |line| {
        let cells: Vec<&str> = line.split_whitespace().collect();
        let remote = u16::from_str_radix(cells.get(2)?.rsplit(':').next()?, 16).ok()?;
        (remote == port && *cells.get(3)? == "01").then_some(())?;
        cells.get(9)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_connection_is_seen_until_it_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let pid = std::process::id();
        assert_eq!(is_connected(pid, port), Some(false));
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        assert_eq!(is_connected(pid, port), Some(true));
        drop(stream);
        assert_eq!(is_connected(pid, port), Some(false));
        assert_eq!(is_connected(u32::MAX, port), None, "no such process");
    }
}
