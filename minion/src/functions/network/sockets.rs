//! Sockets and who holds them, from `/proc`.

use std::collections::HashMap;
use std::net::SocketAddr;

use procfs::ProcResult;
use procfs::net::{TcpNetEntry, TcpState, UdpNetEntry};
use procfs::process::{FDTarget, all_processes};
use serde_json::{Map, Value, json};

use super::super::file::{Stop, blocking};
use super::super::fit::keep_first;
use super::super::{Context, Fault, Outcome};

pub(super) async fn netstat(context: Context) -> Result<Outcome, Fault> {
    blocking(move |stop| {
        let (sockets, programs) = (all()?, programs(stop)?);
        let mut value = Value::from(sockets.iter().map(|socket| socket.show(&programs)).collect::<Vec<_>>());
        let truncated = keep_first(&mut value, context.output_max);
        Ok(Outcome { truncated, ..Outcome::from(value) })
    })
    .await
}

pub(super) async fn active_tcp(context: Context) -> Result<Outcome, Fault> {
    blocking(move |_| {
        let mut value = Value::Object(number(&all()?));
        let truncated = keep_first(&mut value, context.output_max);
        Ok(Outcome { truncated, ..Outcome::from(value) })
    })
    .await
}

/// Established connections under running numbers, as Salt gives them.
fn number(sockets: &[Socket]) -> Map<String, Value> {
    let active = sockets.iter().filter(|socket| socket.state == Some("ESTABLISHED"));
    (1..)
        .zip(active)
        .map(|(number, Socket { local, remote, .. }): (usize, _)| {
            let entry = json!({
                "local_addr": local.ip().to_string(), "local_port": local.port().to_string(),
                "remote_addr": remote.ip().to_string(), "remote_port": remote.port().to_string(),
            });
            (number.to_string(), entry)
        })
        .collect()
}

struct Socket {
    proto: &'static str,
    queues: (u32, u32),
    local: SocketAddr,
    remote: SocketAddr,
    /// UDP has none.
    state: Option<&'static str>,
    uid: u32,
    inode: u64,
}

impl Socket {
    fn tcp(proto: &'static str, entry: &TcpNetEntry) -> Self {
        Self {
            proto,
            queues: (entry.rx_queue, entry.tx_queue),
            local: entry.local_address,
            remote: entry.remote_address,
            state: Some(state(&entry.state)),
            uid: entry.uid,
            inode: entry.inode,
        }
    }

    fn udp(proto: &'static str, entry: &UdpNetEntry) -> Self {
        Self {
            proto,
            queues: (entry.rx_queue, entry.tx_queue),
            local: entry.local_address,
            remote: entry.remote_address,
            state: None,
            uid: entry.uid,
            inode: entry.inode,
        }
    }

    fn show(&self, programs: &HashMap<u64, String>) -> Value {
        let mut shown = Map::new();
        let mut add = |name: &str, value: String| shown.insert(name.to_owned(), Value::String(value));
        add("proto", self.proto.to_owned());
        add("recv-q", self.queues.0.to_string());
        add("send-q", self.queues.1.to_string());
        add("local-address", endpoint(self.local));
        add("remote-address", endpoint(self.remote));
        if let Some(state) = self.state {
            add("state", state.to_owned());
        }
        add("user", self.uid.to_string());
        add("inode", self.inode.to_string());
        add("program", programs.get(&self.inode).cloned().unwrap_or_else(|| "-".to_owned()));
        Value::Object(shown)
    }
}

/// An address and a port as `netstat` writes them: no brackets, and `*` for any port.
fn endpoint(address: SocketAddr) -> String {
    match address.port() {
        0 => format!("{}:*", address.ip()),
        port => format!("{}:{port}", address.ip()),
    }
}

fn state(state: &TcpState) -> &'static str {
    match state {
        TcpState::Established => "ESTABLISHED",
        TcpState::SynSent => "SYN_SENT",
        TcpState::SynRecv | TcpState::NewSynRecv => "SYN_RECV",
        TcpState::FinWait1 => "FIN_WAIT1",
        TcpState::FinWait2 => "FIN_WAIT2",
        TcpState::TimeWait => "TIME_WAIT",
        TcpState::Close => "CLOSE",
        TcpState::CloseWait => "CLOSE_WAIT",
        TcpState::LastAck => "LAST_ACK",
        TcpState::Listen => "LISTEN",
        TcpState::Closing => "CLOSING",
    }
}

fn all() -> Result<Vec<Socket>, Fault> {
    let mut sockets = Vec::new();
    sockets.extend(entries(procfs::net::tcp())?.iter().map(|entry| Socket::tcp("tcp", entry)));
    sockets.extend(entries(procfs::net::tcp6())?.iter().map(|entry| Socket::tcp("tcp6", entry)));
    sockets.extend(entries(procfs::net::udp())?.iter().map(|entry| Socket::udp("udp", entry)));
    sockets.extend(entries(procfs::net::udp6())?.iter().map(|entry| Socket::udp("udp6", entry)));
    Ok(sockets)
}

/// What the kernel lists; nothing for a protocol that it does not speak.
fn entries<T>(found: ProcResult<Vec<T>>) -> Result<Vec<T>, Fault> {
    match found {
        Err(procfs::ProcError::NotFound(_)) => Ok(Vec::new()),
        found => {
            found.map_err(|error| Fault::Execution(format!("the list of sockets cannot be read: {error}")))
        }
    }
}

/// Who holds each socket, as `pid/name`. Processes that are gone by now, or not to be looked into,
/// are left out.
fn programs(stop: &Stop) -> Result<HashMap<u64, String>, Fault> {
    let mut programs = HashMap::new();
    for process in all_processes().into_iter().flatten().flatten() {
        stop.check()?;
        let (Ok(stat), Ok(files)) = (process.stat(), process.fd()) else { continue };
        for file in files.flatten() {
            if let FDTarget::Socket(inode) = file.target {
                programs.entry(inode).or_insert_with(|| format!("{}/{}", stat.pid, stat.comm));
            }
        }
    }
    Ok(programs)
}
